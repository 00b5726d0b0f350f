//! The object format, version 1: pure and sans-IO.
//!
//! Bytes in, bytes out: no clock, no randomness, no sockets. Random values (data key, object id,
//! salts) are arguments, and the caller brings the buffers.
//!
//! | to | use |
//! |---|---|
//! | write one object | [`HeaderPrefix`], [`EnvelopeHead`], [`ContentHeader::new`], [`SingleSealer`], [`Metadata::pairs`] |
//! | read it | [`Metadata::parse`], [`ContentHeader::verify`], [`Opener`] |
//! | plan a range | [`single`], [`ColdRead`], [`SegmentedLayout`] |
//! | write one part of an upload | [`UploadFields`], [`UploadId`], [`SegmentSealer`] |
//! | translate sizes | [`sizes`] |
//!
#![doc = include_str!("spec.md")]

mod chunk;
mod cipher;
mod client_context;
mod cursor;
mod derive;
mod envelope;
mod header;
pub mod metadata;
mod nonce;
mod open;
mod seal;
mod segment;
pub mod single;
pub mod sizes;
mod trailer;
mod upload_id;
mod walk;

#[cfg(test)]
mod tests;

pub use chunk::{ChunkSpan, Chunking, SpanPlan};
pub use cipher::{BulkCipher, Tag};
pub use client_context::{ClientContext, ClientContextError, MAX_CLIENT_CONTEXT_LEN};
pub use derive::{ContentKey, FreshContentKey};
pub use envelope::{
    BUCKET_KEY_ID_LEN, EnvelopeError, EnvelopeHead, KeyEnvelope, WrapKind, Wrapped,
};
pub use header::{ContentHeader, Ending, HeaderError, HeaderPrefix, Layout};
pub use metadata::{Metadata, MetadataError};
pub use open::{OpenError, Opened, Opener};
pub use seal::{SealError, Sealer, SegmentSealer, SingleSealer};
pub use segment::{PartNumber, SegmentError, SegmentHead, is_terminal};
pub use sizes::{
    SizeError, listed_plaintext_len, segment_plaintext_len, segment_stored_len,
    single_plaintext_len, single_stored_len,
};
pub use trailer::{SealedChecksum, Trailer, TrailerError};
pub use upload_id::{ChecksumType, UPLOAD_ID_PREFIX, UploadFields, UploadId, UploadIdError};
pub use walk::{Announced, ColdRead, OpenEnds, SegmentedLayout, SegmentedRange, Walk, WalkError};

/// The version byte of every record of this format.
pub const FORMAT_VERSION: u8 = 1;

/// The one suite of version 1: AES-256-GCM with HKDF-SHA-512.
pub const SUITE: u8 = 1;

/// Bytes of a content header.
pub const HEADER_LEN: usize = 72;

/// Bytes of the content header that keys are derived from: all but the commitment.
pub const PREFIX_LEN: usize = 40;

/// Bytes of an object id.
pub const OBJECT_ID_LEN: usize = 32;

/// Bytes of a GCM tag.
pub const TAG_LEN: usize = 16;

/// Plaintext bytes of a chunk in layout 01.
pub const CHUNK_LEN: usize = 1 << 16;

/// Bytes of the trailer before it is sealed.
pub const TRAILER_PLAINTEXT_LEN: usize = 112;

/// Stored bytes of a trailer.
pub const TRAILER_LEN: usize = TRAILER_PLAINTEXT_LEN + TAG_LEN;

/// Tag slots of a segment, whatever its size: the chunk grows so that they suffice.
pub const TAG_SLOTS: u16 = 1024;

/// Bytes of a segment header.
pub const SEGMENT_HEADER_LEN: usize = 128;

/// Stored bytes of a segment beyond its plaintext.
pub const SEGMENT_OVERHEAD: u64 =
    SEGMENT_HEADER_LEN as u64 + TAG_SLOTS as u64 * TAG_LEN as u64 + TRAILER_LEN as u64;

/// The highest part number of an upload (S3).
pub const LAST_PART: u32 = 10_000;

/// The smallest part that S3 takes anywhere but last, in stored bytes.
pub const MIN_PART_STORED_LEN: u64 = 5 << 20;

/// The largest body of one PutObject or UploadPart (S3), in stored bytes.
pub const MAX_PUT_STORED_LEN: u64 = 5 << 30;

/// The largest plaintext of one PutObject, in bytes.
pub const MAX_SINGLE_LEN: u64 = 5_367_398_576;

/// The largest plaintext of one part, in bytes.
pub const MAX_SEGMENT_LEN: u64 = MAX_PUT_STORED_LEN - SEGMENT_OVERHEAD;

const _: () = {
    assert!(PREFIX_LEN == 8 + OBJECT_ID_LEN);
    assert!(HEADER_LEN == PREFIX_LEN + 32);
    assert!(TRAILER_LEN == 128);
    assert!(SEGMENT_OVERHEAD == 16_640);
    assert!(MAX_SEGMENT_LEN == 5_368_692_480);
    // The largest single object fills a PutObject to the byte: one more does not fit.
    let chunks = MAX_SINGLE_LEN.div_ceil(CHUNK_LEN as u64);
    let stored = MAX_SINGLE_LEN + chunks * TAG_LEN as u64 + TRAILER_LEN as u64;
    assert!(stored == MAX_PUT_STORED_LEN);
    // Chunk indexes are 32 bits wide, and a chunk length fits in memory on every platform.
    assert!(chunks <= u32::MAX as u64);
    assert!(usize::BITS >= 32);
};
