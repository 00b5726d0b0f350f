//! PKCS#11 tokens: data keys under AES key wrap (RFC 3394), which every token can.
//!
//! ```text
//! wrap = CKM_AES_KEY_WRAP, NULL IV, over data key(32) || SHA-256(context)(32); 72 bytes
//! ```
//! Key wrap takes no additional data, so the context's hash is wrapped beside the key and compared
//! afterwards. Tokens have no key versions: envelopes say version 0, and the id is the `CKA_LABEL`
//! of a secret key of the token.
//!
//! Calls into a module block, and are not cancelled: they are made by a fixed number of threads of
//! their own, each with a session, and callers wait for an answer or leave.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use self::failure::Failure;
use self::pool::Pool;
use self::token::TokenSession;
use self::worker::{Device, Worker};
use crate::config::keys::Pkcs11Provider as Pkcs11Config;
use crate::keys::entropy::random_bytes;
use crate::keys::names::Names;
use crate::keys::provider::{KeyError, KeyProvider};
use crate::keys::service::ServedKey;
use crate::keys::types::{
    DATA_KEY_LEN, DataKey, FreshDataKey, KeyRef, ProviderKind, WrapContext, WrappedDataKey,
};
use crate::keys::wrap::context_digest;

mod failure;
mod login;
mod module;
mod pool;
mod token;
mod worker;

/// The keys of one token.
pub struct Pkcs11Provider {
    pool: Pool<Worker>,
    names: Names,
}

impl Pkcs11Provider {
    /// Starts the threads; the first call loads the module and logs in. Dropping it waits a moment
    /// for the sessions to be closed.
    pub fn new(config: &Pkcs11Config) -> io::Result<Self> {
        let device = Arc::new(Device::new(config));
        let workers = (0..config.sessions).map(|_| Worker::new(Arc::clone(&device)));
        Ok(Self {
            pool: Pool::start(&config.name, workers, QUEUE_MAX)?,
            names: Names::new(ProviderKind::Pkcs11, &config.keys),
        })
    }

    /// The names it serves: what the key service routes by.
    pub fn served(&self) -> Vec<ServedKey> {
        self.names.served()
    }

    /// Has a thread do it with its session, twice if the session was lost.
    async fn call<T: Send + 'static>(
        &self,
        work: impl Fn(&TokenSession) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, KeyError> {
        self.pool.call(move |worker| worker.run(&work)).await?
    }
}

#[async_trait]
impl KeyProvider for Pkcs11Provider {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Pkcs11
    }

    /// The name is the id, and there are no versions: nothing is asked.
    async fn describe(&self, name: &str) -> Result<KeyRef, KeyError> {
        self.names.key(name)
    }

    async fn generate(
        &self,
        key: &KeyRef,
        context: &WrapContext,
    ) -> Result<FreshDataKey, KeyError> {
        let data_key = DataKey::new(*random_bytes()?);
        let wrapped = self.wrap(key, &data_key, context).await?;
        Ok(FreshDataKey { data_key, wrapped })
    }

    async fn wrap(
        &self,
        key: &KeyRef,
        data_key: &DataKey,
        context: &WrapContext,
    ) -> Result<WrappedDataKey, KeyError> {
        let label = self.names.name_of(key)?.to_owned();
        let plaintext = bound(data_key, context);
        let wrapped = self.call(move |token| token.wrap(&label, &plaintext));
        wrapped.await.map(WrappedDataKey)
    }

    async fn unwrap(
        &self,
        key: &KeyRef,
        wrapped: &WrappedDataKey,
        context: &WrapContext,
    ) -> Result<DataKey, KeyError> {
        let label = self.names.name_of(key)?.to_owned();
        if wrapped.0.len() != WRAPPED_LEN {
            return Err(KeyError::Malformed);
        }
        let wrapped = wrapped.0.clone();
        let opened = self.call(move |token| token.unwrap(&label, &wrapped));
        unbound(&opened.await?, context)
    }

    /// Whether a session is logged in now.
    async fn probe(&self) -> Result<(), KeyError> {
        self.call(TokenSession::check).await
    }
}

/// What is wrapped: the data key, and what it is bound to. On the heap, so that moving it leaves
/// no copies.
fn bound(data_key: &DataKey, context: &WrapContext) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(PLAINTEXT_LEN));
    bytes.extend_from_slice(data_key.expose());
    bytes.extend_from_slice(&context_digest(&context.bytes));
    bytes
}

/// The data key, if it was bound to this context.
fn unbound(bytes: &[u8], context: &WrapContext) -> Result<DataKey, KeyError> {
    let (data_key, hash) = bytes
        .split_first_chunk::<DATA_KEY_LEN>()
        .ok_or(KeyError::Malformed)?;
    if hash.ct_eq(&context_digest(&context.bytes)).into() {
        Ok(DataKey::new(*data_key))
    } else {
        Err(KeyError::ContextMismatch)
    }
}

/// Data key and SHA-256.
const PLAINTEXT_LEN: usize = DATA_KEY_LEN + 32;

/// RFC 3394 adds eight bytes.
const WRAPPED_LEN: usize = PLAINTEXT_LEN + 8;

/// Calls that wait for a session. At a hundred a second, which is a slow token, the last one is
/// served within half of the five seconds that callers have.
const QUEUE_MAX: usize = 256;
