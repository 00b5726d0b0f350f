//! aws-chunked bodies by hand, signed from the text of the specification: nothing is shared with
//! the code under test.

use std::fmt::Write;

use aws_lc_rs::{digest, hmac};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use http_body_util::Full;
use hyper::Request;

/// Signs the chunks of one request (AWS, "Signature calculations: chunked upload").
pub struct ChunkSigner {
    key: hmac::Key,
    date: String,
    scope: String,
    previous: String,
}

impl ChunkSigner {
    /// Begins with the signature of a request head.
    pub fn new(secret: &str, head: &Request<Full<Bytes>>) -> Self {
        let text = |name: &str| head.headers()[name].to_str().unwrap().to_owned();
        let authorization = text("authorization");
        let (_, credential) = authorization.split_once("Credential=").unwrap();
        let (credential, _) = credential.split_once(',').unwrap();
        let (_, scope) = credential.split_once('/').unwrap();
        let (_, seed) = authorization.rsplit_once("Signature=").unwrap();
        let key = scope
            .split('/')
            .fold(format!("AWS4{secret}").into_bytes(), |key, part| {
                mac(&hmac::Key::new(hmac::HMAC_SHA256, &key), part)
            });
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            date: text("x-amz-date"),
            scope: scope.to_owned(),
            previous: seed.to_owned(),
        }
    }

    /// One chunk on the wire; an empty one is the last, and what follows it is the caller's.
    pub fn chunk(&mut self, data: &[u8]) -> Vec<u8> {
        let body = format!("{}\n{}", sha256(b""), sha256(data));
        let signature = self.next("AWS4-HMAC-SHA256-PAYLOAD", &body);
        let mut wire = format!("{:x};chunk-signature={signature}\r\n", data.len()).into_bytes();
        if !data.is_empty() {
            wire.extend_from_slice(data);
            wire.extend_from_slice(b"\r\n");
        }
        wire
    }

    /// The signature of trailers, each `name:value\n`.
    pub fn trailers(&mut self, canonical: &str) -> String {
        self.next("AWS4-HMAC-SHA256-TRAILER", &sha256(canonical.as_bytes()))
    }

    /// A whole body of chunks.
    pub fn body(mut self, chunks: &[&[u8]]) -> Vec<u8> {
        let mut wire: Vec<u8> = chunks.iter().flat_map(|data| self.chunk(data)).collect();
        wire.extend(self.chunk(b""));
        wire.extend_from_slice(b"\r\n");
        wire
    }

    /// A whole body of chunks with one trailer.
    pub fn body_with_trailer(mut self, chunks: &[&[u8]], name: &str, value: &str) -> Vec<u8> {
        let mut wire: Vec<u8> = chunks.iter().flat_map(|data| self.chunk(data)).collect();
        wire.extend(self.chunk(b""));
        let signature = self.trailers(&format!("{name}:{value}\n"));
        wire.extend_from_slice(
            format!("{name}:{value}\r\nx-amz-trailer-signature:{signature}\r\n\r\n").as_bytes(),
        );
        wire
    }

    fn next(&mut self, algorithm: &str, body: &str) -> String {
        let Self {
            date,
            scope,
            previous,
            ..
        } = &*self;
        let text = format!("{algorithm}\n{date}\n{scope}\n{previous}\n{body}");
        self.previous = HEXLOWER.encode(&mac(&self.key, &text));
        self.previous.clone()
    }
}

/// A body of unsigned chunks; `trailers` are whole lines with their CRLF.
pub fn unsigned(chunks: &[&[u8]], trailers: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for data in chunks {
        wire.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        wire.extend_from_slice(data);
        wire.extend_from_slice(b"\r\n");
    }
    let mut end = String::from("0\r\n");
    write!(end, "{trailers}\r\n").unwrap();
    wire.extend_from_slice(end.as_bytes());
    wire
}

/// SHA-256 in hex.
pub fn sha256(data: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, data).as_ref())
}

fn mac(key: &hmac::Key, text: &str) -> Vec<u8> {
    hmac::sign(key, text.as_bytes()).as_ref().to_vec()
}
