//! What is answered here and never reaches the upstream: forwarded and hoped for, an unknown write
//! could store plaintext.

use super::context::S3Request;
use crate::error::Error;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::operation::Operation;

/// 501 with the name of what is not implemented. SDKs do not retry it.
pub fn not_implemented(request: &S3Request) -> Error {
    let what = if let Operation::Unknown { what, .. } = &request.operation {
        what.as_str()
    } else {
        request.operation.name()
    };
    S3Error::with_message(
        ErrorCode::NotImplemented,
        format!("Not implemented by this proxy: {what}."),
    )
    .into()
}
