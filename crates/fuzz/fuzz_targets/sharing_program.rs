//! Random programs on a shared pool with several members, tickets and a channel, and on a plain model of it, compared after every step:
//! who waits is served in order, a ticket is good once, no slot is lost or given out twice, each is full of zeros.
#![no_main]

#[path = "../../wraith-transport/tests/sharing_model/world.rs"]
mod world;

use libfuzzer_sys::fuzz_target;
use world::{MEMBERS, SIZE, Step, World};
use wraith_fuzz::Program;

/// One byte says what, the others which and by whom.
fn step(kind: u8, program: &mut Program<'_>) -> Step {
    let member = |program: &mut Program<'_>| usize::from(program.byte()) % MEMBERS;
    let which = |program: &mut Program<'_>| usize::from(program.byte());
    match kind % 32 {
        0..4 => Step::Pop(member(program)),
        4 => Step::Send(which(program), u32::from(program.byte()) % (SIZE as u32 + 2), kind > 127),
        5..9 => Step::Push(which(program)),
        9 => Step::Receive(member(program)),
        10 => Step::Quarantine(which(program), kind > 127),
        11..16 => Step::Wait(member(program)),
        16..18 => Step::Cancel(member(program), which(program)),
        18..22 => Step::Events(member(program)),
        22..25 => Step::Transfer(which(program), u32::from(program.byte()) % (SIZE as u32 + 2)),
        25..27 => Step::Adopt(member(program), which(program)),
        27 => Step::CancelTicket(which(program)),
        28 => Step::Sweep { late: kind > 127 },
        29..31 => Step::LeaveOrJoin(member(program)),
        // Rare, or every program would soon have nothing to do.
        _ if program.byte() == 255 => Step::Close,
        _ => Step::Events(0),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut program = Program(bytes);
    let capacity = [1, 2, 3, 5, 63, 512][usize::from(program.byte()) % 6];
    let mut world = World::new(capacity);
    while let Some(kind) = program.next() {
        world.run(step(kind, &mut program));
        world.check();
    }
});
