//! One contiguous, page-aligned region of equal slots.
#![expect(unsafe_code, reason = "clears slots through raw pointers: no reference to shared memory is formed")]

use std::fmt;
use std::ptr::NonNull;

use super::available::{available_bytes, fits};
use super::map::{Map, page_size};
use crate::{Code, Error};

/// What is asked of the memory beyond being there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryOptions {
    /// Keep the slab from being swapped out: mlock(2).
    pub mlock: bool,
    /// Lay the slab on transparent huge pages: `MADV_HUGEPAGE` of madvise(2).
    pub huge_pages: bool,
}

/// What was asked and what was got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// Whether it was asked for.
    pub asked: bool,
    /// Whether it was got.
    pub got: bool,
    /// Why it was not got though asked for, with the command or limit that lifts it.
    pub why: Option<String>,
}

/// What a slab is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryInfo {
    /// Bytes of memory in use, whole pages, without the guard page.
    pub bytes: usize,
    /// Bytes from one slot to the next.
    pub stride: usize,
    /// Locking into memory.
    pub mlock: Granted,
    /// Huge pages.
    pub huge_pages: Granted,
}

/// Which bytes of a slot may hold something else than zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dirty {
    /// None.
    Nothing,
    /// `len` bytes from `start` on; what reaches beyond the slot is cut off.
    Range {
        /// The first byte.
        start: u32,
        /// How many bytes.
        len: u32,
    },
    /// All of them.
    All,
}

/// A region of `count` slots: populated, zeroed, not copied into forked children (`MADV_DONTFORK`), left out of
/// core dumps (`MADV_DONTDUMP`), with an inaccessible page behind the tail. Unmapped when dropped.
pub struct Slab {
    map: Map,
    slot_size: usize,
    stride: usize,
    count: u32,
    info: MemoryInfo,
}

impl Slab {
    /// Bytes that every stride is a multiple of: a cache line.
    pub const ALIGN: usize = 64;

    /// Maps and populates a slab of `count` slots of `slot_size` bytes.
    ///
    /// Costs a page fault per page, here and not later. What `options` ask for is best effort; [`Slab::info`]
    /// says what was got.
    ///
    /// # Errors
    /// [`Code::OutOfRange`]: size or count is 0, or the slab would be larger than 4 GiB - 1.
    /// [`Code::NoMemory`]: more than the system can give; nothing has been allocated.
    pub fn new(slot_size: usize, count: u32, options: &MemoryOptions) -> Result<Slab, Error> {
        let (stride, bytes) = layout(slot_size, count)?;
        if let Some(available) = available_bytes()
            && !fits(bytes as u64, available)
        {
            return Err(Error::new(
                Code::NoMemory,
                format!("{count} slots of {slot_size} bytes need {bytes} bytes, {available} are available"),
            ));
        }
        let mut huge_pages = Granted { asked: options.huge_pages, ..Granted::default() };
        let map = Map::new(bytes, alignment(bytes, &mut huge_pages))?;
        #[cfg(target_os = "linux")]
        {
            // A spawned child would share the pages copy-on-write, and the kernel would go on receiving into
            // the child's copies; core dumps would hold other people's packets. Both are known since 3.4.
            for advice in [libc::MADV_DONTFORK, libc::MADV_DONTDUMP] {
                map.advise(advice).map_err(|e| {
                    Error::system("madvise", e.raw_os_error().unwrap_or(0), "The slab cannot be kept private")
                })?;
            }
            if huge_pages.asked && huge_pages.why.is_none() {
                huge_pages.why = map.advise(libc::MADV_HUGEPAGE).err().map(|e| {
                    format!("MADV_HUGEPAGE: {e}: the kernel was built without transparent huge pages")
                });
            }
        }
        map.populate()?;
        #[cfg(target_os = "linux")]
        if huge_pages.asked && huge_pages.why.is_none() {
            huge_pages.why = missing_huge_pages(map.huge_bytes(), map.bytes());
        }
        huge_pages.got = huge_pages.asked && huge_pages.why.is_none();
        let mlock = lock(&map, options.mlock);
        let info = MemoryInfo { bytes: map.bytes(), stride, mlock, huge_pages };
        Ok(Slab { map, slot_size, stride, count, info })
    }

    /// Lays the slab over other memory: its own pages are freed, and from then on its slots are that mapping's bytes, for whoever
    /// uses either. The pages stay until slab and mapping are both gone. Locking is asked for again; huge pages are up to the
    /// mapping's owner.
    ///
    /// # Errors
    /// [`Code::System`]. What is at the slab's place then is not known: it must be neither used nor dropped.
    ///
    /// # Safety
    /// `pages` is the beginning of a shared mapping (MAP_SHARED) of whole pages that are all zeros, not shorter than the slab, and
    /// stays mapped during the call. Nobody has written to the slab, and nobody uses it during the call.
    #[cfg(all(target_os = "linux", feature = "xsk-rs"))]
    pub(crate) unsafe fn adopt(&self, pages: NonNull<u8>) -> Result<(), Error> {
        let refused = |call| {
            move |error: std::io::Error| {
                let what = "The slab cannot be laid over the UMEM of xsk-rs";
                Error::system(call, error.raw_os_error().unwrap_or(0), what)
            }
        };
        // SAFETY: the caller's promise.
        unsafe { self.map.adopt(pages) }.map_err(refused("mremap"))?;
        for advice in [libc::MADV_DONTFORK, libc::MADV_DONTDUMP] {
            self.map.advise(advice).map_err(refused("madvise"))?;
        }
        self.map.populate()?;
        if self.info.mlock.got {
            self.map.lock().map_err(refused("mlock"))?;
        }
        Ok(())
    }

    /// The first byte of slot 0; page-aligned. Valid as long as the slab lives.
    pub fn base(&self) -> *mut u8 {
        self.map.base().as_ptr()
    }

    /// Asks the CPU for the cache line at byte `offset`, which somebody else has written and which is about to be read.
    #[inline]
    pub(crate) fn prefetch(&self, offset: usize) {
        let at = self.base().wrapping_add(offset);
        // SAFETY: a prefetch reads nothing; any address will do.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
        }
        // SAFETY: as above, and it changes no register.
        #[cfg(target_arch = "aarch64")]
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) at, options(nostack, preserves_flags, readonly));
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let _ = at;
    }

    /// Bytes of all slots: stride × count, at most `u32::MAX`.
    #[expect(clippy::len_without_is_empty, reason = "a slab is never empty")]
    pub fn len(&self) -> usize {
        self.stride * self.count as usize
    }

    /// Bytes from one slot to the next: the slot size rounded up to 64.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Usable bytes of a slot.
    pub fn slot_size(&self) -> usize {
        self.slot_size
    }

    /// How many slots there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// What was asked of the memory and what was got.
    pub fn info(&self) -> &MemoryInfo {
        &self.info
    }

    /// The first byte of a slot; 64-byte aligned.
    ///
    /// # Panics
    /// When there is no such slot: callers have checked the number against the owner table.
    pub fn slot(&self, slot: u32) -> *mut u8 {
        self.slot_ptr(slot).as_ptr()
    }

    #[inline]
    pub(crate) fn slot_ptr(&self, slot: u32) -> NonNull<u8> {
        assert!(slot < self.count, "slot {slot} of {}", self.count);
        // SAFETY: slot < count, so the offset is inside the mapping.
        unsafe { self.map.base().add(slot as usize * self.stride) }
    }

    /// Zeroes the dirty bytes of a slot, in a way that no optimiser removes.
    ///
    /// # Safety
    /// The caller owns the slot: nobody else reads or writes its bytes during the call.
    ///
    /// # Panics
    /// When there is no such slot.
    pub unsafe fn clear(&self, slot: u32, dirty: Dirty) {
        let (start, len) = match dirty {
            Dirty::Nothing => return,
            Dirty::Range { start, len } => {
                let start = (start as usize).min(self.slot_size);
                (start, (len as usize).min(self.slot_size - start))
            }
            Dirty::All => (0, self.slot_size),
        };
        // SAFETY: start + len <= slot_size, so the range lies in the slot, which the caller owns.
        unsafe { zero(self.slot_ptr(slot).add(start), len) };
    }
}

impl fmt::Debug for Slab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slab").field("slot_size", &self.slot_size).field("count", &self.count).finish()
    }
}

/// Zeroes `len` bytes; the stores happen even if nothing in the program reads the bytes again.
///
/// # Safety
/// `at .. at + len` is writable and nobody else uses it during the call.
#[inline]
pub(crate) unsafe fn zero(at: NonNull<u8>, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { at.write_bytes(0, len) };
    // SAFETY: no instruction is executed. To the compiler this is code that may read all memory reachable
    // from `at`, so the stores above must have happened.
    unsafe { std::arch::asm!("/* {0} */", in(reg) at.as_ptr(), options(nostack, preserves_flags)) };
}

/// Stride and total bytes.
fn layout(slot_size: usize, count: u32) -> Result<(usize, usize), Error> {
    let out_of_range = |what: String| Err(Error::new(Code::OutOfRange, what));
    if slot_size == 0 || slot_size > u32::MAX as usize {
        return out_of_range(format!("The buffer size is {slot_size} bytes; allowed are 1 to {}", u32::MAX));
    }
    if count == 0 {
        return out_of_range("The capacity is 0 buffers; at least 1 is needed".into());
    }
    let stride = slot_size.next_multiple_of(Slab::ALIGN);
    let most = u32::MAX as usize / stride;
    if count as usize > most {
        return out_of_range(format!(
            "The capacity is {count} buffers; with buffers of {slot_size} bytes at most {most} fit into one slab of 4 GiB"
        ));
    }
    Ok((stride, stride * count as usize))
}

/// The alignment for the mapping: that of a huge page when one was asked for and fits.
fn alignment(bytes: usize, huge_pages: &mut Granted) -> usize {
    if !huge_pages.asked {
        return page_size();
    }
    #[cfg(target_os = "linux")]
    match super::map::huge_page_size() {
        Some(huge) if bytes >= huge => return huge,
        Some(huge) => {
            huge_pages.why = Some(format!(
                "the slab has {bytes} bytes, a huge page {huge}: raise the capacity or leave huge pages off"
            ));
        }
        None => huge_pages.why = Some("the kernel was built without transparent huge pages".into()),
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = bytes;
        huge_pages.why = Some("transparent huge pages exist on Linux only".into());
    }
    page_size()
}

/// Why not all whole huge pages of the slab were got, or `None` when they were.
#[cfg(target_os = "linux")]
fn missing_huge_pages(got: usize, bytes: usize) -> Option<String> {
    let huge = super::map::huge_page_size()?;
    let whole = bytes / huge * huge;
    (got < whole).then(|| {
        let path = "/sys/kernel/mm/transparent_hugepage/enabled";
        let setting = std::fs::read_to_string(path).unwrap_or_default();
        format!(
            "{got} of {whole} bytes lie in huge pages; {path} says \"{}\": `echo madvise > {path}`, and \
             `echo 1 > /proc/sys/vm/compact_memory` when memory is fragmented",
            setting.trim()
        )
    })
}

fn lock(map: &Map, asked: bool) -> Granted {
    if !asked {
        return Granted::default();
    }
    let why = map.lock().err().map(|error| {
        let limit = lock_limit().map_or("unlimited".into(), |bytes| format!("{bytes} bytes"));
        format!(
            "mlock: {error}: the slab has {} bytes, RLIMIT_MEMLOCK is {limit}: raise it with `ulimit -l {}` or \
             LimitMEMLOCK= of systemd, or grant CAP_IPC_LOCK",
            map.bytes(),
            map.bytes().div_ceil(1024)
        )
    });
    Granted { asked, got: why.is_none(), why }
}

/// The soft limit of locked memory in bytes; `None`: unlimited.
fn lock_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is ours and getrlimit fills it.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) };
    (got == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_are_whole_cache_lines() {
        assert_eq!(layout(1, 1).unwrap(), (64, 64));
        assert_eq!(layout(1500, 256).unwrap(), (1536, 393_216));
        assert_eq!(layout(2048, 3).unwrap(), (2048, 6144));
    }

    #[test]
    fn sizes_that_cannot_be_addressed_are_refused_with_what_is_allowed() {
        for (size, count, allowed) in [
            (0, 1, "allowed are 1 to 4294967295"),
            (usize::MAX, 1, "allowed are 1 to 4294967295"),
            (1500, 0, "at least 1"),
            (2048, 2_097_152, "at most 2097151"),
            (u32::MAX as usize, 1, "at most 0"),
        ] {
            let error = layout(size, count).unwrap_err();
            assert_eq!(error.code(), Code::OutOfRange);
            assert!(error.message().contains(allowed), "{error}");
        }
        assert_eq!(layout(2048, 2_097_151).unwrap().1, u32::MAX as usize - 2047);
    }

    #[cfg(all(target_os = "linux", feature = "xsk-rs"))]
    #[test]
    fn a_slab_that_is_laid_over_other_memory_is_that_memory_and_outlives_its_first_mapping() {
        let slab = Slab::new(2048, 5, &MemoryOptions::default()).unwrap();
        let bytes = slab.info().bytes;
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping of whole zeroed pages, as long as the slab's; nobody else knows either.
        unsafe {
            let other = libc::mmap(std::ptr::null_mut(), bytes, access, flags, -1, 0);
            assert_ne!(other, libc::MAP_FAILED);
            slab.adopt(NonNull::new(other.cast()).unwrap()).unwrap();
            let other = other.cast::<u8>();
            other.add(2048).write_volatile(7);
            assert_eq!(slab.slot(1).read_volatile(), 7);
            slab.slot(4).add(2047).write_volatile(9);
            assert_eq!(other.add(5 * 2048 - 1).read_volatile(), 9);
            assert_eq!(libc::munmap(other.cast(), bytes), 0);
            assert_eq!((slab.slot(1).read_volatile(), slab.slot(4).add(2047).read_volatile()), (7, 9));
        }
    }
}
