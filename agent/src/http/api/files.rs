//! Calls about the files of sandboxes: LIST_FILES and READ_FILE.

use api::http::respond::Refusal;
use api::v1::agent::Response as Message;
use api::v1::agent::call;
use api::v1::agent::response::{ListFiles, ReadFile, Type};

use super::{Caller, answer};
use crate::http::Answer;
use crate::http::files::sandbox;

/// LIST_FILES.
pub(super) async fn list(caller: &Caller<'_>, call: call::ListFiles) -> Result<Answer, Refusal> {
    let listed = caller
        .context
        .beside(move |context| sandbox::list(context, &call.path));
    let file_infos = listed.await??;
    Ok(answer::message(
        caller,
        &Message {
            list_files: Some(ListFiles { file_infos }),
            ..answer::typed(Type::ListFiles)
        },
    ))
}

/// READ_FILE.
pub(super) async fn read(caller: &Caller<'_>, call: call::ReadFile) -> Result<Answer, Refusal> {
    let read = caller
        .context
        .beside(move |context| sandbox::read(context, &call.path, call.offset, call.length));
    let (size, data) = read.await??;
    Ok(answer::message(
        caller,
        &Message {
            read_file: Some(ReadFile { size, data }),
            ..answer::typed(Type::ReadFile)
        },
    ))
}
