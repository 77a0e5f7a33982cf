//! A resource's message as text, as Mesos prints it: also one that describes no resource.

use std::fmt::Write as _;

use model::resources::Scalar;

use super::read;
use crate::v1;
use crate::v1::resource::ReservationInfo;

/// The message as text; what the older reservation format says is not shown.
pub(super) fn text(wire: &v1::Resource) -> String {
    let mut text = wire.name.clone();
    if let Some(info) = &wire.allocation_info {
        append(&mut text, format_args!("(allocated: {})", info.role()));
    }
    if !wire.reservations.is_empty() {
        let stack: Vec<String> = wire.reservations.iter().map(reservation).collect();
        append(
            &mut text,
            format_args!("(reservations: [{}])", stack.join(",")),
        );
    }
    if let Some(Ok(disk)) = wire.disk.as_ref().map(read::disk) {
        append(&mut text, format_args!("[{disk}]"));
    }
    text.push_str(wire.revocable.map_or("", |_| "{REV}"));
    text.push_str(wire.shared.map_or("", |_| "<SHARED>"));
    text.push(':');
    text.push_str(&value(wire));
    text
}

fn append(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a text does not fail.
    let _ = text.write_fmt(more);
}

fn reservation(info: &ReservationInfo) -> String {
    let mut text = format!("({},{}", info.r#type().as_str_name(), info.role());
    if let Some(principal) = &info.principal {
        append(&mut text, format_args!(",{principal}"));
    }
    let labels = read::labels(info.labels.as_ref());
    if !labels.is_empty() {
        let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
        append(&mut text, format_args!(",{{{}}}", labels.join(", ")));
    }
    text.push(')');
    text
}

fn value(wire: &v1::Resource) -> String {
    if let Some(scalar) = &wire.scalar {
        return Scalar::from_f64(scalar.value)
            .map_or_else(|| scalar.value.to_string(), |amount| amount.to_string());
    }
    if let Some(ranges) = &wire.ranges {
        let ranges = ranges.range.iter();
        let ranges: Vec<String> = ranges.map(|r| format!("{}-{}", r.begin, r.end)).collect();
        return format!("[{}]", ranges.join(", "));
    }
    let items = wire.set.as_ref().map(|set| set.item.join(", "));
    items.map_or_else(|| "0".to_owned(), |items| format!("{{{items}}}"))
}
