//! Between the messages of the wire and the types of `model`.
//!
//! Ids are checked on the way in. States, reasons and sources are plain numbers in the messages:
//! `model::TaskState::from_number` and `number` convert them, and a test here holds the two sides
//! together.

mod change;
mod resource;

pub use change::{ChangeError, change, to_operation};
pub use resource::{from_resource, resources, to_both, to_refined, to_resource, to_unrefined};

use crate::v1;

macro_rules! ids {
    ($($id:ident { $($rest:tt)* },)*) => {
        $(
            impl TryFrom<&v1::$id> for model::$id {
                type Error = model::IdError;

                fn try_from(id: &v1::$id) -> Result<Self, model::IdError> {
                    Self::new(&id.value)
                }
            }

            impl From<&model::$id> for v1::$id {
                fn from(id: &model::$id) -> Self {
                    Self {
                        value: id.as_str().to_string(),
                        $($rest)*
                    }
                }
            }
        )*
    };
}

ids! {
    FrameworkId {},
    AgentId {},
    OfferId {},
    TaskId {},
    ExecutorId {},
    ContainerId { parent: None },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_reasons_and_sources_have_the_same_names_and_numbers_on_both_sides() {
        for number in 0..100 {
            assert_eq!(
                model::TaskState::from_number(number).map(model::TaskState::name),
                v1::TaskState::try_from(number)
                    .ok()
                    .map(|s| s.as_str_name()),
            );
            assert_eq!(
                model::Reason::from_number(number).map(model::Reason::name),
                v1::task_status::Reason::try_from(number)
                    .ok()
                    .map(|r| r.as_str_name()),
            );
            assert_eq!(
                model::Source::from_number(number).map(model::Source::name),
                v1::task_status::Source::try_from(number)
                    .ok()
                    .map(|s| s.as_str_name()),
            );
        }
    }

    #[test]
    fn ids_are_checked_on_the_way_in() {
        let id = |value: &str| v1::TaskId {
            value: value.to_string(),
        };
        let task = model::TaskId::try_from(&id("t1")).unwrap();
        assert_eq!(v1::TaskId::from(&task), id("t1"));
        assert!(model::TaskId::try_from(&id("a/b")).is_err());
    }
}
