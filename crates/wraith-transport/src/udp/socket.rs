//! The socket: made or adopted, bound, connected, asked about itself.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::address::{Family, SockAddr};
use super::bind::{self, buffer_value};
use super::metrics::UdpMetrics;
use super::options::{BufferSize, UdpOptions};
use super::sys::{self, Errno};
use crate::error::{Code, Error};

/// Indices into the words of SO_MEMINFO (linux/sock_diag.h).
#[cfg(any(target_os = "linux", target_os = "android"))]
mod meminfo {
    pub(super) const OPTION: libc::c_int = 55;
    pub(super) const RMEM_ALLOC: usize = 0;
    pub(super) const WMEM_ALLOC: usize = 2;
    pub(super) const DROPS: usize = 8;
    pub(super) const WORDS: usize = 9;
}

/// Most error-queue entries taken by one call.
const ERROR_QUEUE_BOUND: u32 = 1024;

/// A UDP socket: non-blocking, closed on exec, closed when the last `Arc` goes.
///
/// Every method takes `&self` and may be called from any thread; the kernel orders the calls.
#[derive(Debug)]
pub struct UdpSocket {
    fd: OwnedFd,
    family: Family,
    /// V6 only: IPv4 addresses cannot be reached.
    ipv6_only: bool,
    connected: AtomicBool,
    /// What was asked for, 0 when nothing was.
    asked_recv: AtomicUsize,
    asked_send: AtomicUsize,
    /// Drops so far: the kernel's 32-bit count, carried on over its wrap.
    drops: Mutex<u64>,
    pub(super) metrics: UdpMetrics,
}

impl UdpSocket {
    /// Makes (or adopts) a socket, sets its options and binds it.
    ///
    /// # Errors
    /// [`Code::InvalidAddress`] (address of the other family), [`Code::OutOfRange`] (buffer size; descriptor that
    /// is no UDP socket of this family), [`Code::AddressInUse`], [`Code::AddressNotAvailable`],
    /// [`Code::Permission`] (ports below net.ipv4.ip_unprivileged_port_start), [`Code::Unsupported`].
    pub fn bind(options: &UdpOptions) -> Result<Arc<UdpSocket>, Error> {
        let bound = bind::open(options)?;
        // An adopted socket keeps its own setting.
        let v6_only = || sys::get_int(bound.fd.as_raw_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
        let ipv6_only = options.family == Family::V6 && v6_only() == Ok(1);
        Ok(Arc::new(UdpSocket {
            fd: bound.fd,
            family: options.family,
            ipv6_only,
            connected: AtomicBool::new(bound.connected),
            asked_recv: AtomicUsize::new(options.recv_buffer.unwrap_or(0)),
            asked_send: AtomicUsize::new(options.send_buffer.unwrap_or(0)),
            drops: Mutex::new(0),
            metrics: UdpMetrics::default(),
        }))
    }

    /// The descriptor, to poll for readiness. It is the socket's: do not close it.
    pub fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// The descriptor, with its end in the caller's hands.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// The socket's family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Counters of this socket.
    pub fn metrics(&self) -> &UdpMetrics {
        &self.metrics
    }

    /// Where the socket is bound.
    ///
    /// # Errors
    /// [`Code::System`] when the kernel refuses to say.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        let name =
            sys::local_name(self.fd()).map_err(|errno| failed("getsockname", errno, "local address"))?;
        name.to_socket_addr().ok_or_else(|| Error::new(Code::Internal, "the socket has no local name"))
    }

    /// Sends go to `address` and only its packets are received from now on. Packets of others that are queued
    /// already are still delivered.
    ///
    /// # Errors
    /// [`Code::AlreadyConnected`], [`Code::InvalidAddress`], [`Code::System`] (ENETUNREACH: no route).
    pub fn connect(&self, address: SocketAddr) -> Result<(), Error> {
        let name = self.destination(address)?;
        if self.connected.swap(true, Ordering::SeqCst) {
            return Err(Error::new(Code::AlreadyConnected, "the socket is connected already"));
        }
        sys::connect(self.fd(), &name).map_err(|errno| {
            self.connected.store(false, Ordering::SeqCst);
            failed("connect", errno, &format!("connecting to {address}"))
        })
    }

    /// Dissolves the association. The socket stays bound to its port: the kernel would forget a port that it chose
    /// itself (udp(7) does not mention it), so the port is taken again at once.
    ///
    /// # Errors
    /// [`Code::NotConnected`]; [`Code::AddressInUse`] in the unlikely case that another socket took the port in
    /// between.
    pub fn disconnect(&self) -> Result<(), Error> {
        if !self.connected.load(Ordering::SeqCst) {
            return Err(Error::with_remedy(
                Code::NotConnected,
                "the socket is not connected",
                "connect() first.",
            ));
        }
        let before = self.local_addr()?;
        sys::disconnect(self.fd()).map_err(|errno| failed("connect", errno, "disconnecting"))?;
        self.connected.store(false, Ordering::SeqCst);
        let mut again = self.local_addr()?;
        if again.port() == 0 {
            again.set_port(before.port());
            sys::bind(self.fd(), &SockAddr::from(again))
                .map_err(|errno| failed("bind", errno, &format!("keeping port {} on", before.port())))?;
        }
        Ok(())
    }

    /// Whether `connect` has succeeded and `disconnect` has not.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// The peer of a connected socket.
    ///
    /// # Errors
    /// [`Code::NotConnected`].
    pub fn peer_addr(&self) -> Result<SocketAddr, Error> {
        let name = sys::peer_name(self.fd()).map_err(|errno| failed("getpeername", errno, "peer address"))?;
        name.to_socket_addr().ok_or_else(|| Error::new(Code::NotConnected, "the socket has no peer"))
    }

    /// An address in the form that this socket needs to send to it.
    ///
    /// # Errors
    /// [`Code::InvalidAddress`] for an address that this socket cannot reach, and for port 0.
    pub fn destination(&self, address: SocketAddr) -> Result<SockAddr, Error> {
        if address.port() == 0 {
            return Err(Error::with_remedy(
                Code::InvalidAddress,
                format!("nothing can be sent to port 0 of {}", address.ip()),
                "Use a port from 1 to 65535.",
            ));
        }
        match SockAddr::for_family(address, self.family) {
            Some(name) if !(self.ipv6_only && address.is_ipv4()) => Ok(name),
            _ => Err(Error::new(
                Code::InvalidAddress,
                format!("an {} socket cannot reach {address}", self.family),
            )),
        }
    }

    /// The receive buffer, asked and got. Linux clamps to net.core.rmem_max (socket(7)).
    ///
    /// # Errors
    /// [`Code::System`].
    pub fn recv_buffer(&self) -> Result<BufferSize, Error> {
        self.buffer_size(libc::SO_RCVBUF, &self.asked_recv, "rmem_max")
    }

    /// The send buffer, asked and got. Linux clamps to net.core.wmem_max (socket(7)).
    ///
    /// # Errors
    /// [`Code::System`].
    pub fn send_buffer(&self) -> Result<BufferSize, Error> {
        self.buffer_size(libc::SO_SNDBUF, &self.asked_send, "wmem_max")
    }

    /// Sets SO_RCVBUF, as dgram's `setRecvBufferSize`; read back what it came to with
    /// [`recv_buffer`](Self::recv_buffer).
    ///
    /// # Errors
    /// [`Code::OutOfRange`], [`Code::System`].
    pub fn set_recv_buffer(&self, bytes: usize) -> Result<(), Error> {
        let value = buffer_value("recv_buffer", bytes)?;
        self.set_int(libc::SOL_SOCKET, libc::SO_RCVBUF, value, "SO_RCVBUF")?;
        self.asked_recv.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Sets SO_SNDBUF, as dgram's `setSendBufferSize`.
    ///
    /// # Errors
    /// [`Code::OutOfRange`], [`Code::System`].
    pub fn set_send_buffer(&self, bytes: usize) -> Result<(), Error> {
        let value = buffer_value("send_buffer", bytes)?;
        self.set_int(libc::SOL_SOCKET, libc::SO_SNDBUF, value, "SO_SNDBUF")?;
        self.asked_send.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn buffer_size(
        &self,
        option: libc::c_int,
        asked: &AtomicUsize,
        sysctl: &str,
    ) -> Result<BufferSize, Error> {
        let got = sys::get_int(self.fd(), libc::SOL_SOCKET, option)
            .map_err(|errno| failed("getsockopt", errno, "reading a buffer size"))?
            as usize;
        let asked = Some(asked.load(Ordering::Relaxed)).filter(|&asked| asked > 0);
        let linux = cfg!(any(target_os = "linux", target_os = "android"));
        let note = asked.filter(|&asked| linux && got < asked.saturating_mul(2)).map(|asked| {
            let limit = fs::read_to_string(format!("/proc/sys/net/core/{sysctl}"));
            let limit = limit.map(|text| format!(" ({})", text.trim())).unwrap_or_default();
            format!(
                "asked for {asked} bytes, the kernel gave {}: net.core.{sysctl}{limit} is the limit. \
                 Lift it with `sysctl -w net.core.{sysctl}={asked}`.",
                got / 2
            )
        });
        Ok(BufferSize { asked, got, note })
    }

    /// Packets that the kernel has dropped for this socket since it was made, because its receive buffer was full
    /// or a checksum was wrong. Exact at every moment, and never goes back.
    ///
    /// Two counts exist. SO_RXQ_OVFL comes with a packet and says how many had been dropped when *that packet was
    /// queued*: a batch learns it for nothing, but the drops after the last packet stay unknown until another one
    /// gets through. SO_MEMINFO asks the socket itself, whenever one likes, for the price of a system call. This
    /// is the second one; [`UdpSnapshot::drops_at_batch`](super::UdpSnapshot::drops_at_batch) is the first. Both
    /// are 32 bits wide in the kernel and carried on here; more than 2^32 drops between two calls are lost.
    ///
    /// # Errors
    /// [`Code::Unsupported`] where there is no such count (other than Linux ≥ 4.12).
    pub fn kernel_drops(&self) -> Result<u64, Error> {
        // The lock keeps a late reader from carrying on from an earlier reading.
        let mut total = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.meminfo()?.drops;
        *total += u64::from(now.wrapping_sub(*total as u32));
        Ok(*total)
    }

    /// Memory that queued packets hold in the receive buffer, in bytes: the kernel's own bookkeeping included, and
    /// up to a quarter of the buffer that was read already but not yet accounted for.
    ///
    /// # Errors
    /// [`Code::Unsupported`] as for [`kernel_drops`](Self::kernel_drops).
    pub fn recv_queue_bytes(&self) -> Result<usize, Error> {
        Ok(self.meminfo()?.rmem as usize)
    }

    /// Memory that packets on their way out hold, in bytes.
    ///
    /// # Errors
    /// [`Code::Unsupported`] as for [`kernel_drops`](Self::kernel_drops).
    pub fn send_queue_bytes(&self) -> Result<usize, Error> {
        Ok(self.meminfo()?.wmem as usize)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn meminfo(&self) -> Result<MemInfo, Error> {
        let words = sys::get_words::<{ meminfo::WORDS }>(self.fd(), libc::SOL_SOCKET, meminfo::OPTION)
            .map_err(|errno| failed("getsockopt", errno, "SO_MEMINFO"))?;
        Ok(MemInfo {
            rmem: words[meminfo::RMEM_ALLOC],
            wmem: words[meminfo::WMEM_ALLOC],
            drops: words[meminfo::DROPS],
        })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn meminfo(&self) -> Result<MemInfo, Error> {
        Err(Error::new(Code::Unsupported, "socket memory counters (SO_MEMINFO) exist on Linux only"))
    }

    /// Takes the pending error (SO_ERROR), if there is one, and counts it when it is an ICMP error. After EPOLLERR
    /// this and [`drain_error_queue`](Self::drain_error_queue) make the descriptor pollable again.
    pub fn take_error(&self) -> Option<i32> {
        let errno =
            sys::get_int(self.fd(), libc::SOL_SOCKET, libc::SO_ERROR).ok().filter(|&errno| errno != 0)?;
        if super::send::is_icmp(errno) {
            UdpMetrics::add(&self.metrics.icmp_errors, 1);
        }
        Some(errno)
    }

    /// Throws away what lies in the error queue (recvmsg(2), MSG_ERRQUEUE), at most 1024 entries a call. Returns
    /// how many there were. Only adopted sockets that have IP_RECVERR set ever fill it.
    pub fn drain_error_queue(&self) -> u32 {
        let mut taken = 0;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        while taken < ERROR_QUEUE_BOUND && sys::discard_error_entry(self.fd()) == Ok(true) {
            taken += 1;
        }
        UdpMetrics::add(&self.metrics.error_queue_entries, u64::from(taken));
        taken
    }

    /// Whether packets are stamped: asked for at bind, or set on an adopted descriptor.
    pub fn has_timestamps(&self) -> bool {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return sys::get_int(self.fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS) == Ok(1);
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        false
    }

    /// UDP_GRO (udp(7)). Switching it off works on kernels that do not have it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn set_gro(&self, on: bool) -> Result<(), Error> {
        match self.set_int(libc::SOL_UDP, super::linux::UDP_GRO, i32::from(on), "UDP_GRO") {
            Err(error) if on || error.errno() != Some(libc::ENOPROTOOPT) => Err(error),
            _ => Ok(()),
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn set_gro(&self, on: bool) -> Result<(), Error> {
        if on { Err(Error::new(Code::Unsupported, "GRO exists on Linux only")) } else { Ok(()) }
    }

    pub(super) fn set_int(
        &self,
        level: libc::c_int,
        name: libc::c_int,
        value: libc::c_int,
        what: &str,
    ) -> Result<(), Error> {
        sys::set_int(self.fd(), level, name, value)
            .map_err(|errno| failed("setsockopt", errno, &format!("setting {what} to {value}")))
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

struct MemInfo {
    rmem: u32,
    wmem: u32,
    drops: u32,
}

pub(super) fn failed(syscall: &'static str, errno: Errno, what: &str) -> Error {
    Error::system(syscall, errno, what)
}
