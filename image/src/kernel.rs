//! Which kernel: one of Debian's two that are tested.

use std::fmt;
use std::str::FromStr;

/// A series of Debian's cloud kernels for amd64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Kernel {
    /// 6.1, the kernel of Debian 12: the floor.
    V6_1,
    /// 6.12, from the backports of Debian 12: the default.
    #[default]
    V6_12,
}

impl Kernel {
    /// As the user writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kernel::V6_1 => "6.1",
            Kernel::V6_12 => "6.12",
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not the name of a kernel known here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a kernel known here: 6.12 or 6.1")]
pub struct UnknownKernel(String);

impl FromStr for Kernel {
    type Err = UnknownKernel;

    fn from_str(text: &str) -> Result<Kernel, UnknownKernel> {
        match text {
            "6.1" => Ok(Kernel::V6_1),
            "6.12" => Ok(Kernel::V6_12),
            _ => Err(UnknownKernel(text.to_owned())),
        }
    }
}
