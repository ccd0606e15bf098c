//! Sending: slots of this isolate, and rows of a batch where they lie.
#![allow(unsafe_code, reason = "reads words that JavaScript lends for the call")]

use std::cell::RefCell;

use wraith_transport::xdp::{SendFrame, XdpSocket};
use wraith_transport::{Code, Error};

use super::binding::{self, XdpBinding, closed};
use super::memory;
use super::methods::no_row;
use crate::raw::{Args, Reply, Words};

/// Frames of one call at most; `ts/xdp/sender.ts` has the same number.
const MOST: usize = 256;

/// More than the frames of a call; `ts/xdp/sender.ts` has it as well.
const MOVED: usize = 1 << 16;

/// The first `count` words of an argument, copied.
fn words(words: &Words, count: usize, into: &mut [u32]) -> Result<(), Error> {
    if count > words.len || count > into.len() {
        return Err(Error::new(Code::OutOfRange, format!("{count} of {} words", words.len)));
    }
    for (at, word) in into.iter_mut().enumerate().take(count) {
        // SAFETY: below the array's length; JavaScript cannot run in the call.
        *word = unsafe { words.data.add(at).read() };
    }
    Ok(())
}

/// The socket of a queue; none: the one at place `default`, or the last.
fn with_queue<T>(
    sockets: &RefCell<Option<Vec<XdpSocket>>>,
    queue: Option<u32>,
    default: usize,
    run: impl FnOnce(&mut XdpSocket) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut sockets = sockets.borrow_mut();
    let all = sockets.as_mut().ok_or_else(closed)?;
    let at = index_of(all, queue, default)?;
    run(&mut all[at])
}

fn index_of(sockets: &[XdpSocket], queue: Option<u32>, default: usize) -> Result<usize, Error> {
    let Some(queue) = queue else { return Ok(default.min(sockets.len() - 1)) };
    sockets.iter().position(|socket| socket.queue() == queue).ok_or_else(|| {
        let bound: Vec<String> = sockets.iter().map(|socket| socket.queue().to_string()).collect();
        Error::with_remedy(
            Code::OutOfRange,
            format!("queue is {queue}; bound here are {}", bound.join(", ")),
            "Choose one of them.",
        )
    })
}

/// `(queue or -1, words, count)`: sends `count` slots of this isolate, of each its number and how many bytes from its front. Returns how many
/// were accepted, from the first one on; plus [`MOVED`] for each up to and with the first whose memory user code has moved: that one
/// is out of use, and those behind it were not looked at.
pub(super) fn slots(this: &XdpBinding, args: &Args) -> Result<Reply, Error> {
    this.queues()?;
    this.check_lease()?;
    let (queue, count) = (args.index(0), args.u32(2)? as usize);
    let mut pairs = [0; 2 * MOST];
    words(&args.words(1)?, 2 * count, &mut pairs)?;
    let from = this.mine();
    let mut frames = [SendFrame { slot: 0, offset: 0, length: 0, from }; MOST];
    let mut seen = 0;
    let mut moved = false;
    for pair in pairs[..2 * count].chunks_exact(2) {
        if !this.let_leave(pair[0])? {
            moved = true;
            break;
        }
        frames[seen] = SendFrame { slot: pair[0], offset: 0, length: pair[1], from };
        seen += 1;
    }
    let mut sent = 0;
    if seen > 0 {
        sent = with_queue(&this.sockets, queue, 0, |socket| socket.send(&frames[..seen]))?;
    }
    let moved = if moved { (seen + 1) * MOVED } else { 0 };
    Ok(Reply::Number((moved + sent) as f64))
}

/// `(target, queue or -1, words, count, copies?)`: sends `count` rows of the batch that is out through a queue of `target`, a binding
/// of this thread; by default the one in the same place. All views of the batch are empty then. `copies`: what `copyOut` filled, which goes back first. Returns how many were accepted, from the first one on;
/// -1: the target's frames lie in another UMEM.
pub(super) fn rows(this: &XdpBinding, args: &Args) -> Result<Reply, Error> {
    this.queues()?;
    this.check_lease()?;
    let (target, queue, count) = (args.u32(0)?, args.index(1), args.u32(3)? as usize);
    let mut numbers = [0; MOST];
    words(&args.words(2)?, count, &mut numbers)?;
    let mut rows = [0_usize; MOST];
    for (row, &number) in rows.iter_mut().zip(&numbers[..count]) {
        *row = number as usize;
    }
    let rows = &rows[..count];
    let copies = args.array_buffer(4).ok();
    // The kernel has the frames then, and gives them to be written when they are sent.
    this.hide()?;
    let mut sockets = this.sockets.borrow_mut();
    let all = sockets.as_mut().ok_or_else(closed)?;
    let current = this.current.get();
    let from = all.get_mut(current).ok_or_else(closed)?;
    if let Some(&row) = rows.iter().find(|&&row| row >= from.rows().len()) {
        return Err(no_row(row));
    }
    if let Some(copies) = copies {
        rows.iter().for_each(|&row| memory::copy_back(from, row, copies));
    }
    if target != this.number.get().get() {
        let out = binding::find(target).ok_or_else(closed)?;
        if !std::sync::Arc::ptr_eq(out.attachment.core(), this.attachment.core()) {
            return Ok(Reply::Number(-1.0));
        }
        out.queues()?;
        out.check_lease()?;
        return with_queue(&out.sockets, queue, current, |out| from.forward_rows(rows, out)).map(accepted);
    }
    let through = index_of(all, queue, current)?;
    if through == current {
        return all[current].send_rows(rows).map(accepted);
    }
    let [from, out] = all
        .get_disjoint_mut([current, through])
        .map_err(|_| Error::new(Code::Internal, "two queues that are not two"))?;
    from.forward_rows(rows, out).map(accepted)
}

fn accepted(count: usize) -> Reply {
    Reply::Number(count as f64)
}

/// Tells the kernel of frames that it has not taken, and takes back those that it has sent. Returns how many it still has.
pub(super) fn flush(this: &XdpBinding) -> Result<Reply, Error> {
    let mut sending = 0;
    let mut failed = None;
    for socket in this.sockets.borrow_mut().iter_mut().flatten() {
        if socket.with_kernel().1 > 0 {
            failed = socket.flush().err().or(failed);
            sending += socket.with_kernel().1;
        }
    }
    failed.map_or(Ok(Reply::Index(sending)), Err)
}
