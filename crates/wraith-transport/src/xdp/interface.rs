//! What an interface is: rtnetlink(7) and the ioctl of ethtool(8), both of the calling thread's network namespace.
#![expect(unsafe_code, reason = "the ioctl writes into buffers whose length its commands define")]

use std::os::fd::AsRawFd;

use super::explain::refused;
use super::netlink::{Attributes, GENERIC, HEADER, ROUTE, ask, attribute, half, message, word};
use super::sys;
use crate::{Code, Error};

/// linux/rtnetlink.h, linux/if.h.
const RTM_GETLINK: u16 = 18;
const RTM_NEWLINK: u16 = 16;
const INTERFACE_HEADER: usize = 16;
const IFF_UP: u32 = 1;
// linux/if_link.h.
const IFLA_MTU: u16 = 4;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_PROG_ID: u16 = 4;

// linux/ethtool.h.
const ETHTOOL_GDRVINFO: u32 = 0x3;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
/// Words of `struct ethtool_drvinfo` and `struct ethtool_channels`.
const DRVINFO_WORDS: usize = 49;
const CHANNELS_WORDS: usize = 9;

/// An interface as it was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) up: bool,
    pub(super) mtu: u32,
    /// The XDP program that is attached.
    pub(super) program: Option<u32>,
    pub(super) driver: Option<String>,
    /// Queues to receive from.
    pub(super) queues: u32,
    /// The most that `ethtool -L` would allow.
    pub(super) most_queues: u32,
}

impl Interface {
    /// Looks at an interface.
    ///
    /// # Errors
    /// [`Code::AddressNotAvailable`]: there is none of this name in this namespace.
    pub(super) fn find(name: &str) -> Result<Interface, Error> {
        let index = sys::interface_index(name).ok_or_else(|| {
            Error::with_remedy(
                Code::AddressNotAvailable,
                format!("There is no network interface \"{name}\""),
                "Choose one that `ip link` lists in this network namespace.",
            )
        })?;
        let answer = ask_link(index)
            .map_err(|errno| refused("recv", errno, &format!("{name} cannot be looked at (rtnetlink)")))?;
        let mut interface = Interface {
            name: name.to_owned(),
            index,
            up: false,
            mtu: 0,
            program: None,
            driver: None,
            queues: 1,
            most_queues: 1,
        };
        interface.read_link(&answer).ok_or_else(|| {
            Error::new(
                Code::AddressNotAvailable,
                format!("The kernel says nothing about the interface {name}"),
            )
        })?;
        interface.read_ethtool();
        Ok(interface)
    }

    /// Whether there is an interface of this number in this namespace, and it is down.
    pub(super) fn is_down(index: u32) -> bool {
        let flags = ask_link(index).ok().and_then(|answer| {
            (half(&answer, 4)? == RTM_NEWLINK).then_some(())?;
            word(&answer, HEADER + 8)
        });
        flags.is_some_and(|flags| flags & IFF_UP == 0)
    }

    /// The driver's name, or what it is instead.
    pub(super) fn driver_name(&self) -> &str {
        self.driver.as_deref().unwrap_or("unknown driver")
    }

    /// Reads an RTM_NEWLINK message. `None`: it is none.
    fn read_link(&mut self, message: &[u8]) -> Option<()> {
        if half(message, 4)? != RTM_NEWLINK {
            return None;
        }
        let length = (word(message, 0)? as usize).min(message.len());
        self.up = word(message, HEADER + 8)? & IFF_UP != 0;
        let attributes = message.get(HEADER + INTERFACE_HEADER..length)?;
        for (kind, value) in Attributes(attributes) {
            match kind {
                IFLA_MTU => self.mtu = word(value, 0)?,
                IFLA_XDP => {
                    for (kind, value) in Attributes(value) {
                        if kind == IFLA_XDP_PROG_ID {
                            self.program = Some(word(value, 0)?);
                        }
                    }
                }
                _ => {}
            }
        }
        Some(())
    }

    /// What ethtool says; drivers need not answer.
    fn read_ethtool(&mut self) {
        let Ok(socket) = sys::control_socket() else { return };
        let fd = socket.as_raw_fd();
        let mut info = [0_u32; DRVINFO_WORDS];
        info[0] = ETHTOOL_GDRVINFO;
        // SAFETY: the size of struct ethtool_drvinfo.
        if unsafe { sys::ethtool(fd, &self.name, &mut info) }.is_ok() {
            let bytes: Vec<u8> = info[1..9].iter().flat_map(|word| word.to_ne_bytes()).collect();
            let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
            self.driver = Some(String::from_utf8_lossy(text).into_owned()).filter(|text| !text.is_empty());
        }
        let mut channels = [0_u32; CHANNELS_WORDS];
        channels[0] = ETHTOOL_GCHANNELS;
        // SAFETY: the size of struct ethtool_channels.
        if unsafe { sys::ethtool(fd, &self.name, &mut channels) }.is_ok() {
            let [_, max_rx, _, _, max_combined, rx, _, _, combined] = channels;
            self.queues = rx.saturating_add(combined).max(1);
            self.most_queues = max_rx.saturating_add(max_combined).max(self.queues);
        }
    }
}

/// The kernel's description of an interface: an RTM_NEWLINK message.
fn ask_link(index: u32) -> Result<Vec<u8>, sys::Errno> {
    // `struct ifinfomsg`: family and type, index, flags and mask.
    let mut body = vec![0; 4];
    body.extend(index.to_ne_bytes());
    body.extend([0; 8]);
    ask(ROUTE, &message(RTM_GETLINK, &body))
}

/// What the driver says about itself, from the `netdev` family of generic netlink (Linux 6.3): bits of
/// `enum netdev_xdp_act` in linux/netdev.h. `None`: an older kernel.
pub(super) fn driver_features(index: u32) -> Option<u64> {
    const GENL_ID_CTRL: u16 = 16;
    const CTRL_CMD_GETFAMILY: u8 = 3;
    const CTRL_ATTR_FAMILY_ID: u16 = 1;
    const CTRL_ATTR_FAMILY_NAME: u16 = 2;
    const NETDEV_CMD_DEV_GET: u8 = 1;
    const NETDEV_A_DEV_IFINDEX: u16 = 1;
    const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
    // `struct genlmsghdr`: command, version, nothing.
    let request = |family, command, kind, value: &[u8]| {
        let body = [&[command, 1, 0, 0], &attribute(kind, value)[..]].concat();
        let answer = ask(GENERIC, &message(family, &body)).ok()?;
        (half(&answer, 4)? == family).then(|| answer.get(HEADER + 4..).map(<[u8]>::to_vec))?
    };
    let find = |attributes: &[u8], wanted| {
        Attributes(attributes).find(|&(kind, _)| kind == wanted).map(|(_, value)| value.to_vec())
    };
    let family = request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, b"netdev\0")?;
    let family = half(&find(&family, CTRL_ATTR_FAMILY_ID)?, 0)?;
    let device = request(family, NETDEV_CMD_DEV_GET, NETDEV_A_DEV_IFINDEX, &index.to_ne_bytes())?;
    let features = find(&device, NETDEV_A_DEV_XDP_FEATURES)?;
    Some(u64::from_ne_bytes(features.get(..8)?.try_into().ok()?))
}

/// Whether an offload of this name (`ethtool -k`, in the kernel's spelling) is on. `None`: the driver does not know it.
pub(super) fn offload(interface: &str, name: &str) -> Option<bool> {
    const ETHTOOL_GSSET_INFO: u32 = 0x37;
    const ETHTOOL_GSTRINGS: u32 = 0x1b;
    const ETHTOOL_GFEATURES: u32 = 0x3a;
    const ETH_SS_FEATURES: u32 = 4;
    /// Words of a name, and of a block of 32 features: available, requested, active, never changed.
    const NAME_WORDS: usize = 8;
    const BLOCK_WORDS: usize = 4;
    /// More than any kernel has.
    const MOST: u32 = 1024;
    let socket = sys::control_socket().ok()?;
    let fd = socket.as_raw_fd();
    // struct ethtool_sset_info: command, reserved, a mask of 64 bits in the machine's order, one number.
    let mask = (1_u64 << ETH_SS_FEATURES).to_ne_bytes();
    let half_of = |at: usize| u32::from_ne_bytes([mask[at], mask[at + 1], mask[at + 2], mask[at + 3]]);
    let mut sets = [ETHTOOL_GSSET_INFO, 0, half_of(0), half_of(4), 0];
    // SAFETY: one bit is set in the mask, so the kernel writes one number.
    unsafe { sys::ethtool(fd, interface, &mut sets) }.ok()?;
    let count = sets[4].min(MOST) as usize;
    let mut strings = vec![0_u32; 3 + count * NAME_WORDS];
    (strings[0], strings[1], strings[2]) = (ETHTOOL_GSTRINGS, ETH_SS_FEATURES, count as u32);
    // SAFETY: room for as many names as the kernel has just said there are; the number does not change while it runs.
    unsafe { sys::ethtool(fd, interface, &mut strings) }.ok()?;
    let at = strings[3..].chunks_exact(NAME_WORDS).position(|words| {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.split(|&byte| byte == 0).next() == Some(name.as_bytes())
    })?;
    let blocks = count.div_ceil(32);
    let mut features = vec![0_u32; 2 + blocks * BLOCK_WORDS];
    (features[0], features[1]) = (ETHTOOL_GFEATURES, blocks as u32);
    // SAFETY: room for `blocks` blocks, which is the number given.
    unsafe { sys::ethtool(fd, interface, &mut features) }.ok()?;
    Some(features[2 + at / 32 * BLOCK_WORDS + 2] & 1 << (at % 32) != 0)
}
