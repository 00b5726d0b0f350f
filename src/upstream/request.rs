//! An outgoing request before it is signed. What it carries is decided in `ops`; nothing is added
//! behind its back but what signing and framing need.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::credentials::CredentialSource;
use super::sign::PayloadSignature;
use crate::body::Body;
use crate::body::trailer::{self, TrailerBody};

/// The body of an outgoing request.
pub enum Payload {
    /// None at all.
    Empty,
    /// In memory: signed with its SHA-256 and replayable.
    Buffered {
        /// The bytes as stored.
        bytes: Bytes,
        /// Add `x-amz-checksum-crc64nvme` over them.
        checksum: bool,
    },
    /// Streamed: not signed, sent once.
    Streamed {
        /// Yields exactly `len` bytes.
        body: Body,
        /// Stored bytes.
        len: u64,
        /// Add a CRC64NVME trailer over them.
        checksum: bool,
    },
}

/// One request to the real S3.
pub struct UpstreamRequest {
    /// S3's name of the client's operation, for metrics.
    pub operation: &'static str,
    /// The method.
    pub method: Method,
    /// The bucket, unless the request is to the service.
    pub bucket: Option<String>,
    /// The decoded object key.
    pub key: Option<String>,
    /// The raw query, without the `?`.
    pub query: String,
    /// Headers to send; `Host`, `x-amz-date`, the signature and the framing come on top.
    pub headers: HeaderMap,
    /// The body.
    pub payload: Payload,
    /// Sign with these instead of the deployment's credentials.
    pub credentials: Option<Arc<CredentialSource>>,
}

/// Everything of a request but its body.
pub struct Head {
    /// See [`UpstreamRequest`].
    pub method: Method,
    /// See [`UpstreamRequest`].
    pub bucket: Option<String>,
    /// See [`UpstreamRequest`].
    pub key: Option<String>,
    /// See [`UpstreamRequest`].
    pub query: String,
    /// With the framing headers.
    pub headers: HeaderMap,
    /// How the payload is signed.
    pub payload: PayloadSignature,
    /// See [`UpstreamRequest`].
    pub credentials: Option<Arc<CredentialSource>>,
}

impl UpstreamRequest {
    /// A request without a body.
    pub fn new(method: Method, bucket: Option<&str>, key: Option<&str>) -> Self {
        Self {
            operation: "Unknown",
            method,
            bucket: bucket.map(str::to_owned),
            key: key.map(str::to_owned),
            query: String::new(),
            headers: HeaderMap::new(),
            payload: Payload::Empty,
            credentials: None,
        }
    }

    /// The head and the bytes of a request that may be sent more than once.
    pub(super) fn into_replayable(self) -> (Head, Bytes) {
        let mut headers = self.headers;
        let bytes = match self.payload {
            Payload::Buffered { bytes, checksum } => {
                if checksum {
                    insert(
                        &mut headers,
                        trailer::TRAILER_NAME,
                        &trailer::crc64nvme(&bytes),
                    );
                }
                headers.insert(CONTENT_LENGTH, bytes.len().into());
                bytes
            }
            // A streamed body never comes here; were it to, it would send nothing.
            Payload::Empty | Payload::Streamed { .. } => {
                if self.method == Method::PUT || self.method == Method::POST {
                    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
                }
                Bytes::new()
            }
        };
        let head = Head {
            method: self.method,
            bucket: self.bucket,
            key: self.key,
            query: self.query,
            headers,
            payload: PayloadSignature::Sha256(bytes.clone()),
            credentials: self.credentials,
        };
        (head, bytes)
    }

    /// The head and body of a request that is sent once.
    pub(super) fn into_streamed_parts(self) -> (Head, Body) {
        let mut headers = self.headers;
        let (payload, body) = match self.payload {
            Payload::Empty => (PayloadSignature::Unsigned, Body::empty()),
            Payload::Buffered { bytes, .. } => (PayloadSignature::Unsigned, Body::full(bytes)),
            Payload::Streamed {
                body,
                len,
                checksum: false,
            } => {
                headers.insert(CONTENT_LENGTH, len.into());
                (PayloadSignature::Unsigned, body)
            }
            Payload::Streamed {
                body,
                len,
                checksum: true,
            } => {
                frame_with_trailer(&mut headers, len);
                (
                    PayloadSignature::UnsignedWithTrailer,
                    Body::new(TrailerBody::new(body, len)),
                )
            }
        };
        let head = Head {
            method: self.method,
            bucket: self.bucket,
            key: self.key,
            query: self.query,
            headers,
            payload,
            credentials: self.credentials,
        };
        (head, body)
    }
}

impl Head {
    /// Whether the request asks the upstream to decide atomically on the state of the key: then a
    /// second attempt could be refused because of the first.
    pub fn is_conditional(&self) -> bool {
        self.headers.contains_key(IF_MATCH) || self.headers.contains_key(IF_NONE_MATCH)
    }
}

/// Announces aws-chunked framing with a checksum trailer over `len` stored bytes.
fn frame_with_trailer(headers: &mut HeaderMap, len: u64) {
    let encoding = match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        Some(encoding) => [b"aws-chunked,", encoding].concat(),
        None => b"aws-chunked".to_vec(),
    };
    if let Ok(encoding) = HeaderValue::from_bytes(&encoding) {
        headers.insert(CONTENT_ENCODING, encoding);
    }
    headers.insert(CONTENT_LENGTH, trailer::framed_len(len).into());
    headers.insert(
        HeaderName::from_static("x-amz-decoded-content-length"),
        len.into(),
    );
    insert(headers, "x-amz-trailer", trailer::TRAILER_NAME);
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
