//! Cp: copies files out of the sandbox of a task.
//!
//! Names come from the agent, and so from the task: only plain ones are written, in the folder that
//! the user named. There is no way in: an agent takes no files of a task that runs.

use std::path::{Path, PathBuf};

use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;

use crate::args::{CpArgs, Remote, TaskArgs};
use crate::client::ClientError;
use crate::client::files::{Entry, browse, read_from, sandbox_of};
use crate::client::http::Connection;
use crate::client::master::Master;
use crate::client::state;
use crate::note;
use crate::tasks::{FindError, find};

/// Folders in folders; more is a loop, or malice.
const DEPTH_MAX: usize = 64;

/// Why files were not copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CpError {
    #[error(
        "files go out of a task only: `tepui run --uri` brings one in at the start, and into a running task \
         `tepui exec -i {task} sh -c 'cat > {path}' < {file}`"
    )]
    Into {
        task: String,
        path: String,
        file: String,
    },
    #[error("neither side is a task's: give TASK:PATH and where to copy it")]
    NoTask,
    #[error("both sides are tasks: copy to here first")]
    Both,
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Find(#[from] FindError),
    #[error("{task} ran on {agent}, which is not registered any more")]
    Node { task: String, agent: String },
    #[error("{path} is not in the sandbox of {task}: {why}")]
    Path {
        path: String,
        task: String,
        why: &'static str,
    },
    #[error("write {}", path.display())]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: folders nest deeper than {DEPTH_MAX}")]
    Depth { path: String },
}

/// Copies a file or a folder.
pub(crate) async fn copy(args: &CpArgs, master: &Master) -> Result<u8, CpError> {
    let from = match (&args.from.task, &args.to.task) {
        (Some(from), None) => from,
        (None, Some(task)) => {
            return Err(CpError::Into {
                task: task.clone(),
                path: args.to.path.clone(),
                file: args.from.path.clone(),
            });
        }
        (None, None) => return Err(CpError::NoTask),
        (Some(_), Some(_)) => return Err(CpError::Both),
    };
    let inside = inside(&args.from.path).map_err(|why| CpError::Path {
        path: args.from.path.clone(),
        task: from.clone(),
        why,
    })?;
    let wanted = TaskArgs {
        task: from.clone(),
        framework: args.framework.clone(),
    };
    let state = state::fetch(&mut Connection::to(master).await?).await?;
    let (framework, task) = find(&state, &wanted)?;
    let Some(node) = state.node(&task.slave_id) else {
        return Err(CpError::Node {
            task: task.id.clone(),
            agent: task.slave_id.clone(),
        });
    };
    let mut agent = Connection::new(node.address());
    let sandbox = sandbox_of(&mut agent, framework, task).await?;
    let mut copying = Copying { agent, skipped: 0 };
    // A whole sandbox is named for its task.
    let (folder, name) = match inside.rsplit_once('/') {
        Some((folder, name)) => (format!("{sandbox}/{folder}"), name),
        None if inside.is_empty() => (sandbox.clone(), task.id.as_str()),
        None => (sandbox.clone(), inside.as_str()),
    };
    let to = target(Path::new(&args.to.path), name).await;
    let listed = browse(&mut copying.agent, &folder)
        .await?
        .unwrap_or_default();
    let entry = listed.iter().find(|entry| entry.name() == name);
    let path = format!("{folder}/{name}");
    let copied = match entry.and_then(|entry| entry.mode.chars().next()) {
        _ if inside.is_empty() => copying.folder(listed, to).await.map(|()| true)?,
        Some('d') => {
            let listed = browse(&mut copying.agent, &path).await?;
            let listed = listed.unwrap_or_default();
            copying.folder(listed, to).await.map(|()| true)?
        }
        Some('-') => copying.file(&path, &to).await?,
        Some(_) | None => false,
    };
    if !copied {
        return Err(CpError::Path {
            path: args.from.path.clone(),
            task: task.id.clone(),
            why: "there is no such file, or it is a link or a device",
        });
    }
    if copying.skipped > 0 {
        let skipped = copying.skipped;
        note(&format!(
            "left out: {skipped} that are neither files nor folders"
        ));
    }
    Ok(0)
}

/// The path beneath the sandbox; tasks know it as /mnt/mesos/sandbox.
fn inside(path: &str) -> Result<String, &'static str> {
    let beneath = path.strip_prefix("/mnt/mesos/sandbox").unwrap_or(path);
    if beneath.len() == path.len() && path.starts_with('/') && path != "/" {
        return Err("a path is beneath it, as in stdout, or begins with /mnt/mesos/sandbox");
    }
    let parts = beneath.split('/').filter(|part| !matches!(*part, "" | "."));
    let parts: Vec<&str> = parts.collect();
    match parts.contains(&"..") {
        true => Err("a path with .. leads out"),
        false => Ok(parts.join("/")),
    }
}

/// Into a folder that is there, else to that name.
async fn target(to: &Path, name: &str) -> PathBuf {
    let is_folder = fs::metadata(to).await.is_ok_and(|data| data.is_dir());
    match is_folder {
        true => to.join(name),
        false => to.to_path_buf(),
    }
}

struct Copying {
    agent: Connection,
    /// What is neither a file nor a folder.
    skipped: u64,
}

impl Copying {
    async fn folder(&mut self, listed: Vec<Entry>, to: PathBuf) -> Result<(), CpError> {
        let mut left = vec![(listed, to, 0)];
        while let Some((listed, to, depth)) = left.pop() {
            fs::create_dir_all(&to)
                .await
                .map_err(|source| CpError::Write {
                    path: to.clone(),
                    source,
                })?;
            for entry in listed {
                let name = entry.name();
                if !is_plain(name) {
                    self.skipped += 1;
                    continue;
                }
                let to = to.join(name);
                match entry.mode.chars().next() {
                    Some('d') if depth >= DEPTH_MAX => {
                        return Err(CpError::Depth { path: entry.path });
                    }
                    Some('d') => {
                        let listed = browse(&mut self.agent, &entry.path).await?;
                        left.push((listed.unwrap_or_default(), to, depth + 1));
                    }
                    Some('-') | None => {
                        let found = self.file(&entry.path, &to).await?;
                        self.skipped += u64::from(!found);
                    }
                    Some(_) => self.skipped += 1,
                }
            }
        }
        Ok(())
    }

    /// Copies one file; whether it was there.
    async fn file(&mut self, path: &str, to: &Path) -> Result<bool, CpError> {
        let failed = |source| CpError::Write {
            path: to.to_path_buf(),
            source,
        };
        let mut file: Option<File> = None;
        let mut offset = 0;
        loop {
            let Some(part) = read_from(&mut self.agent, path, offset).await? else {
                return Ok(file.is_some());
            };
            let file = match &mut file {
                Some(file) => file,
                None => {
                    let mut options = OpenOptions::new();
                    let options = options.write(true).create(true).truncate(true);
                    file.insert(options.open(to).await.map_err(failed)?)
                }
            };
            if part.bytes.is_empty() {
                file.flush().await.map_err(failed)?;
                return Ok(true);
            }
            offset += part.bytes.len() as u64;
            file.write_all(&part.bytes).await.map_err(failed)?;
            // A file that grows as fast as it is read would be copied for ever.
            if part.size.is_some_and(|size| offset >= size) {
                file.flush().await.map_err(failed)?;
                return Ok(true);
            }
        }
    }
}

/// A name that stays in its folder.
fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

impl Remote {
    /// Reads `TASK:PATH`, or a path of this machine: that begins with `.` or `/`, or has no colon.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let here = Self {
            task: None,
            path: text.to_owned(),
        };
        if text.starts_with(['.', '/']) {
            return Ok(here);
        }
        match text.split_once(':') {
            None => Ok(here),
            Some(("", _)) => Err("names no task before the colon".to_owned()),
            Some((task, path)) => Ok(Self {
                task: Some(task.to_owned()),
                path: path.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_beneath_the_sandbox_and_never_out_of_it() {
        for (path, expected) in [
            ("stdout", Some("stdout")),
            ("./a//b/", Some("a/b")),
            ("/mnt/mesos/sandbox/a", Some("a")),
            ("/mnt/mesos/sandbox", Some("")),
            ("", Some("")),
            ("/", Some("")),
            ("/etc/passwd", None),
            ("/mnt/mesos/sandbox/../x", None),
            ("a/../../b", None),
        ] {
            assert_eq!(inside(path).ok().as_deref(), expected, "{path}");
        }
        assert!(["", ".", "..", "a/b"].iter().all(|name| !is_plain(name)));
    }

    #[test]
    fn a_task_stands_before_a_colon() {
        let read = |text: &str| {
            let remote = Remote::read(text).unwrap();
            (remote.task, remote.path)
        };
        assert_eq!(
            read("web-1:a/b"),
            (Some("web-1".to_owned()), "a/b".to_owned())
        );
        assert_eq!(read("./a:b"), (None, "./a:b".to_owned()));
        assert_eq!(read("file"), (None, "file".to_owned()));
        assert!(Remote::read(":x").is_err());
    }
}
