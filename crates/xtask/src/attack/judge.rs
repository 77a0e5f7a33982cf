//! Judge: what the end of an attack, and what was seen meanwhile, say about it.

use serde_json::Value;

use super::rows::{Expect, Row};
use super::watch::{Bounds, Seen};

/// How an attack went, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was withstood.
    Passed(String),
    Failed(String),
    /// It works, and the row says why.
    Known(String),
    /// It could not be tried, and the row says why.
    Untried(String),
}

/// What became of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// Its script ended with this code.
    Exited(i32),
    /// A signal or a limit ended it.
    Killed(String),
    /// It was killed after its time.
    TimedOut,
    /// It never ran.
    Unlaunched(String),
}

/// Ended by SIGSYS (31), which a filter of system calls sends, as the shell tells it.
const FILTERED: i32 = 128 + 31;

impl End {
    /// Of a terminal status.
    pub(super) fn of(status: &Value, was_running: bool, timed_out: bool) -> Self {
        let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
        let (state, reason, message) = (text("state"), text("reason"), text("message"));
        if timed_out {
            return Self::TimedOut;
        }
        if state == "TASK_FINISHED" {
            return Self::Exited(0);
        }
        if reason.starts_with("REASON_CONTAINER_LIMITATION") {
            return Self::Killed(reason);
        }
        // What was refused to it for lack of a capability stands behind that.
        let ended = message.split(" (").next().unwrap_or_default();
        let code = ended
            .strip_prefix("Command exited with status ")
            .and_then(|code| code.trim().parse().ok());
        match code {
            Some(code) => Self::Exited(code),
            // A shell becomes its last command, so that nobody is left to tell of the signal.
            None if ended == "Command terminated with signal Bad system call" => {
                Self::Exited(FILTERED)
            }
            None if message.starts_with("Command terminated with signal") => Self::Killed(message),
            None if was_running => Self::Killed(format!("{state}: {reason}: {message}")),
            None => Self::Unlaunched(format!("{reason}: {message}")),
        }
    }
}

/// The verdict; `faults` are those of the checks afterwards.
pub(super) fn verdict(
    row: &Row,
    end: &End,
    seen: &Seen,
    bounds: Bounds,
    mut faults: Vec<String>,
) -> Verdict {
    if seen.answer > bounds.answer {
        faults.push(format!(
            "the node took {:.1} s to answer",
            seen.answer.as_secs_f64()
        ));
    }
    if seen.beat > bounds.beat {
        faults.push(format!(
            "the neighbour said nothing for {:.1} s",
            seen.beat.as_secs_f64()
        ));
    }
    faults.extend(seen.faults.iter().cloned());
    let of_end = of_end(row, end);
    let worked = *end == End::Exited(0);
    let suffers_nothing = faults.is_empty();
    let verdict = match (of_end, faults.is_empty()) {
        (verdict, true) => verdict,
        (Verdict::Failed(why), false) => Verdict::Failed(format!("{why}; {}", faults.join("; "))),
        (_, false) => Verdict::Failed(faults.join("; ")),
    };
    match (verdict, &row.known) {
        (Verdict::Failed(_), Some(known)) if worked && suffers_nothing => {
            Verdict::Known(known.clone())
        }
        (Verdict::Passed(why), Some(_)) => {
            Verdict::Passed(format!("{why}: the row's `known` is of yesterday"))
        }
        (verdict, _) => verdict,
    }
}

fn of_end(row: &Row, end: &End) -> Verdict {
    let passed = |why: &str| Verdict::Passed(why.to_owned());
    match (end, row.expect) {
        (End::Exited(0), _) => Verdict::Failed("the forbidden thing worked".to_owned()),
        (End::Exited(1), _) => passed("refused"),
        (End::Exited(FILTERED), _) => passed("refused by the filter of system calls"),
        (End::Exited(code @ (126 | 127)), Expect::Anything) => {
            Verdict::Untried(format!("the shell found nothing to run (exit code {code})"))
        }
        (End::Exited(code), Expect::Anything) => passed(&format!("refused (exit code {code})")),
        // A shell whose child was killed by the limit of memory.
        (End::Exited(137), Expect::Bounded) => passed("killed at a limit"),
        (End::Exited(code), _) => match &row.untried {
            Some(why) => Verdict::Untried(why.clone()),
            None => Verdict::Failed(format!("it could not be tried (exit code {code})")),
        },
        (End::Killed(why), Expect::Bounded | Expect::Anything) => passed(why),
        (End::Killed(why), _) => Verdict::Failed(format!("it was killed: {why}")),
        (End::TimedOut, Expect::Bounded | Expect::Anything) => passed("killed after its time"),
        (End::TimedOut, _) => Verdict::Failed("it did not end".to_owned()),
        (End::Unlaunched(why), Expect::Unlaunched) => passed(&format!("not launched: {why}")),
        (End::Unlaunched(why), _) => Verdict::Failed(format!("it was not launched: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn row(more: &str) -> Row {
        let text = format!("name = \"a\"\ntries = \"b\"\nscript = \"c\"\n{more}");
        toml::from_str(&text).expect("a row")
    }

    const BOUNDS: Bounds = Bounds {
        answer: Duration::from_secs(1),
        beat: Duration::from_secs(2),
    };

    fn check(row: &Row, end: &End, expected: &str) {
        let verdict = verdict(row, end, &Seen::default(), BOUNDS, Vec::new());
        let word = match verdict {
            Verdict::Passed(_) => "passed",
            Verdict::Failed(_) => "failed",
            Verdict::Known(_) => "known",
            Verdict::Untried(_) => "untried",
        };
        assert_eq!(word, expected, "{row:?} {end:?}");
    }

    #[test]
    fn what_worked_fails_and_what_was_refused_passes() {
        let refused = row("");
        let bounded = row("expect = \"bounded\"");
        let unlaunched = row("expect = \"unlaunched\"");
        let script = row("expect = \"anything\"");
        let killed = End::Killed("REASON_CONTAINER_LIMITATION_MEMORY".into());
        let unable = End::Unlaunched("no".into());
        for (end, of_each) in [
            (End::Exited(0), ["failed"; 4]),
            (End::Exited(1), ["passed"; 4]),
            (End::Exited(FILTERED), ["passed"; 4]),
            (End::Exited(2), ["failed", "failed", "failed", "passed"]),
            (End::Exited(127), ["failed", "failed", "failed", "untried"]),
            (killed, ["failed", "passed", "failed", "passed"]),
            (End::TimedOut, ["failed", "passed", "failed", "passed"]),
            (unable, ["failed", "failed", "passed", "failed"]),
        ] {
            for (row, expected) in [&refused, &bounded, &unlaunched, &script]
                .iter()
                .zip(of_each)
            {
                check(row, &end, expected);
            }
        }
    }

    #[test]
    fn a_known_row_is_counted_apart_as_long_as_it_works_and_nobody_suffers() {
        let known = row("known = \"because\"");
        check(&known, &End::Exited(0), "known");
        check(&known, &End::Exited(1), "passed");
        check(&known, &End::Exited(2), "failed");
        check(&row("untried = \"because\""), &End::Exited(2), "untried");
        check(&row("untried = \"because\""), &End::Exited(0), "failed");
    }

    #[test]
    fn a_node_or_neighbour_that_suffers_fails_what_was_refused() {
        let slow = Seen {
            answer: Duration::from_millis(1100),
            ..Seen::default()
        };
        let silent = Seen {
            beat: Duration::from_millis(2100),
            ..Seen::default()
        };
        let disturbed = Seen {
            faults: vec!["the neighbour says: no file".into()],
            ..Seen::default()
        };
        for seen in [slow, silent, disturbed] {
            let verdict = verdict(&row(""), &End::Exited(1), &seen, BOUNDS, Vec::new());
            assert!(matches!(verdict, Verdict::Failed(_)), "{seen:?}");
        }
    }

    #[test]
    fn the_end_of_a_task_is_read_from_its_status() {
        let failed = |message: &str, reason: &str| json!({"state": "TASK_FAILED", "message": message, "reason": reason});
        let command = "REASON_COMMAND_EXECUTOR_FAILED";
        for (status, end) in [
            (json!({"state": "TASK_FINISHED"}), End::Exited(0)),
            (
                failed("Command exited with status 7", command),
                End::Exited(7),
            ),
            (
                failed(
                    "Command exited with status 1 (it was refused something for lack of CHOWN)",
                    command,
                ),
                End::Exited(1),
            ),
            (
                failed("Command terminated with signal Bad system call", command),
                End::Exited(FILTERED),
            ),
            (
                failed("", "REASON_CONTAINER_LIMITATION_MEMORY"),
                End::Killed("REASON_CONTAINER_LIMITATION_MEMORY".into()),
            ),
        ] {
            assert_eq!(End::of(&status, true, false), end);
        }
        let refused = failed("no such image", "REASON_CONTAINER_LAUNCH_FAILED");
        assert!(matches!(
            End::of(&refused, false, false),
            End::Unlaunched(_)
        ));
        assert_eq!(End::of(&refused, true, true), End::TimedOut);
    }
}
