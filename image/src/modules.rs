//! Which kernel modules go in, and in which order they are loaded.
//!
//! Debian's packages carry no `modules.dep` (depmod writes it on the host that installs them), so
//! what a module depends on is read from the module itself: the field `depends` of its section
//! `.modinfo`. What the kernel has built in (`modules.builtin`) needs no file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What every node loads, in this order: network and disk first, since their probes go on while
/// the rest is loaded. Then quota of the work disk, overlays for container roots, FUSE, the power
/// button and its event device, the host's entropy, and last what containers' networks are made of:
/// pairs and bridges, nftables with the parts that the agent's tables use, and the limit of a rate.
pub const REQUIRED: [&str; 22] = [
    "virtio_pci",
    "virtio_net",
    "virtio_blk",
    "nvme",
    "ext4",
    "quota_v2",
    "overlay",
    "fuse",
    "button",
    "evdev",
    "virtio_rng",
    "veth",
    "bridge",
    "nf_tables",
    "nft_chain_nat",
    "nft_nat",
    "nft_masq",
    "nft_ct",
    "nft_fib_ipv4",
    "nft_meta_bridge",
    "nf_conntrack_netlink",
    "sch_tbf",
];

/// What is tried where no disk was found; a kernel that lacks one lacks the hardware's driver.
pub const OPTIONAL: [&str; 2] = ["ahci", "sd_mod"];

/// What drives watchdogs, loaded where the machine says that it has one.
pub const WATCHDOGS: [&str; 2] = ["i6300esb", "wdat_wdt"];

/// What shares a work disk out by weight, loaded where a node is to have it.
pub const SCHEDULERS: [&str; 1] = ["bfq"];

/// What mounts a work disk of that kind, and beside it the agent's own files apart from those of tasks;
/// in images that are to carry it.
pub const XFS: [&str; 2] = ["xfs", "loop"];

/// Names the modules of `REQUIRED` in load order, beside the modules.
pub const LOAD: &str = "modules.load";

/// Names those of `OPTIONAL` that are not in `LOAD`.
pub const LOAD_OPTIONAL: &str = "modules.optional";

/// Names those of `WATCHDOGS` that the kernel has, and that are in no list before.
pub const LOAD_WATCHDOG: &str = "modules.watchdog";

/// Names those of `SCHEDULERS` that the kernel has, and that are in no list before.
pub const LOAD_SCHEDULER: &str = "modules.scheduler";

/// Names those of `XFS` that are not in `LOAD`.
pub const LOAD_XFS: &str = "modules.xfs";

/// Why modules cannot be picked.
#[derive(Debug, thiserror::Error)]
pub enum ModulesError {
    /// A file or folder of the kernel package cannot be read.
    #[error("read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A module cannot be written where it goes.
    #[error("write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A compressed module cannot be decompressed.
    #[error("decompress {path}: {reason}")]
    Decompress {
        /// Which.
        path: PathBuf,
        /// What the decompressor said.
        reason: String,
    },
    /// A file is not a module.
    #[error("{0} is not a kernel module: no section .modinfo in it")]
    NotModule(PathBuf),
    /// The kernel has neither a module of this name nor the code built in.
    #[error("the kernel has no module {0:?}")]
    Unknown(String),
    /// Modules that need each other.
    #[error("module {0:?} depends on itself")]
    Circle(String),
}

/// The modules of one unpacked kernel package.
#[derive(Debug)]
pub struct Modules {
    /// `lib/modules/<release>` of the package.
    folder: PathBuf,
    /// Where each module lies in `folder`.
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
}

impl Modules {
    /// Finds the modules in `folder`, which is `lib/modules/<release>` of a package.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn find(folder: &Path) -> Result<Modules, ModulesError> {
        let mut files = BTreeMap::new();
        let mut folders = vec![folder.join("kernel")];
        while let Some(inner) = folders.pop() {
            let failed = |source| ModulesError::Read {
                path: inner.clone(),
                source,
            };
            for entry in fs::read_dir(&inner).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(name) = module_name(&path.to_string_lossy()) {
                    let inside = path.strip_prefix(folder).unwrap_or(&path).to_owned();
                    files.insert(name, inside);
                }
            }
        }
        let path = folder.join("modules.builtin");
        let builtin = fs::read_to_string(&path)
            .map_err(|source| ModulesError::Read { path, source })?
            .lines()
            .filter_map(module_name)
            .collect();
        Ok(Modules {
            folder: folder.to_owned(),
            files,
            builtin,
        })
    }

    /// Copies the modules a node needs into `into`, uncompressed, with the lists of load order; and
    /// into `xfs` what only some images carry.
    ///
    /// # Errors
    /// A required module is not there, or a file cannot be read or written.
    pub fn pick(&self, into: &Path, xfs: &Path) -> Result<(), ModulesError> {
        let needs = |name: &str| -> Result<Option<Vec<String>>, ModulesError> {
            if self.builtin.contains(name) {
                return Ok(None);
            }
            let file = self.files.get(name);
            let path = file.ok_or_else(|| ModulesError::Unknown(name.to_owned()))?;
            let data = self.read(path)?;
            let depends = depends(&data).ok_or_else(|| ModulesError::NotModule(path.clone()))?;
            Ok(Some(depends))
        };
        let required = resolve(&REQUIRED, needs)?;
        let there = |name: &&str| self.files.contains_key(*name) || self.builtin.contains(*name);
        let others = |names: &[&'static str]| -> Result<Vec<String>, ModulesError> {
            let wanted: Vec<&str> = names.iter().copied().filter(there).collect();
            let mut others = resolve(&wanted, needs)?;
            others.retain(|name| !required.contains(name));
            Ok(others)
        };
        self.copy(&required, into, LOAD)?;
        self.copy(&others(&OPTIONAL)?, into, LOAD_OPTIONAL)?;
        self.copy(&others(&WATCHDOGS)?, into, LOAD_WATCHDOG)?;
        self.copy(&others(&SCHEDULERS)?, into, LOAD_SCHEDULER)?;
        self.copy(&others(&XFS)?, xfs, LOAD_XFS)
    }

    /// Copies modules, and writes their paths into the file `list`.
    fn copy(&self, names: &[String], into: &Path, list: &str) -> Result<(), ModulesError> {
        let mut text = String::new();
        for name in names {
            let path = &self.files[name];
            let plain = match path.extension().is_some_and(|extension| extension == "ko") {
                true => path.clone(),
                false => path.with_extension(""),
            };
            write(&into.join(&plain), &self.read(path)?)?;
            text.push_str(&plain.to_string_lossy());
            text.push('\n');
        }
        write(&into.join(list), text.as_bytes())
    }

    /// A module's bytes, decompressed.
    fn read(&self, inside: &Path) -> Result<Vec<u8>, ModulesError> {
        let path = self.folder.join(inside);
        let data = fs::read(&path).map_err(|source| ModulesError::Read {
            path: path.clone(),
            source,
        })?;
        if path.extension().is_none_or(|extension| extension != "xz") {
            return Ok(data);
        }
        let mut plain = Vec::new();
        match lzma_rs::xz_decompress(&mut data.as_slice(), &mut plain) {
            Ok(()) => Ok(plain),
            Err(error) => Err(ModulesError::Decompress {
                path,
                reason: error.to_string(),
            }),
        }
    }
}

fn write(path: &Path, data: &[u8]) -> Result<(), ModulesError> {
    let written = match path.parent() {
        Some(parent) => fs::create_dir_all(parent),
        None => Ok(()),
    };
    written
        .and_then(|()| fs::write(path, data))
        .map_err(|source| ModulesError::Write {
            path: path.to_owned(),
            source,
        })
}

/// The name the kernel knows a module file by: `kernel/…/virtio-rng.ko.xz` is `virtio_rng`.
fn module_name(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let stem = file.strip_suffix(".xz").unwrap_or(file);
    Some(stem.strip_suffix(".ko")?.replace('-', "_"))
}

/// The modules to load for `wanted`, each after what it depends on. `needs` tells what a module
/// depends on, or `None` where it is built in.
fn resolve(
    wanted: &[&str],
    needs: impl Fn(&str) -> Result<Option<Vec<String>>, ModulesError>,
) -> Result<Vec<String>, ModulesError> {
    let mut order = Vec::new();
    let mut above = Vec::new();
    for name in wanted {
        visit(name, &needs, &mut above, &mut order)?;
    }
    Ok(order)
}

/// Appends `name` to `order`, after its dependencies; `above` is the way from the top to here.
fn visit(
    name: &str,
    needs: &impl Fn(&str) -> Result<Option<Vec<String>>, ModulesError>,
    above: &mut Vec<String>,
    order: &mut Vec<String>,
) -> Result<(), ModulesError> {
    if order.iter().any(|known| known == name) {
        return Ok(());
    }
    if above.iter().any(|known| known == name) {
        return Err(ModulesError::Circle(name.to_owned()));
    }
    let Some(depends) = needs(name)? else {
        return Ok(());
    };
    above.push(name.to_owned());
    for dependency in depends {
        visit(&dependency, needs, above, order)?;
    }
    above.pop();
    order.push(name.to_owned());
    Ok(())
}

/// The field `depends` of a module's section `.modinfo`; `None` where the file is not a module.
fn depends(elf: &[u8]) -> Option<Vec<String>> {
    let info = section(elf, ".modinfo")?;
    let text = String::from_utf8_lossy(info);
    let names = text
        .split('\0')
        .find_map(|field| field.strip_prefix("depends="))
        .unwrap_or_default();
    let names = names.split(',').filter(|name| !name.is_empty());
    Some(names.map(|name| name.replace('-', "_")).collect())
}

/// A section of a 64-bit little-endian ELF file (elf(5)).
fn section<'a>(elf: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    elf.strip_prefix(b"\x7fELF\x02\x01")?;
    let number = |at: usize, size: usize| -> Option<usize> {
        let bytes = elf.get(at..at.checked_add(size)?)?;
        let mut value = [0; 8];
        value[..size].copy_from_slice(bytes);
        usize::try_from(u64::from_le_bytes(value)).ok()
    };
    let (table, size) = (number(0x28, 8)?, number(0x3a, 2)?);
    let (count, names) = (number(0x3c, 2)?, number(0x3e, 2)?);
    let header = |index: usize| table.checked_add(index.checked_mul(size)?);
    let body = |at: usize| -> Option<&'a [u8]> {
        let (start, length) = (
            number(at.checked_add(0x18)?, 8)?,
            number(at.checked_add(0x20)?, 8)?,
        );
        elf.get(start..start.checked_add(length)?)
    };
    let names = body(header(names)?)?;
    for index in 0..count {
        let at = header(index)?;
        let name = names.get(number(at, 4)?..)?;
        if name.split(|byte| *byte == 0).next() == Some(wanted.as_bytes()) {
            return body(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// `table` has a module a line: its name, and what it depends on or `builtin`.
    fn check(table: &str, wanted: &[&str], expected: Expect) {
        let needs = |name: &str| {
            let line = table
                .lines()
                .map(str::trim)
                .find(|line| line.split(' ').next() == Some(name));
            let line = line.ok_or_else(|| ModulesError::Unknown(name.to_owned()))?;
            let words: Vec<String> = line.split(' ').skip(1).map(str::to_owned).collect();
            Ok((words != ["builtin"]).then_some(words))
        };
        let text = match resolve(wanted, needs) {
            Ok(order) => order.join(" "),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn a_module_comes_after_what_it_depends_on_and_once() {
        let table = "virtio_net net_failover virtio\nnet_failover failover\nfailover\n\
                     virtio builtin\nvirtio_blk virtio\next4 builtin";
        check(
            table,
            &["virtio_net", "virtio_blk", "ext4", "failover"],
            expect!["failover net_failover virtio_net virtio_blk"],
        );
    }

    #[test]
    fn a_missing_module_and_a_circle_are_named() {
        check("a b", &["a"], expect![[r#"the kernel has no module "b""#]]);
        check(
            "a b\nb a",
            &["a"],
            expect![[r#"module "a" depends on itself"#]],
        );
    }

    #[test]
    fn files_are_known_by_the_kernels_name() {
        let names = [
            "kernel/drivers/char/hw_random/virtio-rng.ko.xz",
            "a/b.ko",
            "modules.dep",
        ];
        let names = names.map(|path| module_name(path).unwrap_or_default());
        assert_eq!(names, ["virtio_rng", "b", ""]);
    }

    /// An ELF file with the section `.modinfo`.
    fn module(info: &[u8]) -> Vec<u8> {
        let names = b"\0.shstrtab\0.modinfo\0";
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.resize(64, 0);
        let (at_names, at_info) = (64, 64 + names.len());
        elf.extend_from_slice(names);
        elf.extend_from_slice(info);
        let table = elf.len();
        elf[0x28..0x30].copy_from_slice(&(table as u64).to_le_bytes());
        elf[0x3a] = 64;
        elf[0x3c] = 2;
        for (name, start, length) in [(1_u32, at_names, names.len()), (11, at_info, info.len())] {
            let mut header = vec![0; 64];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[0x18..0x20].copy_from_slice(&(start as u64).to_le_bytes());
            header[0x20..0x28].copy_from_slice(&(length as u64).to_le_bytes());
            elf.append(&mut header);
        }
        elf
    }

    #[test]
    fn dependencies_are_read_from_the_module_itself() {
        let elf = module(b"license=GPL\0depends=net-failover,virtio\0name=virtio_net\0");
        assert_eq!(depends(&elf).unwrap(), ["net_failover", "virtio"]);
        assert!(depends(&module(b"depends=\0")).unwrap().is_empty());
    }

    #[test]
    fn no_cut_of_a_module_panics() {
        let elf = module(b"depends=a\0");
        for length in 0..elf.len() {
            let found = depends(&elf[..length]);
            assert!(found.is_none() || found == depends(&elf));
        }
    }
}
