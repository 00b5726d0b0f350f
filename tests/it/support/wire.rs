//! Requests byte by byte: for heads that an HTTP library would repair, and to see every byte of an
//! answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// All bytes of an answer.
pub struct RawAnswer(Vec<u8>);

impl RawAnswer {
    /// The head in lower case.
    pub fn head(&self) -> String {
        String::from_utf8_lossy(self.parts().0).to_lowercase()
    }

    /// Everything behind the head.
    pub fn body(&self) -> &[u8] {
        self.parts().1
    }

    /// The status of the first line.
    pub fn status(&self) -> u16 {
        self.head().split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        let end = self
            .0
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap();
        (&self.0[..end], &self.0[end + 4..])
    }
}

/// Sends the head of `request` and then exactly `body`, over a connection of its own, and reads
/// until it is closed. No header is added but `connection: close`.
pub async fn exchange(
    address: SocketAddr,
    request: &Request<Full<Bytes>>,
    body: &[u8],
) -> RawAnswer {
    exchange_spelled(address, request, body, str::to_owned).await
}

/// As [`exchange`], with the names of headers in another spelling.
pub async fn exchange_spelled(
    address: SocketAddr,
    request: &Request<Full<Bytes>>,
    body: &[u8],
    spell: impl Fn(&str) -> String,
) -> RawAnswer {
    let mut wire = head(request, spell);
    wire.extend_from_slice(body);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&wire).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    RawAnswer(answer)
}

/// Sends the head of `request` and leaves the connection open.
pub async fn begin(address: SocketAddr, request: &Request<Full<Bytes>>) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = head(request, str::to_owned);
    stream.write_all(&head).await.unwrap();
    stream
}

/// As [`begin`], with the beginning of the body.
pub async fn begin_with(
    address: SocketAddr,
    request: &Request<Full<Bytes>>,
    body: &[u8],
) -> TcpStream {
    let mut stream = begin(address, request).await;
    stream.write_all(body).await.unwrap();
    stream
}

/// Sends the head of `request` and `body`, closes the sending side, and waits until the other side
/// has closed, too.
pub async fn hang_up(address: SocketAddr, request: &Request<Full<Bytes>>, body: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(&head(request, str::to_owned))
        .await
        .unwrap();
    stream.write_all(body).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
}

fn head(request: &Request<Full<Bytes>>, spell: impl Fn(&str) -> String) -> Vec<u8> {
    let target = request.uri().path_and_query().unwrap();
    let mut wire = format!("{} {target} HTTP/1.1\r\n", request.method()).into_bytes();
    for (name, value) in request.headers() {
        wire.extend_from_slice(spell(name.as_str()).as_bytes());
        wire.extend_from_slice(b": ");
        wire.extend_from_slice(value.as_bytes());
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"connection: close\r\n\r\n");
    wire
}

/// An upstream that nobody should call: it counts who does and hangs up.
pub struct Untouched {
    /// Where it listens.
    pub address: SocketAddr,
    calls: Arc<AtomicUsize>,
}

impl Untouched {
    /// Starts to listen.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                drop(stream);
            }
        });
        Self { address, calls }
    }

    /// Connections so far.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}
