//! What the numbers were measured on.

use std::fs;

/// The CPU's name, as the kernel tells it.
pub(crate) fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// Bytes of the last-level cache: what the kernel says, or 32 MiB where it says nothing.
pub(crate) fn last_level_cache() -> usize {
    let sizes = (0..8).filter_map(|index| {
        let size =
            fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size")).ok()?;
        let (digits, unit) = size.trim().split_at_checked(size.trim().len().checked_sub(1)?)?;
        let scale = match unit {
            "K" => 1 << 10,
            "M" => 1 << 20,
            _ => return None,
        };
        Some(digits.parse::<usize>().ok()? * scale)
    });
    sizes.max().unwrap_or(32 << 20)
}
