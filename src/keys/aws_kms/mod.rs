//! AWS KMS: symmetric keys, whose encryption context is the wrap's context.
//!
//! ```text
//! wrap = the CiphertextBlob of GenerateDataKey, Encrypt or ReEncrypt, as KMS made it
//! ```
//! KMS keeps track of versions, so envelopes say version 0. What the configured names stand for is
//! asked once, at the start: an alias that is moved later changes nothing here until the next
//! start, and a key that was not configured is never used.
//!
//! The SDK holds requests and answers in buffers of its own, which it does not wipe; what it hands
//! over is wiped. Its log lines hide bodies, unless its variables `LOG_SENSITIVE_BODIES` or
//! `LOG_SIGNABLE_BODY` are set.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_kms::Client;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use tokio::time::Instant;
use zeroize::Zeroizing;

use self::context::encryption_context;
use self::health::Health;
use self::names::{KnownKey, KnownKeys};
use self::refusal::refusal;
use crate::config::keys::AwsKmsProvider as AwsKmsConfig;
use crate::keys::provider::{ForeignWraps, KeyError, KeyProvider, Outage};
use crate::keys::service::ServedKey;
use crate::keys::types::{
    DATA_KEY_LEN, DataKey, FreshDataKey, KeyRef, ProviderKind, WrapContext, WrappedDataKey,
};

mod connect;
mod context;
mod health;
mod names;
mod refusal;

pub use self::connect::ConnectError;

/// Keys of AWS KMS in one region.
pub struct AwsKmsProvider {
    client: Client,
    keys: KnownKeys,
    health: Arc<Health>,
}

impl AwsKmsProvider {
    /// Finds credentials, and asks KMS what the configured names stand for.
    pub async fn connect(config: &AwsKmsConfig) -> Result<Self, ConnectError> {
        let client = connect::client(config).await?;
        let keys = connect::learn(&client, &config.keys).await?;
        Ok(Self {
            client,
            keys,
            health: Arc::new(Health::new(Instant::now())),
        })
    }

    /// The names it serves: what the key service routes by.
    pub fn served(&self) -> Vec<ServedKey> {
        self.keys.iter().map(KnownKey::served).collect()
    }

    fn key(&self, key: &KeyRef) -> Result<&KnownKey, KeyError> {
        let known = self.keys.iter().find(|known| known.key_ref() == *key);
        known.ok_or(KeyError::NotFound)
    }

    async fn decrypt(
        &self,
        key: &KnownKey,
        wrapped: &WrappedDataKey,
        context: HashMap<String, String>,
    ) -> Result<DataKey, KeyError> {
        let request = self
            .client
            .decrypt()
            .key_id(key.arn())
            .ciphertext_blob(ciphertext(wrapped)?)
            .set_encryption_context(Some(context));
        let answer = ask(request.send()).await?;
        let plaintext = answer.plaintext.ok_or(Outage::Answer)?;
        // Something else was wrapped by this key: not by us.
        data_key(plaintext).ok_or(KeyError::Malformed)
    }
}

#[async_trait]
impl KeyProvider for AwsKmsProvider {
    fn kind(&self) -> ProviderKind {
        ProviderKind::AwsKms
    }

    /// From what was learnt at the start: nothing is asked.
    async fn describe(&self, name: &str) -> Result<KeyRef, KeyError> {
        let known = self.keys.iter().find(|known| known.is_called(name));
        known.map(KnownKey::key_ref).ok_or(KeyError::NotFound)
    }

    async fn generate(
        &self,
        key: &KeyRef,
        context: &WrapContext,
    ) -> Result<FreshDataKey, KeyError> {
        let key = self.key(key)?;
        let request = self
            .client
            .generate_data_key()
            .key_id(key.arn())
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(Some(bound_to(key, context)));
        let answer = ask(request.send()).await?;
        // First, so that it is wiped whatever else the answer says.
        let data_key = answer.plaintext.and_then(data_key);
        Ok(FreshDataKey {
            wrapped: wrapped(key, answer.key_id.as_deref(), answer.ciphertext_blob)?,
            data_key: data_key.ok_or(Outage::Answer)?,
        })
    }

    async fn wrap(
        &self,
        key: &KeyRef,
        data_key: &DataKey,
        context: &WrapContext,
    ) -> Result<WrappedDataKey, KeyError> {
        let key = self.key(key)?;
        let request = self
            .client
            .encrypt()
            .key_id(key.arn())
            .plaintext(Blob::new(data_key.expose()))
            .set_encryption_context(Some(bound_to(key, context)));
        let answer = ask(request.send()).await?;
        wrapped(key, answer.key_id.as_deref(), answer.ciphertext_blob)
    }

    /// The key is named although KMS finds it in the wrap: else a wrap by anybody's key that
    /// we may use would open.
    async fn unwrap(
        &self,
        key: &KeyRef,
        wrapped: &WrappedDataKey,
        context: &WrapContext,
    ) -> Result<DataKey, KeyError> {
        let key = self.key(key)?;
        self.decrypt(key, wrapped, bound_to(key, context)).await
    }

    /// KMS does it, between keys and contexts, without showing the data key.
    async fn rewrap(
        &self,
        from: (&KeyRef, &WrapContext),
        wrapped_before: &WrappedDataKey,
        to: (&KeyRef, &WrapContext),
    ) -> Result<WrappedDataKey, KeyError> {
        let (source, target) = (self.key(from.0)?, self.key(to.0)?);
        let request = self
            .client
            .re_encrypt()
            .source_key_id(source.arn())
            .ciphertext_blob(ciphertext(wrapped_before)?)
            .set_source_encryption_context(Some(bound_to(source, from.1)))
            .destination_key_id(target.arn())
            .set_destination_encryption_context(Some(bound_to(target, to.1)));
        let answer = ask(request.send()).await?;
        wrapped(target, answer.key_id.as_deref(), answer.ciphertext_blob)
    }

    /// What a look at one key said a few seconds ago: nobody waits for KMS here.
    async fn probe(&self) -> Result<(), KeyError> {
        let Some(key) = self.keys.iter().next() else {
            return Ok(());
        };
        let request = self.client.describe_key().key_id(key.arn());
        self.health.current(Instant::now(), async move {
            ask(request.send()).await.map(drop)
        })
    }
}

#[async_trait]
impl ForeignWraps for AwsKmsProvider {
    async fn unwrap_foreign(
        &self,
        id: &str,
        wrapped: &WrappedDataKey,
        context: &BTreeMap<String, String>,
    ) -> Result<DataKey, KeyError> {
        let key = self.keys.iter().find(|known| known.arn() == id);
        let key = key.ok_or(KeyError::NotFound)?;
        let context = context.clone().into_iter().collect();
        self.decrypt(key, wrapped, context).await
    }
}

/// The answer of one call; boxed, for the SDK's futures are large.
async fn ask<T, E: ProvideErrorMetadata>(
    call: impl Future<Output = Result<T, SdkError<E>>> + Send,
) -> Result<T, KeyError> {
    Box::pin(call).await.map_err(|error| refusal(&error))
}

fn bound_to(key: &KnownKey, context: &WrapContext) -> HashMap<String, String> {
    encryption_context(context, key.partition())
}

fn data_key(plaintext: Blob) -> Option<DataKey> {
    let bytes = Zeroizing::new(plaintext.into_inner());
    let bytes: &[u8; DATA_KEY_LEN] = bytes.as_slice().try_into().ok()?;
    Some(DataKey::new(*bytes))
}

/// A wrap that KMS has just made. By another key, or too long to be asked about again: it could
/// never be opened.
fn wrapped(
    key: &KnownKey,
    made_by: Option<&str>,
    blob: Option<Blob>,
) -> Result<WrappedDataKey, KeyError> {
    let blob = blob.ok_or(Outage::Answer)?.into_inner();
    if made_by != Some(key.arn()) || !is_possible(&blob) {
        return Err(Outage::Answer.into());
    }
    Ok(WrappedDataKey(blob))
}

/// The wrap as a request holds it, if KMS would look at it at all.
fn ciphertext(wrapped: &WrappedDataKey) -> Result<Blob, KeyError> {
    if is_possible(&wrapped.0) {
        Ok(Blob::new(wrapped.0.clone()))
    } else {
        Err(KeyError::Malformed)
    }
}

fn is_possible(blob: &[u8]) -> bool {
    (1..=MAX_BLOB_BYTES).contains(&blob.len())
}

/// KMS takes no longer `CiphertextBlob`.
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html>
const MAX_BLOB_BYTES: usize = 6144;
