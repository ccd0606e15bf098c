//! The maps behind a program, and loading it with them.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::facts::{self, End, Protocol};
use super::program::{self, Maps};
use super::rules::{Filter, Select};
use crate::xdp::abi::{self, XDP_PASS, XDP_REDIRECT};
use crate::xdp::bpf::{Map, Program};
use crate::xdp::explain::{refused, require_support};
use crate::xdp::sys;
use crate::{Code, Error};

/// Which socket serves which queue: an XSKMAP.
#[derive(Debug)]
pub(crate) struct Sockets(Map);

impl Sockets {
    pub(crate) fn new(queues: u32) -> Result<Sockets, Error> {
        Map::new(abi::BPF_MAP_TYPE_XSKMAP, queues, "wraith_sockets").map(Sockets)
    }

    /// From now on the queue's selected frames go to this socket.
    pub(crate) fn insert(&self, queue: u32, socket: RawFd) -> Result<(), Error> {
        self.0.set(queue, socket as u32).map_err(|errno| {
            refused(
                "bpf",
                errno,
                &format!("The socket of queue {queue} cannot be entered (BPF_MAP_UPDATE_ELEM)"),
            )
        })
    }

    /// From now on they go to the kernel. A queue that has none is all right.
    pub(crate) fn remove(&self, queue: u32) {
        // ENOENT when the socket has gone already: the kernel removes closed sockets itself.
        let _ = self.0.remove(queue);
    }
}

/// A program that is loaded for a filter, with the table it uses.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) program: Program,
    /// Kept for as long as the program may be attached; the kernel holds it as well.
    _ports: Option<Map>,
    pub(crate) instructions: usize,
}

impl Loaded {
    /// Loads the program of a filter. `None`: the filter selects nothing and needs none.
    ///
    /// # Errors
    /// Those of the filter's check, [`Code::Permission`] with what is missing, [`Code::Unsupported`].
    pub(crate) fn new(filter: &Filter, sockets: &Sockets) -> Result<Option<Loaded>, Error> {
        require_support()?;
        filter.check()?;
        if filter.select == Select::None {
            return Ok(None);
        }
        let ports = program::needs_table(filter).then(|| table(filter)).transpose()?;
        let maps = Maps { sockets: sockets.0.fd(), ports: ports.as_ref().map(Map::fd) };
        let instructions = program::assemble(filter, maps)?;
        let program = Program::load(&instructions)?;
        Ok(Some(Loaded { program, _ports: ports, instructions: instructions.len() }))
    }
}

/// All 65536 ports with what the filter says about each.
fn table(filter: &Filter) -> Result<Map, Error> {
    let mut words = vec![0_u32; 1 << 16];
    for protocol in Protocol::BOTH {
        for end in End::BOTH {
            for (port, fact) in facts::ports(filter, protocol, end) {
                words[usize::from(port)] |= (fact as u32) << facts::shift(protocol, end);
            }
        }
    }
    let map = Map::new(abi::BPF_MAP_TYPE_ARRAY, 1 << 16, "wraith_ports")?;
    for (port, &word) in words.iter().enumerate().filter(|&(_, &word)| word != 0) {
        map.set(port as u32, word).map_err(|errno| {
            refused("bpf", errno, "The table of ports cannot be filled (BPF_MAP_UPDATE_ELEM)")
        })?;
    }
    Ok(map)
}

/// Where a filter sends a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To the AF_XDP socket.
    Socket,
    /// On to the kernel's stack.
    Kernel,
}

/// Fewest bytes that the kernel runs a program on: an Ethernet header.
const SHORTEST: usize = 14;
/// A program looks at the headers only, and the kernel takes at most a page less headroom: longer frames are cut.
const LONGEST: usize = 2048;

/// A filter's program, loaded to be tried on frames in the kernel (BPF_PROG_TEST_RUN), touching no interface.
#[derive(Debug)]
pub struct FilterTest {
    /// `None`: the filter selects nothing.
    loaded: Option<Loaded>,
    _sockets: Sockets,
    /// Unbound, which is enough for the program to find one.
    _socket: OwnedFd,
}

impl FilterTest {
    /// Loads the filter's program. Costs a few milliseconds.
    ///
    /// # Errors
    /// [`Code::OutOfRange`]: the filter cannot be. [`Code::Permission`]: CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW are needed.
    /// [`Code::Unsupported`]: not Linux, or a kernel without AF_XDP.
    pub fn new(filter: &Filter) -> Result<FilterTest, Error> {
        require_support()?;
        filter.check()?;
        let socket =
            sys::xdp_socket().map_err(|errno| refused("socket", errno, "An AF_XDP socket cannot be made"))?;
        let sockets = Sockets::new(1)?;
        sockets.insert(0, socket.as_raw_fd())?;
        Ok(FilterTest { loaded: Loaded::new(filter, &sockets)?, _sockets: sockets, _socket: socket })
    }

    /// Where the filter sends a whole Ethernet frame; of longer ones the first 2048 bytes are looked at.
    ///
    /// # Errors
    /// [`Code::OutOfRange`]: the frame is shorter than 14 bytes.
    pub fn verdict(&self, frame: &[u8]) -> Result<Verdict, Error> {
        self.run(frame, 1).map(|(verdict, _)| verdict)
    }

    /// Nanoseconds that the program takes for a frame, averaged by the kernel over the runs: the redirect's decision included,
    /// the handing over of the frame not. 0 without a program.
    ///
    /// # Errors
    /// As [`FilterTest::verdict`].
    pub fn cost_ns(&self, frame: &[u8], runs: u32) -> Result<u32, Error> {
        self.run(frame, runs.max(1)).map(|(_, ns)| ns)
    }

    /// Instructions of the program.
    pub fn instructions(&self) -> usize {
        self.loaded.as_ref().map_or(0, |loaded| loaded.instructions)
    }

    fn run(&self, frame: &[u8], runs: u32) -> Result<(Verdict, u32), Error> {
        if frame.len() < SHORTEST {
            let what =
                format!("The frame has {} bytes; an Ethernet frame has at least {SHORTEST}", frame.len());
            return Err(Error::new(Code::OutOfRange, what));
        }
        let Some(loaded) = &self.loaded else { return Ok((Verdict::Kernel, 0)) };
        let frame = &frame[..frame.len().min(LONGEST)];
        let (code, ns) = loaded.program.test_run(frame, runs).map_err(|errno| {
            refused("bpf", errno, "The program cannot be run on the frame (BPF_PROG_TEST_RUN)")
        })?;
        match code {
            XDP_REDIRECT => Ok((Verdict::Socket, ns)),
            XDP_PASS => Ok((Verdict::Kernel, ns)),
            other => Err(Error::new(Code::Internal, format!("The XDP program returned {other}"))),
        }
    }
}

/// Asks the kernel what a filter does with one frame: [`FilterTest::new`], then [`FilterTest::verdict`].
///
/// # Errors
/// Those of both.
pub fn test_filter(filter: &Filter, frame: &[u8]) -> Result<Verdict, Error> {
    FilterTest::new(filter)?.verdict(frame)
}
