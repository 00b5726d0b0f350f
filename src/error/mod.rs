//! Every failure as one type, with what the client is told and whose fault it is.
//!
//! Rooms below know nothing of S3 error documents unless they are the S3 protocol; this is the one
//! place that translates. Clients see an S3 code and a text that is safe to show; the log has the
//! whole chain.

mod auth;
mod payload;

use http::StatusCode;
use thiserror::Error;

use crate::auth::{AuthError, PayloadError};
use crate::body::BodyError;
use crate::format::{EnvelopeError, HeaderError, MetadataError, OpenError, SizeError};
use crate::keys::policy::PolicyRefusal;
use crate::keys::provider::KeyError;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::form::FormError;
use crate::s3::headers::HeaderError as RequestHeaderError;
use crate::s3::sse::SseError;
use crate::s3::target::TargetError;
use crate::s3ec::S3ecError;
use crate::upstream::UpstreamError;

/// Who has to do something about a failure; also a log field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller.
    Client,
    /// Whoever runs the key provider.
    Keys,
    /// Whoever runs the upstream.
    Upstream,
    /// Whoever can write to the storage: an alert.
    Stored,
    /// Us.
    Proxy,
}

impl Fault {
    /// The name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Keys => "keys",
            Self::Upstream => "upstream",
            Self::Stored => "stored",
            Self::Proxy => "proxy",
        }
    }
}

/// Why a request failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Refused, with everything that the client is told.
    #[error("{} {}", .0.code.as_str(), .0.message)]
    S3(Box<S3Error>),
    /// No bucket or key in the request line.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A header that is not implemented or not allowed.
    #[error(transparent)]
    Header(#[from] RequestHeaderError),
    /// A form that is none, or that its policy does not allow.
    #[error(transparent)]
    Form(#[from] FormError),
    /// Encryption headers that make no sense.
    #[error(transparent)]
    Sse(#[from] SseError),
    /// The caller's own key is missing, or is not the one.
    #[error(transparent)]
    CustomerKey(#[from] CustomerKeyRefusal),
    /// Not authenticated.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// A body that is not what its headers claim.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// A body that ended early.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// No answer from the upstream.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The object was replaced while it was read in pieces: the request starts over.
    #[error("the stored object was replaced while it was read")]
    Changed,
    /// The upstream's answer makes no sense.
    #[error("upstream answer: {0}")]
    UpstreamAnswer(&'static str),
    /// A key cannot be used for what the client asks.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An envelope that cannot be written: the provider's answer does not fit into it.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Something stored is not what this deployment wrote, or not for this place.
    #[error(transparent)]
    Stored(#[from] StoredError),
}

/// Why a customer key does not open what is asked for: the caller's fault.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CustomerKeyRefusal {
    /// The object has one, and the request has not.
    #[error("the object needs the caller's key")]
    Missing,
    /// The request has one, and the object has not.
    #[error("the object was not written with a customer key")]
    NotApplicable,
    /// The upload began with one, and the request has not.
    #[error("the upload needs the caller's key")]
    UploadMissing,
    /// The upload began with another.
    #[error("the upload began with another customer key")]
    UploadWrong,
    /// The request has another.
    #[error("not the customer key that the object was written with")]
    Wrong,
}

impl CustomerKeyRefusal {
    fn to_s3(self) -> S3Error {
        let invalid = |message| S3Error::with_message(ErrorCode::InvalidRequest, message);
        match self {
            Self::Missing => invalid(OBJECT_NEEDS_KEY),
            Self::NotApplicable => {
                invalid("The encryption parameters are not applicable to this object.")
            }
            Self::UploadMissing => invalid(UPLOAD_NEEDS_KEY),
            Self::UploadWrong => invalid(UPLOAD_HAS_ANOTHER_KEY),
            Self::Wrong => S3Error::new(ErrorCode::AccessDenied),
        }
    }
}

// The texts of S3.
const OBJECT_NEEDS_KEY: &str = "The object was stored using a form of Server Side Encryption. The \
    correct parameters must be provided to retrieve the object.";
const UPLOAD_NEEDS_KEY: &str = "The multipart upload initiate requested encryption. Subsequent part \
    requests must include the appropriate encryption parameters.";
const UPLOAD_HAS_ANOTHER_KEY: &str = "The provided encryption parameters did not match the ones used \
    originally.";

/// What is wrong with a stored object. All of these raise an integrity alert.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoredError {
    /// Without our metadata, under a rule that encrypts.
    #[error("the stored object is not encrypted")]
    Plaintext,
    /// Metadata that cannot be read.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A key that may not open objects here.
    #[error(transparent)]
    Policy(#[from] PolicyRefusal),
    /// The key did not unwrap: another place, or another envelope.
    #[error("data key: {0}")]
    Unwrap(#[source] KeyError),
    /// The header does not belong to the data key.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A size that no object of ours has.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// Bytes that do not verify.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// An object of the S3 Encryption Client that is not opened.
    #[error(transparent)]
    ClientEncrypted(#[from] S3ecError),
}

impl StoredError {
    /// Every [`Self::kind`] there is.
    pub const KINDS: [&str; 7] = [
        "body",
        "header",
        "metadata",
        "plaintext",
        "policy",
        "size",
        "unwrap",
    ];

    /// Metric label: one of [`Self::KINDS`].
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Metadata(_) => "metadata",
            Self::Policy(_) => "policy",
            Self::Unwrap(_) => "unwrap",
            Self::Header(_) => "header",
            Self::Size(_) => "size",
            Self::Open(_) => "body",
            Self::ClientEncrypted(error) => client_encrypted_kind(*error),
        }
    }
}

/// The kinds of our own objects' failures that are closest.
fn client_encrypted_kind(error: S3ecError) -> &'static str {
    match error {
        S3ecError::Body => "body",
        S3ecError::Commitment => "header",
        S3ecError::Key => "unwrap",
        S3ecError::Legacy => "plaintext",
        S3ecError::Size => "size",
        S3ecError::Doubled
        | S3ecError::Malformed(_)
        | S3ecError::Missing(_)
        | S3ecError::Mixed
        | S3ecError::Repeated(_)
        | S3ecError::Unsupported => "metadata",
    }
}

impl From<S3Error> for Error {
    fn from(error: S3Error) -> Self {
        Self::S3(Box::new(error))
    }
}

impl Error {
    /// What the client is told.
    pub fn to_s3(&self) -> S3Error {
        match self {
            Self::S3(error) => (**error).clone(),
            Self::Target(error) => error.to_s3(),
            Self::Header(error) => error.to_s3(),
            Self::Form(error) => error.to_s3(),
            Self::Sse(error) => error.to_s3(),
            Self::CustomerKey(refusal) => refusal.to_s3(),
            Self::Auth(error) => auth::to_s3(error),
            Self::Payload(error) => payload::to_s3(error),
            Self::Body(error) => body_to_s3(error),
            Self::Upstream(error) => upstream_to_s3(error),
            Self::Changed => S3Error::new(ErrorCode::ServiceUnavailable),
            Self::UpstreamAnswer(_) | Self::Envelope(_) => S3Error::new(ErrorCode::InternalError),
            Self::Key(error) => key_to_s3(*error),
            Self::Stored(error) => stored_to_s3(error),
        }
    }

    /// Who has to do something about it.
    pub fn fault(&self) -> Fault {
        match self {
            Self::S3(error) if error.code.status().is_client_error() => Fault::Client,
            Self::S3(error) if error.code.status() == StatusCode::NOT_IMPLEMENTED => Fault::Client,
            Self::S3(_) => Fault::Proxy,
            Self::Target(_)
            | Self::Header(_)
            | Self::Form(_)
            | Self::Sse(_)
            | Self::CustomerKey(_)
            | Self::Auth(_)
            | Self::Payload(_) => Fault::Client,
            Self::Body(error) => body_fault(error),
            Self::Upstream(_) | Self::UpstreamAnswer(_) | Self::Changed => Fault::Upstream,
            Self::Key(_) | Self::Envelope(_) => Fault::Keys,
            Self::Stored(StoredError::Unwrap(error)) if is_outage(*error) => Fault::Keys,
            Self::Stored(_) => Fault::Stored,
        }
    }

    /// Set where a stored object is not what it should be: the label of the alert.
    pub fn integrity_alert(&self) -> Option<&'static str> {
        match self {
            Self::Stored(StoredError::Unwrap(error)) if !is_integrity(*error) => None,
            Self::Stored(error) => Some(error.kind()),
            Self::Body(BodyError::Open(_)) => Some("body"),
            Self::S3(_)
            | Self::Target(_)
            | Self::Header(_)
            | Self::Form(_)
            | Self::Sse(_)
            | Self::CustomerKey(_)
            | Self::Auth(_)
            | Self::Payload(_)
            | Self::Body(_)
            | Self::Upstream(_)
            | Self::UpstreamAnswer(_)
            | Self::Changed
            | Self::Key(_)
            | Self::Envelope(_) => None,
        }
    }
}

fn body_to_s3(error: &BodyError) -> S3Error {
    match error {
        BodyError::Payload(error) => payload::to_s3(error),
        BodyError::Form(error) => error.to_s3(),
        // The client stopped sending: whether it still listens is not known.
        BodyError::Client(_) => S3Error::new(ErrorCode::IncompleteBody),
        BodyError::ClientIdle => S3Error::new(ErrorCode::RequestTimeout),
        BodyError::TooLarge(limit) => {
            S3Error::new(ErrorCode::EntityTooLarge).detail("MaxSizeAllowed", limit.to_string())
        }
        BodyError::NoRoom => S3Error::new(ErrorCode::SlowDown),
        BodyError::Upstream(_) | BodyError::UpstreamIdle => {
            S3Error::new(ErrorCode::ServiceUnavailable)
        }
        BodyError::Open(_) | BodyError::Listing(_) | BodyError::Seal(_) | BodyError::Aborted => {
            S3Error::new(ErrorCode::InternalError)
        }
    }
}

fn body_fault(error: &BodyError) -> Fault {
    match error {
        BodyError::Payload(_)
        | BodyError::Form(_)
        | BodyError::Client(_)
        | BodyError::ClientIdle
        | BodyError::TooLarge(_) => Fault::Client,
        BodyError::Open(_) => Fault::Stored,
        BodyError::Upstream(_) | BodyError::UpstreamIdle | BodyError::Listing(_) => Fault::Upstream,
        BodyError::Seal(_) | BodyError::NoRoom | BodyError::Aborted => Fault::Proxy,
    }
}

fn upstream_to_s3(error: &UpstreamError) -> S3Error {
    match error {
        // The client's SDK retries; it holds the body that we do not.
        UpstreamError::Connect(_)
        | UpstreamError::Broken(_)
        | UpstreamError::Timeout
        | UpstreamError::Credentials(_)
        | UpstreamError::Refused(_)
        | UpstreamError::RedirectedUpload => S3Error::new(ErrorCode::ServiceUnavailable),
        UpstreamError::Sign(_) | UpstreamError::RedirectLoop => {
            S3Error::new(ErrorCode::InternalError)
        }
    }
}

/// keys.md, "Errors to clients".
fn key_to_s3(error: KeyError) -> S3Error {
    match error {
        KeyError::NotFound => S3Error::new(ErrorCode::KmsNotFound),
        KeyError::Disabled => S3Error::new(ErrorCode::KmsDisabled),
        KeyError::Destroyed => S3Error::new(ErrorCode::KmsInvalidState),
        KeyError::Denied => S3Error::new(ErrorCode::AccessDenied),
        KeyError::Throttled => S3Error::new(ErrorCode::SlowDown),
        KeyError::Unavailable(_) => S3Error::new(ErrorCode::ServiceUnavailable),
        KeyError::ContextMismatch | KeyError::Malformed => S3Error::new(ErrorCode::InternalError),
    }
}

fn stored_to_s3(error: &StoredError) -> S3Error {
    match error {
        // Not 500: SDKs would try again.
        StoredError::Plaintext => S3Error::with_message(
            ErrorCode::AccessDenied,
            "The stored object is not encrypted, and the rule for this bucket refuses to serve it.",
        ),
        StoredError::ClientEncrypted(S3ecError::Legacy | S3ecError::Unsupported) => {
            S3Error::with_message(
                ErrorCode::AccessDenied,
                "The stored object was written by the Amazon S3 Encryption Client in a mode that \
                 is not read here.",
            )
        }
        StoredError::Unwrap(error) => key_to_s3(*error),
        StoredError::Metadata(_)
        | StoredError::Policy(_)
        | StoredError::Header(_)
        | StoredError::Size(_)
        | StoredError::ClientEncrypted(_)
        | StoredError::Open(_) => S3Error::with_message(
            ErrorCode::InternalError,
            "The stored object failed its integrity check.",
        ),
    }
}

/// Whether a failed unwrap says something about the stored object rather than about the key.
fn is_integrity(error: KeyError) -> bool {
    match error {
        KeyError::ContextMismatch | KeyError::Malformed => true,
        KeyError::NotFound
        | KeyError::Disabled
        | KeyError::Destroyed
        | KeyError::Denied
        | KeyError::Throttled
        | KeyError::Unavailable(_) => false,
    }
}

fn is_outage(error: KeyError) -> bool {
    !is_integrity(error)
}
