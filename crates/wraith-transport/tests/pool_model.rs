//! Random programs on a pool and on a plain model of it, audited after every step.

use std::collections::BTreeMap;

use proptest::prelude::*;
use wraith_transport::memory::{Dirty, Holding, MemoryOptions, Owner, State};
use wraith_transport::pool::{Exhausted, PoolCore};
use wraith_transport::{Buffer, BufferPool, Code};

const CAPACITY: u32 = 18;
const SIZE: usize = 96;

/// The words that user code may name.
type Word = (State, Owner);

#[derive(Clone, Debug)]
enum Step {
    Acquire {
        write: bool,
    },
    Release(usize),
    Pop(Word),
    PopInto(Word, usize),
    Exchange {
        slot: u32,
        from: Word,
        to: Word,
    },
    Push {
        slot: u32,
        from: Word,
        dirty: Dirty,
    },
    /// As `Exchange` and `Push`, from the word that is there.
    HandOn {
        slot: u32,
        to: Word,
    },
    BringHome(u32),
    Reclaim(Owner),
    Close,
}

fn owner() -> impl Strategy<Value = Owner> {
    prop_oneof![Just(Owner::NONE), Just(Owner::RUST), (1_u32..4).prop_map(|n| Owner::new(n).unwrap())]
}

fn word() -> impl Strategy<Value = Word> {
    (proptest::sample::select(&State::ALL[..]), owner())
}

/// Some slots do not exist.
fn slot() -> impl Strategy<Value = u32> {
    0..CAPACITY + 1
}

fn step() -> impl Strategy<Value = Step> {
    let dirty = || {
        let range = (any::<u32>(), any::<u32>()).prop_map(|(start, len)| Dirty::Range { start, len });
        prop_oneof![Just(Dirty::Nothing), Just(Dirty::All), range]
    };
    prop_oneof![
        6 => any::<bool>().prop_map(|write| Step::Acquire { write }),
        4 => any::<usize>().prop_map(Step::Release),
        6 => word().prop_map(Step::Pop),
        1 => (word(), 0_usize..9).prop_map(|(to, n)| Step::PopInto(to, n)),
        2 => (slot(), word(), word()).prop_map(|(slot, from, to)| Step::Exchange { slot, from, to }),
        2 => (slot(), word(), dirty()).prop_map(|(slot, from, dirty)| Step::Push { slot, from, dirty }),
        4 => (slot(), word()).prop_map(|(slot, to)| Step::HandOn { slot, to }),
        4 => slot().prop_map(Step::BringHome),
        1 => owner().prop_map(Step::Reclaim),
        1 => Just(Step::Close),
    ]
}

/// Who holds what: slots that are in neither map are at home.
#[derive(Default)]
struct Model {
    named: BTreeMap<u32, Word>,
    buffers: Vec<Buffer>,
    closed: bool,
}

impl Model {
    fn at_home(&self) -> u32 {
        CAPACITY - self.named.len() as u32 - self.buffers.len() as u32
    }

    fn is_buffer(&self, slot: u32) -> bool {
        self.buffers.iter().any(|buffer| buffer.slot() == Some(slot))
    }

    fn is_at_home(&self, slot: u32) -> bool {
        slot < CAPACITY && !self.named.contains_key(&slot) && !self.is_buffer(slot)
    }

    fn may_pop(&self, to: Word) -> bool {
        !self.closed && to.0 != State::Free && self.at_home() > 0
    }

    /// The code of the refusal, or `None` when the slot is `from`'s and may leave it.
    fn refusal(&self, slot: u32, word: Option<Holding>, from: Word, to: Option<Word>) -> Option<Code> {
        let Some(word) = word else {
            assert!(slot >= CAPACITY);
            return Some(Code::Internal);
        };
        let there = match self.named.get(&slot) {
            Some(&there) => there,
            // At home, or lent to a buffer, or in a thread's cache, where it looks as if it were lent.
            None => (word.state, word.owner),
        };
        if there != from {
            Some(Code::StaleBuffer)
        } else if from.0 == State::Free || to.is_some_and(|to| to.0 == State::Free) {
            Some(Code::Internal)
        } else {
            None
        }
    }

    /// A word that stands between holders may have no owner, all others need one.
    fn is_sound(word: Word) -> bool {
        word.1 != Owner::NONE || matches!(word.0, State::Transit | State::Retiring | State::Quarantined)
    }

    fn check(&self, core: &PoolCore) {
        let audit = core.audit();
        let named = |state| self.named.values().filter(|word| word.0 == state).count() as u32;
        assert_eq!(audit.total(), CAPACITY, "{audit:?}");
        assert_eq!(audit.queued, audit.free, "{audit:?}");
        assert_eq!(core.available(), self.at_home());
        let [cached, lent] = [named(State::Cached), named(State::Lent) + self.buffers.len() as u32];
        // Slots that are at home may rest in this thread's cache.
        assert_eq!(audit.free + audit.cached, self.at_home() + cached, "{audit:?}");
        assert_eq!(audit.lent, lent, "{audit:?}");
        assert_eq!(audit.posted, named(State::Posted));
        assert_eq!(audit.op, named(State::Op));
        assert_eq!(audit.transit, named(State::Transit));
        assert_eq!(audit.retiring, named(State::Retiring));
        assert_eq!(audit.quarantined, named(State::Quarantined));
        let unsound = self.named.values().filter(|&&word| !Model::is_sound(word)).count();
        assert_eq!(audit.problems.len(), unsound, "{audit:?}");
        for (&slot, &word) in &self.named {
            let holding = core.holding(slot).unwrap();
            assert_eq!((holding.state, holding.owner), word);
        }
    }
}

fn take(core: &PoolCore, model: &mut Model, slot: u32, to: Word) {
    assert!(model.is_at_home(slot), "slot {slot} was given out twice");
    assert!(core.holding(slot).is_some());
    model.named.insert(slot, to);
}

fn run(pool: &BufferPool, model: &mut Model, step: Step) {
    let core = pool.core();
    match step {
        Step::Acquire { write } => match pool.try_acquire() {
            Ok(mut buffer) => {
                assert!(!model.closed && model.at_home() > 0);
                let slot = buffer.slot().unwrap();
                assert!(model.is_at_home(slot), "slot {slot} was given out twice");
                assert!(buffer.iter().all(|&byte| byte == 0));
                if write {
                    buffer.fill(slot as u8 + 1);
                }
                model.buffers.push(buffer);
            }
            Err(error) => {
                let expected = if model.closed { Code::PoolClosed } else { Code::PoolExhausted };
                assert_eq!(error.code(), expected);
                assert!(model.closed || model.at_home() == 0);
            }
        },
        Step::Release(which) => {
            if !model.buffers.is_empty() {
                let buffer = model.buffers.swap_remove(which % model.buffers.len());
                let slot = buffer.slot().unwrap() as u8;
                assert!(buffer.iter().all(|&b| b == 0) || buffer.iter().all(|&b| b == slot + 1));
                pool.release(buffer);
            }
        }
        Step::Pop(to) => match core.pop(to) {
            Some(slot) => {
                assert!(model.may_pop(to));
                take(core, model, slot, to);
            }
            None => assert!(!model.may_pop(to)),
        },
        Step::PopInto(to, wanted) => {
            let mut out = vec![u32::MAX; wanted];
            let taken = core.pop_into(to, &mut out);
            let may = if model.may_pop(to) { model.at_home() as usize } else { 0 };
            assert_eq!(taken, wanted.min(may));
            out[..taken].iter().for_each(|&slot| take(core, model, slot, to));
            assert!(out[taken..].iter().all(|&slot| slot == u32::MAX));
        }
        Step::Exchange { slot, from, to } => exchange(core, model, slot, from, to),
        Step::Push { slot, from, dirty } => push(core, model, slot, from, dirty),
        Step::HandOn { slot, to } => {
            if let Some(&from) = model.named.get(&slot) {
                exchange(core, model, slot, from, to);
            }
        }
        Step::BringHome(slot) => {
            if let Some(&from) = model.named.get(&slot) {
                push(core, model, slot, from, Dirty::All);
            }
        }
        Step::Reclaim(owner) => {
            let before = model.named.len();
            model.named.retain(|_, word| {
                let stays = word.0 == State::Quarantined && owner == Owner::NONE;
                let states = [State::Cached, State::Lent, State::Posted, State::Quarantined];
                word.1 != owner || stays || !states.contains(&word.0)
            });
            assert_eq!(core.reclaim(owner) as usize, before - model.named.len());
        }
        Step::Close => {
            assert_eq!(pool.close(), !model.closed);
            model.closed = true;
        }
    }
}

fn exchange(core: &PoolCore, model: &mut Model, slot: u32, from: Word, to: Word) {
    let before = core.holding(slot);
    match core.exchange(slot, from, to) {
        Ok(generation) => {
            assert_eq!(model.refusal(slot, before, from, Some(to)), None);
            let ticket = u32::from(to.0 == State::Transit);
            assert_eq!(before.unwrap().generation + ticket, generation);
            model.named.insert(slot, to);
        }
        Err(error) => {
            assert_eq!(Some(error.code()), model.refusal(slot, before, from, Some(to)), "{error}");
            assert!(error.message().contains(&format!("lot {slot} ")), "{error}");
            assert_eq!(core.holding(slot), before);
        }
    }
}

fn push(core: &PoolCore, model: &mut Model, slot: u32, from: Word, dirty: Dirty) {
    let before = core.holding(slot);
    match core.push(slot, from, dirty) {
        Ok(()) => {
            assert_eq!(model.refusal(slot, before, from, None), None);
            assert_eq!(core.holding(slot).unwrap().generation, before.unwrap().generation + 1);
            model.named.remove(&slot);
        }
        Err(error) => {
            assert_eq!(Some(error.code()), model.refusal(slot, before, from, None), "{error}");
            assert_eq!(core.holding(slot), before);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_pool_does_what_a_plain_model_does(steps in proptest::collection::vec(step(), 1..120)) {
        let pool = BufferPool::builder(SIZE, CAPACITY as usize).on_exhausted(Exhausted::Fail).build().unwrap();
        let mut model = Model::default();
        for step in steps {
            run(&pool, &mut model, step);
            model.check(pool.core());
        }
        for slot in 0..CAPACITY {
            if let Some(from) = model.named.remove(&slot) {
                pool.core().push(slot, from, Dirty::All).unwrap();
            }
        }
        model.buffers.clear();
        assert!(pool.audit().is_ok(), "{:?}", pool.audit());
        assert_eq!(pool.available(), CAPACITY as usize);
    }

    #[test]
    fn fallback_buffers_are_counted_and_limited(capacity in 1_usize..5, most in 0_u32..5, asked in 1_usize..14) {
        let pool = BufferPool::builder(SIZE, capacity).max_fallback(most).build().unwrap();
        let results: Vec<_> = (0..asked).map(|_| pool.try_acquire()).collect();
        let got = results.iter().filter(|result| result.is_ok()).count();
        prop_assert_eq!(got, asked.min(capacity + most as usize));
        let counted = pool.snapshot();
        prop_assert_eq!(counted.fallbacks_alive as usize, got.saturating_sub(capacity));
        prop_assert_eq!(counted.exhaustions as usize, asked.saturating_sub(capacity));
        prop_assert_eq!(counted.total_acquires as usize, asked);
        drop(results);
        let counted = pool.snapshot();
        prop_assert_eq!(counted.fallbacks_alive, 0);
        prop_assert_eq!(counted.releases + counted.fallback_releases, got as f64);
        prop_assert_eq!(pool.available(), capacity);
    }
}

#[test]
fn a_buffers_slot_cannot_be_taken_from_it() {
    let core = BufferPool::new(SIZE, 1);
    let buffer = core.acquire();
    let core = core.core();
    let word = core.holding(0).unwrap();
    let named = (word.state, word.owner);
    assert_eq!(core.push(0, named, Dirty::All).unwrap_err().code(), Code::Internal);
    assert_eq!(core.exchange(0, named, (State::Lent, Owner::RUST)).unwrap_err().code(), Code::Internal);
    assert_eq!(core.reclaim(word.owner), 0);
    assert_eq!(core.holding(0), Some(word));
    drop(buffer);
    assert_eq!(core.pop(named), None);
    assert_eq!(core.available(), 1);
}

#[test]
fn a_dead_owners_slots_come_home_but_for_operations_under_way() {
    let core = PoolCore::new(64, 1, &MemoryOptions::default()).unwrap();
    let dead = Owner::new(7).unwrap();
    let slot = core.pop((State::Lent, dead)).unwrap();
    core.exchange(slot, (State::Lent, dead), (State::Op, dead)).unwrap();
    assert_eq!(core.reclaim(dead), 0, "an operation under way keeps its slot");
    core.exchange(slot, (State::Op, dead), (State::Posted, dead)).unwrap();
    assert_eq!(core.reclaim(dead), 1);
    assert_eq!(core.snapshot().reclaimed, 1.0);
    assert!(core.audit().is_ok());
}
