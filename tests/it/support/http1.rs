//! As much HTTP/1.1 as tests need to say and see exactly what is on the wire.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The head of a request or response.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The method, or the version of a response.
    pub method: String,
    /// The target as sent, or the status of a response.
    pub target: String,
    pub headers: Vec<(String, String)>,
}

/// A client connection on which nothing happens by itself.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    is_reset: bool,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a FIN: all that was sent has arrived.
    Closed,
    /// With a reset.
    Reset,
    /// Not within ten seconds.
    StillOpen,
}

impl Head {
    /// The only value of a header; repeated ones fail the test.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        assert!(found.count() < 2, "{name} is repeated: {self:?}");
        find(&self.headers, name)
    }

    /// `Content-Length`, 0 where absent.
    pub fn content_length(&self) -> usize {
        self.header("content-length")
            .map_or(0, |len| len.parse().unwrap())
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// The status of a response.
    pub fn status(&self) -> u16 {
        self.target.parse().unwrap()
    }
}

impl Wire {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self {
            stream,
            buffer: Vec::new(),
            is_reset: false,
        }
    }

    /// Sends the head of a request; its body is not looked at.
    pub async fn send_head(&mut self, request: &Request<Full<Bytes>>) {
        let target = request.uri().path_and_query().unwrap();
        let mut lines = vec![format!("{} {target} HTTP/1.1", request.method())];
        for (name, value) in request.headers() {
            lines.push(format!("{name}: {}", value.to_str().unwrap()));
        }
        lines.push("\r\n".to_owned());
        self.send(lines.join("\r\n").as_bytes()).await;
    }

    /// Sends bytes; a proxy that has hung up is seen when reading.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next head, within ten seconds; `None` if the connection ends first.
    pub async fn head(&mut self) -> Option<Head> {
        let read = read_head(&mut self.stream, &mut self.buffer);
        let read = tokio::time::timeout(Duration::from_secs(10), read).await;
        match read.expect("no head within 10 s") {
            Ok(head) => Some(head),
            Err(error) => {
                self.is_reset = error.kind() == ErrorKind::ConnectionReset;
                None
            }
        }
    }

    /// Exactly `len` more bytes, or fewer where the connection ends.
    pub async fn take(&mut self, len: usize) -> Vec<u8> {
        while self.buffer.len() < len {
            if !matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..)) {
                break;
            }
        }
        self.buffer.drain(..len.min(self.buffer.len())).collect()
    }

    /// Everything up to the end of the connection.
    pub async fn rest(mut self) -> (Vec<u8>, Ending) {
        let read = async {
            if self.is_reset {
                return Ending::Reset;
            }
            loop {
                match self.stream.read_buf(&mut self.buffer).await {
                    Ok(0) => return Ending::Closed,
                    Ok(_) => {}
                    Err(_) => return Ending::Reset,
                }
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(10), read).await;
        (self.buffer, ended.unwrap_or(Ending::StillOpen))
    }

    /// Leaves without a word.
    pub fn abandon(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

/// Reads the next head; what follows it stays in `buffer`.
pub async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Head> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    };
    let text = String::from_utf8(buffer.drain(..end + 4).collect()).unwrap();
    let mut lines = text.trim_end().split("\r\n");
    let mut words = lines.next().unwrap().splitn(3, ' ').map(str::to_owned);
    let pair = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_owned(), value.trim().to_owned())
    };
    Ok(Head {
        method: words.next().unwrap(),
        target: words.next().unwrap(),
        headers: lines.map(pair).collect(),
    })
}

/// The value of the first header of this name.
pub fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers
        .iter()
        .find(|(other, _)| other.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// The content of an aws-chunked body without its trailer. Unfinished bodies give what is there.
pub fn unframe(mut wire: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(at) = wire.windows(2).position(|window| window == b"\r\n") {
        let line = std::str::from_utf8(&wire[..at]).unwrap();
        let size = line.split(';').next().unwrap();
        let len = usize::from_str_radix(size, 16).unwrap();
        wire = &wire[at + 2..];
        if len == 0 {
            break;
        }
        let len = len.min(wire.len());
        content.extend_from_slice(&wire[..len]);
        wire = wire.get(len + 2..).unwrap_or_default();
    }
    content
}
