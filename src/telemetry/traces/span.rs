//! The spans that there are: of a request, and of a call that it needs.

use std::borrow::Cow;

use http::{HeaderMap, Method};
use opentelemetry::trace::{Span as _, Status, TraceContextExt, TraceId};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::Span;

use super::{Asked, w3c};

/// The span of a request, until the end of its answer.
#[derive(Debug)]
pub struct RequestSpan {
    trace: Context,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The HTTP status of the answer.
    pub status: u16,
    /// The S3 code it was refused with.
    pub error: Option<&'static str>,
    /// `ok`, `refused`, `failed` or `cut`.
    pub outcome: &'static str,
    /// Body bytes received.
    pub bytes_in: u64,
    /// Body bytes sent.
    pub bytes_out: u64,
}

impl RequestSpan {
    pub(super) fn new(mut span: Span, asked: Asked<'_>) -> Self {
        if span.is_recording() {
            span.set_attributes([
                KeyValue::new("http.request.method", method_name(asked.method)),
                KeyValue::new("url.scheme", if asked.is_tls { "https" } else { "http" }),
                KeyValue::new("rpc.system", "aws-api"),
                KeyValue::new("rpc.service", "S3"),
                KeyValue::new("rpc.method", asked.operation),
                KeyValue::new("aws.request_id", asked.id.as_str().to_owned()),
            ]);
        }
        Self {
            trace: Context::new().with_span(span),
        }
    }

    /// What its calls are made in.
    pub fn trace(&self) -> Context {
        self.trace.clone()
    }

    /// The trace that it belongs to.
    pub fn trace_id(&self) -> TraceId {
        self.trace.span().span_context().trace_id()
    }

    /// Ends it.
    pub fn end(&self, ended: Ended) {
        let span = self.trace.span();
        if span.is_recording() {
            span.set_attribute(KeyValue::new("s3seal.outcome", ended.outcome));
            for (name, bytes) in [
                ("http.request.body.size", ended.bytes_in),
                ("http.response.body.size", ended.bytes_out),
            ] {
                let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                span.set_attribute(KeyValue::new(name, bytes));
            }
            let status = i64::from(ended.status);
            span.set_attribute(KeyValue::new("http.response.status_code", status));
            if let Some(code) = ended.error {
                span.set_attribute(KeyValue::new("error.type", code));
            }
            // What is the client's fault is no error of a server.
            if ended.outcome == "failed" {
                span.set_status(Status::error(ended.error.unwrap_or_default()));
            }
        }
        span.end();
    }
}

/// The span of a call. Dropped before it is ended, it is of a call that nobody waits for any more.
#[derive(Debug)]
// Boxed: where there is none, futures hardly need room for it.
pub struct CallSpan(Box<Call>);

#[derive(Debug)]
struct Call {
    span: Span,
    is_ended: bool,
}

impl CallSpan {
    pub(super) fn new(span: Span) -> Self {
        Self(Box::new(Call {
            span,
            is_ended: false,
        }))
    }

    /// Whether anybody will see what it says.
    pub fn is_recording(&self) -> bool {
        self.0.span.is_recording()
    }

    /// Says something more about it.
    pub fn tag(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.span.set_attribute(KeyValue::new(name, value));
    }

    /// Tells whoever is called which span this is.
    pub fn inject(&self, headers: &mut HeaderMap) {
        w3c::inject(self.0.span.span_context(), headers);
    }

    /// It went well.
    pub fn end(mut self) {
        self.finish();
    }

    /// It did not.
    pub fn fail(mut self, error: impl Into<Cow<'static, str>>) {
        if self.is_recording() {
            self.tag("error.type", error.into());
            self.0.span.set_status(Status::error(""));
        }
        self.finish();
    }

    fn finish(&mut self) {
        self.0.is_ended = true;
        self.0.span.end();
    }
}

impl Drop for CallSpan {
    fn drop(&mut self) {
        if !self.0.is_ended {
            self.tag("s3seal.outcome", "cut");
            self.finish();
        }
    }
}

/// The method, if it is one that is known: others are whatever a client has thought of.
pub fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::DELETE => "DELETE",
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::POST => "POST",
        Method::PUT => "PUT",
        _ => "_OTHER",
    }
}
