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
