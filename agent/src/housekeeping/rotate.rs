//! Rotate: copies output that has reached its size, and cuts it.
//!
//! The file stays the one that the container writes to. Where the file system can take a range out
//! of a file (ext4, xfs) nothing is lost: what was copied is taken out, and what is written meanwhile
//! moves up. Elsewhere (tmpfs) the file is truncated, and what is written within microseconds of
//! that is gone, as with every rotation by copying.
//!
//! The files are in a task's hands: they are opened beneath the work directory without links, only
//! regular ones are touched, and no more is copied of one than of older ones is kept.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use agent_core::rotation::{Cut, Rule, Rules, Stream};
use agent_kernel::files;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FallocateFlags, OFlag, fallocate, renameat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use tracing::warn;

use crate::init::chain;

/// The outputs of running containers; paths are beneath the work directory.
#[derive(Debug)]
pub(super) struct Rotator {
    work_dir: PathBuf,
    sandboxes: Mutex<BTreeMap<PathBuf, Arc<Watched>>>,
}

/// The outputs of one container.
#[derive(Debug)]
pub(super) struct Watched {
    sandbox: PathBuf,
    rules: Rules,
    /// Held while its files are moved: a container's last look may meet one that has begun before.
    turn: Mutex<()>,
}

impl Rotator {
    pub(super) fn new(work_dir: &Path) -> Self {
        Self {
            work_dir: work_dir.to_path_buf(),
            sandboxes: Mutex::new(BTreeMap::new()),
        }
    }

    pub(super) fn begun(&self, sandbox: &Path, rules: Rules) {
        let watched = Watched {
            sandbox: sandbox.to_path_buf(),
            rules,
            turn: Mutex::new(()),
        };
        self.sandboxes()
            .insert(sandbox.to_path_buf(), Arc::new(watched));
    }

    /// Nobody writes there any more; what is to be looked at once more, for what was written since
    /// the last time.
    pub(super) fn ended(&self, sandbox: &Path) -> Option<Arc<Watched>> {
        self.sandboxes().remove(sandbox)
    }

    pub(super) fn watched(&self) -> Vec<Arc<Watched>> {
        self.sandboxes().values().map(Arc::clone).collect()
    }

    /// Rotates what has reached its size; whether something had more than twice that, and is to be
    /// looked at again soon.
    pub(super) fn look(&self, watched: &[Arc<Watched>]) -> bool {
        let mut is_busy = false;
        for one in watched {
            let outputs = [
                (Stream::Stdout, one.rules.stdout),
                (Stream::Stderr, one.rules.stderr),
            ];
            // What a panic left half moved is looked at again as it is.
            let _turn = one.turn.lock().unwrap_or_else(PoisonError::into_inner);
            for (stream, rule) in outputs {
                // Only a hint: what is opened is looked at again.
                let path = self.work_dir.join(&one.sandbox).join(stream.name());
                let size = fs::symlink_metadata(path).map_or(0, |data| data.len());
                if rule.cut(size).is_none() {
                    continue;
                }
                is_busy |= size / 2 > rule.size;
                if let Err(error) = rotate(&self.work_dir, &one.sandbox, stream, rule) {
                    warn!(
                        path = %one.sandbox.display(), stream = stream.name(),
                        error = chain(&error), "output not rotated"
                    );
                }
            }
        }
        is_busy
    }

    fn sandboxes(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, Arc<Watched>>> {
        // An insertion or a removal is whole or not begun.
        self.sandboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rotates one output where it has reached its size. It is cut even where what is cut cannot be kept:
/// a full disk, or a folder in the place of an older file, is no reason to fill the disk further.
fn rotate(work_dir: &Path, sandbox: &Path, stream: Stream, rule: Rule) -> io::Result<()> {
    let open = |folder: &File, path: &Path, flags| {
        files::beneath_without_links(folder, path, flags, Mode::empty()).map(File::from)
    };
    let folder = open(
        &File::open(work_dir)?,
        sandbox,
        OFlag::O_RDONLY | OFlag::O_DIRECTORY,
    )?;
    // Without O_NONBLOCK a pipe that stands in the file's place would be waited on.
    let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK;
    let output = open(&folder, Path::new(stream.name()), flags)?;
    let data = output.metadata()?;
    if !data.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let Some(cut) = rule.cut(data.len()) else {
        return Ok(());
    };
    let older = match rule.keep {
        0 => Ok(None),
        keep => begin_older(&folder, stream, keep, &data).map(Some),
    };
    let kept = older.and_then(|older| {
        move_out(&output, older.as_ref(), cut, data.blksize()).map(|()| older.is_some())
    });
    if kept.is_err() {
        output.set_len(0)?;
    }
    if kept? {
        shift(&folder, stream, rule)?;
    }
    Ok(())
}

/// Makes the file that takes what is cut, under a name of its own until it is whole. The oldest goes
/// first, so that its space can be used.
fn begin_older(folder: &File, stream: Stream, keep: u32, like: &Metadata) -> io::Result<File> {
    for name in [stream.older(keep), stream.older(0)] {
        match unlinkat(folder, &*name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
    let name = stream.older(0);
    let mode = Mode::from_bits_truncate(0o600);
    let older = files::beneath_without_links(folder, Path::new(&name), flags, mode)?;
    let older = File::from(older);
    fchown(&older, Some(like.uid()), Some(like.gid()))?;
    older.set_permissions(Permissions::from_mode(like.mode() & 0o666))?;
    Ok(older)
}

/// Takes what is cut out of the output, into the older file where there is one.
fn move_out(output: &File, older: Option<&File>, cut: Cut, block: u64) -> io::Result<()> {
    // The last block stays: a range that ends with the file cannot be taken out of it.
    let blocks = (cut.until.saturating_sub(1) / block.max(1)) * block;
    copy(output, older, cut.from.min(blocks), blocks)?;
    let mode = FallocateFlags::FALLOC_FL_COLLAPSE_RANGE;
    if fallocate(output, mode, 0, blocks.cast_signed()).is_ok() {
        return Ok(());
    }
    // This file system cannot. Whoever writes faster than this copies loses some.
    let mut copied = blocks;
    for _ in 0..4 {
        let size = output.metadata()?.len();
        copy(output, older, copied, size)?;
        copied = size;
    }
    output.set_len(0)
}

fn copy(mut output: &File, older: Option<&File>, from: u64, until: u64) -> io::Result<()> {
    let Some(mut older) = older else {
        return Ok(());
    };
    output.seek(SeekFrom::Start(from))?;
    io::copy(&mut output.take(until.saturating_sub(from)), &mut older)?;
    Ok(())
}

/// The older files move up by one, the new one first among them.
fn shift(folder: &File, stream: Stream, rule: Rule) -> io::Result<()> {
    for number in (0..rule.keep).rev() {
        let (from, to) = (stream.older(number), stream.older(number + 1));
        match renameat(folder, &*from, folder, &*to) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let mut kept = 0_u64;
    for number in 1..=rule.keep {
        let name = stream.older(number);
        let Ok(data) = fstatat(folder, &*name, AtFlags::AT_SYMLINK_NOFOLLOW) else {
            break;
        };
        kept = kept.saturating_add(data.st_size.unsigned_abs());
        if number > 1 && kept > rule.kept_max() {
            unlinkat(folder, &*name, UnlinkatFlags::NoRemoveDir)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const RULE: Rule = Rule {
        size: 8192,
        keep: 2,
    };

    struct Sandbox(tempfile::TempDir);

    impl Sandbox {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            fs::create_dir(folder.path().join("s")).expect("a sandbox");
            Self(folder)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join("s").join(name)
        }

        fn rotate(&self, rule: Rule) -> Result<(), String> {
            let rotated = rotate(self.0.path(), Path::new("s"), Stream::Stdout, rule);
            rotated.map_err(|error| error.to_string())
        }

        fn text(&self, name: &str) -> String {
            fs::read_to_string(self.path(name)).unwrap_or_default()
        }
    }

    #[test]
    fn nothing_is_lost_however_often_output_is_rotated_and_the_writer_goes_on() {
        let sandbox = Sandbox::new();
        let path = sandbox.path("stdout");
        let opened = File::options().create(true).append(true).open(&path);
        let mut output = opened.expect("the output");
        let mut written = String::new();
        for number in 0..2_000 {
            let line = format!("line {number}\n");
            output.write_all(line.as_bytes()).expect("a line");
            written.push_str(&line);
            sandbox.rotate(RULE).expect("rotated");
        }
        let all = ["stdout.2", "stdout.1", "stdout"].map(|name| sandbox.text(name));
        assert!(all.iter().all(|text| !text.is_empty()));
        assert!(written.ends_with(&all.concat()));
        assert!(fs::metadata(&path).expect("the output").len() < RULE.size);
        let names = fs::read_dir(sandbox.0.path().join("s")).expect("the sandbox");
        assert_eq!(names.count(), 3);
    }

    #[test]
    fn what_was_written_before_the_end_is_cut_after_it() {
        let sandbox = Sandbox::new();
        let rotator = Rotator::new(sandbox.0.path());
        let rules = Rules {
            stdout: RULE,
            stderr: RULE,
        };
        rotator.begun(Path::new("s"), rules);
        fs::write(sandbox.path("stdout"), "x".repeat(100_000)).expect("the output");
        let last = rotator.ended(Path::new("s")).expect("it was watched");
        assert!(rotator.watched().is_empty());
        rotator.look(&[last]);
        assert!(sandbox.text("stdout").len() < 8192);
        assert!(sandbox.text("stdout.1").len() <= 2 * 8192 + 4096);
        assert!(rotator.ended(Path::new("s")).is_none());
    }

    #[test]
    fn without_older_files_output_is_only_cut() {
        let sandbox = Sandbox::new();
        fs::write(sandbox.path("stdout"), "x".repeat(10_000)).expect("the output");
        let rule = Rule { keep: 0, ..RULE };
        sandbox.rotate(rule).expect("rotated");
        assert!(sandbox.text("stdout").len() < 8192);
        assert!(!sandbox.path("stdout.1").exists());
    }

    #[test]
    fn a_file_that_lies_about_its_size_costs_no_more_than_its_bound() {
        let sandbox = Sandbox::new();
        let output = File::create(sandbox.path("stdout")).expect("the output");
        output.set_len(1 << 40).expect("a size");
        sandbox.rotate(RULE).expect("rotated");
        let older = fs::metadata(sandbox.path("stdout.1")).expect("the older file");
        assert!(older.len() <= 2 * RULE.size);
        assert!(output.metadata().expect("the output").len() < RULE.size);
    }

    #[test]
    fn links_pipes_and_folders_in_the_way_are_not_followed_or_waited_on() {
        let sandbox = Sandbox::new();
        let outside = sandbox.0.path().join("outside");
        let secret = "x".repeat(10_000);
        fs::write(&outside, &secret).expect("a file");
        std::os::unix::fs::symlink(&outside, sandbox.path("stdout")).expect("a link");
        sandbox.rotate(RULE).expect_err("a link");
        fs::remove_file(sandbox.path("stdout")).expect("the link");
        nix::unistd::mkfifo(&sandbox.path("stdout"), Mode::S_IRWXU).expect("a pipe");
        sandbox.rotate(RULE).expect_err("a pipe");
        fs::remove_file(sandbox.path("stdout")).expect("the pipe");

        // The older file's name leads out; it is replaced, not followed.
        std::os::unix::fs::symlink(&outside, sandbox.path("stdout.0")).expect("a link");
        std::os::unix::fs::symlink(&outside, sandbox.path("stdout.1")).expect("a link");
        fs::write(sandbox.path("stdout"), "y".repeat(9_000)).expect("the output");
        sandbox.rotate(RULE).expect("rotated");
        assert_eq!(fs::read_to_string(&outside).expect("the file"), secret);
        assert!(sandbox.text("stdout.1").starts_with('y'));

        // What cannot be kept is cut nevertheless.
        fs::remove_file(sandbox.path("stdout.2")).expect("the link");
        fs::create_dir(sandbox.path("stdout.2")).expect("a folder");
        fs::write(sandbox.path("stdout"), "z".repeat(9_000)).expect("the output");
        sandbox.rotate(RULE).expect_err("a folder");
        assert_eq!(sandbox.text("stdout"), "");
    }
}
