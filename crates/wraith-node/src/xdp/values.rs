//! What queues are, and what they count, under the names that users see.

use wraith_transport::Error;
use wraith_transport::xdp::{DropReason, KernelStatistics, XdpSnapshot, XdpSocket};

use super::queues::Queues;
use crate::raw::{self, Env, Value};

/// What was got of what was asked.
pub(super) fn info(env: Env, queues: &Queues) -> Result<Value, Error> {
    let info = queues.device().info();
    let mine: Vec<f64> = queues.counters(Some(&[])).iter().map(|entry| f64::from(entry.queue)).collect();
    let object = raw::object(env)?;
    raw::set(env, object, c"interface", raw::string(env, &info.interface)?)?;
    for (name, text) in [
        (c"driver", info.driver.as_deref()),
        (c"whyGeneric", info.why_generic.as_deref()),
        (c"attach", Some(info.attach.name())),
        (c"filter", Some(&info.filter)),
    ] {
        if let Some(text) = text {
            raw::set(env, object, name, raw::string(env, text)?)?;
        }
    }
    raw::set(env, object, c"queues", raw::numbers(env, &mine)?)?;
    raw::set(env, object, c"zeroCopy", raw::boolean(env, info.zero_copy)?)?;
    if let Some(id) = info.program_id {
        raw::set(env, object, c"programId", raw::number(env, id.into())?)?;
    }
    let rings = info.rings;
    raw::set_numbers(
        env,
        object,
        &[
            (c"ifindex", info.ifindex.into()),
            (c"mtuBytes", info.mtu.into()),
            (c"interfaceQueues", info.interface_queues.into()),
            (c"framesPerQueue", info.frames.into()),
            (c"fillFramesPerQueue", info.fill_frames.into()),
            (c"frameSize", info.frame_size.into()),
            (c"headroom", info.headroom.into()),
            (c"rxRing", rings.rx.into()),
            (c"txRing", rings.tx.into()),
            (c"fillRing", rings.fill.into()),
            (c"completionRing", rings.completion.into()),
            (c"memoryBytes", info.memory.bytes as f64),
        ],
    )?;
    raw::set(env, object, c"text", raw::string(env, &info.to_string())?)?;
    Ok(object)
}

/// The counters of each queue, looked at without a call into JavaScript: setting a property can be one, and nothing may be
/// locked or borrowed then. `mine`: the sockets, when this isolate has them.
pub(super) fn look(queues: &Queues, mine: Option<&[XdpSocket]>) -> Vec<Look> {
    let counters = queues.counters(mine);
    counters.iter().map(|entry| (entry.queue, entry.ours.snapshot(), entry.kernel)).collect()
}

/// A queue, our counters and the kernel's.
pub(super) type Look = (u32, XdpSnapshot, KernelStatistics);

/// `[{ queue, … }]`: the counters of each.
pub(super) fn metrics(env: Env, counters: &[Look]) -> Result<Value, Error> {
    raw::array(env, counters.iter().map(|look| of_queue(env, look)))
}

fn of_queue(env: Env, (queue, ours, kernel): &Look) -> Result<Value, Error> {
    let object = raw::object(env)?;
    raw::set_numbers(
        env,
        object,
        &[
            (c"queue", (*queue).into()),
            (c"rxPackets", ours.packets as f64),
            (c"rxBytes", ours.bytes as f64),
            (c"rxBatches", ours.batches as f64),
            (c"rxAbandoned", ours.abandoned as f64),
            (c"rxEmptyPolls", ours.empty_polls as f64),
            (c"rxStarved", ours.starved as f64),
            (c"rxKicks", ours.receive_kicks as f64),
            (c"rxDropped", kernel.dropped() as f64),
            (c"rxInvalidDescriptors", kernel.rx_invalid_descs as f64),
            (c"badDescriptors", ours.bad_descriptors as f64),
            (c"ownershipFaults", ours.ownership_faults as f64),
            (c"txPackets", ours.sent as f64),
            (c"txBytes", ours.sent_bytes as f64),
            (c"txCompletions", ours.completions as f64),
            (c"txKicks", ours.send_kicks as f64),
            (c"txWouldBlock", ours.send_would_block as f64),
            (c"txInvalidDescriptors", kernel.tx_invalid_descs as f64),
        ],
    )?;
    let drops = kernel.drops();
    let drops = drops.iter().map(|drops| {
        let object = raw::object(env)?;
        let reason = match drops.reason {
            DropReason::FillEmpty => "fillRingEmpty",
            DropReason::RxFull => "rxRingFull",
            DropReason::TooLong => "tooLong",
        };
        raw::set(env, object, c"reason", raw::string(env, reason)?)?;
        raw::set(env, object, c"frames", raw::number(env, drops.frames as f64)?)?;
        raw::set(env, object, c"remedy", raw::string(env, drops.reason.remedy())?)?;
        Ok(object)
    });
    raw::set(env, object, c"drops", raw::array(env, drops.collect::<Vec<_>>().into_iter())?)?;
    Ok(object)
}
