//! Disks: `/proc/diskstats` out of `io.stat`.

use alloc::format;
use alloc::string::String;

use model::sandbox::ViewFacts;

/// What the kernel counts sectors by.
const SECTOR_BYTES: u64 = 512;

/// `block/genhd.c`: the disks that the container has used, with what it read, wrote and gave up there.
/// No account of times is kept by container.
pub(super) fn diskstats(facts: &ViewFacts) -> String {
    let mut text = String::new();
    for line in facts.io_stat.lines() {
        let mut fields = line.split(' ');
        let Some((major, minor)) = fields.next().and_then(|device| device.split_once(':')) else {
            continue;
        };
        let Some(name) = name(&facts.node, major, minor) else {
            continue;
        };
        let count = |key: &str| {
            let mut all = fields.clone().filter_map(|field| field.split_once('='));
            let found = all.find(|(name, _)| *name == key);
            found.and_then(|(_, count)| count.parse::<u64>().ok())
        };
        let requests = |key| count(key).unwrap_or(0);
        let sectors = |key| requests(key) / SECTOR_BYTES;
        text += &format!(
            "{major:>4} {minor:>7} {name} {} 0 {} 0 {} 0 {} 0 0 0 0 {} 0 {} 0 0 0\n",
            requests("rios"),
            sectors("rbytes"),
            requests("wios"),
            sectors("wbytes"),
            requests("dios"),
            sectors("dbytes"),
        );
    }
    text
}

/// The name of a device, by the node's own file.
fn name<'a>(node: &'a str, major: &str, minor: &str) -> Option<&'a str> {
    node.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let is_it = fields.next() == Some(major) && fields.next() == Some(minor);
        is_it.then(|| fields.next()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::facts;
    use super::*;

    #[test]
    fn disks_that_were_used_are_shown_with_the_containers_own_counts() {
        let facts = ViewFacts {
            node: "   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n 254       0 vda 173663 28400 11626730 177237 32724 172665 75264688 319814 0 28356 500472 21635 28 6772752 3383 1011 37\n".into(),
            io_stat: "254:0 rbytes=1048576 wbytes=8192 rios=21 wios=2 dbytes=4096 dios=1 cost.usage=7\n259:1 rbytes=512 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n7:0 \n\n".into(),
            ..facts()
        };
        let expected = " 254       0 vda 21 0 2048 0 2 0 16 0 0 0 0 1 0 8 0 0 0\n   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
        assert_eq!(diskstats(&facts), expected);
    }
}
