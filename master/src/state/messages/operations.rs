//! Operations on resources as messages.

use api::v1;

use crate::convert::operations;
use crate::state::Snapshot;

impl Snapshot {
    /// Operations whose end is not acknowledged.
    pub(crate) fn operations(&self) -> impl Iterator<Item = v1::Operation> {
        self.view.operations.iter().map(operations::to_operation)
    }
}
