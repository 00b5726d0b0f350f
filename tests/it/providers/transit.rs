//! Transit: OpenBao, as its operator would set it up.

use std::sync::Arc;
use std::time::Duration;

use s3seal::config::keys::{SecretPlace, TransitAuth, TransitProvider as TransitConfig};
use s3seal::keys::transit::TransitProvider;
use s3seal::keys::{KeyError, KeyProvider, Outage};
use s3seal::secret::Secret;
use s3seal::upstream::client::tls_config;
use serde_json::{Value, json};

use super::bao::Bao;
use super::contract::{self, Rotation, Subject, context};
use super::gate::{Gate, Mode};

const KEY: &str = "tenant-a";

struct TransitSubject {
    bao: Bao,
    mount: String,
    provider: Arc<TransitProvider>,
}

impl TransitSubject {
    async fn config(&self, body: Value) {
        let path = format!("{}/keys/{KEY}/config", self.mount);
        self.bao.operator("POST", &path, &body).await;
    }
}

fn fixed(text: &str) -> Arc<SecretPlace> {
    Arc::new(SecretPlace::Fixed(Secret::new(text.to_owned())))
}

fn provider(address: &str, mount: &str, auth: TransitAuth) -> Arc<TransitProvider> {
    let config = TransitConfig {
        name: "bao".to_owned(),
        address: address.parse().unwrap(),
        mount: mount.to_owned(),
        namespace: None,
        auth,
        ca: None,
        keys: vec![KEY.to_owned(), "missing".to_owned()],
    };
    let tls = tls_config(None, false).unwrap();
    Arc::new(TransitProvider::new(&config, tls, Duration::from_secs(2)))
}

impl Subject for TransitSubject {
    const ROTATION: Rotation = Rotation::Inside;
    const DISABLED: Option<KeyError> = Some(KeyError::Disabled);
    const RETIRED: Option<KeyError> = Some(KeyError::Disabled);
    const DESTROYED: Option<KeyError> = Some(KeyError::NotFound);

    async fn start() -> Self {
        let bao = Bao::of_the_run().expect("checked before");
        let mount = bao.transit(KEY).await;
        let token = TransitAuth::Token {
            token: fixed(&bao.token),
        };
        Self {
            provider: provider(&format!("http://{}", bao.address), &mount, token),
            bao,
            mount,
        }
    }

    fn provider(&self) -> Arc<dyn KeyProvider> {
        Arc::clone(&self.provider) as Arc<dyn KeyProvider>
    }

    fn id(&self) -> String {
        KEY.to_owned()
    }

    fn aliases(&self) -> Vec<String> {
        Vec::new()
    }

    fn secrets(&self) -> Vec<Vec<u8>> {
        contract::shown_forms(self.bao.token.as_bytes())
    }

    async fn rotate(&self) {
        let path = format!("{}/keys/{KEY}/rotate", self.mount);
        self.bao.operator("POST", &path, &json!({})).await;
    }

    async fn disable(&self) {
        let path = format!("{}/keys/{KEY}/soft-delete", self.mount);
        self.bao.operator("DELETE", &path, &Value::Null).await;
    }

    async fn enable(&self) {
        let path = format!("{}/keys/{KEY}/soft-delete-restore", self.mount);
        self.bao.operator("POST", &path, &json!({})).await;
    }

    async fn retire_old(&self) {
        self.config(json!({"min_decryption_version": 2})).await;
    }

    async fn destroy_old(&self) {
        self.config(json!({"deletion_allowed": true})).await;
        let path = format!("{}/keys/{KEY}", self.mount);
        self.bao.operator("DELETE", &path, &Value::Null).await;
    }
}

#[tokio::test]
async fn transit_keeps_the_contract() {
    if Bao::of_the_run().is_some() {
        contract::run::<TransitSubject>().await;
    }
}

/// A role with short-lived tokens, behind a gate.
struct Login {
    bao: Bao,
    gate: Gate,
    provider: Arc<TransitProvider>,
    role: super::bao::AppRole,
}

impl Login {
    async fn with_ttl(ttl: &str, max_ttl: &str) -> Option<Self> {
        let bao = Bao::of_the_run()?;
        let mount = bao.transit(KEY).await;
        let role = bao.approle(&mount, KEY, ttl, max_ttl).await;
        let gate = Gate::before(bao.address).await;
        let auth = TransitAuth::AppRole {
            mount: role.method.clone(),
            role_id: role.role_id.clone(),
            secret_id: fixed(&role.secret_id),
        };
        let provider = provider(&format!("http://{}", gate.address), &mount, auth);
        Some(Self {
            bao,
            gate,
            provider,
            role,
        })
    }

    async fn generate(&self) -> Result<(), KeyError> {
        let key = self.provider.describe(KEY).await?;
        self.provider.generate(&key, &context("a")).await.map(drop)
    }

    /// The tokens of the role are gone.
    async fn revoke(&self) {
        let path = format!("sys/leases/revoke-prefix/auth/{}/login", self.role.method);
        self.bao.operator("PUT", &path, &json!({})).await;
    }
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends_and_replaced_when_it_cannot_be() {
    let Some(login) = Login::with_ttl("3s", "6s").await else {
        return;
    };
    for _ in 0..45 {
        assert_eq!(login.generate().await, Ok(()));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (logins, renewals) = (login.gate.count("/login"), login.gate.count("renew-self"));
    assert!((2..=6).contains(&logins), "{logins} logins");
    assert!((1..=9).contains(&renewals), "{renewals} renewals");
}

#[tokio::test]
async fn a_revoked_token_is_replaced_by_one_login_however_many_ask() {
    let Some(login) = Login::with_ttl("1h", "2h").await else {
        return;
    };
    assert_eq!(login.generate().await, Ok(()));
    tokio::time::sleep(Duration::from_secs(11)).await;
    login.revoke().await;
    let calls = (0..200).map(|_| login.generate());
    let outcomes = futures_util::future::join_all(calls).await;
    assert_eq!(outcomes, vec![Ok(()); 200]);
    assert_eq!(login.gate.count("/login"), 2);
    assert_eq!(login.gate.count("lookup-self"), 1);
}

#[tokio::test]
async fn a_policy_that_refuses_causes_neither_logins_nor_questions() {
    let Some(login) = Login::with_ttl("1h", "2h").await else {
        return;
    };
    assert_eq!(login.generate().await, Ok(()));
    let path = format!("sys/policies/acl/{}", login.role.policy);
    login.bao.operator("DELETE", &path, &Value::Null).await;
    let calls = (0..200).map(|_| login.generate());
    let outcomes = futures_util::future::join_all(calls).await;
    assert_eq!(outcomes, vec![Err(KeyError::Denied); 200]);
    assert_eq!(login.gate.count("/login"), 1);
    assert!(login.gate.count("lookup-self") <= 1);
}

#[tokio::test]
async fn a_server_that_is_away_gets_no_storm_and_is_found_again() {
    let Some(login) = Login::with_ttl("1h", "2h").await else {
        return;
    };
    assert_eq!(login.generate().await, Ok(()));
    for (mode, outcome) in [
        (Mode::Broken, Outage::Unreachable.into()),
        (
            Mode::Answer(
                hyper::StatusCode::SERVICE_UNAVAILABLE,
                "{\"errors\":[\"Vault is sealed\"]}",
            ),
            Outage::Unreachable.into(),
        ),
        (
            Mode::Answer(hyper::StatusCode::TOO_MANY_REQUESTS, "{\"errors\":[]}"),
            KeyError::Throttled,
        ),
        (
            Mode::Answer(hyper::StatusCode::OK, "<html>welcome to the portal</html>"),
            Outage::Answer.into(),
        ),
        (
            Mode::Answer(
                hyper::StatusCode::OK,
                "{\"data\":{\"plaintext\":\"AAAA\",\"ciphertext\":\"vault:v1:AAAA\"}}",
            ),
            Outage::Answer.into(),
        ),
        (
            Mode::Answer(hyper::StatusCode::TEMPORARY_REDIRECT, ""),
            Outage::Unreachable.into(),
        ),
    ] {
        login.gate.set(mode.clone());
        let calls = (0..50).map(|_| login.generate());
        let outcomes = futures_util::future::join_all(calls).await;
        assert_eq!(outcomes, vec![Err(outcome); 50], "{mode:?}");
        login.gate.set(Mode::Open);
        assert_eq!(login.generate().await, Ok(()), "after {mode:?}");
    }
    assert_eq!(login.gate.count("/login"), 1);
}

#[tokio::test]
async fn a_slow_server_is_waited_for_and_a_hung_one_is_not() {
    let Some(login) = Login::with_ttl("1h", "2h").await else {
        return;
    };
    login.gate.set(Mode::Slow(Duration::from_millis(500)));
    assert_eq!(login.generate().await, Ok(()));
    login.gate.set(Mode::Hung);
    assert_eq!(login.generate().await, Err(Outage::Timeout.into()));
    login.gate.set(Mode::Open);
    assert_eq!(login.generate().await, Ok(()));
}

#[tokio::test]
async fn logins_that_fail_are_few_and_the_first_that_can_succeed_does() {
    let Some(bao) = Bao::of_the_run() else { return };
    let mount = bao.transit(KEY).await;
    let role = bao.approle(&mount, KEY, "1h", "2h").await;
    let gate = Gate::before(bao.address).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret-id");
    std::fs::write(&file, "wrong\n").unwrap();
    let auth = TransitAuth::AppRole {
        mount: role.method.clone(),
        role_id: role.role_id.clone(),
        secret_id: Arc::new(SecretPlace::File(file.clone())),
    };
    let provider = provider(&format!("http://{}", gate.address), &mount, auth);
    let key = provider.describe(KEY).await.unwrap();
    for _ in 0..100 {
        let refused = provider.generate(&key, &context("a")).await.unwrap_err();
        assert_eq!(refused, KeyError::Unavailable(Outage::Login));
    }
    assert!(gate.count("/login") <= 2, "{}", gate.count("/login"));
    // the secret is replaced where it lies: read again by the next attempt
    std::fs::write(&file, format!("{}\n", role.secret_id)).unwrap();
    let mut outcome = Err(KeyError::Denied);
    for _ in 0..100 {
        outcome = provider.generate(&key, &context("a")).await.map(drop);
        if outcome.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(outcome, Ok(()));
    assert!(gate.count("/login") <= 6, "{}", gate.count("/login"));
}

#[tokio::test]
async fn a_key_that_nobody_made_is_not_found() {
    let Some(bao) = Bao::of_the_run() else { return };
    let mount = bao.transit(KEY).await;
    let token = TransitAuth::Token {
        token: fixed(&bao.token),
    };
    let provider = provider(&format!("http://{}", bao.address), &mount, token);
    let key = provider.describe("missing").await.unwrap();
    let refused = provider.generate(&key, &context("a")).await.unwrap_err();
    assert_eq!(refused, KeyError::NotFound);
}
