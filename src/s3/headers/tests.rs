//! The tables, written down a second time by treatment, and the rules around user metadata.

use super::*;

fn request(name: &str) -> RequestTreatment {
    request_treatment(&name.parse().unwrap())
}

fn response(name: &str) -> ResponseTreatment {
    response_treatment(&name.parse().unwrap())
}

fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = pairs
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append::<HeaderName>(name, value);
    }
    headers
}

#[test]
fn every_request_header_is_in_one_list() {
    let mut all: Vec<_> = [STRIPPED, CONSUMED, FORWARDED, HOP_BY_HOP].concat();
    all.sort_unstable();
    let len = all.len();
    all.dedup();
    assert_eq!(all.len(), len, "a header is in two lists");
}

#[test]
fn request_headers_are_treated_as_listed() {
    use RequestTreatment::{Consume, Forward, Refuse, Strip};
    let cases = [
        (
            Forward,
            "cache-control content-type content-disposition expires if-modified-since referer content-language",
        ),
        (
            Forward,
            "x-amz-acl x-amz-tagging x-amz-meta-a x-amz-meta- x-amz-object-lock-mode x-amz-request-payer",
        ),
        (
            Consume,
            "range if-match if-none-match if-range content-md5 content-encoding accept-encoding host",
        ),
        (
            Consume,
            "x-amz-checksum-crc32 x-amz-checksum-mode x-amz-checksum-xxhash64 x-amz-copy-source authorization",
        ),
        (
            Consume,
            "x-amz-server-side-encryption-customer-key x-amz-trailer x-amz-security-token user-agent",
        ),
        (
            Strip,
            "connection transfer-encoding expect upgrade proxy-authorization te trailer keep-alive",
        ),
        (
            Strip,
            "x-amz-te x-amz-user-agent x-amzn-trace-id amz-sdk-request amz-sdk-invocation-id",
        ),
        (
            Strip,
            "cookie origin x-forwarded-for x-http-method-override x-goog-acl x-oss-copy-source",
        ),
        (
            Refuse,
            "x-amz-write-offset-bytes x-amz-if-match-size x-amz-rename-source x-amz-client-token",
        ),
        (
            Refuse,
            "x-amz-create-session-mode x-amz-fwd-status x-amz-region-set x-amz-new x-amz-checksum-new",
        ),
        (
            Refuse,
            "x-amz-meta-s3seal-header x-amz-meta-s3seal-x X-Amz-Meta-S3SEAL-Key x-amz-meta-s3seal_key",
        ),
    ];
    for (treatment, names) in cases {
        for name in names.split_whitespace() {
            assert_eq!(request(name), treatment, "{name}");
        }
    }
}

#[test]
fn response_headers_are_treated_as_listed() {
    use ResponseTreatment::{Keep, Replace, Strip};
    let cases = [
        (
            Keep,
            "content-type last-modified x-amz-version-id x-amz-meta-a x-amz-tagging-count x-amz-request-id",
        ),
        (
            Keep,
            "x-amz-restore x-amz-object-lock-mode date server content-encoding",
        ),
        (
            Replace,
            "etag content-length content-range accept-ranges x-amz-bucket-region location",
        ),
        (
            Replace,
            "x-amz-server-side-encryption x-amz-server-side-encryption-customer-key-md5",
        ),
        (
            Strip,
            "x-amz-checksum-crc32 x-amz-checksum-type x-amz-checksum-new content-md5 x-amz-mp-parts-count",
        ),
        (
            Strip,
            "x-amz-meta-s3seal-header x-amz-meta-s3seal-key connection transfer-encoding alt-svc vary access-control-allow-origin",
        ),
        (
            Strip,
            "x-amz-new x-amz-object-size seaweed-x-amz-etag x-rgw-object-type x-minio-deployment-id set-cookie",
        ),
    ];
    for (treatment, names) in cases {
        for name in names.split_whitespace() {
            assert_eq!(response(name), treatment, "{name}");
        }
    }
}

#[test]
fn reserved_metadata_is_found_in_any_spelling() {
    for name in [
        "x-amz-meta-s3seal-key",
        "X-AMZ-META-S3SEAL-",
        "x_amz_meta_s3seal_key",
        "X-Amz-Meta-s3Seal_x",
    ] {
        assert!(is_reserved_metadata(name), "{name}");
    }
    for name in [
        "x-amz-meta-s3seal",
        "x-amz-meta-s3sealed-x",
        "x-amz-meta-x-s3seal-key",
        "s3seal-key",
        "",
    ] {
        assert!(!is_reserved_metadata(name), "{name}");
    }
}

#[test]
fn metadata_is_counted_as_s3_counts_it() {
    assert_eq!(metadata_len(&map(&[("content-type", "text/plain")])), 0);
    assert_eq!(
        metadata_len(&map(&[("x-amz-meta-ab", "123"), ("x-amz-meta-c", "")])),
        6
    );
    assert_eq!(
        metadata_len(&map(&[("x-amz-meta-a", "1"), ("x-amz-meta-a", "2")])),
        "a1,2".len()
    );
    assert_eq!(metadata_entry_len("x-amz-meta-ab", "123"), 5);
    assert_eq!(metadata_entry_len("ab", "123"), 5);
}

#[test]
fn requests_are_checked_before_anything_else() {
    assert_eq!(
        check_request(&map(&[("x-amz-meta-a", "b"), ("x-amz-acl", "private")])),
        Ok(())
    );
    let code = |pairs| check_request(&map(pairs)).unwrap_err().to_s3();
    assert_eq!(code(&[("x-amz-new", "1")]).code.status(), 501);
    assert_eq!(
        code(&[("x-amz-new", "1")]).details,
        [("Header", "x-amz-new".to_owned())]
    );
    assert_eq!(
        code(&[("x-amz-meta-s3seal-key", "1")]).code,
        ErrorCode::InvalidArgument
    );

    let full = "v".repeat(METADATA_LEN_MAX - 1);
    let mut headers = HeaderMap::new();
    headers.insert("x-amz-meta-a", full.parse().unwrap());
    assert_eq!(check_request(&headers), Ok(()));
    headers.insert("x-amz-meta-b", "".parse().unwrap());
    assert_eq!(
        check_request(&headers),
        Err(HeaderError::MetadataTooLarge { len: 2049 })
    );
}

#[test]
fn relays_forward_what_describes_their_body() {
    for name in [
        "content-md5",
        "x-amz-checksum-crc32",
        "x-amz-sdk-checksum-algorithm",
        "content-encoding",
    ] {
        assert!(describes_body(&name.parse().unwrap()), "{name}");
    }
    for name in ["x-amz-checksum-mode", "x-amz-content-sha256", "range"] {
        assert!(!describes_body(&name.parse().unwrap()), "{name}");
    }
}
