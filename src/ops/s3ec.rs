//! Objects of the Amazon S3 Encryption Client: held as a whole until their only tag has verified, then
//! served, ranges out of what was verified.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use hyper::Response;

use super::context::{Cx, S3Request};
use super::incoming::{self, respond, set_plaintext_len};
use super::policy::ResolvedRule;
use super::read::{Wanted, content_length, if_range_holds, set_content_range, upstream_read};
use super::store::slow_down;
use super::stored::{self, Stored};
use crate::body::idle::Received;
use crate::body::room::Share;
use crate::body::{Body, collect};
use crate::config::rules::Encryption;
use crate::error::{CustomerKeyRefusal, Error, StoredError};
use crate::keys::KeyError;
use crate::keys::policy::KeyId;
use crate::keys::service::ForeignUnwrap;
use crate::keys::types::WrappedDataKey;
use crate::keys::unwrapped::UnwrappedKey;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3ec::{self, Metadata, S3ecError, Wrap, plaintext_len};

/// Finds the library's metadata, where the rule has it read.
pub fn recognise(
    rule: &ResolvedRule,
    headers: &HeaderMap,
    is_sealed: bool,
    stored_len: u64,
) -> Result<Option<Metadata>, StoredError> {
    if rule.rule.s3_encryption_client.is_none() {
        return Ok(None);
    }
    if is_sealed && has_metadata(headers) {
        return Err(S3ecError::Doubled.into());
    }
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    let found = Metadata::parse(pairs)?;
    if found.is_some() {
        plaintext_len(stored_len)?;
    }
    Ok(found)
}

/// Whether some header is the library's.
pub fn has_metadata(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| s3ec::is_name(name.as_str()))
}

/// Refuses to seal what would then look like an object of the library, too.
pub fn check_write(request: &S3Request, rule: &ResolvedRule) -> Result<(), Error> {
    let seals = rule.rule.encryption != Encryption::Off;
    if rule.rule.s3_encryption_client.is_none() || !seals || !has_metadata(&request.headers) {
        return Ok(());
    }
    Err(S3Error::with_message(
        ErrorCode::InvalidArgument,
        "The metadata says that the object is encrypted by the Amazon S3 Encryption Client; here \
         such objects can be read but not written.",
    )
    .into())
}

/// Takes away what would have the library open a plaintext.
pub fn strip(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| s3ec::is_name(name.as_str()))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
}

/// Whether the caller may see an object, by its metadata alone.
pub fn admit(request: &S3Request, rule: &ResolvedRule, metadata: &Metadata) -> Result<(), Error> {
    if request.customer_key()?.is_some() {
        return Err(CustomerKeyRefusal::NotApplicable.into());
    }
    match metadata.wrap() {
        Wrap::Kms(_) => allowed_keys(request, rule).map(drop),
        // As of the managed key: no client names it.
        Wrap::RawAes => Ok(()),
    }
}

/// As [`admit`], for answers that need the bytes.
pub fn admit_bytes(
    request: &S3Request,
    rule: &ResolvedRule,
    metadata: &Metadata,
    size: u64,
) -> Result<(), Error> {
    admit(request, rule, metadata)?;
    let reading = rule.rule.s3_encryption_client.as_ref();
    let size_max = reading.map_or(0, |reading| reading.size_max);
    if size > size_max {
        // Not 500: SDKs would try again.
        return Err(S3Error::with_message(
            ErrorCode::AccessDenied,
            "The object is encrypted by the Amazon S3 Encryption Client, and larger than the rule \
             for this bucket lets be read.",
        )
        .detail("MaxSizeAllowed", size_max.to_string())
        .into());
    }
    Ok(())
}

/// The keys of AWS KMS that may be tried for this caller.
fn allowed_keys<'a>(request: &S3Request, rule: &'a ResolvedRule) -> Result<Vec<&'a KeyId>, Error> {
    let Some(caller) = &request.caller else {
        return Err(stored::needs_signature().into());
    };
    if rule.s3ec_keys.is_empty() {
        return Err(StoredError::from(S3ecError::Key).into());
    }
    let keys = rule.s3ec_keys.iter();
    let keys: Vec<_> = keys.filter(|key| caller.may_use_any_version(key)).collect();
    if keys.is_empty() {
        return Err(S3Error::new(ErrorCode::AccessDenied).into());
    }
    Ok(keys)
}

/// Serves what is wanted of an object; `whole` is the answer that carries all of it, if there is one.
pub async fn read(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    wanted: Wanted,
    (metadata, whole): (&Metadata, Option<Response<Received>>),
) -> Result<Response<Body>, Error> {
    if let Some(whole) = whole {
        return serve(cx, request, rule, wanted, (metadata, whole)).await;
    }
    let whole = upstream_read(request, Method::GET);
    let whole = cx.upstream.send(whole).await?;
    if whole.status() != StatusCode::OK {
        return incoming::relay(cx, whole).await;
    }
    let stored_len = content_length(whole.headers())?;
    match stored::recognise(cx, request, rule, whole.headers(), stored_len)? {
        Stored::ClientEncrypted(metadata) => {
            serve(cx, request, rule, wanted, (&metadata, whole)).await
        }
        Stored::Sealed(_) | Stored::DirectoryMarker | Stored::Plaintext => Err(Error::Changed),
    }
}

/// Serves it out of the response that carries all of it.
async fn serve(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    wanted: Wanted,
    (metadata, response): (&Metadata, Response<Received>),
) -> Result<Response<Body>, Error> {
    let stored_len = content_length(response.headers())?;
    let size = plaintext_len(stored_len).map_err(StoredError::from)?;
    admit_bytes(request, rule, metadata, size)?;
    let wanted = match wanted {
        Wanted::Range(_) if !if_range_holds(request, response.headers()) => Wanted::Whole,
        Wanted::Whole | Wanted::Range(_) | Wanted::Part(_) => wanted,
    };
    let range = wanted.resolve(size)?;
    let mut headers = incoming::headers(cx, response.headers());
    strip(&mut headers);
    let (plaintext, share) = open(cx, request, rule, metadata, response).await?;
    cx.metrics.s3ec_read();
    let Some(range) = range else {
        set_plaintext_len(&mut headers, size);
        return Ok(respond(
            StatusCode::OK,
            headers,
            Body::held(plaintext, share),
        ));
    };
    let slice = usize::try_from(range.first())
        .ok()
        .zip(usize::try_from(range.len()).ok());
    let (first, len) = slice.ok_or(Error::UpstreamAnswer("a range outside the object"))?;
    let mut shown = plaintext;
    shown.truncate(first.saturating_add(len));
    let shown = shown.split_off(first.min(shown.len()));
    set_plaintext_len(&mut headers, range.len());
    set_content_range(&mut headers, range, size);
    let body = Body::held(shown, share);
    Ok(respond(StatusCode::PARTIAL_CONTENT, headers, body))
}

/// The plaintext of a whole object, verified to its last byte, with the room that it takes.
async fn open(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    metadata: &Metadata,
    response: Response<Received>,
) -> Result<(Bytes, Share), Error> {
    let stored_len = content_length(response.headers())?;
    let content_key = match metadata.wrap() {
        Wrap::Kms(_) => {
            let unwrapped = unwrap_by_kms(cx, request, rule, metadata).await?;
            metadata.content_key(unwrapped.data_key())
        }
        Wrap::RawAes => unwrap_raw(rule, metadata),
    };
    let content_key = content_key.map_err(StoredError::from)?;
    let size = plaintext_len(stored_len).map_err(StoredError::from)?;
    let room = usize::try_from(size).unwrap_or(usize::MAX);
    let share = cx.room.to_open_whole(room, request.brake.quota()).await;
    let share = share.ok_or_else(slow_down)?;
    let stored = collect(response.into_body(), stored_len).await?;
    let mut stored = BytesMut::from(stored);
    let len = content_key.open(&mut stored).map_err(StoredError::from)?;
    stored.truncate(len);
    Ok((stored.freeze(), share))
}

fn unwrap_raw(rule: &ResolvedRule, metadata: &Metadata) -> Result<s3ec::ContentKey, S3ecError> {
    let reading = rule.rule.s3_encryption_client.iter();
    let mut keys = reading.flat_map(|reading| &reading.raw_keys);
    let data_key = keys.find_map(|key| metadata.unwrap_raw(key).ok());
    metadata.content_key(&data_key.ok_or(S3ecError::Key)?)
}

/// Tries the keys of the rule: metadata does not say which it was, and a key that it named would have to
/// be one of these.
async fn unwrap_by_kms(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    metadata: &Metadata,
) -> Result<Arc<UnwrappedKey>, Error> {
    let Wrap::Kms(context) = metadata.wrap() else {
        return Err(StoredError::from(S3ecError::Key).into());
    };
    let wrapped = WrappedDataKey(metadata.wrapped().to_vec());
    let grant = request
        .caller
        .as_ref()
        .map_or(&[][..], |caller| caller.grant());
    let mut refusal = KeyError::ContextMismatch;
    for key in allowed_keys(request, rule)? {
        let unwrap = ForeignUnwrap {
            wrapped: &wrapped,
            context,
            grant,
        };
        match cx.keys.unwrap_foreign(key, unwrap).await {
            Ok(unwrapped) => return Ok(unwrapped),
            Err(KeyError::ContextMismatch) => {}
            // The next may be the one all the same; if none is, this is what has to be mended.
            Err(error) => refusal = error,
        }
    }
    Err(StoredError::Unwrap(refusal).into())
}
