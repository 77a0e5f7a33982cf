//! The tests as PID 1 of a machine of their own, where the whole cgroup tree is theirs.
//!
//! Boots in seconds with the image of this repository around this program, built for musl:
//! `tepui-qemu boot --init <program> --memory 512 --disk <image of an ext4 file system>`; with `--xfs` also
//! on an XFS. Linux before
//! 6.3 maps no ids of files in memory, so that layers and volumes want the disk there.

use std::error::Error;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use agent_kernel::boot_mounts::{self, Flags};
use agent_kernel::{modules, power};

/// Whether this program is the first of its machine.
pub(crate) fn is_init() -> bool {
    std::process::id() == 1
}

/// The disk that the tests have their files on, where the machine has one.
const DISK: &str = "/dev/vda";

/// Mounts what a container needs of a node.
pub(crate) fn prepare() -> Result<(), Box<dyn Error>> {
    boot_mounts::move_root()?;
    let folder = Path::new("/lib/modules").join(modules::release()?);
    for list in ["modules.load", "modules.xfs"] {
        let list = fs::read_to_string(folder.join(list)).unwrap_or_default();
        for module in list.lines() {
            modules::load(&folder.join(module))?;
        }
    }
    for (kind, target) in [
        ("devtmpfs", "/dev"),
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("cgroup2", "/sys/fs/cgroup"),
        ("tmpfs", "/tmp"),
    ] {
        boot_mounts::mount(kind, Path::new(target), kind, Flags::empty(), "")?;
    }
    // Set aside before the tree of groups is made, which shares them out.
    fs::write("/proc/sys/vm/nr_hugepages", "4")?;
    if Path::new(DISK).exists() {
        let kind = kind(&mut File::open(DISK)?)?;
        boot_mounts::mount(DISK, Path::new("/tmp"), kind, Flags::empty(), "prjquota")?;
    }
    Ok(())
}

/// The kind of file system on a disk, by the magic at its start.
fn kind(disk: &mut impl Read) -> std::io::Result<&'static str> {
    let mut magic = [0; 4];
    disk.read_exact(&mut magic)?;
    Ok(match &magic {
        b"XFSB" => "xfs",
        _ => "ext4",
    })
}

/// Which tests are to be run, by the word `tests=` of the kernel's command line; all where it has none.
pub(crate) fn filter() -> Option<String> {
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let mut words = line.split_whitespace();
    words.find_map(|word| {
        word.strip_prefix("tests=")
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
    })
}

/// Ends the machine.
pub(crate) fn off() -> ! {
    power::sync();
    let reason = power::off();
    // PID 1 must not end: the kernel would call it a panic.
    println!("power off: {reason}");
    loop {
        std::thread::park();
    }
}
