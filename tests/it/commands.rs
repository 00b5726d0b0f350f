//! The commands of the built program: exit codes, output, and what they must not print.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::client::Client;
use crate::support::upstream::Embedded;
use crate::support::{Options, Proxy, UPSTREAM};

/// Runs the program; `stdin` is a file or nothing.
fn s3seal(args: &[&OsStr], stdin: Option<&Path>) -> Output {
    let stdin = stdin.map_or_else(Stdio::null, |path| File::open(path).unwrap().into());
    Command::new(env!("CARGO_BIN_EXE_s3seal"))
        .args(args)
        .env_clear()
        .stdin(stdin)
        .output()
        .unwrap()
}

/// As [`s3seal`], off the test's runtime, which has to answer meanwhile.
async fn run(args: Vec<String>, stdin: Option<PathBuf>) -> Output {
    let run = move || {
        let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
        s3seal(&args, stdin.as_deref())
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// A folder with a keyring, a configuration, and the means to check it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(TempDir::new().unwrap());
        for id in ["default", "managed"] {
            assert_eq!(code(&folder.key(&["create"], &[id])), 0);
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn key(&self, command: &[&str], args: &[&str]) -> Output {
        let keyring = self.path("keyring.json");
        let mut all: Vec<&OsStr> = vec![OsStr::new("key")];
        all.extend(command.iter().map(OsStr::new));
        all.extend([OsStr::new("--keyring"), keyring.as_os_str()]);
        all.extend(args.iter().map(OsStr::new));
        s3seal(&all, None)
    }

    fn check(&self, config: &str) -> Output {
        let path = self.path("config.toml");
        fs::write(&path, config).unwrap();
        s3seal(
            &[
                "check-config".as_ref(),
                "--config".as_ref(),
                path.as_os_str(),
            ],
            None,
        )
    }
}

const EXAMPLE: &str = include_str!("../../config/example.toml");

#[test]
fn check_config_accepts_the_example() {
    let checked = Folder::new().check(EXAMPLE);
    assert_eq!(code(&checked), 0, "{}", text(&checked.stderr));
    assert_eq!(text(&checked.stdout), "");
}

/// Servers of keys may be out of reach where a configuration is checked.
#[test]
fn check_config_asks_no_key_provider() {
    const REMOTE: &str = r#"
[[keys.providers]]
kind = "aws-kms"
name = "kms"
region = "eu-central-1"
endpoint = "http://127.0.0.1:1"
keys = ["alias/app"]

[[keys.providers]]
kind = "transit"
name = "bao"
address = "http://127.0.0.1:1"
auth = { method = "token", token = "t" }
keys = ["tenant-a"]

[[keys.providers]]
kind = "pkcs11"
name = "hsm"
module = "nowhere.so"
token_label = "t"
pin = "1"
keys = ["kek"]
"#;
    let rule = |key: &str| {
        format!(
            "{EXAMPLE}{REMOTE}\n[[rules]]\nbuckets = [\"b\"]\nencryption = \"named-key\"\nkey = \"{key}\"\n"
        )
    };
    let folder = Folder::new();
    for (key, expected) in [
        ("alias/app", 0),
        ("tenant-a", 0),
        ("kek", 0),
        ("alias/other", 64),
    ] {
        let checked = folder.check(&rule(key));
        assert_eq!(code(&checked), expected, "{}", text(&checked.stderr));
    }
}

#[test]
fn p51_check_config_names_what_is_wrong() {
    let folder = Folder::new();
    let outside = "address = \"0.0.0.0:9000\"";
    let inside = "address = \"127.0.0.1:9000\"";
    let (before, rest) = EXAMPLE.split_once("[[clients]]").unwrap();
    let (_, after) = rest.split_once("[keys]").unwrap();
    let without_clients = format!("{before}[keys]{after}");
    for (config, said) in [
        (
            EXAMPLE.replace("endpoint = \"http://1", "endpont = \"http://1"),
            "endpoint",
        ),
        (EXAMPLE.replace(inside, outside), "allow_plain_http"),
        (without_clients.replace(inside, outside), "clients"),
        (
            EXAMPLE.replace("encryption = \"named-key\"", "encryption = \"none\""),
            "encryption",
        ),
        (
            EXAMPLE.replace("keyring = \"keyring.json\"", "keyring = \"nothing.json\""),
            "nothing.json",
        ),
        (
            EXAMPLE.replace("\ndefault = \"default\"", "\ndefault = \"nobody\""),
            "nobody",
        ),
        (
            EXAMPLE.replace("ttl_seconds = 60", "ttl_seconds = 301"),
            "ttl_seconds",
        ),
        ("[".to_owned(), "config.toml"),
    ] {
        assert_ne!(config, EXAMPLE, "{said}");
        let checked = folder.check(&config);
        let stderr = text(&checked.stderr);
        assert_eq!(code(&checked), 64, "{said}: {stderr}");
        assert!(stderr.contains(said), "{said}: {stderr}");
        assert!(!stderr.contains("upstream-secret"), "{stderr}");
    }
    let missing = s3seal(
        &[
            "check-config".as_ref(),
            "--config".as_ref(),
            "/nowhere".as_ref(),
        ],
        None,
    );
    assert_eq!(code(&missing), 64);
}

#[test]
fn usage_errors_exit_with_64() {
    for args in [
        &["frobnicate"][..],
        &["serve"],
        &["open"],
        &["key", "create"],
        &[],
    ] {
        let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
        assert_eq!(code(&s3seal(&args, None)), 64, "{args:?}");
    }
    for args in [["--help"], ["--version"]] {
        assert_eq!(code(&s3seal(&args.map(OsStr::new), None)), 0, "{args:?}");
    }
}

/// Whoever runs a command again and again has to know whether that is of use.
#[test]
fn a_provider_that_is_away_is_no_bad_configuration() {
    const KMS: &str = r#"
[[keys.providers]]
kind = "aws-kms"
name = "kms"
region = "us-east-1"
endpoint = "http://127.0.0.1:1"
credentials = { access_key_id = "A", secret_access_key = "s" }
keys = ["alias/app"]
"#;
    let folder = Folder::new();
    for (config, expected) in [
        (format!("{EXAMPLE}{KMS}"), 1),
        (format!("{EXAMPLE}{KMS}unknown = 1\n"), 64),
    ] {
        let path = folder.path("config.toml");
        fs::write(&path, &config).unwrap();
        for args in [&["usage"][..], &["rewrap", "--to", "default"], &["encrypt"]] {
            let mut args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
            args.extend([
                "--config".as_ref(),
                path.as_os_str(),
                "s3://bucket/".as_ref(),
            ]);
            let ended = s3seal(&args, None);
            assert_eq!(code(&ended), expected, "{args:?}: {}", text(&ended.stderr));
        }
    }
}

/// The life of a key, and that nobody is shown its material.
#[test]
fn key_commands_change_and_show_a_keyring() {
    let folder = Folder::new();
    let keyring = folder.path("keyring.json");
    assert_eq!(
        fs::metadata(&keyring).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let secrets = materials(&keyring);
    assert_eq!(secrets.len(), 2);

    let mut printed = Vec::new();
    for (command, args, status) in [
        ("create", &["tenant", "--alias", "alias/t"][..], 0),
        ("create", &["tenant"], 64),
        ("rotate", &["alias/t"], 0),
        ("rotate", &["nobody"], 1),
        ("describe", &["tenant"], 0),
        ("describe", &["nobody"], 1),
        ("list", &[], 0),
        ("list", &["--json"], 0),
        ("disable", &["tenant", "--version", "2"], 1),
        ("disable", &["tenant", "--version", "1"], 0),
        ("disable", &["tenant"], 0),
        ("enable", &["tenant"], 0),
        ("retire", &["tenant"], 0),
        ("enable", &["tenant"], 1),
        ("enable", &["tenant", "--force"], 0),
        ("destroy", &["tenant", "--yes"], 0),
        ("enable", &["tenant", "--force"], 1),
    ] {
        let output = folder.key(&[command], args);
        let stderr = text(&output.stderr);
        assert_eq!(code(&output), status, "{command} {args:?}: {stderr}");
        printed.extend_from_slice(&output.stdout);
        printed.extend_from_slice(&output.stderr);
    }
    let printed = text(&printed);
    for secret in secrets {
        assert!(!printed.contains(&secret), "{printed}");
    }

    let list: Value = serde_json::from_slice(&folder.key(&["list"], &["--json"]).stdout).unwrap();
    let ids: Vec<&str> = list["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["default", "managed", "tenant"]);
    assert_eq!(list["keys"][2]["state"], "destroyed", "{list}");
    assert_eq!(materials(&keyring).len(), 2, "destroyed material is gone");
}

/// From the command that seals to the configuration that opens.
#[test]
fn a_sealed_keyring_needs_its_passphrase_everywhere() {
    let folder = Folder::new();
    let file = folder.path("keyring.passphrase");
    fs::write(&file, "correct horse battery\n").unwrap();
    let with = ["--passphrase-file", file.to_str().unwrap()];
    let line = "keyring = \"keyring.json\"";
    let passphrase = "passphrase = { file = \"keyring.passphrase\" }";
    let configured = EXAMPLE.replace(line, &format!("{line}\n{passphrase}"));
    assert_ne!(configured, EXAMPLE);
    let refused = |checked: Output, said: &str| {
        let stderr = text(&checked.stderr);
        assert_eq!(code(&checked), 64, "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    };

    refused(folder.check(&configured), "it is not sealed");
    let sealed = folder.key(&["seal"], &with);
    assert_eq!(code(&sealed), 0, "{}", text(&sealed.stderr));
    refused(folder.check(EXAMPLE), "it is sealed");
    assert_eq!(code(&folder.check(&configured)), 0);
    refused(folder.key(&["rotate"], &["default"]), "it is sealed");

    let list = |passphrase: &str| {
        let mut list = Command::new(env!("CARGO_BIN_EXE_s3seal"));
        let keyring = folder.path("keyring.json");
        list.args(["key", "list", "--keyring", keyring.to_str().unwrap()]);
        list.env_clear()
            .env("S3SEAL_KEYRING_PASSPHRASE", passphrase);
        list.output().unwrap()
    };
    assert_eq!(code(&list("correct horse battery")), 0);
    refused(list("correct horse buttery"), "the passphrase is wrong");
    fs::write(&file, "correct horse buttery").unwrap();
    refused(folder.check(&configured), "the passphrase is wrong");
}

/// Every material of a keyring file, as it stands there.
fn materials(keyring: &Path) -> Vec<String> {
    let file: Value = serde_json::from_slice(&fs::read(keyring).unwrap()).unwrap();
    let keys = file["keys"].as_array().unwrap();
    let versions = keys
        .iter()
        .flat_map(|key| key["versions"].as_array().unwrap());
    versions
        .filter_map(|version| Some(version["material"].as_str()?.to_owned()))
        .collect()
}

/// An object as the upstream has it.
struct Object {
    proxy: Proxy,
    upstream: Embedded,
    header: String,
    envelope: String,
}

const PLAINTEXT_LEN: usize = 200_000;

fn plaintext() -> Vec<u8> {
    (0..PLAINTEXT_LEN)
        .map(|index| (index % 253) as u8)
        .collect()
}

impl Object {
    async fn stored() -> Self {
        let upstream = Embedded::start().await;
        let proxy = Proxy::start(upstream.address, Options::default()).await;
        let put = proxy
            .client()
            .draft("PUT", "/bucket/object")
            .body(plaintext());
        let put = put.header("x-amz-server-side-encryption", "aws:kms");
        let put = put.header("x-amz-server-side-encryption-context", "eyJhIjoiYiJ9");
        assert_eq!(put.send().await.status, 200);
        let direct = Client::new(upstream.address, UPSTREAM);
        let head = direct.draft("HEAD", "/bucket/object").send().await;
        let value = |name: &str| head.header(name).unwrap().to_owned();
        let (header, envelope) = (
            value("x-amz-meta-s3seal-header"),
            value("x-amz-meta-s3seal-key"),
        );
        Self {
            proxy,
            upstream,
            header,
            envelope,
        }
    }

    /// `s3seal open` with what is stored in `file`, for the object's own place but for `change`.
    async fn open(&self, file: &Path, change: &[(&str, &str)]) -> Output {
        let keyring = self.proxy.keyring();
        let mut args = vec!["open".to_owned()];
        for (name, value) in [
            ("--keyring", keyring.to_str().unwrap()),
            ("--bucket", "bucket"),
            ("--key", "object"),
            ("--header", &self.header),
            ("--envelope", &self.envelope),
        ] {
            let changed = change.iter().find(|(changed, _)| *changed == name);
            args.extend([
                name.to_owned(),
                changed.map_or(value, |(_, value)| value).to_owned(),
            ]);
        }
        run(args, Some(file.to_owned())).await
    }
}

#[tokio::test]
async fn p53_open_needs_no_proxy() {
    let object = Object::stored().await;
    let opened = object.open(&object.upstream.file("object"), &[]).await;
    assert_eq!(code(&opened), 0, "{}", text(&opened.stderr));
    assert_eq!(opened.stdout, plaintext());
    object.proxy.stop().await;
}

/// What is written before a failure is plaintext, and a failure is not an exit code of 0.
#[tokio::test]
async fn p3_p5_open_of_a_changed_object_fails_without_a_wrong_byte() {
    let object = Object::stored().await;
    let stored = fs::read(object.upstream.file("object")).unwrap();
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("stored");
    let mut changed = Vec::new();
    for at in [
        0,
        65_551,
        65_552,
        131_104,
        stored.len() - 129,
        stored.len() - 128,
        stored.len() - 1,
    ] {
        let mut bytes = stored.clone();
        bytes[at] ^= 1;
        changed.push((format!("flipped at {at}"), bytes));
    }
    for len in [0, 1, 143, 144, 65_552, stored.len() - 128, stored.len() - 1] {
        changed.push((format!("cut to {len}"), stored[..len].to_vec()));
    }
    changed.push(("extended".to_owned(), [&stored[..], &[0]].concat()));
    let plaintext = plaintext();
    for (what, bytes) in changed {
        fs::write(&file, bytes).unwrap();
        let opened = object.open(&file, &[]).await;
        assert_eq!(code(&opened), 1, "{what}: {}", text(&opened.stderr));
        assert!(!opened.stderr.is_empty(), "{what}");
        assert!(opened.stdout.len() < plaintext.len(), "{what}");
        assert!(
            plaintext.starts_with(&opened.stdout),
            "{what}: wrong plaintext"
        );
        if !what.starts_with("flipped") {
            assert!(
                opened.stdout.is_empty(),
                "{what}: {} bytes",
                opened.stdout.len()
            );
        }
    }
    object.proxy.stop().await;
}

#[tokio::test]
async fn p7_p14_open_refuses_another_place_or_envelope() {
    let object = Object::stored().await;
    let file = object.upstream.file("object");
    let keyring = Folder::new();
    let keyring = keyring.path("keyring.json");
    let flipped = |value: &str| {
        let other = if value.as_bytes()[40] == b'A' {
            'B'
        } else {
            'A'
        };
        format!("{}{other}{}", &value[..40], &value[41..])
    };
    let (header, envelope) = (flipped(&object.header), flipped(&object.envelope));
    for change in [
        ("--bucket", "other"),
        ("--key", "other"),
        ("--keyring", keyring.to_str().unwrap()),
        ("--header", header.as_str()),
        ("--envelope", envelope.as_str()),
    ] {
        let opened = object.open(&file, &[change]).await;
        assert_eq!(code(&opened), 1, "{change:?}: {}", text(&opened.stderr));
        assert!(opened.stdout.is_empty(), "{change:?}");
    }
    object.proxy.stop().await;
}

#[tokio::test]
async fn inspect_shows_how_an_object_is_encrypted() {
    let object = Object::stored().await;
    let config = object.proxy.config();
    let inspect = |name: &str, json: bool| {
        let mut args = vec!["inspect", "--config", config.to_str().unwrap(), name];
        args.extend(json.then_some("--json"));
        run(args.into_iter().map(str::to_owned).collect(), None)
    };
    let shown = inspect("s3://bucket/object", true).await;
    assert_eq!(code(&shown), 0, "{}", text(&shown.stderr));
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    for (field, value) in [
        ("bucket", Value::from("bucket")),
        ("key", "object".into()),
        ("plaintext_size", PLAINTEXT_LEN.into()),
        ("stored_size", (PLAINTEXT_LEN + 16 * 4 + 128).into()),
        ("mode", "aws:kms".into()),
        ("key_id", "default".into()),
        ("key_version", 1.into()),
        ("layout", "single".into()),
        ("binding", "bucket-and-key".into()),
    ] {
        assert_eq!(shown[field], value, "{field}: {shown}");
    }
    let table = inspect("s3://bucket/object", false).await;
    assert!(
        text(&table.stdout).contains("aws:kms"),
        "{}",
        text(&table.stdout)
    );

    fs::write(object.upstream.file("foreign"), "plain").unwrap();
    for (name, status) in [
        ("s3://bucket/nothing", 1),
        ("s3://bucket/foreign", 1),
        ("bucket/object", 64),
    ] {
        assert_eq!(code(&inspect(name, true).await), status, "{name}");
    }
    object.proxy.stop().await;
}
