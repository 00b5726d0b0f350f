//! Vault or OpenBao Transit: derived keys, whose derivation context is the wrap's context.
//!
//! ```text
//! derivation context = base64(SHA-256(context))
//! wrap               = "vault:v" version ":" base64(nonce(12) || ciphertext(32) || tag(16)), as Transit writes it
//! ```
//! Transit keeps track of versions, so envelopes say version 0, and a rewrap within the key leaves
//! the context as it is (keys.md, "Vault / OpenBao Transit"). A key that is not derived would
//! ignore the context: the self-test at start refuses it.

use std::time::Duration;

use async_trait::async_trait;
use data_encoding::BASE64;
use http::Method;
use rustls::ClientConfig;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use self::api::{Api, Refusal};
use self::session::Session;
use crate::config::keys::TransitProvider as TransitConfig;
use crate::keys::names::Names;
use crate::keys::provider::{KeyError, KeyProvider, Outage};
use crate::keys::service::ServedKey;
use crate::keys::types::{
    DATA_KEY_LEN, DataKey, FreshDataKey, KeyRef, ProviderKind, WrapContext, WrappedDataKey,
};
use crate::keys::wrap::context_digest;
use crate::secret::Secret;

mod api;
mod login;
mod session;

/// The keys of one Transit engine.
pub struct TransitProvider {
    api: Api,
    session: Session,
    mount: String,
    names: Names,
}

impl TransitProvider {
    /// Begins to log in, in the background: must be called within a runtime. `tls` is the trust
    /// store for an `https` address, `connect_timeout` the time for TCP and TLS handshakes.
    pub fn new(config: &TransitConfig, tls: ClientConfig, connect_timeout: Duration) -> Self {
        let api = Api::new(
            &config.address,
            config.namespace.clone(),
            tls,
            connect_timeout,
        );
        Self {
            session: Session::start(api.clone(), config.auth.clone(), config.name.clone()),
            api,
            mount: config.mount.clone(),
            names: Names::new(ProviderKind::Transit, &config.keys),
        }
    }

    /// The names it serves: what the key service routes by.
    pub fn served(&self) -> Vec<ServedKey> {
        self.names.served()
    }

    /// One call on a key, with a token that was not refused as far as is known.
    async fn call(&self, call: &str, key: &KeyRef, body: &Value) -> Result<Answer, KeyError> {
        let path = format!("{}/{call}/{}", self.mount, self.names.name_of(key)?);
        let login = self.session.login().await?;
        let answer = self.post(&path, &login.token, body).await;
        let Err(Refusal::Denied) = answer else {
            return Ok(answer?);
        };
        // The token, or the policy? A fresh token tries once more; the same one was asked about.
        let fresh = self.session.after_refusal(&login).await?;
        Ok(self.post(&path, &fresh.token, body).await?)
    }

    async fn post(
        &self,
        path: &str,
        token: &Secret<String>,
        body: &Value,
    ) -> Result<Answer, Refusal> {
        self.api
            .send(Method::POST, path, Some(token), Some(body))
            .await
            .map(Answer)
    }
}

#[async_trait]
impl KeyProvider for TransitProvider {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Transit
    }

    /// The name is the id, and Transit keeps track of versions: nothing is asked.
    async fn describe(&self, name: &str) -> Result<KeyRef, KeyError> {
        self.names.key(name)
    }

    async fn generate(
        &self,
        key: &KeyRef,
        context: &WrapContext,
    ) -> Result<FreshDataKey, KeyError> {
        let body = json!({"bits": 256, "context": derivation_context(context)});
        let answer = self.call("datakey/plaintext", key, &body).await?;
        let data: DataKeyAnswer<'_> = answer.data()?;
        Ok(FreshDataKey {
            data_key: data_key(data.plaintext)?,
            wrapped: wrapped(data.ciphertext)?,
        })
    }

    /// A policy should grant `update` on `encrypt`, not `create`: with `create` Transit makes a key
    /// that is missing.
    async fn wrap(
        &self,
        key: &KeyRef,
        data_key: &DataKey,
        context: &WrapContext,
    ) -> Result<WrappedDataKey, KeyError> {
        let plaintext = Zeroizing::new(BASE64.encode(data_key.expose()));
        let body = json!({"plaintext": *plaintext, "context": derivation_context(context)});
        let answer = self.call("encrypt", key, &body).await?;
        wrapped(answer.data::<Ciphertext<'_>>()?.ciphertext)
    }

    async fn unwrap(
        &self,
        key: &KeyRef,
        wrapped: &WrappedDataKey,
        context: &WrapContext,
    ) -> Result<DataKey, KeyError> {
        let ciphertext = ciphertext(wrapped).ok_or(KeyError::Malformed)?;
        let body = json!({"ciphertext": ciphertext, "context": derivation_context(context)});
        let answer = self.call("decrypt", key, &body).await?;
        // Something else was wrapped by this key: not by us.
        data_key(answer.data::<Plaintext<'_>>()?.plaintext).map_err(|_outage| KeyError::Malformed)
    }

    /// Within one key and context Transit does it without showing the data key.
    async fn rewrap(
        &self,
        from: (&KeyRef, &WrapContext),
        wrapped_before: &WrappedDataKey,
        to: (&KeyRef, &WrapContext),
    ) -> Result<WrappedDataKey, KeyError> {
        if from.0 != to.0 || from.1.bytes != to.1.bytes {
            let data_key = self.unwrap(from.0, wrapped_before, from.1).await?;
            return self.wrap(to.0, &data_key, to.1).await;
        }
        let ciphertext = ciphertext(wrapped_before).ok_or(KeyError::Malformed)?;
        let body = json!({"ciphertext": ciphertext, "context": derivation_context(to.1)});
        let answer = self.call("rewrap", to.0, &body).await?;
        wrapped(answer.data::<Ciphertext<'_>>()?.ciphertext)
    }

    /// Whether there is a login. What else fails shows in the calls.
    async fn probe(&self) -> Result<(), KeyError> {
        self.session.login().await.map(|_login| ())
    }
}

/// The bytes of an answer, wiped when dropped: data keys are in them.
struct Answer(Zeroizing<Vec<u8>>);

impl Answer {
    fn data<'a, T: Deserialize<'a>>(&'a self) -> Result<T, KeyError> {
        #[derive(Deserialize)]
        struct Envelope<T> {
            data: T,
        }
        let envelope: Result<Envelope<T>, _> = serde_json::from_slice(&self.0);
        Ok(envelope.map_err(|_junk| Outage::Answer)?.data)
    }
}

#[derive(Deserialize)]
struct DataKeyAnswer<'a> {
    ciphertext: &'a str,
    plaintext: &'a str,
}

#[derive(Deserialize)]
struct Ciphertext<'a> {
    ciphertext: &'a str,
}

#[derive(Deserialize)]
struct Plaintext<'a> {
    plaintext: &'a str,
}

/// What the derived key of one wrap is derived with.
fn derivation_context(context: &WrapContext) -> String {
    BASE64.encode(&context_digest(&context.bytes))
}

fn data_key(base64: &str) -> Result<DataKey, Outage> {
    let decoded = BASE64.decode(base64.as_bytes()).map(Zeroizing::new);
    let decoded = decoded.map_err(|_junk| Outage::Answer)?;
    let bytes: &[u8; DATA_KEY_LEN] = decoded
        .as_slice()
        .try_into()
        .map_err(|_length| Outage::Answer)?;
    Ok(DataKey::new(*bytes))
}

/// A wrap that Transit has just made; one of a strange shape could never be opened again.
fn wrapped(text: &str) -> Result<WrappedDataKey, KeyError> {
    let wrapped = WrappedDataKey(text.as_bytes().to_vec());
    if ciphertext(&wrapped).is_none() {
        return Err(Outage::Answer.into());
    }
    Ok(wrapped)
}

/// The text of a wrap, if it can be a data key's: in one spelling only.
fn ciphertext(wrapped: &WrappedDataKey) -> Option<&str> {
    let text = std::str::from_utf8(&wrapped.0).ok()?;
    let (version, sealed) = text.strip_prefix("vault:v")?.split_once(':')?;
    let number: u32 = version.parse().ok()?;
    let is_canonical = number > 0 && number.to_string() == version;
    let sealed = BASE64.decode(sealed.as_bytes()).ok()?;
    (is_canonical && sealed.len() == SEALED_LEN).then_some(text)
}

/// Nonce, ciphertext and tag of a wrapped data key.
const SEALED_LEN: usize = 12 + DATA_KEY_LEN + 16;
