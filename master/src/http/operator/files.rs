//! Calls about the files that the master shows: LIST_FILES and READ_FILE.

use api::v1::master::Response as Message;
use api::v1::master::call;
use api::v1::master::response::{ListFiles, ReadFile, Type};
use http::StatusCode;
use master_core::authorization::Action;

use super::{Caller, answer};
use crate::files::FilesError;
use crate::http::Response;
use crate::http::respond::Refusal;

/// LIST_FILES. There are no folders: a file lists as nothing.
pub(super) fn list(caller: &Caller<'_>, call: &call::ListFiles) -> Result<Response, Refusal> {
    let files = caller.handle.files();
    files.resolve(&call.path).map_err(refusal)?;
    caller.must_be_allowed(Action::AccessMesosLog)?;
    let message = Message {
        list_files: Some(ListFiles::default()),
        ..answer::typed(Type::ListFiles)
    };
    Ok(answer::message(caller, &message))
}

/// READ_FILE.
pub(super) async fn read(caller: &Caller<'_>, call: &call::ReadFile) -> Result<Response, Refusal> {
    let files = caller.handle.files();
    files.resolve(&call.path).map_err(refusal)?;
    caller.must_be_allowed(Action::AccessMesosLog)?;
    let read = files.read(&call.path, call.offset, call.length).await;
    let (size, data) = read.map_err(refusal)?;
    let message = Message {
        read_file: Some(ReadFile { size, data }),
        ..answer::typed(Type::ReadFile)
    };
    Ok(answer::message(caller, &message))
}

/// The statuses and words of Mesos.
fn refusal(error: FilesError) -> Refusal {
    match error {
        FilesError::NotFound => Refusal::new(StatusCode::NOT_FOUND, ""),
        FilesError::IsFolder => Refusal::bad_request("Cannot read a directory.\n"),
        FilesError::Read { path, source } => Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("Failed to open file at '{}': {source}.\n", path.display()),
        ),
    }
}
