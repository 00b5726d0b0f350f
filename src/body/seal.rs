//! Plaintext in, ciphertext out: seals each chunk out of the frame that holds it, or gathers it if
//! several do, and holds the last one back until the source has proved itself.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::oneshot;

use super::BodyError;
use super::buffers::Buffers;
use super::claimed::ProvenBody;
use crate::auth::PayloadProof;
use crate::format::TAG_LEN;
use crate::format::{SealError, Sealer};
use crate::format::{SealedChecksum, Trailer};
use crate::s3::checksum::ChecksumAlgorithm;

/// The ciphertext of a body, `stored_len` bytes in all.
///
/// The only caller of [`Sealer::finish`]: the last chunk and the trailer leave together, and only
/// with the [`PayloadProof`] of the source in hand. Anything else ends the body early, so that the
/// upstream, which was promised `stored_len` bytes, stores nothing.
pub struct SealBody<S, K> {
    source: S,
    sealer: Option<K>,
    // Plaintext that arrived but does not belong to the chunk in hand.
    pending: Bytes,
    // The chunk in hand, if it arrives in several frames.
    chunk: BytesMut,
    buffers: Buffers,
    prologue: Bytes,
    // Plaintext bytes not yet sealed, and stored bytes not yet handed out.
    unsealed: u64,
    remaining: u64,
    outcome: Option<oneshot::Sender<Result<PayloadProof, BodyError>>>,
}

impl<S: ProvenBody, K: Sealer> SealBody<S, K> {
    /// Seals `source`, which must yield exactly the plaintext length that `sealer` was made for.
    /// What became of it arrives on the receiver: the proof, or whose fault it was.
    pub fn new(source: S, sealer: K) -> (Self, oneshot::Receiver<Result<PayloadProof, BodyError>>) {
        let (sender, receiver) = oneshot::channel();
        let body = Self {
            source,
            prologue: sealer.prologue(),
            unsealed: sealer.plaintext_len(),
            remaining: sealer.stored_len(),
            sealer: Some(sealer),
            pending: Bytes::new(),
            chunk: BytesMut::new(),
            buffers: Buffers::default(),
            outcome: Some(sender),
        };
        (body, receiver)
    }

    fn poll_stored(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        if !self.prologue.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.prologue))));
        }
        let Some(len) = self.sealer.as_ref().and_then(Sealer::next_chunk_len) else {
            return Poll::Ready(Ok(None));
        };
        let is_last = self.unsealed == len as u64;
        if !is_last && self.chunk.is_empty() {
            ready!(self.poll_pending(cx))?;
            if self.pending.len() >= len {
                return Poll::Ready(self.seal_apart(len).map(Some));
            }
        }
        ready!(self.poll_gather(cx, len, is_last))?;
        if is_last {
            ready!(self.poll_source_end(cx))?;
            return Poll::Ready(self.complete().map(Some));
        }
        Poll::Ready(self.seal_gathered().map(|()| Some(self.hand_out())))
    }

    /// Waits until there is plaintext at hand.
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        while self.pending.is_empty() {
            match ready!(self.source.poll_plain(cx)) {
                Some(data) => self.pending = data?,
                // The verifier counts bytes, so a short source has failed already.
                None => return Poll::Ready(Err(BodyError::Aborted)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Fills the chunk in hand up to `len` bytes.
    fn poll_gather(
        &mut self,
        cx: &mut Context<'_>,
        len: usize,
        is_last: bool,
    ) -> Poll<Result<(), BodyError>> {
        if self.chunk.is_empty() {
            // Room for what comes behind it, too.
            let end = usize::try_from(self.remaining).unwrap_or(usize::MAX);
            self.chunk = self.buffers.take(if is_last { end } else { len + TAG_LEN });
            self.chunk.clear();
        }
        while self.chunk.len() < len {
            ready!(self.poll_pending(cx))?;
            let take = self.pending.len().min(len - self.chunk.len());
            self.chunk.extend_from_slice(&self.pending.split_to(take));
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for the proof; more plaintext than announced is an error.
    fn poll_source_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        loop {
            if !self.pending.is_empty() {
                return Poll::Ready(Err(BodyError::Aborted));
            }
            match ready!(self.source.poll_plain(cx)) {
                Some(data) => self.pending = data?,
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Seals the next chunk, of `len` bytes, out of the frame that holds all of it.
    fn seal_apart(&mut self, len: usize) -> Result<Bytes, BodyError> {
        let sealer = self.sealer.as_mut().ok_or(BodyError::Aborted)?;
        let plain = self.pending.split_to(len);
        let mut stored = self.buffers.take(len + TAG_LEN);
        let (sealed, tag) = stored.split_at_mut(len);
        tag.copy_from_slice(sealer.seal_chunk_apart(&plain, sealed)?.as_ref());
        self.unsealed -= len as u64;
        self.chunk = stored;
        Ok(self.hand_out())
    }

    fn seal_gathered(&mut self) -> Result<(), BodyError> {
        let sealer = self.sealer.as_mut().ok_or(BodyError::Aborted)?;
        self.unsealed -= self.chunk.len() as u64;
        let tag = sealer.seal_chunk(&mut self.chunk)?;
        self.chunk.extend_from_slice(tag.as_ref());
        Ok(())
    }

    fn hand_out(&mut self) -> Bytes {
        let stored = std::mem::take(&mut self.chunk).freeze();
        self.buffers.lend(&stored);
        stored
    }

    fn complete(&mut self) -> Result<Bytes, BodyError> {
        let proof = self.source.take_proof().ok_or(BodyError::Aborted)?;
        self.seal_gathered()?;
        let sealer = self.sealer.take().ok_or(BodyError::Aborted)?;
        let end = sealer.finish(&sealed_checksums(&proof)?)?;
        self.chunk.extend_from_slice(&end);
        if let Some(outcome) = self.outcome.take() {
            // Nobody listens when the client went away: then nobody needs it.
            let _ = outcome.send(Ok(proof));
        }
        Ok(std::mem::take(&mut self.chunk).freeze())
    }
}

/// Seals a body that is already in memory, and proven, into one buffer.
pub fn seal_buffered<K: Sealer>(
    plaintext: &[u8],
    proof: &PayloadProof,
    mut sealer: K,
) -> Result<Bytes, SealError> {
    let stored_len = usize::try_from(sealer.stored_len()).unwrap_or_default();
    let mut stored = BytesMut::with_capacity(stored_len);
    stored.extend_from_slice(&sealer.prologue());
    let mut rest = plaintext;
    while let Some(len) = sealer.next_chunk_len() {
        let (chunk, behind) = rest.split_at_checked(len).ok_or(SealError::Incomplete)?;
        let at = stored.len();
        stored.extend_from_slice(chunk);
        let tag = sealer.seal_chunk(stored.get_mut(at..).unwrap_or_default())?;
        stored.extend_from_slice(tag.as_ref());
        rest = behind;
    }
    stored.extend_from_slice(&sealer.finish(&sealed_checksums(proof)?)?);
    Ok(stored.freeze())
}

/// What the trailer record keeps: the checksums that the client sent and we verified, never
/// `x-amz-content-sha256` (format.md, "Layout 01").
fn sealed_checksums(proof: &PayloadProof) -> Result<Trailer, SealError> {
    let mut checksums = Vec::with_capacity(2);
    if let Some(md5) = proof.content_md5() {
        checksums.push((SealedChecksum::Md5, md5.bytes()));
    }
    if let Some(checksum) = proof.checksum()
        && let Some(kind) = sealed_kind(checksum.algorithm())
        && !checksums.iter().any(|(other, _)| *other == kind)
    {
        checksums.push((kind, checksum.bytes()));
    }
    // At most 16 + 64 bytes of values: they always fit.
    Trailer::new(&checksums).map_err(|_impossible| SealError::Incomplete)
}

/// The trailer's type for an algorithm; `None` for those that cannot be verified.
pub fn sealed_kind(algorithm: ChecksumAlgorithm) -> Option<SealedChecksum> {
    match algorithm {
        ChecksumAlgorithm::Md5 => Some(SealedChecksum::Md5),
        ChecksumAlgorithm::Crc32 => Some(SealedChecksum::Crc32),
        ChecksumAlgorithm::Crc32c => Some(SealedChecksum::Crc32c),
        ChecksumAlgorithm::Crc64Nvme => Some(SealedChecksum::Crc64Nvme),
        ChecksumAlgorithm::Sha1 => Some(SealedChecksum::Sha1),
        ChecksumAlgorithm::Sha256 => Some(SealedChecksum::Sha256),
        ChecksumAlgorithm::Sha512 => Some(SealedChecksum::Sha512),
        ChecksumAlgorithm::Xxhash3 | ChecksumAlgorithm::Xxhash64 | ChecksumAlgorithm::Xxhash128 => {
            None
        }
    }
}

/// The inverse of [`sealed_kind`].
pub fn algorithm_of(sealed: SealedChecksum) -> ChecksumAlgorithm {
    match sealed {
        SealedChecksum::Md5 => ChecksumAlgorithm::Md5,
        SealedChecksum::Crc32 => ChecksumAlgorithm::Crc32,
        SealedChecksum::Crc32c => ChecksumAlgorithm::Crc32c,
        SealedChecksum::Crc64Nvme => ChecksumAlgorithm::Crc64Nvme,
        SealedChecksum::Sha1 => ChecksumAlgorithm::Sha1,
        SealedChecksum::Sha256 => ChecksumAlgorithm::Sha256,
        SealedChecksum::Sha512 => ChecksumAlgorithm::Sha512,
    }
}

impl<S: ProvenBody, K: Sealer + Unpin> HttpBody for SealBody<S, K> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match ready!(this.poll_stored(cx)) {
            Ok(Some(data)) => {
                this.remaining = this.remaining.saturating_sub(data.len() as u64);
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Ok(None) => Poll::Ready(None),
            Err(error) => {
                this.sealer = None;
                if let Some(outcome) = this.outcome.take() {
                    let _ = outcome.send(Err(error));
                }
                Poll::Ready(Some(Err(BodyError::Aborted)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.sealer.is_none() && self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}
