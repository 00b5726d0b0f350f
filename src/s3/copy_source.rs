//! What a copy is made of: `x-amz-copy-source` and the headers beside it.

use http::{HeaderMap, HeaderValue};

use super::error_code::{ErrorCode, S3Error};
use super::headers::X_AMZ_COPY_SOURCE;
use super::range::ResolvedRange;
use super::target::{BucketName, ObjectKey, Target, TargetError};
use super::uri;

/// The object that a copy is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopySource {
    bucket: BucketName,
    key: ObjectKey,
    version: Option<String>,
}

/// Whether something is copied from the source or comes with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive {
    /// From the source.
    Copy,
    /// From the request.
    Replace,
}

impl CopySource {
    /// The current version of an object.
    pub fn of(bucket: BucketName, key: ObjectKey) -> Self {
        Self {
            bucket,
            key,
            version: None,
        }
    }

    /// Reads `x-amz-copy-source`: `[/]bucket/key[?versionId=id]`, percent-encoded once.
    pub fn parse(headers: &HeaderMap) -> Result<Self, S3Error> {
        let raw = headers
            .get(X_AMZ_COPY_SOURCE)
            .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
            .ok_or_else(invalid)?;
        let (path, version) = match raw.split_once("?versionId=") {
            Some((path, version)) => (path, Some(version)),
            None => (raw, None),
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        if path.starts_with("arn:") {
            return Err(TargetError::Arn.to_s3());
        }
        // Some clients encode the slash behind the bucket, too.
        let path = match path.split_once('/') {
            Some((bucket, key)) if !bucket.contains("%2F") && !bucket.contains("%2f") => {
                (bucket.to_owned(), key.to_owned())
            }
            _ => {
                let decoded = uri::decode(path).into_owned();
                let decoded = String::from_utf8(decoded).map_err(|_| invalid())?;
                let (bucket, key) = decoded.split_once('/').ok_or_else(invalid)?;
                let key = uri::encode_path(key.as_bytes()).into_owned();
                (bucket.to_owned(), key)
            }
        };
        let version = version.map(|version| {
            let decoded = uri::decode(version).into_owned();
            String::from_utf8(decoded).map_err(|_| invalid())
        });
        Ok(Self {
            bucket: BucketName::parse(&path.0).map_err(|error| error.to_s3())?,
            key: ObjectKey::parse(&path.1).map_err(|_| invalid())?,
            version: version.transpose()?.filter(|version| !version.is_empty()),
        })
    }

    /// The bucket.
    pub fn bucket(&self) -> &str {
        self.bucket.as_str()
    }

    /// The decoded key.
    pub fn key(&self) -> &str {
        self.key.decoded()
    }

    /// The version, if one is named.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The target of a request that reads it.
    pub fn target(&self) -> Target {
        Target::Object {
            bucket: self.bucket.clone(),
            key: self.key.clone(),
        }
    }

    /// The header that names it upstream.
    pub fn header_value(&self) -> String {
        let key = uri::encode_path(self.key().as_bytes());
        let path = format!("/{}/{key}", self.bucket());
        match &self.version {
            Some(version) => {
                let version = uri::encode_component(version.as_bytes());
                format!("{path}?versionId={version}")
            }
            None => path,
        }
    }
}

impl Directive {
    /// Reads `x-amz-metadata-directive` or `x-amz-tagging-directive`; COPY where there is none.
    pub fn parse(headers: &HeaderMap, name: &'static str) -> Result<Self, S3Error> {
        match headers.get(name).map(HeaderValue::as_bytes) {
            None | Some(b"COPY") => Ok(Self::Copy),
            Some(b"REPLACE") => Ok(Self::Replace),
            Some(other) => Err(S3Error::invalid_argument(
                "Unknown metadata directive.",
                name,
                String::from_utf8_lossy(other),
            )),
        }
    }
}

/// Reads `x-amz-copy-source-range`, held against the size of the source in bytes; `None` for all
/// of it.
pub fn copy_range(headers: &HeaderMap, size: u64) -> Result<Option<ResolvedRange>, S3Error> {
    let Some(value) = headers.get(RANGE) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse().ok()).flatten()
    };
    let range = text
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
        .and_then(|(first, last)| ResolvedRange::new(number(first)?, number(last)?));
    let Some(range) = range else {
        return Err(S3Error::invalid_argument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and \
             last are the zero-based offsets of the first and last bytes to copy",
            RANGE,
            text,
        ));
    };
    if range.last() >= size {
        return Err(S3Error::invalid_argument(
            format!("Range specified is not valid for source object of size: {size}"),
            RANGE,
            text,
        ));
    }
    Ok(Some(range))
}

fn invalid() -> S3Error {
    S3Error::invalid_argument(
        "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
        X_AMZ_COPY_SOURCE.as_str(),
        String::new(),
    )
}

/// Which bytes of the source become a part.
const RANGE: &str = "x-amz-copy-source-range";

/// What is refused where the source is too large to be copied at once, in plaintext bytes (S3).
pub const COPY_LEN_MAX: u64 = 5 << 30;

/// The error of a source beyond [`COPY_LEN_MAX`].
pub fn too_large() -> S3Error {
    S3Error::with_message(
        ErrorCode::InvalidRequest,
        "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Result<CopySource, S3Error> {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        headers.insert(X_AMZ_COPY_SOURCE, value);
        CopySource::parse(&headers)
    }

    #[test]
    fn sources_are_read_as_clients_write_them() {
        for (value, bucket, key, version) in [
            ("b/k", "b", "k", None),
            ("/b/a/../k", "b", "a/../k", None),
            ("b/a%2Fk%20%2B+", "b", "a/k ++", None),
            ("b%2Fa%2Fk", "b", "a/k", None),
            ("/b/k?versionId=v%2B1", "b", "k", Some("v+1")),
            ("b/k%3FversionId=x", "b", "k?versionId=x", None),
            ("b/k?versionId=", "b", "k", None),
            ("b/ü", "b", "ü", None),
            ("b//k/", "b", "/k/", None),
        ] {
            let source = parse(value).unwrap();
            assert_eq!((source.bucket(), source.key()), (bucket, key), "{value}");
            assert_eq!(source.version(), version, "{value}");
            assert_eq!(parse(&source.header_value()).unwrap().key(), key);
        }
        for value in ["", "/", "b", "b/", "/b", "../k", "b/%ff"] {
            assert!(parse(value).is_err(), "{value}");
        }
        let arn = parse("arn:aws:s3:us-east-1:1:accesspoint/x/object/k").unwrap_err();
        assert_eq!(arn.code, ErrorCode::NotImplemented);
    }

    #[test]
    fn ranges_of_sources_are_strict() {
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, HeaderValue::from_static(value));
            copy_range(&headers, 100)
        };
        assert_eq!(copy_range(&HeaderMap::new(), 0), Ok(None));
        let range = read("bytes=10-99").unwrap().unwrap();
        assert_eq!((range.first(), range.last()), (10, 99));
        for value in [
            "bytes=0-100",
            "bytes=5-4",
            "bytes=0-",
            "bytes=-5",
            "0-1",
            "bytes=+1-2",
            "bytes=0-1,3-4",
            "",
        ] {
            let error = read(value).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidArgument, "{value}");
        }
    }

    #[test]
    fn directives_are_two() {
        let name = "x-amz-metadata-directive";
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            Directive::parse(&headers, name)
        };
        assert_eq!(
            Directive::parse(&HeaderMap::new(), name),
            Ok(Directive::Copy)
        );
        assert_eq!(read("COPY"), Ok(Directive::Copy));
        assert_eq!(read("REPLACE"), Ok(Directive::Replace));
        assert!(read("copy").is_err());
    }
}
