//! What a request head claims about its body: mode, length, hashes, trailers.

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use http::{HeaderMap, HeaderValue, header::CONTENT_LENGTH};

use super::{error::AuthError, payload_error::PayloadError};
use crate::s3::checksum::{Checksum, ChecksumAlgorithm};

/// The promise of `x-amz-content-sha256`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadClaim {
    /// The SHA-256 of the raw body.
    Sha256([u8; 32]),
    /// aws-chunked, every chunk signed; trailers, signed too, if so.
    SignedChunks {
        /// Whether trailers follow.
        trailers: bool,
    },
    /// A raw body with no promise.
    Unsigned,
    /// aws-chunked, nothing signed, with trailers.
    UnsignedChunks,
}

impl PayloadClaim {
    pub(super) fn parse(value: &str) -> Result<Self, AuthError> {
        match value {
            UNSIGNED_PAYLOAD => Ok(Self::Unsigned),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Ok(Self::SignedChunks { trailers: false }),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => {
                Ok(Self::SignedChunks { trailers: true })
            }
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Ok(Self::UnsignedChunks),
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"
            | "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER" => Err(AuthError::SigV4a),
            hex => HEXLOWER_PERMISSIVE
                .decode(hex.as_bytes())
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .map(Self::Sha256)
                .ok_or_else(|| AuthError::InvalidContentSha256 {
                    value: hex.to_owned(),
                }),
        }
    }
}

/// Everything the verifier holds the body to.
pub(super) struct BodyClaims {
    pub(super) plaintext_len: u64,
    pub(super) sha256: Option<[u8; 32]>,
    pub(super) content_md5: Option<[u8; 16]>,
    /// The one `x-amz-checksum-*` header.
    pub(super) checksum: Option<Checksum>,
    /// `None` for raw bodies.
    pub(super) chunked: Option<ChunkedClaims>,
}

/// How an aws-chunked body is framed and what must follow it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkedClaims {
    pub(super) signed: bool,
    pub(super) trailers: bool,
    /// The checksum that `x-amz-trailer` announces.
    pub(super) announced: Option<ChecksumAlgorithm>,
}

impl BodyClaims {
    pub(super) fn parse(payload: PayloadClaim, headers: &HeaderMap) -> Result<Self, PayloadError> {
        let mut claims = Self {
            plaintext_len: 0,
            sha256: None,
            content_md5: content_md5(headers)?,
            checksum: checksum_header(headers)?,
            chunked: None,
        };
        match payload {
            PayloadClaim::Sha256(hash) => claims.sha256 = Some(hash),
            PayloadClaim::SignedChunks { trailers } => claims.chunk(headers, true, trailers)?,
            PayloadClaim::Unsigned => {}
            PayloadClaim::UnsignedChunks => claims.chunk(headers, false, true)?,
        }
        if claims.chunked.is_none() {
            claims.plaintext_len = raw_length(headers)?;
        }
        let announced = claims.chunked.and_then(|chunked| chunked.announced);
        if claims.checksum.is_some() && announced.is_some() {
            return Err(PayloadError::MultipleChecksums);
        }
        let algorithm = claims.checksum.map(|checksum| checksum.algorithm());
        check_sdk_algorithm(headers, algorithm.or(announced))?;
        Ok(claims)
    }

    fn chunk(
        &mut self,
        headers: &HeaderMap,
        signed: bool,
        trailers: bool,
    ) -> Result<(), PayloadError> {
        let announced = match (trailers, announced(headers)?) {
            (true, None) => return Err(PayloadError::TrailersNotAnnounced),
            (false, Some(_)) => return Err(PayloadError::UnexpectedTrailerHeader),
            (_, announced) => announced,
        };
        self.plaintext_len = number(headers.get("x-amz-decoded-content-length"))?;
        self.chunked = Some(ChunkedClaims {
            signed,
            trailers,
            announced,
        });
        Ok(())
    }
}

/// A body that says it is aws-chunked but has no mode for it must not be stored as it comes.
fn raw_length(headers: &HeaderMap) -> Result<u64, PayloadError> {
    if headers.contains_key("x-amz-trailer") {
        return Err(PayloadError::UnexpectedTrailerHeader);
    }
    let tokens = headers.get_all(http::header::CONTENT_ENCODING).iter();
    let chunked = tokens
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim_ascii().eq_ignore_ascii_case("aws-chunked"));
    if chunked {
        return Err(PayloadError::ChunkedWithoutMode);
    }
    number(headers.get(CONTENT_LENGTH))
}

fn number(value: Option<&HeaderValue>) -> Result<u64, PayloadError> {
    let text = value.ok_or(PayloadError::MissingLength)?.as_bytes();
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits
        .then(|| std::str::from_utf8(text).ok()?.parse().ok())
        .flatten()
        .ok_or(PayloadError::InvalidLength)
}

fn content_md5(headers: &HeaderMap) -> Result<Option<[u8; 16]>, PayloadError> {
    let mut values = headers.get_all("content-md5").iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => BASE64
            .decode(value.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Some)
            .ok_or(PayloadError::InvalidContentMd5),
        (Some(_), Some(_)) => Err(PayloadError::InvalidContentMd5),
    }
}

fn checksum_header(headers: &HeaderMap) -> Result<Option<Checksum>, PayloadError> {
    let mut found = None;
    for (name, value) in headers {
        let name = name.as_str();
        if !name.starts_with("x-amz-checksum-") || NOT_A_VALUE.contains(&name) {
            continue;
        }
        let algorithm =
            ChecksumAlgorithm::from_header(name).ok_or(PayloadError::UnsupportedChecksum)?;
        if found.is_some() {
            return Err(PayloadError::MultipleChecksums);
        }
        let value = Checksum::parse(algorithm, value.as_bytes())
            .map_err(|_| PayloadError::InvalidChecksum { algorithm })?;
        found = Some(computable(algorithm).map(|_| value)?);
    }
    Ok(found)
}

/// `x-amz-trailer`: at most one checksum, no other name.
fn announced(headers: &HeaderMap) -> Result<Option<ChecksumAlgorithm>, PayloadError> {
    let Some(value) = headers.get("x-amz-trailer") else {
        return Ok(None);
    };
    let mut names = value
        .to_str()
        .map_err(|_| PayloadError::UnsupportedTrailer)?
        .split(',')
        .map(|name| ChecksumAlgorithm::from_header(name.trim_ascii()));
    match (names.next().flatten(), names.next()) {
        (Some(algorithm), None) => computable(algorithm).map(Some),
        (Some(_), Some(Some(_))) => Err(PayloadError::MultipleChecksums),
        (None, _) | (_, Some(None)) => Err(PayloadError::UnsupportedTrailer),
    }
}

fn check_sdk_algorithm(
    headers: &HeaderMap,
    given: Option<ChecksumAlgorithm>,
) -> Result<(), PayloadError> {
    let Some(value) = headers.get("x-amz-sdk-checksum-algorithm") else {
        return Ok(());
    };
    let named = value.to_str().ok().and_then(ChecksumAlgorithm::from_name);
    match (named, given) {
        (Some(named), Some(given)) if named == given => Ok(()),
        (Some(_), None) => Err(PayloadError::SdkAlgorithmWithoutChecksum),
        (None, _) | (Some(_), Some(_)) => Err(PayloadError::InvalidSdkAlgorithm),
    }
}

fn computable(algorithm: ChecksumAlgorithm) -> Result<ChecksumAlgorithm, PayloadError> {
    match algorithm.hasher() {
        Some(_) => Ok(algorithm),
        None => Err(PayloadError::UnsupportedChecksum),
    }
}

/// `x-amz-content-sha256` of bodies without a promise.
pub(super) const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// Headers that share the prefix but hold no checksum.
const NOT_A_VALUE: [&str; 3] = [
    "x-amz-checksum-algorithm",
    "x-amz-checksum-mode",
    "x-amz-checksum-type",
];
