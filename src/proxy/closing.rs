//! The end of a request, which is written down whatever happens: when the last byte of the answer is
//! gone, or when the client left before there was one.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderValue, Response};
use time::OffsetDateTime;

use super::access::Ticket;
use super::account::Account;
use crate::body::Body;
use crate::body::observe::{End, Observed, Sent};
use crate::ops::patience::Afterwards;
use crate::s3::headers::X_AMZ_VERSION_ID;
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::{Direction, InFlight, Metrics};
use crate::telemetry::recent::Recent;
use crate::telemetry::traces::carry::InTrace;

/// Where it is written down.
pub(super) struct Books {
    /// Counts and durations.
    pub(super) metrics: Arc<Metrics>,
    /// What failed lately.
    pub(super) recent: Arc<Recent>,
    /// The audit log, if there is one.
    pub(super) audit: Option<Audit>,
    /// The time.
    pub(super) clock: fn() -> OffsetDateTime,
}

/// A request that has not ended.
pub(super) struct Closing {
    books: Books,
    operation: &'static str,
    started: Instant,
    in_flight: Option<InFlight>,
    ticket: Option<Ticket>,
    log: Account,
    answer: Option<Answer>,
    is_closed: bool,
}

/// What the answer begins with.
struct Answer {
    status: u16,
    version: Option<HeaderValue>,
    /// Where there is more to know than it says.
    afterwards: Option<Afterwards>,
}

impl Closing {
    pub(super) fn new(
        books: Books,
        (operation, started): (&'static str, Instant),
        log: Account,
    ) -> Self {
        let in_flight = Some(books.metrics.start_request());
        Self {
            books,
            operation,
            started,
            in_flight,
            ticket: None,
            log,
            answer: None,
            is_closed: false,
        }
    }

    /// What is known so far.
    pub(super) fn log(&mut self) -> &mut Account {
        &mut self.log
    }

    /// Holds the request's share of its client's limits until the end.
    pub(super) fn hold(&mut self, ticket: Ticket) {
        self.ticket = Some(ticket);
    }

    /// From here on the end is that of the answer's body.
    pub(super) fn answered(mut self, response: Response<Body>) -> Response<Body> {
        self.answer = Some(Answer {
            status: response.status().as_u16(),
            version: response.headers().get(X_AMZ_VERSION_ID).cloned(),
            afterwards: response.extensions().get().cloned(),
        });
        let Self {
            books,
            operation,
            started,
            ..
        } = &self;
        books.metrics.first_byte(operation, started.elapsed());
        // Whose request it is was known before there was an answer.
        let brake = self.log.brake();
        let trace = self.log.trace();
        response.map(|body| {
            let body = brake.slow(body);
            // Some answers still call for what they need when they are sent.
            let body = if trace.is_some() {
                Body::new(InTrace::new(trace, body))
            } else {
                body
            };
            Body::new(Observed::new(body, move |sent| self.close(sent)))
        })
    }

    fn close(&mut self, sent: Sent) {
        if std::mem::replace(&mut self.is_closed, true) {
            return;
        }
        let afterwards = self.answer.as_ref().and_then(|it| it.afterwards.as_ref());
        if let Some(refusal) = afterwards.and_then(Afterwards::refusal) {
            self.log.set_late(refusal);
        }
        let log = &self.log;
        drop((self.in_flight.take(), self.ticket.take()));
        let (status, version) = match &self.answer {
            Some(answer) => (answer.status, answer.version.as_ref()),
            None => (CLIENT_LEFT, None),
        };
        let Books {
            metrics,
            recent,
            audit,
            clock,
        } = &self.books;
        metrics.request(self.operation, log.status(status), self.started.elapsed());
        metrics.bytes(Direction::ClientOut, sent.bytes);
        if let Some(failure) = log.failure(*clock, status, sent) {
            recent.push(failure);
        }
        if let (Some(audit), Some(event)) = (audit, log.event(status, version, sent)) {
            audit.record(log.slot(), &event);
        }
        log.close(status, self.started.elapsed(), sent);
    }
}

/// A server drops the work for a client that has gone.
impl Drop for Closing {
    fn drop(&mut self) {
        self.close(Sent {
            end: End::Cancelled,
            bytes: 0,
        });
    }
}

/// What proxies log where a client did not wait for the answer; nobody is sent it.
const CLIENT_LEFT: u16 = 499;

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;
    use crate::telemetry::request_id::RequestId;

    #[test]
    fn p133_a_request_whose_client_leaves_before_the_answer_is_written_down() {
        let metrics = Arc::new(Metrics::new(&Registry::new(), []).unwrap());
        let recent = Arc::new(Recent::default());
        let books = Books {
            metrics: Arc::clone(&metrics),
            recent: Arc::clone(&recent),
            audit: None,
            clock: || OffsetDateTime::UNIX_EPOCH,
        };
        let (parts, ()) = http::Request::delete("/bucket/key")
            .body(())
            .unwrap()
            .into_parts();
        let id = RequestId::from_bytes([1; 8]);
        let peer = ([127, 0, 0, 1], 1).into();
        let log = Account::open(id, "DeleteObject", peer, &parts);
        let started = ("DeleteObject", Instant::now());
        let closing = Closing::new(books, started, log);
        assert!(metrics.render().contains("s3seal_requests_in_flight 1"));
        drop(closing);
        let shown = metrics.render();
        assert!(shown.contains("s3seal_requests_in_flight 0"));
        let counted = "s3seal_requests_total{operation=\"DeleteObject\",status_class=\"4xx\"} 1";
        assert!(shown.contains(counted), "{shown}");
        assert_eq!(
            recent.refusals().first().map(|left| left.status),
            Some(CLIENT_LEFT)
        );
    }
}
