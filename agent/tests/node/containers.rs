//! What tasks ask for in their `ContainerInfo`, given by a real agent.

use std::fs;

use model::TaskState;

use crate::master::Master;
use crate::program::{Agent, busybox_root};

/// Runs a command in a container; its last state and message, and what it wrote.
fn run(
    (master, agent): (&mut Master, &Agent),
    id: &str,
    command: &str,
    container: &str,
) -> (TaskState, String) {
    let task = format!(
        r#""task_id":{{"value":"{id}"}},"command":{{"value":"{command}"}},"container":{container}"#
    );
    master.run(&task);
    let last = loop {
        let status = master.update();
        let ends = [TaskState::Finished, TaskState::Failed, TaskState::Error];
        if let Some(end) = ends.into_iter().find(|end| end.number() == status.state) {
            break (end, status.message.unwrap_or_default());
        }
    };
    let path = format!("/frameworks/m-0000/executors/{id}/runs/latest/stdout");
    let read = agent.get(&format!("/files/read?path={path}&offset=0"));
    let output = read.split_once(r#"{"data":""#);
    let output = output.and_then(|(_, rest)| rest.split_once(r#"","offset":0}"#));
    match (last, output) {
        ((TaskState::Finished, _), Some((text, _))) => (TaskState::Finished, text.into()),
        ((state, message), _) => (state, message),
    }
}

/// A container that brings a profile, which allows all but this.
fn own_profile(syscall: &str) -> String {
    let document = format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{syscall}]}}"#);
    let document = document.replace('"', r#"\""#);
    format!(r#"{{"type":"MESOS","linux_info":{{"seccomp":{{"profile_name":"{document}"}}}}}}"#)
}

#[test]
fn a_task_gets_the_container_that_it_asks_for_or_a_reason() {
    let Some(root) = busybox_root() else {
        return;
    };
    let mut master = Master::start(1);
    let agent = Agent::start(&master, Some(root.path()));
    master.admit();
    let shared = agent.work_dir.path().join("shared");
    fs::create_dir(&shared).expect("a folder");
    fs::write(shared.join("file"), "of the host").expect("a file");
    let shared = shared.display();
    let volume = |path: &str, source: &str| {
        format!(
            r#"{{"type":"MESOS","volumes":[{{"mode":"RO","container_path":"{path}",{source}}}]}}"#
        )
    };
    let host =
        |path: &str| format!(r#""source":{{"type":"HOST_PATH","host_path":{{"path":"{path}"}}}}"#);
    let finished = |text: &str| (TaskState::Finished, text.to_string());
    for (id, command, container, expected) in [
        (
            "host",
            "cat /srv/file",
            volume("/srv", &host(&shared.to_string())),
            finished("of the host"),
        ),
        (
            "elsewhere",
            "cat /srv/passwd",
            volume("/srv", &host("/etc")),
            (
                TaskState::Failed,
                r#"host path "/etc" is not allowed on this agent (--allowed_host_paths)"#.into(),
            ),
        ),
        (
            "secret",
            "cat hush",
            volume("hush", r#""source":{"type":"SECRET","secret":{"type":"VALUE","value":{"data":"aHVzaA=="}}}"#),
            finished("hush"),
        ),
        (
            "own",
            "ls -d /data",
            volume("/data", r#""source":{"type":"SANDBOX_PATH","sandbox_path":{"type":"SELF","path":"d"}}"#),
            finished("/data\\n"),
        ),
        (
            "limits",
            "ulimit -n; hostname; grep CapEff /proc/self/status",
            r#"{"type":"MESOS","hostname":"mine","rlimit_info":{"rlimits":[{"type":"RLMT_NOFILE","soft":7,"hard":9}]},
                "linux_info":{"effective_capabilities":{"capabilities":["NET_ADMIN"]}}}"#.into(),
            finished("7\\nmine\\nCapEff:\\t0000000000001000\\n"),
        ),
        (
            "filtered",
            "unshare -U true || echo refused; grep ^Seccomp: /proc/self/status",
            r#"{"type":"MESOS"}"#.into(),
            finished("refused\\nSeccomp:\\t2\\n"),
        ),
        (
            "bounded",
            "mkdir d || echo refused; unshare -U true || echo refused; touch f && echo made",
            own_profile(r#"{"names":["mkdir"],"action":"SCMP_ACT_ERRNO"}"#),
            finished("refused\\nrefused\\nmade\\n"),
        ),
        (
            "unreadable",
            "true",
            own_profile(r#"{"names":["mkdir"],"action":"SCMP_ACT_NO"}"#),
            (
                TaskState::Failed,
                r#"Unknown syscall action: 'SCMP_ACT_NO' (at syscalls[0], "mkdir")"#.into(),
            ),
        ),
        (
            "mounting",
            "mount -t tmpfs none /tmp && echo mounted",
            r#"{"type":"MESOS","linux_info":{"effective_capabilities":{"capabilities":["SYS_ADMIN"]}}}"#.into(),
            finished("mounted\\n"),
        ),
        (
            "network",
            "true",
            r#"{"type":"MESOS","network_infos":[{"name":"blue"}]}"#.into(),
            (
                TaskState::Failed,
                "Unknown network 'blue': this agent has bridge (--networks)".into(),
            ),
        ),
    ] {
        let (state, text) = run((&mut master, &agent), id, command, &container);
        let (expected, words) = expected;
        assert_eq!(state, expected, "{id}: {text}");
        assert!(text.ends_with(words.as_str()), "{id}: {text}");
    }
    let report = agent.get("/explain?framework_id=m-0000&task_id=bounded");
    let told = "seccomp profile of the container's own: 1 rules, within default: 41 rules, all other calls: errno 1";
    assert!(report.contains(told), "{report}");
    // What the last one that ran ran under is told still, of the container or of the task.
    let by_task = "/slave(1)/explain?framework_id=m-0000&task_id=limits";
    let report = agent.get(by_task);
    for part in [
        r#""state":"ENFORCED","reason":"","weight":12,"exposure":0.0"#,
        r#""what":"in force NET_ADMIN""#,
        r#""what":"host name mine""#,
        r#""what":"RLIMIT_NOFILE 7, at most 9""#,
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    let id = report.split_once(r#""container_id":""#);
    let id = id.and_then(|(_, rest)| rest.split_once('"'));
    let (id, _) = id.expect("an id");
    assert_eq!(agent.get(&format!("/explain?container_id={id}")), report);
    for (path, why) in [
        ("/explain?framework_id=m-0000&task_id=never", "no task"),
        ("/explain?container_id=never", "does not run here"),
        ("/explain?task_id=limits", "Supported query parameters are"),
        ("/containers?pressure=much", "pressure is true or false"),
    ] {
        let refused = agent.get(path);
        assert!(refused.contains(why), "{path}: {refused}");
    }
    assert_eq!(agent.stop(), Some(0));
}
