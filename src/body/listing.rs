//! A listing on its way to the client, rewritten as it streams by.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};

use super::BodyError;
use super::idle::Received;
use crate::s3::xml::list::ListRewriter;

/// The document with plaintext sizes; its length is not known before its end.
pub struct ListingBody<F> {
    source: Received,
    // Gone once the document has ended or failed.
    rewriter: Option<ListRewriter<F>>,
}

impl<F: Fn(u64, Option<u32>) -> Option<u64> + Unpin> ListingBody<F> {
    /// Rewrites what the upstream sends.
    pub fn new(source: Received, rewriter: ListRewriter<F>) -> Self {
        Self {
            source,
            rewriter: Some(rewriter),
        }
    }

    fn poll_rewritten(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        while let Some(rewriter) = self.rewriter.as_mut() {
            let mut out = Vec::new();
            match ready!(Pin::new(&mut self.source).poll_frame(cx)) {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        rewriter.push(&data, &mut out)?;
                    }
                }
                None => {
                    if let Some(rewriter) = self.rewriter.take() {
                        rewriter.finish()?;
                    }
                }
            }
            if !out.is_empty() {
                return Poll::Ready(Ok(Some(out.into())));
            }
        }
        Poll::Ready(Ok(None))
    }
}

impl<F: Fn(u64, Option<u32>) -> Option<u64> + Unpin> HttpBody for ListingBody<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match ready!(self.poll_rewritten(cx)) {
            Ok(data) => Poll::Ready(data.map(|data| Ok(Frame::data(data)))),
            Err(error) => {
                self.rewriter = None;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rewriter.is_none()
    }
}
