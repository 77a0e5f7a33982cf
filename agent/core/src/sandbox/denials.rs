//! Denials: what the kernel's log says was refused to a container, and by which rule.
//!
//! The records are those of the audit subsystem, as they come to the log where no audit daemon takes
//! them: of seccomp (a call that ended its process, or whose filter logs it), and of landlock from
//! Linux 6.15 on. A record names the user on the node, and a range of ids is one container's.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

/// `AUDIT_SECCOMP`, `AUDIT_LANDLOCK_ACCESS` and `AUDIT_LANDLOCK_DOMAIN` of linux/audit.h.
const SECCOMP: &str = "1326";
const LANDLOCK_ACCESS: &str = "1423";
const LANDLOCK_DOMAIN: &str = "1424";

/// Landlock's domains whose users are known; at the bound the oldest number goes.
const DOMAINS_MAX: usize = 256;

/// The release of Linux that tells what landlock refuses.
const LANDLOCK_TELLS: (u32, u32) = (6, 15);

/// One thing that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The user on the node whose process it was.
    pub uid: u32,
    /// What, to whom, and by which rule.
    pub what: String,
}

/// Reads records in the order in which they come.
#[derive(Debug, Default)]
pub struct Reader {
    /// The user of each domain of landlock, which its first record names alone.
    domains: BTreeMap<u64, u32>,
    /// A refusal whose domain is yet to be told of.
    waiting: BTreeMap<u64, String>,
}

impl Reader {
    /// Reads one line of the log, without its head; most lines tell nothing of the kind.
    pub fn read(&mut self, line: &str) -> Option<Denial> {
        let record = line.trim().strip_prefix("audit: type=")?;
        let (kind, rest) = record.split_once(' ')?;
        match kind {
            SECCOMP => seccomp(rest),
            LANDLOCK_ACCESS => self.access(rest),
            LANDLOCK_DOMAIN => self.domain(rest),
            _ => None,
        }
    }

    fn access(&mut self, record: &str) -> Option<Denial> {
        let domain = u64::from_str_radix(field(record, "domain")?, 16).ok()?;
        let blockers = field(record, "blockers")?;
        let path = field(record, "path").map_or(String::new(), |path| format!(" of {path}"));
        let what = format!("landlock: {blockers}{path}");
        if let Some(uid) = self.domains.get(&domain) {
            return Some(Denial { uid: *uid, what });
        }
        bounded(&mut self.waiting);
        self.waiting.insert(domain, what);
        None
    }

    fn domain(&mut self, record: &str) -> Option<Denial> {
        let domain = u64::from_str_radix(field(record, "domain")?, 16).ok()?;
        if field(record, "status") == Some("deallocated") {
            self.domains.remove(&domain);
            return None;
        }
        let uid = field(record, "uid")?.parse().ok()?;
        bounded(&mut self.domains);
        self.domains.insert(domain, uid);
        let what = self.waiting.remove(&domain)?;
        Some(Denial { uid, what })
    }
}

fn bounded<T>(map: &mut BTreeMap<u64, T>) {
    if map.len() >= DOMAINS_MAX {
        map.pop_first();
    }
}

fn seccomp(record: &str) -> Option<Denial> {
    let uid = field(record, "uid")?.parse().ok()?;
    let call = field(record, "syscall")?;
    let code = field(record, "code")?.strip_prefix("0x")?;
    let code = u32::from_str_radix(code, 16).ok()?;
    let program = field(record, "exe").or_else(|| field(record, "comm"));
    let what = format!(
        "seccomp: system call {call} of {}: {}",
        program.unwrap_or("a program"),
        action(code)
    );
    Some(Denial { uid, what })
}

/// The action of a filter, by the numbers of linux/seccomp.h.
fn action(code: u32) -> String {
    match code & 0xffff_0000 {
        0x8000_0000 => "the process was killed".to_string(),
        0x0000_0000 => "the thread was killed".to_string(),
        0x0003_0000 => "it got SIGSYS".to_string(),
        0x0005_0000 => format!("refused with error {}", code & 0xffff),
        0x7ffc_0000 => "allowed, and logged".to_string(),
        _ => format!("code 0x{code:08x}"),
    }
}

/// A value by its name; without its quotes. A program's name may hold anything but a quote: the kernel
/// writes such ones as hexadecimal digits.
fn field<'a>(record: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = record;
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.rsplit(' ').next().unwrap_or(key);
        let (value, more) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(' ').unwrap_or((after, "")),
        };
        if key == name {
            return Some(value);
        }
        rest = more;
    }
    None
}

/// What a kernel of this release does not tell, in words; empty where it tells all.
#[must_use]
pub fn untold(release: &str) -> String {
    let mut numbers = release.split(['.', '-', '+']).map(str::parse::<u32>);
    let version = match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => (0, 0),
    };
    if version >= LANDLOCK_TELLS {
        return "landlock's refusals are told where the kernel was booted with audit=1".to_string();
    }
    format!("Linux {release} does not tell what landlock refuses; 6.15 and later do")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: &str = r#"audit: type=1326 audit(1700000000.123:45): auid=4294967295 uid=524288 gid=524288 ses=4294967295 subj=unconfined pid=812 comm="mount a=b uid=0" exe="/bin/busybox" sig=31 arch=c000003e syscall=165 compat=0 ip=0x4a2b code=0x80000000"#;

    #[test]
    fn a_call_that_a_filter_refused_is_told_with_its_user_and_what_became_of_it() {
        let mut reader = Reader::default();
        let denial = reader.read(KILLED).expect("a denial");
        assert_eq!(denial.uid, 524_288, "a program's name lies");
        assert_eq!(
            denial.what,
            "seccomp: system call 165 of /bin/busybox: the process was killed"
        );
        let logged = KILLED.replace("0x80000000", "0x00050026");
        let denial = reader.read(&logged).expect("a denial");
        assert!(denial.what.ends_with("refused with error 38"), "{denial:?}");
    }

    #[test]
    fn what_landlock_refused_belongs_to_the_user_of_its_domain_in_either_order() {
        let mut reader = Reader::default();
        let access = r#"audit: type=1423 audit(1.2:3): domain=195ba459b blockers=fs.write_file path="/etc/passwd" dev="vda" ino=7"#;
        let domain = r#"audit: type=1424 audit(1.2:3): domain=195ba459b status=allocated mode=enforcing pid=9 uid=589824 exe="/bin/sh" comm="sh""#;
        assert_eq!(reader.read(access), None);
        let first = reader.read(domain).expect("a denial");
        assert_eq!(
            (first.uid, first.what.as_str()),
            (589_824, "landlock: fs.write_file of /etc/passwd")
        );
        assert_eq!(reader.read(access), Some(first));
        let gone = "audit: type=1424 audit(1.2:4): domain=195ba459b status=deallocated denials=2";
        assert_eq!(reader.read(gone), None);
        assert_eq!(reader.read(access), None);
    }

    #[test]
    fn other_lines_and_broken_ones_tell_nothing() {
        let mut reader = Reader::default();
        for line in [
            "",
            "EXT4-fs (vda): mounted",
            "audit: type=1326",
            "audit: type=1326 audit(1:1): uid=x syscall=1 code=0x0",
            "audit: type=1326 audit(1:1): uid=1 syscall=1 code=7",
            "audit: type=1423 audit(1:1): domain=zz blockers=fs.refer",
            r#"audit: type=1326 audit(1:1): comm="unclosed uid=1"#,
            "audit: type=1400 audit(1:1): uid=0",
        ] {
            assert_eq!(reader.read(line), None, "{line}");
        }
        for number in 0..2000 {
            let line = format!("audit: type=1423 audit(1:1): domain={number:x} blockers=fs.refer");
            assert_eq!(reader.read(&line), None);
        }
        assert!(reader.waiting.len() <= DOMAINS_MAX);
    }

    #[test]
    fn a_kernel_says_what_it_does_not_tell() {
        assert!(untold("6.12.95+deb12-cloud-amd64").contains("does not tell what landlock"));
        assert!(untold("6.15.1").contains("audit=1"));
        assert!(untold("").contains("does not tell"));
    }
}
