//! Random programs on a shared pool and on a plain model of it, audited after each step.

mod world;

use proptest::prelude::*;
use world::{MEMBERS, SIZE, Step, World};

fn step() -> impl Strategy<Value = Step> {
    let member = || 0..MEMBERS;
    let which = any::<usize>;
    prop_oneof![
        6 => member().prop_map(Step::Pop),
        6 => which().prop_map(Step::Push),
        1 => (which(), any::<bool>()).prop_map(|(which, good)| Step::Quarantine(which, good)),
        8 => member().prop_map(Step::Wait),
        3 => (member(), which()).prop_map(|(member, which)| Step::Cancel(member, which)),
        5 => member().prop_map(Step::Events),
        4 => (which(), 0..SIZE as u32 + 2).prop_map(|(which, length)| Step::Transfer(which, length)),
        4 => (member(), which()).prop_map(|(member, which)| Step::Adopt(member, which)),
        2 => which().prop_map(Step::CancelTicket),
        4 => (which(), 0..SIZE as u32 + 2, any::<bool>())
            .prop_map(|(which, length, copied)| Step::Send(which, length, copied)),
        3 => member().prop_map(Step::Receive),
        1 => any::<bool>().prop_map(|late| Step::Sweep { late }),
        2 => member().prop_map(Step::LeaveOrJoin),
        1 => Just(Step::Close),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_shared_pool_does_what_a_plain_model_does(
        capacity in prop_oneof![1_u32..6, Just(63), Just(512)],
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new(capacity);
        for step in steps {
            world.run(step);
            world.check();
        }
    }
}
