//! What a request is about: the service, a bucket or an object, from the bytes as received.
//!
//! Nothing is normalised: `//`, `.`, `..`, `+`, a trailing `/` and every percent-escape are bytes
//! of the key. A URL library that resolves dot segments must never see these paths.

use std::fmt;

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, Uri};

use super::error_code::{ErrorCode, S3Error};
use super::uri;

/// The longest key in bytes of UTF-8 (AWS, "Naming Amazon S3 objects").
pub const KEY_LEN_MAX: usize = 1024;

/// What a request addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `/`: the list of buckets.
    Service,
    /// A bucket.
    Bucket {
        /// Its name.
        bucket: BucketName,
    },
    /// An object.
    Object {
        /// The bucket it is in.
        bucket: BucketName,
        /// Its key.
        key: ObjectKey,
    },
}

impl Target {
    /// Reads path-style and virtual-host-style requests.
    ///
    /// `path` is the path of the request line as received and `host` the host it was sent to, with
    /// or without a port. `bucket.<domain>` is a bucket for each of `domains`; every other host,
    /// the domains themselves included, is path style.
    pub fn parse(path: &str, host: Option<&str>, domains: &[String]) -> Result<Self, TargetError> {
        // The asterisk form of OPTIONS.
        let path = if path == "*" { "/" } else { path };
        let path = path.strip_prefix('/').unwrap_or(path);
        if let Some(bucket) = host.and_then(|host| bucket_of_host(host, domains)) {
            return Self::with_key(BucketName::new(bucket)?, path);
        }
        if path.is_empty() {
            return Ok(Self::Service);
        }
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        Self::with_key(BucketName::parse(bucket)?, key)
    }

    /// The bucket; `None` for the service.
    pub fn bucket(&self) -> Option<&BucketName> {
        match self {
            Self::Service => None,
            Self::Bucket { bucket } | Self::Object { bucket, .. } => Some(bucket),
        }
    }

    /// The key; `None` for the service and for buckets.
    pub fn key(&self) -> Option<&ObjectKey> {
        match self {
            Self::Service | Self::Bucket { .. } => None,
            Self::Object { key, .. } => Some(key),
        }
    }

    /// The path-style path for the upstream: the key's bytes as received.
    pub fn upstream_path(&self) -> String {
        match self {
            Self::Service => "/".to_owned(),
            Self::Bucket { bucket } => format!("/{}", bucket.encoded()),
            Self::Object { bucket, key } => format!("/{}/{}", bucket.encoded(), key.raw()),
        }
    }

    /// The path for an upstream that is addressed as `bucket.<host>`: the key's bytes as received.
    pub fn upstream_path_in_bucket(&self) -> String {
        self.key()
            .map_or_else(|| "/".to_owned(), |key| format!("/{}", key.raw()))
    }

    fn with_key(bucket: BucketName, raw_key: &str) -> Result<Self, TargetError> {
        if raw_key.is_empty() {
            return Ok(Self::Bucket { bucket });
        }
        let key = ObjectKey::parse(raw_key)?;
        Ok(Self::Object { bucket, key })
    }
}

/// A bucket name that is safe to put into a path, to compare, and, where [`Self::is_host_label`]
/// says so, to put in front of a host. Legacy names (upper case, underscores, two characters) are
/// the upstream's to judge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketName(String);

impl BucketName {
    /// Takes a decoded name.
    pub fn new(name: impl Into<String>) -> Result<Self, TargetError> {
        let name = name.into();
        if name.starts_with("arn:") {
            return Err(TargetError::Arn);
        }
        let unsafe_name = matches!(name.as_str(), "" | "." | "..")
            || name.len() > BUCKET_LEN_MAX
            || !name.bytes().all(is_name_byte);
        if unsafe_name {
            return Err(TargetError::BucketName { name });
        }
        Ok(Self(name))
    }

    /// Decodes a name out of a path or a copy source.
    pub fn parse(raw: &str) -> Result<Self, TargetError> {
        Self::new(decode(raw)?)
    }

    /// Whether the name can stand in front of a host name. Hosts have no case, so that a name with
    /// an upper-case letter would reach another bucket than the one that rules were applied to.
    pub fn is_host_label(&self) -> bool {
        let legal = |byte: u8| !byte.is_ascii_uppercase() && byte != b'_';
        let ends = [self.0.bytes().next(), self.0.bytes().next_back()];
        let ends_well = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        self.0.bytes().all(legal) && ends.into_iter().all(ends_well) && !self.0.contains("..")
    }

    /// The decoded name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn encoded(&self) -> impl fmt::Display + '_ {
        uri::encode_component(self.0.as_bytes())
    }
}

/// What bucket names are made of, legacy ones included (AWS, "General purpose bucket naming rules").
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object key: the bytes on the wire, and the UTF-8 text they mean.
///
/// Two keys are equal if they name the same object, however they were spelled.
#[derive(Clone, Debug)]
pub struct ObjectKey {
    raw: String,
    decoded: String,
}

impl ObjectKey {
    /// Decodes a key out of a path. 1 to [`KEY_LEN_MAX`] bytes when decoded.
    pub fn parse(raw: &str) -> Result<Self, TargetError> {
        let decoded = decode(raw)?;
        match decoded.len() {
            0 => Err(TargetError::Uri),
            1..=KEY_LEN_MAX => Ok(Self {
                raw: raw.to_owned(),
                decoded,
            }),
            len => Err(TargetError::KeyTooLong { len }),
        }
    }

    /// The bytes as received, still percent-encoded: what goes upstream.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// The key itself: what clients call the object, and what its data key is bound to.
    pub fn decoded(&self) -> &str {
        &self.decoded
    }
}

impl PartialEq for ObjectKey {
    fn eq(&self, other: &Self) -> bool {
        self.decoded == other.decoded
    }
}

impl Eq for ObjectKey {}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.decoded)
    }
}

/// Why a path or host addresses nothing: the client's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// An ARN in the position of the bucket: access points are not implemented.
    #[error("an ARN in the position of the bucket")]
    Arn,
    /// A bucket name that is not safe to use.
    #[error("unsafe bucket name {name:?}")]
    BucketName {
        /// The decoded name.
        name: String,
    },
    /// The request names two different hosts, or more than one.
    #[error("ambiguous host")]
    Host,
    /// A key of more than [`KEY_LEN_MAX`] bytes.
    #[error("key of {len} bytes")]
    KeyTooLong {
        /// Bytes of the decoded key.
        len: usize,
    },
    /// A path with a broken percent-escape, or that is not UTF-8.
    #[error("path is not percent-encoded UTF-8")]
    Uri,
}

impl TargetError {
    /// What the client is told.
    pub fn to_s3(&self) -> S3Error {
        match self {
            Self::Arn => S3Error::with_message(
                ErrorCode::NotImplemented,
                "An ARN in place of a bucket name is not implemented.",
            ),
            Self::BucketName { name } => {
                S3Error::new(ErrorCode::InvalidBucketName).detail("BucketName", name)
            }
            Self::Host => S3Error::with_message(
                ErrorCode::InvalidRequest,
                "The request must name exactly one host.",
            ),
            Self::KeyTooLong { len } => S3Error::new(ErrorCode::KeyTooLong)
                .detail("Size", len.to_string())
                .detail("MaxSizeAllowed", KEY_LEN_MAX.to_string()),
            Self::Uri => S3Error::new(ErrorCode::InvalidUri),
        }
    }
}

/// The host a request was sent to: `Host`, or the authority of HTTP/2 and of an absolute URI.
///
/// Two that differ are refused: the signature covers one, and the other could choose the bucket.
pub fn request_host<'a>(
    uri: &'a Uri,
    headers: &'a HeaderMap,
) -> Result<Option<&'a str>, TargetError> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts
        .next()
        .map(|host| host.to_str().map_err(|_| TargetError::Host));
    let (host, authority) = (host.transpose()?, uri.authority().map(Authority::as_str));
    match (host, authority) {
        _ if hosts.next().is_some() => Err(TargetError::Host),
        (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => {
            Err(TargetError::Host)
        }
        (host, authority) => Ok(host.or(authority)),
    }
}

/// The bucket in front of one of our domains, lower-cased as DNS names are; the longest domain
/// wins, so that one domain may be a part of another.
fn bucket_of_host(host: &str, domains: &[String]) -> Option<String> {
    let host = without_port(host).to_ascii_lowercase();
    let mut found = None;
    for domain in domains {
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        if host == domain {
            return None;
        }
        let bucket = host
            .strip_suffix(&domain)
            .and_then(|front| front.strip_suffix('.'));
        let Some(bucket) = bucket.filter(|_| !domain.is_empty()) else {
            continue;
        };
        if found.as_ref().is_none_or(|(_, len)| *len < domain.len()) {
            found = Some((bucket.to_owned(), domain.len()));
        }
    }
    found.map(|(bucket, _)| bucket)
}

/// Cuts `:port` and the root dot off a host; an IPv6 literal keeps its brackets.
fn without_port(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// Decodes percent-escapes. A broken escape is refused: servers disagree on what it means, and the
/// key that is bound here must be the key that is stored there.
fn decode(raw: &str) -> Result<String, TargetError> {
    let escapes_hold = raw.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    if !escapes_hold {
        return Err(TargetError::Uri);
    }
    String::from_utf8(uri::decode(raw).into_owned()).map_err(|_| TargetError::Uri)
}

/// More than any S3 server allows (255 in the oldest AWS region).
const BUCKET_LEN_MAX: usize = 255;

#[cfg(test)]
mod tests;
