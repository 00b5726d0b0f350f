//! What a client is told whose body is not what its head claims.

use crate::auth::PayloadError;
use crate::s3::chunked::ChunkedError;
use crate::s3::error_code::{ErrorCode, S3Error};

/// The S3 error for a refused body.
pub(super) fn to_s3(error: &PayloadError) -> S3Error {
    let s3 = S3Error::with_message(code(error), error.message());
    match error {
        PayloadError::BadContentMd5 {
            expected,
            calculated,
        } => s3
            .detail("ExpectedDigest", expected)
            .detail("CalculatedDigest", calculated),
        PayloadError::Sha256Mismatch { claimed, computed } => s3
            .detail("ClientComputedContentSHA256", claimed)
            .detail("S3ComputedContentSHA256", computed),
        PayloadError::AlreadyRefused
        | PayloadError::BadChecksum { .. }
        | PayloadError::ChunkSignature
        | PayloadError::Chunked(_)
        | PayloadError::ChunkedWithoutMode
        | PayloadError::IncompleteBody { .. }
        | PayloadError::InvalidChecksum { .. }
        | PayloadError::InvalidContentMd5
        | PayloadError::InvalidLength
        | PayloadError::InvalidSdkAlgorithm
        | PayloadError::InvalidTrailer { .. }
        | PayloadError::MissingLength
        | PayloadError::MissingTrailer
        | PayloadError::MultipleChecksums
        | PayloadError::SdkAlgorithmWithoutChecksum
        | PayloadError::SignedChunksUnsignedRequest
        | PayloadError::TrailersNotAnnounced
        | PayloadError::UnexpectedTrailerHeader
        | PayloadError::UnsupportedChecksum
        | PayloadError::UnsupportedTrailer => s3,
    }
}

fn code(error: &PayloadError) -> ErrorCode {
    match error {
        PayloadError::AlreadyRefused => ErrorCode::InternalError,
        PayloadError::BadChecksum { .. } | PayloadError::BadContentMd5 { .. } => {
            ErrorCode::BadDigest
        }
        PayloadError::ChunkSignature => ErrorCode::SignatureDoesNotMatch,
        PayloadError::Chunked(ChunkedError::Trailer | ChunkedError::TooManyTrailers)
        | PayloadError::MissingTrailer => ErrorCode::MalformedTrailer,
        PayloadError::Chunked(_) | PayloadError::IncompleteBody { .. } => ErrorCode::IncompleteBody,
        PayloadError::InvalidContentMd5 => ErrorCode::InvalidDigest,
        PayloadError::InvalidLength => ErrorCode::InvalidArgument,
        PayloadError::MissingLength => ErrorCode::MissingContentLength,
        PayloadError::Sha256Mismatch { .. } => ErrorCode::XAmzContentSha256Mismatch,
        PayloadError::UnsupportedChecksum => ErrorCode::NotImplemented,
        PayloadError::ChunkedWithoutMode
        | PayloadError::InvalidChecksum { .. }
        | PayloadError::InvalidSdkAlgorithm
        | PayloadError::InvalidTrailer { .. }
        | PayloadError::MultipleChecksums
        | PayloadError::SdkAlgorithmWithoutChecksum
        | PayloadError::SignedChunksUnsignedRequest
        | PayloadError::TrailersNotAnnounced
        | PayloadError::UnexpectedTrailerHeader
        | PayloadError::UnsupportedTrailer => ErrorCode::InvalidRequest,
    }
}
