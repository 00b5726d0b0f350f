//! A client's body with its claims: plaintext frames out, a proof at the end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body as HttpBody;

use super::BodyError;
use super::idle::Received;
use crate::auth::{PayloadProof, PayloadVerifier};

/// A source of plaintext whose end is a proof that it is what its sender claimed.
///
/// Whoever completes a stored object must hold that proof: a body whose claim failed can then never
/// become a complete object upstream.
pub trait ProvenBody: Send + Unpin {
    /// The next plaintext, `None` once everything was read and verified.
    fn poll_plain(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>>;

    /// The proof; there once `poll_plain` has returned `None`, and only once.
    fn take_proof(&mut self) -> Option<PayloadProof>;
}

/// The body of a client's request, or another whose end has to be proven.
pub struct ClaimedBody<B = Received> {
    source: B,
    verifier: Option<PayloadVerifier>,
    ready: VecDeque<Bytes>,
    proof: Option<PayloadProof>,
}

impl<B> ClaimedBody<B>
where
    B: HttpBody<Data = Bytes, Error = BodyError> + Send + Unpin,
{
    /// Joins what arrives with the checks its headers asked for.
    pub fn new(source: B, verifier: PayloadVerifier) -> Self {
        Self {
            source,
            verifier: Some(verifier),
            ready: VecDeque::new(),
            proof: None,
        }
    }

    /// Reads everything into one buffer of at most `limit` plaintext bytes.
    pub async fn collect(mut self, limit: u64) -> Result<(Bytes, PayloadProof), BodyError> {
        let mut whole = Bytes::new();
        let mut gathered = bytes::BytesMut::new();
        while let Some(data) = std::future::poll_fn(|cx| self.poll_plain(cx)).await {
            let data = data?;
            if (whole.len() + gathered.len() + data.len()) as u64 > limit {
                return Err(BodyError::TooLarge(limit));
            }
            if whole.is_empty() && gathered.is_empty() {
                whole = data;
            } else {
                gathered.extend_from_slice(&std::mem::take(&mut whole));
                gathered.extend_from_slice(&data);
            }
        }
        let proof = self.take_proof().ok_or(BodyError::Aborted)?;
        Ok((
            if gathered.is_empty() {
                whole
            } else {
                gathered.freeze()
            },
            proof,
        ))
    }
}

impl<B> ProvenBody for ClaimedBody<B>
where
    B: HttpBody<Data = Bytes, Error = BodyError> + Send + Unpin,
{
    fn poll_plain(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(data)));
            }
            let Some(verifier) = self.verifier.as_mut() else {
                return Poll::Ready(None);
            };
            match ready!(Pin::new(&mut self.source).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    // HTTP trailers carry nothing here: aws-chunked trailers are in the data.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    let ready = &mut self.ready;
                    if let Err(error) = verifier.push(data, &mut |plain| ready.push_back(plain)) {
                        self.verifier = None;
                        self.ready.clear();
                        return Poll::Ready(Some(Err(error.into())));
                    }
                }
                Some(Err(error)) => {
                    self.verifier = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    if let Some(verifier) = self.verifier.take() {
                        self.proof = Some(verifier.finish()?);
                    }
                }
            }
        }
    }

    fn take_proof(&mut self) -> Option<PayloadProof> {
        self.proof.take()
    }
}
