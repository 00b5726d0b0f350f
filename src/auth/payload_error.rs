//! Why a body is not what its head claims: one variant per S3 error, with what its document shows.

use std::borrow::Cow;

use thiserror::Error;

use crate::s3::{checksum::ChecksumAlgorithm, chunked::ChunkedError};

/// A refused body. Every variant is the client's fault, but [`PayloadError::AlreadyRefused`].
///
/// The first line of each variant's doc names the S3 error code and the HTTP status;
/// [`PayloadError::message`] is the text of the S3 error document, [`PayloadError::reason`] a
/// metric label. Display is for logs.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayloadError {
    /// `InternalError`, 500. A verifier was used after it refused the body: the proxy's fault.
    #[error("payload verifier was used after an error")]
    AlreadyRefused,
    /// `BadDigest`, 400. The `x-amz-checksum-*` header or trailer does not match.
    #[error("{} does not match", algorithm.name())]
    BadChecksum {
        /// Whose value.
        algorithm: ChecksumAlgorithm,
    },
    /// `BadDigest`, 400; the document has `ExpectedDigest` and `CalculatedDigest`.
    #[error("content-md5 does not match")]
    BadContentMd5 {
        /// As sent, base64.
        expected: String,
        /// Ours, base64.
        calculated: String,
    },
    /// `SignatureDoesNotMatch`, 403. The signature of a chunk or of the trailers.
    #[error("chunk signature does not match")]
    ChunkSignature,
    /// `IncompleteBody`, 400, for broken framing; `MalformedTrailerError`, 400, for
    /// [`ChunkedError::Trailer`] and [`ChunkedError::TooManyTrailers`], also where a trailer was
    /// not announced.
    #[error("malformed aws-chunked body: {0}")]
    Chunked(ChunkedError),
    /// `InvalidRequest`, 400. `Content-Encoding` says aws-chunked, `x-amz-content-sha256` does not.
    #[error("aws-chunked content encoding without a streaming payload mode")]
    ChunkedWithoutMode,
    /// `IncompleteBody`, 400. More or fewer bytes than announced.
    #[error("body has {received} bytes or more, {expected} were announced")]
    IncompleteBody {
        /// Plaintext bytes announced.
        expected: u64,
        /// Plaintext bytes seen, counting no further than the first excess.
        received: u64,
    },
    /// `InvalidRequest`, 400. A checksum header is not base64 of the right length.
    #[error("{} header is invalid", algorithm.name())]
    InvalidChecksum {
        /// Whose header.
        algorithm: ChecksumAlgorithm,
    },
    /// `InvalidDigest`, 400. `Content-MD5` is not base64 of 16 bytes, or there twice.
    #[error("content-md5 is invalid")]
    InvalidContentMd5,
    /// `InvalidArgument`, 400. A length is no number.
    #[error("body length is not a number")]
    InvalidLength,
    /// `InvalidRequest`, 400. `x-amz-sdk-checksum-algorithm` is unknown or names another
    /// algorithm than the checksum that is there.
    #[error("x-amz-sdk-checksum-algorithm is invalid")]
    InvalidSdkAlgorithm,
    /// `InvalidRequest`, 400. A checksum trailer is not base64 of the right length.
    #[error("{} trailer is invalid", algorithm.name())]
    InvalidTrailer {
        /// Whose trailer.
        algorithm: ChecksumAlgorithm,
    },
    /// `MissingContentLength`, 411. Neither `Content-Length` nor, for chunked bodies,
    /// `x-amz-decoded-content-length`.
    #[error("body length is missing")]
    MissingLength,
    /// `MalformedTrailerError`, 400. The announced trailer or its signature did not come.
    #[error("announced trailer is missing")]
    MissingTrailer,
    /// `InvalidRequest`, 400. More than one checksum in headers and trailers.
    #[error("more than one checksum")]
    MultipleChecksums,
    /// `InvalidRequest`, 400. `x-amz-sdk-checksum-algorithm` without any checksum.
    #[error("x-amz-sdk-checksum-algorithm without a checksum")]
    SdkAlgorithmWithoutChecksum,
    /// `XAmzContentSHA256Mismatch`, 400; the document has `ClientComputedContentSHA256` and
    /// `S3ComputedContentSHA256`.
    #[error("payload hash does not match")]
    Sha256Mismatch {
        /// As sent, hex.
        claimed: String,
        /// Ours, hex.
        computed: String,
    },
    /// `InvalidRequest`, 400. Signed chunks on a request that is not signed.
    #[error("signed chunks on an unsigned request")]
    SignedChunksUnsignedRequest,
    /// `InvalidRequest`, 400. A trailer mode without `x-amz-trailer`.
    #[error("x-amz-trailer is missing")]
    TrailersNotAnnounced,
    /// `InvalidRequest`, 400. `x-amz-trailer` in a mode without trailers.
    #[error("x-amz-trailer without trailers")]
    UnexpectedTrailerHeader,
    /// `NotImplemented`, 501. A checksum algorithm we cannot compute.
    #[error("checksum algorithm is not implemented")]
    UnsupportedChecksum,
    /// `InvalidRequest`, 400. `x-amz-trailer` names something that is no checksum.
    #[error("x-amz-trailer is not supported")]
    UnsupportedTrailer,
}

impl PayloadError {
    /// The `Message` of the S3 error document.
    pub fn message(&self) -> Cow<'static, str> {
        let text = match self {
            Self::AlreadyRefused => "We encountered an internal error. Please try again.",
            Self::BadChecksum { algorithm } => {
                let name = algorithm.name();
                return format!("The {name} you specified did not match the calculated checksum.")
                    .into();
            }
            Self::BadContentMd5 { .. } => {
                "The Content-MD5 you specified did not match what we received."
            }
            Self::ChunkSignature => {
                "The request signature we calculated does not match the signature you provided. \
                 Check your key and signing method."
            }
            Self::Chunked(ChunkedError::Trailer | ChunkedError::TooManyTrailers)
            | Self::MissingTrailer => {
                "The request contained trailing data that was not well-formed or did not conform \
                 to our published schema."
            }
            Self::Chunked(_) => "The request body terminated unexpectedly",
            Self::ChunkedWithoutMode => {
                "The Content-Encoding aws-chunked needs a STREAMING value of x-amz-content-sha256."
            }
            Self::IncompleteBody { .. } => {
                "You did not provide the number of bytes specified by the Content-Length HTTP \
                 header"
            }
            Self::InvalidChecksum { algorithm } => {
                return format!("Value for {} header is invalid.", algorithm.header()).into();
            }
            Self::InvalidContentMd5 => "The Content-MD5 you specified was invalid.",
            Self::InvalidLength => "The length of the body must be a number.",
            Self::InvalidSdkAlgorithm => {
                "Value for x-amz-sdk-checksum-algorithm header is invalid."
            }
            Self::InvalidTrailer { algorithm } => {
                return format!(
                    "Value for {} trailing header is invalid.",
                    algorithm.header()
                )
                .into();
            }
            Self::MissingLength => "You must provide the Content-Length HTTP header.",
            Self::MultipleChecksums => {
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not \
                 allowed."
            }
            Self::SdkAlgorithmWithoutChecksum => {
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* \
                 or x-amz-trailer headers were found."
            }
            Self::Sha256Mismatch { .. } => {
                "The provided 'x-amz-content-sha256' header does not match what was computed."
            }
            Self::SignedChunksUnsignedRequest => {
                "A signed streaming payload needs a signed request."
            }
            Self::TrailersNotAnnounced => "Missing required header for this request: x-amz-trailer",
            Self::UnexpectedTrailerHeader | Self::UnsupportedTrailer => {
                "The value specified in the x-amz-trailer header is not supported"
            }
            Self::UnsupportedChecksum => {
                "A header you provided implies functionality that is not implemented."
            }
        };
        text.into()
    }

    /// A label for metrics: one of a fixed set.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::AlreadyRefused => "internal",
            Self::BadChecksum { .. } => "checksum",
            Self::BadContentMd5 { .. } => "content_md5",
            Self::ChunkSignature => "chunk_signature",
            Self::Chunked(_) | Self::MissingTrailer => "framing",
            Self::IncompleteBody { .. } => "length",
            Self::Sha256Mismatch { .. } => "content_sha256",
            Self::ChunkedWithoutMode
            | Self::InvalidChecksum { .. }
            | Self::InvalidContentMd5
            | Self::InvalidLength
            | Self::InvalidSdkAlgorithm
            | Self::InvalidTrailer { .. }
            | Self::MissingLength
            | Self::MultipleChecksums
            | Self::SdkAlgorithmWithoutChecksum
            | Self::SignedChunksUnsignedRequest
            | Self::TrailersNotAnnounced
            | Self::UnexpectedTrailerHeader
            | Self::UnsupportedChecksum
            | Self::UnsupportedTrailer => "claims",
        }
    }
}

impl From<ChunkedError> for PayloadError {
    fn from(error: ChunkedError) -> Self {
        match error {
            ChunkedError::Failed => Self::AlreadyRefused,
            ChunkedError::ChunkEnd
            | ChunkedError::Excess
            | ChunkedError::Header
            | ChunkedError::LineTooLong
            | ChunkedError::TooManyTrailers
            | ChunkedError::Trailer
            | ChunkedError::Truncated => Self::Chunked(error),
        }
    }
}
