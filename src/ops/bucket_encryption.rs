//! GetBucketEncryption and its siblings: answered from the rules, because what the upstream says
//! is about its own encryption.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::Response;

use super::context::{Cx, S3Request};
use super::encryption::{default_key, uses_bucket_key};
use super::incoming::{respond, set_plaintext_len};
use super::policy::ResolvedRule;
use crate::body::Body;
use crate::config::rules::Encryption;
use crate::error::Error;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::xml::bucket_encryption::DefaultEncryption;

/// What new objects of the bucket are encrypted with by default.
pub fn get(cx: &Cx, request: &S3Request) -> Result<Response<Body>, Error> {
    let default = default(cx, request, request.rule(cx)?)
        .ok_or_else(|| S3Error::new(ErrorCode::NoEncryptionConfiguration))?;
    let document = default.render();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    set_plaintext_len(&mut headers, document.len() as u64);
    Ok(respond(StatusCode::OK, headers, Body::full(document)))
}

/// Done already where it says what the rule says; nothing is changed, here or upstream.
pub async fn put(cx: &Cx, mut request: S3Request) -> Result<Response<Body>, Error> {
    let rule = request.rule(cx)?;
    let document = request.document(cx, DOCUMENT_LEN_MAX).await?;
    let (document, _proof) = document.ok_or_else(|| S3Error::new(ErrorCode::MalformedXml))?;
    let asked = DefaultEncryption::parse(&document)?;
    if !is_same(cx, default(cx, &request, rule), asked) {
        return Err(change());
    }
    let headers = HeaderMap::from_iter([(CONTENT_LENGTH, 0.into())]);
    Ok(respond(StatusCode::OK, headers, Body::empty()))
}

/// The rules are configuration: no client changes them, and nothing is applied upstream.
pub fn change() -> Error {
    S3Error::with_message(
        ErrorCode::AccessDenied,
        "The encryption of this bucket is set by the rules of the proxy.",
    )
    .into()
}

fn default(cx: &Cx, request: &S3Request, rule: &ResolvedRule) -> Option<DefaultEncryption> {
    match rule.rule.encryption {
        Encryption::Managed => Some(DefaultEncryption::Managed),
        Encryption::NamedKey => {
            let name = default_key(request, rule);
            let key = cx.keys.resolve(name);
            let bucket_key = key.map(|key| uses_bucket_key(cx, rule, key.provider));
            Some(DefaultEncryption::NamedKey {
                key: Some(name.to_owned()),
                bucket_key,
            })
        }
        Encryption::Off | Encryption::CustomerKey | Encryption::Deny => None,
    }
}

/// A key has several names.
fn is_same(cx: &Cx, is: Option<DefaultEncryption>, asked: Option<DefaultEncryption>) -> bool {
    use DefaultEncryption::{Managed, NamedKey};
    match (is, asked) {
        (Some(Managed), Some(Managed)) => true,
        (
            Some(NamedKey { key, bucket_key }),
            Some(NamedKey {
                key: asked,
                bucket_key: asked_bucket_key,
            }),
        ) => {
            let resolve = |key: Option<String>| key.and_then(|key| cx.keys.resolve(&key));
            let is = resolve(key);
            let is_same_key = asked.is_none() || is.is_some() && is == resolve(asked);
            // Whoever does not say means none, as on S3, and gets no less.
            is_same_key && asked_bucket_key.is_none_or(|asked| bucket_key == Some(asked))
        }
        (Some(_) | None, _) => false,
    }
}

/// S3's own have some hundred bytes.
const DOCUMENT_LEN_MAX: u64 = 64 << 10;
