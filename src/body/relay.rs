//! A client's body that is stored as it is (rule `encryption = "off"`): the last bytes are held
//! back until the source has proved itself, as for sealed ones.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::oneshot;

use super::BodyError;
use super::claimed::ProvenBody;
use crate::auth::PayloadProof;

/// Plaintext of exactly `len` bytes on its way upstream, unencrypted by rule.
pub struct RelayBody<S> {
    source: S,
    held: Option<Bytes>,
    remaining: u64,
    done: bool,
    outcome: Option<oneshot::Sender<Result<PayloadProof, BodyError>>>,
}

impl<S: ProvenBody> RelayBody<S> {
    /// Relays `source`; what became of it arrives on the receiver.
    pub fn new(source: S, len: u64) -> (Self, oneshot::Receiver<Result<PayloadProof, BodyError>>) {
        let (sender, receiver) = oneshot::channel();
        let outcome = Some(sender);
        (
            Self {
                source,
                held: None,
                remaining: len,
                done: false,
                outcome,
            },
            receiver,
        )
    }

    fn poll_proven(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            if let Some(data) = ready!(self.source.poll_plain(cx)) {
                if let Some(previous) = self.held.replace(data?) {
                    return Poll::Ready(Ok(Some(previous)));
                }
                continue;
            }
            let proof = self.source.take_proof().ok_or(BodyError::Aborted)?;
            self.done = true;
            if let Some(outcome) = self.outcome.take() {
                let _ = outcome.send(Ok(proof));
            }
            return Poll::Ready(Ok(self.held.take()));
        }
    }
}

impl<S: ProvenBody> HttpBody for RelayBody<S> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.done {
            return Poll::Ready(None);
        }
        match ready!(self.poll_proven(cx)) {
            Ok(data) => {
                let len = data.as_ref().map_or(0, |data| data.len() as u64);
                self.remaining = self.remaining.saturating_sub(len);
                Poll::Ready(data.map(|data| Ok(Frame::data(data))))
            }
            Err(error) => {
                self.done = true;
                if let Some(outcome) = self.outcome.take() {
                    let _ = outcome.send(Err(error));
                }
                Poll::Ready(Some(Err(BodyError::Aborted)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.done
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}
