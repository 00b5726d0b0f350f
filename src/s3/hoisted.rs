//! Headers that stand in the query: presigned URLs of several SDKs carry their `x-amz-*` headers
//! there ("hoisted"), and S3 reads them as headers.
//!
//! They are moved to where every other rule looks for them, and never forwarded in the query: an
//! SSE-C key or a checksum of the plaintext must not reach the upstream that way.

use http::header::HeaderName;

use super::headers::{HeaderError, RequestTreatment, request_treatment};
use super::query::Query;
use super::uri;

/// What a query parameter is in the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hoisted {
    /// Part of a presigned URL's signature; meant for the proxy alone.
    Authentication,
    /// A header.
    Header(HeaderName),
    /// Nothing: a parameter of its own.
    No,
    /// A header that is not implemented.
    Refused,
}

/// Sorts a decoded parameter name.
pub fn kind(name: &str) -> Hoisted {
    if PRESIGN_V2.contains(&name) {
        return Hoisted::Authentication;
    }
    let lower = name.to_ascii_lowercase();
    if !lower.starts_with("x-amz-") {
        return Hoisted::No;
    }
    if PRESIGN_V4.contains(&lower.as_str()) {
        return Hoisted::Authentication;
    }
    match HeaderName::try_from(lower) {
        Ok(header) if request_treatment(&header) != RequestTreatment::Refuse => {
            Hoisted::Header(header)
        }
        _ => Hoisted::Refused,
    }
}

/// Refuses headers in the query of a request that is not presigned: nothing would read them there,
/// and the client would believe that they had an effect.
pub fn refuse(query: Query<'_>) -> Result<(), HeaderError> {
    for (raw_name, _) in query.pairs() {
        let name = uri::decode(raw_name);
        let name = String::from_utf8_lossy(&name);
        match kind(&name) {
            Hoisted::Authentication | Hoisted::No => {}
            Hoisted::Header(_) | Hoisted::Refused => {
                return Err(HeaderError::Query {
                    name: name.into_owned(),
                });
            }
        }
    }
    Ok(())
}

/// The query for the upstream: without the client's signature and without headers, the rest byte
/// by byte.
pub fn upstream_query(query: Query<'_>) -> String {
    let kept = query.raw().split('&').filter(|pair| {
        let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
        kind(&String::from_utf8_lossy(&uri::decode(name))) == Hoisted::No
    });
    kept.collect::<Vec<_>>().join("&")
}

/// AWS, "Authenticating requests: using query parameters"; the content hash and the date are
/// hoisted by some SDKs as well.
const PRESIGN_V4: &[&str] = &[
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];

/// The retired signature, so that it is refused as what it is.
const PRESIGN_V2: &[&str] = &["AWSAccessKeyId", "Expires", "Signature"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_sorted() {
        for name in [
            "X-Amz-Signature",
            "x-amz-date",
            "X-Amz-Content-Sha256",
            "AWSAccessKeyId",
            "Expires",
        ] {
            assert_eq!(kind(name), Hoisted::Authentication, "{name}");
        }
        for name in ["prefix", "x-id", "acl", "expires", "x-amzn-trace-id", ""] {
            assert_eq!(kind(name), Hoisted::No, "{name}");
        }
        for name in [
            "x-amz-new",
            "X-Amz-Meta-S3seal-Key",
            "x-amz-write-offset-bytes",
            "x-amz-b\u{e4}d",
        ] {
            assert_eq!(kind(name), Hoisted::Refused, "{name}");
        }
        let header = HeaderName::from_static("x-amz-checksum-mode");
        assert_eq!(kind("X-Amz-Checksum-Mode"), Hoisted::Header(header));
    }

    #[test]
    fn headers_in_a_query_that_nobody_reads_are_refused() {
        for raw in [
            "x-amz-acl",
            "a&x-amz-meta-a=b",
            "X-Amz-New=1",
            "%78-amz-acl=private",
        ] {
            let error = refuse(Query::new(Some(raw))).unwrap_err();
            assert!(matches!(error, HeaderError::Query { .. }), "{raw}");
        }
        for raw in ["", "versionId=1&acl", "X-Amz-Signature=s", "x-id=GetObject"] {
            assert_eq!(refuse(Query::new(Some(raw))), Ok(()), "{raw}");
        }
    }

    #[test]
    fn the_upstream_sees_the_rest_byte_by_byte() {
        let cases = [
            ("", ""),
            ("prefix=a%2fb+c&&acl", "prefix=a%2fb+c&&acl"),
            (
                "versionId=1&X-Amz-Signature=s&x-amz-server-side-encryption-customer-key=k",
                "versionId=1",
            ),
            (
                "X-Amz-Signature=s&x-id=GetObject&%78-amz-acl=private",
                "x-id=GetObject",
            ),
        ];
        for (raw, kept) in cases {
            assert_eq!(upstream_query(Query::new(Some(raw))), kept);
        }
    }
}
