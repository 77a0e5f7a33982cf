//! Images, executors and services on real nodes, from a registry as others run it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::cases::{Case, node_of};
use crate::cluster::{Lab, finish};

/// Those of this file, in order.
pub(crate) const ALL: &[(&str, Case)] = &[
    ("an_image_is_pulled_from_a_registry_and_run", pulled),
    (
        "layers_with_everything_odd_are_one_root_under_the_tasks_ids",
        odd,
    ),
    ("an_image_that_is_not_there_is_named", absent),
    ("a_web_server_in_an_image_is_reached_from_the_host", web),
    ("a_redis_server_in_an_image_is_reached_from_the_host", redis),
    ("a_file_that_a_command_names_is_fetched", fetched),
    (
        "pymesos_executor_in_an_image_with_python_runs_unmodified",
        executor,
    ),
    (
        "a_pod_of_three_with_a_health_check_lives_and_dies_as_in_mesos",
        pod,
    ),
    ("exec_on_a_terminal_is_a_shell", shell),
];

/// How long a service may take from its launch to its first answer, its image pulled and unpacked by
/// software emulation.
const PATIENCE: Duration = Duration::from_secs(120);

fn run(lab: &Lab, image: &str, words: &[&str]) -> Result<Output> {
    let image = lab.image(image)?;
    let mut all = vec!["--image", &image];
    all.extend(words);
    lab.run(&all)
}

fn pulled(lab: &mut Lab) -> Result<()> {
    let script = "echo $IMAGE as $(id -u); touch /written && echo root takes files; exit 5";
    let output = run(lab, "busybox", &["--", script])?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(text == "busybox as 0\nroot takes files\n", "{output:?}");
    ensure!(output.status.code() == Some(5), "{output:?}");
    // What the first wrote is not there for the second.
    let output = run(lab, "busybox", &["--", "test ! -e /written"])?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

fn odd(lab: &mut Lab) -> Result<()> {
    let output = run(lab, "odd", &[])?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(text == "odd: ok by default\n", "{output:?}");
    Ok(())
}

fn absent(lab: &mut Lab) -> Result<()> {
    let output = run(lab, "no-such-image", &["--", "true"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "{output:?}");
    for wanted in ["TASK_FAILED", "no-such-image", "404"] {
        ensure!(said.contains(wanted), "{wanted}: {output:?}");
    }
    Ok(())
}

/// Starts a service and waits until it answers as wanted.
fn serves(lab: &Lab, words: &[&str], port: u16, ask: &[u8], wanted: &str) -> Result<()> {
    let name = format!("service-{port}");
    let port_text = port.to_string();
    let mut all = vec!["--name", &name, "--detach", "--port", &port_text];
    all.extend(words);
    let started = lab.run(&all)?;
    ensure!(started.status.success(), "{started:?}");
    let address = lab.node_port(node_of(lab, &name)?, port)?;
    let deadline = Instant::now() + PATIENCE;
    let mut seen = String::new();
    while !seen.contains(wanted) {
        ensure!(Instant::now() < deadline, "{address} answers {seen:?}");
        std::thread::sleep(Duration::from_millis(500));
        seen = answer(&address, ask).unwrap_or_else(|error| error.to_string());
    }
    let kill = finish(&mut lab.tepui(&["kill", &name]), Duration::from_secs(60))?;
    ensure!(kill.status.success(), "{kill:?}");
    Ok(())
}

/// What comes back until the other side has nothing more to say.
fn answer(address: &str, ask: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(ask)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn web(lab: &mut Lab) -> Result<()> {
    let image = lab.image("python")?;
    let script = "echo hello from a node > index.html; exec python3 -m http.server $PORT0";
    let words = ["--mem", "96", "--image", &image, "--", script];
    let ask = b"GET / HTTP/1.0\r\n\r\n";
    serves(lab, &words, 31080, ask, "hello from a node")
}

fn redis(lab: &mut Lab) -> Result<()> {
    let image = lab.image("redis")?;
    let script = "exec redis-server --save '' --protected-mode no --port $PORT0";
    let words = ["--mem", "64", "--image", &image, "--", script];
    let ask = b"SET mesa tepui\r\nGET mesa\r\nQUIT\r\n";
    serves(lab, &words, 31079, ask, "+OK\r\n$5\r\ntepui\r\n")
}

fn fetched(lab: &mut Lab) -> Result<()> {
    // Whatever answers on the host; the registry does.
    let address = lab.image("v2/busybox/tags/list")?;
    let uri = format!("http://{address}");
    let output = lab.run(&["--uri", &uri, "--", "cat list"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(text.contains("latest"), "{output:?}");
    Ok(())
}

/// Runs a client of `tests/compat` to its good end; its last line is shown.
fn client(lab: &Lab, name: &str, arguments: &[&str]) -> Result<()> {
    let python = lab.root().join("target/venv/bin/python");
    let mut command = Command::new(python);
    command
        .arg(lab.root().join("tests/compat").join(name))
        .args(["--master", &lab.master()])
        .args(arguments);
    let output = finish(&mut command, Duration::from_secs(400))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}{wrong}");
    println!("  {}", said.lines().last().unwrap_or_default());
    Ok(())
}

fn executor(lab: &mut Lab) -> Result<()> {
    let program = std::fs::read_to_string(lab.root().join("tests/compat/executor.py"))?;
    let image = lab.image("python")?;
    let arguments = [
        "--image",
        &image,
        "--executor",
        "exec python3 -c \"$PROGRAM\"",
        "--env",
        &format!("PROGRAM={program}"),
    ];
    client(lab, "executor_run.py", &arguments)
}

fn pod(lab: &mut Lab) -> Result<()> {
    let tepui = lab.program("tepui");
    let tepui = tepui.get_program().to_string_lossy().into_owned();
    client(lab, "pod_run.py", &["--only", "pod", "--tepui", &tepui])
}

fn shell(lab: &mut Lab) -> Result<()> {
    let name = "with-shell";
    let started = lab.run(&["--name", name, "--detach", "--", "sleep 1000"])?;
    ensure!(started.status.success(), "{started:?}");
    let script = lab.root().join("tests/compat/terminal_run.py");
    let tepui = lab.tepui(&["exec", "-it", name, "sh"]);
    let mut command = Command::new("python3");
    command.arg(script).arg(tepui.get_program());
    command.args(tepui.get_args());
    command.env("TEPUI_MASTER", lab.master());
    let output = finish(&mut command, Duration::from_secs(120))?;
    ensure!(output.status.success(), "{output:?}");
    let kill = finish(&mut lab.tepui(&["kill", name]), Duration::from_secs(60))?;
    ensure!(kill.status.success(), "{kill:?}");
    Ok(())
}
