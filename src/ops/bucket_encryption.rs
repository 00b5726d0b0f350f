//! GetBucketEncryption and its siblings: answered from the rules, because what the upstream says
//! is about its own encryption.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::Response;

use super::context::{Cx, S3Request};
use super::incoming::{respond, set_plaintext_len};
use crate::body::Body;
use crate::config::rules::Encryption;
use crate::error::Error;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::xml::escape;

/// What new objects of the bucket are encrypted with by default.
pub fn get(cx: &Cx, request: &S3Request) -> Result<Response<Body>, Error> {
    let rule = request.rule(cx)?;
    let default = match rule.rule.encryption {
        Encryption::Managed => "<SSEAlgorithm>AES256</SSEAlgorithm>".to_owned(),
        Encryption::NamedKey => format!(
            "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>{}</KMSMasterKeyID>",
            escape(&rule.rule.key)
        ),
        Encryption::Off | Encryption::CustomerKey | Encryption::Deny => {
            return Err(S3Error::new(ErrorCode::NoEncryptionConfiguration).into());
        }
    };
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule>\
         <ApplyServerSideEncryptionByDefault>{default}</ApplyServerSideEncryptionByDefault>\
         <BucketKeyEnabled>false</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>"
    );
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    set_plaintext_len(&mut headers, document.len() as u64);
    Ok(respond(StatusCode::OK, headers, Body::full(document)))
}

/// The rules are configuration: no client changes them, and nothing is applied upstream.
pub fn change() -> Error {
    S3Error::with_message(
        ErrorCode::AccessDenied,
        "The encryption of this bucket is set by the rules of the proxy.",
    )
    .into()
}
