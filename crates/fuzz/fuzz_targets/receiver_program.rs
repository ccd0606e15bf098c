//! Random programs of sending, receiving, taking, finishing and shedding over loopback, against a plain model: packets
//! arrive once and whole, every slot is where the model says, and nothing comes home dirty.
#![no_main]

use std::net::UdpSocket as Sender;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use wraith_fuzz::{Program, Word, assert_all_home, slot_bytes};
use wraith_transport::Code;
use wraith_transport::memory::{Dirty, MemoryOptions, Owner, State};
use wraith_transport::pool::PoolCore;
use wraith_transport::udp::{Backend, Received, Receiver, ReceiverOptions, UdpOptions, UdpSocket, row_flags};

const CAPACITY: u32 = 9;
const SIZE: usize = 64;
/// Far below the smallest receive buffer.
const MOST_PENDING: usize = 24;

struct Rig {
    core: Arc<PoolCore>,
    socket: Arc<UdpSocket>,
    senders: [Sender; 2],
    options: ReceiverOptions,
    /// Sent and not received: by which sender, and what.
    pending: Vec<(usize, Vec<u8>)>,
    /// Rows of the batch that is out: the packet, and whether it was taken.
    batch: Vec<(Vec<u8>, bool)>,
    /// Slots that were taken, with their packets, or popped.
    mine: Vec<(u32, Vec<u8>)>,
}

fn mine() -> Word {
    (State::Cached, Owner::RUST)
}

fn shown(packet: &[u8]) -> &[u8] {
    &packet[..packet.len().min(SIZE)]
}

impl Rig {
    fn send(&mut self, program: &mut Program<'_>) {
        let (len, value) = (usize::from(program.byte()) % 100, program.byte());
        if self.pending.len() < MOST_PENDING {
            let packet: Vec<u8> = (0..len).map(|at| value.wrapping_add(at as u8) | 1).collect();
            let from = usize::from(value & 1);
            assert_eq!(self.senders[from].send(&packet).ok(), Some(len));
            self.pending.push((from, packet));
        }
    }

    /// Loopback delivers before `send` returns, unless the kernel leaves it to a thread of its own.
    fn receive(&mut self, receiver: &mut Receiver) {
        let batch_was_out = !self.batch.is_empty();
        let held = receiver.held();
        let vector = (held + self.core.available() as usize).min(self.options.batch_size);
        let wanted =
            self.pending.iter().any(|(_, packet)| !self.options.drop_truncated || packet.len() <= SIZE);
        loop {
            match receiver.receive() {
                Received::Failed(error) => {
                    assert!(batch_was_out, "{error}");
                    return assert_eq!(error.code(), Code::Internal);
                }
                Received::Starved => return assert!(vector == 0 && !batch_was_out),
                Received::Empty if wanted => std::thread::yield_now(),
                Received::Empty => {
                    // What was left out may have been taken off the socket, or may come later and is left out then.
                    return assert!(!batch_was_out && vector > 0);
                }
                Received::Rows { rows, .. } => {
                    assert!(!batch_was_out && 0 < rows && rows <= vector, "{rows} rows of {vector}");
                    return self.take_in(receiver);
                }
            }
        }
    }

    fn take_in(&mut self, receiver: &Receiver) {
        for (index, row) in receiver.rows().iter().enumerate() {
            let bytes = slot_bytes(&self.core, row.slot);
            let (got, beyond) = bytes.split_at(row.length as usize);
            assert!(beyond.iter().all(|&byte| byte == 0), "bytes beyond the packet");
            let source = receiver.source(index).to_socket_addr();
            let sent = self.pending.iter().position(|(from, packet)| {
                packet.len() == row.wire_length as usize
                    && shown(packet) == got
                    && self.senders[*from].local_addr().ok() == source
            });
            let (_, sent) =
                self.pending.remove(sent.expect("a packet came that was not sent, or came twice"));
            assert_eq!(row.flags & row_flags::TRUNCATED != 0, sent.len() > SIZE);
            assert!(!self.options.drop_truncated || sent.len() <= SIZE);
            self.batch.push((sent, false));
        }
    }

    fn take(&mut self, receiver: &mut Receiver, row: usize) {
        let slot = receiver.rows().get(row).map(|row| row.slot);
        let taken = receiver.take(row, mine());
        match (self.batch.get_mut(row), taken) {
            (None, Err(error)) => assert_eq!(error.code(), Code::OutOfRange),
            (Some((_, true)), Err(error)) => assert_eq!(error.code(), Code::StaleBuffer),
            (Some((packet, gone @ false)), Ok(_)) => {
                *gone = true;
                let packet = shown(packet).to_vec();
                self.mine.push((slot.expect("the row has a slot"), packet));
            }
            (row, taken) => panic!("take of {row:?} gave {taken:?}"),
        }
    }

    fn give_back(&mut self, which: usize) {
        if !self.mine.is_empty() {
            let (slot, packet) = self.mine.swap_remove(which % self.mine.len());
            let bytes = slot_bytes(&self.core, slot);
            assert_eq!(&bytes[..packet.len()], &packet[..], "a slot that was taken has changed");
            assert!(bytes[packet.len()..].iter().all(|&byte| byte == 0));
            self.core.push(slot, mine(), Dirty::All).expect("the slot is ours");
        }
    }

    fn check(&self, receiver: &Receiver) {
        let audit = self.core.audit();
        let lent = self.batch.iter().filter(|(_, taken)| !taken).count();
        assert!(audit.problems.is_empty(), "{audit:?}");
        assert_eq!(audit.cached as usize, self.mine.len(), "{audit:?}");
        assert_eq!(audit.lent as usize, lent, "{audit:?}");
        assert_eq!((audit.posted + audit.lent) as usize, receiver.held(), "{audit:?}");
        assert_eq!(audit.free as usize, CAPACITY as usize - self.mine.len() - receiver.held(), "{audit:?}");
        assert_eq!(receiver.rows().len(), self.batch.len());
        assert_eq!(receiver.metrics().snapshot().ownership_faults, 0);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut program = Program(bytes);
    let shape = program.byte();
    let options = ReceiverOptions {
        batch_size: usize::from(shape & 7) + 1,
        drop_truncated: shape & 8 != 0,
        backend: if shape & 16 != 0 { Backend::Recvfrom } else { Backend::Recvmmsg },
        ..ReceiverOptions::default()
    };
    let loopback = "127.0.0.1:0".parse().expect("an address");
    let udp = UdpOptions { timestamps: shape & 32 != 0, ..UdpOptions::at(loopback) };
    let socket = UdpSocket::bind(&udp).expect("loopback has a free port");
    let senders = [(); 2].map(|()| Sender::bind("127.0.0.1:0").expect("loopback has a free port"));
    for sender in &senders {
        sender.connect(socket.local_addr().expect("it is bound")).expect("loopback can be reached");
    }
    let core = PoolCore::new(SIZE, CAPACITY, &MemoryOptions::default()).expect("a small pool can be had");
    let owner = Owner::new(7).expect("a small number is an owner");
    let mut receiver = Receiver::new(Arc::clone(&socket), Arc::clone(&core), owner, options.clone())
        .expect("the options are good");
    let mut rig = Rig { core, socket, senders, options, pending: vec![], batch: vec![], mine: vec![] };
    while let Some(kind) = program.next() {
        match kind % 8 {
            0 | 1 => rig.send(&mut program),
            2 | 3 => rig.receive(&mut receiver),
            4 => rig.take(&mut receiver, usize::from(program.byte() % 10)),
            5 => {
                receiver.finish();
                rig.batch.clear();
            }
            6 => rig.give_back(program.byte().into()),
            _ => match program.byte() {
                keep @ 0..=127 => {
                    let before = receiver.held();
                    let given = receiver.shed(usize::from(keep % 12));
                    rig.batch.clear();
                    assert_eq!(receiver.held(), before - given);
                    assert!(receiver.held() <= usize::from(keep % 12));
                }
                _ => {
                    let popped = rig.core.pop(mine()).map(|slot| (slot, Vec::new()));
                    rig.mine.extend(popped);
                }
            },
        }
        rig.check(&receiver);
    }
    receiver.close();
    while !rig.mine.is_empty() {
        rig.give_back(0);
    }
    assert_all_home(&rig.core);
    assert_eq!(Arc::strong_count(&rig.socket), 1);
});
