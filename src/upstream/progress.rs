//! Tells a slow upload from a dead one: the time without a byte counts, not the whole transfer.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use prometheus::IntCounter;

use super::UpstreamError;
use crate::body::{Body, BodyError};

/// How far a body has come.
pub struct Progress(Arc<AtomicU64>);

/// Wraps a body so that its progress can be watched; `bytes` counts what leaves.
pub fn watch(body: Body, bytes: IntCounter) -> (Body, Progress) {
    let frames = Arc::new(AtomicU64::new(0));
    let progress = Progress(Arc::clone(&frames));
    (
        Body::new(Watched {
            inner: body,
            frames,
            bytes,
        }),
        progress,
    )
}

/// Waits for `work` as long as the body moves at least once per `limit`.
pub async fn within<T>(
    work: impl Future<Output = Result<T, UpstreamError>>,
    progress: &Progress,
    limit: Duration,
) -> Result<T, UpstreamError> {
    let mut work = pin!(work);
    let mut seen = progress.0.load(Ordering::Relaxed);
    loop {
        if let Ok(done) = tokio::time::timeout(limit, &mut work).await {
            return done;
        }
        let now = progress.0.load(Ordering::Relaxed);
        if now == seen {
            return Err(UpstreamError::Timeout);
        }
        seen = now;
    }
}

struct Watched {
    inner: Body,
    frames: Arc<AtomicU64>,
    bytes: IntCounter,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.frames.fetch_add(1, Ordering::Relaxed);
            self.bytes
                .inc_by(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
