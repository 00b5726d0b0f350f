//! States and changes: tables for the rules, and any sequence of commands.

use super::State::{DecryptOnly, Destroyed, Disabled, Enabled, Retired};
use super::*;

const ENABLE: Change = Change::Enable { force: false };
const FORCE: Change = Change::Enable { force: true };

fn material(seed: u8) -> Material {
    Material::new(&[seed; 32]).unwrap()
}

fn keyring_of(versions: u8) -> Keyring {
    let mut keyring = Keyring::default();
    keyring.create(new_key("k"), material(1), NOW).unwrap();
    for seed in 2..=versions {
        keyring.rotate("k", material(seed), NOW).unwrap();
    }
    keyring
}

fn states(keyring: &Keyring) -> (Option<u32>, Vec<State>) {
    let key = keyring.find("k").unwrap();
    (
        key.active(),
        key.versions().iter().map(Version::state).collect(),
    )
}

#[test]
fn commands_move_states_as_the_specification_says() {
    for (name, steps, active, expected) in MOVES {
        let mut keyring = keyring_of(3);
        for (version, change) in steps {
            keyring.change("k", *version, *change).expect(name);
        }
        assert_eq!(states(&keyring), (active, expected.to_vec()), "{name}");
    }
}

type Steps = &'static [(Option<u32>, Change)];

/// Name, changes to a key with three versions, the active version after them, the states.
#[rustfmt::skip]
const MOVES: [(&str, Steps, Option<u32>, [State; 3]); 12] = [
    ("rotated", &[], Some(3), [DecryptOnly, DecryptOnly, Enabled]),
    ("disable one", &[(Some(1), Change::Disable)], Some(3), [Disabled, DecryptOnly, Enabled]),
    ("retire one", &[(Some(2), Change::Retire)], Some(3), [DecryptOnly, Retired, Enabled]),
    ("destroy one", &[(Some(1), Change::Destroy)], Some(3), [Destroyed, DecryptOnly, Enabled]),
    ("disable all", &[(None, Change::Disable)], None, [Disabled; 3]),
    ("retire all", &[(None, Change::Retire)], None, [Retired; 3]),
    ("destroy all", &[(None, Change::Destroy)], None, [Destroyed; 3]),
    ("enable undoes disable", &[(None, Change::Disable), (None, ENABLE)],
        Some(3), [DecryptOnly, DecryptOnly, Enabled]),
    ("force brings back retired", &[(None, Change::Retire), (None, FORCE)],
        Some(3), [DecryptOnly, DecryptOnly, Enabled]),
    ("enable leaves retired ones", &[(Some(2), Change::Retire), (None, Change::Disable), (None, ENABLE)],
        Some(3), [DecryptOnly, Retired, Enabled]),
    ("one version of a key that is off", &[(None, Change::Disable), (Some(1), ENABLE)],
        Some(1), [Enabled, Disabled, Disabled]),
    ("a newer version that comes back wraps", &[(None, Change::Disable), (Some(1), ENABLE), (Some(3), ENABLE)],
        Some(3), [DecryptOnly, Disabled, Enabled]),
];

#[test]
fn commands_against_the_rules_change_nothing() {
    let refused = |before: &[(Option<u32>, Change)], version, change| {
        let mut keyring = keyring_of(3);
        for (version, change) in before {
            keyring.change("k", *version, *change).unwrap();
        }
        let was = file::print(&keyring).unwrap();
        let refusal = keyring.change("k", version, change).unwrap_err();
        assert_eq!(*file::print(&keyring).unwrap(), *was);
        refusal
    };
    for change in [Change::Disable, Change::Retire, Change::Destroy] {
        assert_eq!(refused(&[], Some(3), change), EditError::ActiveAlone(3));
        assert_eq!(refused(&[], Some(4), change), EditError::UnknownVersion(4));
    }
    let retired: &[_] = &[(Some(1), Change::Retire)];
    assert_eq!(refused(retired, Some(1), ENABLE), EditError::Retired);
    assert_eq!(
        refused(retired, Some(1), Change::Disable),
        EditError::Retired
    );
    assert_eq!(
        refused(&[(None, Change::Retire)], None, ENABLE),
        EditError::Retired
    );
    let destroyed: &[_] = &[(Some(1), Change::Destroy)];
    for change in [ENABLE, FORCE, Change::Disable, Change::Retire] {
        assert_eq!(refused(destroyed, Some(1), change), EditError::Destroyed);
        assert_eq!(
            refused(&[(None, Change::Destroy)], None, change),
            EditError::Destroyed
        );
    }
    let unknown = EditError::UnknownKey("x".to_owned());
    assert_eq!(keyring_of(1).change("x", None, ENABLE), Err(unknown));
}

#[test]
fn a_key_that_is_off_is_neither_rotated_nor_imported_into() {
    let mut keyring = keyring_of(2);
    keyring.change("k", None, Change::Disable).unwrap();
    let off = EditError::Off("k".to_owned());
    assert_eq!(keyring.rotate("k", material(9), NOW), Err(off.clone()));
    assert_eq!(
        keyring.import(new_key("k"), None, material(9), NOW),
        Err(off)
    );
    keyring.change("k", None, Change::Destroy).unwrap();
    assert_eq!(
        keyring.rotate("k", material(9), NOW),
        Err(EditError::Destroyed)
    );
    assert!(matches!(
        keyring.create(new_key("k"), material(9), NOW),
        Err(EditError::Defect(_))
    ));
}

#[test]
fn imported_versions_take_their_place_by_number() {
    let mut keyring = keyring_of(1);
    assert_eq!(
        keyring.import(new_key("k"), Some(5), material(5), NOW),
        Ok(5)
    );
    assert_eq!(
        keyring.import(new_key("k"), Some(3), material(3), NOW),
        Ok(3)
    );
    assert_eq!(keyring.import(new_key("k"), None, material(6), NOW), Ok(6));
    let expected = vec![DecryptOnly, DecryptOnly, DecryptOnly, Enabled];
    assert_eq!(states(&keyring), (Some(6), expected));
    let taken = keyring.import(new_key("k"), Some(3), material(7), NOW);
    assert_eq!(taken, Err(EditError::VersionTaken(3)));
    assert!(
        keyring
            .import(new_key("k"), Some(0), material(7), NOW)
            .is_err()
    );
    let described = NewKey {
        description: "x".to_owned(),
        ..new_key("k")
    };
    let exists = EditError::Exists("k".to_owned());
    assert_eq!(
        keyring.import(described, None, material(7), NOW),
        Err(exists)
    );
    assert_eq!(
        keyring.import(new_key("new"), Some(3), material(7), NOW),
        Ok(3)
    );
    assert_eq!(
        keyring.import(new_key("last"), Some(u32::MAX), material(7), NOW),
        Ok(u32::MAX)
    );
    assert_eq!(
        keyring.rotate("last", material(8), NOW),
        Err(EditError::VersionsExhausted)
    );
}

#[derive(Clone, Debug)]
enum Op {
    Create(u8),
    Rotate(u8),
    Import(u8, Option<u32>),
    Change(u8, Option<u32>, Change),
}

fn op() -> impl Strategy<Value = Op> {
    let id = || 0..3u8;
    let version = || prop::option::of(0..6u32);
    let change = prop_oneof![
        3 => any::<bool>().prop_map(|force| Change::Enable { force }),
        2 => Just(Change::Disable),
        2 => Just(Change::Retire),
        1 => Just(Change::Destroy),
    ];
    prop_oneof![
        1 => id().prop_map(Op::Create),
        2 => id().prop_map(Op::Rotate),
        1 => (id(), version()).prop_map(|(id, version)| Op::Import(id, version)),
        4 => (id(), version(), change).prop_map(|(id, v, change)| Op::Change(id, v, change)),
    ]
}

fn apply(keyring: &mut Keyring, op: &Op, seed: u8) -> Result<(), EditError> {
    let name = |id: &u8| format!("k{id}");
    match op {
        Op::Create(id) => keyring
            .create(new_key(&name(id)), material(seed), NOW)
            .map(drop),
        Op::Rotate(id) => keyring.rotate(&name(id), material(seed), NOW).map(drop),
        Op::Import(id, version) => keyring
            .import(new_key(&name(id)), *version, material(seed), NOW)
            .map(drop),
        Op::Change(id, version, change) => keyring.change(&name(id), *version, *change),
    }
}

/// Every live version's material, by key and number.
fn materials(keyring: &Keyring) -> Vec<(String, u32, [u8; 8])> {
    let versions = |key: &Key| {
        let id = key.id().to_owned();
        let live = |v: &Version| Some((id.clone(), v.number(), v.check()?));
        key.versions().iter().filter_map(live).collect::<Vec<_>>()
    };
    keyring.keys().iter().flat_map(versions).collect()
}

proptest! {
    #[test]
    fn any_sequence_keeps_the_file_valid_and_loses_only_what_is_destroyed(
        ops in prop::collection::vec(op(), 1..40),
    ) {
        let mut keyring = Keyring::default();
        for (seed, op) in (1..).zip(&ops) {
            let before = (file::print(&keyring).unwrap(), materials(&keyring));
            let outcome = apply(&mut keyring, op, seed);
            let printed = file::print(&keyring).unwrap();
            if outcome.is_err() {
                prop_assert_eq!(&*printed, &*before.0, "a refused command changed something");
            }
            let reread = file::parse(&printed, None);
            prop_assert!(reread.is_ok(), "{:?} after {:?}", reread.err(), op);
            prop_assert_eq!(materials(&reread.unwrap()), materials(&keyring));

            let now = materials(&keyring);
            for (id, version, check) in &before.1 {
                let destroyed = matches!(op, Op::Change(target, which, Change::Destroy)
                    if *id == format!("k{target}") && which.is_none_or(|which| which == *version));
                let kept = now.contains(&(id.clone(), *version, *check));
                prop_assert!(kept || destroyed, "{id} {version} lost by {op:?}");
            }
            // Exactly the active version is enabled, in all that the commands produce.
            for key in keyring.keys() {
                let enabled = key.versions().iter().filter(|v| v.state() == Enabled);
                let enabled: Vec<_> = enabled.map(Version::number).collect();
                prop_assert_eq!(enabled, Vec::from_iter(key.active()));
            }
        }
    }
}
