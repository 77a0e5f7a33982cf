//! Real nodes: what only a booted kernel can show, and the whole from power-on to finished task.
//!
//! The cases run one after the other on one cluster of two nodes in QEMU, in the order written,
//! since the last ones take nodes away. They need QEMU and the built image, so plain `cargo test`
//! skips them; `./tests/run vm` builds what they need and runs them.

mod cases;
mod clients;
mod cluster;
mod disk;
mod failures;
mod images;
mod masters;
mod pid_1;
mod registry;
mod upgrades;
mod xfs;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument == "--ignored") {
        println!(
            "{} tests need QEMU and an image: ./tests/run vm",
            cases::all().count()
        );
        println!("0 passed, 0 failed");
        return ExitCode::SUCCESS;
    }
    // Whoever works on some cases names words of theirs.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let is_wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let wants_images = images::ALL.iter().any(|(name, _)| is_wanted(name));
    let registry = match wants_images {
        true => registry::Registry::start(&root).map(Some),
        false => Ok(None),
    };
    let started = registry.and_then(|registry| cluster::Lab::start("6.12", 2, 5959, registry));
    let mut lab = match started {
        Ok(lab) => lab,
        Err(error) => {
            println!("test a_cluster_of_two_nodes_comes_up ... FAILED\n{error:?}");
            println!("0 passed, 1 failed");
            return ExitCode::FAILURE;
        }
    };
    let (mut passed, mut failed) = (1, 0);
    println!("test a_cluster_of_two_nodes_comes_up ... ok");
    for (name, case) in cases::all().filter(|(name, _)| is_wanted(name)) {
        let begun = Instant::now();
        let done = case(&mut lab);
        let seconds = begun.elapsed().as_secs_f64();
        match done {
            Ok(()) => {
                passed += 1;
                println!("test {name} ... ok ({seconds:.1} s)");
            }
            Err(error) => {
                failed += 1;
                println!("test {name} ... FAILED ({seconds:.1} s)\n{error:?}");
                lab.show_logs();
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
