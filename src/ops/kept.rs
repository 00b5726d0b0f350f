//! What has to be kept of an object that is written anew in its own place.

use http::{HeaderMap, HeaderName, HeaderValue};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::copy::CONTENT_HEADERS;
use crate::s3::headers::{is_metadata, is_reserved_metadata};

/// The headers to write an object with: what S3 keeps of an object beside its body, tags and ACL.
/// `from` is the upstream's answer to a read; our own metadata is left out.
pub fn kept(from: &HeaderMap, now: OffsetDateTime) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for (name, value) in from {
        let text = name.as_str();
        let is_kept = is_metadata(text) && !is_reserved_metadata(text)
            || CONTENT_HEADERS.contains(name)
            || KEPT.contains(&text);
        if is_kept {
            kept.append(name.clone(), value.clone());
        }
    }
    keep_lock(from, &mut kept, now);
    kept
}

/// A retention that is over cannot be set again, and need not be. One whose end cannot be read is
/// for the upstream to judge.
fn keep_lock(from: &HeaderMap, kept: &mut HeaderMap, now: OffsetDateTime) {
    let until = from.get(RETAIN_UNTIL).and_then(|until| until.to_str().ok());
    let until = until.and_then(|until| OffsetDateTime::parse(until, &Rfc3339).ok());
    if until.is_some_and(|until| until <= now) {
        return;
    }
    for name in [LOCK_MODE, RETAIN_UNTIL] {
        if let Some(value) = from.get(name) {
            kept.insert(HeaderName::from_static(name), value.clone());
        }
    }
}

/// The value of `If-Match` for writing over the object that was read with `headers`.
pub fn condition(headers: &HeaderMap, etag: &HeaderValue) -> HeaderValue {
    // Ceph 16 compares it with what is between the quotes, and shows who it is.
    if headers.contains_key("x-rgw-object-type") {
        let bare = etag.to_str().map(|etag| etag.trim_matches('"'));
        if let Some(bare) = bare.ok().and_then(|bare| HeaderValue::from_str(bare).ok()) {
            return bare;
        }
    }
    etag.clone()
}

/// Whether the object must be restored before it can be read (AWS, "RestoreObject").
pub fn is_archived(headers: &HeaderMap) -> bool {
    let class = headers.get("x-amz-storage-class");
    let is_cold = class.is_some_and(|class| class == "GLACIER" || class == "DEEP_ARCHIVE");
    let restore = headers.get("x-amz-restore").map(HeaderValue::as_bytes);
    let is_restored = restore.is_some_and(|restore| {
        memchr::memmem::find(restore, b"ongoing-request=\"false\"").is_some()
    });
    is_cold && !is_restored || headers.contains_key("x-amz-archive-status")
}

/// Besides metadata and content headers.
const KEPT: &[&str] = &[
    "x-amz-object-lock-event-hold",
    "x-amz-object-lock-event-hold-duration-days",
    "x-amz-object-lock-event-hold-duration-years",
    "x-amz-object-lock-legal-hold",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
];

const LOCK_MODE: &str = "x-amz-object-lock-mode";
const RETAIN_UNTIL: &str = "x-amz-object-lock-retain-until-date";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archived_object_is_known_by_its_headers() {
        for (headers, expected) in [
            (&[][..], false),
            (&[("x-amz-storage-class", "STANDARD_IA")], false),
            (&[("x-amz-storage-class", "GLACIER")], true),
            (&[("x-amz-archive-status", "ARCHIVE_ACCESS")], true),
            (
                &[
                    ("x-amz-storage-class", "DEEP_ARCHIVE"),
                    ("x-amz-restore", "ongoing-request=\"true\""),
                ],
                true,
            ),
            (
                &[
                    ("x-amz-storage-class", "GLACIER"),
                    (
                        "x-amz-restore",
                        "ongoing-request=\"false\", expiry-date=\"x\"",
                    ),
                ],
                false,
            ),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, HeaderValue::from_static(value));
            }
            assert_eq!(is_archived(&map), expected, "{headers:?}");
        }
    }
}
