//! The channel of the world: what is in it is a plain queue.

use std::collections::VecDeque;
use std::sync::Arc;

use wraith_transport::Code;
use wraith_transport::memory::{Owner, State};
use wraith_transport::pool::{Channel, Entry, PoolCore, Received};

use super::{Bell, SIZE, World, bytes, owner};

/// Not a member's number.
const CHANNEL: u32 = 99;

/// A slot in the channel: how many bytes are in use, what it is full of, and how far.
struct Sent {
    slot: u32,
    length: u32,
    byte: u8,
    full: usize,
}

/// A channel and what it should be.
pub(super) struct Line {
    channel: Arc<Channel>,
    sent: VecDeque<Sent>,
}

impl Line {
    pub(super) fn new(core: &Arc<PoolCore>) -> Line {
        let channel = core.channel(Owner::new(CHANNEL).unwrap()).unwrap();
        Line { channel, sent: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.sent.len()
    }

    /// How many slots somebody has on their way through it.
    pub(super) fn held_by(&self, owner: Owner) -> usize {
        if owner.get() == CHANNEL { self.sent.len() } else { 0 }
    }

    pub(super) fn check(&self, closed: bool) {
        assert_eq!(self.channel.depth().get() as usize, self.sent.len());
        assert_eq!(self.channel.is_closed(), closed);
    }
}

impl World {
    /// Sends a slot that is held, or a copy of it when one can be had.
    pub(super) fn send(&mut self, which: usize, length: u32, copied: bool) {
        let Some((slot, from, byte)) = self.nth_held(which) else { return };
        let channel = Arc::clone(&self.line.channel);
        let mut entry = Entry { slot, length, dirty: u32::MAX };
        let mut full = SIZE;
        if copied && from.0 != State::Quarantined && length as usize <= SIZE {
            let can = !self.closed && self.free() > 0;
            // SAFETY: this program has one thread.
            let copy = unsafe { channel.copy_of(slot, length, from) }.unwrap();
            assert_eq!(copy.is_some(), can);
            if let Some(copy) = copy {
                (entry, full) = (copy, length as usize);
                self.held.insert(copy.slot, (from.0, from.1, byte));
            }
        }
        let mut entries = std::iter::once(entry);
        match channel.send(from, || entries.next()) {
            Ok(sent) => {
                assert!(sent == 1 && !self.closed && length as usize <= SIZE);
                self.held.remove(&entry.slot);
                self.line.sent.push_back(Sent { slot: entry.slot, length, byte, full });
            }
            Err(error) => {
                let too_long = length as usize > SIZE;
                assert_eq!(error.code(), if too_long { Code::Internal } else { Code::ChannelClosed });
                assert!(too_long || self.closed);
            }
        }
    }

    /// Takes two slots at most out of the channel.
    pub(super) fn receive(&mut self, who: usize) {
        let receiver = match self.line.channel.receiver(Arc::new(Bell::default())) {
            Ok(receiver) => receiver,
            Err(error) => {
                assert!(self.closed && error.code() == Code::ChannelClosed, "{error}");
                return;
            }
        };
        let to = (State::Cached, owner(who));
        let mut out = [Entry { slot: 0, length: 0, dirty: 0 }; 2];
        let expected = match self.line.sent.len().min(out.len()) {
            0 => Received::Asleep,
            count => Received::Some(count),
        };
        assert_eq!(receiver.receive(to, &mut out), Ok(expected));
        let Received::Some(count) = expected else { return };
        for (entry, sent) in out[..count].iter().zip(self.line.sent.drain(..count)) {
            assert_eq!((entry.slot, entry.length), (sent.slot, sent.length));
            let found = bytes(&self.core, sent.slot);
            assert!(
                found
                    .iter()
                    .enumerate()
                    .all(|(at, &byte)| byte == if at < sent.full { sent.byte } else { 0 })
            );
            // SAFETY: the slot is held, by one who does not look at it now.
            unsafe { self.core.slab().slot(sent.slot).write_bytes(sent.byte, SIZE) };
            self.held.insert(sent.slot, (to.0, to.1, sent.byte));
        }
    }

    /// The pool was closed: what is in the channel goes home.
    pub(super) fn end_line(&mut self) {
        for sent in std::mem::take(&mut self.line.sent) {
            self.went_home(sent.slot);
        }
    }
}
