//! Orders: what the agent hands to the launcher, as bytes in sealed memory.
//!
//! Format: the magic number, the version, then the fields in the order of [`Orders`]; numbers are
//! little-endian, a text or list is its length (u32) and its items. The agent executes itself, so
//! both ends are the same build; the version tells an agent that was replaced under its own feet.

use model::sandbox::{
    Capabilities, Capability, FileRights, FileRule, Landlock, Process, Rlimit, Run, Scope, User,
};

use std::time::Duration;

use crate::clock::Beginning;
use crate::seccomp::{Program, Refusals};

const MAGIC: [u8; 4] = *b"TPLN";
const VERSION: u32 = 7;

/// Stands for a descriptor that is not there.
const NONE: i32 = -1;

/// Everything the launcher does, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Orders {
    /// The descriptor that takes the report of a step that went wrong.
    pub(super) report: i32,
    /// The descriptor of the file that takes the task's exit status; none where there is no
    /// init to write it.
    pub(super) exit: Option<i32>,
    /// The descriptor of the root, a detached mount; none where the root is the parent's.
    pub(super) root: Option<i32>,
    /// The descriptor of the parent's mount namespace, where it is joined.
    pub(super) mount_namespace: Option<i32>,
    /// The descriptor of the file that moves the writer into the group beneath the container's own.
    pub(super) inner_group: Option<i32>,
    /// The host name, where it is the container's own.
    pub(super) hostname: Option<String>,
    /// Whether the cgroup namespace is to be left.
    pub(super) cgroup_namespace: bool,
    /// Whether the network is new, with nothing in it that works yet.
    pub(super) network: bool,
    /// When clocks of its own begin, where it has some.
    pub(super) beginning: Option<Beginning>,
    /// Whether this is the first process of its pid namespace.
    pub(super) is_init: bool,
    /// Whether standard input is a terminal that is to control the session.
    pub(super) terminal: bool,
    /// What is mounted on the root.
    pub(super) mounts: Vec<Order>,
    /// What is run.
    pub(super) run: Run,
    /// What it may do.
    pub(super) capabilities: Capabilities,
    /// What they may reach.
    pub(super) landlock: Option<Landlock>,
    /// The filter of the task's system calls.
    pub(super) seccomp: Option<Program>,
    /// Whether the kernel tells what that stops.
    pub(super) refusals: Refusals,
    /// That of its init.
    pub(super) init_seccomp: Option<Program>,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    /// Where, inside the root.
    pub(super) target: String,
    /// What.
    pub(super) what: What,
}

/// What the launcher mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The detached mount of this descriptor, made by the agent.
    Made(i32),
    /// The processes of the new pid namespace.
    Proc,
    /// The message queues of its IPC namespace.
    Queues,
    /// The cgroup tree of the new cgroup namespace.
    Cgroup,
    /// Emptiness.
    Mask,
    /// What is there, read-only.
    ReadOnly,
}

/// Why bytes are no orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum OrdersError {
    /// They do not begin as orders do.
    #[error("not a launch plan")]
    Magic,
    /// They were written by another version of the agent.
    #[error("a launch plan of version {0}, not {VERSION}")]
    Version(u32),
    /// They end too early, or hold a value that has no meaning.
    #[error("a damaged launch plan")]
    Damaged,
    /// They go on after the end.
    #[error("a launch plan with {0} bytes too many")]
    Trailing(usize),
}

impl Orders {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer(MAGIC.to_vec());
        out.u32(VERSION);
        out.i32(self.report);
        for fd in [self.exit, self.root, self.mount_namespace, self.inner_group] {
            out.i32(fd.unwrap_or(NONE));
        }
        out.list(self.hostname.as_slice(), |out, name| out.text(name));
        for flag in [
            self.cgroup_namespace,
            self.network,
            self.is_init,
            self.terminal,
            self.refusals == Refusals::Told,
        ] {
            out.u32(flag.into());
        }
        out.list(self.beginning.as_slice(), |out, beginning| {
            out.time(beginning.monotonic);
            out.time(beginning.boot);
        });
        out.list(&self.mounts, |out, order| {
            out.text(&order.target);
            match order.what {
                What::Made(fd) => {
                    out.u32(0);
                    out.i32(fd);
                }
                What::Proc => out.u32(1),
                What::Cgroup => out.u32(2),
                What::Mask => out.u32(3),
                What::ReadOnly => out.u32(4),
                What::Queues => out.u32(5),
            }
        });
        match &self.run {
            Run::Process(process) => {
                out.u32(0);
                out.process(process);
            }
            Run::Hold(user) => {
                out.u32(1);
                out.user(user);
            }
        }
        for set in [&self.capabilities.effective, &self.capabilities.bounding] {
            out.list(set, |out, item| out.u32(item.0.into()));
        }
        out.list(self.landlock.as_slice(), Writer::landlock);
        for program in [&self.seccomp, &self.init_seccomp] {
            let words = program.as_ref().map_or(Vec::new(), Program::words);
            out.list(&words, |out, word| out.u64(*word));
        }
        out.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, OrdersError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(OrdersError::Magic)?;
        let mut input = Reader(rest);
        let version = input.u32()?;
        if version != VERSION {
            return Err(OrdersError::Version(version));
        }
        let orders = Self {
            report: input.i32()?,
            exit: input.descriptor()?,
            root: input.descriptor()?,
            mount_namespace: input.descriptor()?,
            inner_group: input.descriptor()?,
            hostname: input.list(Reader::text)?.pop(),
            cgroup_namespace: input.u32()? != 0,
            network: input.u32()? != 0,
            is_init: input.u32()? != 0,
            terminal: input.u32()? != 0,
            refusals: match input.u32()? {
                0 => Refusals::Untold,
                _ => Refusals::Told,
            },
            beginning: input.list(Reader::beginning)?.pop(),
            mounts: input.list(Reader::order)?,
            run: match input.u32()? {
                0 => Run::Process(input.process()?),
                1 => Run::Hold(input.user()?),
                _ => return Err(OrdersError::Damaged),
            },
            capabilities: Capabilities {
                effective: input.list(Reader::capability)?,
                bounding: input.list(Reader::capability)?,
            },
            landlock: input.list(Reader::landlock)?.pop(),
            seccomp: input.program()?,
            init_seccomp: input.program()?,
        };
        match input.0.len() {
            0 => Ok(orders),
            more => Err(OrdersError::Trailing(more)),
        }
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.0.extend(value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    /// To the nanosecond, up to 584 years.
    fn time(&mut self, time: Duration) {
        self.u64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    fn length(&mut self, length: usize) {
        self.u32(u32::try_from(length).unwrap_or(u32::MAX));
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.extend(text.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.length(items.len());
        for item in items {
            write(self, item);
        }
    }

    fn process(&mut self, process: &Process) {
        self.text(&process.program);
        self.list(&process.arguments, |out, text| out.text(text));
        self.list(&process.environment, |out, (name, value)| {
            out.text(name);
            out.text(value);
        });
        self.text(&process.directory);
        self.user(&process.user);
        self.list(&process.rlimits, |out, limit| {
            out.u32(limit.resource);
            out.u64(limit.soft);
            out.u64(limit.hard);
        });
    }

    fn landlock(&mut self, landlock: &Landlock) {
        self.list(&landlock.files, |out, rule| {
            out.text(&rule.place);
            out.u32(index(&RIGHTS, &rule.rights));
        });
        for scope in [landlock.sockets, landlock.signals] {
            self.u32(index(&SCOPES, &scope));
        }
        self.list(landlock.ports.as_slice(), |out, ports| {
            out.list(ports, |out, port| out.u32((*port).into()));
        });
    }

    fn user(&mut self, user: &User) {
        self.u32(user.uid);
        self.u32(user.gid);
        self.list(&user.groups, |out, group| out.u32(*group));
    }
}

/// The numbers of what a rule allows.
const RIGHTS: [FileRights; 4] = [
    FileRights::Read,
    FileRights::Write,
    FileRights::Devices,
    FileRights::Change,
];
const SCOPES: [Scope; 2] = [Scope::Container, Scope::Namespace];

fn index<T: PartialEq>(all: &[T], one: &T) -> u32 {
    let index = all.iter().position(|other| other == one);
    index
        .and_then(|index| u32::try_from(index).ok())
        .unwrap_or(u32::MAX)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], OrdersError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(OrdersError::Damaged)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, OrdersError> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn i32(&mut self) -> Result<i32, OrdersError> {
        self.bytes().map(i32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, OrdersError> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn beginning(&mut self) -> Result<Beginning, OrdersError> {
        Ok(Beginning {
            monotonic: Duration::from_nanos(self.u64()?),
            boot: Duration::from_nanos(self.u64()?),
        })
    }

    fn text(&mut self) -> Result<String, OrdersError> {
        let length = self.u32()? as usize;
        let (head, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(OrdersError::Damaged)?;
        self.0 = rest;
        String::from_utf8(head.to_vec()).map_err(|_| OrdersError::Damaged)
    }

    /// No space is set aside for the announced length: it may be a lie.
    fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, OrdersError>,
    ) -> Result<Vec<T>, OrdersError> {
        let mut items = Vec::new();
        for _ in 0..self.u32()? {
            items.push(read(self)?);
        }
        Ok(items)
    }

    fn order(&mut self) -> Result<Order, OrdersError> {
        Ok(Order {
            target: self.text()?,
            what: match self.u32()? {
                0 => What::Made(self.i32()?),
                1 => What::Proc,
                2 => What::Cgroup,
                3 => What::Mask,
                4 => What::ReadOnly,
                5 => What::Queues,
                _ => return Err(OrdersError::Damaged),
            },
        })
    }

    fn descriptor(&mut self) -> Result<Option<i32>, OrdersError> {
        Ok(Some(self.i32()?).filter(|fd| *fd != NONE))
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Result<T, OrdersError> {
        let index = self.u32()? as usize;
        all.get(index).copied().ok_or(OrdersError::Damaged)
    }

    fn landlock(&mut self) -> Result<Landlock, OrdersError> {
        Ok(Landlock {
            files: self.list(|input| {
                Ok(FileRule {
                    place: input.text()?,
                    rights: input.one_of(&RIGHTS)?,
                })
            })?,
            sockets: self.one_of(&SCOPES)?,
            signals: self.one_of(&SCOPES)?,
            ports: self.list(|input| input.list(Self::port))?.pop(),
        })
    }

    fn port(&mut self) -> Result<u16, OrdersError> {
        u16::try_from(self.u32()?).map_err(|_| OrdersError::Damaged)
    }

    /// No program is without instructions.
    fn program(&mut self) -> Result<Option<Program>, OrdersError> {
        let words = self.list(Self::u64)?;
        Ok((!words.is_empty()).then(|| Program::from_words(&words)))
    }

    fn capability(&mut self) -> Result<Capability, OrdersError> {
        let number = u8::try_from(self.u32()?).map_err(|_| OrdersError::Damaged)?;
        Ok(Capability(number))
    }

    fn user(&mut self) -> Result<User, OrdersError> {
        Ok(User {
            uid: self.u32()?,
            gid: self.u32()?,
            groups: self.list(Self::u32)?,
        })
    }

    fn process(&mut self) -> Result<Process, OrdersError> {
        Ok(Process {
            program: self.text()?,
            arguments: self.list(Self::text)?,
            environment: self.list(|input| Ok((input.text()?, input.text()?)))?,
            directory: self.text()?,
            user: self.user()?,
            rlimits: self.list(|input| {
                Ok(Rlimit {
                    resource: input.u32()?,
                    soft: input.u64()?,
                    hard: input.u64()?,
                })
            })?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Orders {
        Orders {
            report: 5,
            exit: Some(6),
            root: Some(7),
            mount_namespace: None,
            inner_group: None,
            hostname: Some("node1".into()),
            cgroup_namespace: true,
            network: false,
            beginning: Some(Beginning {
                monotonic: Duration::new(12, 3),
                boot: Duration::from_secs(90),
            }),
            is_init: true,
            terminal: false,
            mounts: [
                What::Made(8),
                What::Proc,
                What::Queues,
                What::Cgroup,
                What::Mask,
                What::ReadOnly,
            ]
            .into_iter()
            .map(|what| Order {
                target: format!("/{what:?}"),
                what,
            })
            .collect(),
            run: Run::Process(Process {
                program: "/bin/sh".into(),
                arguments: vec!["sh".into(), "-c".into(), "écho".into()],
                environment: vec![("A".into(), String::new())],
                directory: "/mnt/mesos/sandbox".into(),
                user: User {
                    uid: 1,
                    gid: 2,
                    groups: vec![3, 4],
                },
                rlimits: vec![Rlimit {
                    resource: 7,
                    soft: 1024,
                    hard: u64::MAX,
                }],
            }),
            capabilities: Capabilities {
                effective: vec![Capability(10)],
                bounding: vec![Capability(10), Capability(7)],
            },
            landlock: Some(Landlock {
                files: vec![FileRule {
                    place: "/tmp".into(),
                    rights: FileRights::Change,
                }],
                sockets: Scope::Container,
                signals: Scope::Namespace,
                ports: Some(vec![80, 31_000]),
            }),
            seccomp: Some(Program::from_words(&[6, 7 << 32])),
            refusals: Refusals::Told,
            init_seccomp: None,
        }
    }

    #[test]
    fn orders_arrive_as_they_were_given() {
        assert_eq!(Orders::decode(&sample().encode()), Ok(sample()));
        let pod = Orders {
            root: None,
            hostname: None,
            beginning: None,
            run: Run::Hold(User::default()),
            ..sample()
        };
        assert_eq!(Orders::decode(&pod.encode()), Ok(pod));
    }

    #[test]
    fn orders_cut_short_or_changed_anywhere_are_refused_or_read_but_never_panic() {
        let bytes = sample().encode();
        for length in 0..bytes.len() {
            assert!(Orders::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
        for index in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = bytes.clone();
                changed[index] = value;
                let _ = Orders::decode(&changed);
            }
        }
    }

    #[test]
    fn orders_of_another_version_and_other_files_are_told_apart() {
        let mut bytes = sample().encode();
        bytes[4] = 9;
        assert_eq!(Orders::decode(&bytes), Err(OrdersError::Version(9)));
        assert_eq!(Orders::decode(b"ELF"), Err(OrdersError::Magic));
        let mut longer = sample().encode();
        longer.push(0);
        assert_eq!(Orders::decode(&longer), Err(OrdersError::Trailing(1)));
    }
}
