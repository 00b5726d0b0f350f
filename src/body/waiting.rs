//! An answer that takes long: white space keeps the connection alive until the document is there,
//! as S3 does for completions and copies.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::BodyError;

type Document = Pin<Box<dyn Future<Output = Result<Bytes, BodyError>> + Send>>;

/// A document in the making; the head of the answer has been sent.
pub struct WaitingBody {
    /// Yields the document without its XML declaration. `None` once it is out.
    document: Option<Document>,
    tick: Interval,
    declared: bool,
}

impl WaitingBody {
    /// Sends a space every `period` until `document` is there.
    pub fn new(
        document: impl Future<Output = Result<Bytes, BodyError>> + Send + 'static,
        period: Duration,
    ) -> Self {
        let mut tick = interval(period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            document: Some(Box::pin(document)),
            tick,
            declared: false,
        }
    }
}

impl HttpBody for WaitingBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(document) = self.document.as_mut() else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(document) = document.as_mut().poll(cx) {
            self.document = None;
            let whole = document.map(|document| {
                if self.declared {
                    return Frame::data(document);
                }
                Frame::data([DECLARATION, &document].concat().into())
            });
            return Poll::Ready(Some(whole));
        }
        ready!(self.tick.poll_tick(cx));
        let sent: &'static [u8] = if self.declared { b" " } else { DECLARATION };
        self.declared = true;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(sent)))))
    }

    fn is_end_stream(&self) -> bool {
        self.document.is_none()
    }
}

/// White space may follow it, but not precede it.
const DECLARATION: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn spaces_come_until_the_document_does() {
        let (ready, document) = tokio::sync::oneshot::channel::<Bytes>();
        let document = async { Ok(document.await.expect("it is sent")) };
        let mut body = WaitingBody::new(document, Duration::from_millis(1));
        for expected in [DECLARATION, b" ", b" "] {
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), expected);
        }
        assert!(!body.is_end_stream());
        ready.send(Bytes::from_static(b"<a/>")).unwrap();
        let rest = body.collect().await.unwrap().to_bytes();
        assert_eq!(rest.trim_ascii_start(), b"<a/>");
    }
}
