//! Values of resources: scalars in thousandths, sets of integers as ranges, sets of texts.
//!
//! Invariant: ranges are sorted and no two of them overlap or touch.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// An amount in thousandths; 1500 is 1.5.
///
/// Doubles of the wire become thousandths in `api`, rounded half away from zero, as Mesos does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Scalar(pub i64);

impl Scalar {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// A whole number, held within what thousandths can express.
    #[must_use]
    pub const fn whole(value: i64) -> Self {
        Self(value.saturating_mul(1000))
    }

    /// The thousandths.
    #[must_use]
    pub const fn thousandths(self) -> i64 {
        self.0
    }

    /// The sum, held within the range of the type.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, held within the range of the type.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Scalar {
    /// Decimal, without trailing zeros: `4`, `0.1`, `-0.025`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let (whole, rest) = (magnitude / 1000, magnitude % 1000);
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{whole}")?;
        match rest {
            0 => Ok(()),
            r if r % 100 == 0 => write!(f, ".{}", r / 100),
            r if r % 10 == 0 => write!(f, ".{:02}", r / 10),
            r => write!(f, ".{r:03}"),
        }
    }
}

/// The integers from `begin` to `end`, both included; empty where `end` is less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// The first.
    pub begin: u64,
    /// The last.
    pub end: u64,
}

/// A set of integers, such as ports, as sorted ranges that neither overlap nor touch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ranges(Arc<[Range]>);

impl Ranges {
    /// The union of these ranges; empty ones are left out.
    #[must_use]
    pub fn new(ranges: impl IntoIterator<Item = Range>) -> Self {
        let mut sorted: Vec<Range> = ranges.into_iter().filter(|r| r.begin <= r.end).collect();
        sorted.sort_unstable();
        let mut merged: Vec<Range> = Vec::with_capacity(sorted.len());
        for next in sorted {
            match merged.last_mut() {
                Some(last) if next.begin <= last.end.saturating_add(1) => {
                    last.end = last.end.max(next.end);
                }
                _ => merged.push(next),
            }
        }
        Self(merged.into())
    }

    /// The ranges, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Range] {
        &self.0
    }

    /// Whether there is no integer in here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every integer of `other` is in here.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|wanted| {
            let after = self.0.partition_point(|have| have.begin <= wanted.begin);
            after
                .checked_sub(1)
                .and_then(|at| self.0.get(at))
                .is_some_and(|have| have.end >= wanted.end)
        })
    }

    /// The integers of either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::new(self.0.iter().chain(&*other.0).copied())
    }

    /// The integers of this one that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut left = Vec::with_capacity(self.0.len());
        for have in &*self.0 {
            let mut rest = Some(*have);
            for cut in &*other.0 {
                let Some(now) = rest else { break };
                if cut.end < now.begin || cut.begin > now.end {
                    continue;
                }
                if cut.begin > now.begin {
                    left.push(Range {
                        begin: now.begin,
                        end: cut.begin - 1,
                    });
                }
                rest = (cut.end < now.end).then(|| Range {
                    begin: cut.end + 1,
                    end: now.end,
                });
            }
            left.extend(rest);
        }
        Self(left.into())
    }

    /// Whether an integer is in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0
            .iter()
            .any(|a| other.0.iter().any(|b| a.begin <= b.end && b.begin <= a.end))
    }
}

/// A set of texts.
pub type Set = BTreeSet<Arc<str>>;

/// The amount of a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// A quantity, as of `cpus`.
    Scalar(Scalar),
    /// Integers, as of `ports`.
    Ranges(Ranges),
    /// Texts.
    Set(Set),
}

impl Value {
    /// Whether it amounts to nothing; a negative scalar does not amount to anything either.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(scalar) => *scalar <= Scalar::ZERO,
            Self::Ranges(ranges) => ranges.is_empty(),
            Self::Set(set) => set.is_empty(),
        }
    }

    /// A scalar as it is; of all else, how many integers or texts there are.
    #[must_use]
    pub fn size(&self) -> Scalar {
        let count = match self {
            Self::Scalar(amount) => return *amount,
            Self::Ranges(ranges) => ranges.as_slice().iter().fold(0, |sum: u64, range| {
                let length = range.end.saturating_sub(range.begin).saturating_add(1);
                sum.saturating_add(length)
            }),
            Self::Set(set) => u64::try_from(set.len()).unwrap_or(u64::MAX),
        };
        Scalar::whole(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// Whether both are of one type.
    #[must_use]
    pub fn same_type(&self, other: &Self) -> bool {
        core::mem::discriminant(self) == core::mem::discriminant(other)
    }

    /// Whether `other` is of the same type and within this.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => a >= b,
            (Self::Ranges(a), Self::Ranges(b)) => a.contains(b),
            (Self::Set(a), Self::Set(b)) => a.is_superset(b),
            (Self::Scalar(_) | Self::Ranges(_) | Self::Set(_), _) => false,
        }
    }

    /// Adds a value of the same type; another type changes nothing.
    pub(super) fn add(&mut self, other: &Self) {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => *a = a.plus(*b),
            (Self::Ranges(a), Self::Ranges(b)) => *a = a.union(b),
            (Self::Set(a), Self::Set(b)) => a.extend(b.iter().cloned()),
            (Self::Scalar(_) | Self::Ranges(_) | Self::Set(_), _) => {}
        }
    }

    /// Takes away a value of the same type; another type changes nothing.
    pub(super) fn subtract(&mut self, other: &Self) {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => *a = a.minus(*b),
            (Self::Ranges(a), Self::Ranges(b)) => *a = a.difference(b),
            (Self::Set(a), Self::Set(b)) => a.retain(|item| !b.contains(item)),
            (Self::Scalar(_) | Self::Ranges(_) | Self::Set(_), _) => {}
        }
    }
}

impl Scalar {
    /// A double of the wire, rounded to thousandths half away from zero; `None` for what is no
    /// finite number or does not fit.
    #[must_use]
    pub fn from_f64(value: f64) -> Option<Self> {
        let scaled = value * 1000.0;
        // 2^53: beyond it a double skips whole thousandths.
        if !(-9_007_199_254_740_992.0..=9_007_199_254_740_992.0).contains(&scaled) {
            return None;
        }
        let half = if scaled < 0.0 { -0.5 } else { 0.5 };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the range was checked above; the cast truncates, which the half makes rounding"
        )]
        Some(Self((scaled + half) as i64))
    }

    /// The amount as a double.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "amounts past 2^53 thousandths do not come from the wire"
    )]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}
