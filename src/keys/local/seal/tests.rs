//! The seal against tampering, and the key it keeps.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::keys::local::{Defect, Key, Keyring, ParseError, Version as KeyVersion, file};

const PASSPHRASE: &str = "correct horse battery";

fn passphrase(text: &str) -> Passphrase {
    Passphrase::of_text(Secret::new(text.to_owned()))
}

/// Two keys with two versions each, in clear.
fn clear() -> Value {
    let version = |number: u32, state: &str, byte: u8| {
        let material = Material::new(&[byte; 32]).unwrap();
        json!({
            "version": number, "state": state, "created": "2026-01-02T03:04:05Z",
            "material": BASE64.encode(&[byte; 32]), "check": HEXLOWER.encode(&material.check()),
        })
    };
    let key = |id: &str, byte: u8| {
        json!({
            "id": id, "created": "2026-01-02T03:04:05Z", "active": 2,
            "versions": [version(1, "decrypt-only", byte), version(2, "enabled", byte + 1)],
        })
    };
    json!({"format": "s3seal-keyring", "version": 1, "keys": [key("a", 1), key("b", 3)]})
}

fn parse(value: &Value, passphrase: &Passphrase) -> Result<Keyring, ParseError> {
    file::parse(value.to_string().as_bytes(), Some(passphrase))
}

/// The same, sealed.
fn sealed(passphrase: &Passphrase) -> Value {
    let mut keyring = file::parse(clear().to_string().as_bytes(), None).unwrap();
    keyring.set_seal(Some(passphrase.make_seal().unwrap()));
    serde_json::from_slice(&file::print(&keyring).unwrap()).unwrap()
}

fn material(value: &mut Value, key: usize, version: usize) -> &mut Value {
    &mut value["keys"][key]["versions"][version]["material"]
}

fn checks(keyring: &Keyring) -> Vec<Option<[u8; 8]>> {
    let versions = keyring.keys().iter().flat_map(Key::versions);
    versions.map(KeyVersion::check).collect()
}

#[test]
fn a_sealed_file_opens_with_its_passphrase_alone_and_prints_as_it_was() {
    let file = sealed(&passphrase(PASSPHRASE));
    let opened = parse(&file, &passphrase(PASSPHRASE)).unwrap();
    let in_clear = file::parse(clear().to_string().as_bytes(), None).unwrap();
    assert_eq!(checks(&opened), checks(&in_clear));
    let printed: Value = serde_json::from_slice(&file::print(&opened).unwrap()).unwrap();
    assert_eq!(printed, file);
    for byte in 1..=4 {
        assert!(!file.to_string().contains(&BASE64.encode(&[byte; 32])));
    }
    let refused = parse(&file, &passphrase("correct horse batter")).unwrap_err();
    assert_eq!(refused, SealError::WrongPassphrase.into());
    let refused = file::parse(file.to_string().as_bytes(), None).unwrap_err();
    assert_eq!(refused, SealError::NoPassphrase.into());
    let refused = parse(&clear(), &passphrase(PASSPHRASE)).unwrap_err();
    assert_eq!(refused, SealError::NotSealed.into());
}

/// The parameters that are written, and what is bound. That Argon2id, HKDF and HMAC are what they are
/// called is held against the reference model (tests/it/recovery.rs).
#[test]
fn the_seal_is_what_its_description_says() {
    let known = passphrase(PASSPHRASE);
    let seal = known.make_seal().unwrap();
    let mut key = [0; 32];
    let params = Params::new(65_536, 3, 1, Some(32)).unwrap();
    let mut memory = vec![Block::default(); params.block_count()];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(
            PASSPHRASE.as_bytes(),
            &seal.head.salt,
            &mut key,
            &mut memory,
        )
        .unwrap();
    let material = Material::new(&[7; 32]).unwrap();
    let written = seal.seal(&material, "default", 3).unwrap();
    let bytes = WrappedDataKey(BASE64.decode(written.0.as_bytes()).unwrap());
    let context = b"s3seal.v1.keyring-seal\x00\x07default\x00\x00\x00\x03";
    let opened = derived_unwrap(&key, WrapInfo::KeyringSeal, &bytes, context).unwrap();
    assert_eq!(opened.expose(), &[7; 32]);
}

#[test]
fn material_opens_in_its_own_place_only() {
    let known = passphrase(PASSPHRASE);
    let file = sealed(&known);
    let places = [(0, 0), (0, 1), (1, 0), (1, 1)];
    for (here, there) in places
        .iter()
        .flat_map(|a| places.iter().map(move |b| (a, b)))
    {
        if here == there {
            continue;
        }
        let mut changed = file.clone();
        let moved = material(&mut changed, here.0, here.1).clone();
        let check = changed["keys"][here.0]["versions"][here.1]["check"].clone();
        *material(&mut changed, there.0, there.1) = moved;
        changed["keys"][there.0]["versions"][there.1]["check"] = check;
        let refused = parse(&changed, &known).unwrap_err();
        let ParseError::Defect(Defect::SealedMaterial(..)) = refused else {
            panic!("{refused}");
        };
    }
    // a key that takes over another's name takes nothing else
    let mut renamed = file.clone();
    renamed["keys"][0]["id"] = "c".into();
    assert!(parse(&renamed, &known).is_err());
    let mut renumbered = file.clone();
    renumbered["keys"][0]["versions"][1]["version"] = 3.into();
    renumbered["keys"][0]["active"] = 3.into();
    assert!(parse(&renumbered, &known).is_err());
    // nor does material in clear get in under a seal
    let mut mixed = file.clone();
    *material(&mut mixed, 0, 0) = BASE64.encode(&[1; 32]).into();
    assert!(parse(&mixed, &known).is_err());
    // nor sealed material without one
    let mut bare = file;
    bare.as_object_mut().unwrap().remove("sealed");
    assert!(file::parse(bare.to_string().as_bytes(), None).is_err());
}

#[test]
fn parameters_out_of_bounds_are_refused_before_anything_is_made() {
    let known = passphrase(PASSPHRASE);
    let file = sealed(&known);
    for (field, value) in [
        ("kdf", json!("argon2i")),
        ("memory_kib", json!(65_535)),
        ("memory_kib", json!(1_048_577)),
        ("memory_kib", json!(u32::MAX)),
        ("passes", json!(2)),
        ("passes", json!(17)),
        ("lanes", json!(0)),
        ("lanes", json!(5)),
    ] {
        let mut changed = file.clone();
        changed["sealed"][field] = value.clone();
        let refused = parse(&changed, &known).unwrap_err();
        assert_eq!(refused, SealError::Bounds.into(), "{field} {value}");
    }
    for (field, value) in [
        ("salt", "AAAA".to_owned()),
        ("salt", "*".repeat(24)),
        ("check", "00".repeat(7)),
        ("check", "0G".repeat(8)),
    ] {
        let mut changed = file.clone();
        changed["sealed"][field] = value.into();
        assert_eq!(
            parse(&changed, &known).unwrap_err(),
            SealError::Syntax.into()
        );
    }
    for break_it in [
        |seal: &mut Value| drop(seal.as_object_mut().unwrap().remove("salt")),
        |seal: &mut Value| seal["x"] = 1.into(),
        |seal: &mut Value| seal["passes"] = (-1).into(),
    ] {
        let mut changed = file.clone();
        break_it(&mut changed["sealed"]);
        let refused = parse(&changed, &known).unwrap_err();
        assert!(matches!(refused, ParseError::Json { .. }), "{refused}");
    }
    // within the bounds, and another's: the key is another one
    for (field, value) in [
        ("passes", json!(4)),
        ("salt", json!(BASE64.encode(&[0; 16]))),
        ("check", json!("00".repeat(8))),
    ] {
        let mut changed = file.clone();
        changed["sealed"][field] = value;
        let refused = parse(&changed, &known).unwrap_err();
        assert_eq!(refused, SealError::WrongPassphrase.into(), "{field}");
    }
}

/// A file that is replaced by a broken one is read every second.
#[test]
fn a_key_is_made_once_and_a_wrong_one_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passphrase");
    std::fs::write(&path, format!("{PASSPHRASE}\n")).unwrap();
    let in_file = Passphrase::new(Arc::new(SecretPlace::File(path.clone())));
    let file = sealed(&in_file);
    // the file with the passphrase is not needed any more
    std::fs::remove_file(&path).unwrap();
    parse(&file, &in_file).unwrap();
    let other = sealed(&passphrase("another passphrase"));
    let refused = parse(&other, &in_file).unwrap_err();
    assert!(matches!(
        refused,
        ParseError::Seal(SealError::Unreadable(_))
    ));

    std::fs::write(&path, PASSPHRASE).unwrap();
    for _ in 0..200 {
        // hundreds of derivations would take minutes
        let refused = parse(&other, &in_file).unwrap_err();
        assert_eq!(refused, SealError::WrongPassphrase.into());
    }
    parse(&file, &in_file).unwrap();
    std::fs::write(&path, "another passphrase").unwrap();
    parse(&other, &in_file).unwrap();
}

#[test]
fn passphrases_have_bounds() {
    let short = passphrase("only eleven").make_seal();
    assert_eq!(short.unwrap_err(), SealError::TooShort);
    let long = passphrase(&"x".repeat(1025)).make_seal();
    assert_eq!(long.unwrap_err(), SealError::TooLong);
}

#[test]
fn nothing_shows_the_key_or_the_passphrase() {
    let known = passphrase(PASSPHRASE);
    let seal = known.make_seal().unwrap();
    let shown = format!("{known:?} {seal:?}");
    assert!(!shown.contains(PASSPHRASE));
    assert!(!shown.contains(&format!("{:?}", seal.key.0)));
}

fn fixed_seal() -> Seal {
    Seal {
        head: Head {
            cost: Cost::CHOSEN,
            salt: [0; SALT_LEN],
            check: [0; CHECK_LEN],
        },
        key: Arc::new(SealKey(Zeroizing::new([9; 32]))),
    }
}

proptest! {
    #[test]
    fn sealed_material_opens_as_it_was_sealed_and_not_otherwise(
        bytes in any::<[u8; 32]>().prop_filter("zeros", |bytes| *bytes != [0; 32]),
        id in "[a-z/]{1,20}", other_id in "[a-z/]{1,20}",
        version: u32, other_version: u32, at in 0..80usize, bit in 0..8u32,
    ) {
        let seal = fixed_seal();
        let material = Material::new(&bytes).unwrap();
        let sealed = seal.seal(&material, &id, version).unwrap();
        prop_assert_eq!(seal.open(&sealed, &id, version).map(|opened| *opened), Some(bytes));
        if (&id, version) != (&other_id, other_version) {
            prop_assert!(seal.open(&sealed, &other_id, other_version).is_none());
        }
        let mut changed = BASE64.decode(sealed.0.as_bytes()).unwrap();
        changed[at] ^= 1 << bit;
        let changed = SealedMaterial(BASE64.encode(&changed));
        prop_assert!(seal.open(&changed, &id, version).is_none());
    }
}
