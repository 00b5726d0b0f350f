//! What the access log will say about a request, gathered while it is served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use opentelemetry::Context;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::auth::Scheme;
use crate::body::observe::{End, Sent};
use crate::body::pace::Brake;
use crate::error::Fault;
use crate::ops::patience::Refusal;
use crate::ops::trail::{Mode, Trail};
use crate::s3::copy_source::CopySource;
use crate::s3::headers::X_AMZ_COPY_SOURCE;
use crate::s3::query::Query;
use crate::telemetry::access_log::{self, AccessRecord};
use crate::telemetry::audit::{self, AuditRecord, Slot};
use crate::telemetry::recent::Failure;
use crate::telemetry::request_id::RequestId;
use crate::telemetry::traces::span::{Ended, RequestSpan};

/// One line of the access log in the making.
pub struct Account {
    id: RequestId,
    operation: &'static str,
    peer: SocketAddr,
    uri: http::Uri,
    bucket: Option<String>,
    client: Option<String>,
    error: Option<(&'static str, Fault)>,
    /// A refusal that came after the head of the answer.
    late: Option<Refusal>,
    received: Arc<AtomicU64>,
    brake: Brake,
    trail: Trail,
    /// Nothing where there is no audit log.
    event: Option<Event>,
    /// Nothing where there are no traces.
    span: Option<RequestSpan>,
}

/// What only the audit log says.
#[derive(Default)]
struct Event {
    time: String,
    key: Option<String>,
    version: Option<String>,
    source: Option<Source>,
    scheme: Option<Scheme>,
    slot: Option<Slot>,
}

/// What a copy reads. In no other spelling than the operation's: a key can be written in many.
enum Source {
    Object(CopySource),
    /// It names none.
    Text(String),
}

impl Account {
    /// Begins with the request head.
    pub fn open(id: RequestId, operation: &'static str, peer: SocketAddr, parts: &Parts) -> Self {
        Self {
            id,
            operation,
            peer,
            uri: parts.uri.clone(),
            bucket: None,
            client: None,
            error: None,
            late: None,
            received: Arc::default(),
            brake: Brake::default(),
            trail: Trail::default(),
            event: None,
            span: None,
        }
    }

    /// Ends this span with the request, too.
    pub fn set_span(&mut self, span: RequestSpan) {
        self.span = Some(span);
    }

    /// The trace that it is served in.
    pub fn trace(&self) -> Option<Context> {
        self.span.as_ref().map(RequestSpan::trace)
    }

    /// The name of the request.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// The bucket it is about.
    pub fn set_bucket(&mut self, bucket: Option<&str>) {
        self.bucket = bucket.map(str::to_owned);
    }

    /// Who sent it.
    pub fn set_client(&mut self, client: Option<&str>) {
        self.client = client.map(str::to_owned);
    }

    /// The S3 code it is refused with, and whose fault that is.
    pub fn set_error(&mut self, code: &'static str, fault: Fault) {
        self.error = Some((code, fault));
    }

    /// The document behind the head of the answer is a refusal.
    pub fn set_late(&mut self, refusal: Refusal) {
        if let (Some(code), Some(fault)) = (refusal.code, refusal.fault) {
            self.set_error(code, fault);
        }
        self.late = Some(refusal);
    }

    /// The status that says how it ended: of the answer, unless that says 200 too soon.
    pub fn status(&self, sent: u16) -> u16 {
        self.late.map_or(sent, |refusal| refusal.status)
    }

    fn code(&self) -> Option<&'static str> {
        let own = self.error.map(|(code, _)| code);
        own.or_else(|| self.late?.code)
    }

    /// Gathers from here on what the audit log says, too; the request came at `time`.
    pub fn audit(&mut self, time: OffsetDateTime) {
        self.trail = Trail::kept();
        self.event = Some(Event {
            time: time.format(&Rfc3339).unwrap_or_default(),
            ..Event::default()
        });
    }

    /// The audit log has let it in.
    pub fn set_slot(&mut self, slot: Option<Slot>) {
        if let Some(event) = &mut self.event {
            event.slot = slot;
        }
    }

    /// See [`Self::set_slot`].
    pub fn slot(&self) -> Option<Slot> {
        self.event.as_ref()?.slot
    }

    /// How it is signed, as far as that is known.
    pub fn set_scheme(&mut self, scheme: Scheme) {
        if let Some(event) = &mut self.event {
            event.scheme = Some(scheme);
        }
    }

    /// The object it is about, and which version of it.
    pub fn set_object(&mut self, key: Option<&str>, query: Query<'_>) {
        if let Some(event) = &mut self.event {
            event.key = key.map(audit::bounded);
            let version = query.get("versionId");
            event.version = version.map(|it| audit::bounded(&String::from_utf8_lossy(&it)));
        }
    }

    /// What it copies.
    pub fn set_source(&mut self, headers: &HeaderMap) {
        if let Some(event) = &mut self.event {
            event.source = headers.get(X_AMZ_COPY_SOURCE).map(|text| {
                if let Ok(source) = CopySource::parse(headers) {
                    return Source::Object(source);
                }
                let text = String::from_utf8_lossy(text.as_bytes());
                Source::Text(audit::bounded(&access_log::without_signature(&text)))
            });
        }
    }

    /// Which keys it uses.
    pub fn trail(&self) -> Trail {
        self.trail.clone()
    }

    /// Its line in the audit log, if there is one.
    pub fn event(
        &self,
        status: u16,
        version: Option<&HeaderValue>,
        sent: Sent,
    ) -> Option<AuditRecord<'_>> {
        let event = self.event.as_ref()?;
        let used = self.trail.shown();
        let key = used.and_then(|used| used.key.as_ref());
        let (source, source_text) = match &event.source {
            Some(Source::Object(source)) => (Some(source), None),
            Some(Source::Text(text)) => (None, Some(text.clone())),
            None => (None, None),
        };
        let source_version = source.and_then(CopySource::version);
        let made = version.map(|it| audit::bounded(&String::from_utf8_lossy(it.as_bytes())));
        Some(AuditRecord {
            target: audit::TARGET,
            time: event.time.clone(),
            request_id: self.id.as_str(),
            client: self.client.as_deref(),
            peer: self.peer.to_string(),
            scheme: event.scheme.map(scheme_name),
            operation: self.operation,
            bucket: self.bucket.as_deref().map(audit::bounded),
            key: event.key.clone(),
            version_id: made.or_else(|| event.version.clone()),
            source_bucket: source.map(|it| audit::bounded(it.bucket())),
            source_key: source.map(|it| audit::bounded(it.key())),
            source_version_id: source_version.map(audit::bounded),
            source: source_text,
            status,
            error: self.code(),
            mode: used.map(|used| mode_name(used.mode)),
            provider: key.map(|key| key.provider.name()),
            key_id: key.map(|key| audit::bounded(&key.id)),
            key_version: key.map(|key| key.version),
            outcome: self.outcome(status, sent.end),
            bytes_in: self.received.load(Ordering::Relaxed),
            bytes_out: sent.bytes,
        })
    }

    fn outcome(&self, status: u16, end: End) -> &'static str {
        match (status, end) {
            _ if self.late.is_some() => "failed",
            (_, End::Cancelled) => "cut",
            (500.., _) | (_, End::Failed) => "failed",
            (400..500, End::Complete) => "refused",
            (_, End::Complete) => "ok",
        }
    }

    /// Where its body bytes are counted.
    pub fn received(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.received)
    }

    /// What to remember of it, if it did not go well. An upstream's word that something is not there, or
    /// not as the client expects, is an answer like others.
    pub fn failure(
        &self,
        clock: fn() -> OffsetDateTime,
        status: u16,
        sent: Sent,
    ) -> Option<Failure> {
        let status = self.status(status);
        let is_complete = sent.end != End::Failed;
        let is_answer = self.error.is_none() && matches!(status, 404 | 412 | 416);
        if is_complete && (status < 400 || is_answer) {
            return None;
        }
        let relayed = (status >= 500).then_some(Fault::Upstream);
        let fault = self.error.map_or(relayed, |(_, fault)| Some(fault));
        Some(Failure {
            at: clock().unix_timestamp(),
            request_id: self.id,
            operation: self.operation,
            status,
            code: self.code(),
            fault: fault.map(Fault::name),
            bucket: self.bucket.clone(),
            is_complete,
        })
    }

    /// What slows its bodies down.
    pub fn brake(&self) -> Brake {
        self.brake.clone()
    }

    /// Writes the line, and ends the span.
    pub fn close(&self, status: u16, duration: Duration, sent: Sent) {
        let uri = self.uri.path_and_query().map_or("", |uri| uri.as_str());
        access_log::log(&AccessRecord {
            request_id: self.id,
            operation: self.operation,
            bucket: self.bucket.as_deref(),
            uri,
            status,
            error: self.code(),
            bytes_in: self.received.load(Ordering::Relaxed),
            bytes_out: sent.bytes,
            duration,
            client: self.client.as_deref(),
            peer: self.peer,
            is_complete: sent.end == End::Complete,
            trace_id: self.span.as_ref().map(RequestSpan::trace_id),
        });
        if let Some(span) = &self.span {
            span.end(Ended {
                status,
                error: self.code(),
                outcome: self.outcome(status, sent.end),
                bytes_in: self.received.load(Ordering::Relaxed),
                bytes_out: sent.bytes,
            });
        }
    }
}

fn scheme_name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Anonymous => "anonymous",
        Scheme::Certificate => "certificate",
        Scheme::Form => "form",
        Scheme::Header => "header",
        Scheme::Presigned => "presigned",
    }
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::CustomerKey => "customer-key",
        Mode::Managed => "managed",
        Mode::NamedKey => "named-key",
    }
}
