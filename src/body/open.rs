//! Ciphertext in, plaintext out: opens each chunk out of the frame that holds it, or gathers it if
//! several do, and trims to the range. One chunk at a time, when it is asked for.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::BodyError;
use super::buffers::Buffers;
use super::room::{Room, Share};
use crate::format::{Opened, Opener, TAG_LEN};

/// What of the stored bytes to open, and what of their plaintext to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Stored bytes that arrive before the span: dropped.
    pub stored_skip: u64,
    /// Stored bytes of the span that the opener expects; what follows them is not read.
    pub stored: u64,
    /// Plaintext bytes to drop at the start of the span.
    pub skip: u64,
    /// Plaintext bytes to show.
    pub show: u64,
}

/// The plaintext of a stored body. No byte of a chunk appears before its tag has verified, and a
/// failure ends the body before its announced length.
pub struct OpenBody<B> {
    source: B,
    opener: Option<Opener>,
    /// What arrived last, as far as it is not opened: bytes of the window only.
    arrived: Bytes,
    /// The beginning of a piece that arrives in several frames.
    gathered: BytesMut,
    buffers: Buffers,
    ready: VecDeque<Bytes>,
    window: Window,
    on_failure: Option<OnFailure>,
    /// Room for the chunks, for as long as there may be any.
    share: Share,
    growth: Growth,
}

/// Where more room comes from, for chunks that are larger than was expected.
#[derive(Default)]
struct Growth {
    room: Option<Arc<Room>>,
    waiting: Option<BoxFuture<'static, Option<Share>>>,
}

/// Told about the first error of a body.
struct OnFailure(Box<dyn FnOnce(&BodyError) + Send>);

impl<B: HttpBody<Data = Bytes, Error = BodyError> + Unpin> OpenBody<B> {
    /// Opens what `source` yields. `on_failure` runs at most once, with the first error.
    pub fn new(
        source: B,
        opener: Opener,
        window: Window,
        share: Share,
        on_failure: impl FnOnce(&BodyError) + Send + 'static,
    ) -> Self {
        Self {
            source,
            opener: Some(opener),
            arrived: Bytes::new(),
            gathered: BytesMut::new(),
            buffers: Buffers::default(),
            ready: VecDeque::new(),
            window,
            on_failure: Some(OnFailure(Box::new(on_failure))),
            share,
            growth: Growth::default(),
        }
    }

    /// Waits for room where a chunk turns out to be larger than what `share` was for: how large the
    /// chunks of unequal parts are is not known before the header of each.
    #[must_use]
    pub fn growing_in(mut self, room: Arc<Room>) -> Self {
        self.growth.room = Some(room);
        self
    }

    /// Ready when there is room for the next chunk.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let wanted = self.opener.as_ref().map_or(0, Opener::wanted);
        let chunk_len = wanted.saturating_sub(TAG_LEN);
        if chunk_len <= self.share.chunk_len() {
            return Poll::Ready(Ok(()));
        }
        let Some(room) = &self.growth.room else {
            return Poll::Ready(Ok(()));
        };
        let waiting = self.growth.waiting.get_or_insert_with(|| {
            // Given back first: who holds some while it waits for more could wait for ever.
            self.share = self.share.given_back();
            let (room, quota) = (Arc::clone(room), self.share.quota().cloned());
            Box::pin(async move { room.to_open(chunk_len, quota.as_ref()).await })
        });
        let share = ready!(waiting.as_mut().poll(cx));
        self.growth.waiting = None;
        self.share = share.ok_or(BodyError::NoRoom)?;
        Poll::Ready(Ok(()))
    }

    fn poll_plain(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            if let Some(data) = self.pop_shown() {
                return Poll::Ready(Ok(Some(data)));
            }
            if self.opener.is_none() {
                return Poll::Ready(Ok(None));
            }
            if !self.arrived.is_empty() {
                ready!(self.poll_room(cx))?;
                self.open_next()?;
                continue;
            }
            if self.window.stored == 0 {
                self.finish()?;
                continue;
            }
            match ready!(Pin::new(&mut self.source).poll_frame(cx)) {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.arrived = self.cut(data);
                    }
                }
                None => {
                    // The upstream ended early: the opener knows what is missing.
                    self.window.stored = 0;
                }
            }
        }
    }

    /// What of a frame is in the window.
    fn cut(&mut self, mut data: Bytes) -> Bytes {
        let skip = usize::try_from(self.window.stored_skip).unwrap_or(usize::MAX);
        let skipped = data.split_to(skip.min(data.len()));
        self.window.stored_skip -= skipped.len() as u64;
        data.truncate(usize::try_from(self.window.stored).unwrap_or(usize::MAX));
        self.window.stored -= data.len() as u64;
        data
    }

    /// Opens the next piece of what arrived, or gathers what there is of it.
    fn open_next(&mut self) -> Result<(), BodyError> {
        let Some(opener) = self.opener.as_mut() else {
            return Ok(());
        };
        let whole_chunk = opener
            .wanted_chunk()
            .filter(|len| self.gathered.is_empty() && *len <= self.arrived.len());
        if let Some(len) = whole_chunk {
            let sealed = self.arrived.split_to(len);
            let plain = self.buffers.take(len.saturating_sub(TAG_LEN));
            opener.push_apart(&sealed, plain, &mut |plain| self.ready.push_back(plain))?;
        } else {
            self.gather();
            let opener = self.opener.as_mut().ok_or(BodyError::Aborted)?;
            opener.push(&mut self.gathered, &mut |plain| self.ready.push_back(plain))?;
            if self.gathered.is_empty() {
                // Nothing must keep the buffer of the chunk that was in it.
                self.gathered = BytesMut::new();
            }
        }
        self.ready.iter().for_each(|plain| self.buffers.lend(plain));
        Ok(())
    }

    /// Copies what arrived of the next piece; of bytes behind the end, all: the opener refuses them.
    fn gather(&mut self) {
        let wanted = self.opener.as_ref().map_or(0, Opener::wanted);
        if self.gathered.is_empty() {
            self.gathered = self.buffers.take(wanted);
            self.gathered.clear();
        }
        let missing = match wanted.saturating_sub(self.gathered.len()) {
            0 => self.arrived.len(),
            missing => missing.min(self.arrived.len()),
        };
        self.gathered
            .extend_from_slice(&self.arrived.split_to(missing));
    }

    fn finish(&mut self) -> Result<(), BodyError> {
        if let Some(opener) = self.opener.take() {
            let _: Opened = opener.finish()?;
        }
        Ok(())
    }

    /// The next verified plaintext inside the window.
    fn pop_shown(&mut self) -> Option<Bytes> {
        while let Some(mut data) = self.ready.pop_front() {
            let len = data.len() as u64;
            if self.window.skip >= len {
                self.window.skip -= len;
                continue;
            }
            let _ = data.split_to(usize::try_from(self.window.skip).unwrap_or(data.len()));
            self.window.skip = 0;
            data.truncate(usize::try_from(self.window.show).unwrap_or(usize::MAX));
            self.window.show -= data.len() as u64;
            if !data.is_empty() {
                return Some(data);
            }
        }
        None
    }
}

impl<B: HttpBody<Data = Bytes, Error = BodyError> + Unpin> HttpBody for OpenBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match ready!(self.poll_plain(cx)) {
            Ok(data) => Poll::Ready(data.map(|data| Ok(Frame::data(data)))),
            Err(error) => {
                self.opener = None;
                self.ready.clear();
                if let Some(OnFailure(report)) = self.on_failure.take() {
                    report(&error);
                }
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.opener.is_none() && self.ready.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.window.show)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, StreamBody};
    use proptest::prelude::*;

    use super::*;
    use crate::format::single::SingleRange;
    use crate::format::{
        Announced, BulkCipher, ContentHeader, ContentKey, Ending, HeaderPrefix, OpenEnds,
        PartNumber, Sealer, SegmentSealer, SingleSealer, Trailer, Walk,
    };
    use crate::keys::types::DataKey;

    fn sealed(plaintext: &[u8]) -> (ContentKey, Vec<u8>) {
        let data_key = DataKey::new([3; 32]);
        let (header, key) = ContentHeader::new(HeaderPrefix::single([4; 32]), &data_key);
        let mut sealer = SingleSealer::new(BulkCipher::AwsLc, key, plaintext.len() as u64).unwrap();
        let mut stored = Vec::new();
        let mut left = plaintext;
        while let Some(len) = sealer.next_chunk_len() {
            let (chunk, rest) = left.split_at(len);
            left = rest;
            let mut chunk = chunk.to_vec();
            let tag = sealer.seal_chunk(&mut chunk).unwrap();
            stored.extend_from_slice(&chunk);
            stored.extend_from_slice(tag.as_ref());
        }
        stored.extend_from_slice(&sealer.finish(&Trailer::EMPTY).unwrap());
        (header.verify(&data_key).unwrap(), stored)
    }

    /// What comes out of `stored` in frames of these sizes, over and over.
    fn read(
        opener: Opener,
        window: Window,
        stored: &[u8],
        frames: &[usize],
    ) -> (Vec<u8>, Result<(), BodyError>) {
        let mut left = Bytes::copy_from_slice(stored);
        let frames = frames.iter().cycle().map_while(move |len| {
            let frame = left.split_to((*len).min(left.len()));
            (!frame.is_empty()).then(|| Ok::<_, Infallible>(Frame::data(frame)))
        });
        let source = StreamBody::new(futures_util::stream::iter(frames));
        let source = source.map_err(|never| match never {});
        let mut body = OpenBody::new(source, opener, window, Share::default(), |_| {});
        let mut shown = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let outcome = runtime.block_on(async {
            while let Some(frame) = body.frame().await {
                shown.extend_from_slice(&frame?.into_data().unwrap());
            }
            Ok(())
        });
        (shown, outcome)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_framing_shows_the_same(
            len in 1..300_000_usize, frames in prop::collection::vec(1..200_000_usize, 1..5),
            first: prop::sample::Index, span in 0..200_000_u64, before in 0..100_000_usize,
            broken: Option<prop::sample::Index>,
        ) {
            let plaintext: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let (key, mut stored) = sealed(&plaintext);
            let stored_len = stored.len() as u64;
            if let Some(broken) = broken {
                stored[broken.index(len)] ^= 1;
            }
            let whole = Opener::single(BulkCipher::AwsLc, &key, stored_len).unwrap();
            let window =
                Window { stored_skip: 0, stored: stored_len, skip: 0, show: len as u64 };
            let (shown, outcome) = read(whole, window, &stored, &frames);
            prop_assert_eq!(outcome.is_err(), broken.is_some());
            prop_assert!(plaintext.starts_with(&shown));
            prop_assert!(outcome.is_err() || shown.len() == len);

            let first = first.index(len) as u64;
            let range = SingleRange::new(stored_len, first, first + span).unwrap().unwrap();
            let part = Opener::single_span(BulkCipher::AwsLc, &key, stored_len, range.chunks());
            let span = range.stored();
            let before = before.min(span.first as usize);
            let window = Window {
                stored_skip: before as u64,
                stored: span.last - span.first + 1,
                skip: range.skip(),
                show: range.take(),
            };
            let stored = &stored[span.first as usize - before..];
            if broken.is_none() {
                let (shown, outcome) = read(part.unwrap(), window, stored, &frames);
                prop_assert!(outcome.is_ok());
                prop_assert!(shown == plaintext[first as usize..][..range.take() as usize]);
            }
        }
    }

    /// Nobody knew beforehand how large the chunks of a part are.
    #[tokio::test]
    async fn a_chunk_larger_than_was_expected_waits_for_room() {
        const CHUNK: usize = 1 << 20;
        let data_key = DataKey::new([3; 32]);
        let prefix = HeaderPrefix::segmented([4; 32], Ending::Terminal);
        let (header, _) = ContentHeader::new(prefix, &data_key);
        let key = header.verify(&data_key).unwrap();
        // A header that promises chunks of 1 MiB is all that is needed of a part of 1 GiB.
        let part = PartNumber::FIRST;
        let sealer = SegmentSealer::new(BulkCipher::AwsLc, &key, part, 1 << 30, [5; 32]);
        let mut stored = sealer.unwrap().prologue().to_vec();
        let announced = Announced {
            stored_len: (1 << 30) + 2 * 16_640,
            parts: Some(2),
        };
        stored.extend_from_slice(&[0; 1000]);
        let walk = Walk::new(key.prefix(), announced, OpenEnds::Allow).unwrap();
        let opener = Opener::segmented(BulkCipher::AwsLc, Arc::new(key), walk);
        let window = Window {
            stored_skip: 0,
            stored: announced.stored_len,
            skip: 0,
            show: 1 << 30,
        };
        let room = Arc::new(Room::new(Room::LEN_MIN));
        let taken = room.to_open(8 << 20, None).await.unwrap();
        let source = http_body_util::Full::new(Bytes::from(stored));
        let source = source.map_err(|never| match never {});
        let mut body = OpenBody::new(source, opener, window, Share::default(), |_| {})
            .growing_in(Arc::clone(&room));
        let waits = tokio::time::timeout(std::time::Duration::from_millis(100), body.frame());
        assert!(waits.await.is_err(), "there is no room");
        drop(taken);
        let frame = body.frame().await.unwrap();
        assert!(
            matches!(frame, Err(BodyError::Open(_))),
            "the bytes end early"
        );
        assert_eq!(body.share.chunk_len(), CHUNK);
    }
}
