//! Holds a body to its claims while it streams by; the only maker of a [`PayloadProof`].

use std::fmt;

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};

use super::{
    chunk::{ChunkChain, ChunkChecks},
    claims::BodyClaims,
    payload_error::PayloadError,
};
use crate::s3::{
    checksum::{Checksum, ChecksumAlgorithm, Hasher},
    chunked::{Decoder, Event, Framing},
};

/// Turns wire bytes into plaintext and checks every claim the request head made.
///
/// Plaintext is handed on as slices of what came in, before the claims are decided: the receiver
/// holds back the tail until [`PayloadVerifier::finish`] yields the proof.
pub struct PayloadVerifier {
    tally: Tally,
    sha256: Option<[u8; 32]>,
    content_md5: Option<[u8; 16]>,
    checksum: Option<Checksum>,
    chunked: Option<(Decoder, ChunkChecks)>,
    /// Whose value the headers or the trailer claim.
    algorithm: Option<ChecksumAlgorithm>,
    /// Computed without a claim.
    wanted: Option<ChecksumAlgorithm>,
    refused: bool,
}

impl PayloadVerifier {
    pub(super) fn new(
        claims: &BodyClaims,
        chain: Option<&ChunkChain>,
    ) -> Result<Self, PayloadError> {
        let mut tally = Tally::new(claims.plaintext_len);
        if claims.sha256.is_some() {
            tally.hash(ChecksumAlgorithm::Sha256);
        }
        if claims.content_md5.is_some() {
            tally.hash(ChecksumAlgorithm::Md5);
        }
        let announced = claims.chunked.and_then(|chunked| chunked.announced);
        let algorithm = claims.checksum.map(|checksum| checksum.algorithm());
        let algorithm = algorithm.or(announced);
        if let Some(algorithm) = algorithm {
            tally.hash(algorithm);
        }
        let chunked = match claims.chunked {
            Some(chunked) => {
                let framing = Framing {
                    signed: chunked.signed,
                    trailers: chunked.trailers,
                };
                Some((Decoder::new(framing), ChunkChecks::new(chunked, chain)?))
            }
            None => None,
        };
        Ok(Self {
            tally,
            sha256: claims.sha256,
            content_md5: claims.content_md5,
            checksum: claims.checksum,
            chunked,
            algorithm,
            wanted: None,
            refused: false,
        })
    }

    /// Holds a body that we have opened ourselves, so that nobody claims anything about it, to its
    /// length; `checksum` is computed of it, and shown as if it had been claimed.
    pub fn of_own(plaintext_len: u64, checksum: Option<ChecksumAlgorithm>) -> Self {
        let mut tally = Tally::new(plaintext_len);
        if let Some(algorithm) = checksum {
            tally.hash(algorithm);
        }
        Self {
            tally,
            sha256: None,
            content_md5: None,
            checksum: None,
            chunked: None,
            algorithm: None,
            wanted: checksum,
            refused: false,
        }
    }

    /// Bytes the body has once it is decoded: an input of the object's key.
    pub fn plaintext_len(&self) -> u64 {
        self.tally.expected
    }

    /// The algorithm of the checksum that is claimed, in a header or the trailer.
    pub fn algorithm(&self) -> Option<ChecksumAlgorithm> {
        self.algorithm
    }

    /// Takes the next bytes as they came over the wire and hands on the plaintext in them.
    ///
    /// An error is final: neither `push` nor `finish` succeeds afterwards.
    pub fn push(&mut self, wire: Bytes, out: &mut impl FnMut(Bytes)) -> Result<(), PayloadError> {
        if self.refused {
            return Err(PayloadError::AlreadyRefused);
        }
        let pushed = match &mut self.chunked {
            None => self.tally.take(wire, out),
            Some((decoder, checks)) => {
                let tally = &mut self.tally;
                decoder.push(wire, &mut |event| match event {
                    Event::Chunk { len, signature } => {
                        checks.begin_chunk(signature);
                        tally.expect(len)
                    }
                    Event::Data(data) => {
                        checks.data(&data);
                        tally.take(data, out)
                    }
                    Event::ChunkEnd => checks.end_chunk(),
                    Event::Trailer { name, value } => checks.trailer(name, value),
                })
            }
        };
        self.refused = pushed.is_err();
        pushed
    }

    /// The body is over: whether every claim held.
    pub fn finish(self) -> Result<PayloadProof, PayloadError> {
        if self.refused {
            return Err(PayloadError::AlreadyRefused);
        }
        let trailer = match self.chunked {
            Some((decoder, checks)) => {
                decoder.finish()?;
                checks.finish()?
            }
            None => None,
        };
        self.tally.complete()?;
        let plaintext_len = self.tally.expected;
        let computed = self.tally.finish();
        check_sha256(self.sha256, &computed)?;
        let content_md5 = check_content_md5(self.content_md5, &computed)?;
        let wanted = self.wanted;
        let wanted = wanted.and_then(|algorithm| find(&computed, algorithm));
        let checksum = self.checksum.or(trailer).or(wanted);
        if let Some(claimed) = checksum {
            let algorithm = claimed.algorithm();
            if find(&computed, algorithm) != Some(claimed) {
                return Err(PayloadError::BadChecksum { algorithm });
            }
        }
        Ok(PayloadProof {
            plaintext_len,
            content_md5,
            checksum,
        })
    }
}

/// Counts only: claimed hashes of plaintext do not belong into logs.
impl fmt::Debug for PayloadVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayloadVerifier")
            .field("expected", &self.tally.expected)
            .field("received", &self.tally.received)
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

/// A whole body passed and every claim about it held (or none was made).
///
/// Made by [`PayloadVerifier::finish`] alone and not `Clone`: holding one is the permission to
/// complete an object.
#[derive(Debug)]
#[must_use]
pub struct PayloadProof {
    plaintext_len: u64,
    content_md5: Option<Checksum>,
    checksum: Option<Checksum>,
}

impl PayloadProof {
    /// Bytes of plaintext that passed.
    pub fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// The MD5 that `Content-MD5` claimed, if it did.
    pub fn content_md5(&self) -> Option<&Checksum> {
        self.content_md5.as_ref()
    }

    /// The checksum that the one `x-amz-checksum-*` header or trailer claimed, if one did.
    pub fn checksum(&self) -> Option<&Checksum> {
        self.checksum.as_ref()
    }
}

/// Counts plaintext and hashes it, once per algorithm that somebody claims.
struct Tally {
    expected: u64,
    /// `received <= expected`
    received: u64,
    hashers: Vec<Hasher>,
}

impl Tally {
    fn new(expected: u64) -> Self {
        Self {
            expected,
            received: 0,
            hashers: Vec::new(),
        }
    }

    /// The hash of an algorithm will be wanted; twice is once.
    fn hash(&mut self, algorithm: ChecksumAlgorithm) {
        if self
            .hashers
            .iter()
            .all(|hasher| hasher.algorithm() != algorithm)
        {
            self.hashers.extend(algorithm.hasher());
        }
    }

    /// More than announced is refused before it is read.
    fn expect(&self, len: u64) -> Result<(), PayloadError> {
        if len <= self.expected - self.received {
            return Ok(());
        }
        Err(PayloadError::IncompleteBody {
            expected: self.expected,
            received: self.received.saturating_add(len),
        })
    }

    fn take(&mut self, data: Bytes, out: &mut impl FnMut(Bytes)) -> Result<(), PayloadError> {
        self.expect(data.len() as u64)?;
        self.received += data.len() as u64;
        for hasher in &mut self.hashers {
            hasher.update(&data);
        }
        if !data.is_empty() {
            out(data);
        }
        Ok(())
    }

    fn complete(&self) -> Result<(), PayloadError> {
        if self.received == self.expected {
            return Ok(());
        }
        Err(PayloadError::IncompleteBody {
            expected: self.expected,
            received: self.received,
        })
    }

    fn finish(self) -> Vec<Checksum> {
        self.hashers.into_iter().map(Hasher::finish).collect()
    }
}

fn check_sha256(claimed: Option<[u8; 32]>, computed: &[Checksum]) -> Result<(), PayloadError> {
    let Some(claimed) = claimed else {
        return Ok(());
    };
    let computed = find(computed, ChecksumAlgorithm::Sha256);
    let computed = computed.as_ref().map_or(&[][..], Checksum::bytes);
    if computed == claimed {
        return Ok(());
    }
    Err(PayloadError::Sha256Mismatch {
        claimed: HEXLOWER.encode(&claimed),
        computed: HEXLOWER.encode(computed),
    })
}

fn check_content_md5(
    claimed: Option<[u8; 16]>,
    computed: &[Checksum],
) -> Result<Option<Checksum>, PayloadError> {
    let Some(claimed) = claimed else {
        return Ok(None);
    };
    let computed = find(computed, ChecksumAlgorithm::Md5);
    let bytes = computed.as_ref().map_or(&[][..], Checksum::bytes);
    if bytes == claimed {
        return Ok(computed);
    }
    Err(PayloadError::BadContentMd5 {
        expected: BASE64.encode(&claimed),
        calculated: BASE64.encode(bytes),
    })
}

fn find(computed: &[Checksum], algorithm: ChecksumAlgorithm) -> Option<Checksum> {
    computed
        .iter()
        .find(|checksum| checksum.algorithm() == algorithm)
        .copied()
}

#[cfg(test)]
mod tests;
