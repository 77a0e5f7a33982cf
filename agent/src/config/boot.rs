//! The settings that only a booting node reads.

use std::time::Duration;

use super::DiskWeights;
use super::settings::Setting;
use super::values::{DEVICE, DURATION, device, duration, host_port, net, put};

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
        name: "disk_weights",
        value: "HOW",
        allowed: "none, iocost or bfq",
        help: "who shares the work disk out by the weights of containers: none; iocost, once the disk is\n      busy; or bfq, always, which costs a fast disk some throughput (default: none)",
        boot: true,
        switch: false,
        set: |draft, text| {
            draft.boot.disk_weights = match text {
                "iocost" => DiskWeights::Iocost,
                "bfq" => DiskWeights::Bfq,
                "none" => DiskWeights::None,
                _ => return Err(String::new()),
            };
            Ok(())
        },
    },
    Setting {
        name: "watchdog_timeout",
        value: "DURATION",
        allowed: DURATION,
        help: "how long the hardware's watchdog waits, if there is one, before it starts the machine again,\n      10secs to 10mins; 0secs has it not used (default: 1mins)",
        boot: true,
        switch: false,
        set: |draft, text| {
            let time = duration(text, Duration::from_secs(600))?;
            match time.is_zero() || time >= Duration::from_secs(10) {
                true => {
                    draft.boot.watchdog_max = time;
                    Ok(())
                }
                false => Err(", 10secs at least, or 0secs".to_owned()),
            }
        },
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
