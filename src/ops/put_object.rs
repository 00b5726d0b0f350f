//! PutObject: the body is sealed as it arrives, and nothing is stored unless all that the client
//! claimed about it holds.

use http::Method;
use hyper::Response;

use super::context::{Cx, S3Request};
use super::encryption::{self, Plan, ShowContext};
use super::outgoing::{self, BodyHeaders};
use super::store::{self, seal_failed, too_large};
use crate::body::Body;
use crate::error::Error;
use crate::format::{Layout, MAX_SINGLE_LEN, SingleSealer};

/// See the module.
pub async fn put_object(cx: &Cx, mut request: S3Request) -> Result<Response<Body>, Error> {
    let rule = request.rule(cx)?;
    let mut upstream = request.upstream(Method::PUT);
    upstream.headers = outgoing::headers(&request, BodyHeaders::Drop);
    upstream.query = outgoing::query(&request);
    // Everything that headers can say is checked before a data key is made.
    let verifier = request.payload_verifier()?;
    let len = verifier.plaintext_len();
    if len > MAX_SINGLE_LEN {
        return Err(too_large(len, MAX_SINGLE_LEN).into());
    }
    let plan = match encryption::plan(cx, &request, rule).await? {
        Plan::Plain => {
            let body = request.claimed_body(cx, verifier)?;
            return store::send_plain(cx, upstream, body, len).await;
        }
        Plan::Sealed(plan) => plan,
    };
    let (bucket, key) = request.object()?;
    let sealing = plan
        .start(cx, &rule.rule, bucket, key, Layout::Single)
        .await?;
    sealing.add_metadata(&mut upstream.headers)?;
    store::name_type(&mut upstream.headers);
    let sealer = SingleSealer::new(cx.settings.cipher, sealing.content_key, len);
    let body = request.claimed_body(cx, verifier)?;
    let sent = store::send_sealed(cx, upstream, body, sealer.map_err(seal_failed)?);
    let mut response = sent.await?;
    if response.status().is_success() {
        let envelope = &sealing.metadata.envelope;
        encryption::show(response.headers_mut(), envelope, ShowContext::Yes);
    }
    Ok(response)
}
