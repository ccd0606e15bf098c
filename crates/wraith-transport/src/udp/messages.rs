//! The arrays of a receive call, allocated once: message headers, one buffer each, names, control data.
#![expect(unsafe_code, reason = "holds pointers that the kernel writes through")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::mem;
use std::ptr::NonNull;
use std::slice;

use super::address::{NAME_BYTES, SockAddr};
use super::sys::Errno;

/// Room for a timestamp (32 bytes), a drop count (24) and a segment size (24), with headers.
const CONTROL_BYTES: usize = 96;

/// `struct mmsghdr`, which only Linux has.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Message {
    pub(super) header: libc::msghdr,
    pub(super) length: libc::c_uint,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const _: () = assert!(
    mem::size_of::<Message>() == mem::size_of::<libc::mmsghdr>()
        && mem::align_of::<Message>() == mem::align_of::<libc::mmsghdr>()
);

/// One entry of 32 bytes, so that none lies across two cache lines.
#[repr(C, align(32))]
struct Name([u8; NAME_BYTES]);

#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// A zeroed array that is only ever reached through raw pointers, because the kernel writes into it.
struct RawArray<T> {
    first: NonNull<T>,
    len: usize,
}

impl<T> RawArray<T> {
    /// # Safety
    /// All zeros must be a valid `T` that needs no drop.
    unsafe fn zeroed(len: usize) -> RawArray<T> {
        let layout = Self::layout(len);
        // SAFETY: len is at least 1 and T has a size, so the layout is not empty.
        let first = unsafe { alloc_zeroed(layout) }.cast();
        match NonNull::new(first) {
            Some(first) => RawArray { first, len },
            None => handle_alloc_error(layout),
        }
    }

    fn layout(len: usize) -> Layout {
        assert!(len > 0, "an empty array needs no memory");
        match Layout::array::<T>(len) {
            Ok(layout) => layout,
            Err(_) => unreachable!("1024 entries of a few hundred bytes fit into an address space"),
        }
    }

    fn at(&self, index: usize) -> *mut T {
        assert!(index < self.len, "entry {index} of {}", self.len);
        // SAFETY: checked on the line above.
        unsafe { self.first.as_ptr().add(index) }
    }
}

impl<T> Drop for RawArray<T> {
    fn drop(&mut self) {
        // SAFETY: allocated with this very layout; nothing in it needs a drop.
        unsafe { dealloc(self.first.as_ptr().cast(), Self::layout(self.len)) }
    }
}

/// What came beside a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extras {
    /// Arrival in nanoseconds since 1970, 0 when the socket has no timestamps.
    pub(super) timestamp_ns: u64,
    /// The socket's drop count when this packet was queued, if it was not 0.
    pub(super) drops: Option<u32>,
    /// Size of a segment when the kernel put several packets into one buffer (UDP_GRO).
    pub(super) segment: Option<usize>,
}

/// The vector that a receive call fills.
pub(super) struct Messages {
    messages: RawArray<Message>,
    buffers: RawArray<libc::iovec>,
    names: RawArray<Name>,
    /// Reached through the headers; kept to be freed.
    _controls: RawArray<Control>,
    len: usize,
    /// The kernel has changed the headers of the first `touched` messages.
    touched: usize,
    /// How many messages, from the first on, have room for control data.
    controlled: usize,
    /// An error that came after some packets: it is reported by the next call.
    pub(super) pending: Option<Errno>,
}

// SAFETY: the pointers lead to memory that this value owns alone (and to slots, which are not reached through
// it but by the kernel during `receive`).
unsafe impl Send for Messages {}

impl Messages {
    /// A vector of `len` messages without buffers. `control_for_all`: each has room for control data, otherwise
    /// only the first (the drop count needs no more, and the kernel's work is not free).
    pub(super) fn new(len: usize, control_for_all: bool) -> Messages {
        let controlled = if control_for_all { len } else { 1 };
        // SAFETY: integers, byte arrays and raw pointers, for all of which zeros are valid.
        let (messages, buffers, names, controls) = unsafe {
            (
                RawArray::<Message>::zeroed(len),
                RawArray::<libc::iovec>::zeroed(len),
                RawArray::<Name>::zeroed(len),
                RawArray::<Control>::zeroed(controlled),
            )
        };
        for index in 0..len {
            // SAFETY: `at` has checked the index, and nobody else reaches these arrays.
            unsafe {
                let header = &raw mut (*messages.at(index)).header;
                (*header).msg_name = names.at(index).cast();
                (*header).msg_iov = buffers.at(index);
                (*header).msg_iovlen = 1;
                if index < controlled {
                    (*header).msg_control = controls.at(index).cast();
                }
            }
        }
        // Every header wants its lengths set once.
        Messages {
            messages,
            buffers,
            names,
            _controls: controls,
            len,
            touched: len,
            controlled,
            pending: None,
        }
    }

    /// Message `index` will be received into `len` bytes at `buffer`.
    pub(super) fn post(&mut self, index: usize, buffer: *mut u8, len: usize) {
        let iovec = libc::iovec { iov_base: buffer.cast(), iov_len: len };
        // SAFETY: `at` has checked the index.
        unsafe { self.buffers.at(index).write(iovec) }
    }

    /// Restores what the kernel changed in the headers it used, and gives the first `count` of them.
    pub(super) fn prepare(&mut self, count: usize) -> *mut Message {
        assert!(0 < count && count <= self.len, "{count} messages of {}", self.len);
        for index in 0..self.touched {
            // SAFETY: `touched` never exceeds the arrays' length; no system call is running.
            unsafe {
                let header = &raw mut (*self.messages.at(index)).header;
                (*header).msg_namelen = NAME_BYTES as libc::socklen_t;
                if index < self.controlled {
                    (*header).msg_controllen = CONTROL_BYTES as _;
                }
            }
        }
        self.touched = 0;
        self.messages.at(0)
    }

    /// The kernel has filled the first `count` messages.
    pub(super) fn received(&mut self, count: usize) {
        self.touched = count.min(self.len);
    }

    fn header(&self, index: usize) -> *const libc::msghdr {
        // SAFETY: `at` has checked the index; only the field's address is taken.
        unsafe { &raw const (*self.messages.at(index)).header }
    }

    /// Length of the packet on the wire. On systems where MSG_TRUNC does not give it: what was received.
    pub(super) fn wire_length(&self, index: usize) -> u32 {
        // SAFETY: `at` has checked the index.
        unsafe { (*self.messages.at(index)).length }
    }

    /// Whether the packet was larger than its buffer.
    pub(super) fn truncated(&self, index: usize) -> bool {
        // SAFETY: `at` has checked the index.
        unsafe { (*self.header(index)).msg_flags & libc::MSG_TRUNC != 0 }
    }

    /// The sender's address, as the kernel wrote it.
    pub(super) fn raw_name(&self, index: usize) -> &[u8; NAME_BYTES] {
        // SAFETY: `at` has checked the index. The kernel writes names only in `receive`, which takes `&mut self`.
        unsafe { &(*self.names.at(index)).0 }
    }

    /// The sender's address and its length.
    pub(super) fn name(&self, index: usize) -> SockAddr {
        // SAFETY: `at` has checked the index.
        let len = unsafe { (*self.header(index)).msg_namelen };
        SockAddr::from_raw(*self.raw_name(index), len)
    }

    /// Whether message `index` has control data.
    pub(super) fn has_extras(&self, index: usize) -> bool {
        // SAFETY: `at` has checked the index.
        index < self.controlled && unsafe { (*self.header(index)).msg_controllen } != 0
    }

    /// Reads the control data of message `index`.
    pub(super) fn extras(&self, index: usize) -> Extras {
        if !self.has_extras(index) {
            return Extras::default();
        }
        let header = self.header(index);
        // SAFETY: `has_extras` has checked that the header has a control buffer, which is of CONTROL_BYTES, is this value's
        // own and is written by the kernel only in `receive`, which takes `&mut self`. The kernel leaves msg_controllen
        // at the bytes that it wrote.
        let control = unsafe {
            // The type differs between C libraries.
            let len = usize::min((*header).msg_controllen as _, CONTROL_BYTES);
            slice::from_raw_parts((*header).msg_control.cast::<u8>(), len)
        };
        parse_control(control)
    }
}

/// What control data of a message says: `cmsghdr`s with their payloads (cmsg(3)), each aligned to a word. Whatever the bytes
/// are, those that make no sense end it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn parse_control(control: &[u8]) -> Extras {
    const HEADER: usize = mem::size_of::<libc::cmsghdr>();
    const LEVEL: usize = mem::offset_of!(libc::cmsghdr, cmsg_level);
    const TYPE: usize = mem::offset_of!(libc::cmsghdr, cmsg_type);
    let mut extras = Extras::default();
    let mut rest = control;
    while let (Some(len), Some(level), Some(kind)) =
        (word(rest, 0), read_array(rest, LEVEL), read_array(rest, TYPE))
    {
        // The header counts, padding does not.
        let Some(payload) = rest.get(HEADER..len) else { break };
        read_one(&mut extras, (libc::c_int::from_ne_bytes(level), libc::c_int::from_ne_bytes(kind)), payload);
        rest = rest.get(len.next_multiple_of(mem::size_of::<usize>())..).unwrap_or_default();
    }
    extras
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn read_array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn word(bytes: &[u8], at: usize) -> Option<usize> {
    read_array(bytes, at).map(usize::from_ne_bytes)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn read_one(extras: &mut Extras, kind: (libc::c_int, libc::c_int), payload: &[u8]) {
    const NANOSECONDS: usize = mem::offset_of!(libc::timespec, tv_nsec);
    match kind {
        (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS) => {
            if let (Some(seconds), Some(rest)) = (word(payload, 0), word(payload, NANOSECONDS)) {
                extras.timestamp_ns = (seconds as u64).wrapping_mul(1_000_000_000).wrapping_add(rest as u64);
            }
        }
        (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
            if let Some(drops) = read_array(payload, 0) {
                extras.drops = Some(u32::from_ne_bytes(drops));
            }
        }
        (libc::SOL_UDP, super::linux::UDP_GRO) => {
            if let Some(segment) = read_array(payload, 0) {
                let segment = usize::try_from(libc::c_int::from_ne_bytes(segment)).ok();
                extras.segment = segment.filter(|&segment| segment > 0);
            }
        }
        _ => {}
    }
}

/// Nothing is known of the control data of other systems.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn parse_control(_: &[u8]) -> Extras {
    Extras::default()
}

#[cfg(all(test, target_os = "linux", target_pointer_width = "64"))]
mod tests {
    use super::*;

    fn message(len: usize, level: i32, kind: i32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = len.to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn drops(len: usize) -> Vec<u8> {
        message(len, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &7_u32.to_ne_bytes())
    }

    fn time(seconds: i64, nanoseconds: i64) -> Vec<u8> {
        let payload = [seconds.to_ne_bytes(), nanoseconds.to_ne_bytes()].concat();
        message(32, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &payload)
    }

    #[test]
    fn control_data_is_read_past_what_is_unknown() {
        let unknown = message(17, 99, 99, &[1]);
        let segment = message(20, libc::SOL_UDP, super::super::linux::UDP_GRO, &1400_i32.to_ne_bytes());
        let all = [unknown, time(2, 3), drops(20), segment].concat();
        let wanted = Extras { timestamp_ns: 2_000_000_003, drops: Some(7), segment: Some(1400) };
        assert_eq!(parse_control(&all), wanted);
    }

    #[test]
    fn control_data_that_claims_more_or_less_than_there_is_ends_the_reading() {
        for len in [0, 1, 15, 49, 1000, usize::MAX - 7, usize::MAX] {
            assert_eq!(parse_control(&[drops(len), drops(20)].concat()), Extras::default(), "{len}");
        }
        for cut in 0..20 {
            assert_eq!(parse_control(&drops(20)[..cut]), Extras::default(), "{cut}");
        }
        // Shorter than its kind is: passed over.
        assert_eq!(parse_control(&[drops(19), drops(20)].concat()).drops, Some(7));
    }

    #[test]
    fn a_time_that_no_clock_shows_overflows_nothing() {
        let wrapped = (-1_i64 as u64).wrapping_mul(1_000_000_000).wrapping_sub(1);
        assert_eq!(parse_control(&time(-1, -1)).timestamp_ns, wrapped);
    }
}
