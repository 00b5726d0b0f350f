//! `AbortMultipartUpload`.

use http::Method;
use hyper::Response;

use super::state::Named;
use super::{Upload, upstream_query};
use crate::body::Body;
use crate::error::Error;
use crate::ops::context::{Cx, S3Request};
use crate::ops::incoming;
use crate::ops::outgoing::{self, BodyHeaders};

/// See the module.
pub async fn abort(cx: &Cx, request: S3Request) -> Result<Response<Body>, Error> {
    let rule = request.rule(cx)?;
    let upload = Upload::find_any(cx, &request, rule).await?;
    let (bucket, key) = request.object()?;
    let mut upstream = request.upstream(Method::DELETE);
    upstream.headers = outgoing::headers(&request, BodyHeaders::Drop);
    upstream.query = upstream_query(&request, upload.upstream_id());
    let response = cx.upstream.send(upstream).await?;
    if response.status().is_success() {
        let upstream_id = upload.upstream_id();
        let named = Named {
            bucket,
            key,
            upstream_id,
        };
        named.forget(cx).await;
    }
    incoming::relay(cx, response).await
}
