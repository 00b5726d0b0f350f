//! An idle timeout on a received body: time without a byte counts, not the whole transfer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use prometheus::IntCounter;
use tokio::time::Sleep;

use super::BodyError;
use super::pace::Brake;

/// Which side a body comes from, and so whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The caller.
    Client,
    /// The real S3.
    Upstream,
}

/// A received body that fails when nothing arrives for `limit`, and counts what arrives.
pub struct Received {
    inner: Incoming,
    side: Side,
    limit: Duration,
    // Armed only while the body is pending, so that a busy stream touches no timer.
    sleep: Option<Pin<Box<Sleep>>>,
    bytes: ByteCount,
    brake: Brake,
    pause: Option<Pin<Box<Sleep>>>,
}

/// Where received bytes are counted.
#[derive(Clone, Debug)]
pub struct ByteCount {
    total: IntCounter,
    own: Option<Arc<AtomicU64>>,
}

impl ByteCount {
    /// Counts for the process, and for one request where `own` is given.
    pub fn new(total: IntCounter, own: Option<Arc<AtomicU64>>) -> Self {
        Self { total, own }
    }

    fn add(&self, bytes: usize) {
        self.total.inc_by(bytes as u64);
        if let Some(own) = &self.own {
            own.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }
}

impl Received {
    /// Wraps what hyper received; `bytes` counts the wire bytes of the body.
    pub fn new(inner: Incoming, side: Side, limit: Duration, bytes: ByteCount) -> Self {
        Self {
            inner,
            side,
            limit,
            sleep: None,
            bytes,
            brake: Brake::default(),
            pause: None,
        }
    }

    /// Reads no faster than the client may send.
    #[must_use]
    pub fn slowed(self, brake: Brake) -> Self {
        Self { brake, ..self }
    }

    fn failed(&self, error: hyper::Error) -> BodyError {
        match self.side {
            Side::Client => BodyError::Client(error),
            Side::Upstream => BodyError::Upstream(error),
        }
    }

    fn idle(&self) -> BodyError {
        match self.side {
            Side::Client => BodyError::ClientIdle,
            Side::Upstream => BodyError::UpstreamIdle,
        }
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.sleep = None;
                if let Some(Ok(Some(data))) =
                    frame.as_ref().map(|f| f.as_ref().map(Frame::data_ref))
                {
                    self.bytes.add(data.len());
                    self.pause = self.brake.pause(data.len());
                }
                Poll::Ready(frame.map(|f| f.map_err(|error| self.failed(error))))
            }
            Poll::Pending => {
                let limit = self.limit;
                let sleep = self
                    .sleep
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
                ready!(sleep.as_mut().poll(cx));
                Poll::Ready(Some(Err(self.idle())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
