//! `AbortMultipartUpload`.

use http::Method;
use hyper::Response;

use super::{Upload, upstream_query};
use crate::body::Body;
use crate::error::Error;
use crate::ops::context::{Cx, S3Request};
use crate::ops::incoming;
use crate::ops::outgoing::{self, BodyHeaders};

/// See the module.
pub async fn abort(cx: &Cx, request: S3Request) -> Result<Response<Body>, Error> {
    let rule = request.rule(cx)?;
    let upload = Upload::find(cx, &request, rule).await?;
    let (bucket, key) = request.object()?;
    let mut upstream = request.upstream(Method::DELETE);
    upstream.headers = outgoing::headers(&request, BodyHeaders::Drop);
    upstream.query = upstream_query(&request, upload.upstream_id());
    let response = cx.upstream.send(upstream).await?;
    if response.status().is_success() {
        cx.uploads.remove(bucket, key, upload.upstream_id());
    }
    incoming::relay(cx, response).await
}
