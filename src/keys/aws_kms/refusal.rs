//! What an answer of KMS, or none, says about who is at fault.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};

use crate::keys::provider::{KeyError, Outage};

/// Why a call failed. The SDK's error ends here: it holds KMS's own words.
pub(super) fn refusal<E: ProvideErrorMetadata>(error: &SdkError<E>) -> KeyError {
    match error {
        SdkError::TimeoutError(_) => Outage::Timeout.into(),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Outage::Timeout.into(),
        SdkError::DispatchFailure(failure) => {
            not_sent(failure.as_connector_error().and_then(Error::source)).into()
        }
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let known = answer.err().code().and_then(by_code);
            known.unwrap_or_else(|| by_status(status))
        }
        // The answer ended before its end.
        SdkError::ResponseError(_) => Outage::Unreachable.into(),
        SdkError::ConstructionFailure(_) | _ => Outage::Answer.into(),
    }
}

/// Without credentials nothing is sent either.
fn not_sent(mut cause: Option<&(dyn Error + 'static)>) -> Outage {
    while let Some(error) = cause {
        if error.is::<CredentialsError>() {
            return Outage::Login;
        }
        cause = error.source();
    }
    Outage::Unreachable
}

/// The errors of the operations that are used here, and those that all services share.
/// <https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html>
fn by_code(code: &str) -> Option<KeyError> {
    Some(match code {
        "NotFoundException" | "InvalidArnException" => KeyError::NotFound,
        "DisabledException" => KeyError::Disabled,
        // Pending deletion or import, or a key store that is not connected.
        "KMSInvalidStateException" => KeyError::Destroyed,
        "AccessDeniedException" => KeyError::Denied,
        // The second is a wrap by another key than the envelope says.
        "InvalidCiphertextException" | "IncorrectKeyException" => KeyError::ContextMismatch,
        "LimitExceededException"
        | "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequestsException" => KeyError::Throttled,
        "DependencyTimeoutException"
        | "InternalFailure"
        | "KeyUnavailableException"
        | "KMSInternalException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => Outage::Unreachable.into(),
        "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "NotAuthorized"
        | "OptInRequired"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => Outage::Login.into(),
        _ => return None,
    })
}

/// For answers whose code says nothing, or which have none: they may come from a machine between.
fn by_status(status: u16) -> KeyError {
    match status {
        429 => KeyError::Throttled,
        500..=599 => Outage::Unreachable.into(),
        _ => Outage::Answer.into(),
    }
}
