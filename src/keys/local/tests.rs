//! The keyring file and the provider on top of it.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;

use super::*;
use crate::keys::test_support::{KEY, context, shown_forms};

mod disk;
mod states;

const MATERIAL: [u8; 32] = [
    32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55,
    56, 57, 58, 59, 60, 61, 62, 63,
];
const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

/// The check value by another route than the product's: HMAC from its definition over SHA-256.
fn check(material: &[u8; 32]) -> String {
    let pad = |byte: u8| -> Vec<u8> {
        let key = material.iter().copied().chain([0; 32]);
        key.map(|k| k ^ byte).collect()
    };
    let sha = |parts: &[&[u8]]| {
        let all = parts.concat();
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &all)
            .as_ref()
            .to_vec()
    };
    let inner = sha(&[&pad(0x36), b"s3seal.v1.check"]);
    HEXLOWER.encode(&sha(&[&pad(0x5c), &inner])[..8])
}

fn live(version: u32, state: &str, material: [u8; 32]) -> Value {
    json!({
        "version": version, "state": state, "created": "2026-01-02T03:04:05Z",
        "material": data_encoding::BASE64.encode(&material), "check": check(&material),
        "origin": "generated",
    })
}

/// The example of keys.md, with material.
fn example() -> Value {
    json!({"format": "s3seal-keyring", "version": 1, "keys": [{
        "id": "default", "aliases": ["alias/app"], "description": "", "created": "2026-01-02T03:04:05Z",
        "active": 3, "versions": [
            {"version": 1, "state": "destroyed", "created": "2026-01-02T03:04:05Z"},
            live(2, "decrypt-only", [2; 32]),
            live(3, "enabled", MATERIAL),
    ]}]})
}

fn parse(value: &Value) -> Result<Keyring, ParseError> {
    file::parse(value.to_string().as_bytes(), None)
}

fn new_key(id: &str) -> NewKey {
    NewKey {
        id: id.to_owned(),
        ..NewKey::default()
    }
}

fn write(path: &Path, text: &str) {
    let mut options = std::fs::OpenOptions::new();
    let options = options.create(true).write(true).truncate(true).mode(0o600);
    std::io::Write::write_all(&mut options.open(path).unwrap(), text.as_bytes()).unwrap();
}

/// A keyring file in a folder of its own.
struct Scratch {
    _folder: TempDir,
    path: PathBuf,
}

impl Scratch {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyring.json");
        Self {
            _folder: folder,
            path,
        }
    }

    fn with(value: &Value) -> Self {
        let scratch = Self::new();
        write(&scratch.path, &value.to_string());
        scratch
    }

    fn update<T>(&self, edit: impl FnOnce(&mut Keyring) -> Result<T, EditError>) -> T {
        update(&self.path, WhenMissing::Create, edit).unwrap()
    }
}

#[test]
fn the_example_of_the_specification_loads_and_prints_as_it_was() {
    let keyring = parse(&example()).unwrap();
    let key = keyring.find("alias/app").unwrap();
    assert_eq!(
        (key.id(), key.active(), key.state()),
        ("default", Some(3), State::Enabled)
    );
    let states: Vec<_> = key.versions().iter().map(Version::state).collect();
    assert_eq!(
        states,
        [State::Destroyed, State::DecryptOnly, State::Enabled]
    );
    assert_eq!(
        key.version(3).unwrap().check().map(|c| HEXLOWER.encode(&c)),
        Some(check(&MATERIAL))
    );

    let printed: Value = serde_json::from_slice(&file::print(&keyring).unwrap()).unwrap();
    assert_eq!(printed, example());
}

#[test]
fn a_keyring_that_breaks_a_rule_is_refused() {
    for (name, break_it, expected) in REFUSED {
        let mut value = example();
        break_it(&mut value);
        let refusal = parse(&value).expect_err(name).to_string();
        assert!(refusal.contains(expected), "{name}: {refusal}");
    }
}

fn version(value: &mut Value, index: usize) -> &mut Value {
    &mut value["keys"][0]["versions"][index]
}

fn second_key(value: &mut Value, id: &str, alias: &str) {
    let mut key = value["keys"][0].clone();
    key["id"] = id.into();
    key["aliases"] = json!([alias]);
    value["keys"].as_array_mut().unwrap().push(key);
}

type Break = fn(&mut Value);

/// Name, what is done to the example, what the refusal says.
#[rustfmt::skip]
const REFUSED: [(&str, Break, &str); 32] = [
    ("duplicate id", |v| second_key(v, "default", "x"), "used twice"),
    ("duplicate alias", |v| second_key(v, "x", "alias/app"), "used twice"),
    ("alias is another id", |v| second_key(v, "x", "default"), "used twice"),
    ("id is another alias", |v| second_key(v, "alias/app", "x"), "used twice"),
    ("alias is its own id", |v| v["keys"][0]["aliases"] = json!(["default"]), "used twice"),
    ("alias twice", |v| v["keys"][0]["aliases"] = json!(["a", "a"]), "used twice"),
    ("duplicate version", |v| version(v, 1)["version"] = 3.into(), "version 3 is there twice"),
    ("version zero", |v| version(v, 0)["version"] = 0.into(), "version 0"),
    ("no versions", |v| v["keys"][0]["versions"] = json!([]), "no versions"),
    ("active decrypt-only", |v| v["keys"][0]["active"] = 2.into(), "not an enabled"),
    ("active destroyed", |v| v["keys"][0]["active"] = 1.into(), "not an enabled"),
    ("active unknown", |v| v["keys"][0]["active"] = 9.into(), "not an enabled"),
    ("active disabled", |v| version(v, 2)["state"] = "disabled".into(), "not an enabled"),
    ("active retired", |v| version(v, 2)["state"] = "retired".into(), "not an enabled"),
    ("no active", |v| v["keys"][0]["active"] = Value::Null, "no active version"),
    ("wrong check", |v| version(v, 1)["check"] = check(&MATERIAL).into(), "does not match"),
    ("short check", |v| version(v, 1)["check"] = "00".into(), "does not match"),
    ("no check", |v| version(v, 1)["check"] = Value::Null, "lacks its material"),
    ("no material", |v| version(v, 1)["material"] = Value::Null, "lacks its material"),
    ("destroyed with check", |v| version(v, 0)["check"] = "00".into(), "is destroyed"),
    ("destroyed with material", |v| version(v, 2)["state"] = "destroyed".into(), "is destroyed"),
    ("zero material", |v| *version(v, 2) = live(3, "enabled", [0; 32]), "all zeros"),
    ("30 bytes", |v| version(v, 2)["material"] = "A".repeat(40).into(), "not base64 of 32"),
    ("33 bytes", |v| version(v, 2)["material"] = "A".repeat(44).into(), "not base64 of 32"),
    ("spare bits", |v| version(v, 2)["material"] = format!("{}B=", "A".repeat(42)).into(), "not base64 of 32"),
    ("bad date", |v| version(v, 2)["created"] = "yesterday".into(), "RFC 3339"),
    ("bad id", |v| v["keys"][0]["id"] = "a b".into(), "an id or alias"),
    ("empty alias", |v| v["keys"][0]["aliases"] = json!([""]), "an id or alias"),
    ("long alias", |v| v["keys"][0]["aliases"] = json!(["a".repeat(129)]), "an id or alias"),
    ("long description", |v| v["keys"][0]["description"] = "a".repeat(1025).into(), "1024"),
    ("unknown format", |v| v["format"] = "keyring".into(), "not a keyring"),
    ("later version", |v| v["version"] = 2.into(), "version 2 is not known"),
];

#[test]
fn unknown_missing_repeated_and_mistyped_fields_are_refused_without_repeating_them() {
    let good = example().to_string();
    let secret = data_encoding::BASE64.encode(&MATERIAL);
    let field = |name: &str| format!("\"{name}\":");
    let cases = [
        (
            "unknown in file",
            good.replacen('{', &format!("{{\"{secret}\":1,"), 1),
        ),
        (
            "unknown in key",
            good.replacen("\"id\"", "\"x\":1,\"id\"", 1),
        ),
        (
            "unknown in version",
            good.replacen("\"state\"", "\"x\":1,\"state\"", 1),
        ),
        (
            "repeated",
            good.replacen("\"id\"", "\"id\":\"x\",\"id\"", 1),
        ),
        ("missing", good.replacen("\"id\":\"default\",", "", 1)),
        (
            "material as number",
            good.replacen("\"version\":3", &format!("\"version\":\"{secret}\""), 1),
        ),
        (
            "material as state",
            good.replacen("\"enabled\"", &format!("\"{secret}\""), 1),
        ),
        (
            "unknown origin",
            good.replacen("\"generated\"", &format!("\"{secret}\""), 1),
        ),
        (
            "negative version",
            good.replacen("\"version\":3", "\"version\":-3", 1),
        ),
        (
            "material as field",
            good.replacen(&field("material"), &field(&secret), 1),
        ),
        ("cut", good[..good.len() - 1].to_owned()),
        ("trailing text", format!("{good} {{}}")),
        ("two documents", good.repeat(2)),
        ("empty", String::new()),
        ("not json", "key = 1".to_owned()),
    ];
    for (name, text) in cases {
        let refusal = file::parse(text.as_bytes(), None).expect_err(name);
        assert!(
            matches!(refusal, ParseError::Json { .. }),
            "{name}: {refusal:?}"
        );
        for form in shown_forms(&MATERIAL) {
            let shown = format!("{refusal} {refusal:?}").into_bytes();
            assert!(
                !shown.windows(form.len()).any(|window| window == form),
                "{name}"
            );
        }
    }
}

#[test]
fn only_a_private_regular_file_is_read() {
    let scratch = Scratch::with(&example());
    for (mode, allowed) in [
        (0o600, true),
        (0o400, true),
        (0o640, false),
        (0o604, false),
        (0o660, false),
        (0o644, false),
        (0o700, false),
        (0o601, false),
        (0o4600, false),
    ] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&scratch.path, permissions).unwrap();
        match Keyring::load(&scratch.path) {
            Ok(_) => assert!(allowed, "{mode:o}"),
            Err(KeyringError::Mode { mode: found, .. }) => {
                assert_eq!((allowed, found), (false, mode));
            }
            Err(error) => panic!("{mode:o}: {error}"),
        }
    }
    let folder = scratch.path.parent().unwrap();
    assert!(matches!(
        Keyring::load(folder),
        Err(KeyringError::NotAFile(_))
    ));
    let nowhere = folder.join("nowhere");
    assert!(matches!(
        Keyring::load(&nowhere),
        Err(KeyringError::Missing(_))
    ));
}

/// What the upkeep does: says whether the file was another one.
fn reload(provider: &LocalProvider) -> bool {
    let changed = provider.read_if_changed().unwrap();
    changed.map(|changed| provider.take_over(changed)).is_some()
}

#[tokio::test]
async fn nothing_the_keyring_prints_shows_material() {
    let scratch = Scratch::with(&example());
    let provider = LocalProvider::open(&scratch.path).unwrap();
    let keyring = Keyring::load(&scratch.path).unwrap();
    let shown = format!("{provider:?} {keyring:?} {keyring:#?}").into_bytes();
    for form in shown_forms(&MATERIAL) {
        assert!(!shown.windows(form.len()).any(|window| window == form));
    }
}

#[tokio::test]
async fn wraps_frozen_in_the_vectors_open() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/format_v1.json")).unwrap();
    let provider = LocalProvider::open(&Scratch::with(&example()).path).unwrap();
    let mut opened = 0;
    for vector in vectors["wraps"].as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        if ![
            "local_bucket_and_key",
            "local_key_only",
            "local_unbound",
            "local_client_context",
        ]
        .contains(&name)
        {
            continue;
        }
        let hex = |field: &str| {
            HEXLOWER_PERMISSIVE
                .decode(vector[field].as_str().unwrap().as_bytes())
                .unwrap()
        };
        assert_eq!(hex("wrapping_key"), MATERIAL, "{name}");
        let wrapped = vector["wrapped"].as_str().unwrap();
        let wrapped = WrappedDataKey(BASE64URL_NOPAD.decode(wrapped.as_bytes()).unwrap());
        let mut bound = context("");
        bound.bytes = hex("context_hex");
        let key = provider.describe("default").await.unwrap();
        assert_eq!(key.version, 3);
        let data_key = provider.unwrap(&key, &wrapped, &bound).await.unwrap();
        assert_eq!(data_key.expose().as_slice(), hex("data_key"), "{name}");

        let older = KeyRef { version: 2, ..key };
        let refused = provider.unwrap(&older, &wrapped, &bound).await.unwrap_err();
        assert_eq!(refused, KeyError::ContextMismatch, "{name}");
        opened += 1;
    }
    assert_eq!(opened, 4);
}

#[tokio::test]
async fn two_keys_wrap_differently_and_the_wrong_one_opens_nothing() {
    // Pitfall 1: a default or zero key made every deployment's wraps the same.
    let scratch = Scratch::new();
    for id in ["a", "b"] {
        let material = Material::generate().unwrap();
        scratch.update(|keyring| keyring.create(new_key(id), material, NOW));
    }
    let provider = LocalProvider::open(&scratch.path).unwrap();
    let (a, b) = (
        provider.describe("a").await.unwrap(),
        provider.describe("b").await.unwrap(),
    );
    let data_key = DataKey::new([7; 32]);
    let wrap = |key: &KeyRef| {
        let loaded = provider.loaded.load();
        let material = loaded.keyring.wrapping(key).unwrap();
        derived_wrap(
            material.expose(),
            local(key),
            &data_key,
            b"context",
            [9; 32],
        )
    };
    assert_ne!(wrap(&a), wrap(&b));
    let wrapped = provider.wrap(&a, &data_key, &context("x")).await.unwrap();
    let refused = provider
        .unwrap(&b, &wrapped, &context("x"))
        .await
        .unwrap_err();
    assert_eq!(refused, KeyError::ContextMismatch);
}

#[tokio::test]
async fn a_key_of_another_provider_is_unknown_here() {
    let provider = LocalProvider::open(&Scratch::with(&example()).path).unwrap();
    let key = KeyRef {
        provider: ProviderKind::AwsKms,
        ..provider.describe(KEY).await.unwrap()
    };
    assert_eq!(
        provider.generate(&key, &context("a")).await.unwrap_err(),
        KeyError::NotFound
    );
}
