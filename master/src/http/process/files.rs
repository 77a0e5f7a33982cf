//! `/files/*`: the virtual files, listed, read in parts and downloaded.

use http::{HeaderValue, header};
use serde_json::{Value, json};

use super::Refusal;
use crate::files::{Files, FilesError};
use crate::http::pieces::Pieces;
use crate::http::query::Query;
use crate::http::{Response, body::Body, respond};

/// `/files/browse`: the listing of a folder, of which there is none; a file has nothing in it.
pub(super) fn browse(files: &Files, query: &Query<'_>) -> Result<Response, Refusal> {
    files.resolve(&path(query)?)?;
    Ok(respond::json("[]", query))
}

/// `/files/read`: a part of a file, or its size where the offset is -1.
pub(super) async fn read(files: &Files, query: &Query<'_>) -> Result<Response, Refusal> {
    let path = path(query)?;
    let offset = query.number("offset").map_err(Refusal::bad_request)?;
    let length = match offset {
        None => Some(0),
        Some(_) => query.number("length").map_err(Refusal::bad_request)?,
    };
    let read = files.read(&path, offset.unwrap_or(0), length).await;
    let (size, data) = read?;
    let document = json!({
        "data": String::from_utf8_lossy(&data),
        "offset": offset.unwrap_or(size),
    });
    Ok(respond::json(document.to_string(), query))
}

/// `/files/download`: a whole file.
pub(super) async fn download(files: &Files, query: &Query<'_>) -> Result<Response, Refusal> {
    let path = path(query)?;
    let (file, size) = match files.open(&path).await {
        Ok(open) => open,
        Err(FilesError::NotFound) => return Ok(respond::not_found()),
        Err(FilesError::IsFolder) => {
            return Err(Refusal::bad_request("Cannot download a directory.\n"));
        }
        Err(error) => return Err(error.into()),
    };
    let mut response = Response::new(Body::Pieces(Box::new(Pieces::of_file(file, size))));
    let headers = response.headers_mut();
    let name = path
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename={name}")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// `/files/debug`: every virtual path, with the real one.
pub(super) fn debug(files: &Files) -> Value {
    let one = |(name, real): (&str, &std::path::Path)| (name.to_owned(), json!(real));
    Value::Object(files.all().map(one).collect())
}

fn path(query: &Query<'_>) -> Result<String, Refusal> {
    query.expect("path").map_err(Refusal::bad_request)
}
