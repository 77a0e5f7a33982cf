//! Output: rotated while a task runs.

use crate::master::Master;
use crate::program::{Agent, busybox_root};

#[test]
fn output_is_rotated_as_the_task_says_and_a_task_that_asks_for_nonsense_is_told() {
    let Some(root) = busybox_root() else {
        return;
    };
    let mut master = Master::start(1);
    let agent = Agent::start(&master, Some(root.path()));
    master.admit();
    let variable = |name: &str, value: &str| {
        format!(
            r#""environment":{{"variables":[{{"name":"CONTAINER_LOGGER_{name}","value":"{value}"}}]}}"#
        )
    };
    // The loop's ten thousand bytes are past the size, and the program goes on to write.
    let script = "i=1000; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; \
                  while [ ! -e $MESOS_SANDBOX/stdout.1 ]; do sleep 0.1; done; echo end; sleep 100";
    master.run(&format!(
        r#""task_id":{{"value":"t1"}},"command":{{"value":"{script}",{}}}"#,
        variable("MAX_STDOUT_SIZE", "8KB")
    ));
    let runs = "/frameworks/m-0000/executors/t1/runs/latest";
    let read = |name: &str, offset: u64| {
        let path = format!("/files/read?path={runs}/{name}&offset={offset}");
        agent.get_until(&path, r#""offset""#)
    };
    let newer = agent.get_until(
        &format!("/files/read?path={runs}/stdout&offset=0"),
        r"end\n",
    );
    assert!(newer.contains(r"2999\nend\n"), "{newer}");
    let older = read("stdout.1", 0);
    assert!(older.contains(r#""data":"1000\n1001\n"#), "{older}");

    master.update();
    master.update();
    master.run(&format!(
        r#""task_id":{{"value":"t2"}},"command":{{"value":"true",{}}}"#,
        variable("LOGROTATE_STDERR_OPTIONS", "compress")
    ));
    let status = master.update();
    assert_eq!(
        status.message(),
        "the variable CONTAINER_LOGGER_LOGROTATE_STDERR_OPTIONS: \"compress\" is not an option of \
         rotation: only `rotate NUMBER` is, up to 100"
    );
    assert_eq!(agent.stop(), Some(0));
}
