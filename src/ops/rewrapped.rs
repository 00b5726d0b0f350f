//! A data key under another wrap: the part that server-side copies and rewrapping share. The body
//! stays as it is, so the data key does, too.

use super::context::Cx;
use super::encryption::SealPlan;
use super::stored::{self, Spot};
use crate::error::{Error, StoredError};
use crate::format::{KeyEnvelope, Metadata, WrapKind, Wrapped};
use crate::keys::policy::AcceptedKey;
use crate::keys::service::CurrentWrap;

/// An object whose key a rule accepts.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// Where it is.
    pub spot: Spot<'a>,
    /// What it says of itself.
    pub metadata: &'a Metadata,
    /// What opens it.
    pub key: &'a AcceptedKey,
    /// The wrap in use.
    pub current: &'a CurrentWrap<'a>,
    /// See [`UnwrapRequest::grant`](crate::keys::service::UnwrapRequest::grant).
    pub grant: &'a [u8],
}

/// The envelope of the same data key for another place or another key. Where one provider has both
/// wraps it never shows the data key, if it can do without.
pub async fn rewrapped(
    cx: &Cx,
    origin: Origin<'_>,
    plan: &SealPlan,
    to: Spot<'_>,
) -> Result<KeyEnvelope, Error> {
    let Metadata { header, envelope } = origin.metadata;
    let head = plan.head(&to.rule.rule)?;
    let to_context = head.context(header.prefix(), to.logical_bucket(), to.key)?;
    if let CurrentWrap::Direct { wrapped, .. } = origin.current
        && plan.wrap_kind() == WrapKind::Direct
    {
        let from_context = origin.spot.context(header, envelope)?;
        let (from, to) = ((origin.key, &from_context), (head.key(), &to_context));
        let wrapped = cx.keys.rewrap(from, wrapped, to).await;
        let wrapped = wrapped.map_err(StoredError::Unwrap)?;
        return Ok(KeyEnvelope::new(head, Wrapped::Direct(wrapped))?);
    }
    let stored = (header, envelope);
    let key = (origin.key, origin.current);
    let unwrapped = stored::unwrap_accepted(cx, origin.spot, stored, key, origin.grant).await?;
    let data_key = unwrapped.data_key();
    let wrapped = plan.wrap(cx, to.logical_bucket(), data_key, &to_context);
    Ok(KeyEnvelope::new(head, wrapped.await?)?)
}
