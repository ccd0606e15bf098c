//! A channel: a bounded queue of slots from any number of threads to one, without a copy and without a lock on the way.
#![expect(unsafe_code, reason = "copies and clears slots that the protocol has just taken")]

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crossbeam_queue::ArrayQueue;

use super::core::{PoolCore, reserved};
use super::lane::{DepthWord, Entries, Entry, Lane, Received, ReceiverKey};
use super::member::Notify;
use super::protocol::Refused;
use crate::memory::{Dirty, Owner, State};
use crate::{Code, Error};

/// First in, first out; a pop may wait for a push that was preempted half-way.
impl Entries for ArrayQueue<Entry> {
    fn push(&self, entry: Entry) -> bool {
        ArrayQueue::push(self, entry).is_ok()
    }

    fn pop(&self) -> Option<Entry> {
        ArrayQueue::pop(self)
    }
}

/// The living channels of a pool, which end with it.
#[derive(Default)]
pub(super) struct Channels(Mutex<Vec<Weak<Channel>>>);

impl Channels {
    fn add(&self, channel: &Arc<Channel>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|it| it.strong_count() > 0);
        all.push(Arc::downgrade(channel));
    }

    fn take(&self) -> Vec<Weak<Channel>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a channel has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelCounts {
    /// Slots that were put in.
    pub sent: u64,
    /// Slots that a receiver took out.
    pub received: u64,
    /// Slots that went home unreceived, because the channel or the pool was closed.
    pub dropped: u64,
}

/// A queue of slots of one shared pool, {transit, the channel's owner} while they are in it.
///
/// It has room for every slot of the pool. How many it *should* hold at most is for those who send to mind, by
/// [`Channel::depth`]. Slots outlive whoever sent or received: they wait for the next receiver, and come home, zeroed, when
/// the channel or the pool is closed, or the last user of the channel is gone.
pub struct Channel {
    core: Arc<PoolCore>,
    lane: Lane<ArrayQueue<Entry>>,
    sent: AtomicU64,
    received: AtomicU64,
    dropped: AtomicU64,
}

impl PoolCore {
    /// A channel for slots of this pool. `owner` is the number of no other holder.
    ///
    /// # Errors
    /// [`Code::NotShared`]: the pool is private. [`Code::PoolClosed`]. [`Code::Internal`]: `owner` is nobody, or the library's own.
    pub fn channel(self: &Arc<Self>, owner: Owner) -> Result<Arc<Channel>, Error> {
        let channels = self.channels()?;
        if Owner::new(owner.get()).is_none() {
            return Err(Error::new(Code::Internal, format!("{owner:?} cannot hold slots on their way")));
        }
        let queue = ArrayQueue::new(self.capacity() as usize);
        let channel = Arc::new(Channel {
            core: Arc::clone(self),
            lane: Lane::new(queue, owner),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        channels.add(&channel);
        // Looked at afterwards: a close that has not found the channel has set the flag before.
        if self.is_closed() {
            return Err(Error::new(Code::PoolClosed, "The pool was closed"));
        }
        Ok(channel)
    }

    /// Ends every channel, for a pool that is being closed.
    pub(super) fn close_channels(&self) {
        let Ok(channels) = self.channels() else { return };
        for channel in channels.take().iter().filter_map(Weak::upgrade) {
            channel.close();
        }
    }
}

impl Channel {
    /// The pool.
    pub fn core(&self) -> &Arc<PoolCore> {
        &self.core
    }

    /// How many slots are in it.
    pub fn depth(&self) -> &Arc<DepthWord> {
        self.lane.depth()
    }

    /// Whether it was closed, by itself or with its pool.
    pub fn is_closed(&self) -> bool {
        self.lane.is_closed() || self.core.is_closed()
    }

    /// What it has done. While others work, a moment ago.
    pub fn counts(&self) -> ChannelCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (sent, received, dropped) = (read(&self.sent), read(&self.received), read(&self.dropped));
        ChannelCounts { sent, received, dropped }
    }

    /// Puts slots at the end, in their order, and wakes the receiver if it sleeps. `next` gives one slot after the other,
    /// each held as `from` says and with no view onto it left. Returns how many went in. Cost: a few atomics a slot, a fence, and
    /// one wake at most.
    ///
    /// # Errors
    /// [`Code::ChannelClosed`], [`Code::StaleBuffer`]: a slot is not `from`'s. [`Code::Internal`]: no such slot, `length` is
    /// larger than a slot, or `from` is not for callers to name. That slot is as it was; those before it are under way.
    pub fn send(&self, from: (State, Owner), mut next: impl FnMut() -> Option<Entry>) -> Result<u64, Error> {
        let mut sent = 0;
        let outcome = loop {
            let Some(entry) = next() else { break Ok(()) };
            if let Err(error) = self.put(entry, from) {
                break Err(error);
            }
            sent += 1;
        };
        self.sent.fetch_add(sent, Ordering::Relaxed);
        self.drop_some(|clear| self.lane.settle(self.core.protocol(), clear));
        outcome.map(|()| sent)
    }

    /// A free slot with a copy of the bytes in use of one that `holder` has, held likewise: to be sent in its stead. For small
    /// buffers that costs less than making a slot disappear from where it was seen. `None`: no slot is free.
    ///
    /// # Errors
    /// [`Code::StaleBuffer`]: the slot is not `holder`'s. [`Code::Internal`]: no such slot, or `length` is larger than a slot.
    ///
    /// # Safety
    /// Nobody writes the bytes of `holder`'s slots during the call.
    pub unsafe fn copy_of(
        &self,
        slot: u32,
        length: u32,
        holder: (State, Owner),
    ) -> Result<Option<Entry>, Error> {
        self.check_length(length)?;
        let found = self.core.holding(slot);
        if found.map(|word| (word.state, word.owner)) != Some(holder) {
            return Err(self.core.refusal(slot, holder, holder, found));
        }
        let Some(copy) = self.core.pop(holder) else { return Ok(None) };
        let slab = self.core.slab();
        // SAFETY: two different slots of `holder`'s, each of at least `length` bytes. Nobody writes the first one, as the caller
        // promises, and nobody has seen the second one yet.
        unsafe { slab.slot(copy).copy_from_nonoverlapping(slab.slot(slot), length as usize) };
        Ok(Some(Entry { slot: copy, length, dirty: length }))
    }

    fn check_length(&self, length: u32) -> Result<(), Error> {
        let size = self.core.buffer_size();
        if length as usize <= size {
            return Ok(());
        }
        Err(Error::new(Code::Internal, format!("{length} bytes of a slot of {size} are said to be in use")))
    }

    fn put(&self, entry: Entry, from: (State, Owner)) -> Result<(), Error> {
        let transit = (State::Transit, Owner::NONE);
        self.check_length(entry.length)?;
        if reserved(from) {
            return Err(self.core.refusal(entry.slot, from, transit, self.core.holding(entry.slot)));
        }
        self.lane.put(self.core.protocol(), entry, from).map_err(|refused| match refused {
            Refused::Closed => Error::new(Code::ChannelClosed, "The channel was closed"),
            other => self.core.refused(other, entry.slot, from, transit),
        })
    }

    /// Becomes the one who receives. `notify` is told when there is something after a look that found nothing.
    ///
    /// # Errors
    /// [`Code::Busy`]: somebody else receives. [`Code::ChannelClosed`].
    pub fn receiver(self: &Arc<Self>, notify: Arc<dyn Notify>) -> Result<Receiver, Error> {
        if self.is_closed() {
            return Err(Error::new(Code::ChannelClosed, "The channel was closed"));
        }
        let key = self.lane.enter(notify).ok_or_else(|| {
            let what = "somebody else receives from this channel";
            Error::with_remedy(Code::Busy, what, "Stop that one first.")
        })?;
        Ok(Receiver { channel: Arc::clone(self), key })
    }

    /// Ends the channel for all: what is in it goes home, zeroed. `true`: it was open.
    pub fn close(&self) -> bool {
        let mut was_open = false;
        self.drop_some(|clear| {
            let (open, home) = self.lane.close(self.core.protocol(), clear);
            was_open = open;
            home
        });
        was_open
    }

    fn drop_some(&self, run: impl FnOnce(&mut dyn FnMut(u32)) -> u32) {
        // SAFETY: the protocol calls this after it has taken the slot and before anybody else can.
        let home = run(&mut |slot| unsafe { self.core.slab().clear(slot, Dirty::All) });
        self.dropped.fetch_add(home.into(), Ordering::Relaxed);
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let depth = self.depth().get();
        f.debug_struct("Channel")
            .field("depth", &depth)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// The one who receives from a channel. Dropping it makes room for the next one, for whom what is in the channel stays.
pub struct Receiver {
    channel: Arc<Channel>,
    key: ReceiverKey,
}

impl Receiver {
    /// Takes the oldest slots, which are `to`'s then, as many as `out` has room for. After [`Received::Asleep`] the notifier is
    /// called once, when there is something.
    ///
    /// # Errors
    /// [`Code::Internal`]: `to` is not for callers to name.
    pub fn receive(&self, to: (State, Owner), out: &mut [Entry]) -> Result<Received, Error> {
        if reserved(to) {
            let what = format!("{}, {:?} cannot receive slots", to.0.name(), to.1);
            return Err(Error::new(Code::Internal, what));
        }
        let received = self.channel.lane.take(self.channel.core.protocol(), to, out);
        if let Received::Some(count) = received {
            self.channel.received.fetch_add(count as u64, Ordering::Relaxed);
        }
        Ok(received)
    }

    /// The channel.
    pub fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.channel.lane.leave(self.key);
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("channel", &self.channel).finish_non_exhaustive()
    }
}
