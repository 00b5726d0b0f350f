//! Watches a response body go out: counts its bytes and reports once, at its end or when it is
//! dropped before that.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{Body, BodyError};

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every byte was handed to the connection.
    Complete,
    /// It failed on our side or upstream: the connection is aborted.
    Failed,
    /// The client went away.
    Cancelled,
}

/// What was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// How it ended.
    pub end: End,
    /// Body bytes handed to the connection.
    pub bytes: u64,
}

/// A body with a report at its end.
pub struct Observed<F: FnOnce(Sent)> {
    inner: Body,
    bytes: u64,
    report: Option<F>,
}

impl<F: FnOnce(Sent)> Observed<F> {
    /// `report` runs exactly once.
    pub fn new(inner: Body, report: F) -> Self {
        Self {
            inner,
            bytes: 0,
            report: Some(report),
        }
    }

    fn finish(&mut self, end: End) {
        if let Some(report) = self.report.take() {
            report(Sent {
                end,
                bytes: self.bytes,
            });
        }
    }
}

impl<F: FnOnce(Sent) + Unpin> HttpBody for Observed<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Poll::Ready(Some(Err(_))) => self.finish(End::Failed),
            Poll::Ready(None) => self.finish(End::Complete),
            Poll::Pending => {}
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

impl<F: FnOnce(Sent)> Drop for Observed<F> {
    fn drop(&mut self) {
        // hyper does not poll a body again that is at its end, or whose announced length is out.
        let complete = self.inner.is_end_stream() || self.inner.size_hint().exact() == Some(0);
        let end = if complete {
            End::Complete
        } else {
            End::Cancelled
        };
        self.finish(end);
    }
}
