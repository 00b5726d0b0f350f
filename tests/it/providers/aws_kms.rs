//! AWS KMS: moto for what it does as KMS does, scripted answers for the rest.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use s3seal::config::keys::{AwsKmsProvider as AwsKmsConfig, Credentials, StaticCredentials};
use s3seal::config::log::{Log, LogFormat};
use s3seal::keys::aws_kms::{AwsKmsProvider, ConnectError};
use s3seal::keys::types::{DataKey, KeyRef, ProviderKind, WrapContext, WrappedDataKey};
use s3seal::keys::{KeyError, KeyProvider, Outage, ServedKey};
use s3seal::secret::Secret;
use s3seal::telemetry;
use serde_json::{Value, json};

use super::contract::{self, Rotation, Subject, context, shown_forms};
use super::gate::{Gate, Mode};
use super::moto::{Key, Moto, REGION};
use crate::support::upstream::Embedded;
use crate::support::{Options, Proxy};

const SECRET: &str = "a-secret-access-key-of-the-tests";

struct KmsSubject {
    moto: Moto,
    key: Key,
    provider: Arc<AwsKmsProvider>,
}

fn config(address: &str, keys: &[&str]) -> AwsKmsConfig {
    AwsKmsConfig {
        name: "kms".to_owned(),
        region: REGION.to_owned(),
        endpoint: Some(address.parse().unwrap()),
        credentials: Arc::new(Credentials::Static(StaticCredentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::new(SECRET.to_owned()),
            session_token: None,
        })),
        keys: keys.iter().map(|&key| key.to_owned()).collect(),
    }
}

impl Subject for KmsSubject {
    const ROTATION: Rotation = Rotation::Inside;
    // moto goes on using keys that are disabled or about to be deleted: scripted below.
    const DISABLED: Option<KeyError> = None;
    const RETIRED: Option<KeyError> = None;
    const DESTROYED: Option<KeyError> = None;
    // moto answers AccessDeniedException where the named key is not the wrap's, AWS
    // IncorrectKeyException. A real AccessDeniedException is the operator's policy and must not
    // pass for tampering, so the provider does not treat them alike.
    const FOREIGN: Option<KeyError> = Some(KeyError::Denied);

    async fn start() -> Self {
        let moto = Moto::of_the_run().expect("checked before");
        let key = moto.key().await;
        let config = config(&format!("http://{}", moto.address), &[&key.alias]);
        let provider = Arc::new(AwsKmsProvider::connect(&config).await.unwrap());
        Self {
            moto,
            key,
            provider,
        }
    }

    fn provider(&self) -> Arc<dyn KeyProvider> {
        self.provider.clone()
    }

    fn id(&self) -> String {
        self.key.arn.clone()
    }

    fn aliases(&self) -> Vec<String> {
        let key = &self.key;
        vec![key.id.clone(), key.alias.clone(), key.alias_arn()]
    }

    fn secrets(&self) -> Vec<Vec<u8>> {
        shown_forms(SECRET.as_bytes())
    }

    async fn rotate(&self) {
        let body = json!({"KeyId": self.key.id});
        self.moto.owner("RotateKeyOnDemand", &body).await;
    }
}

#[tokio::test]
async fn the_contract_holds() {
    if Moto::of_the_run().is_some() {
        contract::run::<KmsSubject>().await;
    }
}

/// A provider with one key, behind a gate.
struct Gated {
    gate: Gate,
    key: Key,
    named: KeyRef,
    provider: AwsKmsProvider,
}

impl Gated {
    async fn start() -> Option<Self> {
        let moto = Moto::of_the_run()?;
        let key = moto.key().await;
        let gate = Gate::before(moto.address).await;
        let config = config(&format!("http://{}", gate.address), &[&key.alias]);
        let provider = AwsKmsProvider::connect(&config).await.unwrap();
        Some(Self {
            named: provider.describe(&key.alias).await.unwrap(),
            gate,
            key,
            provider,
        })
    }

    /// What the four calls say to a wrap that KMS would look at.
    async fn outcomes(&self) -> [Result<(), KeyError>; 4] {
        let (key, a) = (&self.named, context("a"));
        let (provider, wrapped) = (&self.provider, WrappedDataKey(vec![1; 152]));
        let own = DataKey::new([7; 32]);
        let moved = provider.rewrap((key, &a), &wrapped, (key, &a));
        let (made, sealed, opened, moved) = tokio::join!(
            provider.generate(key, &a),
            provider.wrap(key, &own, &a),
            provider.unwrap(key, &wrapped, &a),
            moved,
        );
        [
            made.map(drop),
            sealed.map(drop),
            opened.map(drop),
            moved.map(drop),
        ]
    }

    fn bodies(&self, call: &str) -> Vec<Value> {
        let bodies = self.gate.bodies(&format!("TrentService.{call}"));
        let bodies = bodies.iter();
        bodies
            .map(|body| serde_json::from_slice(body).unwrap())
            .collect()
    }
}

fn refusal(code: &str) -> String {
    json!({"__type": code, "message": "arn:aws:kms:… is not what you think"}).to_string()
}

#[tokio::test]
async fn every_error_says_who_is_at_fault() {
    let Some(kms) = Gated::start().await else {
        return;
    };
    for (status, code, expected) in [
        (400, "NotFoundException", KeyError::NotFound),
        (400, "DisabledException", KeyError::Disabled),
        (400, "KMSInvalidStateException", KeyError::Destroyed),
        (400, "AccessDeniedException", KeyError::Denied),
        (400, "InvalidCiphertextException", KeyError::ContextMismatch),
        (400, "IncorrectKeyException", KeyError::ContextMismatch),
        (400, "ThrottlingException", KeyError::Throttled),
        (400, "LimitExceededException", KeyError::Throttled),
        (500, "KeyUnavailableException", Outage::Unreachable.into()),
        (500, "KMSInternalException", Outage::Unreachable.into()),
        (
            400,
            "DependencyTimeoutException",
            Outage::Unreachable.into(),
        ),
        (400, "UnrecognizedClientException", Outage::Login.into()),
        (400, "InvalidSignatureException", Outage::Login.into()),
        (400, "ExpiredTokenException", Outage::Login.into()),
        (
            403,
            "com.amazon.coral.service#ExpiredTokenException",
            Outage::Login.into(),
        ),
        (400, "NobodyKnowsException", Outage::Answer.into()),
        (502, "NobodyKnowsException", Outage::Unreachable.into()),
        (429, "NobodyKnowsException", KeyError::Throttled),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let before = kms.gate.count("TrentService");
        kms.gate.set(Mode::Answer(status, leak(refusal(code))));
        assert_eq!(kms.outcomes().await, [Err(expected); 4], "{code}");
        let calls = kms.gate.count("TrentService") - before;
        assert_eq!(
            calls, 4,
            "{code}: the key service repeats, the SDK does not"
        );
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_no_key() {
    let Some(kms) = Gated::start().await else {
        return;
    };
    let junk: [KeyError; 4] = [Outage::Answer.into(); 4];
    let broken: [KeyError; 4] = [Outage::Unreachable.into(); 4];
    let not_ours = "arn:aws:kms:eu-central-1:1:key/another";
    let short = [
        Outage::Answer.into(),
        Outage::Answer.into(),
        KeyError::Malformed,
        Outage::Answer.into(),
    ];
    let answer = |key: &str, plaintext: &str, blob: &str| {
        let body = json!({"KeyId": key, "Plaintext": plaintext, "CiphertextBlob": blob});
        body.to_string()
    };
    let of_32 = data_encoding::BASE64.encode(&[9; 32]);
    let long = data_encoding::BASE64.encode(&[9; 6145]);
    let sealed = |refusal: KeyError| [Some(refusal), Some(refusal), None, Some(refusal)];
    for (status, body, expected) in [
        (200, String::new(), junk.map(Some)),
        (200, "{}".to_owned(), junk.map(Some)),
        (
            200,
            "<html>welcome to the portal</html>".to_owned(),
            junk.map(Some),
        ),
        (404, "<html>no such page</html>".to_owned(), junk.map(Some)),
        (307, String::new(), junk.map(Some)),
        (503, "<html>try again</html>".to_owned(), broken.map(Some)),
        (200, answer(&kms.key.arn, "AAAA", ""), short.map(Some)),
        (
            200,
            answer(&kms.key.arn, &of_32, ""),
            sealed(Outage::Answer.into()),
        ),
        (
            200,
            answer(&kms.key.arn, &of_32, &long),
            sealed(Outage::Answer.into()),
        ),
        (
            200,
            answer(not_ours, &of_32, "AAAA"),
            sealed(Outage::Answer.into()),
        ),
        (200, answer(&kms.key.arn, &of_32, "AAAA"), [None; 4]),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let body = leak(body);
        kms.gate.set(Mode::Answer(status, body));
        let found = kms.outcomes().await.map(Result::err);
        assert_eq!(found, expected, "{status} {body:.200}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_not_waited_for() {
    let Some(kms) = Gated::start().await else {
        return;
    };
    kms.gate.set(Mode::Broken);
    assert_eq!(kms.outcomes().await, [Err(Outage::Unreachable.into()); 4]);
    kms.gate.set(Mode::Slow(Duration::from_millis(500)));
    let made = kms.provider.generate(&kms.named, &context("a")).await;
    assert!(made.is_ok(), "{made:?}");
    kms.gate.set(Mode::Hung);
    let began = Instant::now();
    assert_eq!(kms.outcomes().await, [Err(Outage::Timeout.into()); 4]);
    let waited = began.elapsed();
    assert!(waited < Duration::from_millis(4800), "{waited:?}");
    kms.gate.set(Mode::Open);
    let made = kms.provider.generate(&kms.named, &context("a")).await;
    assert!(made.is_ok(), "{made:?}");
}

#[tokio::test]
async fn a_blob_that_cannot_be_one_is_not_asked_about() {
    let Some(kms) = Gated::start().await else {
        return;
    };
    let (key, a) = (&kms.named, context("a"));
    for len in [0, 6145] {
        let wrapped = WrappedDataKey(vec![1; len]);
        let refused = kms.provider.unwrap(key, &wrapped, &a).await;
        assert_eq!(refused.unwrap_err(), KeyError::Malformed);
        let refused = kms.provider.rewrap((key, &a), &wrapped, (key, &a)).await;
        assert_eq!(refused, Err(KeyError::Malformed));
    }
    assert_eq!(kms.gate.count("crypt"), 0);
    let wrapped = WrappedDataKey(vec![1; 6144]);
    kms.provider.unwrap(key, &wrapped, &a).await.unwrap_err();
    assert_eq!(kms.gate.count("Decrypt"), 1);
}

#[tokio::test]
async fn every_call_names_the_key_and_what_it_is_for() {
    let Some(kms) = Gated::start().await else {
        return;
    };
    let (key, provider) = (&kms.named, &kms.provider);
    let in_place = context("a/ö");
    let mut elsewhere = WrapContext {
        bytes: b"another".to_vec(),
        object_key: None,
        ..in_place.clone()
    };
    // SHA-256 by Python's hashlib.
    let pairs = json!({
        "tenant": "a/ö",
        "s3seal:context": "KjL1_gB3a8G7sFmPPldY4PS874VMKR2lLURuVVj8zzo",
        "aws:s3:arn": "arn:aws:s3:::photos/a/ö",
    });
    let other_pairs = json!({
        "tenant": "a/ö",
        "s3seal:context": "rkSKyGxOjk3sZFcpcI70GHOuecbf-E7_czYJiUh_COU",
        "aws:s3:arn": "arn:aws:s3:::photos",
    });
    let fresh = provider.generate(key, &in_place).await.unwrap();
    let own = DataKey::new([7; 32]);
    provider.wrap(key, &own, &in_place).await.unwrap();
    let moved = provider.rewrap((key, &in_place), &fresh.wrapped, (key, &elsewhere));
    let moved = moved.await.unwrap();
    provider.unwrap(key, &moved, &elsewhere).await.unwrap();
    let arn = json!(kms.key.arn);
    for (call, key_field, context_field, expected) in [
        ("GenerateDataKey", "KeyId", "EncryptionContext", &pairs),
        ("Encrypt", "KeyId", "EncryptionContext", &pairs),
        (
            "ReEncrypt",
            "SourceKeyId",
            "SourceEncryptionContext",
            &pairs,
        ),
        (
            "ReEncrypt",
            "DestinationKeyId",
            "DestinationEncryptionContext",
            &other_pairs,
        ),
        ("Decrypt", "KeyId", "EncryptionContext", &other_pairs),
    ] {
        let bodies = kms.bodies(call);
        assert_eq!(bodies.len(), 1, "{call}");
        assert_eq!(bodies[0][key_field], arn, "{call}");
        assert_eq!(bodies[0][context_field], *expected, "{call}");
    }
    // each pair counts, not only the digest
    elsewhere.client.clear();
    let refused = provider.unwrap(key, &moved, &elsewhere).await;
    assert_eq!(refused.unwrap_err(), KeyError::ContextMismatch);
}

#[tokio::test]
async fn a_data_key_moves_to_another_key_unseen() {
    let Some(moto) = Moto::of_the_run() else {
        return;
    };
    let (old, new) = (moto.key().await, moto.key().await);
    let gate = Gate::before(moto.address).await;
    let names = [old.alias_arn(), old.alias.clone(), new.arn.clone()];
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let config = config(&format!("http://{}", gate.address), &names);
    let provider = AwsKmsProvider::connect(&config).await.unwrap();
    let served = |key: &Key, aliases: Vec<String>| ServedKey {
        id: key.arn.clone(),
        aliases,
    };
    let expected = [
        served(
            &old,
            vec![old.alias_arn(), old.id.clone(), old.alias.clone()],
        ),
        served(&new, vec![new.id.clone()]),
    ];
    assert_eq!(provider.served(), expected);
    let before = provider.describe(&old.id).await.unwrap();
    let after = provider.describe(&new.arn).await.unwrap();
    assert_eq!(
        after,
        KeyRef {
            provider: ProviderKind::AwsKms,
            id: new.arn,
            version: 0
        }
    );
    assert_eq!(gate.count("DescribeKey"), 3, "asked once for each name");

    let a = context("a");
    let fresh = provider.generate(&before, &a).await.unwrap();
    let moved = provider.rewrap((&before, &a), &fresh.wrapped, (&after, &a));
    let moved = moved.await.unwrap();
    assert_eq!(gate.count("crypt"), 1, "by ReEncrypt alone");
    let opened = provider.unwrap(&after, &moved, &a).await.unwrap();
    assert_eq!(opened.expose(), fresh.data_key.expose());
    assert!(provider.unwrap(&before, &moved, &a).await.is_err());
}

#[tokio::test]
async fn keys_that_cannot_be_used_at_all_are_seen_at_the_start() {
    let Some(moto) = Moto::of_the_run() else {
        return;
    };
    let gate = Gate::before(moto.address).await;
    let connect = async |name: &str| {
        let config = config(&format!("http://{}", gate.address), &[name]);
        AwsKmsProvider::connect(&config).await.err().unwrap()
    };
    let unknown = |name: &str, source| ConnectError::Unknown {
        key: name.to_owned(),
        source,
    };
    assert_eq!(
        connect("alias/nobody").await,
        unknown("alias/nobody", KeyError::NotFound)
    );
    let spec = json!({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"});
    let made = moto.owner("CreateKey", &spec).await;
    let mac = made["KeyMetadata"]["Arn"].as_str().unwrap();
    assert_eq!(connect(mac).await, ConnectError::Unfit(mac.to_owned()));
    assert_eq!(gate.count("DescribeKey"), 2);

    let body = refusal("ThrottlingException");
    gate.set(Mode::Answer(StatusCode::BAD_REQUEST, leak(body)));
    assert_eq!(connect("k").await, unknown("k", KeyError::Throttled));
    assert_eq!(gate.count("DescribeKey"), 5, "what may pass is tried again");
    for body in [
        "{}",
        "{\"KeyMetadata\":{\"KeyId\":\"k\"}}",
        "{\"KeyMetadata\":{\"KeyId\":\"k\",\"Arn\":\"arn:aws:kms:r:1:alias/k\"}}",
    ] {
        gate.set(Mode::Answer(StatusCode::OK, body));
        assert_eq!(connect("k").await, unknown("k", Outage::Answer.into()));
    }
}

#[tokio::test]
async fn without_credentials_nobody_is_let_in() {
    let Some(kms) = Gated::start().await else {
        return;
    };
    let config = AwsKmsConfig {
        credentials: Arc::new(Credentials::DefaultChain),
        ..config(&format!("http://{}", kms.gate.address), &[&kms.key.arn])
    };
    let before = kms.gate.count("TrentService");
    let refused = AwsKmsProvider::connect(&config).await.err();
    // Where the tests run there may be credentials, or a metadata server that hangs.
    if kms.gate.count("TrentService") == before {
        let source = match refused {
            Some(ConnectError::Unknown { source, .. }) => source,
            other => panic!("{other:?}"),
        };
        let expected = [Outage::Login.into(), Outage::Timeout.into()];
        assert!(expected.contains(&source), "{source}");
    }
}

#[tokio::test]
async fn a_proxy_seals_and_opens_by_kms_and_fails_closed_without() {
    let Some(moto) = Moto::of_the_run() else {
        return;
    };
    let key = moto.key().await;
    let gate = Gate::before(moto.address).await;
    let (address, alias) = (gate.address, &key.alias);
    let options = Options {
        tables: format!(
            "[[keys.providers]]\nkind = \"aws-kms\"\nname = \"kms\"\nregion = \"{REGION}\"\n\
             endpoint = \"http://{address}\"\nkeys = [\"{alias}\"]\n\
             credentials = {{ access_key_id = \"A\", secret_access_key = \"{SECRET}\" }}\n"
        ),
        // Else a bucket key is there, and KMS is not asked.
        rule: format!("key = \"{alias}\"\nbucket_keys = false"),
        ..Options::default()
    };
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.client();
    assert_eq!(client.put("/bucket/object", "text").await.status, 200);
    let get = client.get("/bucket/object").await;
    assert_eq!((get.status, &*get.body), (StatusCode::OK, &b"text"[..]));
    let shown = get.header("x-amz-server-side-encryption-aws-kms-key-id");
    assert_eq!(shown, Some(&*key.arn));

    gate.set(Mode::Broken);
    let put = client.put("/bucket/other", "text").await;
    assert_eq!(put.status, StatusCode::SERVICE_UNAVAILABLE, "{put:?}");
    assert!(!upstream.file("other").exists());
    gate.set(Mode::Answer(
        StatusCode::BAD_REQUEST,
        "{\"__type\":\"DisabledException\"}",
    ));
    let put = client.put("/bucket/other", "text").await;
    assert_eq!(put.status, StatusCode::BAD_REQUEST);
    let said = String::from_utf8_lossy(&put.body).into_owned();
    assert!(
        said.contains("<Code>KMS.DisabledException</Code>"),
        "{said}"
    );
    proxy.stop().await;
}

/// With everything logged that libraries have to say.
#[tokio::test]
async fn no_data_key_is_logged() {
    let Some(kms) = Gated::start().await else {
        return;
    };
    let log = Log {
        format: LogFormat::Text,
        filter: "trace".to_owned(),
    };
    let lines = Lines::default();
    let writer = lines.clone();
    // While there is a single log, what other tests' threads said about events is remembered.
    let _second = telemetry::dispatch(&log, io::sink).unwrap();
    let dispatch = telemetry::dispatch(&log, move || writer.clone()).unwrap();
    let guard = tracing::dispatcher::set_default(&dispatch);
    let (key, a) = (&kms.named, context("a"));
    let fresh = kms.provider.generate(key, &a).await.unwrap();
    let rewrapped = kms.provider.wrap(key, &fresh.data_key, &a).await.unwrap();
    kms.provider.unwrap(key, &rewrapped, &a).await.unwrap();
    let mut broken = rewrapped.clone();
    broken.0.pop();
    kms.provider.unwrap(key, &broken, &a).await.unwrap_err();
    let moved = kms.provider.rewrap((key, &a), &rewrapped, (key, &a)).await;
    moved.unwrap();
    drop(guard);
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("TRACE"), "an empty log would prove nothing");
    let base64 = data_encoding::BASE64.encode(fresh.data_key.expose());
    let as_numbers = format!("{:?}", base64.as_bytes());
    let mut forms = shown_forms(fresh.data_key.expose());
    forms.push(as_numbers.trim_matches(['[', ']']).into());
    for secret in forms {
        let shown = log.as_bytes().windows(secret.len());
        assert!(!shown.into_iter().any(|window| window == secret), "{log}");
    }
    assert!(!log.contains(SECRET));
}

/// For the life of the process: [`Mode::Answer`] holds static texts.
fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// Every log line of the thread it is the default on.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
