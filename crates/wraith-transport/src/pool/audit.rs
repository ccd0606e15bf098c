//! The law, checked: at a quiet point every slot has one holder and the sum is the capacity.

use std::collections::BTreeMap;

use crate::memory::{Owner, OwnerTable, State};

/// Who holds how many slots, from a scan of the owner table, beside the length of the free list.
///
/// Exact at a quiet point. While other threads work the scan sees different slots at different times and may
/// report problems that are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Slots in the pool.
    pub capacity: u32,
    /// Slots at home.
    pub free: u32,
    /// Slots in magazines and thread caches.
    pub cached: u32,
    /// Slots lent to user code.
    pub lent: u32,
    /// Slots given to the kernel.
    pub posted: u32,
    /// Slots used by native operations under way.
    pub op: u32,
    /// Slots on their way between holders.
    pub transit: u32,
    /// Slots that a kernel queue may still write to.
    pub retiring: u32,
    /// Slots lost by their holders and never used again.
    pub quarantined: u32,
    /// Length of the free list.
    pub queued: u32,
    /// What does not add up, in words; empty when all is well.
    pub problems: Vec<String>,
}

/// What one holder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// The holder; [`Owner::NONE`] for tickets and for slots that are out of use for good.
    pub owner: Owner,
    /// How many slots in each state, in the order of [`State::ALL`].
    pub slots: [u32; State::ALL.len()],
}

impl Holdings {
    /// Scans the table for everybody who holds a slot that is not free, by ascending number. Cost: a load and a look into a
    /// map for each slot.
    pub(super) fn of(table: &OwnerTable) -> Vec<Holdings> {
        let mut all: BTreeMap<u32, Holdings> = BTreeMap::new();
        for word in (0..table.count()).filter_map(|slot| table.load(slot)) {
            if word.state != State::Free {
                let none = || Holdings { owner: word.owner, slots: [0; State::ALL.len()] };
                all.entry(word.owner.get()).or_insert_with(none).slots[word.state as usize] += 1;
            }
        }
        all.into_values().collect()
    }

    /// How many slots are held in this state.
    pub fn in_state(&self, state: State) -> u32 {
        self.slots[state as usize]
    }

    /// How many slots are held.
    pub fn total(&self) -> u32 {
        self.slots.iter().sum()
    }
}

impl Audit {
    /// Scans the table. Cost: one load per slot.
    /// `in_magazines` slots read as lent though they are cached: a thread's hand-overs to itself do not change the word.
    pub(super) fn of(table: &OwnerTable, queued: u32, in_magazines: u32) -> Audit {
        let mut audit = Audit { capacity: table.count(), queued, ..Audit::default() };
        for slot in 0..table.count() {
            let Some(holding) = table.load(slot) else { continue };
            let nobodys = holding.owner == Owner::NONE;
            let (counter, right) = match holding.state {
                State::Free => (&mut audit.free, nobodys),
                State::Cached => (&mut audit.cached, !nobodys),
                State::Lent => (&mut audit.lent, !nobodys),
                State::Posted => (&mut audit.posted, !nobodys),
                State::Op => (&mut audit.op, !nobodys),
                // Between holders, or past them: an owner is possible, not needed.
                State::Transit => (&mut audit.transit, true),
                State::Retiring => (&mut audit.retiring, true),
                State::Quarantined => (&mut audit.quarantined, true),
            };
            *counter += 1;
            if !right {
                audit.problems.push(format!("slot {slot} is {holding}"));
            }
        }
        let cached = in_magazines.min(audit.lent);
        audit.lent -= cached;
        audit.cached += cached;
        if audit.free != queued {
            audit.problems.push(format!("{} slots are free, {queued} are in the free list", audit.free));
        }
        audit
    }

    /// The slots of all states together.
    pub fn total(&self) -> u32 {
        let Audit { free, cached, lent, posted, op, transit, retiring, quarantined, .. } = self;
        free + cached + lent + posted + op + transit + retiring + quarantined
    }

    /// Whether the sum is the capacity, the free list holds exactly the free slots, and nothing else is wrong.
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty() && self.total() == self.capacity && self.queued == self.free
    }
}
