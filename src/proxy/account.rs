//! What the access log will say about a request, gathered while it is served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::request::Parts;
use time::OffsetDateTime;

use crate::body::observe::{End, Sent};
use crate::error::Fault;
use crate::body::pace::Brake;
use crate::telemetry::access_log::{self, AccessRecord};
use crate::telemetry::recent::Failure;
use crate::telemetry::request_id::RequestId;

/// One line of the access log in the making.
pub struct Account {
    id: RequestId,
    operation: &'static str,
    peer: SocketAddr,
    uri: http::Uri,
    bucket: Option<String>,
    client: Option<String>,
    error: Option<(&'static str, Fault)>,
    received: Arc<AtomicU64>,
    brake: Brake,
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
            received: Arc::default(),
            brake: Brake::default(),
        }
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
            code: self.error.map(|(code, _)| code),
            fault: fault.map(Fault::name),
            bucket: self.bucket.clone(),
            is_complete,
        })
    }

    /// What slows its bodies down.
    pub fn brake(&self) -> Brake {
        self.brake.clone()
    }

    /// Writes the line.
    pub fn close(self, status: u16, duration: Duration, sent: Sent) {
        let uri = self.uri.path_and_query().map_or("", |uri| uri.as_str());
        access_log::log(&AccessRecord {
            request_id: self.id,
            operation: self.operation,
            bucket: self.bucket.as_deref(),
            uri,
            status,
            error: self.error.map(|(code, _)| code),
            bytes_in: self.received.load(Ordering::Relaxed),
            bytes_out: sent.bytes,
            duration,
            client: self.client.as_deref(),
            peer: self.peer,
            is_complete: sent.end == End::Complete,
        });
    }
}
