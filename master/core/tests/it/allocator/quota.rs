//! Guarantees, limits and headroom.

use super::check;

#[test]
fn a_guarantee_comes_before_fair_shares() {
    // QuotaProvidesGuarantee, DRFWithQuota
    check(
        "guarantee",
        "quota q cpus:2;mem:1024 -
         framework f1 q
         framework f2 b
         agent s1 cpus:1;mem:512
         run
         = f1 s1 q cpus:1;mem:512
         agent s2 cpus:1;mem:512
         run
         = f1 s2 q cpus:1;mem:512
         agent s3 cpus:1;mem:512
         run
         = f2 s3 b cpus:1;mem:512",
    );
    // MultipleFrameworksInRoleWithQuota
    check(
        "two in one",
        "quota q cpus:2;mem:1024 -
         framework f1 q
         framework f2 q
         agent s1 cpus:1;mem:512
         run
         = f1 s1 q cpus:1;mem:512
         agent s2 cpus:1;mem:512
         run
         = f2 s2 q cpus:1;mem:512",
    );
    // RemoveQuota
    check(
        "removed",
        "quota q cpus:2;mem:1024 -
         framework f2 b
         agent s1 cpus:1;mem:512
         run
         =
         quota q - -
         run
         = f2 s1 b cpus:1;mem:512",
    );
}

#[test]
fn headroom_is_left_for_guarantees_whose_frameworks_are_not_there() {
    // QuotaAbsentFrameworkWholeAgent, MultiQuotaAbsentFrameworks
    check(
        "absent",
        "quota q cpus:2;mem:512 -
         framework f2 b
         agent s1 cpus:2;mem:512
         run
         =
         deactivate-agent s1
         agent s2 cpus:2;mem:512
         run
         = f2 s2 b cpus:2;mem:512
         activate-agent s1
         run
         =
         framework f1 q
         run
         = f1 s1 q cpus:2;mem:512",
    );
}

#[test]
fn a_limit_shrinks_an_offer() {
    // QuotaProvidesLimit, QuotaAllocationGranularity
    check(
        "limit",
        "quota q - cpus:1;mem:256
         framework f1 q
         agent s1 cpus:4;mem:1024
         run
         = f1 s1 q cpus:1;mem:256
         run
         =
         recover f1 s1
         run
         = f1 s1 q cpus:1;mem:256",
    );
    // QuotaRoleAllocateNonQuotaResource: what the limit does not name goes along.
    check(
        "unnamed",
        "quota q - cpus:1
         framework f1 q
         agent s1 cpus:4;mem:1024;ports:[1-10]
         run
         = f1 s1 q cpus:1;mem:1024;ports:[1-10]",
    );
    // A limit holds for all beneath (QuotaWithNestedRoleAllocation).
    check(
        "beneath",
        "quota q - cpus:3
         framework f1 q/a
         agent s1 cpus:2;mem:64
         run
         = f1 s1 q/a cpus:2;mem:64
         framework f2 q/b
         agent s2 cpus:2;mem:64
         run
         = f2 s2 q/b cpus:1;mem:64",
    );
}

#[test]
fn what_a_guarantee_does_not_take_of_an_agent_goes_to_others() {
    // QuotaAllocationGranularity
    check(
        "granularity",
        "quota q cpus:0.5;mem:200 cpus:0.5;mem:200
         framework f1 q
         agent s1 cpus:1;mem:512
         run
         = f1 s1 q cpus:0.5;mem:200
         framework f2 n
         run
         = f2 s1 n cpus:0.5;mem:312",
    );
    // QuotaAllocationGranularityUnchoppableResource
    check(
        "unchoppable",
        "quota q cpus:2;mem:2048;disk:150 cpus:2;mem:2048;disk:150
         framework f1 q
         agent s1 cpus:0.5;mem:512;mount:disk:100
         run
         = f1 s1 q cpus:0.5;disk[MOUNT:/mnt]:100;mem:512
         agent s2 cpus:0.5;mem:512;mount:disk:100
         run
         = f1 s2 q cpus:0.5;mem:512
         agent s3 cpus:2;mem:2048;disk:150
         run
         = f1 s3 q cpus:1;disk:50;mem:1024",
    );
    // QuotaAllocationMultipleDisk
    check(
        "several disks",
        "quota q cpus:1;mem:512;disk:100 cpus:1;mem:512;disk:100
         agent s1 cpus:1;mem:512;disk:50;mount:disk:50
         framework f1 q
         run
         = f1 s1 q cpus:1;disk:50;disk[MOUNT:/mnt]:50;mem:512",
    );
    // DisproportionateQuotaVsAllocation
    check(
        "disproportionate",
        "quota q cpus:4;mem:1024 cpus:4;mem:1024
         framework f1 q
         agent s1 cpus:2;mem:1024
         run
         = f1 s1 q cpus:2;mem:1024
         agent s2 cpus:2;mem:1024
         run
         = f1 s2 q cpus:2",
    );
    // QuotaHeadroomWithNestedRoleAllocation: what a role beneath holds is counted once.
    check(
        "nested",
        "framework f1 a/b
         agent s1 cpus:1;mem:100
         run
         = f1 s1 a/b cpus:1;mem:100
         framework f2 a
         agent s2 cpus:1;mem:100
         run
         = f2 s2 a cpus:1;mem:100
         quota q cpus:1;mem:100 cpus:1;mem:100
         agent s3 cpus:1;mem:100
         run
         =
         deactivate-agent s3
         suppress f2
         agent s4 cpus:1;mem:100
         run
         = f1 s4 a/b cpus:1;mem:100",
    );
    // A limit that falls below what is held takes nothing back, and gives nothing more (6.5).
    check(
        "lowered",
        "quota q - cpus:4
         framework f1 q
         agent s1 cpus:4;mem:64
         run
         = f1 s1 q cpus:4;mem:64
         quota q - cpus:2
         agent s2 cpus:4;mem:64
         run
         = f1 s2 q mem:64
         recover f1 s1
         run
         = f1 s1 q cpus:2;mem:64",
    );
}

#[test]
fn reservations_count_against_quota_used_or_not() {
    // ReservationWithinQuota, QuotaSetAsideReservedResources
    check(
        "reserved",
        "quota q cpus:2;mem:512 -
         framework f2 b
         agent s1 cpus(q):2;mem(q):512
         agent s2 cpus:1;mem:256
         run
         = f2 s2 b cpus:1;mem:256",
    );
    // A reservation beneath counts too (QuotaWithNestedRoleReservation).
    check(
        "reserved beneath",
        "quota q - cpus:2
         framework f1 q
         agent s1 cpus(q/a):2;mem(q/a):64
         agent s2 cpus:1;mem:64
         run
         = f1 s2 q mem:64",
    );
}

#[test]
fn revocable_resources_are_not_held_back() {
    check(
        "revocable",
        "quota q cpus:4;mem:1024 -
         framework f2 b revocable
         agent s1 cpus:2;mem:512;revocable:cpus:3
         run
         = f2 s1 b cpus{REV}:3",
    );
}

#[test]
fn guarantees_of_several_roles_are_met_one_beside_the_other() {
    // QuotaAgainstStarvation: the role with the greater share comes first while it lacks something.
    check(
        "starvation",
        "quota q cpus:4;mem:2048 -
         framework f1 q
         framework f2 d
         agent s1 cpus:2;mem:1024
         run
         = f1 s1 q cpus:2;mem:1024
         agent s2 cpus:2;mem:1024
         run
         = f1 s2 q cpus:2;mem:1024
         agent s3 cpus:2;mem:1024
         run
         = f2 s3 d cpus:2;mem:1024",
    );
    // MultiQuotaAbsentFrameworks: what one lacks is kept for it, though the other would take it.
    check(
        "one absent",
        "quota q1 cpus:2;mem:512 -
         quota q2 cpus:2;mem:512 -
         framework f1 q1
         agent s1 cpus:2;mem:512
         run
         = f1 s1 q1 cpus:2;mem:512
         agent s2 cpus:2;mem:512
         run
         =
         framework f2 q2
         run
         = f2 s2 q2 cpus:2;mem:512",
    );
    // MultiQuotaWithFrameworks: met guarantees hold nothing back, and fair shares decide.
    check(
        "both there",
        "quota q1 cpus:1;mem:64 -
         quota q2 cpus:2;mem:128 -
         framework f1 q1
         framework f2 q2
         agent s1 cpus:1;mem:64
         agent s2 cpus:2;mem:128
         hold f1 s1 q1 cpus:1;mem:64
         hold f2 s2 q2 cpus:2;mem:128
         agent s3 cpus:1;mem:64
         run
         = f1 s3 q1 cpus:1;mem:64",
    );
    // DRFWithQuota: what a role has by its guarantee counts for its share.
    check(
        "share",
        "quota q cpus:1;mem:64 -
         framework f1 q
         framework f2 d
         agent s1 cpus:1;mem:64
         run
         = f1 s1 q cpus:1;mem:64
         agent s2 cpus:2;mem:128
         run
         = f2 s2 d cpus:2;mem:128
         agent s3 cpus:1;mem:64
         run
         = f1 s3 q cpus:1;mem:64",
    );
}
