//! Everything that needs no change of a body: verified here, signed again, and relayed byte by
//! byte.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use hyper::Response;

use super::context::{Cx, S3Request};
use super::incoming;
use super::outgoing::{self, BodyHeaders};
use crate::auth::PayloadProof;
use crate::body::Body;
use crate::error::Error;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::operation::Operation;
use crate::s3::xml::destinations::destinations;
use crate::s3::xml::restore;
use crate::upstream::request::{Payload, UpstreamRequest};

/// See the module.
pub async fn forward(cx: &Cx, mut request: S3Request) -> Result<Response<Body>, Error> {
    if request.bucket().is_some() {
        request.rule(cx)?;
    }
    let _change = cx.cors.changed_by(&request.operation);
    let mut upstream = request.upstream(request.method.clone());
    upstream.headers = outgoing::headers(&request, BodyHeaders::Keep);
    upstream.query = outgoing::query(&request);
    let operation = request.operation.clone();
    if let Some((bytes, proof)) = request.document(cx, DOCUMENT_LEN_MAX).await? {
        check_document(&operation, &bytes)?;
        check_destinations(cx, &request, &bytes)?;
        carry(&mut upstream, bytes, &proof);
    }
    incoming::relay(cx, cx.upstream.send(upstream).await?).await
}

/// Sends a document on, byte by byte.
pub fn carry(upstream: &mut UpstreamRequest, document: Bytes, proof: &PayloadProof) {
    if let Some(checksum) = proof.checksum() {
        // It may have come as a trailer, which ends here.
        let name = HeaderName::from_static(checksum.algorithm().header());
        if let Ok(value) = HeaderValue::from_str(&checksum.to_base64()) {
            upstream.headers.insert(name, value);
        }
    }
    if !document.is_empty() {
        upstream.payload = Payload::Buffered {
            bytes: document,
            checksum: false,
        };
    }
}

/// The upstream would write into the buckets that a configuration names, with the rights of the
/// proxy: they have to be in its caller's scope, and none of the proxy's own.
fn check_destinations(cx: &Cx, request: &S3Request, document: &Bytes) -> Result<(), Error> {
    let is_harmless = NAMES_NO_BUCKET.contains(&request.operation.name());
    if !matches!(request.operation, Operation::Bucket(_)) || is_harmless || document.is_empty() {
        return Ok(());
    }
    let caller = request.caller.as_ref();
    let may_use = |bucket: &String| {
        cx.rules.serves_some(bucket)
            && caller.is_some_and(|caller| caller.client.may_use_bucket(bucket))
    };
    if destinations(document)?.iter().all(may_use) {
        return Ok(());
    }
    let message = "This configuration names a bucket that is not for you to use.";
    Err(S3Error::with_message(ErrorCode::AccessDenied, message).into())
}

/// A policy is no XML, and opens no other bucket; of broken tags the upstream says what is wrong.
const NAMES_NO_BUCKET: &[&str] = &["PutBucketPolicy", "PutBucketTagging"];

/// Documents that ask for what the upstream would do with ciphertext, or write elsewhere.
fn check_document(operation: &Operation, document: &Bytes) -> Result<(), Error> {
    if *operation != Operation::RestoreObject || document.is_empty() {
        return Ok(());
    }
    match restore::selects(document)? {
        None => Ok(()),
        Some(name) => {
            let message = format!("{name} in this document is not implemented.");
            Err(S3Error::with_message(ErrorCode::NotImplemented, message).into())
        }
    }
}

/// The largest relayed document in bytes: DeleteObjects with 1,000 keys of 1,024 bytes, escaped.
pub const DOCUMENT_LEN_MAX: u64 = 8 << 20;
