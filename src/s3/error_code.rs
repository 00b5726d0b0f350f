//! The S3 error codes this proxy answers with: code, status and default message in one table.
//!
//! Sources: AWS, "Error responses" (S3 API reference), and for KMS codes the KMS API reference.

use std::borrow::Cow;

use http::StatusCode;

/// What a client is told when a request is refused: everything in it is safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Error {
    /// Decides the HTTP status.
    pub code: ErrorCode,
    /// The `<Message>`.
    pub message: Cow<'static, str>,
    /// Further elements of the error document, in order.
    pub details: Vec<(&'static str, String)>,
}

impl S3Error {
    /// An error with the default message of its code.
    pub fn new(code: ErrorCode) -> Self {
        Self::with_message(code, code.message())
    }

    /// An error with its own message.
    pub fn with_message(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
        }
    }

    /// A 400 `InvalidArgument` that names the offending header or parameter; never for a secret.
    pub fn invalid_argument(
        message: impl Into<Cow<'static, str>>,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        Self::with_message(ErrorCode::InvalidArgument, message)
            .detail("ArgumentName", name)
            .detail("ArgumentValue", value)
    }

    /// Adds one element to the error document.
    #[must_use]
    pub fn detail(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.details.push((name, value.into()));
        self
    }
}

/// Declares [`ErrorCode`] and its look-ups from one table, so that no row can miss a column.
macro_rules! error_codes {
    ($($variant:ident, $code:literal, $status:ident, $message:literal;)+) => {
        /// An S3 error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = concat!("`", $code, "`: ", $message)] $variant,)+
        }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The `<Code>` as clients match on it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The code of this name, if it is one of these.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().find(|code| code.as_str() == name).copied()
            }

            /// The HTTP status that S3 sends with it.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// The `<Message>` where the situation has no better one.
            pub fn message(self) -> &'static str {
                match self { $(Self::$variant => $message,)+ }
            }
        }
    };
}

error_codes! {
    AccessDenied, "AccessDenied", FORBIDDEN, "Access Denied";
    AccessForbidden, "AccessForbidden", FORBIDDEN, "CORSResponse: This CORS request is not allowed.";
    AuthorizationHeaderMalformed, "AuthorizationHeaderMalformed", BAD_REQUEST, "The authorization header you provided is invalid.";
    AuthorizationQueryParametersError, "AuthorizationQueryParametersError", BAD_REQUEST, "The authorization query parameters that you provided are not valid.";
    BadDigest, "BadDigest", BAD_REQUEST, "The Content-MD5 you specified did not match what we received.";
    BadRequest, "BadRequest", BAD_REQUEST, "Bad Request";
    BucketAlreadyExists, "BucketAlreadyExists", CONFLICT, "The requested bucket name is not available.";
    BucketAlreadyOwnedByYou, "BucketAlreadyOwnedByYou", CONFLICT, "Your previous request to create the named bucket succeeded and you already own it.";
    BucketNotEmpty, "BucketNotEmpty", CONFLICT, "The bucket you tried to delete is not empty.";
    ConditionalRequestConflict, "ConditionalRequestConflict", CONFLICT, "A conflicting conditional operation is currently in progress against this resource. Please try again.";
    EntityTooLarge, "EntityTooLarge", BAD_REQUEST, "Your proposed upload exceeds the maximum allowed size.";
    EntityTooSmall, "EntityTooSmall", BAD_REQUEST, "Your proposed upload is smaller than the minimum allowed size.";
    ExpiredToken, "ExpiredToken", BAD_REQUEST, "The provided token has expired.";
    IncompleteBody, "IncompleteBody", BAD_REQUEST, "You did not provide the number of bytes specified by the Content-Length HTTP header.";
    InternalError, "InternalError", INTERNAL_SERVER_ERROR, "We encountered an internal error. Please try again.";
    InvalidAccessKeyId, "InvalidAccessKeyId", FORBIDDEN, "The AWS Access Key Id you provided does not exist in our records.";
    InvalidArgument, "InvalidArgument", BAD_REQUEST, "Invalid Argument";
    InvalidBucketName, "InvalidBucketName", BAD_REQUEST, "The specified bucket is not valid.";
    InvalidDigest, "InvalidDigest", BAD_REQUEST, "The Content-MD5 you specified was invalid.";
    InvalidEncryptionAlgorithm, "InvalidEncryptionAlgorithmError", BAD_REQUEST, "The encryption request you specified is not valid. The valid value is AES256.";
    InvalidObjectState, "InvalidObjectState", FORBIDDEN, "The operation is not valid for the object's storage class.";
    InvalidPart, "InvalidPart", BAD_REQUEST, "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.";
    InvalidPartNumber, "InvalidPartNumber", RANGE_NOT_SATISFIABLE, "The requested partnumber is not satisfiable.";
    InvalidPartOrder, "InvalidPartOrder", BAD_REQUEST, "The list of parts was not in ascending order. Parts must be ordered by part number.";
    InvalidPolicyDocument, "InvalidPolicyDocument", BAD_REQUEST, "The content of the form does not meet the conditions specified in the policy document.";
    InvalidRange, "InvalidRange", RANGE_NOT_SATISFIABLE, "The requested range is not satisfiable.";
    InvalidRequest, "InvalidRequest", BAD_REQUEST, "Invalid Request";
    InvalidToken, "InvalidToken", BAD_REQUEST, "The provided token is malformed or otherwise invalid.";
    InvalidUri, "InvalidURI", BAD_REQUEST, "Couldn't parse the specified URI.";
    KeyTooLong, "KeyTooLongError", BAD_REQUEST, "Your key is too long.";
    KmsDisabled, "KMS.DisabledException", BAD_REQUEST, "The specified key is disabled.";
    KmsInvalidState, "KMS.KMSInvalidStateException", BAD_REQUEST, "The specified key is not in a state that is valid for this request.";
    KmsNotFound, "KMS.NotFoundException", BAD_REQUEST, "The specified key does not exist.";
    MalformedPostRequest, "MalformedPOSTRequest", BAD_REQUEST, "The body of your POST request is not well-formed multipart/form-data.";
    MalformedTrailer, "MalformedTrailerError", BAD_REQUEST, "The request contained trailing data that was not well-formed or did not conform to our published schema.";
    MalformedXml, "MalformedXML", BAD_REQUEST, "The XML you provided was not well-formed or did not validate against our published schema.";
    MaxPostPreDataLengthExceeded, "MaxPostPreDataLengthExceededError", BAD_REQUEST, "Your POST request fields preceding the upload file were too large.";
    MetadataTooLarge, "MetadataTooLarge", BAD_REQUEST, "Your metadata headers exceed the maximum allowed metadata size.";
    MethodNotAllowed, "MethodNotAllowed", METHOD_NOT_ALLOWED, "The specified method is not allowed against this resource.";
    MissingContentLength, "MissingContentLength", LENGTH_REQUIRED, "You must provide the Content-Length HTTP header.";
    MissingSecurityHeader, "MissingSecurityHeader", BAD_REQUEST, "Your request is missing a required header.";
    NoEncryptionConfiguration, "ServerSideEncryptionConfigurationNotFoundError", NOT_FOUND, "The server side encryption configuration was not found.";
    NoSuchBucket, "NoSuchBucket", NOT_FOUND, "The specified bucket does not exist.";
    NoSuchKey, "NoSuchKey", NOT_FOUND, "The specified key does not exist.";
    NoSuchUpload, "NoSuchUpload", NOT_FOUND, "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.";
    NoSuchVersion, "NoSuchVersion", NOT_FOUND, "The specified version does not exist.";
    NotImplemented, "NotImplemented", NOT_IMPLEMENTED, "A header you provided implies functionality that is not implemented.";
    OperationAborted, "OperationAborted", CONFLICT, "A conflicting conditional operation is currently in progress against this resource. Try again.";
    PreconditionFailed, "PreconditionFailed", PRECONDITION_FAILED, "At least one of the pre-conditions you specified did not hold";
    RequestTimeTooSkewed, "RequestTimeTooSkewed", FORBIDDEN, "The difference between the request time and the current time is too large.";
    RequestTimeout, "RequestTimeout", BAD_REQUEST, "Your socket connection to the server was not read from or written to within the timeout period.";
    ServiceUnavailable, "ServiceUnavailable", SERVICE_UNAVAILABLE, "Service is unable to handle request.";
    SignatureDoesNotMatch, "SignatureDoesNotMatch", FORBIDDEN, "The request signature we calculated does not match the signature you provided. Check your key and signing method.";
    SlowDown, "SlowDown", SERVICE_UNAVAILABLE, "Please reduce your request rate.";
    XAmzContentSha256Mismatch, "XAmzContentSHA256Mismatch", BAD_REQUEST, "The provided 'x-amz-content-sha256' header does not match what was computed.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_their_statuses_are_errors() {
        let mut seen = HashSet::new();
        for code in ErrorCode::ALL {
            assert!(seen.insert(code.as_str()), "{} twice", code.as_str());
            assert!(code.status().is_client_error() || code.status().is_server_error());
            assert!(!code.message().is_empty());
        }
    }

    /// Written out, because SDKs decide on retries by them.
    #[test]
    fn statuses_are_those_of_s3() {
        let expected = [
            (411, "MissingContentLength"),
            (412, "PreconditionFailed"),
            (416, "InvalidRange InvalidPartNumber"),
            (
                409,
                "ConditionalRequestConflict OperationAborted BucketNotEmpty",
            ),
            (
                403,
                "RequestTimeTooSkewed SignatureDoesNotMatch InvalidAccessKeyId InvalidObjectState AccessDenied AccessForbidden",
            ),
            (
                400,
                "MetadataTooLarge EntityTooLarge EntityTooSmall InvalidPart InvalidPartOrder BadDigest \
                 InvalidDigest IncompleteBody RequestTimeout ExpiredToken InvalidToken \
                 AuthorizationHeaderMalformed KeyTooLongError MalformedXML InvalidURI InvalidBucketName \
                 KMS.NotFoundException KMS.DisabledException KMS.KMSInvalidStateException \
                 XAmzContentSHA256Mismatch InvalidArgument InvalidRequest BadRequest",
            ),
            (404, "NoSuchKey NoSuchBucket NoSuchUpload NoSuchVersion"),
            (405, "MethodNotAllowed"),
            (501, "NotImplemented"),
            (503, "SlowDown ServiceUnavailable"),
            (500, "InternalError"),
        ];
        for (status, codes) in expected {
            for name in codes.split_whitespace() {
                let code = ErrorCode::ALL.iter().find(|code| code.as_str() == name);
                assert_eq!(
                    code.map(|code| code.status().as_u16()),
                    Some(status),
                    "{name}"
                );
            }
        }
    }
}
