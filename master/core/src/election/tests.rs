//! A master in an election that is played by hand.

use alloc::string::ToString;
use alloc::vec;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(10);
const OWN: &str = "json.info_0000000007";
const OTHER: &str = "json.info_0000000003";

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn session(number: u64) -> SessionNumber {
    SessionNumber(number)
}

fn listed(number: u64, asked: u64, names: &[&str]) -> Event {
    Event::Listed {
        session: session(number),
        asked: at(asked),
        names: names.iter().map(ToString::to_string).collect(),
    }
}

/// One with a session and a znode, whose newest list is on its way.
fn candidate() -> Election {
    let mut election = Election::new(at(0));
    let open = Effect::Open {
        session: session(1),
    };
    assert_eq!(election.step(at(0), Event::Tick), [open]);
    let opened = Event::Opened {
        session: session(1),
        timeout: TIMEOUT,
    };
    let (join, list) = (
        Effect::Join {
            session: session(1),
        },
        Effect::List {
            session: session(1),
        },
    );
    assert_eq!(election.step(at(0), opened), [join, list.clone()]);
    let joined = Event::Joined {
        session: session(1),
        name: OWN.into(),
    };
    assert_eq!(election.step(at(0), joined), []);
    assert_eq!(election.step(at(0), listed(1, 0, &[])), [list]);
    election
}

fn leading() -> Election {
    let mut election = candidate();
    let lead = Effect::Lead { epoch: 8 };
    assert_eq!(election.step(at(1), listed(1, 1, &[OWN])), [lead]);
    election
}

#[test]
fn the_lowest_sequence_leads_under_an_epoch_that_follows_from_it() {
    let mut election = leading();
    assert!(election.leads(at(1)));
    let above = ["json.info_0000000009", "log_replicas", OWN];
    election.step(at(2), Event::Tick);
    assert_eq!(election.step(at(2), listed(1, 2, &above)), []);
    assert!(election.leads(at(2)));
}

#[test]
fn the_lease_is_counted_from_the_question_and_not_from_the_answer() {
    let mut election = leading();
    election.step(at(3), Event::Tick);
    election.step(at(6), listed(1, 3, &[OWN]));
    assert_eq!(election.deadline(), Some(at(8)));
    assert!(election.leads(at(11)));
    assert!(!election.leads(at(12)));
    let why = "ZooKeeper was not heard for too long";
    let down = Effect::StepDown { why };
    // An answer that was on its way while the process was stopped comes too late.
    assert_eq!(election.step(at(12), listed(1, 3, &[OWN])), [down]);
    assert_eq!(election.step(at(13), listed(1, 12, &[OWN])), []);
    assert!(!election.leads(at(13)));
    assert_eq!(election.deadline(), None);
}

#[test]
fn a_list_without_its_own_znode_makes_a_candidate_stand_again() {
    let mut election = candidate();
    let open = Effect::Open {
        session: session(2),
    };
    assert_eq!(election.step(at(1), listed(1, 1, &[OTHER])), [open]);
}

#[test]
fn a_follower_is_told_whom_to_follow_and_when_that_is_nobody() {
    let mut election = candidate();
    let read = Effect::Read {
        session: session(1),
        name: OTHER.into(),
    };
    assert_eq!(election.step(at(1), listed(1, 1, &[OTHER, OWN])), [read]);
    let leader = Blob::new(b"{}");
    let event = Event::Read {
        session: session(1),
        name: OTHER.into(),
        data: Some(leader.clone()),
    };
    let follow = |leader| Effect::Follow { leader };
    assert_eq!(election.step(at(1), event), [follow(Some(leader))]);
    // Nothing was heard since: who leads is no longer known.
    assert_eq!(election.deadline(), Some(at(3)));
    let list = Effect::List {
        session: session(1),
    };
    assert_eq!(election.step(at(10), Event::Tick), [follow(None), list]);
}

#[test]
fn a_znode_that_goes_between_list_and_reading_is_looked_for_again() {
    let mut election = candidate();
    election.step(at(1), listed(1, 1, &[OTHER, OWN]));
    let gone = Event::Read {
        session: session(1),
        name: OTHER.into(),
        data: None,
    };
    let list = Effect::List {
        session: session(1),
    };
    assert_eq!(election.step(at(1), gone), [list]);
}

#[test]
fn a_follower_whose_session_ends_stands_again_and_answers_of_before_are_void() {
    let mut election = candidate();
    let expired = Event::Expired {
        session: session(1),
    };
    let open = Effect::Open {
        session: session(2),
    };
    assert_eq!(election.step(at(1), expired.clone()), [open]);
    assert_eq!(election.step(at(1), listed(1, 1, &[OWN])), []);
    assert_eq!(election.step(at(1), expired), []);
}

#[test]
fn a_leader_whose_session_or_znode_is_gone_steps_down_for_good() {
    let expired = Event::Expired {
        session: session(1),
    };
    let lower = listed(1, 2, &[OTHER, OWN]);
    for event in [expired, listed(1, 2, &[]), lower] {
        let mut election = leading();
        let effects = election.step(at(2), event);
        assert!(matches!(effects[..], [Effect::StepDown { .. }]));
        assert!(!election.leads(at(2)));
    }
}

#[test]
fn a_znode_that_may_have_been_made_goes_with_its_session() {
    let mut election = Election::new(at(0));
    election.step(at(0), Event::Tick);
    let opened = Event::Opened {
        session: session(1),
        timeout: TIMEOUT,
    };
    election.step(at(0), opened);
    let failed = Event::Failed {
        session: session(1),
        request: Request::Join,
    };
    assert_eq!(election.step(at(1), failed), vec![]);
    assert_eq!(election.deadline(), Some(at(1) + RETRY_MIN));
    let open = Effect::Open {
        session: session(2),
    };
    assert_eq!(election.step(at(2), Event::Tick), [open]);
}

#[test]
fn a_watch_that_fires_while_a_list_is_on_its_way_asks_for_another() {
    let mut election = candidate();
    let changed = Event::Changed {
        session: session(1),
    };
    assert_eq!(election.step(at(1), changed), []);
    let list = Effect::List {
        session: session(1),
    };
    // The list may be from before the change, so it does not make this master the leader.
    assert_eq!(election.step(at(1), listed(1, 1, &[OWN])), [list]);
}

#[test]
fn what_does_not_work_is_tried_again_ever_more_slowly() {
    let mut election = candidate();
    let mut now = at(1);
    for wait in [1, 2, 4, 8, 16, 16] {
        let failed = Event::Failed {
            session: session(1),
            request: Request::List,
        };
        assert_eq!(election.step(now, failed), []);
        let due = election.deadline().unwrap();
        assert_eq!(due, now + RETRY_MIN * wait);
        assert_eq!(election.step(due, Event::Tick).len(), 1);
        now = due;
    }
}
