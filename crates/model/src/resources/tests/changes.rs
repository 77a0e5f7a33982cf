//! What operations make of resources.

use super::*;

/// What is left of `have` after a change, as text.
#[track_caller]
fn check_change(have: &[Resource], change: &Change, expected: Result<&str, &str>) {
    let have: Resources = have.iter().cloned().collect();
    let after = change
        .conversions()
        .and_then(|conversions| have.convert_all(&conversions));
    let told = after.map(|r| r.to_string()).map_err(|f| f.to_string());
    assert_eq!(told.as_deref().map_err(String::as_str), expected);
}

#[test]
fn a_change_takes_what_is_there_and_gives_what_it_makes_of_it() {
    let disk = |stack: &[(ReservationKind, &str)], amount| Resource {
        reservations: stack.iter().map(|(k, r)| reservation(*k, r)).collect(),
        ..Resource::scalar("disk", Scalar::whole(amount))
    };
    let eng = |amount| disk(&[(ReservationKind::Dynamic, "eng")], amount);
    let sub = [
        (ReservationKind::Dynamic, "eng"),
        (ReservationKind::Dynamic, "eng/a"),
    ];
    let free = |amount| disk(&[], amount);
    let reserve = |source: &[Resource], resources: &[Resource]| Change::Reserve {
        source: source.to_vec(),
        resources: resources.to_vec(),
    };
    check_change(
        &[free(10)],
        &reserve(&[], &[eng(4)]),
        Ok("disk:6; disk(reservations: [(DYNAMIC,eng)]):4"),
    );
    check_change(
        &[eng(4)],
        &reserve(&[], &[disk(&sub, 1)]),
        Ok("disk(reservations: [(DYNAMIC,eng)]):3; \
             disk(reservations: [(DYNAMIC,eng),(DYNAMIC,eng/a)]):1"),
    );
    check_change(
        &[eng(4)],
        &reserve(&[eng(4)], &[disk(&[(ReservationKind::Dynamic, "web")], 4)]),
        Ok("disk(reservations: [(DYNAMIC,web)]):4"),
    );
    check_change(
        &[free(1)],
        &reserve(&[], &[eng(4)]),
        Err("disk:1 does not contain disk:4"),
    );
    check_change(
        &[disk(&sub, 2)],
        &Change::Unreserve {
            resources: vec![disk(&sub, 2)],
        },
        Ok("disk(reservations: [(DYNAMIC,eng)]):2"),
    );
    let volumes = vec![volume("v", 3)];
    check_change(
        &[eng(4)],
        &Change::Create {
            volumes: volumes.clone(),
        },
        Ok("disk(reservations: [(DYNAMIC,eng)]):1; \
             disk(reservations: [(DYNAMIC,eng)])[v:data]:3"),
    );
    check_change(
        &[volume("v", 3)],
        &Change::Destroy { volumes },
        Ok("disk(reservations: [(DYNAMIC,eng)]):3"),
    );
    check_change(
        &[eng(4), volume("v", 3)],
        &Change::GrowVolume {
            volume: volume("v", 3).into(),
            addition: eng(4).into(),
        },
        Ok("disk(reservations: [(DYNAMIC,eng)])[v:data]:7"),
    );
    check_change(
        &[volume("v", 3)],
        &Change::ShrinkVolume {
            volume: volume("v", 3).into(),
            subtract: Scalar::whole(1),
        },
        Ok("disk(reservations: [(DYNAMIC,eng)])[v:data]:2; \
             disk(reservations: [(DYNAMIC,eng)]):1"),
    );
    check_change(
        &[],
        &Change::DestroyDisk {
            source: free(1).into(),
        },
        Err("Operation not supported"),
    );
}

#[test]
fn a_shared_volume_is_counted_and_goes_only_with_its_last_copy() {
    let shared = Resource {
        shared: true,
        ..volume("v", 3)
    };
    let destroy = Change::Destroy {
        volumes: vec![shared.clone()],
    };
    let two: Resources = [shared.clone(), shared.clone()].into_iter().collect();
    let text = "disk(reservations: [(DYNAMIC,eng)])[v:data]<SHARED>:3";
    assert_eq!(two.to_string(), format!("{text}<2>"));
    check_change(
        &[shared.clone(), shared.clone()],
        &destroy,
        Err(&format!(
            "Persistent volume {text} cannot be removed due to additional shared copies"
        )),
    );
    check_change(
        &[shared],
        &destroy,
        Ok("disk(reservations: [(DYNAMIC,eng)]):3"),
    );
}
