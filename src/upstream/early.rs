//! Lets an early refusal be heard: a server that answers before it has read the whole body closes
//! the connection, and the next write fails although the answer has arrived.
//!
//! hyper gives up on a connection at the first failed write. Here such a write stays pending, so
//! that hyper goes on reading: it finds the answer, or else the same end of the connection.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower_service::Service;

/// A connector whose connections hear early answers.
#[derive(Clone)]
pub struct EarlyConnector<C>(pub C);

/// A connection that hears early answers.
pub struct EarlyStream<S> {
    inner: S,
    // Nobody reads at the other end any more: nothing is written, and only reading goes on.
    deaf: bool,
}

impl<C> Service<Uri> for EarlyConnector<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
{
    type Response = EarlyStream<C::Response>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, C::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            let inner = connecting.await?;
            Ok(EarlyStream { inner, deaf: false })
        })
    }
}

impl<S: Connection> Connection for EarlyStream<S> {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}

impl<S: Read + Unpin> Read for EarlyStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: Write + Unpin> EarlyStream<S> {
    /// Turns the failure of a closed connection into silence. hyper polls the read side first and
    /// is woken by it: whatever ended the connection is an event there, too.
    fn heard<T>(&mut self, written: io::Result<T>) -> Poll<io::Result<T>> {
        match written {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ) =>
            {
                self.deaf = true;
                Poll::Pending
            }
            written => Poll::Ready(written),
        }
    }
}

impl<S: Write + Unpin> Write for EarlyStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Pending;
        }
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes));
        self.heard(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Pending;
        }
        let flushed = ready!(Pin::new(&mut self.inner).poll_flush(cx));
        self.heard(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Pending;
        }
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, pieces));
        self.heard(written)
    }
}
