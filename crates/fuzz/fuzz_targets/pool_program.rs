//! Random programs on a pool and on a plain model of it, audited after every step: no slot is given out twice, none is
//! lost, refusals change nothing, and what is given out is full of zeros.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use wraith_fuzz::{Program, Word, assert_all_home, fill, slot_bytes};
use wraith_transport::memory::{Dirty, Owner, State};
use wraith_transport::pool::{Exhausted, PoolCore};
use wraith_transport::{Buffer, BufferPool, Code};

const CAPACITY: u32 = 18;
const SIZE: usize = 96;

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

    fn is_at_home(&self, slot: u32) -> bool {
        let buffer = self.buffers.iter().any(|buffer| buffer.slot() == Some(slot));
        slot < CAPACITY && !buffer && !self.named.contains_key(&slot)
    }

    fn may_pop(&self, to: Word) -> bool {
        !self.closed && to.0 != State::Free && self.at_home() > 0
    }

    fn take(&mut self, core: &PoolCore, slot: u32, to: Word) {
        assert!(self.is_at_home(slot), "slot {slot} was given out twice");
        assert!(slot_bytes(core, slot).iter().all(|&byte| byte == 0), "slot {slot} was given out dirty");
        self.named.insert(slot, to);
    }

    /// Whether the slot is `from`'s and may leave it.
    fn allows(&self, slot: u32, from: Word, to: Option<Word>) -> bool {
        self.named.get(&slot) == Some(&from) && to.is_none_or(|to| to.0 != State::Free)
    }

    fn check(&self, core: &PoolCore) {
        let audit = core.audit();
        let named = |state| self.named.values().filter(|word| word.0 == state).count() as u32;
        assert_eq!(audit.total(), CAPACITY, "{audit:?}");
        assert_eq!(audit.queued, audit.free, "{audit:?}");
        assert_eq!(core.available(), self.at_home(), "{audit:?}");
        assert_eq!(audit.free + audit.cached, self.at_home() + named(State::Cached), "{audit:?}");
        assert_eq!(audit.lent, named(State::Lent) + self.buffers.len() as u32, "{audit:?}");
        let counted = [audit.posted, audit.op, audit.transit, audit.retiring, audit.quarantined];
        let states = [State::Posted, State::Op, State::Transit, State::Retiring, State::Quarantined];
        assert_eq!(counted, states.map(named), "{audit:?}");
        for (&slot, &word) in &self.named {
            let holding = core.holding(slot).expect("the slot exists");
            assert_eq!((holding.state, holding.owner), word);
        }
    }
}

fn push(core: &PoolCore, model: &mut Model, slot: u32, from: Word, dirty: Dirty) {
    let before = core.holding(slot);
    // A slot whose holder says that it is clean must be.
    let allowed = model.allows(slot, from, None);
    if allowed && dirty == Dirty::All {
        fill(core, slot, 0xa5);
    }
    match core.push(slot, from, dirty) {
        Ok(()) => {
            assert!(allowed);
            let generation = before.expect("the slot exists").generation;
            assert_eq!(core.holding(slot).map(|word| word.generation), Some(generation + 1));
            model.named.remove(&slot);
        }
        Err(error) => {
            assert!(!allowed, "{error}");
            assert_eq!(core.holding(slot), before);
        }
    }
}

fn exchange(core: &PoolCore, model: &mut Model, slot: u32, from: Word, to: Word) {
    let before = core.holding(slot);
    match core.exchange(slot, from, to) {
        Ok(generation) => {
            assert!(model.allows(slot, from, Some(to)));
            let ticket = u32::from(to.0 == State::Transit);
            assert_eq!(before.map(|word| word.generation + ticket), Some(generation));
            model.named.insert(slot, to);
        }
        Err(error) => {
            assert!(!model.allows(slot, from, Some(to)), "{error}");
            assert_eq!(core.holding(slot), before);
        }
    }
}

fn step(pool: &BufferPool, model: &mut Model, kind: u8, program: &mut Program<'_>) {
    let core = pool.core();
    // One that does not exist, too.
    let slot = |program: &mut Program<'_>| u32::from(program.byte()) % (CAPACITY + 1);
    match kind % 11 {
        0 | 1 => match pool.try_acquire() {
            Ok(mut buffer) => {
                let slot = buffer.slot().expect("the policy allows no fallback");
                assert!(!model.closed && model.is_at_home(slot), "slot {slot} was given out twice");
                assert!(buffer.iter().all(|&byte| byte == 0), "slot {slot} was given out dirty");
                if kind % 11 == 0 {
                    buffer.fill(0x5a);
                }
                model.buffers.push(buffer);
            }
            Err(error) => {
                assert!(model.closed || model.at_home() == 0, "{error}");
                let code = if model.closed { Code::PoolClosed } else { Code::PoolExhausted };
                assert_eq!(error.code(), code);
            }
        },
        2 | 3 => {
            let which = usize::from(program.byte());
            if !model.buffers.is_empty() {
                let which = which % model.buffers.len();
                drop(model.buffers.swap_remove(which));
            }
        }
        4 => {
            let to = program.word();
            match core.pop(to) {
                Some(slot) => {
                    assert!(model.may_pop(to));
                    model.take(core, slot, to);
                }
                None => assert!(!model.may_pop(to)),
            }
        }
        5 => {
            let (to, wanted) = (program.word(), usize::from(program.byte() % 24));
            let mut out = vec![u32::MAX; wanted];
            let taken = core.pop_into(to, &mut out);
            let may = if model.may_pop(to) { model.at_home() as usize } else { 0 };
            assert_eq!(taken, wanted.min(may));
            out[..taken].iter().for_each(|&slot| model.take(core, slot, to));
        }
        6 => {
            let (slot, from, to) = (slot(program), program.word(), program.word());
            exchange(core, model, slot, from, to);
        }
        7 => {
            let (slot, from, dirty) = (slot(program), program.word(), program.dirty());
            push(core, model, slot, from, dirty);
        }
        8 => {
            let (slot, to) = (slot(program), program.word());
            if let Some(&from) = model.named.get(&slot) {
                exchange(core, model, slot, from, to);
            }
        }
        9 => {
            let slot = slot(program);
            if let Some(&from) = model.named.get(&slot) {
                push(core, model, slot, from, Dirty::All);
            }
        }
        _ => match program.byte() {
            // Rare, or every program would soon have nothing to do.
            255 => {
                assert_eq!(pool.close(), !model.closed);
                model.closed = true;
            }
            other => {
                let owner = Program(&[other]).word().1;
                let before = model.named.len();
                model.named.retain(|_, (state, holder)| {
                    let stays = *state == State::Quarantined && owner == Owner::NONE;
                    let states = [State::Cached, State::Lent, State::Posted, State::Quarantined];
                    *holder != owner || stays || !states.contains(state)
                });
                assert_eq!(core.reclaim(owner) as usize, before - model.named.len());
            }
        },
    }
}

fuzz_target!(|bytes: &[u8]| {
    let builder = BufferPool::builder(SIZE, CAPACITY as usize).on_exhausted(Exhausted::Fail);
    let pool = builder.build().expect("a small pool can be had");
    let mut model = Model::default();
    let mut program = Program(bytes);
    while let Some(kind) = program.next() {
        step(&pool, &mut model, kind, &mut program);
        model.check(pool.core());
    }
    for (slot, from) in std::mem::take(&mut model.named) {
        pool.core().push(slot, from, Dirty::All).expect("the slot is its holder's");
    }
    model.buffers.clear();
    assert_all_home(pool.core());
});
