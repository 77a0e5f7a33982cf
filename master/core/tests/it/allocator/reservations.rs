//! Reservations beside quota and headroom, operations on what is held and what is free, shared volumes.

use super::check;

#[test]
fn a_reservation_counts_once_whether_it_is_held_or_not() {
    // ReservationUnallocated: what was declined is reserved still, and the limit is reached.
    check(
        "unallocated",
        "quota q cpus:1;mem:1024 cpus:1;mem:1024
         framework f1 q
         agent s1 cpus(q):1;mem(q):1024
         run
         = f1 s1 q cpus(q):1;mem(q):1024
         decline f1 s1 86400
         agent s2 cpus:1;mem:1024
         run
         =",
    );
    // ReservationAllocated
    check(
        "allocated",
        "quota q cpus:2;mem:2048 cpus:2;mem:2048
         framework f1 q
         agent s1 cpus(q):1;mem(q):1024
         run
         = f1 s1 q cpus(q):1;mem(q):1024
         agent s2 cpus:1;mem:1024
         run
         = f1 s2 q cpus:1;mem:1024
         agent s3 cpus:1;mem:1024
         run
         =",
    );
    // NonQuotaRoleReservationWithQuotaRole: headroom is none of what is reserved.
    check(
        "of another",
        "quota q cpus:2;mem:2048 cpus:2;mem:2048
         framework f1 q
         agent s1 cpus:2;mem:2048;cpus(n):2;mem(n):2048
         run
         = f1 s1 q cpus:2;mem:2048
         decline f1 s1 86400
         framework f2 n
         run
         = f2 s1 n cpus(n):2;mem(n):2048",
    );
    // QuotaHeadroomWhenReservationsExceedQuota: who has more than its guarantee holds nothing back.
    check(
        "exceeded",
        "quota w cpus:1;mem:1024 cpus:1;mem:1024
         quota o cpus:1;mem:1024 cpus:1;mem:1024
         agent s1 cpus(w):2;mem(w):2048
         agent s2 cpus:1;mem:1024
         framework f1 n
         run
         =
         deactivate-agent s2
         agent s3 cpus:1;mem:1024
         run
         = f1 s3 n cpus:1;mem:1024",
    );
    // QuotaWithAncestorReservations: what a child has of its parent is not free for the headroom.
    check(
        "of an ancestor",
        "quota q cpus:1;mem:1024 cpus:1;mem:1024
         framework f1 a/b
         agent s1 cpus(a):1;mem(a):1024
         run
         = f1 s1 a/b cpus(a):1;mem(a):1024
         framework f2 n
         agent s2 cpus:1;mem:1024
         run
         =
         deactivate-agent s2
         agent s3 cpus:1;mem:1024
         run
         = f2 s3 n cpus:1;mem:1024",
    );
}

#[test]
fn a_change_of_what_is_held_charges_nobody_anew() {
    // QuotaAccountingReserveAllocatedResources
    check(
        "reserved",
        "quota q cpus:10;mem:1024 cpus:10;mem:1024
         framework f1 q
         agent s1 cpus:5;mem:512
         run
         = f1 s1 q cpus:5;mem:512
         change f1 s1 q reserve:cpus(q):5;mem(q):512
         agent s2 cpus:10;mem:1024
         run
         = f1 s2 q cpus:5;mem:512",
    );
    // QuotaAccountingUnreserveAllocatedResources
    check(
        "unreserved",
        "quota q cpus:1;mem:1024 cpus:1;mem:1024
         framework f1 q
         agent s1 dynamic:cpus(q):1;dynamic:mem(q):1024
         run
         = f1 s1 q cpus(dynamic q):1;mem(dynamic q):1024
         agent s2 cpus:1;mem:1024
         run
         =
         change f1 s1 q unreserve:cpus(q):1;mem(q):1024
         wait 1
         run
         =",
    );
    // UpdateAllocation: what comes back is what became of it, for its role.
    check(
        "volume",
        "framework f1 q
         agent s1 cpus:4;mem:64;dynamic:disk(q):10
         run
         = f1 s1 q cpus:4;disk(dynamic q):10;mem:64
         change f1 s1 q create:disk(q):4@v
         recover f1 s1
         run
         = f1 s1 q cpus:4;disk(dynamic q):6;disk(dynamic q)[v:data]:4;mem:64",
    );
}

#[test]
fn what_nobody_holds_changes_where_there_is_enough_of_it() {
    // UpdateAvailableSuccess
    check(
        "success",
        "agent s1 cpus:100;mem:100
         operate s1 reserve:cpus(q):4;mem(q):4 done
         framework f1 q
         run
         = f1 s1 q cpus(dynamic q):4;cpus:96;mem(dynamic q):4;mem:96",
    );
    // UpdateAvailableFail: what is offered is not there.
    check(
        "fail",
        "framework f1 q
         agent s1 cpus:100;mem:100
         run
         = f1 s1 q cpus:100;mem:100
         operate s1 reserve:cpus(q):4 refused
         recover f1 s1
         operate s1 reserve:cpus(q):4 done
         run
         = f1 s1 q cpus(dynamic q):4;cpus:96;mem:100",
    );
}

#[test]
fn a_shared_volume_is_offered_while_others_have_it_and_charged_once() {
    // SharedResourcesCapability
    check(
        "capability",
        "framework f1 q
         agent s1 cpus:4;mem:64;dynamic:disk(q):5@v!
         run
         = f1 s1 q cpus:4;mem:64
         recover f1 s1
         framework f2 q shared
         run
         = f2 s1 q cpus:4;disk(dynamic q)[v:data]<SHARED>:5;mem:64",
    );
    // AllocateSharedResources, with quota and without.
    for quota in ["", "quota q cpus:8;mem:2048;disk:4096 -"] {
        let script = format!(
            "framework f1 q shared
             framework f2 q shared
             {quota}
             agent s1 cpus:4;mem:1024;dynamic:disk(q):5@v!
             run
             = f1 s1 q cpus:4;disk(dynamic q)[v:data]<SHARED>:5;mem:1024
             give-back f1 s1 q cpus:3;mem:1019
             run
             = f2 s1 q cpus:3;disk(dynamic q)[v:data]<SHARED>:5;mem:1019"
        );
        check("shared", &script);
    }
    // SharedAllocatedResourceQuotaAccounting
    check(
        "once",
        "quota q cpus:3;mem:2048;disk:100 cpus:3;mem:2048;disk:100
         framework f1 q shared
         agent s1 dynamic:cpus(q):2;dynamic:mem(q):1024;dynamic:disk(q):50@v!
         run
         = f1 s1 q cpus(dynamic q):2;disk(dynamic q)[v:data]<SHARED>:50;mem(dynamic q):1024
         give-back f1 s1 q dynamic:cpus(q):1;dynamic:mem(q):512
         run
         = f1 s1 q cpus(dynamic q):1;disk(dynamic q)[v:data]<SHARED>:50;mem(dynamic q):512
         agent s2 cpus:1;mem:1024;disk:50
         run
         = f1 s2 q cpus:1;disk:50;mem:1024
         agent s3 cpus:0.5;mem:512;disk:50
         run
         =",
    );
}

#[test]
fn who_cannot_use_what_is_there_does_not_keep_it_from_others() {
    // FrameworkLoopMESOS_9554: f2 has the lesser share and knows no refined reservations.
    check(
        "refined",
        "framework f1 p/c refined
         agent s1 cpus:1;mem:32;disk:1
         run
         = f1 s1 p/c cpus:1;disk:1;mem:32
         framework f2 p/c
         agent s2 dynamic:cpus(p/c):1;dynamic:mem(p/c):32
         run
         = f1 s2 p/c cpus(dynamic p),(DYNAMIC,p/c):1;mem(dynamic p),(DYNAMIC,p/c):32",
    );
    // NonScalarReservationTrackingMESOS_9555
    check(
        "ports",
        "agent s1 cpus:1;mem:64;ports(q):[1-2]
         agent s2 cpus:1;mem:64;ports(q):[1-2]
         remove-agent s1
         remove-agent s2
         framework f1 q
         run
         =
         agent s1 cpus:1;mem:64;ports(q):[1-2]
         run
         = f1 s1 q cpus:1;mem:64;ports(q):[1-2]",
    );
    // DontOfferOldAgentToMultiRoleFramework, UpdateSlaveCapabilities, and the same of nested roles.
    check(
        "old agents",
        "framework f1 a many
         agent s1 cpus:1;mem:64
         abilities s1
         run
         =
         agent s1 cpus:1;mem:64
         abilities s1 1
         run
         = f1 s1 a cpus:1;mem:64
         recover f1 s1
         suppress f1
         framework f2 a/b
         run
         =
         framework f3 c
         run
         = f3 s1 c cpus:1;mem:64
         recover f3 s1
         suppress f3
         agent s1 cpus:1;mem:64
         abilities s1 1 2
         clear-filters s1
         run
         = f2 s1 a/b cpus:1;mem:64",
    );
}
