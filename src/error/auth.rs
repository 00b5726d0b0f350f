//! What a caller that is not authenticated is told.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::auth::{AuthError, MAX_SKEW_MILLISECONDS, Place, SignatureMismatch};
use crate::s3::error_code::{ErrorCode, S3Error};

/// The S3 error for a failed authentication.
pub(super) fn to_s3(error: &AuthError) -> S3Error {
    let s3 = S3Error::with_message(code(error), error.message());
    match error {
        AuthError::Expired {
            expires_seconds,
            expires,
            server_time,
        } => s3
            .detail("X-Amz-Expires", expires_seconds.to_string())
            .detail("Expires", timestamp(*expires))
            .detail("ServerTime", timestamp(*server_time)),
        AuthError::InvalidContentSha256 { value } => s3
            .detail("ArgumentName", "x-amz-content-sha256")
            .detail("ArgumentValue", value),
        AuthError::MissingField { name } => {
            s3.detail("ArgumentName", *name).detail("ArgumentValue", "")
        }
        AuthError::SignatureDoesNotMatch(mismatch) => comparison(s3, mismatch),
        AuthError::Skewed {
            request_time,
            server_time,
        } => s3
            .detail("RequestTime", request_time)
            .detail("ServerTime", timestamp(*server_time))
            .detail(
                "MaxAllowedSkewMilliseconds",
                MAX_SKEW_MILLISECONDS.to_string(),
            ),
        AuthError::UnknownAccessKey { access_key_id } => s3.detail("AWSAccessKeyId", access_key_id),
        AuthError::UnsignedHeaders { names } => s3.detail("HeadersNotSigned", names.join(", ")),
        AuthError::UnsupportedScheme => s3.detail("ArgumentName", "Authorization"),
        AuthError::WrongRegion { expected, .. } => s3.detail("Region", expected),
        AuthError::NotYetValid {
            request_time,
            server_time,
        } => s3
            .detail("RequestTime", request_time)
            .detail("ServerTime", timestamp(*server_time)),
        AuthError::CertificateRequired
        | AuthError::ConflictingParameter { .. }
        | AuthError::HostConflict
        | AuthError::Malformed { .. }
        | AuthError::MissingContentSha256
        | AuthError::MissingDate
        | AuthError::MultipleMechanisms
        | AuthError::RepeatedHeader { .. }
        | AuthError::S3Express
        | AuthError::SessionToken
        | AuthError::SigV4a
        | AuthError::SignatureV2 => s3,
    }
}

fn code(error: &AuthError) -> ErrorCode {
    match error {
        AuthError::ConflictingParameter { .. }
        | AuthError::HostConflict
        | AuthError::MissingContentSha256
        | AuthError::RepeatedHeader { .. }
        | AuthError::SignatureV2 => ErrorCode::InvalidRequest,
        AuthError::CertificateRequired
        | AuthError::Expired { .. }
        | AuthError::MissingDate
        | AuthError::NotYetValid { .. }
        | AuthError::UnsignedHeaders { .. } => ErrorCode::AccessDenied,
        AuthError::InvalidContentSha256 { .. }
        | AuthError::MissingField { .. }
        | AuthError::MultipleMechanisms
        | AuthError::UnsupportedScheme => ErrorCode::InvalidArgument,
        AuthError::Malformed { place, .. } | AuthError::WrongRegion { place, .. } => match place {
            Place::Header => ErrorCode::AuthorizationHeaderMalformed,
            Place::Form | Place::Query => ErrorCode::AuthorizationQueryParametersError,
        },
        AuthError::S3Express | AuthError::SigV4a => ErrorCode::NotImplemented,
        AuthError::SessionToken => ErrorCode::InvalidToken,
        AuthError::SignatureDoesNotMatch(_) => ErrorCode::SignatureDoesNotMatch,
        AuthError::Skewed { .. } => ErrorCode::RequestTimeTooSkewed,
        AuthError::UnknownAccessKey { .. } => ErrorCode::InvalidAccessKeyId,
    }
}

/// S3 shows what it signed, so that users can compare it with what they signed.
fn comparison(s3: S3Error, mismatch: &SignatureMismatch) -> S3Error {
    let s3 = s3
        .detail("AWSAccessKeyId", &mismatch.access_key_id)
        .detail("StringToSign", &mismatch.string_to_sign)
        .detail("SignatureProvided", &mismatch.signature_provided);
    match mismatch.canonical_request.as_str() {
        "" => s3,
        request => s3.detail("CanonicalRequest", request),
    }
}

fn timestamp(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}
