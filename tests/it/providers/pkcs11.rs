//! PKCS#11: SoftHSM, and SoftHSM behind a module that fails to order.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap};
use s3seal::config::keys::{Pkcs11Provider as Pkcs11Config, SecretPlace};
use s3seal::config::log::{Log, LogFormat};
use s3seal::keys::pkcs11::Pkcs11Provider;
use s3seal::keys::types::WrappedDataKey;
use s3seal::keys::{KeyError, KeyProvider, Outage};
use s3seal::telemetry;

use super::contract::{self, Rotation, Subject, context};
use super::hsm::{Faults, Token, pin, unique};
use crate::support::upstream::Embedded;
use crate::support::{Options, Proxy};

struct HsmSubject {
    token: Token,
    key: String,
    provider: Arc<Pkcs11Provider>,
}

fn provider(config: &Pkcs11Config) -> Arc<Pkcs11Provider> {
    Arc::new(Pkcs11Provider::new(config).unwrap())
}

impl Subject for HsmSubject {
    const ROTATION: Rotation = Rotation::Never;
    const DISABLED: Option<KeyError> = None;
    const RETIRED: Option<KeyError> = None;
    const DESTROYED: Option<KeyError> = Some(KeyError::NotFound);
    /// RFC 3394 has no nonce, and needs none for what is random.
    const WRAPS_DIFFER: bool = false;

    async fn start() -> Self {
        let token = Token::shared().expect("checked before");
        let key = unique("key");
        token.make_key(&key);
        Self {
            provider: provider(&token.config(&[&key])),
            token,
            key,
        }
    }

    fn provider(&self) -> Arc<dyn KeyProvider> {
        Arc::clone(&self.provider) as Arc<dyn KeyProvider>
    }

    fn id(&self) -> String {
        self.key.clone()
    }

    fn aliases(&self) -> Vec<String> {
        Vec::new()
    }

    fn secrets(&self) -> Vec<Vec<u8>> {
        contract::shown_forms(self.token.pin.as_bytes())
    }

    async fn destroy_old(&self) {
        self.token.destroy_key(&self.key);
    }
}

#[tokio::test]
async fn pkcs11_keeps_the_contract() {
    if Token::shared().is_some() {
        contract::run::<HsmSubject>().await;
    }
}

const KEY: &str = "tenant-a";

async fn generate(provider: &Pkcs11Provider, key: &str) -> Result<(), KeyError> {
    let key = provider.describe(key).await?;
    provider.generate(&key, &context("a")).await.map(drop)
}

async fn round_trip(provider: &Pkcs11Provider, text: &str) -> Result<(), KeyError> {
    let key = provider.describe(KEY).await?;
    let fresh = provider.generate(&key, &context(text)).await?;
    let opened = provider
        .unwrap(&key, &fresh.wrapped, &context(text))
        .await?;
    assert_eq!(opened.expose(), fresh.data_key.expose());
    Ok(())
}

#[tokio::test]
async fn a_wrap_is_rfc_3394_over_the_data_key_and_the_hash_of_its_context() {
    let Some(token) = Token::shared() else {
        return;
    };
    let (label, material) = (unique("known"), [0x42; 32]);
    token.import_key(&label, &material);
    let provider = provider(&token.config(&[&label]));
    let key = provider.describe(&label).await.unwrap();
    let fresh = provider.generate(&key, &context("a")).await.unwrap();

    let kek = AesKek::new(&AES_256, &material).unwrap();
    let mut opened = [0; 64];
    let opened = kek.unwrap(&fresh.wrapped.0, &mut opened).unwrap();
    assert_eq!(&opened[..32], fresh.data_key.expose());
    assert_eq!(
        &opened[32..],
        digest::digest(&digest::SHA256, b"a").as_ref()
    );
}

#[tokio::test]
async fn two_hundred_calls_at_once_all_succeed_and_leave_nothing_behind() {
    let Some(token) = Token::fresh() else { return };
    token.make_key(KEY);
    let provider = provider(&token.config(&[KEY]));
    let texts: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let calls = texts.iter().map(|text| round_trip(&provider, text));
    let outcomes = futures_util::future::join_all(calls).await;
    assert_eq!(outcomes, vec![Ok(()); 200]);
    assert_eq!(token.litter(), 0);
}

#[tokio::test]
async fn sessions_that_were_closed_are_opened_again_within_the_call() {
    let Some(token) = Token::fresh() else { return };
    token.make_key(KEY);
    let faults = Faults::turn().await;
    for sessions in [1, 4] {
        let config = Pkcs11Config {
            sessions,
            ..faults.config(&token, &[KEY])
        };
        let provider = provider(&config);
        assert_eq!(provider.probe().await, Ok(()));
        let logins = faults.count("C_Login");
        for function in [
            "C_FindObjectsInit",
            "C_CreateObject",
            "C_WrapKey",
            "C_UnwrapKey",
        ] {
            // of all threads
            faults.order(function, "close 0", 1);
            for _ in 0..20 {
                assert_eq!(round_trip(&provider, "a").await, Ok(()), "{function}");
            }
        }
        faults.order("C_GetSessionInfo", "close 0", 1);
        assert_eq!(provider.probe().await, Ok(()));
        assert_eq!(faults.count("C_Login"), logins + 5);
        assert_eq!(token.litter(), 0);
    }
}

#[tokio::test]
async fn a_lost_login_is_not_a_missing_key() {
    let Some(token) = Token::fresh() else { return };
    token.make_key(KEY);
    let provider = provider(&token.config(&[KEY]));
    for _ in 0..20 {
        assert_eq!(round_trip(&provider, "a").await, Ok(()));
        // the whole process is logged out, and the provider's sessions are still there
        token.session().logout().unwrap();
    }
    assert_eq!(provider.probe().await, Ok(()));
}

#[tokio::test]
async fn what_the_token_says_is_told_apart() {
    let Some(token) = Token::fresh() else { return };
    token.make_key(KEY);
    let faults = Faults::turn().await;
    let provider = provider(&faults.config(&token, &[KEY]));
    let key = provider.describe(KEY).await.unwrap();
    let fresh = provider.generate(&key, &context("a")).await.unwrap();
    let unreachable = KeyError::Unavailable(Outage::Unreachable);
    let ok = Ok(());
    for (function, code, times, outcome) in [
        // lost, found again
        ("C_FindObjectsInit", "b3", 1, ok), // CKR_SESSION_HANDLE_INVALID
        ("C_UnwrapKey", "b0", 1, ok),       // CKR_SESSION_CLOSED
        ("C_UnwrapKey", "101", 1, ok),      // CKR_USER_NOT_LOGGED_IN
        ("C_GetAttributeValue", "32", 1, ok), // CKR_DEVICE_REMOVED
        ("C_UnwrapKey", "f0", 1, ok),       // CKR_UNWRAPPING_KEY_HANDLE_INVALID
        // not found again
        ("C_FindObjectsInit", "b3", 2, Err(unreachable)),
        ("C_UnwrapKey", "32", 2, Err(unreachable)),
        ("C_UnwrapKey", "101", 2, Err(Outage::Login.into())),
        // broken
        ("C_UnwrapKey", "30", 1, Err(unreachable)), // CKR_DEVICE_ERROR
        ("C_UnwrapKey", "31", 1, Err(unreachable)), // CKR_DEVICE_MEMORY
        ("C_UnwrapKey", "e0", 1, Err(unreachable)), // CKR_TOKEN_NOT_PRESENT
        ("C_UnwrapKey", "68", 1, Err(KeyError::Denied)), // CKR_KEY_FUNCTION_NOT_PERMITTED
        ("C_UnwrapKey", "70", 1, Err(Outage::Answer.into())), // CKR_MECHANISM_INVALID
        ("C_UnwrapKey", "110", 1, Err(KeyError::ContextMismatch)), // CKR_WRAPPED_KEY_INVALID
        ("C_UnwrapKey", "40", 1, Err(KeyError::ContextMismatch)), // CKR_ENCRYPTED_DATA_INVALID
        // vague: the wrap is bad if the token opens another one, else the token is out of order
        ("C_UnwrapKey", "5", 1, Err(KeyError::ContextMismatch)), // CKR_GENERAL_ERROR
        ("C_UnwrapKey", "80000001", 1, Err(KeyError::ContextMismatch)), // a maker's own
        ("C_UnwrapKey", "5", 2, Err(unreachable)),
        ("C_UnwrapKey", "80000001", 2, Err(unreachable)),
        // an object that stays is got rid of with its session
        ("C_DestroyObject", "30", 1, ok),
    ] {
        faults.order(function, &format!("return {code}"), times);
        let opened = provider.unwrap(&key, &fresh.wrapped, &context("a")).await;
        assert_eq!(opened.map(drop), outcome, "{function} {code} {times}");
        faults.cancel(function);
        assert_eq!(token.litter(), 0, "{function} {code} {times}");
        assert_eq!(
            round_trip(&provider, "b").await,
            Ok(()),
            "after {function} {code}"
        );
    }
}

#[tokio::test]
async fn a_wrap_of_another_length_is_not_shown_to_the_token() {
    let Some(token) = Token::fresh() else { return };
    token.make_key(KEY);
    let faults = Faults::turn().await;
    let provider = provider(&faults.config(&token, &[KEY]));
    let key = provider.describe(KEY).await.unwrap();
    for length in [0, 40, 64, 71, 73, 80] {
        let wrapped = WrappedDataKey(vec![0; length]);
        let refused = provider.unwrap(&key, &wrapped, &context("a")).await;
        assert_eq!(refused.unwrap_err(), KeyError::Malformed);
    }
    assert_eq!(faults.count("C_OpenSession"), 0);
    assert_eq!(provider.probe().await, Ok(()));
    assert_eq!(provider.probe().await, Ok(()));
    assert_eq!(faults.count("C_FindObjectsInit"), 0);
}

#[tokio::test]
async fn a_wrong_pin_is_tried_once_however_many_call() {
    let Some(token) = Token::fresh() else { return };
    token.make_key(KEY);
    let faults = Faults::turn().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pin");
    std::fs::write(&file, "wrong\n").unwrap();
    let config = Pkcs11Config {
        pin: Arc::new(SecretPlace::File(file.clone())),
        ..faults.config(&token, &[KEY])
    };
    let provider = provider(&config);
    let refused = Err(KeyError::Unavailable(Outage::Login));
    for _ in 0..3 {
        let calls = (0..100).map(|_| generate(&provider, KEY));
        let outcomes = futures_util::future::join_all(calls).await;
        assert_eq!(outcomes, vec![refused; 100]);
        assert_eq!(provider.probe().await, refused);
    }
    assert_eq!(faults.count("C_Login"), 1);
    assert!(token.saw_a_wrong_pin());

    // the token is not locked, and forgets the wrong PIN; the provider does not try it again
    drop(token.session());
    assert!(!token.saw_a_wrong_pin());
    assert_eq!(generate(&provider, KEY).await, refused);
    assert!(!token.saw_a_wrong_pin());

    // the PIN is replaced where it lies
    std::fs::write(&file, format!("{}\n", token.pin)).unwrap();
    assert_eq!(round_trip(&provider, "a").await, Ok(()));
    assert_eq!(faults.count("C_Login"), 2);
}

#[tokio::test]
async fn the_last_try_before_a_token_locks_is_not_taken() {
    let Some(token) = Token::fresh() else { return };
    token.make_key(KEY);
    let faults = Faults::turn().await;
    let provider = provider(&faults.config(&token, &[KEY]));
    // CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED
    for flag in ["20000", "40000"] {
        faults.order("C_GetTokenInfo", &format!("flags {flag}"), 1000);
        let refused = generate(&provider, KEY).await.unwrap_err();
        assert_eq!(refused, KeyError::Unavailable(Outage::Login));
        faults.cancel("C_GetTokenInfo");
    }
    assert_eq!(faults.count("C_Login"), 0);
    assert_eq!(generate(&provider, KEY).await, Ok(()));
    assert_eq!(faults.count("C_Login"), 1);
}

#[tokio::test]
async fn a_locked_pin_is_not_tried_again() {
    let Some(token) = Token::fresh() else { return };
    token.make_key(KEY);
    let faults = Faults::turn().await;
    let provider = provider(&faults.config(&token, &[KEY]));
    faults.order("C_Login", "return a4", 1); // CKR_PIN_LOCKED
    for _ in 0..20 {
        let refused = generate(&provider, KEY).await.unwrap_err();
        assert_eq!(refused, KeyError::Unavailable(Outage::Login));
    }
    assert_eq!(faults.count("C_Login"), 1);
}

#[tokio::test]
async fn keys_are_one_secret_key_of_their_label_that_may_do_it() {
    let Some(token) = Token::fresh() else { return };
    let keys = ["single", "double", "missing", "wrap-only", "made-again"];
    let provider = provider(&token.config(&keys));
    for key in ["single", "double", "double", "wrap-only", "made-again"] {
        token.make_key(key);
    }
    assert_eq!(generate(&provider, "single").await, Ok(()));
    let ambiguous = KeyError::Unavailable(Outage::Answer);
    assert_eq!(generate(&provider, "double").await, Err(ambiguous));
    let missing = Err(KeyError::NotFound);
    assert_eq!(generate(&provider, "missing").await, missing);
    assert_eq!(provider.describe("nobody").await.map(drop), missing);

    let key = provider.describe("wrap-only").await.unwrap();
    let fresh = provider.generate(&key, &context("a")).await.unwrap();
    token.forbid_unwrap("wrap-only");
    let refused = provider.unwrap(&key, &fresh.wrapped, &context("a")).await;
    assert_eq!(refused.unwrap_err(), KeyError::Denied);

    // the label is another key's by now
    let key = provider.describe("made-again").await.unwrap();
    let fresh = provider.generate(&key, &context("a")).await.unwrap();
    token.destroy_key("made-again");
    token.make_key("made-again");
    let refused = provider.unwrap(&key, &fresh.wrapped, &context("a")).await;
    assert_eq!(refused.unwrap_err(), KeyError::ContextMismatch);
    assert_eq!(generate(&provider, "made-again").await, Ok(()));
}

#[tokio::test]
async fn a_token_that_is_not_there_is_unreachable() {
    let Some(token) = Token::fresh() else { return };
    let unreachable = Err(KeyError::Unavailable(Outage::Unreachable));
    for config in [
        Pkcs11Config {
            token_label: "nobody's".to_owned(),
            ..token.config(&[KEY])
        },
        Pkcs11Config {
            module: "/nonexistent.so".into(),
            ..token.config(&[KEY])
        },
    ] {
        let provider = provider(&config);
        assert_eq!(provider.probe().await, unreachable);
        assert_eq!(generate(&provider, KEY).await, unreachable);
    }
}

#[tokio::test]
async fn callers_that_leave_do_not_keep_a_slow_token_busy() {
    let Some(token) = Token::fresh() else { return };
    token.make_key(KEY);
    let faults = Faults::turn().await;
    let provider = provider(&faults.config(&token, &[KEY]));
    assert_eq!(generate(&provider, KEY).await, Ok(()));
    let before = faults.count("C_CreateObject");
    faults.order("C_FindObjectsInit", "sleep 1f4", 1000); // 500 ms
    let calls = (0..200).map(|_| generate(&provider, KEY));
    let all = futures_util::future::join_all(calls);
    let left = tokio::time::timeout(Duration::from_millis(100), all).await;
    assert!(left.is_err());
    faults.cancel("C_FindObjectsInit");
    let began = Instant::now();
    assert_eq!(generate(&provider, KEY).await, Ok(()));
    assert!(began.elapsed() < Duration::from_secs(3));
    drop(provider);
    // what the four sessions were at, and no more of the two hundred
    assert!(faults.count("C_CreateObject") <= before + 4 + 1);
    assert_eq!(token.litter(), 0);
}

#[tokio::test]
async fn more_calls_than_may_wait_are_throttled() {
    let Some(token) = Token::fresh() else { return };
    token.make_key(KEY);
    let faults = Faults::turn().await;
    let provider = provider(&faults.config(&token, &[KEY]));
    assert_eq!(generate(&provider, KEY).await, Ok(()));
    faults.order("C_FindObjectsInit", "sleep 3e8", 4); // a second
    let calls = (0..1000).map(|_| generate(&provider, KEY));
    let outcomes = futures_util::future::join_all(calls).await;
    let served = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let throttled = Err(KeyError::Throttled);
    let throttled = outcomes.iter().filter(|&outcome| *outcome == throttled);
    assert!((256..=264).contains(&served), "{served}");
    assert_eq!(throttled.count(), 1000 - served);
}

#[tokio::test]
async fn sessions_are_closed_with_the_provider() {
    let Some(token) = Token::fresh() else { return };
    token.make_key(KEY);
    let faults = Faults::turn().await;
    let provider = provider(&faults.config(&token, &[KEY]));
    let calls = (0..50).map(|_| generate(&provider, KEY));
    futures_util::future::join_all(calls).await;
    drop(provider);
    let opened = faults.count("C_OpenSession");
    assert!((1..=4).contains(&opened), "{opened}");
    assert_eq!(faults.count("C_CloseSession"), opened);
}

#[tokio::test]
async fn objects_are_sealed_under_the_key_of_a_token() {
    let Some(token) = Token::fresh() else { return };
    token.make_key("of objects");
    let config = token.config(&[]);
    let (module, label) = (config.module.display(), &token.label);
    let tables = format!(
        "[[rules]]\nbuckets = [\"*\"]\nencryption = \"named-key\"\nkey = \"of objects\"\n\
         [[keys.providers]]\nkind = \"pkcs11\"\nname = \"hsm\"\nmodule = \"{module}\"\n\
         token_label = \"{label}\"\npin = \"{}\"\nkeys = [\"of objects\"]\n\
         [keys.cache]\nttl_seconds = 0\n",
        token.pin
    );
    let options = Options {
        tables,
        ..Options::default()
    };
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.client();
    let put = client.put("/bucket/object", "a secret").await;
    assert_eq!(put.status, 200, "{put:?}");
    let key = "x-amz-server-side-encryption-aws-kms-key-id";
    assert_eq!(put.header(key), Some("of objects"));
    assert_eq!(client.get("/bucket/object").await.body, "a secret");
    let metrics = proxy.metrics().await;
    assert!(metrics.contains("provider=\"pkcs11\""), "{metrics}");

    token.destroy_key("of objects");
    let refused = client.put("/bucket/other", "a secret").await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(refused.code(), "KMS.NotFoundException");
    proxy.stop().await;
    assert_eq!(token.litter(), 0);
}

/// Every log line of the provider's threads.
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

#[tokio::test]
async fn the_pin_is_not_shown() {
    let Some(token) = Token::fresh() else { return };
    let wrong = "a wrong PIN that nobody may log";
    let config = Pkcs11Config {
        pin: pin(wrong),
        ..token.config(&[KEY])
    };
    let mut shown = format!("{config:?}");
    let lines = Lines::default();
    let log = Log {
        format: LogFormat::Json,
        filter: "trace".to_owned(),
    };
    // while there is a single log, other tests' threads may say that nobody wants an event
    let _second = telemetry::dispatch(&log, io::sink).unwrap();
    let writer = lines.clone();
    let dispatch = telemetry::dispatch(&log, move || writer.clone()).unwrap();
    let provider = tracing::dispatcher::with_default(&dispatch, || provider(&config));
    let refused = generate(&provider, KEY).await.unwrap_err();
    assert_eq!(refused, KeyError::Unavailable(Outage::Login));
    drop(provider);
    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(lines.contains("the token refuses the PIN"), "{lines}");
    shown.push_str(&lines);
    for form in contract::shown_forms(wrong.as_bytes()) {
        let mut windows = shown.as_bytes().windows(form.len());
        assert!(!windows.any(|window| window == form), "{shown}");
    }
}
