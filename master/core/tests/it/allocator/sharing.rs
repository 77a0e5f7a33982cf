//! Fair shares, reservations, filters and capabilities.

use super::check;

#[test]
fn whoever_has_the_least_share_comes_first() {
    // UnreservedDRF
    check(
        "unreserved",
        "agent s1 cpus:2;mem:1024
         framework f1 a
         run
         = f1 s1 a cpus:2;mem:1024
         framework f2 b
         agent s2 cpus:1;mem:512
         run
         = f2 s2 b cpus:1;mem:512
         agent s3 cpus:3;mem:2048
         run
         = f2 s3 b cpus:3;mem:2048
         framework f3 a
         agent s4 cpus:4;mem:4096
         run
         = f3 s4 a cpus:4;mem:4096",
    );
    // ReservedDRF: what is reserved counts for the share.
    check(
        "reserved",
        "framework f1 a
         framework f2 b
         agent s1 cpus(a):8;mem(a):1024
         run
         = f1 s1 a cpus(a):8;mem(a):1024
         agent s2 cpus:2;mem:512
         run
         = f2 s2 b cpus:2;mem:512",
    );
    // DRFWithFairnessExclusion: gpus do not count here.
    check(
        "excluded",
        "framework f1 a gpus
         agent s1 cpus:1;mem:100;gpus:8
         run
         = f1 s1 a cpus:1;gpus:8;mem:100
         framework f2 b gpus
         agent s2 cpus:2;mem:200
         run
         = f2 s2 b cpus:2;mem:200
         agent s3 cpus:1;mem:100
         run
         = f1 s3 a cpus:1;mem:100",
    );
    // NestedRoleDRF: the siblings of a/b and a/c share with b as one.
    check(
        "nested",
        "framework f1 a/b
         agent s1 cpus:1;mem:512
         run
         = f1 s1 a/b cpus:1;mem:512
         framework f2 a/c
         framework f3 b
         agent s2 cpus:1;mem:512
         run
         = f3 s2 b cpus:1;mem:512
         agent s3 cpus:1;mem:512
         run
         = f2 s3 a/c cpus:1;mem:512
         agent s4 cpus:1;mem:512
         run
         = f3 s4 b cpus:1;mem:512",
    );
    // UpdateWeight: two thirds for the one that weighs twice as much.
    check(
        "weight",
        "weight b 2
         framework f1 a
         framework f2 b
         agent s1 cpus:1;mem:512
         run
         = f1 s1 a cpus:1;mem:512
         agent s2 cpus:1;mem:512
         run
         = f2 s2 b cpus:1;mem:512
         agent s3 cpus:1;mem:512
         run
         = f2 s3 b cpus:1;mem:512
         agent s4 cpus:1;mem:512
         run
         = f1 s4 a cpus:1;mem:512",
    );
}

#[test]
fn frameworks_of_one_role_take_turns() {
    // SameShareFairness: with equal shares the one with fewer allocations comes first.
    check(
        "same share",
        "framework f1 a
         framework f2 a
         agent s1 cpus:2;mem:1024
         run
         = f1 s1 a cpus:2;mem:1024
         recover f1 s1
         run
         = f2 s1 a cpus:2;mem:1024
         recover f2 s1
         run
         = f1 s1 a cpus:2;mem:1024",
    );
}

#[test]
fn an_agent_goes_out_whole() {
    // CoarseGrained, RecoverResources
    check(
        "whole",
        "agent s1 cpus:2;mem:1024
         agent s2 cpus(a):1;cpus:1;mem:1024
         framework f1 a
         run
         = f1 s1 a cpus:2;mem:1024 + f1 s2 a cpus(a):1;cpus:1;mem:1024
         framework f2 a
         run
         =
         give-back f1 s2 a cpus(a):1;mem:512
         suppress f1
         run
         = f2 s2 a cpus(a):1;mem:512
         recover f2 s2
         run
         = f2 s2 a cpus(a):1;mem:512",
    );
}

#[test]
fn reservations_are_for_their_role_and_those_beneath() {
    // Reservations, OfferAncestorReservationsToDescendantChild
    check(
        "reservations",
        "framework f1 a
         framework f2 a/b refined
         framework f3 c
         agent s1 cpus(a):4;mem(a):512
         deactivate f1
         run
         = f2 s1 a/b cpus(a):4;mem(a):512
         agent s2 cpus(a/b):1;mem(a/b):64
         recover f2 s1
         deactivate f2
         activate f1
         run
         = f1 s1 a cpus(a):4;mem(a):512",
    );
    // What is reserved for another is left, and goes to that one in the same run.
    check(
        "left",
        "framework f1 a
         framework f2 b
         agent s1 cpus:2;cpus(b):1;mem:512
         hold f2 s1 b cpus(b):1
         run
         = f1 s1 a cpus:2;mem:512
         give-back f2 s1 b cpus(b):1
         run
         = f2 s1 b cpus(b):1",
    );
}

#[test]
fn a_filter_holds_for_its_role_agent_and_amount_until_its_time() {
    // OfferFilter
    check(
        "filter",
        "framework f1 a,b
         suppress f1 b
         agent s1 cpus:2;mem:1024
         run
         = f1 s1 a cpus:2;mem:1024
         decline f1 s1 5
         run
         =
         revive f1 b
         run
         = f1 s1 b cpus:2;mem:1024
         recover f1 s1
         suppress f1 b
         wait 4.9
         run
         =
         wait 0.2
         run
         = f1 s1 a cpus:2;mem:1024",
    );
    // A filter stands against less, not against more (6.5).
    check(
        "subset",
        "framework f1 a
         agent s1 cpus:2;mem:1024
         hold f2 s1 c cpus:1;mem:512
         run
         = f1 s1 a cpus:1;mem:512
         decline f1 s1 1000
         run
         =
         give-back f2 s1 c cpus:1
         run
         = f1 s1 a cpus:2;mem:512",
    );
    // SmallOfferFilterTimeout: never over before the next batch.
    check(
        "small",
        "framework f1 a
         agent s1 cpus:2;mem:1024
         run
         = f1 s1 a cpus:2;mem:1024
         decline f1 s1 0
         run
         =
         wait 1
         run
         = f1 s1 a cpus:2;mem:1024",
    );
    // DeactivateAndReactivateFramework: its filters are gone, what it suppressed is not.
    check(
        "reactivated",
        "framework f1 a,b
         suppress f1 b
         agent s1 cpus:2;mem:1024
         run
         = f1 s1 a cpus:2;mem:1024
         decline f1 s1 1000
         deactivate f1
         run
         =
         activate f1
         run
         = f1 s1 a cpus:2;mem:1024",
    );
}

#[test]
fn suppressed_roles_get_nothing_until_they_are_revived() {
    // SuppressAndReviveOffers, SuppressAndReviveOffersWithMultiRole
    check(
        "suppressed",
        "framework f1 a,b suppressed=a
         agent s1 cpus:2;mem:1024
         run
         = f1 s1 b cpus:2;mem:1024
         recover f1 s1
         suppress f1
         run
         =
         revive f1 a
         run
         = f1 s1 a cpus:2;mem:1024",
    );
}

#[test]
fn what_is_too_little_or_cannot_be_used_is_not_offered() {
    // Allocatable
    check(
        "allocatable",
        "framework f1 a
         agent s1 cpus:0.009;mem:31
         agent s2 cpus:0.01;mem:1
         agent s3 cpus:0.001;mem:32
         run
         = f1 s2 a cpus:0.01;mem:1 + f1 s3 a cpus:0.001;mem:32",
    );
    // FrameworkMinAllocatable
    check(
        "own minimum",
        "framework f1 a min=cpus:2
         framework f2 b
         agent s1 cpus:1;mem:512
         run
         = f2 s1 b cpus:1;mem:512
         agent s2 cpus:2;mem:512
         run
         = f1 s2 a cpus:2;mem:512",
    );
    // FrameworkEmptyMinAllocatable
    check(
        "no minimum",
        "framework f1 a min=none
         agent s1 cpus:0.001;mem:1
         run
         = f1 s1 a cpus:0.001;mem:1",
    );
    // Agents with GPUs are for those who ask for them, even when the GPUs are in use.
    check(
        "gpus",
        "framework f1 a
         agent s1 cpus:1;mem:64;gpus:1
         run
         =
         framework f2 b gpus
         run
         = f2 s1 b cpus:1;gpus:1;mem:64",
    );
    // OversubscribedNotAllocated, RecoverOversubscribedResources
    check(
        "revocable",
        "framework f1 a
         agent s1 cpus:2;mem:64;revocable:cpus:4
         run
         = f1 s1 a cpus:2;mem:64
         framework f2 b revocable
         run
         = f2 s1 b cpus{REV}:4
         recover f2 s1
         run
         = f2 s1 b cpus{REV}:4",
    );
}

#[test]
fn agents_of_another_region_are_for_those_who_know_of_regions() {
    // The master is in eu; who has no domain counts as there.
    check(
        "regions",
        "framework f1 a
         framework f2 b regions
         agent s1 cpus:1;mem:64
         region s1 eu
         run
         = f1 s1 a cpus:1;mem:64
         agent s2 cpus:1;mem:64
         region s2 us
         run
         = f2 s2 b cpus:1;mem:64
         decline f2 s2 1
         run
         =
         agent s3 cpus:1;mem:64
         run
         = f2 s3 b cpus:1;mem:64
         recover f1 s1
         recover f2 s3
         suppress f2
         deactivate-agent s3
         run
         = f1 s1 a cpus:1;mem:64
         framework f1 a regions
         wait 2
         run
         = f1 s2 a cpus:1;mem:64",
    );
    // Guarantees do not reach further than their frameworks do.
    check(
        "guarantee",
        "quota a cpus:1;mem:64 -
         framework f1 a
         framework f2 b regions
         agent s1 cpus:1;mem:64
         region s1 us
         agent s2 cpus:2;mem:128
         region s2 eu
         run
         = f1 s2 a cpus:2;mem:128 + f2 s1 b cpus:1;mem:64",
    );
}

#[test]
fn what_a_gone_agent_or_framework_held_weighs_no_more() {
    // RemoveSlaveRecoverResources
    check(
        "agent",
        "framework f1 a
         agent s1 cpus:4;mem:1024
         run
         = f1 s1 a cpus:4;mem:1024
         remove-agent s1
         framework f2 b
         agent s2 cpus:1;mem:64
         run
         = f2 s2 b cpus:1;mem:64
         agent s3 cpus:1;mem:64
         run
         = f1 s3 a cpus:1;mem:64",
    );
    // A framework may hold something in a role that it left, until that is recovered (6.5).
    check(
        "left role",
        "framework f1 a
         agent s1 cpus:4;mem:1024
         run
         = f1 s1 a cpus:4;mem:1024
         framework f1 b
         run
         =
         recover f1 s1
         run
         = f1 s1 b cpus:4;mem:1024",
    );
    // An agent whose framework is not there yet (NoDoubleAccounting, AddAgentWithUnknownFramework).
    check(
        "unknown",
        "agent s1 cpus:4;mem:1024
         hold f1 s1 a cpus:3;mem:512
         framework f2 b
         run
         = f2 s1 b cpus:1;mem:512
         framework f1 a
         recover f1 s1
         run
         = f1 s1 a cpus:3;mem:512",
    );
    // An agent may have more in use than it has: nothing of it is offered until that fits again.
    check(
        "overcommitted",
        "framework f1 a
         agent s1 cpus:4;mem:1024
         hold f2 s1 b cpus:3;mem:512
         agent s1 cpus:2;mem:1024
         run
         =
         recover f2 s1
         run
         = f1 s1 a cpus:2;mem:1024",
    );
}

#[test]
fn an_inactive_agent_is_not_offered() {
    check(
        "inactive",
        "framework f1 a
         agent s1 cpus:4;mem:1024
         deactivate-agent s1
         run
         =
         activate-agent s1
         run
         = f1 s1 a cpus:4;mem:1024",
    );
}

#[test]
fn an_agent_that_has_more_or_less_is_offered_as_it_is_now() {
    // UpdateSlaveTotalResources
    check(
        "total",
        "framework f1 a
         agent s1 cpus:4;mem:1024
         run
         = f1 s1 a cpus:4;mem:1024
         agent s1 cpus:6;mem:1024
         run
         = f1 s1 a cpus:2
         recover f1 s1
         agent s1 cpus:1;mem:512
         run
         = f1 s1 a cpus:1;mem:512",
    );
    // UpdateSlaveOversubscribedResources: less than is held of what may be taken back is no fault.
    check(
        "oversubscribed",
        "framework f1 a revocable
         agent s1 cpus:2;mem:64;revocable:cpus:4
         run
         = f1 s1 a cpus:2;cpus{REV}:4;mem:64
         agent s1 cpus:2;mem:64;revocable:cpus:1
         run
         =
         recover f1 s1
         run
         = f1 s1 a cpus:2;cpus{REV}:1;mem:64",
    );
}
