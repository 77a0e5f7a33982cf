//! Seccomp profiles: documents in Docker's format, of the operator, by name from a directory, and of
//! containers, which bring the text.
//!
//! They are read as Mesos reads them, and fields that Docker has come to leave out may be missing.
//! What is for other architectures or newer kernels goes at once; what depends on capabilities is
//! decided for each container. Of the document's architectures this node's own counts alone: calls of
//! others never come through.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use agent_core::sandbox::{Entry, Profile, ProfileWish};
use api::v1::capability_info;
use model::sandbox::{
    ArgumentTest, ArgumentWidth, Capability, SeccompAction, SeccompCondition, SeccompRule,
};
use serde::Deserialize;
use serde_json::Value;

/// The most that is read of a profile.
const PROFILE_BYTES_MAX: u64 = 1 << 20;
/// The longest document that a container brings; it is kept with the task until that ends.
pub const DOCUMENT_BYTES_MAX: usize = 64 << 10;
/// The most rules of a profile, once each call with each choice of arguments has one of its own.
const RULES_MAX: usize = 8192;
/// What a container's own profile is known by.
const DOCUMENT: &str = "of the container's own";
/// The kernel's `MAX_ERRNO`: larger numbers are no errors.
const ERRNO_MAX: u16 = 4095;
/// EPERM.
const REFUSED: u16 = 1;

/// Arguments that the kernel reads as an `int` or 32 flags: a comparison of all 64 bits would be evaded
/// by setting others.
const HALVES: [(&str, u8); 10] = [
    ("clone", 0),
    ("fcntl", 1),
    ("ioctl", 1),
    ("personality", 0),
    ("prctl", 0),
    ("setns", 1),
    ("socket", 0),
    ("socket", 1),
    ("socket", 2),
    ("unshare", 0),
];

/// What the operator says of profiles.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Where profiles are (`--seccomp_config_dir`).
    pub directory: Option<PathBuf>,
    /// The one for containers that ask for none (`--seccomp_profile_name`); else the built-in one.
    pub usual: Option<String>,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// There is no directory to look in.
    #[error("Missing required `--seccomp_config_dir` flag")]
    NoDirectory,
    /// The name leads out of the directory.
    #[error("'{0}' is no name of a Seccomp profile in the directory of --seccomp_config_dir")]
    Name(String),
    /// There is no such file.
    #[error("Failed to read Seccomp profile file '{path}'")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no profile.
    #[error("Failed to parse Seccomp profile '{path}': {why}")]
    Parse {
        /// The file.
        path: String,
        /// What is wrong, in Mesos' words where it has any, and where.
        why: String,
    },
    /// What a container brings is no profile.
    #[error("Failed to parse the Seccomp profile {DOCUMENT}: {0}")]
    Document(String),
}

/// The profiles of this agent.
#[derive(Debug)]
pub struct Profiles {
    directory: Option<PathBuf>,
    usual: Profile,
    kernel: (u32, u32),
}

impl Profiles {
    /// Reads the profile of containers that ask for none.
    ///
    /// # Errors
    /// It is not there, or no profile.
    pub fn open(settings: &Settings) -> Result<Self, ProfileError> {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut profiles = Self {
            directory: settings.directory.clone(),
            usual: Profile::built_in(),
            // Where it cannot be told, rules for newer kernels do not count.
            kernel: version(&release).unwrap_or((0, 0)),
        };
        if let Some(name) = &settings.usual {
            profiles.usual = profiles.named(name)?;
        }
        Ok(profiles)
    }

    /// The profile that a container asks for. Files are read at each launch, as in Mesos.
    ///
    /// # Errors
    /// It is not there, or no profile.
    pub fn of(&self, wish: &ProfileWish) -> Result<Cow<'_, Profile>, ProfileError> {
        match wish {
            ProfileWish::Usual | ProfileWish::Unconfined => Ok(Cow::Borrowed(&self.usual)),
            ProfileWish::Named(name) => self.named(name).map(Cow::Owned),
            ProfileWish::Document(text) => parse(DOCUMENT, text.as_bytes(), self.kernel)
                .map(Cow::Owned)
                .map_err(ProfileError::Document),
        }
    }

    /// That of containers that ask for none.
    #[must_use]
    pub const fn usual(&self) -> &Profile {
        &self.usual
    }

    fn named(&self, name: &str) -> Result<Profile, ProfileError> {
        let directory = self.directory.as_deref().ok_or(ProfileError::NoDirectory)?;
        if name.is_empty() || name.contains(['/', '\0']) || [".", ".."].contains(&name) {
            return Err(ProfileError::Name(name.to_owned()));
        }
        let path = directory.join(name);
        let path = path.to_string_lossy().into_owned();
        let content = content(&path).map_err(|source| ProfileError::Read {
            path: path.clone(),
            source,
        })?;
        let profile = parse(name, &content, self.kernel);
        profile.map_err(|why| ProfileError::Parse { path, why })
    }
}

fn content(path: &str) -> io::Result<Vec<u8>> {
    // A pipe would keep whoever opens it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    let mut content = Vec::new();
    let bytes_max = PROFILE_BYTES_MAX + 1;
    File::open(path)?
        .take(bytes_max)
        .read_to_end(&mut content)?;
    match content.len() as u64 {
        length if length < bytes_max => Ok(content),
        _ => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    default_action: Option<String>,
    default_errno_ret: Option<u16>,
    // Each is read by itself, so that what is wrong has a place.
    syscalls: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Syscall {
    #[serde(default)]
    names: Vec<String>,
    name: Option<String>,
    action: Option<String>,
    errno_ret: Option<u16>,
    args: Option<Vec<Value>>,
    comment: Option<String>,
    includes: Option<Whom>,
    excludes: Option<Whom>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Whom {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// Reads a profile, for a kernel of this version.
///
/// # Errors
/// What is wrong, in words, and where.
pub fn parse(name: &str, bytes: &[u8], kernel: (u32, u32)) -> Result<Profile, String> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let missing = |field: &str| {
        format!("Cannot determine '{field}' for the Seccomp configuration: Not found")
    };
    let default = document.default_action;
    let default = default.ok_or_else(|| missing("defaultAction"))?;
    let default = action(&default, document.default_errno_ret)?;
    let mut entries = Vec::new();
    for (index, syscall) in document
        .syscalls
        .ok_or_else(|| missing("syscalls"))?
        .into_iter()
        .enumerate()
    {
        let place = place(index, &syscall);
        let at_place = |why| format!("{why} (at {place})");
        let syscall = serde_json::from_value(syscall);
        let syscall = syscall.map_err(|error| at_place(error.to_string()))?;
        let room = RULES_MAX.saturating_sub(entries.len());
        entries.extend(self::entries(syscall, kernel, room).map_err(at_place)?);
    }
    Ok(Profile {
        name: name.to_owned(),
        default,
        entries,
    })
}

/// Where an item stands, with the first call that it names.
fn place(index: usize, syscall: &Value) -> String {
    let first = syscall["names"].get(0).unwrap_or(&syscall["name"]);
    match first.as_str() {
        Some(name) => format!("syscalls[{index}], {name:?}"),
        None => format!("syscalls[{index}]"),
    }
}

/// The entries of one item, as many as there is room for; none where it is for others than this node.
fn entries(syscall: Syscall, kernel: (u32, u32), room: usize) -> Result<Vec<Entry>, String> {
    let (includes, excludes) = (
        syscall.includes.unwrap_or_default(),
        syscall.excludes.unwrap_or_default(),
    );
    let (with, without) = (includes.capabilities()?, excludes.capabilities()?);
    let is_included = includes.is_for_this_node(kernel)?.unwrap_or(true);
    let is_excluded = excludes.is_for_this_node(kernel)?.unwrap_or(false);
    let names: Vec<_> = syscall.names.into_iter().chain(syscall.name).collect();
    if names.is_empty() {
        return Err("Syscall 'names' list is empty".into());
    }
    let action = syscall
        .action
        .ok_or("Cannot determine 'action' for 'syscalls' item: Not found")?;
    let action = self::action(&action, syscall.errno_ret)?;
    let arguments = syscall.args.unwrap_or_default().into_iter().enumerate();
    let tests = arguments.map(|(index, argument)| {
        let argument = serde_json::from_value(argument).map_err(|error| error.to_string());
        let test = argument.and_then(|argument| test(&argument));
        test.map_err(|why| format!("args[{index}]: {why}"))
    });
    let tests: Vec<_> = tests.collect::<Result<_, _>>()?;
    if names.len().saturating_mul(tests.len().max(1)) > room {
        return Err(format!("A profile makes {RULES_MAX} rules at most"));
    }
    if !is_included || is_excluded {
        return Ok(Vec::new());
    }
    let why: Cow<'static, str> = syscall.comment.unwrap_or_default().into();
    let entry = |calls, conditions| Entry {
        rule: Arc::new(SeccompRule {
            calls,
            conditions,
            action,
            why: why.clone(),
        }),
        with: with.clone(),
        without: without.clone(),
    };
    if tests.is_empty() {
        let calls = names.into_iter().map(Cow::Owned).collect();
        return Ok(vec![entry(calls, Vec::new())]);
    }
    // Several tests of one argument are a choice, since libseccomp takes no two of them in a rule.
    let is_choice = (0..6).any(|index| tests.iter().filter(|(of, _)| *of == index).count() > 1);
    let mut all = Vec::new();
    for name in names {
        let conditions = tests.iter().map(|test| condition(&name, *test));
        let calls = || vec![Cow::Owned(name.clone())];
        match is_choice {
            true => all.extend(conditions.map(|one| entry(calls(), vec![one]))),
            false => all.push(entry(calls(), conditions.collect())),
        }
    }
    Ok(all)
}

fn condition(call: &str, (argument, test): (u8, ArgumentTest)) -> SeccompCondition {
    let fits = match test {
        ArgumentTest::Equal(value)
        | ArgumentTest::NotEqual(value)
        | ArgumentTest::Less(value)
        | ArgumentTest::LessOrEqual(value)
        | ArgumentTest::Greater(value)
        | ArgumentTest::GreaterOrEqual(value) => value >> 32 == 0,
        ArgumentTest::Masked { mask, value } => (mask | value) >> 32 == 0,
    };
    SeccompCondition {
        argument,
        width: match fits && HALVES.contains(&(call, argument)) {
            true => ArgumentWidth::Half,
            false => ArgumentWidth::Whole,
        },
        test,
    }
}

fn test(argument: &Argument) -> Result<(u8, ArgumentTest), String> {
    let Argument {
        index,
        value,
        value_two,
        ref op,
    } = *argument;
    if index > 5 {
        return Err(format!("A system call has no argument {index}"));
    }
    let name = op.strip_prefix("SCMP_");
    let name = name.ok_or_else(|| format!("Unexpected operation: '{op}'"))?;
    let test = match name {
        "CMP_NE" => ArgumentTest::NotEqual(value),
        "CMP_LT" => ArgumentTest::Less(value),
        "CMP_LE" => ArgumentTest::LessOrEqual(value),
        "CMP_EQ" => ArgumentTest::Equal(value),
        "CMP_GE" => ArgumentTest::GreaterOrEqual(value),
        "CMP_GT" => ArgumentTest::Greater(value),
        "CMP_MASKED_EQ" => ArgumentTest::Masked {
            mask: value,
            value: value_two,
        },
        _ => return Err(format!("Unknown operator: '{op}'")),
    };
    Ok((index, test))
}

fn action(text: &str, number: Option<u16>) -> Result<SeccompAction, String> {
    let name = text.strip_prefix("SCMP_");
    let name = name.ok_or_else(|| format!("Unexpected syscall action: '{text}'"))?;
    Ok(match name {
        "ACT_ALLOW" => SeccompAction::Allow,
        "ACT_LOG" => SeccompAction::Log,
        "ACT_TRACE" => SeccompAction::Trace(number.unwrap_or(REFUSED)),
        "ACT_TRAP" => SeccompAction::Trap,
        "ACT_KILL" | "ACT_KILL_THREAD" => SeccompAction::KillThread,
        "ACT_KILL_PROCESS" => SeccompAction::KillProcess,
        "ACT_ERRNO" => match number.unwrap_or(REFUSED) {
            number @ 0..=ERRNO_MAX => SeccompAction::Errno(number),
            number => return Err(format!("{number} is no error number of the kernel")),
        },
        _ => return Err(format!("Unknown syscall action: '{text}'")),
    })
}

impl Whom {
    fn capabilities(&self) -> Result<Vec<Capability>, String> {
        let number = |text: &String| {
            let name = text.strip_prefix("CAP_");
            let name = name.ok_or_else(|| format!("Unexpected capability: '{text}'"))?;
            let known = capability_info::Capability::from_str_name(name);
            // Mesos' numbers begin at 1000, the kernel's at 0.
            let number = known.and_then(|known| u8::try_from(known as i32 - 1000).ok());
            let number = number.ok_or_else(|| format!("Unknown capability: '{text}'"))?;
            Ok(Capability(number))
        };
        self.caps.iter().flatten().map(number).collect()
    }

    /// Whether architecture and kernel are this node's; `None` where neither is told.
    fn is_for_this_node(&self, kernel: (u32, u32)) -> Result<Option<bool>, String> {
        /// Docker's names.
        const NAMES: [&str; 16] = [
            "x86",
            "amd64",
            "x32",
            "arm",
            "arm64",
            "mips",
            "mipsel",
            "mips64",
            "mipsel64",
            "mips64n32",
            "mipsel64n32",
            "ppc",
            "ppc64le",
            "riscv64",
            "s390",
            "s390x",
        ];
        let own = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let mut is_for = None;
        if let Some(arches) = &self.arches {
            if let Some(unknown) = arches.iter().find(|name| !NAMES.contains(&name.as_str())) {
                return Err(format!("Unknown architecture: '{unknown}'"));
            }
            is_for = Some(arches.iter().any(|name| name == own));
        }
        if let Some(least) = &self.min_kernel {
            let version =
                version(least).ok_or_else(|| format!("'{least}' is no kernel version"))?;
            is_for = Some(is_for.unwrap_or(true) && kernel >= version);
        }
        Ok(is_for)
    }
}

/// The first two numbers of a kernel's version.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text
        .split(['.', '-'])
        .map(|number| number.trim().parse().ok());
    numbers.next()?.zip(numbers.next()?)
}

#[cfg(test)]
mod tests;
