//! The canonical request of what a client signed, from wire bytes (AWS, "Create a signed request").

use http::request::Parts;

use super::{policy::SignedHeaders, presign::SIGNATURE_PARAMETER};
use crate::s3::sigv4::{write_query, write_value};
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
        let query = Query::new(self.parts.uri.query());
        write_query(query, Some(SIGNATURE_PARAMETER), &mut out);
        out.push(b'\n');
        for name in self.signed_headers.names() {
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            write_value(self.header(name).unwrap_or_default(), &mut out);
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

#[cfg(test)]
mod tests;
