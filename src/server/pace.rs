//! How an HTTP/2 connection is getting on. Its socket does not tell: a client may keep that alive and
//! open no stream, or open streams and take nothing of their answers.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, sleep_until};

use super::Limits;

/// What the streams of a connection do.
#[derive(Clone, Debug)]
pub(super) struct Pace(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Requests whose answer has not begun. How long that may take is the handler's matter.
    asked: usize,
    /// Answers under way.
    answered: usize,
    /// Those of them that have nothing to send: whatever they come from has an idle timeout of its
    /// own.
    starved: usize,
    /// When a stream last began, ended, or took a piece of its answer.
    moved: Instant,
}

/// A connection that is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Without streams for [`Limits::header_timeout`].
    Idle,
    /// With answers that nobody took anything of for [`Limits::write_timeout`].
    Stalled,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            asked: 0,
            answered: 0,
            starved: 0,
            moved: Instant::now(),
        })))
    }

    /// A stream begins.
    pub(super) fn stream(&self) -> Asked {
        self.moved().asked += 1;
        Asked(self.clone())
    }

    /// Resolves when the connection is to be ended. `written` counts the bytes that its socket took.
    pub(super) async fn overdue(&self, limits: &Limits, written: &AtomicU64) -> Overdue {
        let mut before = 0;
        loop {
            let (deadline, overdue) = self.deadline(limits);
            let now = written.load(Ordering::Relaxed);
            let is_leaving = overdue == Some(Overdue::Idle) && now - before > KEPT_ALIVE_BYTES;
            if deadline <= Instant::now() && is_leaving {
                // The end of the last answer is still on its way to a slow client.
                before = now;
                drop(self.moved());
                continue;
            }
            if let Some(overdue) = overdue.filter(|_| deadline <= Instant::now()) {
                return overdue;
            }
            sleep_until(deadline).await;
        }
    }

    /// When to look again, and what it is then if nothing has moved.
    fn deadline(&self, limits: &Limits) -> (Instant, Option<Overdue>) {
        let state = self.lock();
        match (state.asked, state.answered) {
            (0, 0) => (state.moved + limits.header_timeout, Some(Overdue::Idle)),
            (0, _) if state.starved == 0 => {
                (state.moved + limits.write_timeout, Some(Overdue::Stalled))
            }
            // Not overdue, but it may be as soon as it has nothing to do.
            _ => {
                let soon = limits.write_timeout.min(limits.header_timeout);
                (Instant::now() + soon, None)
            }
        }
    }

    fn moved(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.moved = Instant::now();
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream whose answer has not begun.
#[derive(Debug)]
pub(super) struct Asked(Pace);

impl Asked {
    /// Its answer begins.
    pub(super) fn answer<B>(self, response: Response<B>) -> Response<Paced<B>> {
        self.0.moved().answered += 1;
        let answered = Answered {
            pace: self.0.clone(),
            is_starved: false,
        };
        response.map(|body| Paced {
            body,
            rest: Bytes::new(),
            answered,
        })
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.moved().asked -= 1;
    }
}

#[derive(Debug)]
struct Answered {
    pace: Pace,
    is_starved: bool,
}

impl Answered {
    /// The answer was asked for more, and has some or none.
    fn polled(&mut self, is_starved: bool) {
        let mut state = self.pace.moved();
        state.starved -= usize::from(self.is_starved);
        state.starved += usize::from(is_starved);
        self.is_starved = is_starved;
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.polled(false);
        self.pace.moved().answered -= 1;
    }
}

pin_project! {
    /// An answer under way. It is asked for more once the client's window took the piece before,
    /// so pieces are small: else a slow client would look like one that takes nothing.
    pub(super) struct Paced<B> {
        #[pin]
        body: B,
        rest: Bytes,
        answered: Answered,
    }
}

impl<B: Body<Data = Bytes>> Body for Paced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        if !this.rest.is_empty() {
            this.answered.polled(false);
            let piece = this.rest.split_to(this.rest.len().min(PIECE_LEN));
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let polled = this.body.poll_frame(cx);
        this.answered.polled(polled.is_pending());
        let frame = match ready!(polled) {
            Some(Ok(frame)) => frame,
            end => return Poll::Ready(end),
        };
        Poll::Ready(Some(Ok(frame.map_data(|mut data| {
            *this.rest = data.split_off(data.len().min(PIECE_LEN));
            data
        }))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let hint = self.body.size_hint();
        let mut all = SizeHint::new();
        all.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            all.set_upper(upper + rest);
        }
        all
    }
}

/// The largest piece of an answer.
const PIECE_LEN: usize = 64 * 1024;

/// More than the frames that keep a connection alive take between two looks at it.
const KEPT_ALIVE_BYTES: u64 = 1024;
