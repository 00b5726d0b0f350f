//! The checksum trailer we add to a streamed upload: CRC64NVME of the ciphertext, in aws-chunked
//! framing (AWS, "Trailing headers with chunked uploads").

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use data_encoding::BASE64;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::BodyError;

/// Bytes of one aws-chunk: 16 stored chunks, so that frames rarely straddle two.
const AWS_CHUNK_LEN: u64 = 16 * 65_552;

/// The trailer's name, as announced in `x-amz-trailer`.
pub const TRAILER_NAME: &str = "x-amz-checksum-crc64nvme";

/// Base64 of an 8-byte checksum.
const CHECKSUM_TEXT_LEN: u64 = 12;

/// Bytes on the wire for `len` bytes of content: what goes into `Content-Length`.
pub fn framed_len(len: u64) -> u64 {
    let full = len / AWS_CHUNK_LEN;
    let rest = len % AWS_CHUNK_LEN;
    let frame = |size: u64| hex_len(size) + 2 + size + 2;
    let chunks = full * frame(AWS_CHUNK_LEN) + if rest > 0 { frame(rest) } else { 0 };
    let trailer = TRAILER_NAME.len() as u64 + 1 + CHECKSUM_TEXT_LEN + 2;
    chunks + 3 + trailer + 2
}

/// The CRC64NVME of a whole buffer, as its header value.
pub fn crc64nvme(bytes: &[u8]) -> String {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    digest.update(bytes);
    BASE64.encode(&digest.finalize().to_be_bytes())
}

/// Frames `inner`, which must yield exactly `len` bytes.
pub struct TrailerBody<B> {
    inner: B,
    digest: Digest,
    // Content bytes not yet framed, and those left of the aws-chunk in hand.
    left: u64,
    left_in_chunk: u64,
    ready: VecDeque<Bytes>,
    wire_left: u64,
}

impl<B> TrailerBody<B> {
    /// See the type.
    pub fn new(inner: B, len: u64) -> Self {
        Self {
            inner,
            digest: Digest::new(CrcAlgorithm::Crc64Nvme),
            left: len,
            left_in_chunk: 0,
            ready: VecDeque::new(),
            wire_left: framed_len(len),
        }
    }

    fn frame(&mut self, mut data: Bytes) -> Result<(), BodyError> {
        self.digest.update(&data);
        while !data.is_empty() {
            if self.left_in_chunk == 0 {
                self.left_in_chunk = self.left.min(AWS_CHUNK_LEN);
                if self.left_in_chunk == 0 {
                    return Err(BodyError::Aborted);
                }
                self.ready
                    .push_back(format!("{:x}\r\n", self.left_in_chunk).into());
            }
            let take = data
                .len()
                .min(usize::try_from(self.left_in_chunk).unwrap_or(usize::MAX));
            self.ready.push_back(data.split_to(take));
            self.left_in_chunk -= take as u64;
            self.left -= take as u64;
            if self.left_in_chunk == 0 {
                self.ready.push_back(Bytes::from_static(b"\r\n"));
            }
        }
        if self.left == 0 {
            self.close();
        }
        Ok(())
    }

    fn close(&mut self) {
        let checksum = BASE64.encode(&self.digest.finalize().to_be_bytes());
        self.ready
            .push_back(format!("0\r\n{TRAILER_NAME}:{checksum}\r\n\r\n").into());
    }
}

impl<B: HttpBody<Data = Bytes, Error = BodyError> + Unpin> HttpBody for TrailerBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                self.wire_left -= data.len() as u64;
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data()
                        && let Err(error) = self.frame(data)
                    {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None if self.wire_left == 0 => return Poll::Ready(None),
                None => return Poll::Ready(Some(Err(BodyError::Aborted))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.wire_left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.wire_left)
    }
}

/// Digits of a number in hexadecimal.
fn hex_len(value: u64) -> u64 {
    u64::from((64 - value.leading_zeros()).div_ceil(4).max(1))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::body::Body;

    #[tokio::test]
    async fn the_announced_length_is_the_length_on_the_wire() {
        for len in [1usize, 15, 16, 65_552, 1_048_832, 1_048_833, 3_000_000] {
            let body = TrailerBody::new(Body::full(vec![7u8; len]), len as u64);
            let wire = body.collect().await.unwrap().to_bytes();
            assert_eq!(wire.len() as u64, framed_len(len as u64), "{len}");
            assert!(wire.ends_with(b"\r\n\r\n"));
        }
    }

    #[tokio::test]
    async fn frames_are_what_aws_documents() {
        let wire = TrailerBody::new(Body::full("123456789"), 9)
            .collect()
            .await
            .unwrap();
        assert_eq!(
            wire.to_bytes(),
            // CRC-64/NVME of "123456789" is ae8b14860a799888.
            "9\r\n123456789\r\n0\r\nx-amz-checksum-crc64nvme:rosUhgp5mIg=\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn a_short_source_never_completes() {
        let wire = TrailerBody::new(Body::full("123"), 9).collect().await;
        assert!(wire.is_err());
    }
}
