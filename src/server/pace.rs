//! How an HTTP/2 connection is getting on. Its socket does not tell: a client may keep that alive and
//! open no stream, or open streams and take nothing of their answers.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

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
    /// When a stream last began, ended, or was ready for more of its answer.
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
            moved: Instant::now(),
        })))
    }

    /// A stream begins.
    pub(super) fn stream(&self) -> Asked {
        self.moved().asked += 1;
        Asked(self.clone())
    }

    /// Resolves when the connection is to be ended.
    pub(super) async fn overdue(&self, limits: &Limits) -> Overdue {
        loop {
            let (deadline, overdue) = self.deadline(limits);
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
            (0, _) => (state.moved + limits.write_timeout, Some(Overdue::Stalled)),
            _ => (Instant::now() + limits.write_timeout, None),
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
        let answered = Answered(self.0.clone());
        response.map(|body| Paced { body, answered })
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.moved().asked -= 1;
    }
}

#[derive(Debug)]
struct Answered(Pace);

impl Drop for Answered {
    fn drop(&mut self) {
        self.0.moved().answered -= 1;
    }
}

pin_project! {
    /// An answer under way. It is asked for more only when the client's window has room.
    pub(super) struct Paced<B> {
        #[pin]
        body: B,
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
        drop(this.answered.0.moved());
        this.body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
