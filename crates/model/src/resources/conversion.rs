//! Conversions: what an operation makes of resources, as something taken and something given.
//!
//! The same conversions are applied wherever the resources are counted: to what is left of an offer,
//! to what a framework holds, to the total of the agent, and on the agent itself.

use alloc::boxed::Box;

use super::{Resource, Resources};

/// Some resources turn into others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// What is taken.
    pub consumed: Resources,
    /// What is there instead.
    pub converted: Resources,
    /// A volume of which no copy may be left.
    pub removed: Option<Box<Resource>>,
}

/// Why resources cannot be converted, in Mesos' words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConversionFault {
    /// What is to be taken is not there.
    #[error("{have} does not contain {wanted}")]
    Missing {
        /// What is there.
        have: Resources,
        /// What is to be taken.
        wanted: Resources,
    },
    /// A shared volume of which somebody has another copy.
    #[error("Persistent volume {0} cannot be removed due to additional shared copies")]
    Shared(Box<Resource>),
    /// Only a resource provider could.
    #[error("Operation not supported")]
    Unsupported,
}

impl Conversion {
    /// These resources turn into those.
    #[must_use]
    pub const fn new(consumed: Resources, converted: Resources) -> Self {
        Self {
            consumed,
            converted,
            removed: None,
        }
    }

    /// The same conversion of resources that are allocated to nobody.
    #[must_use]
    pub fn unallocate(&self) -> Self {
        Self {
            consumed: self.consumed.unallocate(),
            converted: self.converted.unallocate(),
            removed: self.removed.as_ref().map(|volume| {
                let mut volume = volume.clone();
                volume.allocation_role = None;
                volume
            }),
        }
    }
}

impl Resources {
    /// What is there after one conversion.
    ///
    /// # Errors
    /// What is to be taken is not there, or some of what must be gone still is.
    pub fn convert(&self, conversion: &Conversion) -> Result<Self, ConversionFault> {
        if !self.contains(&conversion.consumed) {
            return Err(ConversionFault::Missing {
                have: self.clone(),
                wanted: conversion.consumed.clone(),
            });
        }
        let mut after = self.minus(&conversion.consumed);
        after.add_all(&conversion.converted);
        match &conversion.removed {
            Some(volume) if after.iter().any(|have| have.contains(volume)) => {
                Err(ConversionFault::Shared(volume.clone()))
            }
            Some(_) | None => Ok(after),
        }
    }

    /// What is there after all the conversions, one after the other.
    ///
    /// # Errors
    /// The fault of the first that has one.
    pub fn convert_all(&self, conversions: &[Conversion]) -> Result<Self, ConversionFault> {
        let mut after = self.clone();
        for conversion in conversions {
            after = after.convert(conversion)?;
        }
        Ok(after)
    }
}
