//! DeleteObjects: relayed, with the conditions in the upstream's terms.

use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::Response;

use super::context::{Cx, S3Request};
use super::forward::{DOCUMENT_LEN_MAX, carry};
use super::incoming;
use super::outgoing::{self, BodyHeaders};
use crate::auth::PayloadProof;
use crate::body::Body;
use crate::error::Error;
use crate::s3::checksum::{Checksum, ChecksumAlgorithm};
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::xml::delete::{deleted_keys, upstream_deletion};
use crate::upstream::request::Payload;

/// See the module.
pub async fn delete_objects(cx: &Cx, mut request: S3Request) -> Result<Response<Body>, Error> {
    request.rule(cx)?;
    // Which of its keys are under which rule is not looked at.
    if request.bucket().is_some_and(|it| cx.rules.denies_some(it)) {
        let message = "A prefix of this bucket is denied: delete its objects one by one.";
        return Err(S3Error::with_message(ErrorCode::AccessDenied, message).into());
    }
    let caller = request.caller.clone();
    let mut upstream = request.upstream(request.method.clone());
    upstream.headers = outgoing::headers(&request, BodyHeaders::Keep);
    upstream.query = outgoing::query(&request);
    if let Some((bytes, proof)) = request.document(cx, DOCUMENT_LEN_MAX).await? {
        if let Some(caller) = caller.filter(|caller| caller.client.prefixes.is_some()) {
            // All or nothing: a partial answer would have to be made of the upstream's.
            let keys = deleted_keys(&bytes)?;
            if !keys.iter().all(|key| caller.client.may_use_prefix(key)) {
                let message = "One of these keys is not for you to delete: nothing was deleted.";
                return Err(S3Error::with_message(ErrorCode::AccessDenied, message).into());
            }
        }
        match upstream_deletion(&bytes)? {
            None => carry(&mut upstream, bytes, &proof),
            Some(edited) => {
                sum_anew(&mut upstream.headers, edited.as_bytes(), &proof);
                upstream.payload = Payload::Buffered {
                    bytes: edited.into(),
                    checksum: false,
                };
            }
        }
    }
    incoming::relay(cx, cx.upstream.send(upstream).await?).await
}

/// Every checksum that the client sent, of another document.
fn sum_anew(headers: &mut HeaderMap, document: &[u8], proof: &PayloadProof) {
    const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
    let claimed = [
        proof
            .content_md5()
            .map(|_| (CONTENT_MD5, ChecksumAlgorithm::Md5)),
        proof
            .checksum()
            .map(Checksum::algorithm)
            .map(|it| (HeaderName::from_static(it.header()), it)),
    ];
    for (name, algorithm) in claimed.into_iter().flatten() {
        headers.remove(&name);
        let Some(mut hasher) = algorithm.hasher() else {
            continue;
        };
        hasher.update(document);
        if let Ok(value) = HeaderValue::from_str(&hasher.finish().to_base64()) {
            headers.insert(name, value);
        }
    }
}
