//! What a member of a shared pool (an isolate, a socket) sees of the queue.

/// How a member learns that there is something for it to look at.
pub trait Notify: Send + Sync {
    /// There are deliveries or events: have [`events`](super::Attachment::events) called soon.
    ///
    /// Called from any thread, with a lock of the pool held: it must neither block, nor panic, nor call into the
    /// pool. Not called again before `events` was, and never after the member has left.
    fn notify(&self);
}

/// Names a wait within its pool; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaitId(u64);

impl WaitId {
    /// The id with this number, for a binding that has passed the number through another language. One that was
    /// never given out names nothing.
    pub const fn new(number: u64) -> WaitId {
        WaitId(number)
    }

    /// The number: counts from 1 on, so it stays exact in a double for 2^53 waits.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A slot for one who waited. Its word says {cached, the member's owner}, and it is full of zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The wait that it ends.
    pub wait: WaitId,
    /// The slot.
    pub slot: u32,
}

/// What happened since a member last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Somebody has begun to wait: bring home what the magazine holds.
    pub flush: bool,
    /// The pool was closed: every wait that has no delivery is over.
    pub closed: bool,
    /// The pool is closed and every slot is home, but for those in quarantine.
    pub home: bool,
}

/// What asking for a slot came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// There was one: {cached, the member's owner}.
    Granted(u32),
    /// There was none: it comes as a [`Delivery`].
    Waiting(WaitId),
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Keeps slots in a magazine: counts in the limit, and is asked to flush.
    Isolate,
    /// Takes slots only to use them.
    Source,
}

/// Names a member within its pool; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberKey(u64);

impl MemberKey {
    pub(super) const fn new(number: u64) -> MemberKey {
        MemberKey(number)
    }
}
