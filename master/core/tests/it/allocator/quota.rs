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
