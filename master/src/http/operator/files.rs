//! Calls about the files that the master shows: LIST_FILES and READ_FILE.

use api::v1::master::Response as Message;
use api::v1::master::call;
use api::v1::master::response::{ListFiles, ReadFile, Type};
use master_core::authorization::Action;

use super::{Caller, answer};
use crate::http::Response;
use crate::http::respond::Refusal;

/// LIST_FILES. There are no folders: a file lists as nothing.
pub(super) fn list(caller: &Caller<'_>, call: &call::ListFiles) -> Result<Response, Refusal> {
    let files = caller.handle.files();
    files.resolve(&call.path)?;
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
    files.resolve(&call.path)?;
    caller.must_be_allowed(Action::AccessMesosLog)?;
    let read = files.read(&call.path, call.offset, call.length).await;
    let (size, data) = read?;
    let message = Message {
        read_file: Some(ReadFile { size, data }),
        ..answer::typed(Type::ReadFile)
    };
    Ok(answer::message(caller, &message))
}
