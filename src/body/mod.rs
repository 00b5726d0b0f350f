//! Streaming adapters over the pure rooms: what moves object bytes, and nothing that decides.

mod buffers;
pub mod claimed;
pub mod form;
pub mod idle;
pub mod listing;
pub mod observe;
pub mod open;
pub mod pace;
pub mod relay;
pub mod room;
pub mod seal;
pub mod trailer;
pub mod waiting;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use thiserror::Error;

use self::room::Share;
use crate::auth::PayloadError;
use crate::format::CHUNK_LEN;
use crate::format::OpenError;
use crate::format::SealError;
use crate::s3::form::FormError;
use crate::s3::xml::list::ListError;

/// Why a body ended before its end. Whoever polls it must treat the message as incomplete:
/// hyper closes the connection (HTTP/1.1) or resets the stream (HTTP/2).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The client's: what it claimed about the body does not hold.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The client's: a form that is none.
    #[error(transparent)]
    Form(#[from] FormError),
    /// The client's: it went away, or broke HTTP.
    #[error("client body: {0}")]
    Client(#[source] hyper::Error),
    /// The client's: no byte for the idle timeout.
    #[error("client sent nothing for the idle timeout")]
    ClientIdle,
    /// The stored object's: a byte was changed, or is missing.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The upstream's: it went away, or broke HTTP.
    #[error("upstream body: {0}")]
    Upstream(#[source] hyper::Error),
    /// The upstream's: no byte for the idle timeout.
    #[error("upstream sent nothing for the idle timeout")]
    UpstreamIdle,
    /// The upstream's: a listing that cannot be read.
    #[error(transparent)]
    Listing(#[from] ListError),
    /// Ours: the sealer was used against its contract.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Ours: no room for the next chunk for long.
    #[error("no room for a chunk of this size for long")]
    NoRoom,
    /// A body larger than what is buffered for this operation, in bytes.
    #[error("body exceeds {0} bytes")]
    TooLarge(u64),
    /// The cause went to whoever waits for the response.
    #[error("body aborted")]
    Aborted,
}

/// Every body that the proxy sends, to either side.
pub struct Body(UnsyncBoxBody<Bytes, BodyError>);

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Self::new(Empty::new().map_err(|never: Infallible| match never {}))
    }

    /// All bytes at once; `Content-Length` follows from them.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::new(Full::new(bytes.into()).map_err(|never: Infallible| match never {}))
    }

    /// Bytes that are all there, in pieces.
    pub fn chunks(chunks: Vec<Bytes>) -> Self {
        let left = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self::new(Chunks {
            chunks: chunks.into_iter(),
            left,
        })
    }

    /// Bytes that are all there, with the room that they take until the last of them has left.
    pub fn held(bytes: Bytes, share: Share) -> Self {
        Self::new(Held {
            bytes,
            _share: share,
        })
    }

    /// Any other body.
    pub fn new(body: impl HttpBody<Data = Bytes, Error = BodyError> + Send + 'static) -> Self {
        Self(UnsyncBoxBody::new(body))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

struct Chunks {
    chunks: std::vec::IntoIter<Bytes>,
    left: u64,
}

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = self.chunks.next();
        self.left -= next.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Poll::Ready(next.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

struct Held {
    bytes: Bytes,
    _share: Share,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // In pieces: whoever takes one may copy it.
        let len = self.bytes.len().min(CHUNK_LEN);
        let piece = self.bytes.split_to(len);
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

/// Reads a whole body into one buffer of at most `limit` bytes.
pub async fn collect<B>(body: B, limit: u64) -> Result<Bytes, BodyError>
where
    B: HttpBody<Data = Bytes, Error = BodyError>,
{
    let announced = body.size_hint().lower();
    if announced > limit {
        return Err(BodyError::TooLarge(limit));
    }
    let mut body = std::pin::pin!(body);
    let mut first: Option<Bytes> = None;
    let mut gathered = bytes::BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        let so_far = gathered.len() + first.as_ref().map_or(0, Bytes::len) + data.len();
        if so_far as u64 > limit {
            return Err(BodyError::TooLarge(limit));
        }
        // A small body usually comes in one frame: then nothing is copied.
        match first.take() {
            None if gathered.is_empty() => first = Some(data),
            None => gathered.extend_from_slice(&data),
            Some(head) => {
                gathered.reserve(usize::try_from(announced).unwrap_or(0).max(so_far));
                gathered.extend_from_slice(&head);
                gathered.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| gathered.freeze()))
}
