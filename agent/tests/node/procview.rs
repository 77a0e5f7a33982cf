//! What programs that size themselves find in a container: Debian's own, from this host.

use std::fs::File;
use std::path::Path;

use crate::master::Master;
use crate::program::{Agent, busybox_root};

/// Prints one line each: memory and processors as programs count them.
const SCRIPT: &str = "/usr/bin/free -k | busybox grep -o 'Mem: *[0-9]*' | busybox grep -o '[0-9]*'; \
    /usr/bin/getconf _NPROCESSORS_ONLN; busybox grep -c ^processor /proc/cpuinfo; \
    busybox grep -c ^cpu[0-9] /proc/stat; cat /sys/devices/system/cpu/online; \
    busybox wc -l < /proc/swaps";

#[test]
fn programs_size_themselves_by_the_limits_of_their_container() {
    let Some(root) = busybox_root() else {
        return;
    };
    // A host that keeps FUSE from its root has no view.
    let fuse = File::options().read(true).write(true).open("/dev/fuse");
    let programs = ["/usr/bin/free", "/usr/bin/getconf", "/usr/lib64"];
    if fuse.is_err() || !programs.into_iter().all(|path| Path::new(path).exists()) {
        println!("skipped: needs /dev/fuse and {programs:?}");
        return;
    }
    drop(fuse);
    let mut master = Master::start(1);
    let flags = ["--allowed_host_paths=/usr"];
    let agent = Agent::start_with(&master, Some(root.path()), &flags);
    master.admit();
    let volume = |inside: &str, source: &str| {
        format!(
            r#"{{"mode":"RO","container_path":"{inside}",
                "source":{{"type":"HOST_PATH","host_path":{{"path":"{source}"}}}}}}"#
        )
    };
    let volumes = [
        volume("/usr", "/usr"),
        volume("/lib", "/usr/lib"),
        volume("/lib64", "/usr/lib64"),
    ];
    let path = r#"{"name":"PATH","value":"/bin"}"#;
    let script = SCRIPT.replace('"', r#"\""#);
    master.run(&format!(
        r#""task_id":{{"value":"t"}},"limits":{{"cpus":{{"value":1.0}},"mem":{{"value":64.0}}}},
           "command":{{"value":"{script}","environment":{{"variables":[{path}]}}}},
           "container":{{"type":"MESOS","volumes":[{}]}}"#,
        volumes.join(",")
    ));
    let messages = [master.update(), master.update(), master.update()];
    let read = |file: &str| {
        let path = format!("/frameworks/m-0000/executors/t/runs/latest/{file}");
        agent.get(&format!("/files/read?path={path}&offset=0"))
    };
    let (output, errors) = (read("stdout"), read("stderr"));
    // 64 MB and the 32 MB of the executor that the task is reported with, whose 0.1 cpus are no processor.
    let expected = r#"{"data":"98304\n1\n1\n1\n0\n1\n","offset":0}"#;
    assert!(
        output.ends_with(expected),
        "{output}\n{errors}\n{:?}",
        messages.map(|status| status.message)
    );
    assert_eq!(agent.stop(), Some(0));
}
