//! `tepui-agent`: a node's PID 1 and agent, an agent on an ordinary Linux host, and, as
//! `tepui-agent launch`, the first program of every container.

use std::any::Any;
use std::fmt;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use agent::again;
use agent::config::{self, Config, Request};
use agent::fetch;
use agent::handover::Handover;
use agent::init::{self, Ending, Machine, Node, chain, say};
use agent::logging;
use agent::node::{self, Exit};
use agent::unpack;
use agent::upgrade::check::{self, Given};
use agent_kernel::clock;
use agent_kernel::power::Wishes;
use agent_kernel::reexec::{self, IfNot, Past};

// musl's own allocator takes a lock for each call.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long a reason stays on the console before the power goes.
const READING_TIME: Duration = Duration::from_secs(5);
/// A crash so soon after the start would come again: the machine is not started a second time.
const CRASH_LOOP: Duration = Duration::from_secs(60);
/// As `getopt` programs exit that were called wrongly.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    if arguments.first().is_some_and(|first| first == "launch") {
        agent_kernel::launch::enter();
    }
    if arguments.first().is_some_and(|first| first == unpack::ROLE) {
        return unpack::enter();
    }
    if arguments.first().is_some_and(|first| first == fetch::ROLE) {
        return fetch::enter();
    }
    if arguments.first().is_some_and(|first| first == check::ROLE) {
        return check::enter();
    }
    // Before there is a second thread.
    let past = Past::take();
    if std::process::id() == 1 {
        pid1(&past)
    } else {
        host(&past)
    }
}

/// What is known of the machine, for whoever has to end it.
struct Known {
    machine: Machine,
    work_dir: PathBuf,
}

/// PID 1 never returns: the kernel would panic.
fn pid1(past: &Past) -> ! {
    say(format_args!(
        "pid 1 at {:.3} s{}",
        clock::since_boot().as_secs_f64(),
        match &past.cause {
            Some(cause) => format!(", executed again: {cause}"),
            None => String::new(),
        }
    ));
    again::on_panic();
    again::begin_trial(past, IfNot::Restarts);
    let mut known = Known {
        machine: Machine::Namespace,
        work_dir: PathBuf::from("/var/lib/mesos"),
    };
    // A panic comes here before the program can be executed again, and where that fails.
    let ended = panic::catch_unwind(AssertUnwindSafe(|| boot(past, &mut known)));
    let ending = match ended {
        Ok(Ok(Exit::Reboot)) => Ending::Restart,
        Ok(Ok(Exit::TooOften)) => {
            again::keep_reason(&known.work_dir, past);
            say("this program was executed again too often");
            after_reading(after_a_crash())
        }
        Ok(Ok(Exit::PowerOff | Exit::Stop(_))) => Ending::Off,
        Ok(Err(reason)) => {
            again::not_on_trial(&reason);
            for line in reason.lines() {
                say(line);
            }
            after_reading(Ending::Off)
        }
        Err(panic) => {
            drop::<Box<dyn Any + Send>>(panic);
            after_reading(after_a_crash())
        }
    };
    init::finish(ending, known.machine, &known.work_dir)
}

fn after_a_crash() -> Ending {
    match clock::since_boot() < CRASH_LOOP {
        true => Ending::Off,
        false => Ending::Restart,
    }
}

/// Gives whoever looks at the console the time to read why.
fn after_reading(ending: Ending) -> Ending {
    let what = match ending {
        Ending::Off => "off",
        Ending::Restart => "started again",
    };
    say(format_args!(
        "this node is {what} in {} s",
        READING_TIME.as_secs()
    ));
    thread::sleep(READING_TIME);
    ending
}

/// From the kernel's hands to the main loop, and through it. An error is the text for the console.
fn boot(past: &Past, known: &mut Known) -> Result<Exit, String> {
    // Before there is a second thread.
    let wishes = Wishes::take().map_err(|errno| format!("take signals: {errno}"))?;
    let (machine, missing) = init::early(past).map_err(|error| chain(&error))?;
    known.machine = machine;
    let config = settings(machine)?;
    known.work_dir.clone_from(&config.work_dir);
    if again::lately(past) > again::ATTEMPTS_MAX {
        return Ok(Exit::TooOften);
    }
    if let Err(errno) = reexec::prepare(past, IfNot::Restarts) {
        say(format_args!(
            "this program cannot be executed again: {errno}"
        ));
    }
    logging::start(config.logging_level, machine);
    let handover = Handover::take(past);
    again::bound_trial(&config.recovery, &handover);
    for missing in missing {
        tracing::warn!(missing, "early mounts");
    }
    let node = init::run(&config, machine, wishes, past).map_err(|error| chain(&error))?;
    Ok(run(config, node, handover))
}

/// A machine has its kernel's command line, a namespace its arguments.
fn settings(machine: Machine) -> Result<Config, String> {
    let given = Given::take(machine).map_err(|error| format!("read /proc/cmdline: {error}"))?;
    match config::parse(given.input()).map_err(|faults| faults.to_string())? {
        Request::Run(config) => Ok(*config),
        Request::Help => Err(config::help()),
        Request::Version => Err(env!("CARGO_PKG_VERSION").to_owned()),
    }
}

/// An agent among others' programs.
fn host(past: &Past) -> ExitCode {
    again::begin_trial(past, IfNot::Ends);
    let given = match Given::take(Machine::Host) {
        Ok(given) => given,
        Err(error) => {
            complain(&format_args!("take the settings: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let config = match config::parse(given.input()) {
        Ok(Request::Run(config)) => *config,
        Ok(Request::Help) => return print(&config::help()),
        Ok(Request::Version) => return print(concat!(env!("CARGO_PKG_VERSION"), "\n")),
        Err(faults) => {
            complain(&faults);
            complain(&"see tepui-agent --help");
            again::not_on_trial(&faults.to_string());
            return ExitCode::from(USAGE);
        }
    };
    // Before there is a second thread.
    let wishes = match Wishes::take() {
        Ok(wishes) => wishes,
        Err(errno) => {
            complain(&format_args!("take signals: {errno}"));
            return ExitCode::FAILURE;
        }
    };
    if again::lately(past) > again::ATTEMPTS_MAX {
        again::keep_reason(&config.work_dir, past);
        complain(&"executed again too often; the next start tells why");
        return ExitCode::FAILURE;
    }
    again::on_panic();
    if let Err(errno) = reexec::prepare(past, IfNot::Ends) {
        complain(&format_args!("cannot be executed again: {errno}"));
    }
    logging::start(config.logging_level, Machine::Host);
    let handover = Handover::take(past);
    again::bound_trial(&config.recovery, &handover);
    match init::on_host(&config, wishes, past) {
        Ok(node) => match run(config, node, handover) {
            Exit::Stop(code) => u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from),
            Exit::PowerOff | Exit::Reboot | Exit::TooOften => ExitCode::SUCCESS,
        },
        Err(error) => {
            complain(&chain(&error));
            again::not_on_trial(&chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config, node: Node, handover: Handover) -> Exit {
    init::main_loop_listens();
    node::run(config, node, handover)
}

/// Somebody who closes the pipe has read enough.
fn print(text: &str) -> ExitCode {
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Nobody can be told where standard error is gone.
fn complain(text: &dyn fmt::Display) {
    for line in text.to_string().lines() {
        let _ = writeln!(io::stderr(), "tepui-agent: {line}");
    }
}
