//! Writes a sealed object over the one that it was made of, and over nothing else.

use http::header::{ETAG, IF_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::Response;

use super::look::Original;
use super::{Object, Written};
use crate::auth::PayloadVerifier;
use crate::body::Body;
use crate::body::claimed::ClaimedBody;
use crate::error::Error;
use crate::format::{Layout, SingleSealer};
use crate::keys::KeyError;
use crate::keys::entropy::random_bytes;
use crate::ops::context::Cx;
use crate::ops::encryption::SealPlan;
use crate::ops::incoming;
use crate::ops::store::{self, seal_failed};
use crate::upstream::refusal::refusal_code;
use crate::upstream::request::{Payload, UpstreamRequest};

impl Object<'_> {
    pub(super) async fn write_single(
        self,
        plan: SealPlan,
        original: &Original<'_>,
        headers: HeaderMap,
    ) -> Result<Written, Error> {
        let rule = &self.rule.rule;
        let sealing = plan
            .start(self.cx, rule, self.bucket, self.key, Layout::Single)
            .await?;
        let mut upstream = self.request(Method::PUT);
        upstream.headers = headers;
        upstream.headers.insert(IF_MATCH, original.condition());
        sealing.add_metadata(&mut upstream.headers)?;
        let cipher = self.cx.settings.cipher;
        let sealer = SingleSealer::new(cipher, sealing.content_key, original.len);
        let body = self.read(original, None).await?;
        let verifier = PayloadVerifier::of_own(original.len, original.checksum);
        let body = ClaimedBody::new(body, verifier);
        let stored =
            store::send_sealed(self.cx, None, upstream, body, sealer.map_err(seal_failed)?);
        let stored = stored.await?;
        if stored.status().is_success() {
            let etag = stored.headers().get(ETAG);
            let etag = etag.and_then(|etag| etag.to_str().ok()).unwrap_or_default();
            self.ensure_grants(original, stored.headers(), etag).await?;
        }
        outcome(stored).await
    }

    /// See [`Grants::ensure`](crate::ops::acl::Grants::ensure).
    pub(super) async fn ensure_grants(
        self,
        original: &Original<'_>,
        done: &HeaderMap,
        etag: &str,
    ) -> Result<(), Error> {
        let request = |method| self.request(method);
        original.grants.ensure(self.cx, request, (done, etag)).await
    }
}

/// What the upstream's answer to a conditional write means.
pub(super) async fn outcome(stored: Response<Body>) -> Result<Written, Error> {
    match stored.status() {
        status if status.is_success() => Ok(Ok(())),
        StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT | StatusCode::NOT_FOUND => {
            Err(Error::Changed)
        }
        _ => Ok(Err(refusal_code(stored).await?)),
    }
}

/// Whether the upstream heeds `If-Match` on PutObject: asked with a key that is nobody's, on a
/// condition that cannot hold.
///
/// # Errors
///
/// No answer, or one that says neither.
pub async fn heeds_conditions(cx: &Cx, bucket: &str, prefix: &str) -> Result<bool, Error> {
    let random = random_bytes::<16>().map_err(KeyError::from)?;
    let key = format!(
        "{prefix}.s3seal-{}",
        data_encoding::HEXLOWER.encode(random.as_slice())
    );
    let request = |method| {
        let mut request = UpstreamRequest::new(method, Some(bucket), Some(&key));
        request.operation = "Encrypt";
        request
    };
    let mut put = request(Method::PUT);
    put.headers.insert(IF_MATCH, NOBODY);
    put.payload = Payload::Buffered {
        bytes: bytes::Bytes::new(),
        checksum: cx.settings.upstream_checksum,
    };
    let response = cx.upstream.send(put).await?;
    match response.status() {
        StatusCode::PRECONDITION_FAILED | StatusCode::NOT_FOUND => Ok(true),
        status if status.is_success() => {
            cx.upstream.send(request(Method::DELETE)).await?;
            Ok(false)
        }
        _ => {
            let (code, _) = incoming::refusal(cx, response).await?;
            tracing::error!(
                code,
                "the upstream refuses to be asked whether it heeds If-Match"
            );
            Err(Error::UpstreamAnswer("it refuses to write"))
        }
    }
}

/// An entity tag that no object has.
const NOBODY: HeaderValue = HeaderValue::from_static("\"00000000000000000000000000000000\"");
