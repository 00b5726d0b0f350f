//! Ciphertext in, plaintext out: gathers each chunk once, opens it in place, trims to the range.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::BodyError;
use crate::format::{Opened, Opener};

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
    stored: BytesMut,
    ready: VecDeque<Bytes>,
    window: Window,
    on_failure: Option<OnFailure>,
}

/// Told about the first error of a body.
struct OnFailure(Box<dyn FnOnce(&BodyError) + Send>);

impl<B: HttpBody<Data = Bytes, Error = BodyError> + Unpin> OpenBody<B> {
    /// Opens what `source` yields. `on_failure` runs at most once, with the first error.
    pub fn new(
        source: B,
        opener: Opener,
        window: Window,
        on_failure: impl FnOnce(&BodyError) + Send + 'static,
    ) -> Self {
        Self {
            source,
            opener: Some(opener),
            stored: BytesMut::new(),
            ready: VecDeque::new(),
            window,
            on_failure: Some(OnFailure(Box::new(on_failure))),
        }
    }

    fn poll_plain(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            if let Some(data) = self.pop_shown() {
                return Poll::Ready(Ok(Some(data)));
            }
            if self.opener.is_none() {
                return Poll::Ready(Ok(None));
            }
            if self.window.stored == 0 {
                self.finish()?;
                continue;
            }
            match ready!(Pin::new(&mut self.source).poll_frame(cx)) {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.feed(&data)?;
                    }
                }
                None => {
                    // The upstream ended early: the opener knows what is missing.
                    self.window.stored = 0;
                }
            }
        }
    }

    fn feed(&mut self, data: &[u8]) -> Result<(), BodyError> {
        let drop = usize::try_from(self.window.stored_skip)
            .unwrap_or(usize::MAX)
            .min(data.len());
        self.window.stored_skip -= drop as u64;
        let (_, data) = data.split_at(drop);
        let wanted = usize::try_from(self.window.stored)
            .unwrap_or(usize::MAX)
            .min(data.len());
        self.window.stored -= wanted as u64;
        let Some(opener) = self.opener.as_mut() else {
            return Ok(());
        };
        if self.stored.capacity() - self.stored.len() < wanted {
            self.stored.reserve(wanted.max(GATHER_LEN));
        }
        self.stored.extend_from_slice(data.split_at(wanted).0);
        let ready = &mut self.ready;
        opener.push(&mut self.stored, &mut |plain| ready.push_back(plain))?;
        Ok(())
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

/// Stored bytes gathered in one buffer: two chunks, so that a chunk that straddles two reads does
/// not cost an allocation each time.
const GATHER_LEN: usize = 2 * 65_552;
