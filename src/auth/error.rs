//! Why a caller is not let in: one variant per S3 error, with what its document shows.

use std::{borrow::Cow, fmt};

use thiserror::Error;
use time::OffsetDateTime;

use crate::s3::form::FormError;

/// A refused request. Every variant is the client's fault.
///
/// The first line of each variant's doc names the S3 error code and the HTTP status;
/// [`AuthError::message`] is the text of the S3 error document, [`AuthError::reason`] a metric
/// label. Display is for logs.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuthError {
    /// `AccessDenied`, 403. The client's signature holds only with its certificate.
    #[error("the connection has not the client's certificate")]
    CertificateRequired,
    /// `InvalidRequest`, 400. A parameter that stands for a header (`X-Amz-*` of a presigned
    /// request) is there twice, or beside a header that says something else, or is no header value.
    #[error("presigned parameter {name} is repeated or contradicts a header")]
    ConflictingParameter {
        /// Name in lower case.
        name: String,
    },
    /// `AccessDenied`, 403; the document has `X-Amz-Expires`, `Expires` and `ServerTime`.
    #[error("presigned request has expired")]
    Expired {
        /// `X-Amz-Expires`, seconds.
        expires_seconds: u32,
        /// The end of its life.
        expires: OffsetDateTime,
        /// Our clock.
        server_time: OffsetDateTime,
    },
    /// `InvalidRequest`, 400. The `Host` header and the authority of the request line (or
    /// `:authority`) name two hosts: one was signed, the other might choose the bucket.
    #[error("host header and request authority differ")]
    HostConflict,
    /// `InvalidArgument`, 400; the document has `ArgumentName` `x-amz-content-sha256` and
    /// `ArgumentValue`.
    #[error("x-amz-content-sha256 is neither a payload mode nor a hash")]
    InvalidContentSha256 {
        /// As sent.
        value: String,
    },
    /// `AuthorizationHeaderMalformed`, 400, or `AuthorizationQueryParametersError`, 400, by place.
    #[error("malformed {place}: {fault}")]
    Malformed {
        /// Header or query.
        place: Place,
        /// What is wrong with it.
        fault: Malformation,
    },
    /// `InvalidRequest`, 400. Header authentication without `x-amz-content-sha256`.
    #[error("x-amz-content-sha256 is missing")]
    MissingContentSha256,
    /// `AccessDenied`, 403. Neither `x-amz-date` nor `Date` holds a date.
    #[error("no valid date")]
    MissingDate,
    /// `InvalidArgument`, 400; the document has `ArgumentName`. A form that is signed in part.
    #[error("form without the field {name}")]
    MissingField {
        /// Name in lower case.
        name: &'static str,
    },
    /// `InvalidArgument`, 400. Two of `Authorization`, presigned parameters and V2 parameters.
    #[error("more than one authentication mechanism")]
    MultipleMechanisms,
    /// `AccessDenied`, 403. A presigned request from the future.
    #[error("presigned request is not valid yet")]
    NotYetValid {
        /// `X-Amz-Date` as sent.
        request_time: String,
        /// Our clock.
        server_time: OffsetDateTime,
    },
    /// `InvalidRequest`, 400. A header that must be single, or is signed, is there twice.
    #[error("header {name} is repeated")]
    RepeatedHeader {
        /// Name in lower case.
        name: String,
    },
    /// `NotImplemented`, 501. The credential scope is for S3 Express.
    #[error("s3 express sessions are not implemented")]
    S3Express,
    /// `InvalidToken`, 400. A session token, which none of our clients has.
    #[error("session token on a request")]
    SessionToken,
    /// `NotImplemented`, 501. The asymmetric algorithm (`AWS4-ECDSA-P256-SHA256`).
    #[error("sigv4a is not implemented")]
    SigV4a,
    /// `SignatureDoesNotMatch`, 403; the document has `AWSAccessKeyId`, `StringToSign`,
    /// `SignatureProvided`, `StringToSignBytes`, `CanonicalRequest`, `CanonicalRequestBytes`.
    #[error("signature does not match")]
    SignatureDoesNotMatch(Box<SignatureMismatch>),
    /// `RequestTimeTooSkewed`, 403; the document has `RequestTime`, `ServerTime` and
    /// `MaxAllowedSkewMilliseconds` ([`MAX_SKEW_MILLISECONDS`]).
    #[error("request time is too far from ours")]
    Skewed {
        /// The date as sent, `YYYYMMDDTHHMMSSZ`.
        request_time: String,
        /// Our clock.
        server_time: OffsetDateTime,
    },
    /// `InvalidRequest`, 400. Signature Version 2, in the header or the query.
    #[error("signature version 2")]
    SignatureV2,
    /// `InvalidAccessKeyId`, 403; the document has `AWSAccessKeyId`.
    #[error("unknown access key id")]
    UnknownAccessKey {
        /// As sent.
        access_key_id: String,
    },
    /// `AccessDenied`, 403; the document has `HeadersNotSigned`.
    #[error("headers are not signed: {}", names.join(", "))]
    UnsignedHeaders {
        /// Names in lower case.
        names: Vec<String>,
    },
    /// `InvalidArgument`, 400; the document has `ArgumentName` `Authorization`.
    #[error("unsupported authorization scheme")]
    UnsupportedScheme,
    /// As [`AuthError::Malformed`]; the document has `Region` with the expected one, which
    /// SDKs sign with next.
    #[error("credential scope is for another region")]
    WrongRegion {
        /// Header or query.
        place: Place,
        /// The region of the scope.
        given: String,
        /// Ours.
        expected: String,
    },
}

impl AuthError {
    /// The `Message` of the S3 error document. May repeat what the client sent, never more.
    pub fn message(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::CertificateRequired => "Access Denied",
            Self::ConflictingParameter { name } => {
                return format!(
                    "The query parameter '{name}' must not be repeated nor contradict a header."
                )
                .into();
            }
            Self::Expired { .. } => "Request has expired",
            Self::HostConflict => {
                "The Host header does not agree with the authority of the request."
            }
            Self::InvalidContentSha256 { .. } => INVALID_CONTENT_SHA256,
            Self::Malformed { place, fault } => {
                return place.message(fault, fault.is_of_credential()).into();
            }
            Self::MissingContentSha256 => {
                "Missing required header for this request: x-amz-content-sha256"
            }
            Self::MissingDate => "AWS authentication requires a valid Date or x-amz-date header",
            Self::MissingField { name } => return FormError::Missing { name }.to_s3().message,
            Self::MultipleMechanisms => MULTIPLE_MECHANISMS,
            Self::NotYetValid { .. } => "Request is not valid yet",
            Self::RepeatedHeader { name } => {
                return format!("The header '{name}' must not be repeated.").into();
            }
            Self::S3Express | Self::SigV4a => {
                "A header you provided implies functionality that is not implemented."
            }
            Self::SessionToken => "The provided token is malformed or otherwise invalid.",
            Self::SignatureDoesNotMatch(_) => SIGNATURE_DOES_NOT_MATCH,
            Self::Skewed { .. } => {
                "The difference between the request time and the current time is too large."
            }
            Self::SignatureV2 => SIGNATURE_V2,
            Self::UnknownAccessKey { .. } => {
                "The AWS Access Key Id you provided does not exist in our records."
            }
            Self::UnsignedHeaders { .. } => {
                "There were headers present in the request which were not signed"
            }
            Self::UnsupportedScheme => "Unsupported Authorization Type",
            Self::WrongRegion {
                place,
                given,
                expected,
            } => {
                let fault = format!("the region '{given}' is wrong; expecting '{expected}'");
                return place.message(&fault, true).into();
            }
        })
    }

    /// Every [`Self::reason`] there is.
    pub const REASONS: [&str; 14] = [
        "certificate",
        "conflict",
        "content_sha256",
        "expired",
        "malformed",
        "multiple_mechanisms",
        "region",
        "repeated_header",
        "session_token",
        "signature",
        "skew",
        "unknown_access_key",
        "unsigned_headers",
        "unsupported",
    ];

    /// A label for `s3seal_auth_failures_total{reason}`: one of [`Self::REASONS`].
    pub fn reason(&self) -> &'static str {
        match self {
            Self::CertificateRequired => "certificate",
            Self::ConflictingParameter { .. } | Self::HostConflict => "conflict",
            Self::Expired { .. } => "expired",
            Self::InvalidContentSha256 { .. } | Self::MissingContentSha256 => "content_sha256",
            Self::Malformed { .. } | Self::MissingDate | Self::MissingField { .. } => "malformed",
            Self::MultipleMechanisms => "multiple_mechanisms",
            Self::NotYetValid { .. } | Self::Skewed { .. } => "skew",
            Self::RepeatedHeader { .. } => "repeated_header",
            Self::S3Express | Self::SigV4a | Self::SignatureV2 | Self::UnsupportedScheme => {
                "unsupported"
            }
            Self::SessionToken => "session_token",
            Self::SignatureDoesNotMatch(_) => "signature",
            Self::UnknownAccessKey { .. } => "unknown_access_key",
            Self::UnsignedHeaders { .. } => "unsigned_headers",
            Self::WrongRegion { .. } => "region",
        }
    }
}

/// What we computed against what the client sent: S3 shows it, so that users can compare.
///
/// `Debug` shows nothing of it: signed headers may hold a customer key.
pub struct SignatureMismatch {
    /// As sent.
    pub access_key_id: String,
    /// Ours.
    pub string_to_sign: String,
    /// As sent.
    pub signature_provided: String,
    /// Ours, over the raw path; empty for a form, of which the string to sign is the policy.
    pub canonical_request: String,
}

impl fmt::Debug for SignatureMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignatureMismatch([redacted])")
    }
}

/// Where the authentication information stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Fields of a form: errors are `AuthorizationQueryParametersError`.
    Form,
    /// `Authorization`: errors are `AuthorizationHeaderMalformed`.
    Header,
    /// `X-Amz-*` parameters: errors are `AuthorizationQueryParametersError`.
    Query,
}

impl Place {
    fn message(self, fault: &impl fmt::Display, of_credential: bool) -> String {
        match self {
            Self::Header => format!("The authorization header is malformed; {fault}."),
            Self::Form | Self::Query if of_credential => {
                format!("Error parsing the X-Amz-Credential parameter; {fault}.")
            }
            Self::Form | Self::Query => format!("{fault}."),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "form fields",
            Self::Header => "authorization header",
            Self::Query => "presigned parameters",
        })
    }
}

/// What is wrong with authentication information; Display is part of the S3 message.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformation {
    /// Not one each of `Credential`, `SignedHeaders` and `Signature`.
    #[error("it needs Credential, SignedHeaders and Signature, each once")]
    Components,
    /// Not five parts.
    #[error(
        "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\""
    )]
    Credential,
    /// The scope is for another date than the request.
    #[error(
        "Invalid credential date \"{scope}\". This date is not the same as X-Amz-Date: \"{request}\""
    )]
    CredentialDate {
        /// Date of the scope.
        scope: String,
        /// Date of the request.
        request: String,
    },
    /// `X-Amz-Date` is no date.
    #[error("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")]
    Date,
    /// `X-Amz-Expires` is not 1 to 604800.
    #[error("X-Amz-Expires must be a number of seconds from 1 to 604800")]
    Expires,
    /// A presigned parameter is missing or repeated.
    #[error(
        "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters, each once"
    )]
    Parameters,
    /// The scope is for another service.
    #[error("incorrect service \"{0}\". This endpoint belongs to \"s3\"")]
    Service(String),
    /// Not lower-case hex of 32 bytes.
    #[error("the Signature is not 64 lower-case hexadecimal digits")]
    Signature,
    /// Not lower-case names, ascending, each once.
    #[error("SignedHeaders must be lower-case names in ascending order, each once")]
    SignedHeaders,
    /// The scope does not end as it must.
    #[error("incorrect terminal \"{0}\". This endpoint uses \"aws4_request\"")]
    Terminal(String),
}

impl Malformation {
    /// S3 begins the text of these with the parameter's name.
    fn is_of_credential(&self) -> bool {
        match self {
            Self::Credential | Self::Service(_) | Self::Terminal(_) => true,
            Self::Components
            | Self::CredentialDate { .. }
            | Self::Date
            | Self::Expires
            | Self::Parameters
            | Self::Signature
            | Self::SignedHeaders => false,
        }
    }
}

/// `MaxAllowedSkewMilliseconds` of `RequestTimeTooSkewed`.
pub const MAX_SKEW_MILLISECONDS: u32 = 900_000;

const INVALID_CONTENT_SHA256: &str = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, \
     STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, \
     STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, or a valid sha256 value.";

const MULTIPLE_MECHANISMS: &str = "Only one auth mechanism allowed; only the X-Amz-Algorithm \
     query parameter, Signature query string parameter or the Authorization header should be \
     specified";

const SIGNATURE_DOES_NOT_MATCH: &str = "The request signature we calculated does not match the \
     signature you provided. Check your key and signing method.";

const SIGNATURE_V2: &str = "The authorization mechanism you have provided is not supported. \
     Please use AWS4-HMAC-SHA256.";
