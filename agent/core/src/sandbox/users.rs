//! Users: whom a task runs as, by the passwd and group files of its own root.
//!
//! A node has no users of its own. A name is looked up in the task's root, a number is taken as it
//! is; a name that is not there is an error, unless the node does not switch users at all
//! (DESIGN, "Users"): then everything runs as 0 of its container, without any right of a root.

use alloc::string::ToString;
use alloc::vec::Vec;

use model::sandbox::{IdRange, User};

use super::PlanError;

/// Whether the user that a task asks for is looked up (`--switch_user`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwitchUser {
    /// An unknown name fails the task.
    Yes,
    /// Every task runs as 0 of its container.
    No,
}

/// The text of the two files of a root; empty where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accounts<'a> {
    /// `etc/passwd`, passwd(5).
    pub passwd: &'a str,
    /// `etc/group`, group(5).
    pub group: &'a str,
}

/// The ids of the user that a task asks for; without a wish, 0 of the container.
///
/// # Errors
/// There is no such user, or it is one that no container has.
pub fn resolve(
    wish: Option<&str>,
    switch: SwitchUser,
    accounts: Accounts<'_>,
    ids: IdRange,
) -> Result<User, PlanError> {
    let (Some(wish), SwitchUser::Yes) = (wish, switch) else {
        return Ok(User::default());
    };
    // An image may name the group, too.
    let (name, group) = match wish.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (wish, None),
    };
    let mut user = match (named(name, accounts), name.parse::<u32>()) {
        (Some(user), _) => user,
        (None, Ok(uid)) => numbered(uid, accounts),
        (None, Err(_)) => return Err(PlanError::User(wish.to_string())),
    };
    if let Some(group) = group {
        let gid = group_named(group, accounts).or_else(|| group.parse().ok());
        user.gid = gid.ok_or_else(|| PlanError::User(wish.to_string()))?;
        user.groups = Vec::new();
    }
    let all = [user.uid, user.gid];
    match all.iter().chain(&user.groups).find(|id| **id >= ids.length) {
        Some(&id) => Err(PlanError::Id {
            id,
            ids: ids.length,
        }),
        None => Ok(user),
    }
}

fn named(name: &str, accounts: Accounts<'_>) -> Option<User> {
    let (_, uid, gid) = entries(accounts).find(|(other, _, _)| *other == name)?;
    Some(User {
        uid,
        gid,
        groups: groups_of(name, gid, accounts),
    })
}

/// A number that passwd knows has the group it says there, another the group of the same number.
fn numbered(uid: u32, accounts: Accounts<'_>) -> User {
    match entries(accounts).find(|(_, other, _)| *other == uid) {
        Some((name, uid, gid)) => User {
            uid,
            gid,
            groups: groups_of(name, gid, accounts),
        },
        None => User {
            uid,
            gid: uid,
            groups: Vec::new(),
        },
    }
}

/// (name, uid, gid) of each line of passwd that is whole.
fn entries<'a>(accounts: Accounts<'a>) -> impl Iterator<Item = (&'a str, u32, u32)> {
    accounts.passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some((name, uid, gid))
    })
}

fn group_named(name: &str, accounts: Accounts<'_>) -> Option<u32> {
    accounts.group.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_it = fields.next()? == name;
        let gid = fields.nth(1)?.parse().ok()?;
        is_it.then_some(gid)
    })
}

/// The groups that list the user as a member, without its first one.
fn groups_of(name: &str, first: u32, accounts: Accounts<'_>) -> Vec<u32> {
    let lines = accounts.group.lines();
    let mut groups: Vec<u32> = lines
        .filter_map(|line| {
            let mut fields = line.split(':');
            let gid = fields.nth(2)?.parse().ok()?;
            let is_member = fields.next()?.split(',').any(|member| member == name);
            (is_member && gid != first).then_some(gid)
        })
        .collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::id_range;
    use alloc::format;
    use alloc::string::String;
    use expect_test::{Expect, expect};

    const ACCOUNTS: Accounts<'_> = Accounts {
        passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/:\nbroken:x:no\n\nhigh:x:70000:1::/:\n",
        group: "root:x:0:\nweb:x:34:web\nlog:x:4:web,root\nlog2:x:4:web\nodd\n",
    };

    fn check(switch: SwitchUser, wishes: &[Option<&str>], expected: &Expect) {
        let mut text = String::new();
        let ids = id_range(0).expect("the first range");
        for wish in wishes {
            text += &match resolve(*wish, switch, ACCOUNTS, ids) {
                Ok(user) => format!("{wish:?}: {}:{} {:?}\n", user.uid, user.gid, user.groups),
                Err(error) => format!("{wish:?}: {error}\n"),
            };
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn names_are_looked_up_numbers_are_taken_and_unknown_names_fail() {
        let wishes = [
            None,
            Some("root"),
            Some("web"),
            Some("33"),
            Some("1000"),
            Some("alice"),
            Some("broken"),
            Some(""),
            Some("-1"),
            Some("65536"),
            Some("high"),
            Some("web:log"),
            Some("1000:4"),
            Some("web:"),
            Some("web:nobody"),
        ];
        check(
            SwitchUser::Yes,
            &wishes,
            &expect![[r#"
                None: 0:0 []
                Some("root"): 0:0 [4]
                Some("web"): 33:34 [4]
                Some("33"): 33:34 [4]
                Some("1000"): 1000:1000 []
                Some("alice"): user "alice" is not in the task's root, and names no number
                Some("broken"): user "broken" is not in the task's root, and names no number
                Some(""): user "" is not in the task's root, and names no number
                Some("-1"): user "-1" is not in the task's root, and names no number
                Some("65536"): user 65536 is outside the container's ids, which are 0 to 65535
                Some("high"): user 70000 is outside the container's ids, which are 0 to 65535
                Some("web:log"): 33:4 []
                Some("1000:4"): 1000:4 []
                Some("web:"): user "web:" is not in the task's root, and names no number
                Some("web:nobody"): user "web:nobody" is not in the task's root, and names no number
            "#]],
        );
    }

    #[test]
    fn a_node_that_does_not_switch_users_runs_everything_as_0_of_the_container() {
        check(
            SwitchUser::No,
            &[None, Some("web"), Some("alice")],
            &expect![[r#"
                None: 0:0 []
                Some("web"): 0:0 []
                Some("alice"): 0:0 []
            "#]],
        );
    }
}
