//! PutObject: the body is sealed as it arrives, and nothing is stored unless all that the client
//! claimed about it holds.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use hyper::Response;
use tokio::sync::oneshot::Receiver;

use super::context::{Cx, S3Request};
use super::encryption::{self, Plan, Sealing, ShowContext};
use super::incoming::{self, insert_text};
use super::outgoing::{self, BodyHeaders};
use crate::auth::PayloadProof;
use crate::body::claimed::ClaimedBody;
use crate::body::relay::RelayBody;
use crate::body::seal::{SealBody, seal_buffered};
use crate::body::{Body, BodyError};
use crate::error::Error;
use crate::format::{CHUNK_LEN, MAX_SINGLE_LEN};
use crate::format::{SealError, Sealer, SingleSealer};
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::headers::{self, HeaderError, METADATA_LEN_MAX, X_AMZ_CHECKSUM_TYPE};
use crate::upstream::request::{Payload, UpstreamRequest};

/// See the module.
pub async fn put_object(cx: &Cx, request: S3Request) -> Result<Response<Body>, Error> {
    let rule = request.rule(cx)?;
    let (bucket, key) = request.object()?;
    let mut upstream = request.upstream(Method::PUT);
    upstream.headers = outgoing::headers(&request, BodyHeaders::Drop);
    upstream.query = outgoing::query(&request);
    // Everything that headers can say is checked before a data key is made.
    let verifier = request.payload_verifier()?;
    let len = verifier.plaintext_len();
    if len > MAX_SINGLE_LEN {
        return Err(too_large(len).into());
    }
    let sealing = match encryption::plan(cx, &request, rule).await? {
        Plan::Plain => None,
        Plan::Sealed(plan) => Some(plan.start(cx, &rule.rule, bucket, key).await?),
    };
    if let Some(sealing) = &sealing {
        add_metadata(&mut upstream.headers, sealing)?;
        // S3's default, said aloud: some servers guess from the bytes, and these are ciphertext.
        let kind = upstream.headers.entry(CONTENT_TYPE);
        kind.or_insert(HeaderValue::from_static("binary/octet-stream"));
    }
    let body = request.into_claimed_body(cx, verifier);
    if let Some(sealing) = sealing {
        return put_sealed(cx, upstream, body, sealing, len).await;
    }
    put_plain(cx, upstream, body, len).await
}

/// Stores a body as it is, because the rule says so.
async fn put_plain(
    cx: &Cx,
    mut upstream: UpstreamRequest,
    body: ClaimedBody,
    len: u64,
) -> Result<Response<Body>, Error> {
    if len == 0 {
        // HTTP sends no bytes without asking the body for them: its claims would go unproven.
        let (bytes, proof) = body.collect(0).await?;
        upstream.payload = Payload::Buffered {
            bytes,
            checksum: cx.settings.upstream_checksum,
        };
        let response = cx.upstream.send(upstream).await?;
        return Ok(with_checksum(incoming::relay(cx, response).await?, &proof));
    }
    let (relayed, outcome) = RelayBody::new(body, len);
    upstream.payload = streamed(cx, Body::new(relayed), len);
    put_streamed(cx, upstream, outcome).await
}

async fn put_sealed(
    cx: &Cx,
    mut upstream: UpstreamRequest,
    body: ClaimedBody,
    sealing: Sealing,
    len: u64,
) -> Result<Response<Body>, Error> {
    let Sealing {
        metadata,
        content_key,
    } = sealing;
    let sealer = SingleSealer::new(cx.settings.cipher, content_key, len).map_err(seal_failed)?;
    let mut response = if len <= CHUNK_LEN as u64 {
        // One chunk: nothing of it could leave before its end, so it may as well be replayable.
        let (plaintext, proof) = body.collect(CHUNK_LEN as u64).await?;
        let bytes = seal_buffered(&plaintext, &proof, sealer).map_err(seal_failed)?;
        drop(plaintext);
        upstream.payload = Payload::Buffered {
            bytes,
            checksum: cx.settings.upstream_checksum,
        };
        let response = cx.upstream.send(upstream).await?;
        with_checksum(incoming::relay(cx, response).await?, &proof)
    } else {
        let stored_len = sealer.stored_len();
        let (sealed, outcome) = SealBody::new(body, sealer);
        upstream.payload = streamed(cx, Body::new(sealed), stored_len);
        put_streamed(cx, upstream, outcome).await?
    };
    if response.status().is_success() {
        encryption::show(response.headers_mut(), &metadata.envelope, ShowContext::Yes);
    }
    Ok(response)
}

/// Sends a body once. If it failed on the client's side, that is the answer, whatever the upstream
/// made of the rest.
async fn put_streamed(
    cx: &Cx,
    upstream: UpstreamRequest,
    mut outcome: Receiver<Result<PayloadProof, BodyError>>,
) -> Result<Response<Body>, Error> {
    let sent = cx.upstream.send(upstream).await;
    match (outcome.try_recv(), sent) {
        (Ok(Err(error)), _) => Err(error.into()),
        (_, Err(error)) => Err(error.into()),
        (Ok(Ok(proof)), Ok(response)) => {
            Ok(with_checksum(incoming::relay(cx, response).await?, &proof))
        }
        // The upstream answered before it had the whole body: only a refusal can be true.
        (Err(_unfinished), Ok(response)) if !response.status().is_success() => {
            incoming::relay(cx, response).await
        }
        (Err(_unfinished), Ok(_)) => Err(Error::UpstreamAnswer(
            "an upload was accepted before its end",
        )),
    }
}

fn streamed(cx: &Cx, body: Body, len: u64) -> Payload {
    Payload::Streamed {
        body,
        len,
        checksum: cx.settings.upstream_checksum,
    }
}

/// Adds the checksum that the client sent, verified, to a success.
fn with_checksum(mut response: Response<Body>, proof: &PayloadProof) -> Response<Body> {
    if response.status().is_success()
        && let Some(checksum) = proof.checksum()
    {
        let headers = response.headers_mut();
        insert_text(
            headers,
            checksum.algorithm().header(),
            &checksum.to_base64(),
        );
        headers.insert(X_AMZ_CHECKSUM_TYPE, HeaderValue::from_static("FULL_OBJECT"));
    }
    response
}

/// Adds our two metadata values, if they fit beside the client's.
fn add_metadata(headers: &mut HeaderMap, sealing: &Sealing) -> Result<(), Error> {
    for (name, value) in sealing.metadata.pairs() {
        let value = HeaderValue::from_str(&value)
            .map_err(|_impossible| S3Error::new(ErrorCode::InternalError))?;
        headers.insert(HeaderName::from_static(name), value);
    }
    match headers::metadata_len(headers) {
        0..=METADATA_LEN_MAX => Ok(()),
        len => Err(HeaderError::MetadataTooLarge { len }.into()),
    }
}

fn too_large(len: u64) -> S3Error {
    S3Error::new(ErrorCode::EntityTooLarge)
        .detail("ProposedSize", len.to_string())
        .detail("MaxSizeAllowed", MAX_SINGLE_LEN.to_string())
}

fn seal_failed(error: SealError) -> Error {
    BodyError::from(error).into()
}
