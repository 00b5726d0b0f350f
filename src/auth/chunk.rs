//! The signature chain of signed chunks and their trailers, and the claims that end a chunked body.

use std::{fmt, sync::Arc};

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;

use super::{claims::ChunkedClaims, payload_error::PayloadError};
use crate::s3::{
    checksum::{Checksum, ChecksumAlgorithm},
    chunked::{ChunkSignature, ChunkedError},
    sigv4::{EMPTY_SHA256, SigningKey, sha256_hex},
};

/// Every signature signs the one before it; the first one is the request's.
#[derive(Clone)]
pub(super) struct ChunkChain {
    key: Arc<SigningKey>,
    timestamp: String,
    scope: String,
    previous: String,
}

impl ChunkChain {
    pub(super) fn new(key: Arc<SigningKey>, timestamp: &str, scope: &str, seed: &str) -> Self {
        Self {
            key,
            timestamp: timestamp.to_owned(),
            scope: scope.to_owned(),
            previous: seed.to_owned(),
        }
    }

    fn verify_chunk(&mut self, data: Context, claimed: &[u8]) -> Result<(), PayloadError> {
        let hash = HEXLOWER.encode(data.finish().as_ref());
        self.verify("AWS4-HMAC-SHA256-PAYLOAD", &[EMPTY_SHA256, &hash], claimed)
    }

    fn verify_trailer(&mut self, trailers: &[u8], claimed: &[u8]) -> Result<(), PayloadError> {
        let hash = sha256_hex(trailers);
        self.verify("AWS4-HMAC-SHA256-TRAILER", &[&hash], claimed)
    }

    fn verify(
        &mut self,
        algorithm: &str,
        hashes: &[&str],
        claimed: &[u8],
    ) -> Result<(), PayloadError> {
        let head = [algorithm, &self.timestamp, &self.scope, &self.previous].join("\n");
        let string_to_sign = [head.as_str(), &hashes.join("\n")].join("\n");
        if !self.key.verify(string_to_sign.as_bytes(), claimed) {
            return Err(PayloadError::ChunkSignature);
        }
        // It is equal to ours, hence lower-case hex.
        self.previous = String::from_utf8_lossy(claimed).into_owned();
        Ok(())
    }
}

impl fmt::Debug for ChunkChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChunkChain([redacted])")
    }
}

/// What a chunked body claims about itself, checked as it comes.
pub(super) struct ChunkChecks {
    chain: Option<ChunkChain>,
    current: Option<Current>,
    announced: Option<ChecksumAlgorithm>,
    /// A signature of the trailers must come, and nothing after it.
    trailer_signature_due: bool,
    /// Canonical form of the trailers so far.
    canonical: Vec<u8>,
    received: Option<Checksum>,
}

impl ChunkChecks {
    pub(super) fn new(
        claims: ChunkedClaims,
        chain: Option<&ChunkChain>,
    ) -> Result<Self, PayloadError> {
        let chain = match (claims.signed, chain) {
            (false, _) => None,
            (true, Some(chain)) => Some(chain.clone()),
            (true, None) => return Err(PayloadError::SignedChunksUnsignedRequest),
        };
        Ok(Self {
            trailer_signature_due: claims.signed && claims.trailers,
            announced: claims.announced,
            chain,
            current: None,
            canonical: Vec::new(),
            received: None,
        })
    }

    pub(super) fn begin_chunk(&mut self, signature: Option<ChunkSignature>) {
        self.current = signature.map(|claimed| Current {
            claimed,
            data: Context::new(&SHA256),
        });
    }

    pub(super) fn data(&mut self, data: &[u8]) {
        if let Some(current) = &mut self.current {
            current.data.update(data);
        }
    }

    pub(super) fn end_chunk(&mut self) -> Result<(), PayloadError> {
        match (&mut self.chain, self.current.take()) {
            (Some(chain), Some(current)) => chain.verify_chunk(current.data, &current.claimed.0),
            (None, None) => Ok(()),
            // The decoder demands a signature exactly where chunks are signed.
            (Some(_), None) | (None, Some(_)) => Err(PayloadError::ChunkSignature),
        }
    }

    pub(super) fn trailer(&mut self, name: &str, value: &str) -> Result<(), PayloadError> {
        let unannounced = PayloadError::Chunked(ChunkedError::Trailer);
        if name.eq_ignore_ascii_case(TRAILER_SIGNATURE) {
            let Some(chain) = self.chain.as_mut().filter(|_| self.trailer_signature_due) else {
                return Err(unannounced);
            };
            self.trailer_signature_due = false;
            return chain.verify_trailer(&self.canonical, value.as_bytes());
        }
        let behind_signature = self.chain.is_some() && !self.trailer_signature_due;
        let expected = self
            .announced
            .filter(|_| self.received.is_none() && !behind_signature);
        match expected {
            Some(algorithm) if name.eq_ignore_ascii_case(algorithm.header()) => {
                for part in [algorithm.header(), ":", value, "\n"] {
                    self.canonical.extend_from_slice(part.as_bytes());
                }
                let checksum = Checksum::parse(algorithm, value.as_bytes())
                    .map_err(|_| PayloadError::InvalidTrailer { algorithm })?;
                self.received = Some(checksum);
                Ok(())
            }
            Some(_) | None => Err(unannounced),
        }
    }

    /// Nothing announced may be missing; the checksum trailer, if one was.
    pub(super) fn finish(self) -> Result<Option<Checksum>, PayloadError> {
        if self.trailer_signature_due || self.received.is_none() && self.announced.is_some() {
            return Err(PayloadError::MissingTrailer);
        }
        Ok(self.received)
    }
}

/// A signed chunk whose data is coming.
struct Current {
    claimed: ChunkSignature,
    data: Context,
}

/// Carries the signature of the trailers.
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";
