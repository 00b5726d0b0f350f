//! A client's TCP stream: gives up on clients that stop reading, never ends cleanly by accident,
//! and ends in a way that lets the last answer arrive.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, timeout};

/// A client's TCP stream.
///
/// * A write that makes no progress for the timeout fails: a client that does not read would hold
///   its connection, and the upstream's, for ever. Reads have no timeout here: waiting for a
///   request body is the body's matter, waiting for a head is hyper's.
/// * Dropped, it hands the socket back for an end that fits: [`Ended`]. A panic, or the end of
///   draining, leaves nobody to choose: the connection is reset.
pub(super) struct Guarded {
    /// `None` only while dropping.
    stream: Option<TcpStream>,
    hand_back: Option<oneshot::Sender<Ended>>,
    write_timeout: Duration,
    /// Since when writes wait for the client.
    stalled: Option<Instant>,
    /// Armed at the first wait and left to fire: then it is seen whether that wait still lasts.
    /// So a write that has to wait costs no timer operation.
    timer: Option<Pin<Box<Sleep>>>,
    /// Bytes that the client's side took.
    written: Arc<AtomicU64>,
    is_shut_down: bool,
}

/// A socket that HTTP is done with. Unless it is closed with [`Ended::close`], dropping it resets
/// the connection: what was sent so far must not look like all there is, not even to HTTP/1.0 where
/// the end of the stream ends the body.
pub(super) struct Ended {
    /// `None` once closed.
    stream: Option<TcpStream>,
    /// Whether HTTP has said that there is nothing more to come.
    pub(super) is_shut_down: bool,
}

impl Ended {
    /// Closes the connection once what was sent can arrive. If the client is still sending a
    /// request body that nobody reads, closing at once would reset the connection, and an answer
    /// it has not read yet would be lost.
    pub(super) async fn close(mut self) {
        let Some(mut stream) = self.stream.take() else {
            return;
        };
        let deadline = Instant::now() + LINGER;
        let mut silence = LINGER_START;
        let mut discarded = vec![0; LINGER_BUFFER];
        while let Ok(Ok(1..)) = timeout(silence, stream.read(&mut discarded)).await {
            silence = LINGER_SILENCE;
            if Instant::now() >= deadline {
                return;
            }
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            // Fails only on a socket that is closed already.
            let _ = stream.set_zero_linger();
        }
    }
}

impl Guarded {
    /// Also returns where the socket is handed back.
    pub(super) fn new(
        stream: TcpStream,
        write_timeout: Duration,
    ) -> (Self, oneshot::Receiver<Ended>) {
        let (hand_back, handed_back) = oneshot::channel();
        let guarded = Self {
            stream: Some(stream),
            hand_back: Some(hand_back),
            write_timeout,
            stalled: None,
            timer: None,
            written: Arc::default(),
            is_shut_down: false,
        };
        (guarded, handed_back)
    }

    /// Counts the bytes that leave.
    pub(super) fn written(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.written)
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let stream = self.stream.as_mut().map(Pin::new);
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Passes on the outcome of a write, and turns waiting too long into an error.
    fn guard(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = &outcome {
            let bytes = result.as_ref().map_or(0, |bytes| *bytes as u64);
            self.written.fetch_add(bytes, Ordering::Relaxed);
            self.stalled = None;
            return outcome;
        }
        let stalled = *self.stalled.get_or_insert_with(Instant::now);
        let deadline = stalled + self.write_timeout;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                let reason = "the client takes no more bytes";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)));
            }
            // It was armed for an earlier wait, which ended well.
            timer.as_mut().reset(deadline);
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(hand_back) = self.hand_back.take() {
            // Dropped right here where nobody waits for it.
            let _ = hand_back.send(Ended {
                stream: self.stream.take(),
                is_shut_down: self.is_shut_down,
            });
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.stream()?.poll_write(cx, bytes);
        self.guard(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.stream()?.poll_write_vectored(cx, slices);
        self.guard(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TCP buffers nothing on our side of the kernel: there is nothing to wait for.
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_shut_down = true;
        self.stream()?.poll_shutdown(cx)
    }
}

/// How long a client may go on sending what nobody reads.
const LINGER: Duration = Duration::from_secs(10);
/// How long to wait for its first bytes: those of a body under way are there already.
const LINGER_START: Duration = Duration::from_millis(50);
/// How long it may pause.
const LINGER_SILENCE: Duration = Duration::from_secs(1);
const LINGER_BUFFER: usize = 16 * 1024;
