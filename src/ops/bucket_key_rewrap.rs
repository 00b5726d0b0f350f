//! Rewrapping of the bucket keys in the registry: all objects of a bucket move to another key, also
//! noncurrent, archived and locked ones, and none of them is touched.

use std::sync::Arc;

use thiserror::Error;

use super::context::Cx;
use super::policy::ResolvedRule;
use crate::keys::KeyError;
use crate::keys::bucket_keys::BucketKeyId;
use crate::keys::bucket_keys::registry::{Registry, RegistryError};
use crate::keys::policy::{Accepted, PolicyRefusal};
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

/// The bucket keys of a bucket.
pub async fn ids(cx: &Cx, bucket: &str) -> Result<Vec<BucketKeyId>, BucketKeyError> {
    let bucket = rule(cx, bucket)?.rule.logical_bucket(bucket);
    Ok(registry(cx)?.ids(bucket).await?)
}

/// Gives a bucket key another wrap.
pub async fn rewrap(
    cx: &Cx,
    bucket: &str,
    id: &BucketKeyId,
    to: &KeyRef,
    dry_run: bool,
) -> Result<BucketKeyOutcome, BucketKeyError> {
    let (rule, registry) = (rule(cx, bucket)?, registry(cx)?);
    let bucket = rule.rule.logical_bucket(bucket);
    let entry = registry.find(bucket, id).await;
    let entry = entry.map_err(|error| BucketKeyError::Registry(error.to_string()))?;
    let entry = entry.ok_or(BucketKeyError::Gone)?;
    if entry.kek == *to {
        return Ok(BucketKeyOutcome::AlreadyThere);
    }
    let (from_mode, to_mode) = (mode(cx, &entry.kek), mode(cx, to));
    if from_mode != to_mode {
        return Ok(BucketKeyOutcome::OtherMode);
    }
    // What it is rewrapped to must be accepted, too, or nothing would open any more.
    rule.open.check(to, to_mode, Binding::BucketAndKey)?;
    let Accepted::Configured(from) =
        rule.open
            .check(&entry.kek, from_mode, Binding::BucketAndKey)?
    else {
        return Err(PolicyRefusal::CustomerKey.into());
    };
    if !dry_run {
        let keys = &cx.keys;
        let moved = Box::pin(keys.rewrap_bucket_key(&from, &entry, to, bucket)).await?;
        registry.put(bucket, &moved).await?;
    }
    Ok(BucketKeyOutcome::Rewrapped)
}

fn mode(cx: &Cx, key: &KeyRef) -> Mode {
    let is_managed = cx
        .keys
        .managed_key()
        .is_some_and(|managed| managed.is_key_of(key));
    if is_managed {
        Mode::Managed
    } else {
        Mode::NamedKey
    }
}

/// The rule for the bucket as a whole.
fn rule<'a>(cx: &'a Cx, bucket: &str) -> Result<&'a ResolvedRule, BucketKeyError> {
    cx.rules.find(bucket, None).ok_or(BucketKeyError::NoRule)
}

fn registry(cx: &Cx) -> Result<Arc<Registry>, BucketKeyError> {
    cx.keys.registry().ok_or(BucketKeyError::NoRegistry)
}
