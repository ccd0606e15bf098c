//! What a look at an interface says before anything is opened.

use wraith_transport::Code;
use wraith_transport::xdp::{Capability, Filter, Severity, Subject, XdpProbe};

use crate::refusals::keep_only;
use crate::support::{close, ip, linked, open, privileged};

/// The severity of the one finding that speaks of something, and what to do about it.
fn finding(probe: &XdpProbe, word: &str) -> Option<(Severity, String)> {
    let found = probe.findings.iter().find(|finding| finding.what.contains(word))?;
    Some((found.severity, found.remedy.clone()))
}

#[test]
fn a_link_that_is_ready_is_said_to_be() {
    privileged("a_link_that_is_ready_is_said_to_be", || {
        let _far = linked(2);
        let probe = XdpProbe::look("wraith0").unwrap();
        assert!(probe.is_ready(), "{probe}");
        assert_eq!((probe.driver.as_deref(), probe.queues, probe.most_queues), (Some("veth"), 2, 2));
        assert_eq!((probe.mtu, probe.up, probe.program), (1500, true, None));
        // Linux 6.3 and newer say it; veth has the one and not the other.
        assert!(matches!(probe.native, Some(true) | None) && matches!(probe.zero_copy, Some(false) | None));
        assert_eq!(finding(&probe, "2 queues").unwrap().0, Severity::Note);
        assert!(
            probe.to_string().starts_with("wraith0: ready; driver veth, 2 of 2 queues, MTU 1500, "),
            "{probe}"
        );
        // It has changed nothing: opening works.
        close(open(Filter::all()));
    });
}

#[test]
fn everything_in_the_way_is_named_with_a_command() {
    privileged("everything_in_the_way_is_named_with_a_command", || {
        let _far = linked(1);
        let device = open(Filter::udp_ports([9]));
        let number = device.info().program_id.unwrap();
        ip("link set wraith0 mtu 2000");
        ip("link set wraith0 down");
        let probe = XdpProbe::look("wraith0").unwrap();
        assert!(!probe.is_ready());
        assert_eq!(probe.program, Some(number));
        let (severity, remedy) = finding(&probe, "An XDP program").unwrap();
        assert!(severity == Severity::Blocking && remedy.contains("xdp off"), "{remedy}");
        let (severity, remedy) = finding(&probe, "MTU is 2000").unwrap();
        assert!(
            severity == Severity::Blocking && remedy.contains("`ip link set dev wraith0 mtu 1774`"),
            "{remedy}"
        );
        assert_eq!(finding(&probe, "is down").unwrap().0, Severity::Warning);
        // The worst first.
        assert!(probe.findings.is_sorted_by_key(|finding| std::cmp::Reverse(finding.severity)));
        close(device);
        ip("link set wraith0 mtu 9000");
        let probe = XdpProbe::look("wraith0").unwrap();
        assert!(finding(&probe, "MTU is 9000").unwrap().1.contains("mtu 3822"), "{probe}");
        let error = XdpProbe::look("nothing").unwrap_err();
        assert_eq!(error.code(), Code::AddressNotAvailable);
    });
}

#[test]
fn a_process_without_rights_is_told_which() {
    privileged("a_process_without_rights_is_told_which", || {
        let _far = linked(1);
        keep_only(&[Capability::NetAdmin]);
        let probe = XdpProbe::look("wraith0").unwrap();
        assert_eq!(probe.missing, [Capability::NetRaw, Capability::Bpf]);
        let (severity, remedy) = finding(&probe, "lacks CAP_NET_RAW, CAP_BPF").unwrap();
        assert!(
            severity == Severity::Blocking && remedy.contains("`setcap cap_net_raw,cap_bpf=ep"),
            "{remedy}"
        );
        let about = |word: &str| {
            probe.findings.iter().find(|finding| finding.what.contains(word)).map(|finding| finding.about)
        };
        assert_eq!(about("lacks"), Some(Subject::Process));
        assert_eq!(about("zero-copy"), probe.zero_copy.map(|_| Subject::Interface));
    });
}
