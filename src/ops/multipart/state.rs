//! The ids of running uploads, for clients that go on with the upstream's ids: they find those in
//! `ListMultipartUploads`. This replica's memory knows its own; the upload-state bucket, where one
//! is configured, knows all: one small object per running upload.
//!
//! What is stored is the sealed id, which proves itself: it carries no key but a wrapped one, and
//! belongs to one bucket, key and upload.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::time::timeout;

use super::UPLOAD_ID_LEN_MAX;
use crate::config::place::S3Place;
use crate::error::Error;
use crate::ops::context::Cx;
use crate::ops::incoming;
use crate::s3::sigv4::sha256_hex;
use crate::upstream::request::{Payload, UpstreamRequest};

/// One upload.
#[derive(Clone, Copy)]
pub struct Named<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// The decoded key.
    pub key: &'a str,
    /// The upstream's id.
    pub upstream_id: &'a str,
}

impl Named<'_> {
    /// Keeps the sealed id of a new upload. That the state bucket is away must not keep anybody from
    /// uploading: the client has the id, and needs nothing else.
    pub async fn keep(self, cx: &Cx, sealed: &str) {
        self.remember(cx, sealed);
        let Some(mut request) = self.request(cx, Method::PUT) else {
            return;
        };
        request.payload = Payload::Buffered {
            bytes: Bytes::copy_from_slice(sealed.as_bytes()),
            checksum: cx.settings.upstream_checksum,
        };
        // Nor must one that hangs: the client would take it for the upload that hangs, and begin another.
        let kept = timeout(PATIENCE, cx.upstream.send(request)).await;
        let kept = kept
            .map_err(|_elapsed| REFUSED)
            .and_then(|sent| sent.map_err(Error::from));
        let kept = kept.and_then(|response| match response.status() {
            status if status.is_success() => Ok(()),
            _ => Err(REFUSED),
        });
        if let Err(error) = kept {
            tracing::warn!(%error, "an upload could not be written to uploads.state");
        }
    }

    /// Keeps the sealed id in this replica's memory.
    pub fn remember(self, cx: &Cx, sealed: &str) {
        cx.uploads
            .insert(self.bucket, self.key, self.upstream_id, sealed);
    }

    /// The sealed id, if this replica knows it.
    pub fn known(self, cx: &Cx) -> Option<Arc<str>> {
        cx.uploads.get(self.bucket, self.key, self.upstream_id)
    }

    /// The sealed id, if anybody knows it.
    ///
    /// # Errors
    ///
    /// The state bucket does not answer: whether there is such an upload is not known.
    pub async fn find(self, cx: &Cx) -> Result<Option<Arc<str>>, Error> {
        let known = self.known(cx);
        let Some(request) = self.request(cx, Method::GET).filter(|_| known.is_none()) else {
            return Ok(known);
        };
        let response = cx.upstream.send(request).await?;
        match response.status() {
            StatusCode::OK => {
                let sealed =
                    incoming::document(response.into_body(), UPLOAD_ID_LEN_MAX as u64).await?;
                Ok(std::str::from_utf8(&sealed).ok().map(Arc::from))
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(REFUSED),
        }
    }

    /// Forgets an upload that has ended. What stays behind opens nothing, and is for a lifecycle
    /// rule to remove; this replica's memory, to answer the client that asks again.
    pub async fn forget(self, cx: &Cx) {
        let Some(request) = self.request(cx, Method::DELETE) else {
            return;
        };
        match timeout(PATIENCE, cx.upstream.send(request)).await {
            Ok(Ok(_removed)) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "an upload could not be removed from uploads.state");
            }
            Err(_elapsed) => tracing::warn!("uploads.state does not answer"),
        }
    }

    /// A request about its object in the state bucket, in the proxy's own name.
    fn request(self, cx: &Cx, method: Method) -> Option<UpstreamRequest> {
        let place = cx.settings.upload_state.as_ref()?;
        let key = self.state_key(place);
        let mut request = UpstreamRequest::new(method, Some(&place.bucket), Some(&key));
        request.operation = "UploadState";
        Some(request)
    }

    /// Names of any length and alphabet, as one of 64 characters.
    fn state_key(self, place: &S3Place) -> String {
        let mut names = Vec::new();
        for name in [self.bucket, self.key, self.upstream_id] {
            names.extend_from_slice(&(name.len() as u64).to_be_bytes());
            names.extend_from_slice(name.as_bytes());
        }
        format!("{}{}", place.prefix, sha256_hex(&names))
    }
}

/// How long a client waits for its upload to be kept or forgotten.
const PATIENCE: Duration = Duration::from_secs(3);

const REFUSED: Error = Error::UpstreamAnswer("the state of uploads is refused");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_upload_has_a_place_of_its_own() {
        let place = S3Place {
            bucket: "ops".to_owned(),
            prefix: "uploads/".to_owned(),
        };
        let name = |bucket, key, upstream_id| {
            let named = Named {
                bucket,
                key,
                upstream_id,
            };
            named.state_key(&place)
        };
        let names = [
            name("a", "bc", "d"),
            name("ab", "c", "d"),
            name("a", "b", "cd"),
            name("a", "bc", "e"),
        ];
        for (index, one) in names.iter().enumerate() {
            assert!(one.starts_with("uploads/") && one.len() == 8 + 64, "{one}");
            assert!(names.iter().skip(index + 1).all(|other| other != one));
        }
    }
}
