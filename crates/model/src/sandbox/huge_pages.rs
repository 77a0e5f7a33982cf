//! Huge pages: how much memory of each size of them, as the kernel's files name the sizes.

/// An amount for each size of pages, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HugePages([u64; Self::SIZES.len()]);

impl HugePages {
    /// The sizes that x86-64 and aarch64 have beside pages of 4 kB, as in `hugetlb.2MB.max`.
    pub const SIZES: [&'static str; 4] = ["64KB", "2MB", "32MB", "1GB"];

    /// The amounts that a function gives for the names of the sizes.
    #[must_use]
    pub fn of(bytes: impl Fn(&'static str) -> u64) -> Self {
        Self(Self::SIZES.map(bytes))
    }

    /// Each size with its amount.
    pub fn iter(self) -> impl Iterator<Item = (&'static str, u64)> {
        Self::SIZES.into_iter().zip(self.0)
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let mut sum = self.0;
        for (one, more) in sum.iter_mut().zip(other.0) {
            *one = one.saturating_add(more);
        }
        Self(sum)
    }
}
