//! Bodies on their way up: sealed, or plain where the rule says so. Nothing is stored unless all
//! that the client claimed about them holds.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use http_body::Body as HttpBody;
use hyper::Response;
use tokio::sync::oneshot::Receiver;

use super::context::Cx;
use super::incoming::{self, insert_text};
use crate::auth::PayloadProof;
use crate::body::claimed::ClaimedBody;
use crate::body::relay::RelayBody;
use crate::body::room::Quota;
use crate::body::seal::{SealBody, seal_buffered};
use crate::body::{Body, BodyError};
use crate::error::Error;
use crate::format::{CHUNK_LEN, SealError, Sealer};
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::headers::X_AMZ_CHECKSUM_TYPE;
use crate::upstream::request::{Payload, UpstreamRequest};

/// Where a body comes from: a client, or an object that is being copied.
pub trait Source: HttpBody<Data = Bytes, Error = BodyError> + Send + Unpin + 'static {}

impl<B: HttpBody<Data = Bytes, Error = BodyError> + Send + Unpin + 'static> Source for B {}

/// Stores a body of `len` bytes as it is.
pub async fn send_plain<B: Source>(
    cx: &Cx,
    mut upstream: UpstreamRequest,
    body: ClaimedBody<B>,
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
    send_streamed(cx, upstream, outcome).await
}

/// Seals a body and stores it. `quota` is what the client may hold of the room for chunks.
pub async fn send_sealed<B: Source, K: Sealer + Send + Unpin + 'static>(
    cx: &Cx,
    quota: Option<&Arc<Quota>>,
    mut upstream: UpstreamRequest,
    body: ClaimedBody<B>,
    sealer: K,
) -> Result<Response<Body>, Error> {
    if sealer.plaintext_len() > CHUNK_LEN as u64 {
        let stored_len = sealer.stored_len();
        // Held until the upstream has the body; nothing of it is asked for before.
        let chunk_len = sealer.next_chunk_len().unwrap_or_default();
        let share = cx.room.to_seal(chunk_len, quota);
        let share = share.await.ok_or_else(slow_down)?;
        let (sealed, outcome) = SealBody::new(body, sealer);
        upstream.payload = streamed(cx, Body::new(sealed), stored_len);
        let sent = send_streamed(cx, upstream, outcome).await;
        drop(share);
        return sent;
    }
    // Nothing of it could leave before its end, so it may as well be replayable: the same bytes
    // under the same nonces are the same ciphertext.
    let (plaintext, proof) = body.collect(CHUNK_LEN as u64).await?;
    let bytes = seal_buffered(&plaintext, &proof, sealer).map_err(seal_failed)?;
    drop(plaintext);
    upstream.payload = Payload::Buffered {
        bytes,
        checksum: cx.settings.upstream_checksum,
    };
    let response = cx.upstream.send(upstream).await?;
    Ok(with_checksum(incoming::relay(cx, response).await?, &proof))
}

/// Sends a body once. If it failed on the client's side, that is the answer, whatever the upstream
/// made of the rest.
async fn send_streamed(
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

/// Names S3's default type: some servers guess from the bytes, and these are ciphertext.
pub fn name_type(headers: &mut HeaderMap) {
    let kind = headers.entry(CONTENT_TYPE);
    kind.or_insert(HeaderValue::from_static("binary/octet-stream"));
}

/// More than one request can store.
pub fn too_large(len: u64, max: u64) -> S3Error {
    S3Error::new(ErrorCode::EntityTooLarge)
        .detail("ProposedSize", len.to_string())
        .detail("MaxSizeAllowed", max.to_string())
}

/// There is no room for what the request would hold in memory.
pub fn slow_down() -> S3Error {
    S3Error::new(ErrorCode::SlowDown)
}

/// A sealer that does not come about.
pub fn seal_failed(error: SealError) -> Error {
    BodyError::from(error).into()
}
