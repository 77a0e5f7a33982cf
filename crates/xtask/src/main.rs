//! Tools of the repository, run as `cargo xtask NAME`: what a check, a generator or a measurement
//! needs is written in Rust, beside what it looks after.
//!
//! One module a subcommand, each with `Args` and `run`.

use std::process::ExitCode;

use clap::Parser;

mod check;
mod codegen;

/// Tools of this repository.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
enum Tool {
    /// Format, lints, dependencies, import arrows, tidiness; ends with the number passed and failed.
    Check(check::Args),
    /// Writes crates/api/src/generated from the .proto files.
    Codegen {
        /// Only compares the committed files with what would be written.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let done = match Tool::parse() {
        Tool::Check(args) => check::run(&args),
        Tool::Codegen { check } => codegen::run(check),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
