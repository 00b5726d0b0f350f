//! ListObjects, ListObjectsV2, ListObjectVersions: plaintext sizes and shown ETags, written into
//! the upstream's document as it streams by.

use http::StatusCode;
use http::header::ACCEPT_RANGES;
use hyper::Response;

use super::context::{Cx, S3Request};
use super::outgoing::{self, BodyHeaders};
use super::{incoming, listed_sizes};
use crate::body::listing::ListingBody;
use crate::body::{Body, collect};
use crate::error::Error;
use crate::format::sizes::listed_plaintext_len;
use crate::s3::xml::list::ListRewriter;

/// See the module.
pub async fn list_objects(cx: &Cx, request: S3Request) -> Result<Response<Body>, Error> {
    request.rule(cx)?;
    let mut upstream = request.upstream(request.method.clone());
    upstream.headers = outgoing::headers(&request, BodyHeaders::Drop);
    upstream.query = outgoing::query(&request);
    let response = cx.upstream.send(upstream).await?;
    if response.status() != StatusCode::OK {
        return incoming::relay(cx, response).await;
    }
    let (parts, body) = response.into_parts();
    let mut headers = incoming::headers(cx, &parts.headers);
    if let Some(value) = parts.headers.get(ACCEPT_RANGES) {
        headers.insert(ACCEPT_RANGES, value.clone());
    }
    if cx.settings.lists_by_head {
        let listing = collect(body, listed_sizes::LISTING_LEN_MAX).await?;
        let document = listed_sizes::rewrite(cx, &request, &listing).await?;
        return Ok(incoming::respond(
            parts.status,
            headers,
            Body::full(document),
        ));
    }
    let is_plain = request
        .bucket()
        .is_some_and(|bucket| cx.rules.is_plain(bucket));
    let plaintext_len = move |stored, parts| {
        if is_plain {
            Some(stored)
        } else {
            listed_plaintext_len(stored, parts)
        }
    };
    let rewriter = ListRewriter::new(cx.settings.etag_style, plaintext_len);
    Ok(incoming::respond(
        parts.status,
        headers,
        Body::new(ListingBody::new(body, rewriter)),
    ))
}
