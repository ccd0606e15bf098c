//! Anonymous mappings: page-aligned, zeroed, populated, with a guard page behind the tail.
#![expect(unsafe_code, reason = "mmap, mprotect, madvise, mlock and munmap are system calls")]

use std::ptr::NonNull;

use crate::{Code, Error};

/// A readable and writable region of whole pages, unmapped when dropped.
pub(super) struct Map {
    base: NonNull<u8>,
    bytes: usize,
    reserved: NonNull<u8>,
    reserved_bytes: usize,
}

/// The size of a page in bytes.
pub(super) fn page_size() -> usize {
    // SAFETY: sysconf reads a constant.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// The size of a transparent huge page in bytes, or `None` where there are none.
#[cfg(target_os = "linux")]
pub(super) fn huge_page_size() -> Option<usize> {
    let text = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size").ok()?;
    text.trim().parse().ok().filter(|&size: &usize| size.is_power_of_two())
}

impl Map {
    /// Maps at least `bytes` bytes at an address that is a multiple of `align` (a power of two, at least a
    /// page), followed by an inaccessible page. Nothing is populated yet.
    pub(super) fn new(bytes: usize, align: usize) -> Result<Map, Error> {
        let page = page_size();
        let refused = || Error::new(Code::OutOfRange, format!("A slab of {bytes} bytes cannot be addressed"));
        let bytes = bytes.checked_next_multiple_of(page).ok_or_else(refused)?;
        let reserved_bytes =
            bytes.checked_add(page).and_then(|b| b.checked_add(align)).ok_or_else(refused)?;
        // Everything is reserved without access first; what lies outside [base, base + bytes) stays that way
        // and is the guard.
        // SAFETY: a new private mapping at an address of the kernel's choice replaces nothing.
        let reserved = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                reserved_bytes,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANON,
                -1,
                0,
            )
        };
        if reserved == libc::MAP_FAILED {
            return Err(Error::last_system("mmap", format!("A slab of {bytes} bytes cannot be mapped")));
        }
        let reserved = NonNull::new(reserved.cast::<u8>())
            .ok_or_else(|| Error::new(Code::Internal, "mmap returned address 0"))?;
        let lead = reserved.as_ptr().align_offset(align);
        // SAFETY: lead < align, and the reservation has room for align bytes more than the slab and its guard.
        let base = unsafe { reserved.add(lead) };
        let map = Map { base, bytes, reserved, reserved_bytes };
        // SAFETY: the range lies in the reservation above, which nothing else uses yet.
        let made = unsafe { libc::mprotect(base.as_ptr().cast(), bytes, libc::PROT_READ | libc::PROT_WRITE) };
        if made != 0 {
            return Err(Error::last_system("mprotect", format!("A slab of {bytes} bytes cannot be mapped")));
        }
        Ok(map)
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Whole pages: at least what was asked for.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives the kernel advice about the whole region: madvise(2).
    #[cfg(target_os = "linux")]
    pub(super) fn advise(&self, advice: libc::c_int) -> Result<(), std::io::Error> {
        // SAFETY: the range is this mapping's. The advice passed in this crate (DONTFORK, DONTDUMP, HUGEPAGE,
        // POPULATE_WRITE) changes no bytes.
        match unsafe { libc::madvise(self.base.as_ptr().cast(), self.bytes, advice) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    }

    /// Puts the pages of another mapping in the place of this one's, which are freed. Children do not inherit the other mapping,
    /// nor is it dumped.
    ///
    /// # Safety
    /// `pages` is the beginning of a shared mapping (MAP_SHARED), not shorter than this one. Nobody uses this one during the call. After
    /// an error the range may be anybody's: it must not be unmapped.
    #[cfg(all(target_os = "linux", feature = "xsk-rs"))]
    pub(super) unsafe fn adopt(&self, pages: NonNull<u8>) -> Result<(), std::io::Error> {
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: an old size of 0 makes a second mapping of the same pages (mremap(2)); it replaces [base, base + bytes), which
        // is this mapping's and, by the caller's promise, used by nobody.
        let got = unsafe {
            libc::mremap(
                pages.as_ptr().cast(),
                0,
                self.bytes,
                flags,
                self.base.as_ptr().cast::<libc::c_void>(),
            )
        };
        if got == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        for advice in [libc::MADV_DONTFORK, libc::MADV_DONTDUMP] {
            // SAFETY: a mapping of at least that length, by the caller's promise; these change no bytes.
            if unsafe { libc::madvise(pages.as_ptr().cast(), self.bytes, advice) } != 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    }

    /// Makes every page present, so that no page fault happens later.
    pub(super) fn populate(&self) -> Result<(), Error> {
        #[cfg(target_os = "linux")]
        match self.advise(libc::MADV_POPULATE_WRITE).map_err(|e| e.raw_os_error()) {
            Ok(()) => return Ok(()),
            // Linux before 5.14 does not know the advice: touch the pages instead.
            Err(Some(libc::EINVAL)) => {}
            Err(errno) => {
                let what = format!("A slab of {} bytes cannot be populated", self.bytes);
                return Err(match errno.unwrap_or(libc::ENOMEM) {
                    // What the kernel says when a page cannot be had (madvise(2)).
                    libc::EFAULT | libc::EHWPOISON => Error::system("madvise", libc::ENOMEM, what),
                    errno => Error::system("madvise", errno, what),
                });
            }
        }
        for offset in (0..self.bytes).step_by(page_size()) {
            // SAFETY: the offset is inside the mapping, which is still this function's alone and all zeros.
            unsafe { self.base.add(offset).write_volatile(0) };
        }
        Ok(())
    }

    /// Keeps the region in memory: mlock(2).
    pub(super) fn lock(&self) -> Result<(), std::io::Error> {
        // SAFETY: the range is this mapping's; locking changes no bytes.
        match unsafe { libc::mlock(self.base.as_ptr().cast(), self.bytes) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    }

    /// How many of the region's bytes lie in huge pages now (proc(5), `smaps`).
    #[cfg(target_os = "linux")]
    pub(super) fn huge_bytes(&self) -> usize {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
        huge_bytes_at(&smaps, self.base.as_ptr() as usize)
    }
}

#[cfg(target_os = "linux")]
fn huge_bytes_at(smaps: &str, base: usize) -> usize {
    let head = format!("{base:x}-");
    let area = smaps.lines().skip_while(|line| !line.starts_with(&head));
    area.skip(1)
        // The next area begins with an address range; the lines of this one with a capital letter.
        .take_while(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .find_map(|line| line.strip_prefix("AnonHugePages:")?.trim().strip_suffix("kB")?.trim().parse().ok())
        .map_or(0, |kib: usize| kib * 1024)
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the reservation was made by `new` and is unmapped once. The slab keeps it until its last
        // user is gone.
        unsafe { libc::munmap(self.reserved.as_ptr().cast(), self.reserved_bytes) };
    }
}

// SAFETY: a mapping belongs to the process, not to a thread; this type only hands out its address.
unsafe impl Send for Map {}
// SAFETY: as above; no method reads or writes the bytes after construction.
unsafe impl Sync for Map {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_aligned_and_the_pages_are_zero() {
        let align = 2 << 20;
        let map = Map::new(3 * page_size() - 7, align).unwrap();
        map.populate().unwrap();
        assert_eq!(map.base().as_ptr() as usize % align, 0);
        assert_eq!(map.bytes(), 3 * page_size());
        // SAFETY: the region is mapped, and nobody else knows it.
        let bytes = unsafe { std::slice::from_raw_parts(map.base().as_ptr(), map.bytes()) };
        assert!(bytes.iter().all(|&b| b == 0));
    }

    #[test]
    fn huge_pages_are_read_from_the_area_that_begins_at_the_base() {
        let smaps = "1000-2000 rw-p 0\nSize: 4 kB\nAnonHugePages: 8 kB\n\
                     2000-9000 rw-p 0\nSize: 4 kB\nAnonHugePages:      2048 kB\nVmFlags: rd\n\
                     9000-a000 rw-p 0\nAnonHugePages: 4 kB\n";
        assert_eq!(huge_bytes_at(smaps, 0x2000), 2 << 20);
        assert_eq!(huge_bytes_at(smaps, 0x1000), 8192);
        assert_eq!(huge_bytes_at(smaps, 0x3000), 0);
    }
}
