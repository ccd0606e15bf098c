//! bpf(2): maps, programs with the verifier's log, links, test runs.
#![expect(unsafe_code, reason = "fills in the addresses that bpf(2) reads and writes")]

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::{io, ptr};

use super::abi::{self, Instruction};
use super::explain::refused;
use super::sys::{self, Errno};
use crate::{Code, Error};

/// Bytes of the verifier's log that are asked for after a refusal.
const LOG_BYTES: usize = 256 * 1024;
/// Characters of it that go into the message: its end says what is wrong.
const LOG_TAIL: usize = 600;

fn name(text: &str) -> [u8; 16] {
    let mut name = [0; 16];
    // The last byte stays 0.
    for (to, from) in name[..15].iter_mut().zip(text.bytes()) {
        *to = from;
    }
    name
}

fn raw(fd: &OwnedFd) -> u32 {
    fd.as_raw_fd() as u32
}

/// A map with keys and values of 4 bytes.
#[derive(Debug)]
pub(super) struct Map(OwnedFd);

impl Map {
    /// # Errors
    /// [`Code::Permission`] with the capability that is missing, [`Code::NoMemory`].
    pub(super) fn new(kind: u32, entries: u32, label: &str) -> Result<Map, Error> {
        let mut attributes = abi::MapCreate {
            map_type: kind,
            key_size: 4,
            value_size: 4,
            max_entries: entries,
            map_name: name(label),
            ..abi::MapCreate::default()
        };
        // SAFETY: the structure of BPF_MAP_CREATE, which holds no addresses.
        unsafe { sys::bpf_fd(abi::BPF_MAP_CREATE, &mut attributes) }.map(Map).map_err(|errno| {
            refused("bpf", errno, "A map of the XDP program cannot be made (BPF_MAP_CREATE)")
        })
    }

    /// Sets an entry.
    pub(super) fn set(&self, key: u32, value: u32) -> Result<(), Errno> {
        let mut attributes = abi::MapElement {
            map_fd: raw(&self.0),
            key: ptr::from_ref(&key) as u64,
            value: ptr::from_ref(&value) as u64,
            ..abi::MapElement::default()
        };
        // SAFETY: both addresses are of variables of 4 bytes, which is what keys and values of these maps have.
        unsafe { sys::bpf(abi::BPF_MAP_UPDATE_ELEM, &mut attributes) }.map(drop)
    }

    /// Removes an entry.
    pub(super) fn remove(&self, key: u32) -> Result<(), Errno> {
        let mut attributes = abi::MapElement {
            map_fd: raw(&self.0),
            key: ptr::from_ref(&key) as u64,
            ..abi::MapElement::default()
        };
        // SAFETY: the address is of a variable of 4 bytes.
        unsafe { sys::bpf(abi::BPF_MAP_DELETE_ELEM, &mut attributes) }.map(drop)
    }

    pub(super) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A loaded XDP program.
#[derive(Debug)]
pub(super) struct Program(OwnedFd);

/// How often a verifier that a signal has interrupted (EAGAIN of `do_check`) is asked again.
const INTERRUPTIONS: u32 = 100;

impl Program {
    /// Loads a program.
    ///
    /// # Errors
    /// [`Code::Permission`]: what is missing. [`Code::Internal`]: the verifier refuses it, with the end of its log.
    pub(super) fn load(instructions: &[Instruction]) -> Result<Program, Error> {
        let mut outcome = Program::try_load(instructions, &mut []);
        for _ in 0..INTERRUPTIONS {
            if !matches!(outcome, Err(libc::EAGAIN)) {
                break;
            }
            outcome = Program::try_load(instructions, &mut []);
        }
        let errno = match outcome {
            Ok(program) => return Ok(program),
            Err(errno) => errno,
        };
        if matches!(errno, libc::EPERM | libc::ENOSYS | libc::ENOMEM) {
            return Err(refused("bpf", errno, "The XDP program cannot be loaded (BPF_PROG_LOAD)"));
        }
        let mut log = vec![0_u8; LOG_BYTES];
        // What it comes to the second time does not matter, the log does.
        let again = Program::try_load(instructions, &mut log).map(drop);
        let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
        let text = String::from_utf8_lossy(&log[..end]);
        let tail: String = text.chars().skip(text.chars().count().saturating_sub(LOG_TAIL)).collect();
        let reason = io::Error::from_raw_os_error(errno);
        let what = format!(
            "The XDP program of {} instructions was refused: bpf: {reason} ({}). The verifier says: {}",
            instructions.len(),
            if again.is_ok() { "accepted with a log" } else { "again with a log" },
            tail.trim()
        );
        Err(Error::new(if errno == libc::EACCES { Code::Permission } else { Code::Internal }, what))
    }

    fn try_load(instructions: &[Instruction], log: &mut [u8]) -> Result<Program, Errno> {
        let license = c"MIT";
        let mut attributes = abi::ProgLoad {
            prog_type: abi::BPF_PROG_TYPE_XDP,
            insn_cnt: instructions.len() as u32,
            insns: instructions.as_ptr() as u64,
            license: license.as_ptr() as u64,
            prog_name: name("wraith_xdp"),
            expected_attach_type: abi::BPF_XDP,
            ..abi::ProgLoad::default()
        };
        if !log.is_empty() {
            attributes.log_level = 1;
            attributes.log_size = log.len() as u32;
            attributes.log_buf = log.as_mut_ptr() as u64;
        }
        // SAFETY: instructions and log are slices of the lengths given, the licence ends with a 0, and all of them live
        // through the call.
        unsafe { sys::bpf_fd(abi::BPF_PROG_LOAD, &mut attributes) }.map(Program)
    }

    /// Runs the program on a frame, once, without a device: what it returned, and nanoseconds a run over `repeat`
    /// runs.
    ///
    /// # Errors
    /// The errno: EINVAL for a frame that is shorter than 14 bytes or longer than a page's share.
    pub(super) fn test_run(&self, frame: &[u8], repeat: u32) -> Result<(u32, u32), Errno> {
        let mut attributes = abi::TestRun {
            prog_fd: raw(&self.0),
            data_in: frame.as_ptr() as u64,
            data_size_in: frame.len() as u32,
            repeat,
            ..abi::TestRun::default()
        };
        // SAFETY: the kernel reads `data_size_in` bytes of a slice of that length; there is no output buffer.
        unsafe { sys::bpf(abi::BPF_PROG_TEST_RUN, &mut attributes) }?;
        Ok((attributes.retval, attributes.duration))
    }

    /// The program's number in this kernel, as `ip link` and bpftool show it.
    pub(super) fn id(&self) -> Result<u32, Errno> {
        // struct bpf_prog_info begins with type and id; the kernel fills in as much as is asked for.
        let mut info = [0_u32; 2];
        let mut attributes = abi::ObjectInfo {
            bpf_fd: raw(&self.0),
            info_len: size_of_val(&info) as u32,
            info: info.as_mut_ptr() as u64,
        };
        // SAFETY: the kernel writes at most `info_len` bytes into an array of that size.
        unsafe { sys::bpf(abi::BPF_OBJ_GET_INFO_BY_FD, &mut attributes) }?;
        Ok(info[1])
    }
}

/// A program's attachment to an interface: gone when this value is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Link(OwnedFd);

impl Link {
    /// Attaches a program (Linux 5.9). `flags`: XDP_FLAGS_*.
    pub(super) fn create(program: &Program, ifindex: u32, flags: u32) -> Result<Link, Errno> {
        let mut attributes = abi::LinkCreate {
            prog_fd: raw(&program.0),
            target_ifindex: ifindex,
            attach_type: abi::BPF_XDP,
            flags,
        };
        // SAFETY: the structure of BPF_LINK_CREATE, which holds no addresses.
        unsafe { sys::bpf_fd(abi::BPF_LINK_CREATE, &mut attributes) }.map(Link)
    }

    /// Puts another program in place of the one that is attached; no packet goes past both.
    pub(super) fn replace(&self, program: &Program) -> Result<(), Errno> {
        let mut attributes = abi::LinkUpdate {
            link_fd: raw(&self.0),
            new_prog_fd: raw(&program.0),
            ..abi::LinkUpdate::default()
        };
        // SAFETY: the structure of BPF_LINK_UPDATE, which holds no addresses.
        unsafe { sys::bpf(abi::BPF_LINK_UPDATE, &mut attributes) }.map(drop)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let mut attributes = abi::LinkDetach { link_fd: raw(&self.0) };
        // Closing the descriptor is not enough: a child that is being spawned has it as well until it becomes another
        // program. If this fails, closing does it a moment later.
        // SAFETY: the structure of BPF_LINK_DETACH, which holds no addresses.
        let _ = unsafe { sys::bpf(abi::BPF_LINK_DETACH, &mut attributes) };
    }
}
