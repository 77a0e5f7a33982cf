//! Tepui: the operator's command. Runs tasks on a cluster and shows what is there.
//!
//! `args` is the command line, `client` the way to masters and agents; one module a subcommand.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

mod anew;
mod args;
mod aside;
mod client;
mod cp;
mod ending;
mod exec;
mod explain;
mod follow;
mod key;
mod kill;
mod label;
mod locate;
mod logs;
mod need;
mod nodes;
mod output;
mod pod;
mod run;
mod spec;
mod stops;
mod table;
mod tasks;
mod terminal;
mod top;
mod upgrade;
mod version;

use args::{Cli, Command, PodCommand};

/// The exit code of everything but `tepui run`, `tepui pod run` and `tepui exec` when it was not done.
const NOT_DONE: u8 = 1;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let failed = match cli.command {
        Command::Run(_) | Command::Exec(_) | Command::Pod(_) => ending::NO_TASK,
        _ => NOT_DONE,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, failed),
    };
    let done = runtime.block_on(execute(cli));
    // A blocked write to a pipe must not hold the exit up.
    runtime.shutdown_background();
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(error.as_ref(), failed),
    }
}

async fn execute(cli: Cli) -> Result<u8, Box<dyn std::error::Error>> {
    // For which nobody has to be found.
    if let Command::Key(args) = &cli.command {
        return key::show(args).map_err(Into::into);
    }
    let located = locate::locate(cli.master)?;
    let master = &located.master;
    let done: Result<u8, Box<dyn std::error::Error>> = match &cli.command {
        Command::Run(args) => run::run(args, master).await.map_err(Into::into),
        Command::Pod(PodCommand::Run(args)) => pod::run(args, master).await.map_err(Into::into),
        Command::Nodes(args) => nodes::list(args, master).await.map_err(Into::into),
        Command::Tasks(args) => tasks::list(args, master).await.map_err(Into::into),
        Command::Logs(args) => logs::print(args, master).await.map_err(Into::into),
        Command::Top(args) => top::show(args, master).await.map_err(Into::into),
        Command::Cp(args) => cp::copy(args, master).await.map_err(Into::into),
        Command::Exec(args) => exec::exec(args, master).await.map_err(Into::into),
        Command::Explain(args) => explain::explain(args, master).await.map_err(Into::into),
        Command::Kill(args) => kill::kill(args, master).await.map_err(Into::into),
        Command::Upgrade(args) => upgrade::upgrade(args, master).await.map_err(Into::into),
        Command::Key(args) => key::show(args).map_err(Into::into),
        Command::Version(args) => version::print(args, master).await.map_err(Into::into),
    };
    if let (Err(error), Some(file)) = (&done, &located.file)
        && is_unreachable(error.as_ref())
    {
        note(&format!(
            "the master {master} was named by {}; is the cluster up? (./qemu/status)",
            file.display()
        ));
    }
    done
}

fn fail(error: &dyn std::error::Error, code: u8) -> ExitCode {
    eprintln!("error: {}", plain(&chain(error)));
    ExitCode::from(code)
}

/// Whether nobody was there: a connection was not made, as the cause at the end of the chain says.
fn is_unreachable(error: &dyn std::error::Error) -> bool {
    let mut causes = std::iter::successors(error.source(), |error| error.source());
    causes.any(|cause| cause.is::<std::io::Error>())
}

/// An error and its causes, on one line; a cause that only repeats the line is left out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

/// A line for the person at the terminal, beside the output.
fn note(text: &str) {
    eprintln!("tepui: {}", plain(text));
}

/// A text without what would move a terminal's cursor: part of it may be somebody else's.
fn plain(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(clean).collect()
}

/// Writes to standard output; a reader that went away is no error of this program.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
