//! Resources: what an agent has, an offer holds out and a task takes.
//!
//! The algebra is Mesos' (reference, section 5): a [`Resource`] is a name, a value and the metadata
//! that keeps it apart from others of its name; a [`Resources`] is a collection in which everything
//! that may be merged is merged. Scalars are integer thousandths, so that adding and subtracting
//! is exact. The text form of flags and messages is in `text`.

mod change;
mod collection;
mod conversion;
mod limits;
mod quantities;
mod resource;
mod role;
#[cfg(test)]
mod tests;
mod text;
mod value;

pub use change::{Change, ChangeKind, DiskTarget};
pub use collection::{Part, Resources};
pub use conversion::{Conversion, ConversionFault};
pub use limits::Limits;
pub use quantities::Quantities;
pub use resource::{
    DiskInfo, DiskKind, DiskSource, InvalidResource, Label, Persistence, Reservation,
    ReservationKind, Resource, ResourceFault, Volume, VolumeMode,
};
pub use role::{Role, RoleError};
pub use text::{ParseError, parse};
pub use value::{Range, Ranges, Scalar, Set, Value};
