//! What a device came to be.

use std::fmt;

use super::attachment::Attach;
use super::rings::{RingSizes, RingsKind};
use crate::memory::MemoryInfo;

/// What was got of what was asked. Prints as one line: `eth0: 8 queues, copy, native, 16384×2048 B, driver ena, filter
/// udp/6343,2055`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdpInfo {
    /// The interface's name.
    pub interface: String,
    /// Its number.
    pub ifindex: u32,
    /// Its driver, where the kernel says it.
    pub driver: Option<String>,
    /// Its MTU when it was opened.
    pub mtu: u32,
    /// The queues that are bound.
    pub queues: Vec<u32>,
    /// How many queues the interface has. Frames at the others go to the kernel.
    pub interface_queues: u32,
    /// Whether the driver uses the UMEM of every queue without copying.
    pub zero_copy: bool,
    /// How the program is attached.
    pub attach: Attach,
    /// Why it is attached generically though that was not asked for.
    pub why_generic: Option<String>,
    /// The program's number, as bpftool shows it.
    pub program_id: Option<u32>,
    /// Frames of each queue.
    pub frames: u32,
    /// Of those, the ones that the kernel gets to receive into.
    pub fill_frames: u32,
    /// Frames of the UMEM that a queue uses: its own, or that of several.
    pub umem_frames: u32,
    /// Bytes of a frame.
    pub frame_size: u32,
    /// Bytes left free before each received frame, the kernel's 256 not counted.
    pub headroom: u32,
    /// Rings of each queue.
    pub rings: RingSizes,
    /// Whose code they are.
    pub rings_kind: RingsKind,
    /// The memory of a UMEM.
    pub memory: MemoryInfo,
    /// The filter, for people.
    pub filter: String,
}

impl fmt::Display for XdpInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.queues.len();
        let queues = match (count, self.interface_queues as usize) {
            (1, 1) => "1 queue".to_owned(),
            (count, all) if count == all => format!("{count} queues"),
            (count, all) => format!("{count} of {all} queues"),
        };
        write!(
            f,
            "{}: {queues}, {}, {}, {}×{} B, driver {}, filter {}",
            self.interface,
            if self.zero_copy { "zero-copy" } else { "copy" },
            self.attach.name(),
            self.frames,
            self.frame_size,
            self.driver.as_deref().unwrap_or("unknown"),
            self.filter
        )
    }
}
