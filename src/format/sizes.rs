//! Stored size and plaintext size: each from the other, and from a listing alone.

use thiserror::Error;

use super::{
    CHUNK_LEN, LAST_PART, MAX_SEGMENT_LEN, MAX_SINGLE_LEN, SEGMENT_OVERHEAD, TAG_LEN, TRAILER_LEN,
};

/// A size that no object or part of this format has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SizeError {
    /// No plaintext has this stored size: the object was truncated, extended, or is not ours.
    #[error("no object of this format has a stored size of {stored} bytes")]
    Impossible {
        /// Bytes that the upstream holds.
        stored: u64,
    },
    /// The client sent more than one request can store.
    #[error("{plaintext} bytes are more than the {max} that one request can store")]
    TooLarge {
        /// Bytes of the client.
        plaintext: u64,
        /// The largest plaintext of one request.
        max: u64,
    },
}

impl SizeError {
    /// The name of the check that failed, as in the frozen vectors.
    pub fn check(&self) -> &'static str {
        match self {
            Self::Impossible { .. } => "impossible length",
            Self::TooLarge { .. } => "too large",
        }
    }
}

/// Stored size of a layout 01 object: `T = P + 16 * max(1, ceil(P / 65536)) + 128`.
pub fn single_stored_len(plaintext: u64) -> Result<u64, SizeError> {
    if plaintext > MAX_SINGLE_LEN {
        return Err(SizeError::TooLarge {
            plaintext,
            max: MAX_SINGLE_LEN,
        });
    }
    let chunks = plaintext.div_ceil(CHUNK).max(1);
    Ok(plaintext + chunks * TAG + TRAILER)
}

/// Plaintext size of a layout 01 object: the inverse of [`single_stored_len`], and an error for
/// every size that it does not return.
pub fn single_plaintext_len(stored: u64) -> Result<u64, SizeError> {
    let impossible = SizeError::Impossible { stored };
    let body = stored.checked_sub(TRAILER).ok_or(impossible)?;
    let tags = body.div_ceil(CHUNK + TAG) * TAG;
    let plaintext = body.checked_sub(tags).ok_or(impossible)?;
    match single_stored_len(plaintext) {
        Ok(length) if length == stored => Ok(plaintext),
        Ok(_) | Err(_) => Err(impossible),
    }
}

/// Stored size of a part: `p + 16,640`, whatever the part's size.
pub fn segment_stored_len(plaintext: u64) -> Result<u64, SizeError> {
    if plaintext > MAX_SEGMENT_LEN {
        return Err(SizeError::TooLarge {
            plaintext,
            max: MAX_SEGMENT_LEN,
        });
    }
    Ok(plaintext + SEGMENT_OVERHEAD)
}

/// Plaintext size of a part: the inverse of [`segment_stored_len`].
pub fn segment_plaintext_len(stored: u64) -> Result<u64, SizeError> {
    stored
        .checked_sub(SEGMENT_OVERHEAD)
        .filter(|plaintext| *plaintext <= MAX_SEGMENT_LEN)
        .ok_or(SizeError::Impossible { stored })
}

/// Plaintext size of a layout 02 object of `parts` segments: `P = T - 16,640 * N`.
///
/// Not authenticated: the segments must prove it.
pub fn segmented_plaintext_len(stored: u64, parts: u32) -> Result<u64, SizeError> {
    let impossible = SizeError::Impossible { stored };
    if !(1..=LAST_PART).contains(&parts) {
        return Err(impossible);
    }
    stored
        .checked_sub(SEGMENT_OVERHEAD * u64::from(parts))
        .ok_or(impossible)
}

/// Plaintext size from a listing alone: the stored size and the `-N` of the `ETag`, if it has one.
///
/// `None` if no object of ours has that size. For buckets where everything was written through the
/// proxy: nearly every size is possible, so a size does not tell whether an object is ours.
pub fn listed_plaintext_len(stored: u64, parts: Option<u32>) -> Option<u64> {
    match parts {
        Some(parts) => segmented_plaintext_len(stored, parts).ok(),
        None => single_plaintext_len(stored).ok(),
    }
}

const CHUNK: u64 = CHUNK_LEN as u64;
const TAG: u64 = TAG_LEN as u64;
const TRAILER: u64 = TRAILER_LEN as u64;

#[cfg(test)]
mod tests;
