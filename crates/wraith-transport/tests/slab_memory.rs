//! The slab's memory as the kernel sees it.
#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "reads the slab through raw pointers, and makes children that must fault")]

mod support;

use std::ptr::NonNull;

use support::again_with;
use wraith_transport::memory::{Dirty, MemoryOptions, Owner, Slab, State};
use wraith_transport::pool::PoolCore;
use wraith_transport::{BufferPool, Code};

const PLAIN: MemoryOptions = MemoryOptions { mlock: false, huge_pages: false };

/// Copies bytes out, one volatile read each: what is in memory, not what the compiler believes.
fn peek(at: *const u8, len: usize) -> Vec<u8> {
    // SAFETY: callers pass ranges of slots that nobody else uses meanwhile.
    (0..len).map(|i| unsafe { at.add(i).read_volatile() }).collect()
}

/// Runs `body` in a forked child and returns how it ended: `Ok(exit code)` or `Err(signal)`.
///
/// `body` must do nothing but touch memory and make system calls: other threads' locks may be held for ever.
fn in_forked_child(body: impl FnOnce() -> i32) -> Result<i32, i32> {
    // SAFETY: the child runs `body`, which keeps to the rule above, and leaves without unwinding.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    if child == 0 {
        // SAFETY: resetting handlers (std's, a sanitizer's) and leaving are allowed after fork.
        unsafe {
            libc::signal(libc::SIGSEGV, libc::SIG_DFL);
            libc::signal(libc::SIGBUS, libc::SIG_DFL);
            libc::_exit(body());
        }
    }
    let mut status = 0;
    // SAFETY: waits for the child made above, once.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(waited, child);
    if libc::WIFSIGNALED(status) { Err(libc::WTERMSIG(status)) } else { Ok(libc::WEXITSTATUS(status)) }
}

fn touch(at: *mut u8) -> Result<i32, i32> {
    in_forked_child(|| {
        // SAFETY: a fault is what the tests look for; nothing else runs in the child.
        unsafe { at.read_volatile() };
        0
    })
}

#[test]
fn a_released_buffer_is_zero_in_memory() {
    let pool = BufferPool::new(1500, 1);
    let mut buffer = pool.acquire();
    buffer.fill(0xa5);
    let at = buffer.as_ptr();
    assert_eq!(peek(at, 1500), [0xa5; 1500]);
    drop(buffer);
    assert_eq!(peek(at, 1500), [0; 1500]);
}

#[test]
fn a_reclaimed_slot_is_zero_in_memory() {
    let core = PoolCore::new(64, 1, &PLAIN).unwrap();
    let dead = Owner::new(7).unwrap();
    for state in [State::Cached, State::Lent, State::Posted] {
        let slot = core.pop((state, dead)).unwrap();
        // SAFETY: the slot has just been popped, its 64 bytes are this test's.
        unsafe { core.slab().slot(slot).write_bytes(9, 64) };
        assert_eq!(core.reclaim(dead), 1);
        assert_eq!(peek(core.slab().slot(slot), 64), [0; 64]);
    }
}

#[test]
fn opting_out_of_clearing_leaves_the_bytes() {
    let pool = BufferPool::builder(64, 1).clear_on_release(false).build().unwrap();
    pool.acquire().fill(7);
    assert_eq!(*pool.acquire(), [7; 64]);
}

#[test]
fn clearing_touches_the_dirty_range_and_nothing_else() {
    let slab = Slab::new(100, 3, &PLAIN).unwrap();
    let fill = || {
        // SAFETY: the slab is this test's alone.
        unsafe { NonNull::new(slab.base()).unwrap().write_bytes(9, slab.len()) };
    };
    let range = |start, len| Dirty::Range { start, len };
    for (dirty, zeros) in [
        (Dirty::Nothing, 0..0),
        (range(10, 20), 10..30),
        (range(0, 0), 0..0),
        (range(90, 50), 90..100),
        (range(100, 1), 0..0),
        (range(u32::MAX, u32::MAX), 0..0),
        (range(1, u32::MAX), 1..100),
        (Dirty::All, 0..100),
    ] {
        fill();
        // SAFETY: the slab is this test's alone.
        unsafe { slab.clear(1, dirty) };
        let bytes = peek(slab.base(), slab.len());
        let (start, stride) = (slab.stride(), 128);
        assert_eq!(start, stride);
        for (i, &byte) in bytes.iter().enumerate() {
            let cleared = i >= start && zeros.contains(&(i - start));
            assert_eq!(byte, if cleared { 0 } else { 9 }, "{dirty:?}: byte {i}");
        }
    }
}

#[test]
fn slots_are_zero_aligned_and_apart() {
    let slab = Slab::new(1500, 5, &PLAIN).unwrap();
    assert_eq!((slab.slot_size(), slab.stride(), slab.count(), slab.len()), (1500, 1536, 5, 7680));
    assert_eq!(slab.base() as usize % 4096, 0);
    assert!(peek(slab.base(), slab.len()).iter().all(|&b| b == 0));
    for slot in 0..5 {
        assert_eq!(slab.slot(slot) as usize, slab.base() as usize + 1536 * slot as usize);
    }
    assert_eq!(slab.info().bytes, 8192);
}

#[test]
#[should_panic(expected = "slot 5 of 5")]
fn a_slot_that_does_not_exist_has_no_address() {
    Slab::new(64, 5, &PLAIN).unwrap().slot(5);
}

#[test]
fn the_kernel_cannot_read_behind_the_tail() {
    // write(2) from an inaccessible page fails with EFAULT.
    let slab = Slab::new(4096, 3, &PLAIN).unwrap();
    let mut pipe = [0; 2];
    // SAFETY: `pipe` has room for two descriptors; write reads one byte or fails.
    unsafe {
        assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        let last = slab.base().add(slab.info().bytes - 1);
        assert_eq!(libc::write(pipe[1], last.cast(), 1), 1);
        let behind = slab.base().wrapping_add(slab.info().bytes);
        assert_eq!(libc::write(pipe[1], behind.cast(), 1), -1);
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EFAULT));
        libc::close(pipe[0]);
        libc::close(pipe[1]);
    }
}

#[test]
fn running_off_the_end_of_the_slab_faults() {
    const CHILD: &str = "WRAITH_TEST_RUNS_OFF_THE_END";
    if std::env::var_os(CHILD).is_some() {
        let slab = Slab::new(4096, 3, &PLAIN).unwrap();
        // SAFETY: restores the default, so that the process dies of the signal itself.
        unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
        let end = slab.base().wrapping_add(slab.info().bytes);
        // SAFETY: the first is the slab's last byte; the second faults, which is what the parent waits for.
        unsafe {
            end.wrapping_sub(1).write_volatile(1);
            println!("inside is fine");
            end.write_volatile(1);
        }
        return;
    }
    let child = again_with("running_off_the_end_of_the_slab_faults", CHILD);
    assert!(String::from_utf8_lossy(&child.stdout).contains("inside is fine"), "{child:?}");
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&child.status),
        Some(libc::SIGSEGV),
        "{child:?}"
    );
}

#[test]
fn forked_children_do_not_have_the_slab() {
    let slab = Slab::new(4096, 2, &PLAIN).unwrap();
    let ordinary = Box::into_raw(vec![0_u8; 4096].into_boxed_slice()).cast::<u8>();
    assert_eq!(touch(ordinary), Ok(0));
    assert_eq!(touch(slab.base()), Err(libc::SIGSEGV));
    // SAFETY: made by Box::into_raw above, from a slice of this length.
    drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(ordinary, 4096)) });
}

/// The flags of the slab's mapping: proc(5), "VmFlags". `lo`: locked, `dc`: not copied on fork, `dd`: not dumped.
fn vm_flags(slab: &Slab) -> Vec<String> {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let head = format!("{:x}-", slab.base() as usize);
    let area = smaps.lines().skip_while(|line| !line.starts_with(&head));
    let flags = area.skip(1).find_map(|line| line.strip_prefix("VmFlags:")).unwrap();
    flags.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_slab_is_left_out_of_core_dumps_and_forks() {
    let slab = Slab::new(4096, 2, &PLAIN).unwrap();
    let flags = vm_flags(&slab);
    assert!(flags.contains(&"dc".into()) && flags.contains(&"dd".into()), "{flags:?}");
    assert!(!flags.contains(&"lo".into()), "{flags:?}");
    assert_eq!(slab.info().mlock, Default::default());
}

#[test]
fn the_whole_slab_is_present_before_the_first_use() {
    let slab = Slab::new(4096, 64, &PLAIN).unwrap();
    let pages = slab.len() / 4096;
    let mut present = vec![0_u8; pages];
    // SAFETY: the vector has a byte for every page of the range (mincore(2)).
    let asked = unsafe { libc::mincore(slab.base().cast(), slab.len(), present.as_mut_ptr()) };
    assert_eq!(asked, 0);
    assert!(present.iter().all(|page| page & 1 == 1));
}

/// Whether this runs under a sanitizer, where a test cannot be right; says so.
fn under_sanitizer(why: &str) -> bool {
    let sanitizer = std::env::var("WRAITH_SANITIZER");
    if let Ok(name) = &sanitizer {
        println!("not run under the {name} sanitizer: {why}");
    }
    sanitizer.is_ok()
}

#[test]
fn locked_memory_is_got_within_the_limit() {
    if under_sanitizer("it makes mlock do nothing") {
        return;
    }
    const BYTES: u64 = 64 * 1024;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit fills the structure.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) }, 0);
    let allowed = limit.rlim_cur >= 4 * BYTES;
    let slab = Slab::new(4096, 16, &MemoryOptions { mlock: true, huge_pages: false }).unwrap();
    let mlock = &slab.info().mlock;
    assert!(mlock.asked);
    // Where the limit has room this must work; where it has none, a right may still allow it.
    assert!(mlock.got || !allowed, "{mlock:?} under {}", limit.rlim_cur);
    assert_eq!(vm_flags(&slab).contains(&"lo".into()), mlock.got);
    assert_eq!(mlock.why.is_some(), !mlock.got);
}

#[test]
fn locked_memory_beyond_the_limit_is_reported_with_the_way_out() {
    if under_sanitizer("it makes mlock do nothing") {
        return;
    }
    const CHILD: &str = "WRAITH_TEST_MAY_NOT_LOCK";
    if std::env::var_os(CHILD).is_some() {
        without_the_right_to_lock();
        let slab = Slab::new(4096, 16, &MemoryOptions { mlock: true, huge_pages: false }).unwrap();
        let mlock = slab.info().mlock.clone();
        assert!(mlock.asked && !mlock.got, "{mlock:?}");
        let why = mlock.why.unwrap();
        for part in
            ["mlock: ", "65536 bytes", "RLIMIT_MEMLOCK is 4096 bytes", "`ulimit -l 64`", "CAP_IPC_LOCK"]
        {
            assert!(why.contains(part), "{part:?} in {why:?}");
        }
        // The slab is as good as any other.
        assert!(peek(slab.base(), slab.len()).iter().all(|&b| b == 0));
        return;
    }
    let child = again_with("locked_memory_beyond_the_limit_is_reported_with_the_way_out", CHILD);
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
}

/// Lowers RLIMIT_MEMLOCK to a page and drops CAP_IPC_LOCK, for this process.
fn without_the_right_to_lock() {
    const CAP_IPC_LOCK: u32 = 14;
    let limit = libc::rlimit { rlim_cur: 4096, rlim_max: 4096 };
    // Version 3 of capset(2): a header, then effective, permitted and inheritable, 32 bits each, twice.
    let mut header = [0x2008_0522_u32, 0];
    let mut sets = [0_u32; 6];
    // SAFETY: the structures have the layout of capget(2) and live through the calls.
    unsafe {
        assert_eq!(libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit), 0);
        assert_eq!(libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()), 0);
        sets[0] &= !(1 << CAP_IPC_LOCK);
        sets[1] &= !(1 << CAP_IPC_LOCK);
        assert_eq!(libc::syscall(libc::SYS_capset, header.as_mut_ptr(), sets.as_ptr()), 0);
    }
}

#[test]
fn huge_pages_are_got_or_the_reason_is_given() {
    let slab = Slab::new(4096, 1024, &MemoryOptions { mlock: false, huge_pages: true }).unwrap();
    let huge = &slab.info().huge_pages;
    assert!(huge.asked);
    assert_eq!(huge.got, huge.why.is_none(), "{huge:?}");
    if huge.got {
        assert_eq!(slab.base() as usize % (2 << 20), 0);
        assert!(vm_flags(&slab).contains(&"hg".into()));
    }
    println!("huge pages: {huge:?}");
}

#[test]
fn a_slab_smaller_than_a_huge_page_says_so() {
    let slab = Slab::new(1500, 4, &MemoryOptions { mlock: false, huge_pages: true }).unwrap();
    let huge = &slab.info().huge_pages;
    assert!(huge.asked && !huge.got);
    let why = huge.why.as_ref().unwrap();
    assert!(why.contains("raise the capacity") || why.contains("without transparent huge pages"), "{why}");
}

#[test]
fn sizes_that_cannot_be_had_are_errors() {
    for (size, count) in
        [(0, 1), (1, 0), (1 << 20, 1 << 20), (usize::MAX, 1), (usize::MAX, u32::MAX), (1, u32::MAX)]
    {
        let error = Slab::new(size, count, &PLAIN).unwrap_err();
        assert_eq!(error.code(), Code::OutOfRange, "{size} × {count}: {error}");
        let error = BufferPool::builder(size, count as usize).build().unwrap_err();
        assert_eq!(error.code(), Code::OutOfRange, "{size} × {count}: {error}");
    }
    assert_eq!(BufferPool::builder(64, usize::MAX).build().unwrap_err().code(), Code::OutOfRange);
}

#[test]
fn memory_that_cannot_be_had_is_an_error_and_the_process_lives() {
    const CHILD: &str = "WRAITH_TEST_HAS_LITTLE_MEMORY";
    if std::env::var_os(CHILD).is_some() {
        let limit = libc::rlimit { rlim_cur: 512 << 20, rlim_max: 512 << 20 };
        // SAFETY: lowers the address space of this process, which the parent made for it.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
        let error = BufferPool::builder(4096, 1 << 18).build().unwrap_err();
        assert_eq!(error.code(), Code::NoMemory, "{error}");
        assert!(error.message().ends_with("Ask for a smaller capacity or bufferSize."), "{error}");
        assert_eq!(BufferPool::new(4096, 16).acquire().len(), 4096);
        return;
    }
    if under_sanitizer("it reserves more address space than the limit here") {
        return;
    }
    let child = again_with("memory_that_cannot_be_had_is_an_error_and_the_process_lives", CHILD);
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
}

#[test]
fn the_memory_goes_when_its_last_user_does() {
    let pool = BufferPool::new(4096, 8);
    let mut buffer = pool.acquire();
    let mapped = |address: usize| {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().any(|line| {
            let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
            let parse = |hex| usize::from_str_radix(hex, 16).unwrap();
            line.contains("rw-p") && (parse(start)..parse(end)).contains(&address)
        })
    };
    let slab = std::sync::Arc::downgrade(pool.core().slab());
    let base = pool.core().slab().base() as usize;
    assert!(mapped(base));
    drop(pool);
    // Still good to write to, and still the only holder.
    buffer.fill(3);
    assert!(mapped(base) && slab.upgrade().is_some());
    drop(buffer);
    assert!(slab.upgrade().is_none());
}
