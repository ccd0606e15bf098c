//! Who holds a slot: one atomic word per slot, changed only by compare-and-swap.
//!
//! A word is `state` (bits 63..56), `owner` (bits 55..32) and `generation` (bits 31..0). The word is the only
//! authority on ownership: whoever wins the exchange owns the slot's bytes, whoever loses must not touch them.

use std::fmt;

use crate::sync::atomic::{AtomicU64, Ordering};

/// What a slot is being used for.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// At home: in the free list, or on its way there in the thread that released it.
    Free = 0,
    /// In an isolate's magazine or a thread's cache.
    Cached = 1,
    /// In the hands of user code.
    Lent = 2,
    /// Given to the kernel to receive into or to send from.
    Posted = 3,
    /// Used by a native operation that is under way; comes home when that completes.
    Op = 4,
    /// A ticket on its way to another holder.
    Transit = 5,
    /// Given back by a kernel queue that may still write to it.
    Retiring = 6,
    /// Lost by its holder; never used again because a forgotten view may still refer to it.
    Quarantined = 7,
}

impl State {
    /// Every state, in the order of their numbers.
    pub const ALL: [State; 8] = [
        State::Free,
        State::Cached,
        State::Lent,
        State::Posted,
        State::Op,
        State::Transit,
        State::Retiring,
        State::Quarantined,
    ];

    /// The word in the lower case that audits and dumps use.
    pub const fn name(self) -> &'static str {
        match self {
            State::Free => "free",
            State::Cached => "cached",
            State::Lent => "lent",
            State::Posted => "posted",
            State::Op => "op",
            State::Transit => "transit",
            State::Retiring => "retiring",
            State::Quarantined => "quarantined",
        }
    }
}

/// Who holds a slot: a number of 24 bits, given out by whoever registers holders.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner(u32);

impl Owner {
    /// Nobody: the owner of a free slot.
    pub const NONE: Owner = Owner(0);
    /// Rust code that keeps slot numbers, other than a [`Buffer`](crate::Buffer).
    pub const RUST: Owner = Owner(Owner::MASK);
    /// A [`Buffer`](crate::Buffer). It hands out references to its bytes, so nobody else may take its
    /// slot: the public methods of the pool refuse this owner.
    pub(crate) const BUFFER: Owner = Owner(Owner::MASK - 1);
    /// The largest number that [`Owner::new`] takes.
    #[cfg(all(unix, not(loom)))]
    pub(crate) const LARGEST: u32 = Owner::BUFFER.0 - 1;
    const MASK: u32 = 0x00ff_ffff;

    /// An owner with this number: 1 to 16,777,213. `None` outside of that: 0 is [`Owner::NONE`], the largest
    /// numbers are the library's own.
    pub const fn new(number: u32) -> Option<Owner> {
        if number == 0 || number >= Owner::BUFFER.0 { None } else { Some(Owner(number)) }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Owner::NONE => f.write_str("nobody"),
            Owner::RUST => f.write_str("rust"),
            Owner::BUFFER => f.write_str("a Buffer"),
            Owner(number) => write!(f, "owner {number}"),
        }
    }
}

/// A decoded word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// What the slot is used for.
    pub state: State,
    /// Who holds it.
    pub owner: Owner,
    /// How often the slot has come home or become a ticket, modulo 2^32.
    pub generation: u32,
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}, {:?}, generation {}}}", self.state.name(), self.owner, self.generation)
    }
}

impl Holding {
    const fn encode(self) -> u64 {
        (self.state as u64) << 56 | (self.owner.0 as u64) << 32 | self.generation as u64
    }

    const fn decode(word: u64) -> Holding {
        let state = match (word >> 56) as u8 {
            0 => State::Free,
            1 => State::Cached,
            2 => State::Lent,
            3 => State::Posted,
            4 => State::Op,
            5 => State::Transit,
            6 => State::Retiring,
            // Only `encode` makes words, so this is 7.
            _ => State::Quarantined,
        };
        Holding { state, owner: Owner((word >> 32) as u32 & Owner::MASK), generation: word as u32 }
    }
}

/// The words of all slots of one slab.
pub struct OwnerTable {
    words: Box<[AtomicU64]>,
}

impl OwnerTable {
    /// A table of `count` free slots of generation 0.
    pub fn new(count: u32) -> OwnerTable {
        OwnerTable { words: (0..count).map(|_| AtomicU64::new(0)).collect() }
    }

    /// How many slots the table has.
    pub fn count(&self) -> u32 {
        self.words.len() as u32
    }

    /// The slot's word as it is now; another thread may change it at once. `None`: no such slot.
    pub fn load(&self, slot: u32) -> Option<Holding> {
        // Acquire: who sees a slot come home in a scan also sees what was done to it before.
        self.words.get(slot as usize).map(|word| Holding::decode(word.load(Ordering::Acquire)))
    }

    /// Hands the slot from one holder to the next and returns the new word's generation: the old one, or the
    /// next when `to` is [`State::Free`] or [`State::Transit`].
    ///
    /// # Errors
    /// The word that was found when it is not `from`'s; nothing has been changed then. `None`: no such slot.
    #[inline]
    pub fn exchange(
        &self,
        slot: u32,
        from: (State, Owner),
        to: (State, Owner),
    ) -> Result<u32, Option<Holding>> {
        let word = self.words.get(slot as usize).ok_or(None)?;
        // Relaxed: only a guess for the exchange below, which decides.
        let found = word.load(Ordering::Relaxed);
        let holding = Holding::decode(found);
        if (holding.state, holding.owner) != from {
            return Err(Some(holding));
        }
        OwnerTable::hand_over(word, found, to)
    }

    /// As [`OwnerTable::exchange`] from exactly this word, the generation included: what a ticket shows.
    ///
    /// # Errors
    /// As [`OwnerTable::exchange`].
    pub fn exchange_exact(
        &self,
        slot: u32,
        from: Holding,
        to: (State, Owner),
    ) -> Result<u32, Option<Holding>> {
        let word = self.words.get(slot as usize).ok_or(None)?;
        OwnerTable::hand_over(word, from.encode(), to)
    }

    #[inline]
    fn hand_over(word: &AtomicU64, found: u64, to: (State, Owner)) -> Result<u32, Option<Holding>> {
        let generation = match to.0 {
            // A ticket of an earlier journey must not be good for this one.
            State::Free | State::Transit => (found as u32).wrapping_add(1),
            _ => found as u32,
        };
        let wanted = Holding { state: to.0, owner: to.1, generation }.encode();
        // Release: what the old holder did to the bytes comes before the hand-over. Acquire: the new holder
        // sees it. A failed exchange hands nothing over, its word is only reported: Relaxed. It is not tried
        // again: a word that changed under a rightful holder means that it was not the rightful holder.
        match word.compare_exchange(found, wanted, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => Ok(generation),
            Err(now) => Err(Some(Holding::decode(now))),
        }
    }
}

impl fmt::Debug for OwnerTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerTable").field("count", &self.count()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn owner(number: u32) -> Owner {
        Owner::new(number).unwrap()
    }

    #[test]
    fn words_carry_state_owner_and_generation() {
        for state in State::ALL {
            for owner in [Owner::NONE, Owner::RUST, Owner::BUFFER, owner(1), owner(0x00ab_cdef)] {
                for generation in [0, 1, u32::MAX] {
                    let holding = Holding { state, owner, generation };
                    assert_eq!(Holding::decode(holding.encode()), holding);
                }
            }
        }
        let word = Holding { state: State::Op, owner: owner(0x12_3456), generation: 0x89ab_cdef }.encode();
        assert_eq!(word, 0x0412_3456_89ab_cdef);
    }

    #[test]
    fn owners_are_24_bit_numbers_without_the_librarys_own() {
        assert_eq!(Owner::new(0), None);
        assert_eq!(Owner::new(1).map(Owner::get), Some(1));
        assert_eq!(Owner::new(16_777_213).map(Owner::get), Some(16_777_213));
        for number in [16_777_214, 16_777_215, 16_777_216, u32::MAX] {
            assert_eq!(Owner::new(number), None);
        }
    }

    #[test]
    fn only_the_word_that_is_there_can_be_exchanged() {
        let owners = [Owner::NONE, Owner::RUST, owner(1), owner(2)];
        let words = || State::ALL.into_iter().flat_map(|state| owners.map(|owner| (state, owner)));
        for right in words() {
            for wrong in words().filter(|&word| word != right) {
                let table = OwnerTable::new(1);
                // From the first word to itself is an exchange like any other, but for the generation.
                table.exchange(0, (State::Free, Owner::NONE), right).unwrap();
                let before = table.load(0).unwrap();
                let to = (State::Lent, owner(9));
                assert_eq!(table.exchange(0, wrong, to), Err(Some(before)), "{right:?} from {wrong:?}");
                assert_eq!(table.load(0), Some(before));
                table.exchange(0, right, to).unwrap();
                let now = table.load(0).unwrap();
                assert_eq!((now.state, now.owner), to);
            }
        }
    }

    #[test]
    fn the_generation_counts_homecomings_and_wraps() {
        let table = OwnerTable::new(2);
        let (home, lent, op) = ((State::Free, Owner::NONE), (State::Lent, owner(1)), (State::Op, owner(1)));
        assert_eq!(table.exchange(1, home, lent), Ok(0));
        assert_eq!(table.exchange(1, lent, op), Ok(0));
        assert_eq!(table.exchange(1, op, home), Ok(1));
        assert_eq!(table.exchange(1, home, lent), Ok(1));
        table.words[1].store(
            Holding { state: State::Lent, owner: owner(1), generation: u32::MAX }.encode(),
            Ordering::Relaxed,
        );
        assert_eq!(table.exchange(1, lent, home), Ok(0));
        assert_eq!(table.load(0).map(|word| word.generation), Some(0));
    }

    #[test]
    fn a_slot_that_does_not_exist_is_nobodys() {
        let table = OwnerTable::new(3);
        assert_eq!(table.load(3), None);
        assert_eq!(table.exchange(3, (State::Free, Owner::NONE), (State::Lent, owner(1))), Err(None));
        assert_eq!(table.exchange(u32::MAX, (State::Free, Owner::NONE), (State::Lent, owner(1))), Err(None));
    }
}
