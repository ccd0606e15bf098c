//! The arrays of a receive call, allocated once: message headers, one buffer each, names, control data.
#![expect(unsafe_code, reason = "holds pointers that the kernel writes through")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::{mem, ptr};

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
        let mut extras = Extras::default();
        if !self.has_extras(index) {
            return extras;
        }
        let header = self.header(index);
        // SAFETY: header and control buffer are this value's own and were filled by the kernel, which leaves
        // msg_controllen at the bytes it wrote; the CMSG functions stay within them. Payloads are read
        // unaligned and only when long enough.
        unsafe {
            let mut cmsg = libc::CMSG_FIRSTHDR(header);
            while !cmsg.is_null() {
                let data = libc::CMSG_DATA(cmsg);
                let len = ((*cmsg).cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
                read_one(&mut extras, ((*cmsg).cmsg_level, (*cmsg).cmsg_type), data, len);
                cmsg = libc::CMSG_NXTHDR(header.cast_mut(), cmsg);
            }
        }
        extras
    }
}

/// # Safety
/// `data` must be readable for `len` bytes.
#[cfg(any(target_os = "linux", target_os = "android"))]
unsafe fn read_one(extras: &mut Extras, kind: (libc::c_int, libc::c_int), data: *const u8, len: usize) {
    const TIMESPEC: usize = mem::size_of::<libc::timespec>();
    match kind {
        (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS) if len >= TIMESPEC => {
            // SAFETY: long enough by the guard; a timespec is plain integers.
            let time = unsafe { ptr::read_unaligned(data.cast::<libc::timespec>()) };
            extras.timestamp_ns = (time.tv_sec as u64).wrapping_mul(1_000_000_000) + time.tv_nsec as u64;
        }
        (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) if len >= 4 => {
            // SAFETY: long enough by the guard.
            extras.drops = Some(unsafe { ptr::read_unaligned(data.cast::<u32>()) });
        }
        (libc::SOL_UDP, super::linux::UDP_GRO) if len >= 4 => {
            // SAFETY: long enough by the guard.
            let segment = unsafe { ptr::read_unaligned(data.cast::<libc::c_int>()) };
            extras.segment = usize::try_from(segment).ok().filter(|&segment| segment > 0);
        }
        _ => {}
    }
}

/// Nothing is known of the control data of other systems.
///
/// # Safety
/// None needed: nothing is read.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
unsafe fn read_one(_: &mut Extras, _: (libc::c_int, libc::c_int), _: *const u8, _: usize) {}
