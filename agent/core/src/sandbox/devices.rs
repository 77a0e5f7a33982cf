//! Devices: which device files a container may use.
//!
//! The list is Mesos', whose frameworks expect it (reference, section 8.5, cgroups/devices). What is
//! in a container's `/dev` is less: the list bounds what comes in by any other way. `m` lets files be
//! made, not used, and inside a user namespace the kernel lets none be made at all.

use alloc::vec::Vec;

use model::sandbox::{DeviceAccess, DeviceKind, DeviceRule};

/// By the numbers of the kernel's devices.txt.
const DEFAULT: [DeviceRule; 14] = [
    rule(DeviceKind::Character, None, None, DeviceAccess::MKNOD),
    rule(DeviceKind::Block, None, None, DeviceAccess::MKNOD),
    // console, tty0, tty1
    usable(5, Some(1)),
    usable(4, Some(0)),
    usable(4, Some(1)),
    // pts/*, ptmx
    usable(136, None),
    usable(5, Some(2)),
    // net/tun, which makes devices in the container's own network namespace alone
    usable(10, Some(200)),
    // null, zero, full, tty, urandom, random
    usable(1, Some(3)),
    usable(1, Some(5)),
    usable(1, Some(7)),
    usable(5, Some(0)),
    usable(1, Some(9)),
    usable(1, Some(8)),
];

const fn usable(major: u32, minor: Option<u32>) -> DeviceRule {
    rule(DeviceKind::Character, Some(major), minor, DeviceAccess::ALL)
}

const fn rule(
    kind: DeviceKind,
    major: Option<u32>,
    minor: Option<u32>,
    access: DeviceAccess,
) -> DeviceRule {
    DeviceRule {
        kind,
        major,
        minor,
        access,
    }
}

/// The rules of a container.
pub(super) fn rules() -> Vec<DeviceRule> {
    DEFAULT.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};
    use expect_test::expect;

    #[test]
    fn a_container_may_use_what_mesos_lets_it_use() {
        let all: Vec<String> = rules().iter().map(ToString::to_string).collect();
        expect![[r"
            c *:* m
            b *:* m
            c 5:1 rwm
            c 4:0 rwm
            c 4:1 rwm
            c 136:* rwm
            c 5:2 rwm
            c 10:200 rwm
            c 1:3 rwm
            c 1:5 rwm
            c 1:7 rwm
            c 5:0 rwm
            c 1:9 rwm
            c 1:8 rwm"]]
        .assert_eq(&all.join("\n"));
    }
}
