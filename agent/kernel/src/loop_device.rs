//! Loop devices: a file as a disk.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::libc;

/// Of `linux/loop.h`: the number of a free device, and one set up in a single call.
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;
const LOOP_CONFIGURE: libc::Ioctl = 0x4c0a;
/// The file is let go with the last use of the device.
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// `struct loop_config`, whose second half is a `struct loop_info64` that is zero but for the flags.
#[repr(C)]
struct Setup {
    file: u32,
    block_size: u32,
    numbers: [u64; 5],
    unused: [u32; 3],
    flags: u32,
    names: [[u8; 32]; 5],
    reserved: [u64; 10],
}

/// As the kernel has it.
const _: () = assert!(size_of::<Setup>() == 304);

/// A file as a disk, as long as this is open or the disk is mounted.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
    open: File,
}

impl LoopDevice {
    /// Makes a file, open for reading and writing, a disk.
    ///
    /// # Errors
    /// ENOENT: the kernel has no such devices; others as in loop(4).
    pub fn of(file: &File) -> io::Result<Self> {
        let control = File::options()
            .read(true)
            .write(true)
            .open("/dev/loop-control")?;
        loop {
            let device = Self::free(&control)?;
            match device.take(file) {
                Ok(()) => return Ok(device),
                // Somebody else has taken it since.
                Err(Errno::EBUSY) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Its device node.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    fn free(control: &File) -> io::Result<Self> {
        // SAFETY: the descriptor is open while `control` is borrowed, and the command takes no argument.
        let rc = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        let number = Errno::result(rc)?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let open = File::options().read(true).write(true).open(&path)?;
        Ok(Self { path, open })
    }

    fn take(&self, file: &File) -> Result<(), Errno> {
        let setup = Setup {
            file: u32::try_from(file.as_raw_fd()).map_err(|_| Errno::EBADF)?,
            block_size: 0,
            numbers: [0; 5],
            unused: [0; 3],
            flags: LO_FLAGS_AUTOCLEAR,
            names: [[0; 32]; 5],
            reserved: [0; 10],
        };
        let fd = self.open.as_raw_fd();
        // SAFETY: the descriptor is open while `self` is borrowed, and `setup` is the structure that the
        // command reads during the call.
        let rc = unsafe { libc::ioctl(fd, LOOP_CONFIGURE, &raw const setup) };
        Errno::result(rc).map(drop)
    }
}
