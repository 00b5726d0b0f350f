//! The registry of bucket keys in a bucket of the upstream: one small object per bucket key.

use async_trait::async_trait;
use http::{Method, StatusCode};

use crate::body::collect;
use crate::config::place::S3Place;
use crate::keys::bucket_keys::registry::{RegistryError, RegistryStore};
use crate::s3::xml::error::{ERROR_DOCUMENT_LEN_MAX, ErrorDocument};
use crate::upstream::Upstream;
use crate::upstream::request::{Payload, UpstreamRequest};
use crate::upstream::walk::{Walk, Which};

/// A registry in the upstream, reached in the proxy's own name.
pub struct S3Registry {
    upstream: Upstream,
    place: S3Place,
    /// Whether the upstream takes `x-amz-checksum-crc64nvme`.
    checksum: bool,
}

impl S3Registry {
    /// The registry at `place`.
    pub fn new(upstream: Upstream, place: S3Place, checksum: bool) -> Self {
        Self {
            upstream,
            place,
            checksum,
        }
    }

    fn request(&self, method: Method, name: &str) -> UpstreamRequest {
        let key = format!("{}{name}", self.place.prefix);
        let mut request = UpstreamRequest::new(method, Some(&self.place.bucket), Some(&key));
        request.operation = "KeyRegistry";
        request
    }

    /// The body of a success; `None` if there is no such object.
    async fn send(&self, request: UpstreamRequest) -> Result<Option<Vec<u8>>, RegistryError> {
        let response = self.upstream.send(request).await.map_err(failed)?;
        let status = response.status();
        let limit = if status.is_success() {
            ENTRY_LEN_MAX
        } else {
            ERROR_DOCUMENT_LEN_MAX as u64
        };
        let body = collect(response.into_body(), limit).await.map_err(failed)?;
        if status.is_success() {
            return Ok(Some(body.to_vec()));
        }
        let error = ErrorDocument::parse(&body);
        let code = error.as_ref().map_or("", |error| error.code());
        // A bucket that is not there is a mistake, and not an empty registry.
        if status == StatusCode::NOT_FOUND && code != "NoSuchBucket" {
            return Ok(None);
        }
        Err(RegistryError::Away(format!(
            "the upstream answers {status} {code}"
        )))
    }
}

#[async_trait]
impl RegistryStore for S3Registry {
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, RegistryError> {
        self.send(self.request(Method::GET, name)).await
    }

    async fn put(&self, name: &str, entry: Vec<u8>) -> Result<(), RegistryError> {
        let mut request = self.request(Method::PUT, name);
        request.payload = Payload::Buffered {
            bytes: entry.into(),
            checksum: self.checksum,
        };
        match self.send(request).await? {
            Some(_) => Ok(()),
            None => Err(RegistryError::Away("the upstream answers 404".to_owned())),
        }
    }

    async fn names(&self, folder: &str) -> Result<Vec<String>, RegistryError> {
        let S3Place { bucket, prefix } = &self.place;
        let prefix = format!("{prefix}{folder}/");
        let mut walk = Walk::new(&self.upstream, bucket, &prefix, Which::Current, None);
        let mut names = Vec::new();
        while let Some(page) = walk.next_page().await.map_err(failed)? {
            let keys = page.objects.iter().map(|object| object.key.as_str());
            let found = keys.filter_map(|key| key.strip_prefix(prefix.as_str()));
            names.extend(found.map(str::to_owned));
        }
        Ok(names)
    }
}

fn failed(error: impl std::error::Error) -> RegistryError {
    RegistryError::Away(error.to_string())
}

/// Two names and a wrap of some hundred bytes.
const ENTRY_LEN_MAX: u64 = 256 << 10;
