//! Percent-encoding as S3 signs it (AWS, "Create a signed request", `UriEncode`): RFC 3986 once,
//! upper-case hex, never a normalisation of `.`, `..` or `//`.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// Decodes `%XX` and nothing else: a `+` stays a plus.
pub fn decode(raw: &str) -> Cow<'_, [u8]> {
    percent_decode_str(raw).into()
}

/// Encodes one query name or value, or one path segment: everything but the unreserved characters.
pub fn encode_component(bytes: &[u8]) -> Cow<'_, str> {
    percent_encode(bytes, UNRESERVED_KEPT).into()
}

/// Encodes a whole path: as [`encode_component`], but `/` is kept.
pub fn encode_path(bytes: &[u8]) -> Cow<'_, str> {
    percent_encode(bytes, UNRESERVED_AND_SLASH_KEPT).into()
}

/// RFC 3986 unreserved: letters, digits, `-`, `.`, `_`, `~`.
const UNRESERVED_KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

const UNRESERVED_AND_SLASH_KEPT: &AsciiSet = &UNRESERVED_KEPT.remove(b'/');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_as_s3_signs() {
        assert_eq!(encode_component("a b/ü+~".as_bytes()), "a%20b%2F%C3%BC%2B~");
        assert_eq!(encode_path(b"//a/../b c"), "//a/../b%20c");
    }

    #[test]
    fn decodes_percent_only() {
        assert_eq!(decode("a+b%2Fc%zz").as_ref(), b"a+b/c%zz");
    }
}
