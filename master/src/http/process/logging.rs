//! `/logging/toggle`: how much is logged, told and changed for a while.

use http::StatusCode;

use super::Refusal;
use crate::http::query::{self, Query};
use crate::http::{Response, respond};
use crate::logging::Logging;

/// Tells the level, or sets it for a while.
pub(super) fn toggle(logging: &Logging, query: &Query<'_>) -> Result<Response, Refusal> {
    let (level, time) = match (query.get("level"), query.get("duration")) {
        (None, None) => {
            return Ok(respond::page(
                respond::TEXT,
                format!("{}\n", logging.level()),
            ));
        }
        (Some(_), None) => return Err(missing("duration")),
        (None, Some(_)) => return Err(missing("level")),
        (Some(level), Some(time)) => (level, time),
    };
    let number: i64 = level
        .parse()
        .map_err(|_| Refusal::bad_request(format!("Failed to convert '{level}' to number.\n")))?;
    let level = u32::try_from(number)
        .map_err(|_| Refusal::bad_request(format!("Invalid level '{number}'.\n")))?;
    let time =
        query::duration(&time).map_err(|fault| Refusal::bad_request(format!("{fault}.\n")))?;
    logging.set(level, time);
    Ok(respond::empty(StatusCode::OK))
}

fn missing(name: &str) -> Refusal {
    Refusal::bad_request(format!("Expecting '{name}=value' in query.\n"))
}
