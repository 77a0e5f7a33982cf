//! Containers really started on this host: what a task sees, what it cannot do, and how it ends.
//!
//! The launcher is this very program, run again as `launch`; hence no standard test harness. Where
//! the host gives no root, no static busybox or no mounts, the tests are left out and say so.

mod boot;
mod clocks;
mod devices;
mod disk;
mod failure;
mod filters;
mod isolation;
mod lacks;
mod life;
mod limits;
mod nested;
mod networks;
mod procview;
mod streams;
mod volumes;
mod world;

use std::error::Error;
use std::time::Instant;

use agent_kernel::launch;

use world::World;

type Outcome = Result<(), Box<dyn Error>>;
type Test = fn(&World) -> Outcome;

macro_rules! tests {
    ($($test:path,)+) => { &[$((stringify!($test), $test)),+] };
}

const TESTS: &[(&str, Test)] = tests![
    life::exit_codes_arrive_exactly,
    life::death_by_a_signal_is_told_from_exit,
    isolation::a_volume_keeps_files_and_their_owners_for_containers_of_any_ids,
    isolation::every_namespace_is_the_containers_own,
    isolation::there_are_no_capabilities_in_any_set,
    isolation::the_root_is_read_only_and_the_sandbox_is_not,
    isolation::a_user_of_the_container_owns_its_sandbox,
    isolation::only_its_own_processes_are_visible,
    isolation::no_descriptor_of_the_agent_leaks,
    isolation::the_keys_of_the_agents_session_are_out_of_reach,
    isolation::the_nodes_files_are_out_of_reach,
    isolation::devices_work_and_none_can_be_made,
    isolation::message_queues_are_the_containers_own,
    isolation::inotify_is_bounded_for_each_user_of_the_container,
    life::signals_are_as_a_program_expects_them,
    life::sigterm_reaches_every_process,
    life::orphans_are_reaped_inside,
    life::what_is_left_over_ends_with_the_task,
    life::a_killed_container_is_seen_as_killed,
    failure::a_program_that_is_not_there_is_named,
    failure::the_step_that_went_wrong_is_named,
    failure::output_is_appended_and_links_are_refused,
    isolation::a_nested_user_namespace_gains_nothing,
    clocks::the_clocks_of_a_container_begin_with_it,
    clocks::what_is_nested_counts_by_the_clocks_of_what_it_is_in,
    clocks::a_view_and_the_clocks_agree,
    clocks::nobody_sets_the_clocks_of_a_container,
    devices::a_device_file_is_dead_without_a_rule_and_does_what_its_rule_says,
    devices::devices_lie_in_directories_and_have_the_permissions_of_their_rules,
    devices::a_nested_container_has_no_device_that_its_parent_has_not,
    filters::refused_calls_are_errors_and_others_are_made,
    filters::a_filter_within_another_allows_what_both_do,
    filters::a_call_that_kills_ends_the_task_by_sigsys,
    filters::the_init_of_a_container_has_a_filter_of_its_own,
    filters::a_debugging_process_has_a_filter_too,
    filters::what_no_rule_allows_cannot_be_done_whatever_the_mounts_say,
    filters::mounts_are_changed_only_without_rules_for_files,
    filters::a_debugging_process_looks_into_what_it_is_beside,
    filters::abstract_sockets_of_the_node_are_out_of_reach,
    lacks::a_capability_that_was_lacking_is_told_by_name,
    lacks::a_call_that_a_filter_stopped_is_told_by_name,
    filters::a_container_that_gets_less_than_the_minimum_is_not_started,
    life::many_threads_may_launch_at_once,
    life::a_launch_changes_nothing_of_the_agent_itself,
    failure::the_launcher_by_hand_explains_itself,
    nested::containers_of_a_pod_share_what_pods_share_and_nothing_else,
    nested::the_end_of_a_nested_container_is_told_exactly_and_touches_no_other,
    nested::containers_of_a_pod_end_with_it,
    nested::containers_nest_in_nested_ones,
    nested::a_debugging_process_sees_what_its_container_sees,
    nested::a_nested_container_of_its_parents_root_has_mounts_of_its_own,
    nested::a_network_of_its_own_has_a_loopback_device_that_is_up,
    nested::a_socket_is_made_in_the_network_of_a_container,
    networks::a_ready_network_works_and_cannot_be_changed_from_inside,
    networks::a_ready_network_is_no_other_containers,
    networks::a_plan_for_a_ready_network_wants_one,
    networks::a_mapped_port_leads_to_its_container_until_it_ends,
    networks::neighbours_reach_each_other_by_mapped_ports_or_where_they_may,
    networks::a_container_sends_from_its_own_address_alone,
    networks::only_ports_of_ones_own_are_bound_by_number,
    networks::ports_that_come_and_go_are_bound_by_what_runs_and_what_is_nested,
    networks::only_tcp_ports_of_ones_own_are_bound_by_landlock,
    networks::what_a_container_sends_and_receives_is_bounded,
    nested::limits_of_nested_containers_are_their_own,
    nested::nothing_of_the_agent_is_left_in_a_joined_container,
    streams::pipes_carry_input_and_both_outputs_apart,
    streams::a_terminal_has_a_size_sends_signals_and_hangs_up,
    streams::a_debugging_process_has_a_terminal_of_its_container,
    streams::a_container_without_traces_has_no_sandbox,
    volumes::layers_of_an_image_are_a_root_that_can_be_written_to,
    volumes::an_image_may_have_as_many_layers_as_registries_take,
    volumes::a_layer_that_is_not_there_is_named,
    volumes::a_host_path_has_its_owners_inside_and_no_link_leads_elsewhere,
    volumes::a_host_path_shows_what_is_mounted_beneath_it_only_where_it_is_asked_to,
    volumes::a_part_of_a_sandbox_is_shared_and_no_link_in_it_is_followed,
    volumes::a_secret_is_a_file_for_the_user_alone,
    volumes::an_image_is_a_volume_too,
    volumes::what_a_root_of_layers_forbids,
    procview::a_container_sees_its_own_limits_and_those_of_no_other,
    procview::what_is_nested_sees_its_own_limits_or_those_that_it_shares,
    procview::a_view_can_be_read_and_nothing_else,
    procview::a_view_goes_through_pipes,
    procview::a_reader_sees_one_text_however_many_calls_it_takes,
    procview::a_task_that_reads_in_a_loop_waits_itself,
    procview::tasks_outlive_the_connection_and_the_next_one_serves_them,
    procview::a_launch_goes_on_without_a_view_and_says_so,
    disk::a_sandbox_takes_what_it_may_and_the_agent_goes_on_writing,
    disk::a_root_of_layers_takes_what_it_may,
    disk::a_task_cannot_leave_its_project,
    limits::limits_of_a_task_bind_it_and_not_its_init,
    limits::an_init_keeps_next_to_no_memory,
    limits::the_report_tells_what_is_enforced_and_what_is_not,
    limits::memory_past_the_limit_ends_the_whole_container,
    limits::no_more_processes_than_allowed,
    limits::a_container_reads_its_own_limits_and_cannot_change_them,
    limits::processor_time_is_shared_by_weight,
    limits::processors_are_a_containers_own_and_change_while_it_runs,
    limits::memory_is_kept_from_others_and_its_use_slowed_down,
    limits::huge_pages_are_for_those_who_may_have_them,
    limits::files_in_memory_are_bounded_in_number,
    limits::writes_to_a_disk_are_no_faster_than_allowed,
    limits::waiting_for_memory_shows_as_pressure,
];

fn main() {
    if std::env::args().nth(1).as_deref() == Some("launch") {
        launch::enter();
    }
    if std::env::args().nth(1).as_deref() == Some(disk::ATTACK) {
        disk::attack();
    }
    if let [_, probe, name] = std::env::args().collect::<Vec<_>>().as_slice()
        && probe == "probe"
    {
        return match name.as_str() {
            "huge_pages" => limits::take_huge_pages(),
            socket => filters::probe(socket),
        };
    }
    if boot::is_init() {
        match boot::prepare() {
            Ok(()) => drop(run(boot::filter().as_deref())),
            Err(error) => println!("{error}: {:?}", error.source()),
        }
        boot::off();
    }
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    std::process::exit(i32::from(run(filter.as_deref()) > 0));
}

/// Runs the tests whose names hold the filter; how many failed.
fn run(filter: Option<&str>) -> usize {
    let world = match World::new() {
        Ok(world) => world,
        Err(reason) => {
            println!("launch tests left out: {reason}");
            return 0;
        }
    };
    let chosen = TESTS
        .iter()
        .filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter)));
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in chosen {
        let start = Instant::now();
        match test(&world) {
            Ok(()) => {
                passed += 1;
                println!("test {name} ... ok ({} ms)", start.elapsed().as_millis());
            }
            Err(error) => {
                failed += 1;
                println!("test {name} ... FAILED: {error}");
            }
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored");
    failed
}
