//! Devices: which device files the processes of a container may use, wherever they find them.

use core::fmt;
use core::ops::BitOr;

/// Some device files, and what may be done with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRule {
    /// Their kind.
    pub kind: DeviceKind,
    /// The number of their driver; `None` for every one.
    pub major: Option<u32>,
    /// The number within it; `None` for every one.
    pub minor: Option<u32>,
    /// What may be done.
    pub access: DeviceAccess,
}

/// The kind of a device file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// A block device.
    Block,
    /// A character device.
    Character,
}

/// What may be done with a device file; the bits are the kernel's (`BPF_DEVCG_ACC_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceAccess(u8);

impl DeviceAccess {
    /// Make a file for it.
    pub const MKNOD: Self = Self(1);
    /// Open it for reading.
    pub const READ: Self = Self(2);
    /// Open it for writing.
    pub const WRITE: Self = Self(4);
    /// All of that.
    pub const ALL: Self = Self(7);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// The kernel's bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of this may be done.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for DeviceAccess {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// As Mesos and the kernel's version 1 of cgroups write it: `c 136:* rwm`.
impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            DeviceKind::Block => "b ",
            DeviceKind::Character => "c ",
        })?;
        match self.major {
            Some(major) => write!(f, "{major}:")?,
            None => f.write_str("*:")?,
        }
        match self.minor {
            Some(minor) => write!(f, "{minor} ")?,
            None => f.write_str("* ")?,
        }
        for (access, letter) in [
            (DeviceAccess::READ, "r"),
            (DeviceAccess::WRITE, "w"),
            (DeviceAccess::MKNOD, "m"),
        ] {
            if self.access.has(access) {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}
