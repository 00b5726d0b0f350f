//! What an upstream response says about the stored object, and the way to its content key: every
//! check of keys.md, "Which key may be used", in its order.

use std::sync::Arc;

use http::HeaderMap;

use super::context::{Cx, S3Request};
use super::policy::ResolvedRule;
use super::s3ec;
use crate::config::rules::Encryption;
use crate::error::{CustomerKeyRefusal, Error, StoredError};
use crate::format::{ContentHeader, ContentKey, KeyEnvelope, Metadata, Wrapped};
use crate::keys::customer::{self, CustomerKeyError};
use crate::keys::policy::{Accepted, AcceptedKey};
use crate::keys::service::{CurrentWrap, UnwrapRequest};
use crate::keys::types::{Mode, WrapContext};
use crate::keys::unwrapped::UnwrappedKey;
use crate::keys::{KeyError, Outage};
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3ec::Metadata as ClientMetadata;

/// What is stored under a key.
pub enum Stored {
    /// One of ours.
    Sealed(Box<Metadata>),
    /// One of the Amazon S3 Encryption Client, and the rule has such read.
    ClientEncrypted(Box<ClientMetadata>),
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
    let ours = Metadata::parse(pairs).map_err(StoredError::from)?;
    if let Some(theirs) = s3ec::recognise(rule, headers, ours.is_some(), stored_len)? {
        return Ok(Stored::ClientEncrypted(Box::new(theirs)));
    }
    match ours {
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

/// Where an object is, and the rule it is under.
#[derive(Clone, Copy)]
pub struct Spot<'a> {
    /// Its bucket.
    pub bucket: &'a str,
    /// Its decoded key.
    pub key: &'a str,
    /// The rule.
    pub rule: &'a ResolvedRule,
}

impl<'a> Spot<'a> {
    /// The place of the object that a request is about.
    pub fn of(request: &'a S3Request, rule: &'a ResolvedRule) -> Result<Self, Error> {
        let (bucket, key) = request.object()?;
        Ok(Self { bucket, key, rule })
    }

    /// The name that stands for the bucket in bindings.
    pub fn logical_bucket(&self) -> &'a str {
        self.rule.rule.logical_bucket(self.bucket)
    }

    /// What the wrap of a data key is bound to here.
    pub fn context(
        &self,
        header: &ContentHeader,
        envelope: &KeyEnvelope,
    ) -> Result<WrapContext, Error> {
        let head = envelope.head();
        let context = head.context(header.prefix(), self.logical_bucket(), self.key);
        Ok(context.map_err(|error| StoredError::Metadata(error.into()))?)
    }
}

/// What opens an object, once it may.
pub enum AcceptedKek<'a> {
    /// A configured key, and what it wrapped.
    Configured(AcceptedKey, CurrentWrap<'a>),
    /// The caller's own, which nobody has tried yet.
    Customer,
}

/// Which key opens an envelope, if the rule accepts it.
pub async fn accept<'a>(
    cx: &Cx,
    spot: Spot<'_>,
    envelope: &'a KeyEnvelope,
) -> Result<AcceptedKek<'a>, Error> {
    let head = envelope.head();
    let current = cx
        .keys
        .current_wrap(envelope, spot.logical_bucket())
        .await?;
    let policy = &spot.rule.open;
    let accepted = policy.check(current.kek(), head.mode(), head.binding());
    if accepted.is_err() && current.is_unsure() {
        return Err(StoredError::Unwrap(Outage::Registry.into()).into());
    }
    Ok(match accepted.map_err(StoredError::from)? {
        Accepted::Configured(key) => AcceptedKek::Configured(key, current),
        Accepted::Customer => AcceptedKek::Customer,
    })
}

/// Whether the caller may see an object of this mode and key, by the envelope alone. Nothing is
/// unwrapped yet; the wrap is bound to what is checked here.
pub async fn authorise<'a>(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    envelope: &'a KeyEnvelope,
) -> Result<AcceptedKek<'a>, Error> {
    let accepted = accept(cx, Spot::of(request, rule)?, envelope).await?;
    let kek = match &accepted {
        AcceptedKek::Configured(key, _) => Some(key.key()),
        AcceptedKek::Customer => None,
    };
    request.trail.opens(envelope.head().mode(), kek);
    // Whoever runs a command beside the proxy has its configuration and its keys.
    if request.is_operator && matches!(accepted, AcceptedKek::Configured(..)) {
        return Ok(accepted);
    }
    let has_key = request.customer_key()?.is_some();
    let kek = match &accepted {
        AcceptedKek::Customer if has_key => return Ok(accepted),
        AcceptedKek::Customer => return Err(CustomerKeyRefusal::Missing.into()),
        AcceptedKek::Configured(..) if has_key => {
            return Err(CustomerKeyRefusal::NotApplicable.into());
        }
        AcceptedKek::Configured(key, _) => key.key(),
    };
    match (envelope.head().mode(), &request.caller) {
        (Mode::NamedKey, Some(caller)) if !caller.may_use(kek) => {
            Err(S3Error::new(ErrorCode::AccessDenied).into())
        }
        (Mode::NamedKey, None) => Err(needs_signature().into()),
        (Mode::Managed | Mode::NamedKey | Mode::CustomerKey, _) => Ok(accepted),
    }
}

/// What an anonymous caller is told of an object under a named key.
pub fn needs_signature() -> S3Error {
    S3Error::with_message(
        ErrorCode::InvalidArgument,
        "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS \
         Signature Version 4.",
    )
}

/// As [`authorise`], for answers that need no data key: whoever has not the key of an SSE-C object
/// is not told about it either.
pub async fn admit(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    metadata: &Metadata,
) -> Result<(), Error> {
    let Metadata { header, envelope } = metadata;
    if let AcceptedKek::Customer = authorise(cx, request, rule, envelope).await? {
        unwrap_customer(request, Spot::of(request, rule)?, header, envelope)?;
    }
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
    let accepted = authorise(cx, request, rule, envelope).await?;
    let spot = Spot::of(request, rule)?;
    let AcceptedKek::Configured(key, current) = accepted else {
        return unwrap_customer(request, spot, header, envelope);
    };
    let caller = request.caller.as_ref();
    let grant = caller.map_or(ANONYMOUS, |caller| caller.grant());
    unwrap_accepted(cx, spot, (header, envelope), (&key, &current), grant).await
}

/// Unwraps with a configured key; see [`UnwrapRequest::grant`].
pub async fn unwrap_accepted(
    cx: &Cx,
    spot: Spot<'_>,
    (header, envelope): (&ContentHeader, &KeyEnvelope),
    (key, current): (&AcceptedKey, &CurrentWrap<'_>),
    grant: &[u8],
) -> Result<Arc<UnwrappedKey>, Error> {
    let context = spot.context(header, envelope)?;
    let unwrapped = match current {
        CurrentWrap::Direct { wrapped, .. } => {
            let request = UnwrapRequest {
                key,
                wrapped,
                context: &context,
                header: &header.to_bytes(),
                envelope: envelope.encode(),
                grant,
            };
            cx.keys.unwrap(request).await
        }
        CurrentWrap::BucketKey {
            bucket_key,
            wrapped,
            ..
        } => {
            let wrapped = (*wrapped, &context);
            let bucket = spot.logical_bucket();
            let keys = &cx.keys;
            Box::pin(keys.unwrap_by_bucket_key(key, bucket_key, bucket, wrapped)).await
        }
    };
    Ok(unwrapped.map_err(|error| {
        let is_settled = matches!(
            error,
            KeyError::NotFound | KeyError::Disabled | KeyError::Destroyed
        );
        if is_settled && current.is_unsure() {
            return StoredError::Unwrap(Outage::Registry.into());
        }
        StoredError::Unwrap(error)
    })?)
}

/// Unwraps with the key in the request, and remembers nothing of it.
fn unwrap_customer(
    request: &S3Request,
    spot: Spot<'_>,
    header: &ContentHeader,
    envelope: &KeyEnvelope,
) -> Result<Arc<UnwrappedKey>, Error> {
    let key = request.customer_key()?.ok_or(CustomerKeyRefusal::Missing)?;
    let context = spot.context(header, envelope)?;
    let Wrapped::Direct(wrapped) = envelope.wrapped() else {
        return Err(StoredError::Unwrap(KeyError::Malformed).into());
    };
    match customer::unwrap(key.expose(), wrapped, &context) {
        Ok(data_key) => Ok(Arc::new(UnwrappedKey::new(data_key))),
        Err(CustomerKeyError::Wrong) => Err(CustomerKeyRefusal::Wrong.into()),
        Err(CustomerKeyError::Malformed) => Err(StoredError::Unwrap(KeyError::Malformed).into()),
    }
}

fn is_directory_marker(request: &S3Request, rule: &ResolvedRule, stored_len: u64) -> bool {
    stored_len == 0
        && request.key().is_some_and(|key| key.ends_with('/'))
        && rule.rule.directory_markers.is_allowed()
}

/// The grant of who signs nothing.
const ANONYMOUS: &[u8] = b"anonymous";
