//! Everything in which an answer through the proxy may differ from a direct one. What is not here
//! must be equal.

/// What may differ, and why.
pub struct Allowed {
    /// A header, or an XML element; a `*` stands for any end.
    pub name: &'static str,
    pub may: May,
    /// For whoever wonders whether the entry is still needed.
    pub reason: &'static str,
}

/// The ways to differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// In both or in neither, with any value.
    Differ,
    /// Any value or none, on either side.
    Vary,
    /// Only through the proxy; where both have it, it is equal.
    BeAdded,
    /// Only without the proxy; where both have it, it is equal.
    BeDropped,
    /// Equal, or this through the proxy, whatever it is without.
    Become(&'static str),
}

/// Of the headers.
pub const HEADERS: &[Allowed] = &[
    allow("date", May::Differ, "two moments"),
    allow("last-modified", May::Differ, "two moments"),
    allow(
        "etag",
        May::Differ,
        "D1: the upstream hashes ciphertext; shown with -0",
    ),
    allow("x-amz-version-id", May::Differ, "random; two buckets"),
    allow(
        "content-type",
        May::Become("binary/octet-stream"),
        "D20: of an object put without one, which SeaweedFS guesses",
    ),
    allow(
        "x-amz-request-id",
        May::Vary,
        "a name for one request; ours where there is none",
    ),
    allow(
        "x-amz-id-2",
        May::Vary,
        "a name for one request; ours where there is none",
    ),
    allow(
        "x-s3seal-request-id",
        May::BeAdded,
        "the name of the request in our log",
    ),
    allow(
        "x-amz-server-side-encryption",
        May::BeAdded,
        "P20: the mode of the proxy",
    ),
    allow(
        "x-amz-server-side-encryption-aws-kms-key-id",
        May::BeAdded,
        "P20: the key of the proxy",
    ),
    allow(
        "accept-ranges",
        May::BeAdded,
        "said of every object, which S3 does and some servers forget",
    ),
    allow(
        "x-amz-checksum-crc64nvme",
        May::BeDropped,
        "computed unasked by the server, of the ciphertext",
    ),
    allow(
        "x-amz-checksum-type",
        May::BeDropped,
        "of a checksum that is not shown",
    ),
    allow(
        "seaweed-*",
        May::BeDropped,
        "its internals, the ETag of the stored bytes among them",
    ),
    allow(
        "x-rgw-*",
        May::BeDropped,
        "its internals, the size of the stored bytes among them",
    ),
    allow(
        "x-amz-tagging-a",
        May::BeDropped,
        "no header of S3's: SeaweedFS shows the tag",
    ),
    allow("x-amz-tagging-b", May::BeDropped, "the same"),
    allow(
        "vary",
        May::BeDropped,
        "P64: the upstream sees no origin, and its answer depends on none",
    ),
    allow("access-control-*", May::BeDropped, "the same"),
    allow("connection", May::Vary, "belongs to one hop"),
    allow("keep-alive", May::Vary, "belongs to one hop"),
];

/// Of the headers, where the body is an XML document.
pub const DOCUMENT_HEADERS: &[Allowed] = &[
    allow(
        "content-length",
        May::Vary,
        "P34: sizes and ETags in a listing change its length",
    ),
    allow(
        "transfer-encoding",
        May::Vary,
        "a listing is rewritten as it streams by",
    ),
];

/// Of the headers, where the body is the answer to a copy.
pub const COPY_HEADERS: &[Allowed] = &[
    allow(
        "etag",
        May::BeDropped,
        "S3 has it in the document alone, SeaweedFS also as a header",
    ),
    allow("accept-ranges", May::BeDropped, "of no meaning there"),
    allow(
        "x-amz-copy-source-version-id",
        May::BeAdded,
        "S3 names the version, SeaweedFS and Ceph do not",
    ),
];

/// Of the elements of XML documents.
pub const ELEMENTS: &[Allowed] = &[
    allow("ETag", May::Differ, "D1: as the header"),
    allow("LastModified", May::Differ, "two moments"),
    allow("CreationDate", May::Differ, "two moments"),
    allow("VersionId", May::Differ, "random; two buckets"),
    allow("NextVersionIdMarker", May::Differ, "random; two buckets"),
    allow("RequestId", May::Differ, "a name for one request"),
    allow("HostId", May::BeDropped, "names a machine of the upstream"),
    allow(
        "ChecksumAlgorithm",
        May::BeDropped,
        "P34: of the ciphertext",
    ),
    allow("ChecksumType", May::BeDropped, "P34: of the ciphertext"),
];

/// Of the namespaces of XML documents.
pub const NAMESPACED: &[Allowed] = &[
    allow(
        "CopyObjectResult",
        May::BeAdded,
        "S3's; SeaweedFS forgets it",
    ),
    allow("CopyPartResult", May::BeAdded, "the same"),
];

const fn allow(name: &'static str, may: May, reason: &'static str) -> Allowed {
    Allowed { name, may, reason }
}

#[test]
fn every_entry_has_a_reason_and_stands_once() {
    for list in [
        HEADERS,
        COPY_HEADERS,
        DOCUMENT_HEADERS,
        ELEMENTS,
        NAMESPACED,
    ] {
        for (index, entry) in list.iter().enumerate() {
            assert!(!entry.reason.is_empty(), "{}", entry.name);
            assert!(
                list[..index].iter().all(|other| other.name != entry.name),
                "{}",
                entry.name
            );
        }
    }
}
