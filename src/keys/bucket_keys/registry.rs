//! The key registry: newer wraps of bucket keys than the ones that objects carry.
//!
//! ```text
//! entry = 01 || u8 provider || be16 len || key id || be32 key version || bucket key id(16) || be16 len || wrapped bucket key
//! ```
//! An entry wins over the copy in an envelope, so moving a bucket's objects to another
//! key-encryption key is one rewrap per bucket key. Whoever can write to the registry can hide an
//! entry or put an older one back, and no more: a wrap is bound to its bucket key and bucket, and
//! opens only under a key that the rule accepts.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use moka::future::Cache;
use thiserror::Error;

use super::{BUCKET_KEY_ID_LEN, BucketKeyId, WrappedBucketKey};
use crate::keys::types::{KeyRef, ProviderKind, WrappedDataKey};
use crate::keys::wrap::context_digest;

/// Where entries are kept. Names are a folder for the bucket, a slash, and the id of the bucket key
/// in lower-case hex.
#[async_trait]
pub trait RegistryStore: Send + Sync + 'static {
    /// The entry of this name.
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, RegistryError>;
    /// Stores an entry, in the place of an older one, so that it outlasts a crash.
    async fn put(&self, name: &str, entry: Vec<u8>) -> Result<(), RegistryError>;
    /// What names in a folder have behind the slash.
    async fn names(&self, folder: &str) -> Result<Vec<String>, RegistryError>;
}

/// Why the registry does not help.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// It cannot be read or written now.
    #[error("the registry of bucket keys: {0}")]
    Away(String),
    /// What stands in the place of an entry is none: the storage is not what was written there.
    #[error("the registry of bucket keys: {0} is no entry")]
    Broken(String),
}

/// What the registry says of a bucket key.
#[derive(Clone, Debug)]
pub struct Found {
    /// The newest wrap that is known, if there is one.
    pub entry: Option<Arc<WrappedBucketKey>>,
    /// Whether it is from an earlier reading, since the store is away.
    pub is_old: bool,
}

/// A registry with what was read of it a moment ago.
pub struct Registry {
    store: Arc<dyn RegistryStore>,
    known: Cache<String, Option<Arc<WrappedBucketKey>>>,
    /// What was read last, for as long as the store is away.
    last: Cache<String, Arc<WrappedBucketKey>>,
}

impl Registry {
    /// Reads through to `store`.
    pub fn new(store: Arc<dyn RegistryStore>) -> Self {
        let known = Cache::builder()
            .max_capacity(KNOWN_MAX)
            .time_to_live(KNOWN_FOR)
            .build();
        let last = Cache::new(KNOWN_MAX);
        Self { store, known, last }
    }

    /// The newest wrap of a bucket key, if there is one.
    pub async fn find(
        &self,
        logical_bucket: &str,
        id: &BucketKeyId,
    ) -> Result<Found, Arc<RegistryError>> {
        let name = name(logical_bucket, id);
        let found = self.known.try_get_with(name.clone(), self.read(&name, id));
        match found.await {
            Ok(entry) => Ok(Found {
                entry,
                is_old: false,
            }),
            Err(error) => match self.last.get(&name).await {
                Some(last) => Ok(Found {
                    entry: Some(last),
                    is_old: true,
                }),
                None => Err(error),
            },
        }
    }

    async fn read(
        &self,
        name: &str,
        id: &BucketKeyId,
    ) -> Result<Option<Arc<WrappedBucketKey>>, RegistryError> {
        let Some(entry) = self.store.get(name).await? else {
            return Ok(None);
        };
        let entry = parse(&entry).filter(|entry| entry.id == *id);
        let entry = entry.ok_or_else(|| RegistryError::Broken(name.to_owned()))?;
        let entry = Arc::new(entry);
        self.last.insert(name.to_owned(), Arc::clone(&entry)).await;
        Ok(Some(entry))
    }

    /// Writes a wrap; from then on it is the newest.
    pub async fn put(
        &self,
        logical_bucket: &str,
        key: &WrappedBucketKey,
    ) -> Result<(), RegistryError> {
        let entry =
            encode(key).ok_or_else(|| RegistryError::Away("an entry is too long".to_owned()))?;
        let name = name(logical_bucket, &key.id);
        self.store.put(&name, entry).await?;
        self.known.insert(name, Some(Arc::new(key.clone()))).await;
        Ok(())
    }

    /// The ids of all bucket keys of a bucket.
    pub async fn ids(&self, logical_bucket: &str) -> Result<Vec<BucketKeyId>, RegistryError> {
        let names = self.store.names(&folder(logical_bucket)).await?;
        Ok(names.iter().filter_map(|name| id(name)).collect())
    }
}

/// The name of an entry.
pub fn name(logical_bucket: &str, id: &BucketKeyId) -> String {
    let id = data_encoding::HEXLOWER.encode(id);
    format!("{}/{id}", folder(logical_bucket))
}

/// The bucket's name, where it is one of S3's; logical names may be anything.
fn folder(logical_bucket: &str) -> String {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    let is_plain = logical_bucket.bytes().all(is_plain) && !logical_bucket.starts_with('.');
    if is_plain && (1..=63).contains(&logical_bucket.len()) {
        return logical_bucket.to_owned();
    }
    let digest = context_digest(logical_bucket.as_bytes());
    format!("_{}", data_encoding::HEXLOWER.encode(&digest))
}

fn id(name: &str) -> Option<BucketKeyId> {
    let bytes = data_encoding::HEXLOWER.decode(name.as_bytes()).ok()?;
    bytes.try_into().ok()
}

/// `None` if a field has more than 65,535 bytes.
pub fn encode(key: &WrappedBucketKey) -> Option<Vec<u8>> {
    let mut entry = vec![ENTRY_VERSION, key.kek.provider as u8];
    put_field(&mut entry, key.kek.id.as_bytes())?;
    entry.extend_from_slice(&key.kek.version.to_be_bytes());
    entry.extend_from_slice(&key.id);
    put_field(&mut entry, &key.wrapped.0)?;
    Some(entry)
}

/// Exactly one entry, in the only encoding it has.
pub fn parse(entry: &[u8]) -> Option<WrappedBucketKey> {
    let (&[version, provider], rest) = entry.split_first_chunk()?;
    let (id, rest) = field(rest)?;
    let (key_version, rest) = rest.split_first_chunk()?;
    let (bucket_key, rest) = rest.split_first_chunk::<BUCKET_KEY_ID_LEN>()?;
    let (wrapped, rest) = field(rest)?;
    let provider = ProviderKind::from_byte(provider)?;
    let is_one = version == ENTRY_VERSION
        && rest.is_empty()
        && !wrapped.is_empty()
        && !id.is_empty()
        && provider != ProviderKind::Customer;
    is_one.then_some(())?;
    Some(WrappedBucketKey {
        id: *bucket_key,
        kek: KeyRef {
            provider,
            id: String::from_utf8(id.to_vec()).ok()?,
            version: u32::from_be_bytes(*key_version),
        },
        wrapped: WrappedDataKey(wrapped.to_vec()),
    })
}

fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

fn put_field(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    out.extend_from_slice(&u16::try_from(bytes.len()).ok()?.to_be_bytes());
    out.extend_from_slice(bytes);
    Some(())
}

const ENTRY_VERSION: u8 = 1;

/// How long an entry, or that there is none, is believed: the delay of a rewrap.
const KNOWN_FOR: Duration = Duration::from_mins(1);

const KNOWN_MAX: u64 = 100_000;
