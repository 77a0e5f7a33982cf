//! Archives really unpacked on this host, by confined children: layers as they should be, and hostile
//! ones that must not get out of their folder, nor past their bounds.
//!
//! The unpacker is this very program, run again; hence no standard test harness. It takes root to give
//! files the ids of the store: for others the tests are left out and say so.

mod appc;
mod archive;
mod fetching;
mod files;
mod hostile;
mod layers;
mod server;
mod world;

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use world::World;

type Outcome = Result<(), Box<dyn Error>>;
type Test = fn(&World) -> Outcome;

macro_rules! tests {
    ($($test:path,)+) => { &[$((stringify!($test), $test)),+] };
}

const TESTS: &[(&str, Test)] = tests![
    layers::owners_modes_times_and_links_are_kept,
    layers::whiteouts_become_those_of_overlayfs,
    layers::every_compression_gives_the_same_files_and_digest,
    layers::later_entries_win_and_what_is_brought_is_not_taken_away,
    layers::sparse_files_have_their_content,
    layers::an_aci_keeps_its_names_and_has_its_own_digest,
    layers::a_pipe_that_is_not_written_any_more_is_a_cut_archive,
    layers::a_stream_that_never_ends_is_given_up,
    files::what_a_task_fetches_is_its_own_and_loses_set_user_id,
    files::zip_archives_become_files_and_links,
    files::a_link_of_the_sandbox_leads_nowhere_else,
    fetching::files_of_a_server_and_of_the_node_come_as_the_tasks_own,
    fetching::what_several_tasks_want_is_loaded_once,
    fetching::what_cannot_be_fetched_is_told_in_words,
    appc::an_image_lies_on_those_that_it_depends_on,
    appc::an_image_is_found_on_a_server_by_simple_discovery,
    appc::an_image_that_is_not_what_it_should_be_leaves_nothing,
    hostile::forty_hostile_archives_stay_inside_and_in_their_bounds,
    hostile::the_unpacker_has_no_network_and_no_files_but_its_folder,
];

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(agent::unpack::ROLE) => return agent::unpack::enter(),
        Some(agent::fetch::ROLE) => return agent::fetch::enter(),
        Some(hostile::ROLE) => return hostile::enter(),
        _ => {}
    }
    let Some(world) = World::new() else {
        return ExitCode::SUCCESS;
    };
    let wanted = std::env::args().skip(1).find(|name| !name.starts_with('-'));
    let mut failed = 0;
    let mut passed = 0;
    for (name, test) in TESTS {
        if wanted.as_ref().is_some_and(|wanted| !name.contains(wanted)) {
            continue;
        }
        let start = Instant::now();
        match test(&world) {
            Ok(()) => {
                println!("test {name} ... ok ({:.2?})", start.elapsed());
                passed += 1;
            }
            Err(error) => {
                println!("test {name} ... FAILED\n    {error}");
                failed += 1;
            }
        }
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {result}. {passed} passed; {failed} failed; 0 ignored");
    ExitCode::from(u8::from(failed > 0))
}
