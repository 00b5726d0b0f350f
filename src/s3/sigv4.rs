//! Signature Version 4: what verifying clients and signing for the upstream have in common (AWS,
//! "Create a signed request").

#[cfg(test)]
pub(crate) mod judge;
mod signing_keys;
mod timestamp;

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;

use super::{query::Query, uri};

pub use self::signing_keys::{SERVICE, Signer, SigningKey, SigningKeys};
pub use self::timestamp::Timestamp;

/// The scheme of the `Authorization` header and first line of a string to sign.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The last part of every scope.
pub const TERMINAL: &str = "aws4_request";

/// Lower-case hex of the SHA-256 of nothing.
pub const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The string to sign of a request.
pub fn string_to_sign(timestamp: &str, scope: &str, canonical_request: &[u8]) -> String {
    let hash = sha256_hex(canonical_request);
    [ALGORITHM, timestamp, scope, &hash].join("\n")
}

/// Lower-case hex of a SHA-256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

/// Names and values decoded (`%XX` only: a plus stays a plus) and encoded anew, sorted by name,
/// then value. Sorting whole `name=value` strings differs: `a-b` sorts before `a=`.
///
/// `without` is left out: a presigned query holds the signature itself.
pub fn write_query(query: Query<'_>, without: Option<&str>, out: &mut Vec<u8>) {
    if query.raw().is_empty() {
        return;
    }
    let mut pairs: Vec<_> = query
        .pairs()
        .map(|(name, value)| (recode(name), recode(value.unwrap_or_default())))
        .filter(|(name, _)| without.is_none_or(|without| name != without))
        .collect();
    pairs.sort_unstable();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.as_bytes());
    }
}

fn recode(raw: &str) -> Cow<'_, str> {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if raw.bytes().all(unreserved) {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(uri::encode_component(&uri::decode(raw)).into_owned())
}

/// A header value: spaces are trimmed and runs of them become one; tabs and other bytes stay as sent.
pub fn write_value(value: &[u8], out: &mut Vec<u8>) {
    let words = value
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}
