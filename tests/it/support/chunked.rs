//! Uploads in aws-chunked framing, signed by aws-sigv4's own two functions.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use data_encoding::{BASE64, HEXLOWER};
use http_body_util::Full;
use hyper::Request;

use super::APP;
use super::client::{Client, PayloadHash};

/// The payload modes whose body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Signed,
    SignedTrailer,
    UnsignedTrailer,
}

impl Framing {
    pub const ALL: [Self; 3] = [Self::Signed, Self::SignedTrailer, Self::UnsignedTrailer];

    fn hash(self) -> &'static str {
        match self {
            Self::Signed => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            Self::SignedTrailer => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            Self::UnsignedTrailer => "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        }
    }

    fn has_trailer(self) -> bool {
        self != Self::Signed
    }
}

/// A signed PUT and the body that goes with it.
pub fn put(
    client: &Client,
    target: &str,
    body: &[u8],
    framing: Framing,
) -> (Request<Full<Bytes>>, Vec<u8>) {
    let dry = frame(body, framing, &Signer::default());
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let mut draft = client
        .draft("PUT", target)
        .time(UNIX_EPOCH + Duration::from_secs(now))
        .header("content-length", &dry.len().to_string())
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", &body.len().to_string())
        .payload(PayloadHash::Text(framing.hash().to_owned()));
    if framing.has_trailer() {
        draft = draft.header("x-amz-trailer", "x-amz-checksum-crc32");
    }
    let request = draft.build();
    let signer = Signer::of(&request, UNIX_EPOCH + Duration::from_secs(now));
    let framed = frame(body, framing, &signer);
    assert_eq!(framed.len(), dry.len());
    (request, framed)
}

/// The CRC32 as its header says it.
pub fn crc32(body: &[u8]) -> String {
    let crc = crc_fast::checksum(CrcAlgorithm::Crc32IsoHdlc, body) as u32;
    BASE64.encode(&crc.to_be_bytes())
}

/// The MD5 as `Content-MD5` says it.
pub fn md5(body: &[u8]) -> String {
    use md5::{Digest, Md5};
    BASE64.encode(&Md5::digest(body))
}

fn frame(body: &[u8], framing: Framing, signer: &Signer) -> Vec<u8> {
    let mut out = Vec::new();
    let mut previous = signer.seed.clone();
    for chunk in body.chunks(64 * 1024).chain([&[][..]]) {
        previous = signer.chunk(&previous, chunk);
        let signature = match framing {
            Framing::UnsignedTrailer => String::new(),
            Framing::Signed | Framing::SignedTrailer => format!(";chunk-signature={previous}"),
        };
        out.extend_from_slice(format!("{:x}{signature}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        if !chunk.is_empty() || framing == Framing::Signed {
            out.extend_from_slice(b"\r\n");
        }
    }
    if framing.has_trailer() {
        let line = format!("x-amz-checksum-crc32:{}", crc32(body));
        out.extend_from_slice(format!("{line}\r\n").as_bytes());
        if framing == Framing::SignedTrailer {
            let signature = signer.trailer(&previous, &format!("{line}\n"));
            out.extend_from_slice(format!("x-amz-trailer-signature:{signature}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// What the signature of a chunk needs. The default one signs nonsense of the right length.
#[derive(Default)]
struct Signer {
    time: Option<SystemTime>,
    date: String,
    scope: String,
    seed: String,
}

impl Signer {
    fn of(request: &Request<Full<Bytes>>, time: SystemTime) -> Self {
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        let authorization = header("authorization");
        let between = |from: &str, to: &str| {
            let rest = authorization.split_once(from).unwrap().1;
            rest.split(to).next().unwrap().to_owned()
        };
        Self {
            time: Some(time),
            date: header("x-amz-date").to_owned(),
            scope: between(&format!("{}/", APP.id), ","),
            seed: between("Signature=", ","),
        }
    }

    fn chunk(&self, previous: &str, chunk: &[u8]) -> String {
        let empty = sha256(b"");
        self.sign(
            "AWS4-HMAC-SHA256-PAYLOAD",
            &format!("{previous}\n{empty}\n{}", sha256(chunk)),
        )
    }

    fn trailer(&self, previous: &str, lines: &str) -> String {
        self.sign(
            "AWS4-HMAC-SHA256-TRAILER",
            &format!("{previous}\n{}", sha256(lines.as_bytes())),
        )
    }

    fn sign(&self, algorithm: &str, rest: &str) -> String {
        let Some(time) = self.time else {
            return "0".repeat(64);
        };
        let key = generate_signing_key(APP.secret, time, "us-east-1", "s3");
        let text = format!("{algorithm}\n{}\n{}\n{rest}", self.date, self.scope);
        calculate_signature(key, text.as_bytes())
    }
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}
