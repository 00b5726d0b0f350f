//! Sockets, and nothing of S3: accepts connections, speaks HTTP on them, drains them.
//!
//! The HTTP version is what TLS negotiated (ALPN), and HTTP/1.1 without TLS. Sniffing it from the
//! first bytes would wait for them without a timeout, and S3 clients never need it.

pub mod admin;
pub mod answer;
pub mod certificate;
mod io;
mod pace;
pub mod tls;
pub mod wake;
pub mod workers;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio_rustls::server::TlsStream;

use crate::config::listen::Listen;
use crate::telemetry::metrics::connections::{Connections, Open, Refused};
use certificate::ClientCertificate;
use io::Guarded;
use pace::{Overdue, Pace};
use tls::Greeting;
use workers::Worker;

/// Answers requests. One instance serves all connections of a worker.
pub trait Handler: Send + Sync + 'static {
    /// The body of every response. An error in it ends the connection (HTTP/1: reset; HTTP/2: the
    /// stream is reset), so that a response cut short never looks complete.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static;

    /// Answers one request. Dropped when the client goes away. A panic ends the connection it
    /// happens on (HTTP/2: the stream) and no other.
    fn handle(
        &self,
        request: Request<Incoming>,
        connection: Connection,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Where a request came in.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The other end.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Whether it is encrypted.
    pub is_tls: bool,
    /// What the client has shown, which is of an authority in `listen.tls.client_ca`.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// Limits of a listener.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections served at once; more wait in the kernel's backlog.
    pub max_connections: usize,
    /// For a TLS handshake to complete.
    pub tls_handshake_timeout: Duration,
    /// For a request's head to arrive; also how long an idle connection is kept.
    pub header_timeout: Duration,
    /// For a client to take the next bytes of a response.
    pub write_timeout: Duration,
    /// For requests in flight to finish once told to stop.
    pub drain: Duration,
}

impl From<&Listen> for Limits {
    fn from(listen: &Listen) -> Self {
        Self {
            max_connections: listen.max_connections,
            tls_handshake_timeout: listen.tls_handshake_timeout,
            header_timeout: listen.header_timeout,
            write_timeout: listen.idle_timeout,
            drain: listen.drain,
        }
    }
}

/// Serves a listener until `stop` resolves, then drains: nothing new is accepted, idle connections
/// are closed, requests in flight may finish within [`Limits::drain`], the rest is cut.
///
/// Each connection goes to the worker that has the fewest. Returns how many had to be cut.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    tls: Option<Greeting>,
    limits: Limits,
    workers: Vec<Worker<H>>,
    connections: Connections,
    stop: impl Future<Output = ()> + Send,
) -> usize {
    let server = |worker: Worker<H>| {
        let server = Server {
            tls: tls.clone(),
            http1: http1_builder(&limits),
            http2: http2_builder(&limits),
            limits,
            connections: connections.clone(),
            handler: worker.handler,
        };
        (worker.runtime, Arc::new(server))
    };
    let servers: Vec<_> = workers.into_iter().map(server).collect();
    let door = Door {
        listener,
        slots: Arc::new(Semaphore::new(limits.max_connections)),
        connections,
    };
    let drain = GracefulShutdown::new();
    let mut tasks = JoinSet::new();
    accept_until(stop, &door, &servers, &drain, &mut tasks).await;
    drop(door);

    let finish = async {
        drain.shutdown().await;
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
    };
    let is_drained = tokio::time::timeout(limits.drain, finish).await.is_ok();
    if is_drained {
        return 0;
    }
    let cut = tasks.len();
    tracing::warn!(
        connections = cut,
        "drain time is over: cutting what is left"
    );
    tasks.shutdown().await;
    cut
}

/// What all connections of a worker share; each of them holds it.
struct Server<H> {
    tls: Option<Greeting>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    limits: Limits,
    connections: Connections,
    handler: Arc<H>,
}

/// Where connections come in.
struct Door {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    connections: Connections,
}

async fn accept_until<H: Handler>(
    stop: impl Future<Output = ()>,
    door: &Door,
    servers: &[(Handle, Arc<Server<H>>)],
    drain: &GracefulShutdown,
    tasks: &mut JoinSet<()>,
) {
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return,
            Some(ended) = tasks.join_next() => report(ended),
            accepted = door.accept() => {
                let idlest = servers.iter().min_by_key(|(_, server)| Arc::strong_count(server));
                if let (Some(accepted), Some((runtime, server))) = (accepted, idlest) {
                    let server = Arc::clone(server);
                    tasks.spawn_on(server.connection(accepted, drain.watcher()), runtime);
                }
            }
        }
    }
}

/// A connection that no runtime watches yet.
struct Accepted {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    slot: OwnedSemaphorePermit,
    open: Open,
}

impl Door {
    /// The next connection, once there is room for it. `None` if it was gone before it was accepted.
    async fn accept(&self) -> Option<Accepted> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, peer)) => Some(Accepted {
                stream: stream.into_std().ok()?,
                peer,
                slot,
                open: self.connections.opened(),
            }),
            Err(error) if is_of_connection(&error) => None,
            Err(error) => {
                self.connections.refused(Refused::Accept);
                // Out of file descriptors, most likely: they come back as connections end.
                tracing::error!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }
}

impl<H: Handler> Server<H> {
    async fn connection(self: Arc<Self>, accepted: Accepted, drain: Watcher) {
        let Accepted {
            stream,
            peer,
            slot,
            open,
        } = accepted;
        let _until_it_ends = (slot, open);
        let (Ok(local), Ok(stream)) = (stream.local_addr(), TcpStream::from_std(stream)) else {
            return;
        };
        // Responses leave in few large writes: waiting to merge them only delays the last one.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %peer, "TCP_NODELAY refused");
        }
        let (stream, closed) = Guarded::new(stream, self.limits.write_timeout);
        let connection = Connection {
            peer,
            local,
            is_tls: self.tls.is_some(),
            certificate: None,
        };
        let is_cut_short = self.speak(stream, connection, drain).await;
        if let Ok(socket) = closed.await
            && (socket.is_shut_down || !is_cut_short)
        {
            socket.close().await;
        }
    }

    /// Serves a connection to its end. Returns whether an answer may have been cut short.
    async fn speak(&self, stream: Guarded, mut connection: Connection, drain: Watcher) -> bool {
        let peer = connection.peer;
        let written = stream.written();
        let ended = if let Some(greeting) = &self.tls {
            // In this order: terms that come in between have the certificate looked at again.
            let number = greeting.number();
            let handshake = greeting.acceptor().accept(stream);
            let shown = |stream: &TlsStream<Guarded>| {
                let chain = stream.get_ref().1.peer_certificates()?;
                let certificate = ClientCertificate::new(chain, greeting.clone(), number);
                Some(Arc::new(certificate))
            };
            match tokio::time::timeout(self.limits.tls_handshake_timeout, handshake).await {
                Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2) => {
                    connection.certificate = shown(&stream);
                    let served = self.serve_http2(stream, &written, connection, drain);
                    match served.await {
                        Ok(ended) => ended,
                        Err(overdue) => {
                            tracing::debug!(?overdue, %peer, "connection ended");
                            return overdue == Overdue::Stalled;
                        }
                    }
                }
                Ok(Ok(stream)) => {
                    connection.certificate = shown(&stream);
                    self.serve_http1(stream, connection, drain).await
                }
                Ok(Err(error)) => {
                    self.connections.refused(Refused::Handshake);
                    tracing::debug!(%error, %peer, "TLS handshake failed");
                    return false;
                }
                Err(_) => {
                    self.connections.refused(Refused::Handshake);
                    tracing::debug!(%peer, "TLS handshake took too long");
                    return false;
                }
            }
        } else {
            self.serve_http1(stream, connection, drain).await
        };
        let Err(error) = ended else {
            return false;
        };
        tracing::debug!(error = &error as &dyn std::error::Error, %peer, "connection ended early");
        // A timeout is one between requests: the last answer was complete. An error of our own body
        // is never one, whatever its cause.
        error.is_user() || !error.is_timeout()
    }

    async fn serve_http1(
        &self,
        stream: impl Stream,
        connection: Connection,
        drain: Watcher,
    ) -> hyper::Result<()> {
        let service = service_fn(|request| self.answer(request, connection.clone()));
        let serving = self.http1.serve_connection(TokioIo::new(stream), service);
        drain.watch(serving).await
    }

    async fn serve_http2(
        &self,
        stream: impl Stream,
        written: &AtomicU64,
        connection: Connection,
        drain: Watcher,
    ) -> Result<hyper::Result<()>, Overdue> {
        // Streams run as tasks of their own, which own what they use.
        let pace = Pace::new();
        let service = service_fn(|request| {
            let (handler, stream) = (Arc::clone(&self.handler), pace.stream());
            let connection = connection.clone();
            async move {
                let answer = handler.handle(request, connection).await;
                Ok::<_, std::convert::Infallible>(stream.answer(answer))
            }
        });
        let serving = self.http2.serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            ended = drain.watch(serving) => Ok(ended),
            overdue = pace.overdue(&self.limits, written) => Err(overdue),
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        connection: Connection,
    ) -> Result<Response<H::Body>, std::convert::Infallible> {
        Ok(self.handler.handle(request, connection).await)
    }
}

/// A byte stream hyper can serve on.
trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static> Stream for T {}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(MAX_HEADER_BYTES)
        .max_buf_size(MAX_BUFFER);
    builder
}

fn http2_builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.header_timeout)
        .keep_alive_timeout(limits.write_timeout)
        .max_header_list_size(MAX_HEADER_BYTES_HTTP2)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_send_buf_size(MAX_BUFFER);
    builder
}

/// Whether the error is of the one connection that was to be accepted, not of the listener.
fn is_of_connection(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::ConnectionAborted
            | std::io::ErrorKind::ConnectionRefused
            | std::io::ErrorKind::ConnectionReset
    )
}

fn report(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a connection ended in a panic: please report it");
    }
}

/// Request line and headers. S3 allows 8 KiB of headers; a presigned URL comes on top. The number
/// of headers stays at hyper's 100: a higher limit would cost every request an allocation.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// The same for HTTP/2.
const MAX_HEADER_BYTES_HTTP2: u32 = 16 * 1024;
/// hyper's read and write buffers. Measured over 64 connections: with 256 KiB here and upstream the
/// process grows to 84 MiB, with 128 KiB to 57 for the same CPU; 64 KiB costs 1.1 to 1.3 times that.
const MAX_BUFFER: usize = 128 * 1024;
/// Requests at once on an HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// Streams a client may reset before we saw them (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;
/// Streams we had to reset for a client's errors before we end the connection (CVE-2025-8671).
const MAX_ERROR_RESETS: usize = 256;
/// Request body bytes in flight per stream and per connection: what a client can make us hold.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
const MAX_FRAME: u32 = 64 * 1024;
/// Before accepting is tried again after it failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
