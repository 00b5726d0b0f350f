//! Objects of the Amazon S3 Encryption Client, stored around the proxy: as the library wrote them
//! (tests/vectors/s3ec.json), or made by another cipher library than the one that opens them.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use data_encoding::{BASE64, HEXLOWER};
use s3seal::app;
use s3seal::config::{Config, Environment};
use s3seal::ops::in_place::{self, Manner, Outcome};
use serde_json::{Value, json};

use crate::providers::moto::{Key as KmsKey, Moto, REGION};
use crate::support::chaos::{Chaos, End, Stored};
use crate::support::client::{Answer, Client, Identity};
use crate::support::http1::{Ending, Wire};
use crate::support::upstream::Embedded;
use crate::support::{Options, Proxy, UPSTREAM};

const OBJECT: &str = "/bucket/object";
const MIB: usize = 1 << 20;
const RAW_KEY: [u8; 32] = [0x5a; 32];
const DATA_KEY: [u8; 32] = [0xd1; 32];
const VECTORS: &str = include_str!("../vectors/s3ec.json");

/// An object as it is stored.
#[derive(Clone, Debug)]
struct Object {
    metadata: Vec<(String, String)>,
    body: Vec<u8>,
    plaintext: Vec<u8>,
}

impl Object {
    /// A frozen one, with the raw key that opens it.
    fn frozen(name: &str) -> (Self, String) {
        let file: Value = serde_json::from_str(VECTORS).unwrap();
        let mut vectors = file["vectors"].as_array().unwrap().iter();
        let found = vectors.find(|vector| vector["name"] == name).unwrap();
        let bytes = |name: &str| {
            let text = found[name].as_str().unwrap();
            BASE64.decode(text.as_bytes()).unwrap()
        };
        let metadata = found["metadata"].as_object().unwrap().iter();
        let metadata = metadata.map(|(name, value)| (name.clone(), value.as_str().unwrap().into()));
        let object = Self {
            metadata: metadata.collect(),
            body: bytes("body"),
            plaintext: bytes("plaintext"),
        };
        let raw = found["raw_key"].as_str().unwrap_or_default().as_bytes();
        (object, BASE64.encode(&HEXLOWER.decode(raw).unwrap()))
    }

    /// One of V2 under [`RAW_KEY`].
    fn v2(len: usize) -> Self {
        let plaintext: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let cipher = "AES/GCM/NoPadding";
        let mut wrapped = vec![3; 12];
        wrapped.extend(gcm(&RAW_KEY, 3, cipher.as_bytes(), &DATA_KEY));
        let metadata = [
            ("x-amz-key-v2", BASE64.encode(&wrapped)),
            ("x-amz-iv", BASE64.encode(&[7; 12])),
            ("x-amz-wrap-alg", "AES/GCM".to_owned()),
            ("x-amz-cek-alg", cipher.to_owned()),
            ("x-amz-tag-len", "128".to_owned()),
            ("x-amz-matdesc", "{}".to_owned()),
            ("colour", "blue".to_owned()),
        ];
        Self {
            metadata: metadata
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            body: gcm(&DATA_KEY, 7, &[], &plaintext),
            plaintext,
        }
    }

    /// The same, with the data key wrapped by KMS under this context.
    async fn wrapped_by(mut self, moto: &Moto, key: &KmsKey, context: &Value) -> Self {
        let body = json!({
            "KeyId": key.arn, "Plaintext": BASE64.encode(&DATA_KEY), "EncryptionContext": context,
        });
        let made = moto.owner("Encrypt", &body).await;
        self.set("x-amz-key-v2", made["CiphertextBlob"].as_str().unwrap());
        self.set("x-amz-wrap-alg", "kms+context");
        self.set("x-amz-matdesc", &context.to_string());
        self
    }

    fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.metadata.push((name.to_owned(), value.to_owned()));
    }

    fn remove(&mut self, name: &str) {
        self.metadata.retain(|(known, _)| known != name);
    }

    /// As an upstream of the tests holds it.
    fn stored(&self) -> Stored {
        let mut stored = Stored {
            headers: Vec::new(),
            body: self.body.clone(),
        };
        for (name, value) in &self.metadata {
            stored.set(&format!("x-amz-meta-{name}"), value);
        }
        stored.set("Content-Type", "text/x-test");
        stored.set("ETag", "\"1\"");
        stored
    }

    async fn store(&self, upstream: &Client, target: &str) {
        let mut put = upstream.draft("PUT", target).body(self.body.clone());
        for (name, value) in &self.metadata {
            put = put.header(&format!("x-amz-meta-{name}"), value);
        }
        let put = put.header("content-type", "text/x-test").send().await;
        assert_eq!(put.status, 200, "{put:?}");
    }
}

fn gcm(key: &[u8; 32], nonce: u8, aad: &[u8], msg: &[u8]) -> Vec<u8> {
    let cipher = Aes256Gcm::new(key.into());
    let payload = Payload { msg, aad };
    cipher.encrypt(&[nonce; 12].into(), payload).unwrap()
}

/// A proxy that reads such objects by raw keys, over a store to put them into.
struct Bench {
    _upstream: Embedded,
    direct: Client,
    proxy: Proxy,
    client: Client,
}

impl Bench {
    async fn start(options: Options) -> Self {
        let upstream = Embedded::start().await;
        let proxy = Proxy::start(upstream.address, options).await;
        Self {
            direct: Client::new(upstream.address, UPSTREAM),
            _upstream: upstream,
            client: proxy.client(),
            proxy,
        }
    }

    async fn has_metric(&self, line: &str) -> bool {
        self.proxy.metrics().await.lines().any(|it| it == line)
    }
}

fn reading(rule: &str) -> Options {
    let raw = BASE64.encode(&RAW_KEY);
    Options {
        rule: format!(
            "s3_encryption_client = {{ raw_keys = [\"{raw}\"], max_size_mib = 8 }}\n{rule}"
        ),
        ..Options::default()
    }
}

fn assert_refused(answer: &Answer, status: u16, code: &str, what: &str) {
    let found = (answer.status.as_u16(), answer.code());
    assert_eq!(found, (status, code.to_owned()), "{what}: {answer:?}");
}

async fn range(client: &Client, target: &str, range: &str) -> Answer {
    let draft = client.draft("GET", target).header("range", range);
    draft.send().await
}

#[tokio::test]
async fn p100_objects_of_the_library_are_read_whole_and_in_ranges() {
    // s3s-fs fails at suffixes that are longer than an object.
    let chaos = Chaos::start().await;
    let proxy = Proxy::start(chaos.address, reading("")).await;
    let client = proxy.client();
    for len in [0, 1, 16, 65_535, 65_536, 65_537, MIB, 5 * MIB + 3] {
        let object = Object::v2(len);
        chaos.store(OBJECT, object.stored());
        let get = client.get(OBJECT).await;
        assert_eq!(get.status, 200, "{len}");
        assert!(get.body == object.plaintext, "{len}");
        let head = client.draft("HEAD", OBJECT).send().await;
        for answer in [&get, &head] {
            let header = |name| answer.header(name);
            assert_eq!(header("content-length"), Some(&*len.to_string()));
            assert_eq!(header("x-amz-meta-colour"), Some("blue"));
            assert_eq!(header("content-type"), Some("text/x-test"));
            let theirs = |name: &&hyper::header::HeaderName| name.as_str().contains("meta-x-amz");
            assert_eq!(answer.headers.keys().find(theirs), None);
        }
        assert_eq!(get.header("etag"), head.header("etag"));
        let last = len.saturating_sub(1);
        for (asked, shown) in [
            ("bytes=0-0".to_owned(), 0..1),
            (format!("bytes={last}-"), last..len),
            (format!("bytes={}-", len / 2), len / 2..len),
            ("bytes=-17".to_owned(), len.saturating_sub(17)..len),
            ("bytes=0-".to_owned(), 0..len),
        ] {
            let part = range(&client, OBJECT, &asked).await;
            if len == 0 {
                assert_refused(&part, 416, "InvalidRange", &asked);
                continue;
            }
            assert_eq!(part.status, 206, "{len} {asked}");
            assert!(
                part.body == object.plaintext[shown.clone()],
                "{len} {asked}"
            );
            let shown = format!("bytes {}-{}/{len}", shown.start, shown.end.min(len) - 1);
            assert_eq!(part.header("content-range"), Some(&*shown));
        }
    }
    assert_eq!(range(&client, OBJECT, "bytes=9999999-").await.status, 416);
    let part = client.get("/bucket/object?partNumber=1").await;
    assert_eq!((part.status.as_u16(), part.body.len()), (206, 5 * MIB + 3));
    let part = client.get("/bucket/object?partNumber=2").await;
    assert_refused(&part, 416, "InvalidPartNumber", "part 2");
    let reads = "s3seal_s3_encryption_client_reads_total 44";
    let metrics = proxy.metrics().await;
    assert!(metrics.lines().any(|line| line == reads), "{metrics}");
    proxy.stop().await;
}

#[tokio::test]
async fn p100_both_versions_open_as_the_library_and_its_specification_have_them() {
    for version in ["v2", "v3"] {
        for bits in [128, 192, 256] {
            for len in [0, 1, 16, 1000] {
                let (object, raw) = Object::frozen(&format!("{version} raw {bits} {len}"));
                let other = BASE64.encode(&RAW_KEY);
                let rule =
                    format!("s3_encryption_client = {{ raw_keys = [\"{other}\", \"{raw}\"] }}");
                let options = Options {
                    rule,
                    ..Options::default()
                };
                let bench = Bench::start(options).await;
                object.store(&bench.direct, OBJECT).await;
                let get = bench.client.get(OBJECT).await;
                assert!(
                    get.body == object.plaintext,
                    "{version} {bits} {len}: {get:?}"
                );
                bench.proxy.stop().await;
            }
        }
    }
}

#[tokio::test]
async fn p100_listings_by_head_show_plaintext_sizes() {
    let mut options = reading("");
    options.upstream = "list_sizes = \"head\"".to_owned();
    let bench = Bench::start(options).await;
    Object::v2(70_000).store(&bench.direct, OBJECT).await;
    let listed = bench.client.get("/bucket?list-type=2").await;
    assert_eq!(listed.elements("Size"), ["70000"]);
    let draft = bench.client.draft("GET", "/bucket/object?attributes");
    let asked = draft.header("x-amz-object-attributes", "ObjectSize");
    assert_eq!(asked.send().await.element("ObjectSize"), "70000");
    bench.proxy.stop().await;
}

#[tokio::test]
async fn p101_not_a_byte_leaves_before_the_last_one_has_verified() {
    let bench = Bench::start(reading("")).await;
    let object = Object::v2(MIB);
    for at in [0, MIB / 2, MIB, object.body.len() - 1] {
        let mut changed = object.clone();
        changed.body[at] ^= 1;
        changed.store(&bench.direct, OBJECT).await;
        assert_refused(&bench.client.get(OBJECT).await, 500, "InternalError", "all");
        // A range is out of the whole, wherever the change is.
        let part = range(&bench.client, OBJECT, "bytes=100-200").await;
        assert_refused(&part, 500, "InternalError", "a range");
    }
    for len in [0, 15, 16, MIB / 2] {
        let mut cut = object.clone();
        cut.body.truncate(len);
        cut.store(&bench.direct, OBJECT).await;
        assert_refused(&bench.client.get(OBJECT).await, 500, "InternalError", "cut");
    }
    for kind in ["body\"} 10", "size\"} 2"] {
        let line = format!("s3seal_integrity_failures_total{{kind=\"{kind}");
        assert!(
            bench.has_metric(&line).await,
            "{}",
            bench.proxy.metrics().await
        );
    }
    let reads = "s3seal_s3_encryption_client_reads_total 0";
    assert!(bench.has_metric(reads).await);
    bench.proxy.stop().await;
}

#[tokio::test]
async fn p101_an_upstream_that_breaks_off_gives_no_byte() {
    let chaos = Chaos::start().await;
    let proxy = Proxy::start(chaos.address, reading("")).await;
    let object = Object::v2(300_000);
    chaos.store(OBJECT, object.stored());
    chaos.mangle(|reply| reply.end = End::CloseAfter(200_000));
    let request = proxy.client().draft("GET", OBJECT);
    let request = request.unsigned_header("connection", "close").build();
    let mut wire = Wire::connect(proxy.address).await;
    wire.send_head(&request).await;
    let head = wire.head().await.unwrap();
    let (body, ending) = wire.rest().await;
    assert!(head.target.starts_with('5'), "{head:?}");
    assert!(!body.starts_with(&object.plaintext[..16]) && ending != Ending::Reset);
    assert!(proxy.client().get(OBJECT).await.body == object.plaintext);
    proxy.stop().await;
}

#[tokio::test]
async fn p102_without_the_setting_they_are_objects_that_are_not_encrypted() {
    let bench = Bench::start(Options::default()).await;
    Object::v2(1_000).store(&bench.direct, OBJECT).await;
    assert_refused(&bench.client.get(OBJECT).await, 403, "AccessDenied", "off");
    bench.proxy.stop().await;
    let options = Options {
        rule: "plaintext_reads = \"allow\"".to_owned(),
        ..Options::default()
    };
    let bench = Bench::start(options).await;
    let object = Object::v2(1_000);
    object.store(&bench.direct, OBJECT).await;
    let get = bench.client.get(OBJECT).await;
    assert!(get.body == object.body && get.header("x-amz-meta-x-amz-iv").is_some());
    bench.proxy.stop().await;
}

#[tokio::test]
async fn p102_legacy_modes_mixtures_and_changed_metadata_are_refused() {
    // Not even where plaintext may be read: these are none.
    let bench = Bench::start(reading("plaintext_reads = \"allow\"")).await;
    let changes: [(&str, u16, &dyn Fn(&mut Object)); 9] = [
        ("V1", 403, &|it| {
            it.remove("x-amz-key-v2");
            it.set("x-amz-key", "AAAA");
        }),
        ("CBC", 403, &|it| {
            it.set("x-amz-cek-alg", "AES/CBC/PKCS5Padding")
        }),
        ("a wrap by KMS without a context", 403, &|it| {
            it.set("x-amz-wrap-alg", "kms")
        }),
        ("RSA", 403, &|it| it.set("x-amz-wrap-alg", "RSA-OAEP-SHA1")),
        ("an instruction file", 403, &|it| {
            it.set("x-amz-crypto-instr-file", "")
        }),
        ("two versions", 500, &|it| it.set("x-amz-3", "AAAA")),
        ("no key", 500, &|it| it.remove("x-amz-key-v2")),
        ("another wrap", 500, &|it| {
            it.set("x-amz-key-v2", &BASE64.encode(&[1; 60]))
        }),
        ("another nonce", 500, &|it| {
            it.set("x-amz-iv", &BASE64.encode(&[1; 12]))
        }),
    ];
    for (what, status, change) in changes {
        let mut object = Object::v2(1_000);
        change(&mut object);
        object.store(&bench.direct, OBJECT).await;
        let get = bench.client.get(OBJECT).await;
        assert_eq!(get.status.as_u16(), status, "{what}: {get:?}");
        assert!(get.body.starts_with(b"<?xml"), "{what}");
    }
    let (mut object, _) = Object::frozen("v3 raw 256 16");
    object.set("x-amz-iv", "AAAA");
    object.store(&bench.direct, OBJECT).await;
    assert_refused(
        &bench.client.get(OBJECT).await,
        500,
        "InternalError",
        "V3 with a V2 name",
    );

    // Beside ours.
    bench.client.put(OBJECT, "text").await;
    let sealed = bench.direct.get(OBJECT).await;
    let mut doubled = Object::v2(0);
    doubled.body = sealed.body.to_vec();
    for name in ["s3seal-header", "s3seal-key"] {
        let value = sealed.header(&format!("x-amz-meta-{name}")).unwrap();
        doubled.set(name, value);
    }
    doubled.store(&bench.direct, OBJECT).await;
    for method in ["GET", "HEAD"] {
        let answer = bench.client.draft(method, OBJECT).send().await;
        assert_eq!(answer.status, 500, "{answer:?}");
    }
    bench.proxy.stop().await;
}

#[tokio::test]
async fn p103_what_is_larger_than_the_limit_is_refused_before_it_is_read() {
    let rule = reading("")
        .rule
        .replace("max_size_mib = 8", "max_size_mib = 1");
    let bench = Bench::start(Options {
        rule,
        ..Options::default()
    })
    .await;
    for (len, status) in [(MIB, 200), (MIB + 1, 403)] {
        Object::v2(len).store(&bench.direct, OBJECT).await;
        let get = bench.client.get(OBJECT).await;
        assert_eq!(get.status.as_u16(), status);
        let head = bench.client.draft("HEAD", OBJECT).send().await;
        assert_eq!(head.header("content-length"), Some(&*len.to_string()));
    }
    let refused = range(&bench.client, OBJECT, "bytes=0-9").await;
    assert_refused(&refused, 403, "AccessDenied", "a range");
    assert_eq!(refused.element("MaxSizeAllowed"), MIB.to_string());
    let copy = bench.client.draft("PUT", "/bucket/copy");
    let copy = copy.header("x-amz-copy-source", OBJECT).send().await;
    assert_refused(&copy, 403, "AccessDenied", "a copy");
    bench.proxy.stop().await;
}

/// A proxy that knows two keys of KMS: `one` opens what is under `one/`, both what is under `both/`.
async fn over_kms(moto: &Moto, one: &KmsKey, two: &KmsKey) -> Bench {
    let (address, a, b) = (moto.address, &one.alias, &two.alias);
    let key = &two.arn;
    let limited = "[[clients]]\naccess_key_id = \"LIMITED-IN-KEYS\"\n\
                   secret_access_key = \"limited-secret-of-the-tests\"\n";
    let options = Options {
        tables: format!(
            "{limited}keys = [\"{b}\"]\n\
             [[keys.providers]]\nkind = \"aws-kms\"\nname = \"kms\"\nregion = \"{REGION}\"\n\
             endpoint = \"http://{address}\"\nkeys = [\"{a}\", \"{b}\"]\n\
             credentials = {{ access_key_id = \"A\", secret_access_key = \"B\" }}\n\
             [[rules]]\nbuckets = [\"*\"]\nprefix = \"one/\"\nencryption = \"named-key\"\n\
             s3_encryption_client = {{ kms_keys = [\"{a}\"] }}\n\
             [[rules]]\nbuckets = [\"*\"]\nprefix = \"both/\"\nencryption = \"named-key\"\n\
             s3_encryption_client = {{ kms_keys = [\"{a}\", \"{key}\"] }}\n"
        ),
        ..Options::default()
    };
    Bench::start(options).await
}

const LIMITED: Identity = Identity {
    id: "LIMITED-IN-KEYS",
    secret: "limited-secret-of-the-tests",
};

#[tokio::test]
async fn p104_only_the_keys_of_the_rule_are_tried() {
    let Some(moto) = Moto::of_the_run() else {
        return;
    };
    let (one, two) = (moto.key().await, moto.key().await);
    let bench = over_kms(&moto, &one, &two).await;
    let context = json!({"aws:x-amz-cek-alg": "AES/GCM/NoPadding", "tenant": "a"});
    let by_one = Object::v2(70_000).wrapped_by(&moto, &one, &context).await;
    let by_two = Object::v2(70_000).wrapped_by(&moto, &two, &context).await;
    for (object, target, opens) in [
        (&by_one, "/bucket/one/a", true),
        (&by_two, "/bucket/one/b", false),
        (&by_one, "/bucket/both/a", true),
        (&by_two, "/bucket/both/b", true),
    ] {
        object.store(&bench.direct, target).await;
        let get = bench.client.get(target).await;
        assert_eq!(get.status == 200, opens, "{target}: {get:?}");
        assert_eq!(get.body == object.plaintext, opens, "{target}");
    }
    // What the object says of the context is what KMS is told.
    let mut forged = by_one.clone();
    let other = json!({"aws:x-amz-cek-alg": "AES/GCM/NoPadding", "tenant": "b"});
    forged.set("x-amz-matdesc", &other.to_string());
    forged.store(&bench.direct, "/bucket/one/c").await;
    assert_refused(
        &bench.client.get("/bucket/one/c").await,
        500,
        "InternalError",
        "context",
    );
    let kind = "s3seal_integrity_failures_total{kind=\"unwrap\"} 1";
    assert!(
        bench.has_metric(kind).await,
        "{}",
        bench.proxy.metrics().await
    );

    // A client that may not use a key does not read by it.
    let limited = Client::new(bench.proxy.address, LIMITED);
    for method in ["GET", "HEAD"] {
        let refused = limited.draft(method, "/bucket/one/a").send().await;
        assert_eq!(refused.status, 403, "{refused:?}");
    }
    assert_eq!(limited.get("/bucket/both/b").await.status, 200);
    assert_ne!(limited.get("/bucket/both/a").await.status, 200);

    // Nor does anybody by a raw key that the rule has not.
    Object::v2(10).store(&bench.direct, "/bucket/one/d").await;
    assert_refused(
        &bench.client.get("/bucket/one/d").await,
        500,
        "InternalError",
        "raw",
    );
    bench.proxy.stop().await;
}

#[tokio::test]
async fn p104_a_v3_object_commits_to_the_key_that_kms_gives() {
    let Some(moto) = Moto::of_the_run() else {
        return;
    };
    let (one, two) = (moto.key().await, moto.key().await);
    let bench = over_kms(&moto, &one, &two).await;
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let mut vectors = file["vectors"].as_array().unwrap().iter();
    let vector = vectors
        .find(|vector| vector["name"] == "v3 kms 1000")
        .unwrap();
    let frozen = HEXLOWER.decode(vector["data_key"].as_str().unwrap().as_bytes());
    let context = json!({"aws:x-amz-cek-alg": "115"});
    for (data_key, status) in [(frozen.unwrap(), 200), (DATA_KEY.to_vec(), 500)] {
        let body = json!({
            "KeyId": one.arn, "Plaintext": BASE64.encode(&data_key), "EncryptionContext": context,
        });
        let made = moto.owner("Encrypt", &body).await;
        let (mut object, _) = Object::frozen("v3 kms 1000");
        object.set("x-amz-3", made["CiphertextBlob"].as_str().unwrap());
        object.store(&bench.direct, "/bucket/one/object").await;
        let get = bench.client.get("/bucket/one/object").await;
        assert_eq!(get.status.as_u16(), status, "{get:?}");
        assert_eq!(get.body == object.plaintext, status == 200);
    }
    let kind = "s3seal_integrity_failures_total{kind=\"header\"} 1";
    assert!(
        bench.has_metric(kind).await,
        "{}",
        bench.proxy.metrics().await
    );
    bench.proxy.stop().await;
}

#[tokio::test]
async fn p105_a_copy_onto_itself_makes_it_one_of_ours() {
    for len in [0, 100, 300_000] {
        let bench = Bench::start(reading("")).await;
        let object = Object::v2(len);
        object.store(&bench.direct, OBJECT).await;
        let copy = bench.client.draft("PUT", OBJECT);
        let copy = copy.header("x-amz-copy-source", OBJECT).send().await;
        assert_eq!(copy.status, 200, "{copy:?}");
        let stored = bench.direct.get(OBJECT).await;
        assert!(stored.header("x-amz-meta-s3seal-key").is_some());
        assert_eq!(stored.header("x-amz-meta-x-amz-key-v2"), None);
        assert_eq!(stored.header("x-amz-meta-colour"), Some("blue"));
        assert!(
            len == 0
                || !stored
                    .body
                    .windows(16)
                    .any(|it| object.plaintext.starts_with(it))
        );
        let get = bench.client.get(OBJECT).await;
        assert!(get.body == object.plaintext, "{len}");
        assert_eq!(get.header("x-amz-server-side-encryption"), Some("aws:kms"));
        // Now it is one of ours, and the next copy changes nothing.
        let again = bench.client.draft("PUT", OBJECT);
        let again = again.header("x-amz-copy-source", OBJECT).send().await;
        assert_refused(&again, 400, "InvalidRequest", "again");
        bench.proxy.stop().await;
    }
}

#[tokio::test]
async fn p105_parts_are_copied_out_of_it() {
    let bench = Bench::start(reading("")).await;
    let object = Object::v2(6 * MIB);
    object.store(&bench.direct, OBJECT).await;
    let begun = bench
        .client
        .draft("POST", "/bucket/copy?uploads")
        .send()
        .await;
    let id = begun.element("UploadId");
    let mut parts = String::new();
    for (number, range) in [(1, "bytes=0-5242879"), (2, "bytes=5242880-6291455")] {
        let part = format!("/bucket/copy?partNumber={number}&uploadId={id}");
        let part = bench.client.draft("PUT", &part);
        let part = part.header("x-amz-copy-source", OBJECT);
        let part = part.header("x-amz-copy-source-range", range).send().await;
        assert_eq!(part.status, 200, "{part:?}");
        let etag = part.element("ETag");
        parts += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    let target = format!("/bucket/copy?uploadId={id}");
    let done = bench.client.draft("POST", &target).body(body).send().await;
    assert_eq!(done.status, 200, "{done:?}");
    assert!(bench.client.get("/bucket/copy").await.body == object.plaintext);
    bench.proxy.stop().await;
}

#[tokio::test]
async fn p106_nothing_of_the_library_is_sealed_or_written() {
    let bench = Bench::start(reading("")).await;
    let put = bench.client.draft("PUT", OBJECT).body("text");
    let put = put.header("x-amz-meta-x-amz-key-v2", "AAAA").send().await;
    assert_refused(&put, 400, "InvalidArgument", "a put");
    let begun = bench.client.draft("POST", "/bucket/object?uploads");
    let begun = begun.header("x-amz-meta-x-amz-3", "AAAA").send().await;
    assert_refused(&begun, 400, "InvalidArgument", "an upload");
    bench.client.put("/bucket/source", "text").await;
    let copy = bench.client.draft("PUT", OBJECT);
    let copy = copy.header("x-amz-copy-source", "/bucket/source");
    let copy = copy.header("x-amz-metadata-directive", "REPLACE");
    let copy = copy.header("x-amz-meta-x-amz-iv", "AAAA").send().await;
    assert_refused(&copy, 400, "InvalidArgument", "a copy");

    let object = Object::v2(1_000);
    object.store(&bench.direct, OBJECT).await;
    let config = Config::load(&bench.proxy.config(), &Environment::default()).unwrap();
    let cx = Box::pin(app::operator(config)).await.unwrap();
    let manner = Manner {
        dry_run: false,
        single_max: 5 << 30,
    };
    let outcome = in_place::seal(&cx, "bucket", "object", manner)
        .await
        .unwrap();
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    assert!(bench.direct.get(OBJECT).await.body == object.body);
    bench.proxy.stop().await;

    // Without the setting the library may use the proxy as any other client.
    let bench = Bench::start(Options::default()).await;
    let put = bench.client.draft("PUT", OBJECT).body("text");
    let put = put.header("x-amz-meta-x-amz-key-v2", "AAAA").send().await;
    assert_eq!(put.status, 200);
    let get = bench.client.get(OBJECT).await;
    assert_eq!(get.header("x-amz-meta-x-amz-key-v2"), Some("AAAA"));
    bench.proxy.stop().await;
}

#[tokio::test]
async fn p103_sizes_are_proven_by_head_where_the_rule_wants_that() {
    let bench = Bench::start(reading("verify_sizes = true")).await;
    let mut object = Object::v2(1_000);
    object.store(&bench.direct, OBJECT).await;
    let head = bench.client.draft("HEAD", OBJECT).send().await;
    assert_eq!(head.header("content-length"), Some("1000"));
    object.body.truncate(900);
    object.store(&bench.direct, OBJECT).await;
    assert_eq!(bench.client.draft("HEAD", OBJECT).send().await.status, 500);
    bench.proxy.stop().await;
}

#[test]
fn p104_configuration_names_keys_that_can_be_used() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("config.toml");
    let example = include_str!("../../config/example.toml");
    for (setting, problem) in [
        ("{}", "needs kms_keys or raw_keys"),
        ("{ raw_keys = [\"AAAA\"] }", "raw_keys[0]"),
        ("{ raw_keys = [{ file = \"none\" }] }", "raw_keys[0]"),
        ("{ kms_keys = [\"a\"], max_size_mib = 0 }", "max_size_mib"),
        (
            "{ kms_keys = [\"a\"], max_size_mib = 257 }",
            "chunk_memory_mib",
        ),
        ("{ kms_keys = [\"a\"], keys = [] }", "keys"),
        (
            "{ kms_keys = [\"1\", \"2\", \"3\", \"4\", \"5\", \"6\", \"7\", \"8\", \"9\"] }",
            "at most 8",
        ),
    ] {
        let text = format!(
            "{example}\n[[rules]]\nbuckets = [\"b\"]\nencryption = \"off\"\n\
                            s3_encryption_client = {setting}\n"
        );
        std::fs::write(&path, text).unwrap();
        let error = Config::load(&path, &Environment::default()).unwrap_err();
        assert!(error.to_string().contains(problem), "{setting}: {error}");
    }
}
