//! The settings that only a booting node reads.

use super::settings::Setting;
use super::values::{DEVICE, device, host_port, net, put};

/// In the order of `--help`.
pub(super) static BOOT: &[Setting] = &[
    Setting {
        name: "lan",
        value: "ADDRESS/PREFIX",
        allowed: "ADDRESS/PREFIX, as in 192.168.77.1/24",
        help: "the address of the second network device (default: it stays down)",
        boot: true,
        switch: false,
        set: |draft, text| put(&mut draft.boot.lan, net(text)),
    },
    Setting {
        name: "disk",
        value: "DEVICE",
        allowed: DEVICE,
        help: "the work disk; formatted if it is blank, never otherwise (default: the first blank or known one)",
        boot: true,
        switch: false,
        set: |draft, text| put(&mut draft.boot.disk, device(text)),
    },
    Setting {
        name: "format",
        value: "DEVICE",
        allowed: DEVICE,
        help: "a disk that becomes the work disk, formatted whatever it holds unless that is a work disk already",
        boot: true,
        switch: false,
        set: |draft, text| put(&mut draft.boot.format, device(text)),
    },
    Setting {
        name: "ntp",
        value: "HOST[:PORT]",
        allowed: "HOST or HOST:PORT",
        help: "the time server (default: the one that DHCP names)",
        boot: true,
        switch: false,
        set: |draft, text| put(&mut draft.boot.ntp, host_port(text, Some(123))),
    },
];
