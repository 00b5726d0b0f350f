//! Canonical request and string to sign, from wire bytes (AWS, "Create a signed request").

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use http::request::Parts;

use super::{header::ALGORITHM, policy::SignedHeaders, presign::SIGNATURE_PARAMETER};
use crate::s3::{query::Query, uri};

/// What of a request is signed.
pub(super) struct Canonical<'a> {
    pub(super) parts: &'a Parts,
    pub(super) host: &'a [u8],
    pub(super) signed_headers: SignedHeaders<'a>,
    pub(super) payload_hash: &'a str,
}

impl Canonical<'_> {
    /// The canonical request over `path`; bytes, since header values need not be text.
    pub(super) fn request(&self, path: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(self.parts.method.as_str().as_bytes());
        out.push(b'\n');
        out.extend_from_slice(path.as_bytes());
        out.push(b'\n');
        query(Query::new(self.parts.uri.query()), &mut out);
        out.push(b'\n');
        for name in self.signed_headers.names() {
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            header_value(self.header(name).unwrap_or_default(), &mut out);
            out.push(b'\n');
        }
        out.push(b'\n');
        out.extend_from_slice(self.signed_headers.text().as_bytes());
        out.push(b'\n');
        out.extend_from_slice(self.payload_hash.as_bytes());
        out
    }

    /// Whether every signed header is there. One that is not would be signed as an empty one.
    pub(super) fn complete(&self) -> bool {
        self.signed_headers
            .names()
            .all(|name| self.header(name).is_some())
    }

    /// The paths to try: as received, then decoded and encoded as S3 says. A signer encodes the
    /// path for itself; libraries below it may send `%2f` or a bare `!` for the same key. Both
    /// decode to the same bytes, so neither can verify for another key.
    pub(super) fn paths(&self) -> (&str, Option<String>) {
        let raw = self.parts.uri.path();
        let encoded = uri::encode_path(&uri::decode(raw)).into_owned();
        (raw, (encoded != raw).then_some(encoded))
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        match name {
            "host" => Some(self.host),
            name => self
                .parts
                .headers
                .get(name)
                .map(http::HeaderValue::as_bytes),
        }
    }
}

/// The string to sign of a request.
pub(super) fn string_to_sign(timestamp: &str, scope: &str, canonical_request: &[u8]) -> String {
    let hash = sha256_hex(canonical_request);
    [ALGORITHM, timestamp, scope, &hash].join("\n")
}

/// Lower-case hex of a SHA-256.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

/// Names and values decoded (`%XX` only: a plus stays a plus) and encoded anew, sorted by name,
/// then value. Sorting whole `name=value` strings differs: `a-b` sorts before `a=`.
fn query(query: Query<'_>, out: &mut Vec<u8>) {
    let mut pairs: Vec<_> = query
        .pairs()
        .map(|(name, value)| (recode(name), recode(value.unwrap_or_default())))
        .filter(|(name, _)| name != SIGNATURE_PARAMETER)
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

/// Spaces are trimmed and runs of them become one; tabs and other bytes stay as sent.
fn header_value(value: &[u8], out: &mut Vec<u8>) {
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

#[cfg(test)]
mod tests;
