//! What an upstream response says about the stored object, and the way to its content key: every
//! check of keys.md, "Which key may be used", in its order.

use std::sync::Arc;

use http::HeaderMap;

use super::context::{Cx, S3Request};
use super::policy::ResolvedRule;
use crate::config::rules::Encryption;
use crate::error::{CustomerKeyRefusal, Error, StoredError};
use crate::format::{ContentHeader, ContentKey, KeyEnvelope, Metadata, Wrapped};
use crate::keys::KeyError;
use crate::keys::customer::{self, CustomerKeyError};
use crate::keys::policy::{Accepted, AcceptedKey};
use crate::keys::service::UnwrapRequest;
use crate::keys::types::{DataKey, Mode, WrapContext, WrappedDataKey};
use crate::keys::unwrapped::UnwrappedKey;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::sse::CustomerKey;

/// What is stored under a key.
pub enum Stored {
    /// One of ours.
    Sealed(Box<Metadata>),
    /// An empty object whose key ends in `/`: consoles make such folders.
    DirectoryMarker,
    /// Not encrypted, and the rule allows to serve it.
    Plaintext,
}

/// Reads the metadata of a response. `stored_len` is the size of the whole stored object.
pub fn recognise(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    headers: &HeaderMap,
    stored_len: u64,
) -> Result<Stored, Error> {
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    match Metadata::parse(pairs).map_err(StoredError::from)? {
        // Nothing of ours is empty: the shortest body is 144 bytes.
        Some(_) if stored_len == 0 => Err(StoredError::Plaintext.into()),
        Some(metadata) => Ok(Stored::Sealed(Box::new(metadata))),
        None if is_directory_marker(request, rule, stored_len) => Ok(Stored::DirectoryMarker),
        None if rule.rule.plaintext_reads.is_allowed()
            || rule.rule.encryption == Encryption::Off =>
        {
            cx.metrics.plaintext_read();
            Ok(Stored::Plaintext)
        }
        None => Err(StoredError::Plaintext.into()),
    }
}

/// Whether the caller may see an object of this mode and key, by the envelope alone. Nothing is
/// unwrapped yet; the wrap is bound to what is checked here.
pub fn authorise(
    request: &S3Request,
    rule: &ResolvedRule,
    envelope: &KeyEnvelope,
) -> Result<AcceptedKek, Error> {
    let head = envelope.head();
    let accepted = rule
        .open
        .check(head.key(), head.mode(), head.binding())
        .map_err(StoredError::from)?;
    let accepted = match (accepted, request.customer_key()?) {
        (Accepted::Customer, Some(key)) => return Ok(AcceptedKek::Customer(key)),
        (Accepted::Customer, None) => return Err(CustomerKeyRefusal::Missing.into()),
        (Accepted::Configured(_), Some(_)) => return Err(CustomerKeyRefusal::NotApplicable.into()),
        (Accepted::Configured(accepted), None) => AcceptedKek::Configured(accepted),
    };
    match (head.mode(), &request.caller) {
        (Mode::Managed | Mode::CustomerKey, _) => Ok(accepted),
        (Mode::NamedKey, Some(caller)) if caller.may_use(head.key()) => Ok(accepted),
        (Mode::NamedKey, Some(_)) => Err(S3Error::new(ErrorCode::AccessDenied).into()),
        (Mode::NamedKey, None) => Err(S3Error::with_message(
            ErrorCode::InvalidArgument,
            "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS \
             Signature Version 4.",
        )
        .into()),
    }
}

/// What opens an object, once it may.
pub enum AcceptedKek {
    /// A configured key.
    Configured(AcceptedKey),
    /// The one in the request, which nobody has tried yet.
    Customer(CustomerKey),
}

/// As [`authorise`], for answers that need no data key: whoever has not the key of an SSE-C object
/// is not told about it either.
pub fn admit(request: &S3Request, rule: &ResolvedRule, metadata: &Metadata) -> Result<(), Error> {
    let AcceptedKek::Customer(key) = authorise(request, rule, &metadata.envelope)? else {
        return Ok(());
    };
    let (wrapped, context) = wrap(request, rule, &metadata.header, &metadata.envelope)?;
    unwrap_customer(&key, wrapped, &context)?;
    Ok(())
}

/// Unwraps the data key and checks the commitment: from here on the header is proven.
pub async fn content_key(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    metadata: &Metadata,
) -> Result<Arc<ContentKey>, Error> {
    let unwrapped = unwrap(cx, request, rule, &metadata.header, &metadata.envelope).await?;
    Ok(unwrapped
        .content_key(&metadata.header)
        .map_err(StoredError::from)?)
}

/// Unwraps the data key of an envelope after every check that comes before it. The header is not
/// proven yet.
pub async fn unwrap(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    header: &ContentHeader,
    envelope: &KeyEnvelope,
) -> Result<Arc<UnwrappedKey>, Error> {
    let opener = authorise(request, rule, envelope)?;
    let (wrapped, context) = wrap(request, rule, header, envelope)?;
    let key = match opener {
        AcceptedKek::Configured(key) => key,
        AcceptedKek::Customer(key) => {
            let data_key = unwrap_customer(&key, wrapped, &context)?;
            return Ok(Arc::new(UnwrappedKey::new(data_key)));
        }
    };
    Ok(cx
        .keys
        .unwrap(UnwrapRequest {
            key: &key,
            wrapped,
            context: &context,
            header: &header.to_bytes(),
            envelope: envelope.encode(),
            grant: request
                .caller
                .as_ref()
                .map_or(b"anonymous", |caller| caller.grant()),
        })
        .await
        .map_err(StoredError::Unwrap)?)
}

/// The wrap in an envelope, and what it is bound to.
fn wrap<'a>(
    request: &S3Request,
    rule: &ResolvedRule,
    header: &ContentHeader,
    envelope: &'a KeyEnvelope,
) -> Result<(&'a WrappedDataKey, WrapContext), Error> {
    let (bucket, object_key) = request.object()?;
    let Wrapped::Direct(wrapped) = envelope.wrapped() else {
        return Err(not_yet("Bucket keys").into());
    };
    let logical_bucket = rule.rule.logical_bucket(bucket);
    let context = envelope
        .head()
        .context(header.prefix(), logical_bucket, object_key)
        .map_err(|error| StoredError::Metadata(error.into()))?;
    Ok((wrapped, context))
}

fn unwrap_customer(
    key: &CustomerKey,
    wrapped: &WrappedDataKey,
    context: &WrapContext,
) -> Result<DataKey, Error> {
    customer::unwrap(key.expose(), wrapped, context).map_err(|error| match error {
        CustomerKeyError::Malformed => StoredError::Unwrap(KeyError::Malformed).into(),
        CustomerKeyError::Wrong => CustomerKeyRefusal::Wrong.into(),
    })
}

fn is_directory_marker(request: &S3Request, rule: &ResolvedRule, stored_len: u64) -> bool {
    stored_len == 0
        && request.key().is_some_and(|key| key.ends_with('/'))
        && rule.rule.directory_markers.is_allowed()
}

fn not_yet(what: &str) -> S3Error {
    S3Error::with_message(
        ErrorCode::NotImplemented,
        format!("{what} are not implemented in this version."),
    )
}
