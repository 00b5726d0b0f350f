//! Header names, and what becomes of each header on its way up and on its way back. Headers
//! change only by these lists.

use http::header::{HeaderMap, HeaderName};

use super::error_code::{ErrorCode, S3Error};

/// Declares the names of S3's own headers as constants.
macro_rules! header_names {
    ($($constant:ident = $name:literal;)+) => {
        $(#[doc = concat!("`", $name, "`")]
        pub const $constant: HeaderName = HeaderName::from_static($name);)+
    };
}

header_names! {
    X_AMZ_BUCKET_REGION = "x-amz-bucket-region";
    X_AMZ_CHECKSUM_ALGORITHM = "x-amz-checksum-algorithm";
    X_AMZ_CHECKSUM_MODE = "x-amz-checksum-mode";
    X_AMZ_CHECKSUM_TYPE = "x-amz-checksum-type";
    X_AMZ_CONTENT_SHA256 = "x-amz-content-sha256";
    X_AMZ_COPY_SOURCE = "x-amz-copy-source";
    X_AMZ_DATE = "x-amz-date";
    X_AMZ_DECODED_CONTENT_LENGTH = "x-amz-decoded-content-length";
    X_AMZ_ID_2 = "x-amz-id-2";
    X_AMZ_MP_OBJECT_SIZE = "x-amz-mp-object-size";
    X_AMZ_MP_PARTS_COUNT = "x-amz-mp-parts-count";
    X_AMZ_REQUEST_ID = "x-amz-request-id";
    X_AMZ_SDK_CHECKSUM_ALGORITHM = "x-amz-sdk-checksum-algorithm";
    X_AMZ_SECURITY_TOKEN = "x-amz-security-token";
    X_AMZ_TRAILER = "x-amz-trailer";
    X_AMZ_VERSION_ID = "x-amz-version-id";
    SSE = "x-amz-server-side-encryption";
    SSE_KMS_KEY_ID = "x-amz-server-side-encryption-aws-kms-key-id";
    SSE_BUCKET_KEY_ENABLED = "x-amz-server-side-encryption-bucket-key-enabled";
    SSE_CONTEXT = "x-amz-server-side-encryption-context";
    SSE_CUSTOMER_ALGORITHM = "x-amz-server-side-encryption-customer-algorithm";
    SSE_CUSTOMER_KEY = "x-amz-server-side-encryption-customer-key";
    SSE_CUSTOMER_KEY_MD5 = "x-amz-server-side-encryption-customer-key-md5";
    COPY_SOURCE_SSE_CUSTOMER_ALGORITHM = "x-amz-copy-source-server-side-encryption-customer-algorithm";
    COPY_SOURCE_SSE_CUSTOMER_KEY = "x-amz-copy-source-server-side-encryption-customer-key";
    COPY_SOURCE_SSE_CUSTOMER_KEY_MD5 = "x-amz-copy-source-server-side-encryption-customer-key-md5";
}

/// Names of user metadata begin with it.
pub const METADATA_PREFIX: &str = "x-amz-meta-";

/// The largest user metadata of an object: bytes of all names, without the prefix, and values
/// (AWS, "Working with object metadata").
pub const METADATA_LEN_MAX: usize = 2048;

/// What becomes of a client's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestTreatment {
    /// Goes up unchanged.
    Forward,
    /// Means something to the proxy, which decides what the upstream gets in its place.
    Consume,
    /// Ends here: hop-by-hop, or without effect.
    Strip,
    /// Asks for something that is not implemented, or that no client may ask for.
    Refuse,
}

/// What becomes of an upstream's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseTreatment {
    /// Goes to the client unchanged.
    Keep,
    /// The client gets the proxy's value, or none.
    Replace,
    /// Ends here: hop-by-hop, or about the stored bytes.
    Strip,
}

/// The treatment of a request header of an operation that the proxy transforms. A relayed
/// operation also forwards those that describe its body ([`describes_body`]).
pub fn request_treatment(name: &HeaderName) -> RequestTreatment {
    let name = name.as_str();
    if is_reserved_metadata(name) {
        RequestTreatment::Refuse
    } else if is_hop_by_hop(name) || STRIPPED.contains(&name) || name.starts_with("amz-sdk-") {
        RequestTreatment::Strip
    } else if CONSUMED.contains(&name) {
        RequestTreatment::Consume
    } else if FORWARDED.contains(&name) || is_metadata(name) {
        RequestTreatment::Forward
    } else if name.starts_with("x-amz-") {
        RequestTreatment::Refuse
    } else {
        // Nobody signed it, and some servers act on headers of their own.
        RequestTreatment::Strip
    }
}

/// The treatment of a response header. What is in no list ends here: servers add headers of their
/// own, and some of those describe the stored bytes. `Access-Control-*` and `Vary` are in none: the
/// upstream sees no origin.
pub fn response_treatment(name: &HeaderName) -> ResponseTreatment {
    let name = name.as_str();
    let is_users = is_metadata(name) && !is_reserved_metadata(name);
    if is_users || KEPT.contains(&name) {
        ResponseTreatment::Keep
    } else if name.starts_with(SSE.as_str()) || REPLACED.contains(&name) {
        ResponseTreatment::Replace
    } else {
        ResponseTreatment::Strip
    }
}

/// Checks every header of a request before anything is done: unknown `x-amz-*` headers, reserved
/// metadata, and the size of the metadata.
pub fn check_request(headers: &HeaderMap) -> Result<(), HeaderError> {
    for name in headers.keys() {
        if is_reserved_metadata(name.as_str()) {
            return Err(HeaderError::ReservedMetadata { name: name.clone() });
        }
        if request_treatment(name) == RequestTreatment::Refuse {
            return Err(HeaderError::NotImplemented { name: name.clone() });
        }
    }
    match metadata_len(headers) {
        0..=METADATA_LEN_MAX => Ok(()),
        len => Err(HeaderError::MetadataTooLarge { len }),
    }
}

/// Why a header is refused: the client's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// More user metadata than [`METADATA_LEN_MAX`].
    #[error("user metadata of {len} bytes")]
    MetadataTooLarge {
        /// Bytes counted, our own included where the caller added them.
        len: usize,
    },
    /// An `x-amz-*` header whose effect the proxy does not know.
    #[error("header {name} is not implemented")]
    NotImplemented {
        /// The header.
        name: HeaderName,
    },
    /// A query parameter that stands for a header, but for none that can be taken.
    #[error("query parameter {name:?} stands for no header")]
    Query {
        /// The decoded name.
        name: String,
    },
    /// Metadata in the name space of the proxy.
    #[error("metadata {name} is reserved")]
    ReservedMetadata {
        /// The header.
        name: HeaderName,
    },
}

impl HeaderError {
    /// What the client is told.
    pub fn to_s3(&self) -> S3Error {
        match self {
            Self::MetadataTooLarge { len } => S3Error::new(ErrorCode::MetadataTooLarge)
                .detail("Size", len.to_string())
                .detail("MaxSizeAllowed", METADATA_LEN_MAX.to_string()),
            Self::NotImplemented { name } => {
                S3Error::new(ErrorCode::NotImplemented).detail("Header", name.as_str())
            }
            Self::Query { name } => S3Error::new(ErrorCode::NotImplemented).detail("Header", name),
            Self::ReservedMetadata { name } => S3Error::with_message(
                ErrorCode::InvalidArgument,
                "Metadata names that begin with s3seal- are reserved.",
            )
            .detail("ArgumentName", name.as_str()),
        }
    }
}

/// Whether a name, in any case, is metadata that only the proxy may write. An underscore counts
/// as a hyphen, since some servers (Ceph RGW) store both under one name.
pub fn is_reserved_metadata(name: &str) -> bool {
    let same = |(a, b): (u8, u8)| a == b || (a == b'_' && b == b'-');
    let lower = name.bytes().map(|byte| byte.to_ascii_lowercase());
    name.len() >= RESERVED_PREFIX.len() && lower.zip(RESERVED_PREFIX.bytes()).all(same)
}

/// Whether a name is user metadata.
pub fn is_metadata(name: &str) -> bool {
    name.starts_with(METADATA_PREFIX)
}

/// Bytes of user metadata as S3 counts them: names without the prefix, and values; a repeated
/// header is one entry with its values joined by commas.
pub fn metadata_len(headers: &HeaderMap) -> usize {
    headers
        .keys()
        .filter_map(|name| Some((name, name.as_str().strip_prefix(METADATA_PREFIX)?)))
        .map(|(name, short)| {
            let values = headers.get_all(name).iter().map(|value| value.len() + 1);
            short.len() + values.sum::<usize>().saturating_sub(1)
        })
        .sum()
}

/// Bytes that one more entry adds to [`metadata_len`]; `name` with or without the prefix.
pub fn metadata_entry_len(name: &str, value: &str) -> usize {
    name.strip_prefix(METADATA_PREFIX).unwrap_or(name).len() + value.len()
}

/// Whether a header describes the body as the client sent it: consumed where the body changes,
/// and forwarded where it is relayed byte by byte.
pub fn describes_body(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-amz-checksum-") && name != X_AMZ_CHECKSUM_MODE.as_str()
        || matches!(
            name,
            "content-md5" | "content-encoding" | "x-amz-sdk-checksum-algorithm"
        )
}

/// RFC 9110, section 7.6.1, and the older names still seen. What `Connection` names besides is
/// the HTTP library's to drop.
pub fn is_hop_by_hop(name: &str) -> bool {
    name.starts_with("proxy-") || HOP_BY_HOP.contains(&name)
}

const RESERVED_PREFIX: &str = "x-amz-meta-s3seal-";

const HOP_BY_HOP: &[&str] = &[
    "connection",
    "expect", // answered here, once every header is checked
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Request headers without effect behind the proxy.
const STRIPPED: &[&str] = &[
    "x-amz-api-version", // of the SDK for C++, which names the one there is
    "x-amz-te",          // append-md5 would make the upstream add bytes to the body
    "x-amz-user-agent",
    "x-amzn-trace-id",
];

/// Request headers that the proxy reads, and whose place it fills itself where one is needed.
const CONSUMED: &[&str] = &[
    "accept-encoding", // identity: the upstream must not compress
    "authorization",
    "content-encoding", // without the token aws-chunked
    "content-length",
    "content-md5",
    "date",
    "host",
    "if-match",
    "if-none-match",
    "if-range",
    "range",
    "user-agent",
    "x-amz-checksum-algorithm",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-md5",
    "x-amz-checksum-mode",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
    "x-amz-checksum-sha512",
    "x-amz-checksum-type",
    "x-amz-checksum-xxhash128",
    "x-amz-checksum-xxhash3",
    "x-amz-checksum-xxhash64",
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-unmodified-since",
    "x-amz-copy-source-range",
    "x-amz-copy-source-server-side-encryption-customer-algorithm",
    "x-amz-copy-source-server-side-encryption-customer-key",
    "x-amz-copy-source-server-side-encryption-customer-key-md5",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-metadata-directive",
    "x-amz-mp-object-size",
    "x-amz-s3session-token",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-security-token",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-server-side-encryption-context",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-server-side-encryption-customer-key-md5",
    "x-amz-tagging-directive",
    "x-amz-trailer",
];

/// The request headers that mean the same to the upstream as to the client.
const FORWARDED: &[&str] = &[
    "cache-control",
    "content-disposition",
    "content-language",
    "content-type",
    "expires",
    "if-modified-since",
    "if-unmodified-since",
    "referer", // bucket policies look at it
    "x-amz-acl",
    "x-amz-bypass-governance-retention",
    "x-amz-expected-bucket-owner",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-if-match-initiated-time",
    "x-amz-if-match-last-modified-time",
    "x-amz-max-parts",
    "x-amz-mfa",
    "x-amz-object-attributes",
    "x-amz-object-lock-event-hold",
    "x-amz-object-lock-event-hold-duration-days",
    "x-amz-object-lock-event-hold-duration-years",
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-optional-object-attributes",
    "x-amz-part-number-marker",
    "x-amz-request-payer",
    "x-amz-source-expected-bucket-owner",
    "x-amz-storage-class",
    "x-amz-tagging",
    "x-amz-website-redirect-location",
    // of relayed bucket operations
    "x-amz-bucket-namespace",
    "x-amz-bucket-object-lock-enabled",
    "x-amz-bucket-object-lock-token",
    "x-amz-confirm-remove-self-bucket-access",
    "x-amz-object-ownership",
    "x-amz-skip-destination-validation",
    "x-amz-transition-default-minimum-object-size",
];

/// Response headers that mean the same to the client: those of S3's object and bucket operations,
/// and of HTTP those that describe the answer and not its transport.
const KEPT: &[&str] = &[
    "allow",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "date",
    "expires",
    "last-modified",
    "retry-after",
    "server",
    "x-amz-abort-date",
    "x-amz-abort-rule-id",
    "x-amz-access-point-alias",
    "x-amz-archive-status",
    "x-amz-bucket-arn",
    "x-amz-bucket-location-name",
    "x-amz-bucket-location-type",
    "x-amz-bucket-object-lock-token",
    "x-amz-copy-source-version-id",
    "x-amz-delete-marker",
    "x-amz-expiration",
    "x-amz-id-2",
    "x-amz-missing-meta",
    "x-amz-object-lock-event-hold",
    "x-amz-object-lock-event-hold-duration-days",
    "x-amz-object-lock-event-hold-duration-years",
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-replication-status",
    "x-amz-request-charged",
    "x-amz-request-id",
    "x-amz-restore",
    "x-amz-restore-output-path",
    "x-amz-storage-class",
    "x-amz-tagging-count",
    "x-amz-transition-default-minimum-object-size",
    "x-amz-version-id",
    "x-amz-website-redirect-location",
];

/// Response headers that the proxy sets itself.
const REPLACED: &[&str] = &[
    "accept-ranges",
    "content-length",
    "content-range",
    "etag",
    "location", // would name the upstream
    "x-amz-bucket-region",
];

#[cfg(test)]
mod tests;
