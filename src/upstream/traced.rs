//! The spans of upstream requests: one for each attempt, from its first byte to the head of its response.

use hyper::{Request, Response};
use opentelemetry::trace::SpanKind;

use super::{Settings, UpstreamError};
use crate::telemetry::traces::span::{CallSpan, method_name};

/// Begins the span of a signed request, and names it in the request: after the signature, so that
/// whatever forwards it may replace the name.
pub(super) fn begin(
    settings: &Settings,
    request: &mut Request<()>,
    repetition: u32,
) -> Option<CallSpan> {
    let traces = settings.traces.as_ref()?;
    let method = method_name(request.method());
    let mut span = traces.call(method, SpanKind::Client)?;
    if span.is_recording() {
        span.tag("http.request.method", method);
        // As configured: the host that is sent to may have the name of a bucket in it.
        let (host, port) = settings.endpoint.host_and_port();
        span.tag("server.address", host.to_owned());
        span.tag("server.port", i64::from(port));
        if repetition > 0 {
            span.tag("http.request.resend_count", i64::from(repetition));
        }
    }
    span.inject(request.headers_mut());
    Some(span)
}

/// Ends it with the head of the response, or without one.
pub(super) fn end<B>(span: Option<CallSpan>, sent: &Result<Response<B>, UpstreamError>) {
    let Some(mut span) = span else {
        return;
    };
    let status = match sent {
        Ok(response) => response.status().as_u16(),
        Err(error) => return span.fail(error.kind()),
    };
    span.tag("http.response.status_code", i64::from(status));
    if status >= 400 && !ANSWERS.contains(&status) {
        span.fail(status.to_string());
    } else {
        span.end();
    }
}

/// What is not there, or not as asked for: answers of S3 like others.
const ANSWERS: [u16; 3] = [404, 412, 416];
