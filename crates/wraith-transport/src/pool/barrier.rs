//! A fence whose price is paid by the side that needs it rarely: membarrier(2).
//!
//! Dekker's problem needs a full fence on both sides. `heavy` makes the kernel run one on every CPU that runs a thread
//! of this process (`MEMBARRIER_CMD_PRIVATE_EXPEDITED`, Linux 4.14), so `light` is one to the compiler only. Where
//! there is no membarrier, and under loom, both are ordinary SeqCst fences.

#[cfg(not(loom))]
use std::sync::OnceLock;

use crate::sync::atomic::{Ordering, fence};

/// Which kind of fences a pair of threads uses; both sides must use the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Barrier {
    /// The light side is free, the heavy side a system call of 1 to 10 µs.
    #[cfg(all(target_os = "linux", not(loom)))]
    Asymmetric,
    /// Both sides are fences.
    Symmetric,
}

impl Barrier {
    /// The best that this system has; the same for the life of the process.
    pub(super) fn best() -> Barrier {
        #[cfg(not(loom))]
        {
            static BEST: OnceLock<Barrier> = OnceLock::new();
            *BEST.get_or_init(detect)
        }
        #[cfg(loom)]
        Barrier::Symmetric
    }

    /// The side that is taken often.
    #[inline]
    pub(super) fn light(self) {
        match self {
            #[cfg(all(target_os = "linux", not(loom)))]
            Barrier::Asymmetric => std::sync::atomic::compiler_fence(Ordering::SeqCst),
            Barrier::Symmetric => fence(Ordering::SeqCst),
        }
    }

    /// The side that is taken rarely. `false`: the kernel has taken its promise back, and nothing is ordered.
    #[must_use]
    pub(super) fn heavy(self) -> bool {
        match self {
            #[cfg(all(target_os = "linux", not(loom)))]
            Barrier::Asymmetric => linux::membarrier(linux::PRIVATE_EXPEDITED),
            Barrier::Symmetric => {
                fence(Ordering::SeqCst);
                true
            }
        }
    }
}

#[cfg(not(loom))]
fn detect() -> Barrier {
    #[cfg(target_os = "linux")]
    if linux::membarrier(linux::REGISTER_PRIVATE_EXPEDITED) && linux::membarrier(linux::PRIVATE_EXPEDITED) {
        return Barrier::Asymmetric;
    }
    Barrier::Symmetric
}

#[cfg(all(target_os = "linux", not(loom)))]
mod linux {
    #![expect(unsafe_code, reason = "a system call")]

    pub(super) const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
    pub(super) const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

    /// membarrier(2); `false`: refused.
    pub(super) fn membarrier(command: libc::c_int) -> bool {
        // SAFETY: takes and changes no memory.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }
}
