//! Every refusal through a running proxy: exact code and status, nothing sent upstream where the
//! head decides, and nothing stored where the body does.

mod access;
mod authentication;
mod bodies;
mod encryption;
mod requests;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use crate::support::client::{Answer, Client, Draft};
use crate::support::wire::Untouched;
use crate::support::{Options, Proxy};

/// A proxy whose upstream must not be called.
struct Gate {
    proxy: Proxy,
    client: Client,
    upstream: Untouched,
}

impl Gate {
    async fn start(options: Options) -> Self {
        let upstream = Untouched::start().await;
        let proxy = Proxy::start(upstream.address, options).await;
        let client = proxy.client();
        Self {
            proxy,
            client,
            upstream,
        }
    }

    /// Sends a request that must be refused.
    async fn refuses(&self, what: &str, draft: Draft, status: u16, code: &str) -> Answer {
        self.refuses_request(what, draft.build(), status, code)
            .await
    }

    /// As [`Self::refuses`], for a request that was changed after it was signed.
    async fn refuses_request(
        &self,
        what: &str,
        request: Request<Full<Bytes>>,
        status: u16,
        code: &str,
    ) -> Answer {
        let answer = self.client.send(request).await;
        assert_refused(what, &answer, status, code);
        answer
    }

    /// No connection was made upstream.
    async fn stop(self) {
        self.proxy.stop().await;
        assert_eq!(self.upstream.calls(), 0, "the upstream was called");
    }
}

/// Status, code, and what every error document has.
fn assert_refused(what: &str, answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (status, code),
        "{what}: {answer:?}"
    );
    assert_eq!(
        answer.header("content-type"),
        Some("application/xml"),
        "{what}"
    );
    assert!(!answer.element("Message").is_empty(), "{what}: {answer:?}");
    let id = answer.element("RequestId");
    assert!(!id.is_empty(), "{what}: {answer:?}");
    assert_eq!(
        answer.header("x-s3seal-request-id"),
        Some(id.as_str()),
        "{what}"
    );
}

/// A request without a body whose URL is another one than was signed.
fn with_query(draft: Draft, change: impl FnOnce(String) -> String) -> Request<Full<Bytes>> {
    let mut request = draft.build();
    *request.uri_mut() = change(request.uri().to_string()).parse().unwrap();
    request
}

/// A request with another value of a header than was signed.
fn with_header(
    draft: Draft,
    name: &'static str,
    change: impl FnOnce(String) -> String,
) -> Request<Full<Bytes>> {
    let mut request = draft.build();
    let value = request.headers()[name].to_str().unwrap().to_owned();
    request
        .headers_mut()
        .insert(name, change(value).parse().unwrap());
    request
}
