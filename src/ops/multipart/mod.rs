//! Multipart uploads. Replicas share nothing: what a part needs is sealed into the upload id.

pub mod abort;
pub mod complete;
pub mod create;
pub mod known;
pub mod list_parts;
pub mod list_uploads;
pub mod state;
pub mod upload_part;

use self::state::Named;
use super::context::{Cx, S3Request};
use super::policy::ResolvedRule;
use super::stored;
use crate::body::seal::algorithm_of;
use crate::config::rules::Encryption;
use crate::error::{CustomerKeyRefusal, Error, StoredError};
use crate::format::{ContentKey, UPLOAD_ID_PREFIX, UploadFields, UploadId, UploadIdError};
use crate::keys::KeyError;
use crate::keys::types::Mode;
use crate::s3::checksum::ChecksumAlgorithm;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::query::Query;
use crate::s3::uri;

/// The upload that a request is about.
pub enum Upload {
    /// One of ours, proven to belong to this bucket and key.
    Sealed(Box<SealedUpload>),
    /// One under a rule that stores objects as they are.
    Plain {
        /// The upstream's id, which the client has too.
        upstream_id: String,
    },
    /// One whose parts are sealed, but not by us: a bare upstream id that this replica has not
    /// seen, or an upload under a customer key that is not in the request.
    Unknown {
        /// The upstream's id, which the client has too.
        upstream_id: String,
    },
}

/// An upload with the key of its parts.
pub struct SealedUpload {
    /// What the id carries.
    pub fields: UploadFields,
    /// Seals its parts.
    pub key: ContentKey,
    /// The upstream's id.
    pub upstream_id: String,
}

impl Upload {
    /// Finds the upload that `uploadId` names. Anything wrong with a sealed id is 404 and goes
    /// nowhere (format.md, "Upload id").
    pub async fn find(cx: &Cx, request: &S3Request, rule: &ResolvedRule) -> Result<Self, Error> {
        let shown = shown_id(request)?;
        let (bucket, key) = request.object()?;
        if shown.starts_with(UPLOAD_ID_PREFIX) {
            return Self::open(cx, request, rule, &shown).await;
        }
        let named = Named {
            bucket,
            key,
            upstream_id: &shown,
        };
        let is_plain = rule.rule.encryption == Encryption::Off;
        let known = if is_plain {
            named.known(cx)
        } else {
            named.find(cx).await?
        };
        match known {
            Some(sealed) => {
                let found = Self::open(cx, request, rule, &sealed).await?;
                // Whoever can write to the state bucket cannot exchange uploads.
                if found.upstream_id() == shown {
                    Ok(found)
                } else {
                    Err(no_such_upload().into())
                }
            }
            // Nothing is encrypted on request under such a rule: it is not a sealed one.
            None if is_plain => Ok(Self::Plain { upstream_id: shown }),
            None => Ok(Self::Unknown { upstream_id: shown }),
        }
    }

    /// As [`Self::find`], for what needs no key: an upload of which only the upstream's id is known
    /// can be looked at and ended also when it is too old, or its key is gone.
    pub async fn find_any(
        cx: &Cx,
        request: &S3Request,
        rule: &ResolvedRule,
    ) -> Result<Self, Error> {
        let shown = shown_id(request)?;
        match Self::find(cx, request, rule).await {
            Err(_unusable) if !shown.starts_with(UPLOAD_ID_PREFIX) => {
                Ok(Self::Unknown { upstream_id: shown })
            }
            found => found,
        }
    }

    /// The checksum that the client asked for.
    pub fn checksum(&self) -> Option<ChecksumAlgorithm> {
        match self {
            Self::Sealed(upload) => upload.fields.checksum.map(algorithm_of),
            Self::Plain { .. } | Self::Unknown { .. } => None,
        }
    }

    /// The upstream's id.
    pub fn upstream_id(&self) -> &str {
        match self {
            Self::Sealed(upload) => &upload.upstream_id,
            Self::Plain { upstream_id } | Self::Unknown { upstream_id } => upstream_id,
        }
    }

    async fn open(
        cx: &Cx,
        request: &S3Request,
        rule: &ResolvedRule,
        sealed: &str,
    ) -> Result<Self, Error> {
        let (bucket, key) = request.object()?;
        let id = UploadId::parse(sealed).map_err(refused)?;
        let id = id.ok_or_else(no_such_upload)?;
        let fields = id.fields();
        let age = cx.settings.upload_max_age.as_secs();
        let now = u64::try_from((cx.settings.clock)().unix_timestamp()).unwrap_or_default();
        if fields.created.saturating_add(age) < now {
            return Err(no_such_upload().into());
        }
        let is_customers = fields.envelope.head().mode() == Mode::CustomerKey;
        // Nothing of the id is proven without the key: it is as good as a bare one.
        if is_customers && request.customer_key()?.is_none() {
            return Ok(Self::Unknown {
                upstream_id: id.upstream_id().to_owned(),
            });
        }
        let unwrapped = stored::unwrap(cx, request, rule, &fields.header, &fields.envelope)
            .await
            .map_err(of_the_id)?;
        let logical_bucket = rule.rule.logical_bucket(bucket);
        let content_key = id
            .verify(unwrapped.data_key(), logical_bucket, key)
            .map_err(refused)?;
        let upstream_id = id.upstream_id();
        let named = Named {
            bucket,
            key,
            upstream_id,
        };
        named.remember(cx, sealed);
        Ok(Self::Sealed(Box::new(SealedUpload {
            fields: fields.clone(),
            key: content_key,
            upstream_id: upstream_id.to_owned(),
        })))
    }
}

/// The id that the client sent.
fn shown_id(request: &S3Request) -> Result<String, Error> {
    let id = Query::new(Some(&request.query)).get("uploadId");
    let id = id.and_then(|id| String::from_utf8(id.into_owned()).ok());
    let id = id.filter(|id| !id.is_empty() && id.len() <= UPLOAD_ID_LEN_MAX);
    id.ok_or_else(|| no_such_upload().into())
}

/// The query of the request with the upstream's id in the place of the client's.
pub(in crate::ops) fn upstream_query(request: &S3Request, upstream_id: &str) -> String {
    let pairs = Query::new(Some(&request.query)).pairs();
    let pairs = pairs.map(|(name, value)| {
        if uri::decode(name).as_ref() == b"uploadId" {
            format!("{name}={}", uri::encode_component(upstream_id.as_bytes()))
        } else {
            value.map_or_else(|| name.to_owned(), |value| format!("{name}={value}"))
        }
    });
    pairs.collect::<Vec<_>>().join("&")
}

pub(in crate::ops) fn no_such_upload() -> S3Error {
    S3Error::new(ErrorCode::NoSuchUpload)
}

fn refused(error: UploadIdError) -> Error {
    tracing::warn!(%error, "an upload id was refused");
    no_such_upload().into()
}

/// Why nothing can be sealed for an [`Upload::Unknown`].
pub(in crate::ops) fn cannot_seal(request: &S3Request) -> Error {
    match shown_id(request) {
        Ok(id) if id.starts_with(UPLOAD_ID_PREFIX) => CustomerKeyRefusal::UploadMissing.into(),
        Ok(_) | Err(_) => no_such_upload().into(),
    }
}

/// What is wrong with an envelope in an id is the client's fault, other than in an object; an
/// outage is nobody's.
fn of_the_id(error: Error) -> Error {
    if let Error::CustomerKey(CustomerKeyRefusal::Wrong) = error {
        return CustomerKeyRefusal::UploadWrong.into();
    }
    let Error::Stored(cause) = &error else {
        return error;
    };
    if let StoredError::Unwrap(error) = cause
        && !matches!(error, KeyError::ContextMismatch | KeyError::Malformed)
    {
        return Error::Key(*error);
    }
    tracing::warn!(error = %cause, "an upload id was refused");
    no_such_upload().into()
}

/// The longest id: the upstream's of 1 KiB, an envelope with the longest context, in base64.
const UPLOAD_ID_LEN_MAX: usize = 8 << 10;
