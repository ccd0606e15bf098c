//! Raw instructions with labels: linux/bpf.h, Documentation/bpf/standardization/instruction-set.rst.

use std::collections::BTreeMap;

use crate::xdp::abi::Instruction;

/// Goes on elsewhere.
const JUMP: u8 = 0x05;
/// Goes on nowhere.
const EXIT: u8 = 0x95;

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Register(u8);

/// What helpers return and programs return.
pub(super) const R0: Register = Register(0);
/// First argument; scratch.
pub(super) const R1: Register = Register(1);
/// Second argument; scratch.
pub(super) const R2: Register = Register(2);
/// Third argument; scratch.
pub(super) const R3: Register = Register(3);
/// Kept over calls: the context.
pub(super) const CONTEXT: Register = Register(6);
/// Kept over calls: the frame's first byte.
pub(super) const DATA: Register = Register(7);
/// Kept over calls: the byte behind its last.
pub(super) const DATA_END: Register = Register(8);
/// Kept over calls: what is known about the packet.
pub(super) const FACTS: Register = Register(9);
/// The stack; grows down.
pub(super) const STACK: Register = Register(10);

/// Bytes to load.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    Byte = 0x10,
    Half = 0x08,
    Word = 0x00,
}

/// A comparison of 32 bits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    /// Equal.
    Eq = 0x10,
    /// Not equal.
    Ne = 0x50,
    /// Any of these bits is set.
    Any = 0x40,
}

/// A place in the program, before or after it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// A program in the making.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    code: Vec<Instruction>,
    /// Where each label is.
    places: Vec<Option<usize>>,
    /// Jumps to be filled in.
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    pub(super) fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// The label is here.
    pub(super) fn place(&mut self, label: Label) {
        debug_assert_eq!(self.places[label.0], None);
        self.places[label.0] = Some(self.code.len());
    }

    fn emit(&mut self, code: u8, to: Register, from: Register, offset: i16, immediate: i32) {
        let registers = if cfg!(target_endian = "little") { from.0 << 4 | to.0 } else { to.0 << 4 | from.0 };
        self.code.push(Instruction { code, registers, offset, immediate });
    }

    /// `to = from`
    pub(super) fn copy(&mut self, to: Register, from: Register) {
        self.emit(0xbf, to, from, 0, 0);
    }

    /// `to = value`
    pub(super) fn set(&mut self, to: Register, value: i32) {
        self.emit(0xb7, to, R0, 0, value);
    }

    /// `to += value`
    pub(super) fn add(&mut self, to: Register, value: i32) {
        self.emit(0x07, to, R0, 0, value);
    }

    /// `to |= value`, 32 bits
    pub(super) fn or(&mut self, to: Register, value: i32) {
        self.emit(0x44, to, R0, 0, value);
    }

    /// `to |= from`, 64 bits
    pub(super) fn or_register(&mut self, to: Register, from: Register) {
        self.emit(0x4f, to, from, 0, 0);
    }

    /// `to &= value`, 32 bits
    pub(super) fn and(&mut self, to: Register, value: i32) {
        self.emit(0x54, to, R0, 0, value);
    }

    /// `to = *(size *)(from + offset)`
    pub(super) fn load(&mut self, size: Size, to: Register, from: Register, offset: i16) {
        self.emit(0x61 | size as u8, to, from, offset, 0);
    }

    /// `*(u32 *)(to + offset) = from`
    pub(super) fn store(&mut self, to: Register, offset: i16, from: Register) {
        self.emit(0x63, to, from, offset, 0);
    }

    /// The lower 16 bits of a register, from the network's order to the machine's.
    pub(super) fn swap_to_host(&mut self, register: Register) {
        self.emit(0xdc, register, R0, 0, 16);
    }

    /// `to` = the map behind a descriptor of this process
    pub(super) fn load_map(&mut self, to: Register, fd: i32) {
        // BPF_PSEUDO_MAP_FD takes the place of the source register; the second half holds nothing.
        self.emit(0x18, to, Register(1), 0, fd);
        self.emit(0, R0, R0, 0, 0);
    }

    pub(super) fn call(&mut self, helper: i32) {
        self.emit(0x85, R0, R0, 0, helper);
    }

    pub(super) fn exit(&mut self) {
        self.emit(EXIT, R0, R0, 0, 0);
    }

    pub(super) fn jump(&mut self, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.emit(JUMP, R0, R0, 0, 0);
    }

    /// Jumps if the comparison of `register` with `value` holds.
    pub(super) fn jump_if(&mut self, test: Test, register: Register, value: i32, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.emit(0x06 | test as u8, register, R0, 0, value);
    }

    /// Jumps if a pointer is null.
    pub(super) fn jump_if_null(&mut self, register: Register, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.emit(0x15, register, R0, 0, 0);
    }

    /// Jumps if the frame is shorter than `bytes`; behind it they may be read.
    pub(super) fn need(&mut self, bytes: i16, or: Label) {
        self.copy(R2, DATA);
        self.add(R2, bytes.into());
        self.jumps.push((self.code.len(), or));
        self.emit(0x2d, R2, DATA_END, 0, 0);
    }

    /// The program with every jump filled in and without what no path reaches, which the verifier would refuse. `None`: a
    /// jump is longer than an instruction can say.
    pub(super) fn finish(self) -> Option<Vec<Instruction>> {
        let targets: BTreeMap<usize, usize> =
            self.jumps.iter().map(|&(at, label)| Some((at, self.places[label.0]?))).collect::<Option<_>>()?;
        let reached = self.reached(&targets);
        // Where each instruction comes to lie.
        let mut place = 0;
        let places: Vec<usize> = reached
            .iter()
            .map(|&reached| {
                place += usize::from(reached);
                place - usize::from(reached)
            })
            .collect();
        let mut code = Vec::with_capacity(place);
        for (at, mut instruction) in self.code.into_iter().enumerate().filter(|&(at, _)| reached[at]) {
            if let Some(&target) = targets.get(&at) {
                instruction.offset = i16::try_from(places[target] as i64 - places[at] as i64 - 1).ok()?;
            }
            code.push(instruction);
        }
        Some(code)
    }

    /// Which instructions some path from the first one reaches.
    fn reached(&self, targets: &BTreeMap<usize, usize>) -> Vec<bool> {
        let mut reached = vec![false; self.code.len()];
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            if at >= reached.len() || std::mem::replace(&mut reached[at], true) {
                continue;
            }
            open.extend(targets.get(&at));
            if ![JUMP, EXIT].contains(&self.code[at].code) {
                open.push(at + 1);
            }
        }
        reached
    }
}
