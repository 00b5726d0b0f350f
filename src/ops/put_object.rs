//! PutObject: the body is sealed as it arrives, and nothing is stored unless all that the client
//! claimed about it holds.

use http::Method;
use hyper::Response;

use super::context::{Cx, S3Request};
use super::encryption::{self, Plan, ShowContext};
use super::outgoing::{self, BodyHeaders};
use super::policy::ResolvedRule;
use super::store::{self, Source, seal_failed, too_large};
use crate::body::Body;
use crate::body::claimed::ClaimedBody;
use crate::error::Error;
use crate::format::{Layout, MAX_SINGLE_LEN, SingleSealer};

/// See the module.
pub async fn put_object(cx: &Cx, mut request: S3Request) -> Result<Response<Body>, Error> {
    let rule = request.rule(cx)?;
    // Everything that headers can say is checked before a data key is made.
    let verifier = request.payload_verifier()?;
    let len = verifier.plaintext_len();
    check_len(len)?;
    let plan = encryption::plan(cx, &request, rule).await?;
    let body = request.claimed_body(cx, verifier)?;
    store(cx, &request, (rule, plan), body, len).await
}

/// Stores a body of `len` bytes, of which none has been read, as the object of a request.
pub async fn store<B: Source>(
    cx: &Cx,
    request: &S3Request,
    (rule, plan): (&ResolvedRule, Plan),
    body: ClaimedBody<B>,
    len: u64,
) -> Result<Response<Body>, Error> {
    let mut upstream = request.upstream(Method::PUT);
    upstream.headers = outgoing::headers(request, BodyHeaders::Drop);
    upstream.query = outgoing::query(request);
    let plan = match plan {
        Plan::Plain => return store::send_plain(cx, upstream, body, len).await,
        Plan::Sealed(plan) => plan,
    };
    let (bucket, key) = request.object()?;
    let sealing = plan
        .start(cx, &rule.rule, bucket, key, Layout::Single)
        .await?;
    sealing.add_metadata(&mut upstream.headers)?;
    store::name_type(&mut upstream.headers);
    let sealer = SingleSealer::new(cx.settings.cipher, sealing.content_key, len);
    let sealer = sealer.map_err(seal_failed)?;
    let sent = store::send_sealed(cx, request.brake.quota(), upstream, body, sealer);
    let mut response = sent.await?;
    if response.status().is_success() {
        let envelope = &sealing.metadata.envelope;
        encryption::show(
            cx,
            response.headers_mut(),
            envelope,
            ShowContext::Yes,
            request,
        )
        .await;
    }
    Ok(response)
}

/// Refuses what one request cannot store.
pub fn check_len(len: u64) -> Result<(), Error> {
    if len > MAX_SINGLE_LEN {
        return Err(too_large(len, MAX_SINGLE_LEN).into());
    }
    Ok(())
}
