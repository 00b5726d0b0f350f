//! Offline, without a proxy: bucket keys, their registry, sealed keyrings, and the manual's own
//! commands for the day on which nothing else is left.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use data_encoding::BASE64;
use s3seal::format::{Metadata, Wrapped};
use s3seal::keys::KeyProvider;
use s3seal::keys::bucket_keys::{self, WrappedBucketKey, registry};
use s3seal::keys::local::LocalProvider;
use s3seal::keys::types::WrappedDataKey;
use serde_json::Value;
use tempfile::TempDir;

use crate::commands::{code, text};
use crate::multipart::{self, body};
use crate::support::client::Client;
use crate::support::upstream::{self, Embedded};
use crate::support::{Options, Proxy, UPSTREAM};

const PASSPHRASE: &str = "correct horse battery";

/// A folder, and the program in it.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(TempDir::new().unwrap());
        fs::write(desk.path("keyring.passphrase"), PASSPHRASE).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, args: &[&str], stdin: Option<&str>) -> Output {
        let stdin = stdin.map_or_else(Stdio::null, |name| {
            fs::File::open(self.path(name)).unwrap().into()
        });
        let mut command = Command::new(env!("CARGO_BIN_EXE_s3seal"));
        command.args(args).current_dir(self.0.path()).env_clear();
        command.stdin(stdin).output().unwrap()
    }

    fn key(&self, command: &str, args: &[&str]) {
        let args = [&["key", command, "--keyring", "keyring.json"], args].concat();
        let done = self.run(&args, None);
        assert_eq!(code(&done), 0, "{args:?}: {}", text(&done.stderr));
    }
}

/// Seals an object with the model; stdout is JSON.
const MODEL: &str = r#"
import hashlib, json
from format_reference import *
kek, moved, bucket_key, data_key, oid, id = [hashlib.sha256(b"%d" % n).digest() for n in range(6)]
id, salts = id[:16], [hashlib.sha256(b"salt %d" % n).digest() for n in range(3)]
bucket, key = b"photos", "a/\u00fc.jpg".encode()
header, stored = seal_single(data_key, oid, pattern(200000))
head = envelope_head(PROVIDERS["local"], 2, MODES["kms"], BUCKET_AND_KEY, True, "default", 3)
wrap = lambda ikm, name, version, salt: derived_wrap(ikm, local_info(version), bucket_key, bucket_context(1, name, version, id, bucket), salt)
wrapped = derived_wrap(bucket_key, bucket_info(id), data_key, binding_context(header, head, bucket, key), salts[0])
envelope = lambda embedded: b64(head + field(id + field(embedded) + wrapped))
entry = bytes([1, 1]) + field(b"moved") + struct.pack(">I", 1) + id + field(wrap(moved, "moved", 1, salts[2]))
enc = lambda b: base64.b64encode(b).decode()
print(json.dumps(dict(kek=enc(kek), moved=enc(moved), id=id.hex(), header=b64(header), envelope=envelope(wrap(kek, "default", 3, salts[1])),
    without=envelope(b""), stored=enc(stored), plaintext=enc(pattern(200000)), entry=enc(entry))))
"#;

/// Seals a keyring by its specification, with the Argon2id of OpenSSL; stdout is the file.
const KEYRING: &str = r#"
import hashlib, json, sys
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from format_reference import *
passphrase, info, created, salt = sys.argv[1].encode(), b"s3seal.v1.keyring-seal", "2026-01-02T03:04:05Z", bytes(range(16))
seal = Argon2id(salt=salt, length=32, iterations=3, lanes=1, memory_cost=65536).derive(passphrase)
check = lambda key, label: hmac.new(key, label, hashlib.sha256).digest()[:8].hex()
enc = lambda b: base64.b64encode(b).decode()
def version(number, state):
    material = hashlib.sha256(b"%d" % number).digest()
    sealed = derived_wrap(seal, info, material, info + field(b"default") + struct.pack(">I", number), hashlib.sha256(material).digest())
    return dict(version=number, state=state, material=enc(sealed), check=check(material, b"s3seal.v1.check"), created=created)
print(json.dumps(dict(format="s3seal-keyring", version=1,
    sealed=dict(kdf="argon2id", memory_kib=65536, passes=3, lanes=1, salt=enc(salt), check=check(seal, b"s3seal.v1.seal-check")),
    keys=[dict(id="default", created=created, active=2, versions=[version(1, "decrypt-only"), version(2, "enabled")])])))
"#;

fn model(python: &Path, script: &str, argument: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let mut python = Command::new(python);
    let made = python.args(["-B", "-c", script, argument]);
    let made = made.current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    serde_json::from_slice(&made.stdout).unwrap()
}

/// It opens, goes on under the same seal, and what a change does not touch stays as it was.
#[test]
fn a_keyring_that_the_model_sealed_is_one_of_ours() {
    let Some(python) = python() else { return };
    let sealed = model(&python, KEYRING, PASSPHRASE);
    let desk = Desk::new();
    fs::write(desk.path("keyring.json"), sealed.to_string()).unwrap();
    let owner_only = fs::Permissions::from_mode(0o600);
    fs::set_permissions(desk.path("keyring.json"), owner_only).unwrap();
    let with = ["--passphrase-file", "keyring.passphrase"];
    desk.key("rotate", &[&["default"], &with[..]].concat());
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(desk.path(name)).unwrap()).unwrap()
    };
    let rotated = read("keyring.json");
    assert_eq!(rotated["sealed"], sealed["sealed"]);
    let material =
        |file: &Value, index: usize| file["keys"][0]["versions"][index]["material"].clone();
    assert_eq!(material(&rotated, 0), material(&sealed, 0));
    assert_eq!(material(&rotated, 1), material(&sealed, 1));
    desk.key("unseal", &with);
    let clear = read("keyring.json");
    // SHA-256 of "1" and "2"
    assert_eq!(
        material(&clear, 0),
        "a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s="
    );
    assert_eq!(
        material(&clear, 1),
        "1HNeOiZeFu7gP1lxi5tdAwGcB9i2xR+Q2jpmbuwTqzU="
    );
}

/// `None` where the tests are told to do without what tests/run installs.
fn python() -> Option<PathBuf> {
    upstream::value_from_environment("S3SEAL_TEST_PYTHON").map(PathBuf::from)
}

/// What the reference model seals under a bucket key opens, by the embedded wrap or a registry's.
#[test]
fn p53_open_takes_the_bucket_key_from_the_object_or_from_the_registry() {
    let Some(python) = python() else { return };
    let object = model(&python, MODEL, "");
    let field = |name: &str| object[name].as_str().unwrap();
    let bytes = |name: &str| BASE64.decode(field(name).as_bytes()).unwrap();
    let desk = Desk::new();
    for (name, content) in [
        ("kek", field("kek").as_bytes().to_vec()),
        ("moved", field("moved").as_bytes().to_vec()),
        ("stored", bytes("stored")),
        ("entry", bytes("entry")),
        ("empty", Vec::new()),
    ] {
        fs::write(desk.path(name), content).unwrap();
    }
    let of_bucket = desk.path("registry").join("photos");
    fs::create_dir_all(&of_bucket).unwrap();
    fs::create_dir(desk.path("nothing")).unwrap();
    fs::copy(desk.path("entry"), of_bucket.join(field("id"))).unwrap();
    let mut foreign = bytes("entry");
    foreign[2 + 2 + 5 + 4] ^= 1; // the bucket key's id
    fs::write(desk.path("foreign"), foreign).unwrap();
    desk.key(
        "import",
        &["default", "--version", "3", "--material", "kek"],
    );
    desk.key("import", &["moved", "--material", "moved"]);

    let open = |envelope: &str, more: &[&str]| {
        let key = ["--bucket", "photos", "--key", "a/\u{fc}.jpg"];
        let stored = ["--header", field("header"), "--envelope", field(envelope)];
        let args = [
            &["open", "--keyring", "keyring.json"],
            &key[..],
            &stored,
            more,
        ]
        .concat();
        desk.run(&args, Some("stored"))
    };
    let opens = |envelope: &str, more: &[&str]| {
        let opened = open(envelope, more);
        assert_eq!(code(&opened), 0, "{more:?}: {}", text(&opened.stderr));
        assert!(opened.stdout == bytes("plaintext"), "{more:?}");
    };
    let refuses = |envelope: &str, more: &[&str], said: &str| {
        let refused = open(envelope, more);
        let stderr = text(&refused.stderr);
        assert_eq!(code(&refused), 1, "{more:?}: {stderr}");
        assert!(refused.stdout.is_empty(), "{more:?}");
        assert!(stderr.contains(said), "{more:?}: {stderr}");
    };
    opens("envelope", &[]);
    for place in ["entry", "registry"] {
        opens("envelope", &["--registry-entry", place]);
        opens("without", &["--registry-entry", place]);
    }
    opens("envelope", &["--registry-entry", "nothing"]);
    refuses("without", &[], "--registry-entry is needed");
    refuses("without", &["--registry-entry", "nothing"], "is needed");
    for place in ["foreign", "empty", "stored"] {
        refuses("envelope", &["--registry-entry", place], "is no entry");
    }
    refuses("envelope", &["--registry-entry", "nowhere"], "nowhere");

    // the key that the bucket key was moved away from may go, and the keyring may be sealed
    desk.key("destroy", &["default", "--yes"]);
    refuses("envelope", &[], "destroyed");
    opens("envelope", &["--registry-entry", "entry"]);
    let with = ["--passphrase-file", "keyring.passphrase"];
    desk.key("seal", &with);
    refuses("envelope", &["--registry-entry", "entry"], "it is sealed");
    opens(
        "envelope",
        &[&["--registry-entry", "entry"], &with[..]].concat(),
    );
    fs::write(desk.path("keyring.passphrase"), "correct horse buttery").unwrap();
    let with = [&["--registry-entry", "entry"], &with[..]].concat();
    refuses("envelope", &with, "the passphrase is wrong");
}

/// A bucket key that belongs to another bucket opens nothing here.
#[tokio::test]
async fn p7_p14_open_refuses_the_bucket_key_of_another_bucket() {
    let disaster = Disaster::begin().await;
    let (desk, objects) = (Desk::new(), &disaster.objects);
    fs::copy(disaster.proxy.keyring(), desk.path("keyring.json")).unwrap();
    fs::copy(disaster.upstream.file("two"), desk.path("stored")).unwrap();
    let (_, header, envelope) = objects.iter().find(|(key, ..)| key == "two").unwrap();
    for (bucket, status) in [("bucket", 0), ("other", 1)] {
        let place = ["--bucket", bucket, "--key", "two"];
        let stored = ["--header", header, "--envelope", envelope];
        let args = [&["open", "--keyring", "keyring.json"], &place[..], &stored].concat();
        let opened = desk.run(&args, Some("stored"));
        assert_eq!(code(&opened), status, "{}", text(&opened.stderr));
        assert_eq!(opened.stdout.is_empty(), status != 0);
    }
    disaster.proxy.stop().await;
}

/// A bucket with objects of every kind, and what is to be got back.
struct Disaster {
    proxy: Proxy,
    upstream: Embedded,
    registry: TempDir,
    plaintexts: Vec<(&'static str, Vec<u8>)>,
    /// Key, header and envelope.
    objects: Vec<(String, String, String)>,
}

impl Disaster {
    async fn begin() -> Self {
        let registry = TempDir::new().unwrap();
        let upstream = Embedded::start().await;
        let options = Options {
            tables: format!(
                "[keys.bucket_keys]\nenabled = true\nregistry = \"{}\"\n",
                registry.path().display()
            ),
            ..Options::default()
        };
        let proxy = Proxy::start(upstream.address, options).await;
        let client = proxy.client();
        let small = body(70_000).to_vec();
        let direct = client
            .draft("PUT", "/bucket/a/one%20of%20them")
            .header("x-amz-server-side-encryption", "aws:kms")
            .header("x-amz-server-side-encryption-bucket-key-enabled", "false")
            .body(small.clone());
        assert_eq!(direct.send().await.status, 200);
        assert_eq!(client.put("/bucket/two", small.clone()).await.status, 200);
        let large = body(5 << 20);
        let created = client.draft("POST", "/bucket/b/three?uploads");
        let id = created.send().await.element("UploadId");
        let mut parts = Vec::new();
        for (number, part) in [(1, large.clone()), (2, large.slice(..1000))] {
            parts.push(multipart::put(&client, "b/three", &id, number, part).await);
        }
        multipart::complete(&client, "b/three", &id, &parts).await;
        let three = [&large[..], &large[..1000]].concat();
        let plaintexts = vec![
            ("a/one of them", small.clone()),
            ("two", small),
            ("b/three", three),
        ];
        let objects = stored_metadata(&upstream, &plaintexts).await;
        Self {
            proxy,
            upstream,
            registry,
            plaintexts,
            objects,
        }
    }

    /// Runs the manual's commands with what was saved, and compares what they give.
    async fn recover(&self, desk: &Desk, python: &Path) {
        let mut script = Command::new("sh");
        let commands = commands_of_the_manual();
        let program = Path::new(env!("CARGO_BIN_EXE_s3seal")).parent().unwrap();
        let path = [program, python.parent().unwrap()].map(|folder| folder.to_str().unwrap());
        script
            .args(["-euc", &commands])
            .current_dir(desk.0.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", path.join(":")))
            .env("HOME", desk.0.path())
            .env("LC_ALL", "C.UTF-8")
            .env("AWS_ACCESS_KEY_ID", UPSTREAM.id)
            .env("AWS_SECRET_ACCESS_KEY", UPSTREAM.secret)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env(
                "AWS_ENDPOINT_URL",
                format!("http://{}", self.upstream.address),
            )
            .stdin(Stdio::null());
        let ran = tokio::task::spawn_blocking(move || script.output().unwrap());
        let ran = ran.await.unwrap();
        let said = text(&ran.stderr);
        assert!(ran.status.success(), "{commands}\n{said}");
        assert!(!desk.path("failed").exists(), "{said}");
        for (key, plaintext) in &self.plaintexts {
            let found = fs::read(desk.path("plain").join(key)).unwrap();
            assert!(found == *plaintext, "{key}");
        }
    }
}

async fn stored_metadata(
    upstream: &Embedded,
    plaintexts: &[(&'static str, Vec<u8>)],
) -> Vec<(String, String, String)> {
    let direct = Client::new(upstream.address, UPSTREAM);
    let mut objects = Vec::new();
    for (key, _) in plaintexts {
        let path = format!("/bucket/{}", key.replace(' ', "%20"));
        let head = direct.draft("HEAD", &path).send().await;
        let value = |name: &str| head.header(name).unwrap().to_owned();
        let header = value("x-amz-meta-s3seal-header");
        objects.push((key.to_string(), header, value("x-amz-meta-s3seal-key")));
    }
    objects
}

/// The commands of the section, in order, for this bucket.
fn commands_of_the_manual() -> String {
    let manual = include_str!("../../src/manual/operations.md");
    let (_, section) = manual.split_once("\n## Recovering a bucket").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    let blocks: Vec<_> = blocks
        .map(|block| block.split_once("```").unwrap().0)
        .collect();
    assert_eq!(blocks.len(), 2, "{section}");
    blocks.concat().replace("photos", "bucket")
}

#[tokio::test]
async fn p53_the_manual_recovers_a_bucket_from_what_is_stored_and_the_keyring() {
    // the client of AWS is installed beside it
    let Some(python) = python() else { return };
    let disaster = Disaster::begin().await;
    let desk = Desk::new();
    fs::copy(disaster.proxy.keyring(), desk.path("keyring.json")).unwrap();
    desk.key("seal", &["--passphrase-file", "keyring.passphrase"]);
    disaster.recover(&desk, &python).await;
    disaster.proxy.stop().await;
}

/// After a rewrap of the registry the embedded wraps need a key that may be gone.
#[tokio::test]
async fn p93_open_follows_a_registry_that_was_moved_to_another_key() {
    let disaster = Disaster::begin().await;
    let desk = Desk::new();
    fs::copy(disaster.proxy.keyring(), desk.path("keyring.json")).unwrap();
    for (_, header, envelope) in &disaster.objects {
        move_bucket_key(&disaster, header, envelope).await;
    }
    desk.key("destroy", &["default", "--yes"]);
    for (key, plaintext) in &disaster.plaintexts {
        let (_, header, envelope) = disaster.objects.iter().find(|(k, ..)| k == key).unwrap();
        fs::copy(disaster.upstream.file(key), desk.path("stored")).unwrap();
        let registry = disaster.registry.path().to_str().unwrap();
        let place = ["--bucket", "bucket", "--key", key];
        let stored = ["--header", header, "--envelope", envelope];
        let args = [&["open", "--keyring", "keyring.json"], &place[..], &stored].concat();
        let refused = desk.run(&args, Some("stored"));
        assert_eq!(code(&refused), 1, "{key}");
        let with = [&args[..], &["--registry-entry", registry]].concat();
        let opened = desk.run(&with, Some("stored"));
        // the first has no bucket key: its key is gone
        let status = i32::from(*key == "a/one of them");
        assert_eq!(code(&opened), status, "{key}: {}", text(&opened.stderr));
        assert!(opened.stdout == *plaintext || status == 1, "{key}");
    }
    disaster.proxy.stop().await;
}

/// What `rewrap --bucket-keys` is going to do: the registry's wrap is made anew under another key.
async fn move_bucket_key(disaster: &Disaster, header: &str, envelope: &str) {
    let values = [
        ("x-amz-meta-s3seal-header", header.as_bytes()),
        ("x-amz-meta-s3seal-key", envelope.as_bytes()),
    ];
    let metadata = Metadata::parse(values).unwrap().unwrap();
    let Wrapped::BucketKey { id, .. } = metadata.envelope.wrapped() else {
        return;
    };
    let keyring = LocalProvider::open(&disaster.proxy.keyring()).unwrap();
    let path = disaster.registry.path().join(registry::name("bucket", id));
    let entry = registry::parse(&fs::read(&path).unwrap()).unwrap();
    let to = keyring.describe("tenant").await.unwrap();
    let (from_context, to_context) = (
        entry.context("bucket").unwrap(),
        bucket_keys::context(&to, id, "bucket").unwrap(),
    );
    let moved: WrappedDataKey = keyring
        .rewrap(
            (&entry.kek, &from_context),
            &entry.wrapped,
            (&to, &to_context),
        )
        .await
        .unwrap();
    let moved = WrappedBucketKey {
        id: *id,
        kek: to,
        wrapped: moved,
    };
    fs::write(&path, registry::encode(&moved).unwrap()).unwrap();
}
