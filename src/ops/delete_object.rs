//! DeleteObject: relayed, with the condition in the upstream's terms.

use hyper::Response;

use super::context::{Cx, S3Request};
use super::incoming;
use super::outgoing::{self, BodyHeaders};
use crate::body::Body;
use crate::error::Error;

/// See the module.
pub async fn delete_object(cx: &Cx, request: S3Request) -> Result<Response<Body>, Error> {
    request.rule(cx)?;
    let mut upstream = request.upstream(request.method.clone());
    upstream.headers = outgoing::headers(&request, BodyHeaders::Drop);
    upstream.query = outgoing::query(&request);
    incoming::relay(cx, cx.upstream.send(upstream).await?).await
}
