//! The guide's "Lock contention: zero", proved: threads that share a pool make no futex call.
//!
//! A child process starts the threads; once all run, each forbids itself futex(2) by a seccomp filter that
//! kills the process. They meet by spinning, and the child leaves without joining them, so nothing but the pool could
//! make the call. A second child takes a contended mutex instead and must die: the filter works.
#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "installs a seccomp filter and leaves by _exit")]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use support::again_with;
use wraith_transport::BufferPool;
use wraith_transport::pool::Exhausted;

const THREADS: usize = 8;
const ROUNDS: usize = 100_000;

/// Kills the process when this thread makes a futex call from now on: seccomp(2).
fn forbid_futex() {
    const FUTEX_WAITV: u32 = 449;
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    // `k` equals the system call's number: skip `jt` statements.
    let equals = |k: u32, jt: u8| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt,
        jf: 0,
        k,
    };
    let give = libc::BPF_RET | libc::BPF_K;
    let mut program = [
        // The number is the first field of `struct seccomp_data`.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        equals(libc::SYS_futex as u32, 2),
        equals(FUTEX_WAITV, 1),
        statement(give, libc::SECCOMP_RET_ALLOW),
        statement(give, libc::SECCOMP_RET_KILL_PROCESS),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the filter and its program live through the call, which copies them.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let installed = libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &filter);
        assert_eq!(installed, 0, "{}", std::io::Error::last_os_error());
    }
}

/// Waits for all threads without the help of the kernel's wait queues.
fn meet(arrived: &AtomicUsize) {
    arrived.fetch_add(1, Ordering::AcqRel);
    while arrived.load(Ordering::Acquire) < THREADS {
        thread::yield_now();
    }
}

/// Runs `work` on all threads with futex(2) forbidden, then ends the process with success.
fn run_without_futex(work: impl Fn(usize) + Send + Sync + 'static) -> ! {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    static FINISHED: AtomicUsize = AtomicUsize::new(0);
    let work = Arc::new(work);
    for t in 0..THREADS {
        let work = Arc::clone(&work);
        thread::spawn(move || {
            meet(&STARTED);
            forbid_futex();
            work(t);
            meet(&FINISHED);
            // Ending the thread may need a futex: it stays until the process is gone.
            loop {
                thread::yield_now();
            }
        });
    }
    while FINISHED.load(Ordering::Acquire) < THREADS {
        thread::yield_now();
    }
    // SAFETY: nothing is left to be flushed or dropped that matters.
    unsafe { libc::_exit(0) }
}

#[test]
fn no_futex_call_while_threads_use_the_pool() {
    const CHILD: &str = "WRAITH_TEST_POOL_WITHOUT_FUTEX";
    if std::env::var_os(CHILD).is_some() {
        // Two buffers for each thread, so that the allocator, which has locks of its own, is never asked.
        let pool = BufferPool::builder(1500, THREADS * 2).on_exhausted(Exhausted::Fail).build().unwrap();
        run_without_futex(move |t| {
            for round in 0..ROUNDS {
                let mut first = pool.acquire();
                first[round % 1500] = t as u8;
                let second = pool.acquire();
                drop(first);
                pool.release(second);
            }
        });
    }
    let child = again_with("no_futex_call_while_threads_use_the_pool", CHILD);
    assert!(child.status.success(), "{child:?}");
}

#[test]
fn the_filter_kills_threads_that_contend_for_a_mutex() {
    const CHILD: &str = "WRAITH_TEST_MUTEX_WITHOUT_FUTEX";
    if std::env::var_os(CHILD).is_some() {
        let shared = Mutex::new(0_u64);
        run_without_futex(move |_| {
            for _ in 0..ROUNDS {
                let mut count = shared.lock().unwrap();
                *count += 1;
                thread::yield_now();
            }
        });
    }
    let child = again_with("the_filter_kills_threads_that_contend_for_a_mutex", CHILD);
    assert_eq!(child.status.signal(), Some(libc::SIGSYS), "{child:?}");
}
