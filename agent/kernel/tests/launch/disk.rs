//! Quotas of projects: what a container writes is counted, bounded, and its project stays.
//!
//! They want the tests' files on ext4 or XFS with quotas of projects, as nodes have it and a machine of its
//! own under `tests/vm` does.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use agent_kernel::quota::{self, Kind, Quotas};
use model::sandbox::{Access, DiskQuota, ExitStatus, LaunchPlan, Overlay, Root, Scratch};
use nix::sys::statfs::{self, FsType};

use crate::Outcome;
use crate::world::{World, process_of, same, sandbox};

/// The word by which this program is the one that attacks, inside a container.
pub(crate) const ATTACK: &str = "attack-project";

/// Of `linux/magic.h`; nix has it for glibc alone.
const XFS_SUPER_MAGIC: FsType = FsType(0x5846_5342);

/// What the projects of tests begin at.
const FIRST: u32 = 70_000;

/// The quotas of the file system that the tests are on; says so where it has none.
fn quotas(world: &World) -> Option<Quotas> {
    let found = File::open(&world.directory).map(|folder| Quotas::of(folder.into()));
    match found {
        Ok(Ok(quotas)) => Some(quotas),
        Ok(Err(errno)) => {
            println!("  left out: no quotas of projects here: {errno}");
            None
        }
        Err(error) => {
            println!("  left out: {error}");
            None
        }
    }
}

/// Makes a directory a project's with these bounds; what it is called.
fn bound(
    quotas: &Quotas,
    path: &Path,
    quota: DiskQuota,
) -> Result<u32, Box<dyn std::error::Error>> {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(FIRST);
    let project = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    quota::set_project(File::open(path)?, project, Kind::Directory)?;
    quotas.limit(project, quota)?;
    Ok(project)
}

const fn quota(bytes_max: u64, inodes_max: u64) -> DiskQuota {
    DiskQuota {
        bytes_max: Some(bytes_max),
        inodes_max: Some(inodes_max),
    }
}

pub(crate) fn a_sandbox_takes_what_it_may_and_the_agent_goes_on_writing(world: &World) -> Outcome {
    let Some(quotas) = quotas(world) else {
        return Ok(());
    };
    let plan = world.plan(
        "head -c 4m /dev/zero | cat >big 2>/tmp/said; rm big
         grep -qE 'cat.*(quota exceeded|No space left)' /tmp/said && echo stopped
         i=0; while [ $i -lt 200 ]; do true >f$i; i=$((i+1)); done 2>>/tmp/said
         ls | wc -l; grep -oE 'quota exceeded|No space left' /tmp/said | wc -l; stat -f -c %b .",
    )?;
    let project = bound(&quotas, sandbox(&plan), quota(1 << 20, 50))?;
    let (output, status) = world.run_plan(&plan)?;
    same(status, ExitStatus::Exited(0), &output)?;
    let lines: Vec<_> = output.lines().collect();
    same(lines.first(), Some(&"stopped"), &output)?;
    let files: u32 = lines.get(1).ok_or("no output")?.trim().parse()?;
    same((45..=50).contains(&files), true, &output)?;
    let refused: u32 = lines.get(2).ok_or("no output")?.trim().parse()?;
    same(refused > 150, true, &output)?;
    // What the task sees of the disk is its own part.
    let blocks: u64 = lines.get(3).ok_or("no output")?.trim().parse()?;
    same(blocks <= 1024, true, &output)?;
    let usage = quotas.usage(project)?;
    same(usage.bytes <= 1 << 20, true, &format!("{usage:?}"))?;
    same(usage.inodes, 50, "inodes")?;
    same(usage.quota, quota(1 << 20, 50), "quota")?;
    // The agent is let past on ext4, or it could rotate nothing, nor write what a container said.
    let rotated = fs::write(sandbox(&plan).join("rotated"), vec![1; 2 << 20]);
    match kind(world)? {
        XFS_SUPER_MAGIC => {
            let errno = rotated.err().and_then(|error| error.raw_os_error());
            same(errno, Some(libc::ENOSPC), "the agent on XFS")?;
        }
        _ => {
            rotated?;
            same(quotas.usage(project)?.inodes, 51, "inodes")?;
        }
    }
    // With the last file the number is free again.
    fs::remove_dir_all(sandbox(&plan))?;
    empties(&quotas, project)?;
    quotas.limit(project, DiskQuota::default())?;
    let next = quotas.next(project)?;
    let own = next.filter(|(other, _)| *other == project);
    let own = own.map_or(quota::Usage::default(), |(_, usage)| usage);
    same(own, quota::Usage::default(), "record")
}

/// The kind of the file system that the tests are on.
fn kind(world: &World) -> Result<FsType, nix::errno::Errno> {
    Ok(statfs::statfs(&world.directory)?.filesystem_type())
}

/// Waits until nothing is in a project: XFS takes out what was removed a moment later.
fn empties(quotas: &Quotas, project: u32) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let left = quotas.usage(project)?;
        if (left.bytes, left.inodes) == (0, 0) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("left over: {left:?}").into());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn a_root_of_layers_takes_what_it_may(world: &World) -> Outcome {
    let Some(quotas) = quotas(world) else {
        return Ok(());
    };
    let mut plan = world.plan(
        "head -c 8m /dev/zero | cat >/filled 2>/tmp/said; grep -oE 'quota exceeded|No space left' /tmp/said
         stat -c %s /filled; rm /filled; mkdir /many
         i=0; while [ $i -lt 400 ]; do true >/many/f$i || break; i=$((i+1)); done 2>/dev/null; ls /many | wc -l",
    )?;
    let scratch = world.directory.join("bounded-scratch");
    fs::create_dir(&scratch)?;
    let project = bound(&quotas, &scratch, quota(2 << 20, 120))?;
    plan.root = Root::Overlay(Overlay {
        layers: vec![world.root().to_string_lossy().into_owned()],
        ids: None,
        scratch: Scratch::Directory(scratch.to_string_lossy().into_owned()),
        access: Access::ReadWrite,
    });
    own_root(&mut plan);
    let (output, _) = world.run_plan(&plan)?;
    let lines: Vec<_> = output.lines().collect();
    let refused = match kind(world)? {
        XFS_SUPER_MAGIC => "No space left",
        _ => "quota exceeded",
    };
    same(lines.first(), Some(&refused), &output)?;
    let number = |at: usize| {
        lines
            .get(at)
            .and_then(|line| line.trim().parse::<u64>().ok())
    };
    same(
        number(1).is_some_and(|bytes| bytes <= 2 << 20),
        true,
        &output,
    )?;
    same(
        number(2).is_some_and(|files| (80..120).contains(&files)),
        true,
        &output,
    )?;
    let usage = quotas.usage(project)?;
    same(
        usage.bytes <= 2 << 20 && usage.inodes <= 120,
        true,
        &format!("{usage:?}"),
    )?;
    fs::remove_dir_all(&scratch)?;
    Ok(())
}

/// The layers' files are the node's 0, whom nobody inside is.
fn own_root(plan: &mut LaunchPlan) {
    if let Root::Overlay(overlay) = &mut plan.root {
        overlay.ids = Some(model::sandbox::IdRange {
            first: 0,
            length: plan.ids.length,
        });
    }
}

pub(crate) fn a_task_cannot_leave_its_project(world: &World) -> Outcome {
    let Some(quotas) = quotas(world) else {
        return Ok(());
    };
    let program = world.root().join("bin").join(ATTACK);
    fs::copy("/proc/self/exe", &program)?;
    let script = format!(
        "mkdir sub; : >sub/file; {ATTACK} {ATTACK} . sub sub/file
         unshare -Ur {ATTACK} {ATTACK} . sub sub/file"
    );
    let mut plan = world.plan(&script)?;
    // Not as 0, whom the kernel lets map itself with CAP_SETFCAP only.
    process_of(&mut plan).user.uid = 1000;
    let project = bound(&quotas, sandbox(&plan), quota(1 << 20, 50))?;
    let (output, status) = world.run_plan(&plan)?;
    fs::remove_file(&program)?;
    same(status, ExitStatus::Exited(0), &output)?;
    same(output.matches("refused").count(), 24, &output)?;
    same(output.contains("let through"), false, &output)?;
    for path in ["", "sub", "sub/file"] {
        let path: PathBuf = sandbox(&plan).join(path);
        let found = quota::project_of(File::open(&path)?)?;
        same(found, project, &path.display().to_string())?;
    }
    // Nothing moves in from elsewhere without being counted, nor out.
    let outside = world.directory.join("outside");
    fs::write(&outside, "x")?;
    let moved = fs::rename(&outside, sandbox(&plan).join("moved"));
    let errno = moved.err().and_then(|error| error.raw_os_error());
    same(errno, Some(libc::EXDEV), "a move into the project")?;
    Ok(())
}

/// Inside a container: tries all that would take a file out of its project.
pub(crate) fn attack() -> ! {
    for path in std::env::args().skip(2) {
        let Ok(file) = File::open(&path) else {
            println!("{path} cannot be opened");
            continue;
        };
        let tries = [
            quota::set_project(&file, 0, Kind::File).is_ok(),
            quota::set_project(&file, 4711, Kind::Directory).is_ok(),
            // Without FS_PROJINHERIT_FL, and with nothing else but what all files of ext4 have (extents), or
            // of XFS. A file never has the flag, and nothing changes for it.
            set_flags(&file, 0x0008_0000) && path != "sub/file",
            set_flags(&file, 0) && path != "sub/file",
        ];
        for was_let in tries {
            println!("{path} {}", if was_let { "let through" } else { "refused" });
        }
    }
    std::process::exit(0);
}

/// Whether the flags of a file could be set.
#[expect(unsafe_code, reason = "no crate here sets the flags of files")]
fn set_flags(file: &File, flags: libc::c_int) -> bool {
    const FS_IOC_SETFLAGS: libc::Ioctl = 0x4008_6602;
    let fd = file.as_raw_fd();
    // SAFETY: the descriptor is open while `file` is borrowed, and `flags` is the number that the command
    // reads during the call.
    let rc = unsafe { libc::ioctl(fd, FS_IOC_SETFLAGS, &raw const flags) };
    rc == 0
}
