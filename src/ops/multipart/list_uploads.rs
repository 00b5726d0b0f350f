//! `ListMultipartUploads`: the upstream's ids, or the sealed ones where this replica knows them.

use http::{Method, StatusCode};
use hyper::Response;

use crate::body::Body;
use crate::error::Error;
use crate::format::UploadId;
use crate::ops::context::{Cx, S3Request};
use crate::ops::incoming;
use crate::ops::outgoing::{self, BodyHeaders};
use crate::s3::query::Query;
use crate::s3::uri;
use crate::s3::xml::multipart::show_uploads;

/// See the module.
pub async fn list_uploads(cx: &Cx, request: S3Request) -> Result<Response<Body>, Error> {
    request.rule(cx)?;
    let mut upstream = request.upstream(Method::GET);
    upstream.headers = outgoing::headers(&request, BodyHeaders::Drop);
    upstream.query = with_upstream_marker(&outgoing::query(&request));
    let response = cx.upstream.send(upstream).await?;
    if response.status() != StatusCode::OK {
        return incoming::relay(cx, response).await;
    }
    let (parts, body) = response.into_parts();
    let document = incoming::document(body, DOCUMENT_LEN_MAX).await?;
    let bucket = request.bucket().unwrap_or_default();
    let shown_id = |key: &str, id: &str| {
        let known = cx.uploads.get(bucket, key, id);
        known.map(|known| known.to_string())
    };
    let unreadable = Error::UpstreamAnswer("a list of uploads that cannot be read");
    let document = show_uploads(&document, shown_id).ok_or(unreadable)?;
    let headers = incoming::headers(cx, &parts.headers);
    Ok(incoming::respond(
        parts.status,
        headers,
        Body::full(document),
    ))
}

/// The marker is an id that was shown, and so may be a sealed one.
fn with_upstream_marker(query: &str) -> String {
    let pairs = Query::new(Some(query)).pairs();
    let pairs = pairs.map(|(name, value)| {
        let value = value.unwrap_or_default();
        let decoded = uri::decode(value);
        let text = std::str::from_utf8(&decoded).unwrap_or_default();
        let sealed = UploadId::parse(text).ok().flatten();
        match sealed.filter(|_| name == "upload-id-marker") {
            Some(id) => {
                let id = uri::encode_component(id.upstream_id().as_bytes());
                format!("{name}={id}")
            }
            None => format!("{name}={value}"),
        }
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// 1,000 uploads with keys of 1,024 bytes, escaped.
const DOCUMENT_LEN_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_that_are_not_sealed_stay() {
        for query in [
            "uploads=&key-marker=a%2Fb&upload-id-marker=up%2B1",
            "uploads=&upload-id-marker=s3seal1.broken",
            "uploads=",
        ] {
            assert_eq!(with_upstream_marker(query), query);
        }
    }
}
