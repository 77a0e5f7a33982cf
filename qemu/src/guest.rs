//! A guest as QEMU's command line. Sockets and files have names relative to the folder that QEMU
//! runs in: a socket's path may have 107 bytes, and a checkout can lie deep.

use std::path::{Path, PathBuf};

use crate::accel::Accel;
use crate::boot_files::BootFiles;

/// The program.
pub const QEMU: &str = "qemu-system-x86_64";

/// The kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Machine {
    /// A PC with PCI Express, as bare metal is.
    #[default]
    Q35,
    /// QEMU's smallest.
    Microvm {
        /// The frequency of the host's time-stamp counter, which the kernel would otherwise
        /// calibrate against a timer; guests that start together can hang in that.
        tsc_khz: u64,
    },
}

/// Where the guest's serial port leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Console {
    /// To a log and a socket, in files named for the guest.
    Files,
    /// To the terminal of whoever runs QEMU.
    Stdio,
}

/// Whether the machine has a watchdog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Watchdog {
    /// It has none.
    #[default]
    None,
    /// An Intel 6300ESB, which starts the machine again.
    I6300Esb,
}

/// One guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Its name; files of its own begin with it.
    pub name: String,
    /// The kind of machine.
    pub machine: Machine,
    /// What runs its instructions.
    pub accel: Accel,
    /// Virtual processors.
    pub cpus: u32,
    /// Memory.
    pub memory_mb: u64,
    /// The kernel and the initramfs.
    pub boot: BootFiles,
    /// The kernel's command line, after what the harness needs itself.
    pub append: Vec<String>,
    /// The work disk, a raw image.
    pub disk: Option<PathBuf>,
    /// Where guest port 5051 is reached on the host, as in `127.0.1.1:5051`.
    pub forward: Option<String>,
    /// Its number on the cluster's LAN, from 1; also the last byte of its hardware addresses.
    pub lan: Option<u8>,
    /// Where the serial port leads.
    pub console: Console,
    /// The hardware's watchdog.
    pub watchdog: Watchdog,
}

impl Guest {
    /// The name of a file of this guest's own: `log`, `console`, `monitor`, `pid`, `lan`.
    #[must_use]
    pub fn file(&self, kind: &str) -> String {
        format!("{}.{kind}", self.name)
    }

    /// QEMU's arguments. `folder` is where it will run; its path marks the process as ours.
    #[must_use]
    pub fn command_line(&self, folder: &Path) -> Vec<String> {
        let mut line = CommandLine::default();
        line.flag("-nodefaults");
        line.flag("-no-user-config");
        line.flag("-no-reboot");
        line.option("-name", &self.name);
        line.option("-display", "none");
        line.option(
            "-machine",
            match self.machine {
                Machine::Q35 => "q35,smbus=off,sata=off,vmport=off",
                Machine::Microvm { .. } => "microvm,pcie=on,acpi=on,rtc=on,isa-serial=on",
            },
        );
        let (accel, cpu) = match self.accel {
            Accel::Kvm => ("kvm", "host"),
            // Without cmpxchg16b: QEMU 7.2 (Debian 12) returns from an emulated one with wrong
            // flags now and then, and one boot of Linux 6.12 in four then ends in a double fault.
            // Without five-level page tables: walking them in software takes longer.
            Accel::Tcg => ("tcg", "max,cx16=off,la57=off"),
        };
        line.option("-accel", accel);
        line.option("-cpu", cpu);
        line.option("-smp", &self.cpus.to_string());
        line.option("-m", &format!("{}M", self.memory_mb));
        line.option("-kernel", &self.boot.kernel.to_string_lossy());
        line.option("-initrd", &self.boot.initramfs.to_string_lossy());
        line.option("-append", &self.kernel_command_line());
        line.option("-device", "virtio-rng-pci");
        if let Some(disk) = &self.disk {
            let path = escaped(&disk.to_string_lossy());
            line.option(
                "-drive",
                &format!("if=none,id=work,file={path},format=raw,cache=unsafe,discard=unmap,detect-zeroes=unmap"),
            );
            line.option("-device", "virtio-blk-pci,drive=work");
        }
        if self.watchdog == Watchdog::I6300Esb {
            line.option("-device", "i6300esb");
            line.option("-action", "watchdog=reset");
        }
        self.network(&mut line);
        match self.console {
            Console::Stdio => line.option("-serial", "stdio"),
            Console::Files => {
                let (socket, log) = (self.file("console"), self.file("log"));
                line.option(
                    "-chardev",
                    &format!("socket,id=console,path={socket},server=on,wait=off,logfile={log}"),
                );
                line.option("-serial", "chardev:console");
                let monitor = self.file("monitor");
                line.option("-qmp", &format!("unix:{monitor},server=on,wait=off"));
                line.option("-pidfile", &folder.join(self.file("pid")).to_string_lossy());
            }
        }
        line.0
    }

    /// The first card leads to the host and outside, the second to the other guests. No option
    /// ROM: nothing is booted from the network, and the package with the ROMs is not needed.
    fn network(&self, line: &mut CommandLine) {
        let last = self.lan.unwrap_or(1);
        let forward = match &self.forward {
            Some(address) => format!(",hostfwd=tcp:{address}-:5051"),
            None => String::new(),
        };
        line.option("-netdev", &format!("user,id=net{forward}"));
        line.option(
            "-device",
            &format!("virtio-net-pci,netdev=net,mac=52:54:00:00:00:{last:02x},romfile="),
        );
        if self.lan.is_some() {
            let (own, switch) = (self.file("lan"), crate::switch::SOCKET);
            line.option(
                "-netdev",
                &format!(
                    "dgram,id=lan,local.type=unix,local.path={own},remote.type=unix,remote.path={switch}"
                ),
            );
            line.option(
                "-device",
                &format!("virtio-net-pci,netdev=lan,mac=52:54:00:00:01:{last:02x},romfile="),
            );
        }
    }

    /// A panic ends the guest (`-no-reboot`), rather than start a loop of boots.
    fn kernel_command_line(&self) -> String {
        let mut words = vec!["console=ttyS0".to_owned(), "panic=-1".to_owned()];
        if self.accel == Accel::Tcg {
            // Counts ten timer interrupts against busy waiting and panics where they come late, as
            // they do on a busy host; the kernel leaves it out by itself under KVM.
            words.push("no_timer_check".to_owned());
            // The kernel's tests of its own ciphers take half a second of a boot when each of their
            // instructions is emulated.
            words.push("cryptomgr.notests".to_owned());
        }
        if let Machine::Microvm { tsc_khz } = self.machine {
            words.push(format!("tsc_early_khz={tsc_khz}"));
        }
        words.extend(self.append.iter().cloned());
        words.join(" ")
    }
}

/// The frequency of the host's time-stamp counter, as far as /proc/cpuinfo tells it.
#[must_use]
pub fn host_tsc_khz() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("cpu MHz"))?;
    let (whole, part) = line.rsplit_once(':')?.1.trim().split_once('.')?;
    let (whole, part): (u64, u64) = (whole.parse().ok()?, part.get(..3)?.parse().ok()?);
    Some(whole * 1000 + part)
}

/// A comma ends a value in QEMU's options, unless doubled.
fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

#[derive(Default)]
struct CommandLine(Vec<String>);

impl CommandLine {
    fn flag(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    fn option(&mut self, name: &str, value: &str) {
        self.0.push(name.to_owned());
        self.0.push(value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(guest: &Guest, expected: Expect) {
        let line = guest.command_line(Path::new("/c"));
        let mut text = String::new();
        for word in line {
            let separator = if word.starts_with('-') { "\n" } else { " " };
            text.push_str(separator);
            text.push_str(&word);
        }
        expected.assert_eq(text.trim_start());
    }

    fn guest() -> Guest {
        Guest {
            name: "node2".to_owned(),
            machine: Machine::Q35,
            accel: Accel::Tcg,
            cpus: 1,
            memory_mb: 256,
            boot: BootFiles {
                kernel: "/i/vmlinuz".into(),
                initramfs: "/i/initramfs.cpio.zst".into(),
            },
            append: vec!["tepui.hostname=node2".to_owned()],
            disk: Some("/c/a,b.disk".into()),
            forward: Some("127.0.1.2:5051".to_owned()),
            lan: Some(2),
            console: Console::Files,
            watchdog: Watchdog::None,
        }
    }

    #[test]
    fn a_watchdog_starts_the_machine_again() {
        let line = Guest {
            watchdog: Watchdog::I6300Esb,
            ..guest()
        }
        .command_line(Path::new("/c"));
        let pairs: Vec<_> = line.windows(2).collect();
        for pair in [["-device", "i6300esb"], ["-action", "watchdog=reset"]] {
            assert!(pairs.iter().any(|found| *found == pair), "{line:?}");
        }
    }

    #[test]
    fn a_node_has_a_disk_two_cards_a_console_and_a_monitor() {
        check(
            &guest(),
            expect![[r#"
                -nodefaults
                -no-user-config
                -no-reboot
                -name node2
                -display none
                -machine q35,smbus=off,sata=off,vmport=off
                -accel tcg
                -cpu max,cx16=off,la57=off
                -smp 1
                -m 256M
                -kernel /i/vmlinuz
                -initrd /i/initramfs.cpio.zst
                -append console=ttyS0 panic=-1 no_timer_check cryptomgr.notests tepui.hostname=node2
                -device virtio-rng-pci
                -drive if=none,id=work,file=/c/a,,b.disk,format=raw,cache=unsafe,discard=unmap,detect-zeroes=unmap
                -device virtio-blk-pci,drive=work
                -netdev user,id=net,hostfwd=tcp:127.0.1.2:5051-:5051
                -device virtio-net-pci,netdev=net,mac=52:54:00:00:00:02,romfile=
                -netdev dgram,id=lan,local.type=unix,local.path=node2.lan,remote.type=unix,remote.path=switch
                -device virtio-net-pci,netdev=lan,mac=52:54:00:00:01:02,romfile=
                -chardev socket,id=console,path=node2.console,server=on,wait=off,logfile=node2.log
                -serial chardev:console
                -qmp unix:node2.monitor,server=on,wait=off
                -pidfile /c/node2.pid"#]],
        );
    }

    #[test]
    fn a_bare_microvm_speaks_on_the_terminal() {
        let guest = Guest {
            machine: Machine::Microvm { tsc_khz: 2_450_000 },
            accel: Accel::Kvm,
            disk: None,
            forward: None,
            lan: None,
            console: Console::Stdio,
            watchdog: Watchdog::None,
            ..guest()
        };
        check(
            &guest,
            expect![[r#"
            -nodefaults
            -no-user-config
            -no-reboot
            -name node2
            -display none
            -machine microvm,pcie=on,acpi=on,rtc=on,isa-serial=on
            -accel kvm
            -cpu host
            -smp 1
            -m 256M
            -kernel /i/vmlinuz
            -initrd /i/initramfs.cpio.zst
            -append console=ttyS0 panic=-1 tsc_early_khz=2450000 tepui.hostname=node2
            -device virtio-rng-pci
            -netdev user,id=net
            -device virtio-net-pci,netdev=net,mac=52:54:00:00:00:01,romfile=
            -serial stdio"#]],
        );
    }
}
