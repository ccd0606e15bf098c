//! A look at an interface, under the names that users see.

use wraith_transport::Error;
use wraith_transport::xdp::{Finding, Severity, Subject, XdpProbe};

use crate::raw::{self, Env, Value};

/// Looks at an interface in the network namespace of the calling thread.
pub(crate) fn look(env: Env, interface: &str) -> Result<Value, Error> {
    let probe = XdpProbe::look(interface)?;
    let object = raw::object(env)?;
    raw::set(env, object, c"interface", raw::string(env, &probe.interface)?)?;
    raw::set(env, object, c"ready", raw::boolean(env, probe.is_ready())?)?;
    raw::set(env, object, c"kernel", raw::string(env, &probe.kernel)?)?;
    if let Some(driver) = &probe.driver {
        raw::set(env, object, c"driver", raw::string(env, driver)?)?;
    }
    raw::set(env, object, c"up", raw::boolean(env, probe.up)?)?;
    raw::set_numbers(
        env,
        object,
        &[
            (c"mtuBytes", f64::from(probe.mtu)),
            (c"queues", f64::from(probe.queues)),
            (c"maxQueues", f64::from(probe.most_queues)),
        ],
    )?;
    for (name, known) in [(c"nativeMode", probe.native), (c"zeroCopy", probe.zero_copy)] {
        if let Some(it) = known {
            raw::set(env, object, name, raw::boolean(env, it)?)?;
        }
    }
    if let Some(id) = probe.program {
        raw::set_numbers(env, object, &[(c"programId", f64::from(id))])?;
    }
    let missing: Vec<String> = probe.missing.iter().map(|capability| capability.name().to_owned()).collect();
    raw::set(env, object, c"missingCapabilities", raw::strings(env, &missing)?)?;
    if let Some(bytes) = probe.locked_memory {
        raw::set_numbers(env, object, &[(c"lockedMemoryBytes", bytes as f64)])?;
    }
    let findings = raw::array(env, probe.findings.iter().map(|it| finding(env, it)))?;
    raw::set(env, object, c"findings", findings)?;
    raw::set(env, object, c"text", raw::string(env, &probe.to_string())?)?;
    Ok(object)
}

/// `{ about, severity, what, remedy }`.
fn finding(env: Env, finding: &Finding) -> Result<Value, Error> {
    let severity = match finding.severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Blocking => "blocking",
    };
    let about = match finding.about {
        Subject::Process => "process",
        Subject::Interface => "interface",
    };
    let object = raw::object(env)?;
    raw::set(env, object, c"about", raw::string(env, about)?)?;
    raw::set(env, object, c"severity", raw::string(env, severity)?)?;
    raw::set(env, object, c"what", raw::string(env, &finding.what)?)?;
    raw::set(env, object, c"remedy", raw::string(env, &finding.remedy)?)?;
    Ok(object)
}
