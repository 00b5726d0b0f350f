//! Tells a slow upload from a dead one: the time that the upstream takes no byte counts, not the
//! whole transfer, and not the time that the client takes to send one.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use prometheus::IntCounter;

use super::UpstreamError;
use crate::body::{Body, BodyError};

/// How far a body has come.
#[derive(Clone, Default)]
pub struct Progress(Arc<State>);

#[derive(Default)]
struct State {
    frames: AtomicU64,
    // Whether the upstream was ready for more than there was: the source has its own idle timeout.
    is_starved: AtomicBool,
}

/// Wraps a body so that its progress can be watched; `bytes` counts what leaves.
pub fn watch(body: Body, bytes: IntCounter) -> (Body, Progress) {
    let progress = Progress::default();
    let watched = Watched {
        inner: body,
        progress: progress.clone(),
        bytes,
    };
    (Body::new(watched), progress)
}

/// Waits for `work` as long as the body moves at least once per `limit`, or waits for its source.
pub async fn within<T>(
    work: impl Future<Output = Result<T, UpstreamError>>,
    progress: &Progress,
    limit: Duration,
) -> Result<T, UpstreamError> {
    let mut work = pin!(work);
    let mut seen = progress.0.frames.load(Ordering::Relaxed);
    loop {
        if let Ok(done) = tokio::time::timeout(limit, &mut work).await {
            return done;
        }
        let now = progress.0.frames.load(Ordering::Relaxed);
        if now == seen && !progress.0.is_starved.load(Ordering::Relaxed) {
            return Err(UpstreamError::Timeout);
        }
        seen = now;
    }
}

struct Watched {
    inner: Body,
    progress: Progress,
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
        self.progress
            .0
            .is_starved
            .store(polled.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.progress.0.frames.fetch_add(1, Ordering::Relaxed);
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
