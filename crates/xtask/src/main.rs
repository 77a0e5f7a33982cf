//! Tools of the repository, run as `cargo xtask NAME`: what a check, a generator or a measurement
//! needs is written in Rust, beside what it looks after.
//!
//! One module a subcommand, each with `Args` and `run`.

use std::process::ExitCode;

use clap::Parser;

mod attack;
mod bench;
mod builds;
mod chaos;
mod check;
mod codegen;
mod daemon;
mod fleet;
mod hostile;
mod image;
mod lab;
mod measure;
mod release;
mod replay;
mod repro;
mod sim;
mod witness;

/// Tools of this repository.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
enum Tool {
    /// Tries from inside containers of a booted node what must not work there.
    Attack(attack::Args),
    /// Benchmarks beside other programs, each with its budget.
    Bench(bench::Args),
    /// Lets things go wrong around a framework at work.
    Chaos(chaos::Args),
    /// Format, lints, dependencies, import arrows, tidiness; ends with the number passed and failed.
    Check(check::Args),
    /// Writes crates/api/src/generated from the .proto files.
    Codegen(codegen::Args),
    /// Hostile requests against a master that has work to do.
    Hostile(hostile::Args),
    /// Thousands of simulated agents that join a master.
    Fleet(fleet::Args),
    /// Makes the boot image: Debian's kernel, and an initramfs around the agent.
    Image(image::Args),
    /// Takes figures of the whole system, by doing it.
    Measure(measure::Args),
    /// Runs recorded exchanges against a master, and compares what it answers.
    Replay(replay::Args),
    /// Makes the image twice, in two folders, and compares hashes.
    Repro(repro::Args),
    /// Runs the simulated world over many seeds, or repeats one with its trace.
    Sim(sim::Args),
}

fn main() -> ExitCode {
    let done = match Tool::parse() {
        Tool::Attack(args) => attack::run(&args),
        Tool::Bench(args) => bench::run(&args),
        Tool::Chaos(args) => chaos::run(&args),
        Tool::Check(args) => check::run(&args),
        Tool::Codegen(args) => codegen::run(&args),
        Tool::Hostile(args) => hostile::run(&args),
        Tool::Fleet(args) => fleet::run(&args),
        Tool::Image(args) => image::run(&args),
        Tool::Measure(args) => measure::run(&args),
        Tool::Replay(args) => replay::run(&args),
        Tool::Repro(args) => repro::run(&args),
        Tool::Sim(args) => sim::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
