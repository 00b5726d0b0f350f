//! Rewrapping of the bucket keys in the registry: all objects of a bucket move to another key, also
//! noncurrent, archived and locked ones, and none of them is touched.

use std::collections::BTreeSet;
use std::sync::Arc;

use thiserror::Error;

use super::context::Cx;
use crate::keys::KeyError;
use crate::keys::bucket_keys::BucketKeyId;
use crate::keys::bucket_keys::registry::{Registry, RegistryError};
use crate::keys::policy::{Accepted, AcceptedKey, PolicyRefusal};
use crate::keys::types::{Binding, KeyRef, Mode};

/// What became of a bucket key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketKeyOutcome {
    /// It has another wrap, or would have.
    Rewrapped,
    /// It is under this key already.
    AlreadyThere,
    /// It is of the managed key and the new one is not, or the other way round.
    OtherMode,
}

/// Why a bucket key stays as it is.
#[derive(Debug, Error)]
pub enum BucketKeyError {
    /// There is no registry to write to.
    #[error("no registry is configured (keys.bucket_keys.registry)")]
    NoRegistry,
    /// No rule covers the bucket.
    #[error("no rule covers the bucket")]
    NoRule,
    /// The entry is gone.
    #[error("it is not in the registry any more")]
    Gone,
    /// The registry cannot be read or written.
    #[error("{0}")]
    Registry(String),
    /// The rule for the bucket does not accept the old key, or the new one.
    #[error(transparent)]
    Policy(#[from] PolicyRefusal),
    /// The provider says no.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl From<RegistryError> for BucketKeyError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error.to_string())
    }
}

/// The bucket keys of a bucket, with the key that each is under.
pub async fn list(cx: &Cx, bucket: &str) -> Result<Vec<(BucketKeyId, KeyRef)>, BucketKeyError> {
    let (logical, registry) = (logical_bucket(cx, bucket)?, registry(cx)?);
    entries(&registry, logical).await
}

async fn entries(
    registry: &Registry,
    logical_bucket: &str,
) -> Result<Vec<(BucketKeyId, KeyRef)>, BucketKeyError> {
    let mut entries = Vec::new();
    for id in registry.ids(logical_bucket).await? {
        let found = registry.find(logical_bucket, &id).await;
        let found = found.map_err(|error| BucketKeyError::Registry(error.to_string()))?;
        entries.extend(found.entry.map(|entry| (id, entry.kek.clone())));
    }
    Ok(entries)
}

/// The keys that bucket keys of a bucket are under, of all logical buckets that it is a part of.
pub async fn keks(cx: &Cx, bucket: &str) -> Result<Vec<KeyRef>, BucketKeyError> {
    let Some(registry) = cx.keys.registry() else {
        return Ok(Vec::new());
    };
    let rules = cx.rules.covering(bucket).into_iter();
    let logical: BTreeSet<&str> = rules.map(|rule| rule.rule.logical_bucket(bucket)).collect();
    let mut keks = Vec::new();
    for logical in logical {
        let found = entries(&registry, logical).await?;
        keks.extend(found.into_iter().map(|(_, kek)| kek));
    }
    Ok(keks)
}

/// Gives a bucket key another wrap.
pub async fn rewrap(
    cx: &Cx,
    bucket: &str,
    id: &BucketKeyId,
    to: &KeyRef,
    dry_run: bool,
) -> Result<BucketKeyOutcome, BucketKeyError> {
    let (logical, registry) = (logical_bucket(cx, bucket)?, registry(cx)?);
    let entry = registry.find(logical, id).await;
    let entry = entry.map_err(|error| BucketKeyError::Registry(error.to_string()))?;
    let entry = entry.entry.ok_or(BucketKeyError::Gone)?;
    if entry.kek == *to {
        return Ok(BucketKeyOutcome::AlreadyThere);
    }
    let mode = cx.keys.mode_of(to);
    if cx.keys.mode_of(&entry.kek) != mode {
        return Ok(BucketKeyOutcome::OtherMode);
    }
    let from = accepted_by_all(cx, bucket, &entry.kek, to, mode)?;
    if !dry_run {
        let keys = &cx.keys;
        let moved = Box::pin(keys.rewrap_bucket_key(&from, &entry, to, logical)).await?;
        registry.put(logical, &moved).await?;
    }
    Ok(BucketKeyOutcome::Rewrapped)
}

/// A bucket key is shared by all rules of its bucket: where the old key opens objects the new one
/// must be accepted, too, or they would not open any more.
fn accepted_by_all(
    cx: &Cx,
    bucket: &str,
    from: &KeyRef,
    to: &KeyRef,
    mode: Mode,
) -> Result<AcceptedKey, BucketKeyError> {
    let mut accepted = Err(PolicyRefusal::NotAccepted);
    for rule in cx.rules.covering(bucket) {
        let opens = rule.open.check(from, mode, Binding::BucketAndKey);
        if let Ok(Accepted::Configured(key)) = opens {
            rule.open.check(to, mode, Binding::BucketAndKey)?;
            accepted = Ok(key);
        }
    }
    Ok(accepted?)
}

/// The name that stands for the bucket in bindings, by the rule for all of it or else the last one.
fn logical_bucket<'a>(cx: &'a Cx, bucket: &'a str) -> Result<&'a str, BucketKeyError> {
    let rules = cx.rules.covering(bucket);
    let rule = rules.last().ok_or(BucketKeyError::NoRule)?;
    Ok(rule.rule.logical_bucket(bucket))
}

fn registry(cx: &Cx) -> Result<Arc<Registry>, BucketKeyError> {
    cx.keys.registry().ok_or(BucketKeyError::NoRegistry)
}
