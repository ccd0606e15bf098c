//! What an interface is: rtnetlink(7) and the ioctl of ethtool(8), both of the calling thread's network namespace.
#![expect(unsafe_code, reason = "the ioctl writes into buffers whose length its commands define")]

use std::os::fd::AsRawFd;

use super::explain::refused;
use super::sys;
use crate::{Code, Error};

/// linux/rtnetlink.h, linux/netlink.h, linux/if.h.
const RTM_GETLINK: u16 = 18;
const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST: u16 = 1;
const NETLINK_HEADER: usize = 16;
const INTERFACE_HEADER: usize = 16;
const IFF_UP: u32 = 1;
// linux/if_link.h.
const IFLA_MTU: u16 = 4;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_ID: u16 = 4;
const NLA_TYPE_MASK: u16 = 0x3fff;

// linux/ethtool.h.
const ETHTOOL_GDRVINFO: u32 = 0x3;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETH_FLAG_RXVLAN: u32 = 1 << 8;
const ETH_FLAG_LRO: u32 = 1 << 15;
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
    /// Its mode: 1 native, 2 generic, 3 in hardware, 4 several.
    pub(super) program_mode: u8,
    pub(super) driver: Option<String>,
    /// Queues to receive from.
    pub(super) queues: u32,
    /// The most that `ethtool -L` would allow.
    pub(super) most_queues: u32,
    /// Large receive offload: merges packets into ones that no frame holds.
    pub(super) lro: bool,
    /// The card takes VLAN tags out of frames before a program sees them.
    pub(super) rx_vlan: bool,
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
        let answer = ask(index)
            .map_err(|errno| refused("recv", errno, &format!("{name} cannot be looked at (rtnetlink)")))?;
        let mut interface = Interface {
            name: name.to_owned(),
            index,
            up: false,
            mtu: 0,
            program: None,
            program_mode: 0,
            driver: None,
            queues: 1,
            most_queues: 1,
            lro: false,
            rx_vlan: false,
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
        self.up = word(message, NETLINK_HEADER + 8)? & IFF_UP != 0;
        let attributes = message.get(NETLINK_HEADER + INTERFACE_HEADER..length)?;
        for (kind, value) in Attributes(attributes) {
            match kind {
                IFLA_MTU => self.mtu = word(value, 0)?,
                IFLA_XDP => {
                    for (kind, value) in Attributes(value) {
                        match kind {
                            IFLA_XDP_ATTACHED => self.program_mode = *value.first()?,
                            IFLA_XDP_PROG_ID => self.program = Some(word(value, 0)?),
                            _ => {}
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
        let mut flags = [ETHTOOL_GFLAGS, 0];
        // SAFETY: the size of struct ethtool_value.
        if unsafe { sys::ethtool(fd, &self.name, &mut flags) }.is_ok() {
            self.lro = flags[1] & ETH_FLAG_LRO != 0;
            self.rx_vlan = flags[1] & ETH_FLAG_RXVLAN != 0;
        }
    }
}

fn ask(index: u32) -> Result<Vec<u8>, sys::Errno> {
    let socket = sys::route_socket()?;
    let mut request = Vec::with_capacity(NETLINK_HEADER + INTERFACE_HEADER);
    request.extend(((NETLINK_HEADER + INTERFACE_HEADER) as u32).to_ne_bytes());
    request.extend(RTM_GETLINK.to_ne_bytes());
    request.extend(NLM_F_REQUEST.to_ne_bytes());
    // Sequence and port; then family and type of `struct ifinfomsg`.
    request.extend([0; 8 + 4]);
    request.extend(index.to_ne_bytes());
    request.extend([0; 8]);
    sys::ask_route(socket.as_raw_fd(), &request)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Attributes of a netlink message: type and value.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(half(self.0, 0)?);
        let kind = half(self.0, 2)? & NLA_TYPE_MASK;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_are_cut_off_end_the_list() {
        let mut bytes = Vec::new();
        for (kind, value) in [(4_u16, vec![1, 2, 3]), (0x8000 | 43, vec![]), (7, vec![9; 8])] {
            bytes.extend((4 + value.len() as u16).to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(&value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        let all: Vec<_> = Attributes(&bytes).collect();
        assert_eq!(all, [(4, &[1_u8, 2, 3][..]), (43, &[][..]), (7, &[9; 8][..])]);
        for cut in 0..bytes.len() {
            assert!(Attributes(&bytes[..cut]).count() < 3, "{cut}");
        }
        assert_eq!(Attributes(&[0, 0, 0, 0, 0, 0, 0, 0]).count(), 0);
        assert_eq!(Attributes(&[3, 0, 1, 0]).count(), 0);
    }
}
