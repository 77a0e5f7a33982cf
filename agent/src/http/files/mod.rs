//! `/files/*`: browse, read and download what is in a sandbox.

pub(super) mod download;
pub(super) mod sandbox;

use std::sync::Arc;

use api::http::query::Query;
use api::http::respond::{self, Refusal};
use api::v1;
use serde_json::{Value, json};

use super::view;
use super::{Answer, Context};
use crate::paths;

/// `/files/debug`: the virtual paths, each with the real one.
pub(super) fn debug(context: &Context) -> Value {
    let snapshot = context.snapshot();
    let Some(agent) = &snapshot.agent_id else {
        return json!({});
    };
    let mut all = serde_json::Map::new();
    let here = view::frameworks(&snapshot).into_iter();
    let executors = here
        .chain(view::completed_frameworks(&snapshot))
        .flat_map(|framework| {
            // Where an executor ran more than once, its newest run is `latest`.
            let old = framework.completed_executors.into_iter();
            old.chain(framework.executors)
        });
    for executor in executors {
        let Some(sandbox) = executor.sandbox(agent) else {
            continue;
        };
        let real = context.work_dir.join(&sandbox);
        let latest = real.with_file_name(paths::LATEST);
        let real = real.to_string_lossy().into_owned();
        let (framework, executor) = (executor.framework_id, executor.id);
        let link = format!("/frameworks/{framework}/executors/{executor}/runs/latest");
        all.insert(link, json!(real));
        all.insert(latest.to_string_lossy().into_owned(), json!(real));
        all.insert(real.clone(), json!(real));
    }
    Value::Object(all)
}

/// `/files/browse?path=`: what is in a directory.
pub(super) async fn browse(context: &Arc<Context>, query: &Query<'_>) -> Result<Answer, Refusal> {
    let path = query.expect("path").map_err(Refusal::bad_request)?;
    let listed = context.beside(move |context| sandbox::list(context, &path));
    let entries: Value = listed.await??.iter().map(describe).collect();
    Ok(respond::json(entries.to_string(), query))
}

#[expect(clippy::cast_precision_loss, reason = "a date in seconds is exact")]
fn describe(file: &v1::FileInfo) -> Value {
    let mtime = file
        .mtime
        .map_or(0, |time| time.nanoseconds / 1_000_000_000);
    json!({
        "gid": file.gid(),
        "mode": mode(file.mode()),
        "mtime": mtime as f64,
        "nlink": file.nlink(),
        "path": file.path,
        "size": file.size(),
        "uid": file.uid(),
    })
}

/// As `ls -l` writes it.
fn mode(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o010_000 => 'p',
        0o140_000 => 's',
        0o020_000 => 'c',
        0o060_000 => 'b',
        _ => '-',
    };
    let bit = |at: u32, letter| if mode >> at & 1 == 1 { letter } else { '-' };
    let bits = (0..9).map(|at| bit(8 - at, ['r', 'w', 'x'][at as usize % 3]));
    std::iter::once(kind).chain(bits).collect()
}

/// `/files/read?path=&offset=&length=`: a part of a file, or its size.
pub(super) async fn read(context: &Arc<Context>, query: &Query<'_>) -> Result<Answer, Refusal> {
    let Part {
        path,
        offset,
        length,
    } = Part::parse(query)?;
    let read = context
        .beside(move |context| sandbox::read(context, &path, offset.unwrap_or(0), length))
        .await?;
    let (size, data) = read?;
    // Whoever reads on goes by the number of bytes, so that a character cut at the end of a part
    // must not be dropped; JSON has texts only, so that foreign bytes are replaced.
    let document = json!({
        "data": String::from_utf8_lossy(&data),
        "offset": offset.unwrap_or(size),
    });
    Ok(respond::json(document.to_string(), query))
}

/// The part of a file that was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    path: String,
    /// Unset: only the size is wanted.
    offset: Option<u64>,
    /// Unset: as much as is read at once.
    length: Option<u64>,
}

impl Part {
    fn parse(query: &Query<'_>) -> Result<Self, Refusal> {
        let path = query.expect("path").map_err(Refusal::bad_request)?;
        let offset = query.number("offset").map_err(Refusal::bad_request)?;
        let length = query.number("length").map_err(Refusal::bad_request)?;
        Ok(Self {
            path,
            offset,
            length: if offset.is_none() { Some(0) } else { length },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_may_leave_numbers_out_and_bad_ones_are_named() {
        let part = |text: &str| Part::parse(&Query(text));
        for (text, offset, length) in [
            ("path=/a", None, Some(0)),
            ("path=/a&offset=-1", None, Some(0)),
            ("path=/a&offset=7&length=100", Some(7), Some(100)),
            ("path=/a&offset=0&length=-1", Some(0), None),
        ] {
            let Ok(part) = part(text) else {
                panic!("{text} is a part");
            };
            assert_eq!((part.offset, part.length), (offset, length), "{text}");
        }
        for (text, words) in [
            ("offset=1", "Expecting 'path=value' in query.\n"),
            (
                "path=/a&offset=abc",
                "Failed to parse offset: Failed to convert 'abc' to number.\n",
            ),
            ("path=/a&offset=-2", "Negative offset provided: -2.\n"),
            (
                "path=/a&offset=0&length=x",
                "Failed to parse length: Failed to convert 'x' to number.\n",
            ),
        ] {
            match part(text) {
                Err(refusal) => assert_eq!(refusal.reason(), words),
                Ok(_) => panic!("{text} was taken"),
            }
        }
    }

    #[test]
    fn modes_read_as_ls_writes_them() {
        for (bits, text) in [
            (0o100_644, "-rw-r--r--"),
            (0o040_755, "drwxr-xr-x"),
            (0o120_777, "lrwxrwxrwx"),
        ] {
            assert_eq!(mode(bits), text);
        }
    }
}
