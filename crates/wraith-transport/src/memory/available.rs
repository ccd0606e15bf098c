//! How much memory can be had without waking the out-of-memory killer.
//!
//! A populated mapping that does not fit is not refused by the kernel: the process is killed. So the slab asks
//! first: `MemAvailable` of `/proc/meminfo` (proc(5)) and the limits of the control groups above the process
//! (kernel documentation, cgroup-v2 "Memory"). Another process may take the memory in between; this is a
//! safeguard against absurd sizes, not a reservation.

#[cfg(target_os = "linux")]
use std::path::{Path, PathBuf};

/// Bytes that can be had now, or `None` where the system does not say.
pub(super) fn available_bytes() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| mem_available(&text));
        let groups =
            std::fs::read_to_string("/proc/self/cgroup").map(|text| cgroup_dirs(&text)).unwrap_or_default();
        machine.into_iter().chain(groups.iter().filter_map(|dir| cgroup_room(dir))).min()
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Whether `bytes` leave the rest of the system one sixteenth of what is available.
pub(super) fn fits(bytes: u64, available: u64) -> bool {
    bytes <= available - available / 16
}

#[cfg(target_os = "linux")]
fn mem_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The directories whose limits apply, from `/proc/self/cgroup`: the group's own and all above it, in version
/// 2 (`0::/path`) and version 1 (`4:memory:/path`). A path that a container hides simply does not exist.
#[cfg(target_os = "linux")]
fn cgroup_dirs(proc_self_cgroup: &str) -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    for line in proc_self_cgroup.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let root = match controllers {
            "" => Path::new("/sys/fs/cgroup"),
            c if c.split(',').any(|c| c == "memory") => Path::new("/sys/fs/cgroup/memory"),
            _ => continue,
        };
        let group = root.join(path.trim_start_matches('/'));
        dirs.extend(group.ancestors().take_while(|dir| dir.starts_with(root)).map(Path::to_path_buf));
    }
    dirs
}

/// What one control group still allows: limit - use + page cache that it can drop.
#[cfg(target_os = "linux")]
fn cgroup_room(dir: &Path) -> Option<u64> {
    let number =
        |name: &str| -> Option<u64> { std::fs::read_to_string(dir.join(name)).ok()?.trim().parse().ok() };
    // "max" (version 2) does not parse and means no limit.
    let limit = number("memory.max").or_else(|| number("memory.limit_in_bytes"))?;
    let used = number("memory.current").or_else(|| number("memory.usage_in_bytes"))?;
    let stat = std::fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
    Some(room(limit, used, inactive_file(&stat)))
}

#[cfg(target_os = "linux")]
fn room(limit: u64, used: u64, cache: u64) -> u64 {
    limit.saturating_sub(used.saturating_sub(cache))
}

#[cfg(target_os = "linux")]
fn inactive_file(memory_stat: &str) -> u64 {
    let field =
        |name: &str| memory_stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    field("total_inactive_file ").or_else(|| field("inactive_file ")).unwrap_or(0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_machine_has_to_give() {
        let text = "MemTotal:       24000000 kB\nMemFree:  1 kB\nMemAvailable:   12345678 kB\n";
        assert_eq!(mem_available(text), Some(12_345_678 * 1024));
        assert_eq!(mem_available("MemTotal: 1 kB\n"), None);
        assert_eq!(mem_available("MemAvailable: many kB\n"), None);
    }

    #[test]
    fn finds_the_limits_of_every_group_above_the_process() {
        let path = |p: &str| PathBuf::from(p);
        assert_eq!(
            cgroup_dirs("0::/a/b\n"),
            [path("/sys/fs/cgroup/a/b"), path("/sys/fs/cgroup/a"), path("/sys/fs/cgroup")]
        );
        assert_eq!(
            cgroup_dirs("5:cpu,cpuacct:/x\n4:memory:/y\nnonsense\n"),
            [path("/sys/fs/cgroup/memory/y"), path("/sys/fs/cgroup/memory")]
        );
        assert_eq!(cgroup_dirs("0::/\n").first(), Some(&path("/sys/fs/cgroup/")));
    }

    #[test]
    fn page_cache_that_can_be_dropped_counts_as_room() {
        assert_eq!(room(1000, 900, 0), 100);
        assert_eq!(room(1000, 900, 300), 400);
        assert_eq!(room(1000, 1200, 0), 0);
        assert_eq!(inactive_file("anon 5\ninactive_file 42\nactive_file 7\n"), 42);
        assert_eq!(inactive_file("inactive_file 1\ntotal_inactive_file 9\n"), 9);
        assert_eq!(inactive_file(""), 0);
    }

    #[test]
    fn a_sixteenth_is_left_to_others() {
        assert!(fits(150, 160));
        assert!(!fits(151, 160));
        assert!(!fits(u64::MAX, u64::MAX));
        assert!(fits(0, 0));
    }
}
