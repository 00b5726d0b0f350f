//! Sub-resources of an object that was written a moment ago, which some servers do not take from the
//! headers of the write: tags and ACLs.

use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderMap, HeaderValue};
use md5::{Digest, Md5};

use super::context::Cx;
use super::incoming::insert_text;
use crate::error::Error;
use crate::s3::headers::X_AMZ_VERSION_ID;
use crate::s3::query::version_query;
use crate::upstream::request::{Payload, UpstreamRequest};

/// The query for the version that an answer to a write names; empty if it names none.
pub fn written_version(done: &HeaderMap) -> String {
    version_query(done.get(X_AMZ_VERSION_ID).map(HeaderValue::as_bytes))
}

/// The query for a sub-resource of the object, or of the version that `version` is the query for.
pub fn with_version(subresource: &str, version: &str) -> String {
    if version.is_empty() {
        return format!("{subresource}=");
    }
    format!("{subresource}=&{version}")
}

/// Writes a sub-resource of what `put` names, its version included; whether the upstream took it.
pub async fn put_document(
    cx: &Cx,
    mut put: UpstreamRequest,
    subresource: &str,
    document: Bytes,
) -> Result<bool, Error> {
    put.query = with_version(subresource, &put.query);
    let md5 = BASE64.encode(&Md5::digest(&document));
    insert_text(&mut put.headers, "content-md5", &md5);
    put.payload = Payload::Buffered {
        bytes: document,
        checksum: false,
    };
    Ok(cx.upstream.send(put).await?.status().is_success())
}
