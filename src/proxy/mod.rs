//! One request through the house: classify, authenticate, authorise, dispatch, and whatever
//! happens, answer.

pub mod access;
pub mod account;
pub mod answer;
mod certificate;
mod closing;
mod form;
pub mod limits;
pub mod parse;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use http::Version;
use http::request::Parts;
use hyper::body::Incoming;
use hyper::{Request, Response};
use time::OffsetDateTime;
use tracing::Instrument;

use self::access::{InFlight, Ticket};
use self::account::Account;
use self::closing::{Books, Closing};
use self::limits::Meters;
use self::parse::Parsed;
use crate::auth::{AuthError, Authenticator, ClientSecrets, Scheme, Verified};
use crate::body::Body;
use crate::config::limits::Limits;
use crate::error::Error;
use crate::ops;
use crate::ops::context::{Cx, S3Request};
use crate::ops::cors::{Crossing, preflight};
use crate::ops::policy::Caller;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::operation::Operation;
use crate::s3::query::Query;
use crate::s3::target::{BucketName, ObjectKey, Target};
use crate::s3::{headers, hoisted};
use crate::secret::Secret;
use crate::server::admin::Draining;
use crate::server::certificate::{ClientCertificate, PeerNames};
use crate::server::{Connection, Handler};
use crate::telemetry::audit::{Audit, NoAudit, Party, Slot};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::recent::Recent;
use crate::telemetry::request_id::{RequestId, RequestIds};
use crate::telemetry::traces::carry::InTrace;
use crate::telemetry::traces::{self, Traces};

/// Everything that answers S3 requests.
pub struct Proxy {
    in_force: ArcSwap<InForce>,
    surroundings: Surroundings,
}

/// What a request is served under. It takes all of this once, at its beginning: no request sees the
/// rules, clients and settings of two configurations. The key service is one for all: a key's part in
/// it changes at once.
pub struct InForce {
    /// The rooms, with the rules.
    pub cx: Arc<Cx>,
    /// Who may call.
    pub callers: Arc<Callers>,
    /// Remembers signing keys of these callers.
    pub authenticator: Authenticator,
    /// Buckets in virtual-host style are in front of one of these.
    pub domains: Vec<String>,
    /// The limits of all unsigned requests together.
    pub anonymous: Limits,
}

/// What a proxy needs from the world around it.
pub struct Surroundings {
    /// The time.
    pub clock: fn() -> OffsetDateTime,
    /// Names for requests.
    pub ids: RequestIds,
    /// Counts the requests of each client, over all proxies that share it.
    pub in_flight: InFlight,
    /// Where requests that failed are remembered, those of all proxies that share it.
    pub recent: Arc<Recent>,
    /// What clients have used of their limits, over all proxies that share it.
    pub meters: Meters,
    /// The audit log, if there is one.
    pub audit: Option<Audit>,
    /// Makes the spans of requests, if there are any.
    pub traces: Option<Traces>,
    /// While it lasts, clients are told to connect again, which leads them elsewhere.
    pub draining: Draining,
}

/// The callers by access key id.
pub struct Callers {
    by_id: HashMap<String, Arc<Caller>>,
    /// Those that a certificate may stand for.
    certified: Vec<Arc<Caller>>,
}

impl Callers {
    /// The callers of a configuration.
    pub fn new(callers: impl IntoIterator<Item = Caller>) -> Self {
        let callers: Vec<_> = callers.into_iter().map(Arc::new).collect();
        let has_certificate = |caller: &&Arc<Caller>| caller.client.certificate.is_some();
        Self {
            certified: callers.iter().filter(has_certificate).cloned().collect(),
            by_id: callers
                .into_iter()
                .map(|caller| (caller.client.access_key_id.clone(), caller))
                .collect(),
        }
    }

    /// The caller with this access key id.
    pub fn get(&self, access_key_id: &str) -> Option<&Arc<Caller>> {
        self.by_id.get(access_key_id)
    }

    /// Whose certificate this is: nobody's, if it could be two clients'.
    fn holder(&self, names: &PeerNames) -> Option<&str> {
        let is_of = |caller: &&Arc<Caller>| certificate::is_of(&caller.client, names);
        let mut holders = self.certified.iter().filter(is_of);
        let only = holders.next().filter(|_| holders.next().is_none());
        only.map(|caller| caller.client.access_key_id.as_str())
    }

    /// Whether somebody of `other` is not here any more, or has other rights to keys.
    pub fn revokes(&self, other: &Self) -> bool {
        let is_same = |(id, old): (&String, &Arc<Caller>)| {
            let new = self.get(id);
            new.is_some_and(|new| new.grant() == old.grant())
        };
        !other.by_id.iter().all(is_same)
    }
}

impl ClientSecrets for Callers {
    fn secret(&self, access_key_id: &str) -> Option<&Secret<String>> {
        // Who has none is unknown to those who sign.
        let caller = self.get(access_key_id)?;
        caller.client.secret_access_key.as_ref()
    }
}

impl Proxy {
    /// Joins the rooms.
    pub fn new(in_force: InForce, surroundings: Surroundings) -> Self {
        Self {
            in_force: ArcSwap::from_pointee(in_force),
            surroundings,
        }
    }

    /// What the next request will be served under.
    pub fn in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// Serves every request from the next one on under something else.
    pub fn adopt(&self, in_force: InForce) {
        self.in_force.store(Arc::new(in_force));
    }

    /// Answers one request. Never fails: what goes wrong is an S3 error document.
    pub async fn answer(&self, request: Request<Incoming>, peer: Connection) -> Response<Body> {
        let started = Instant::now();
        let id = self.surroundings.ids.next();
        let (parts, body) = request.into_parts();
        // HTTP/2 has a message of its own for a connection that is to end.
        let may_close = parts.version < Version::HTTP_2;
        let must_close = answer::must_close(&parts, &body);
        let asked = answer::Asked::of(&parts);
        let in_force = self.in_force();
        let cx = &in_force.cx;
        let parsed = in_force.parse(&parts);
        let target = parsed.as_ref().ok().map(|parsed| &parsed.target);
        let mut crossing = target.and_then(|target| Crossing::of(cx, target, &parts));
        let operation = parsed
            .as_ref()
            .map_or("Unknown", |parsed| parsed.operation.name());
        let log = self.account(id, operation, &peer, &parts);
        let trace = log.trace();
        let span = tracing::info_span!("request", id = id.as_str(), operation);
        // Who it is comes later, and is asked again then.
        let party = parsed.as_ref().map_or(Party::Stranger, |_| Party::Client);
        let parsed = match self.let_in(party) {
            Ok(_) => parsed,
            Err(unaudited) => Err(unaudited),
        };
        // Before anything is done: the client may leave at any moment.
        let mut closing = Closing::new(self.books(&cx.metrics), (operation, started), log);
        let outcome = match parsed {
            Ok(parsed) => {
                let arrival = Arrival {
                    id,
                    parsed,
                    parts,
                    body,
                    is_tls: peer.is_tls,
                    certificate: peer.certificate,
                };
                let run = self.run(&in_force, arrival, &mut crossing, closing.log());
                InTrace::new(trace.clone(), run.instrument(span.clone())).await
            }
            Err(error) => Err(error),
        };
        let response = match outcome {
            Ok((response, ticket)) => {
                closing.hold(ticket);
                response
            }
            Err(error) => {
                let log = closing.log();
                log.set_error(error.to_s3().code.as_str(), error.fault());
                let respond = || answer::error(&error, &asked, &id, &cx.metrics);
                span.in_scope(respond)
            }
        };
        let mut response = answer::stamp(response, &id);
        if let Some(crossing) = crossing {
            let showing = Box::pin(crossing.show(cx, response.headers_mut()));
            InTrace::new(trace, showing).await;
        }
        if must_close || may_close && self.surroundings.draining.has_begun() {
            answer::close(&mut response);
        }
        closing.answered(response)
    }

    /// Nothing is done that is not written down.
    fn let_in(&self, party: Party) -> Result<Option<Slot>, Error> {
        let Some(audit) = &self.surroundings.audit else {
            return Ok(None);
        };
        audit.reserve(party).map_err(|NoAudit| {
            let message = "The audit log cannot be written.";
            S3Error::with_message(ErrorCode::ServiceUnavailable, message).into()
        })
    }

    /// Begins to gather what logs and traces will say.
    fn account(
        &self,
        id: RequestId,
        operation: &'static str,
        peer: &Connection,
        parts: &Parts,
    ) -> Account {
        let mut log = Account::open(id, operation, peer.peer, parts);
        if self.surroundings.audit.is_some() {
            log.audit((self.surroundings.clock)());
        }
        if let Some(traces) = &self.surroundings.traces {
            log.set_span(traces.request(traces::Asked {
                operation,
                id,
                method: &parts.method,
                is_tls: peer.is_tls,
                headers: &parts.headers,
            }));
        }
        log
    }

    fn books(&self, metrics: &Arc<Metrics>) -> Books {
        Books {
            metrics: Arc::clone(metrics),
            recent: Arc::clone(&self.surroundings.recent),
            audit: self.surroundings.audit.clone(),
            clock: self.surroundings.clock,
        }
    }

    async fn run(
        &self,
        in_force: &InForce,
        arrival: Arrival,
        crossing: &mut Option<Crossing>,
        log: &mut Account,
    ) -> Result<(Response<Body>, Ticket), Error> {
        let InForce {
            cx,
            callers,
            authenticator,
            ..
        } = in_force;
        let Arrival { parsed, parts, .. } = &arrival;
        log.set_bucket(parsed.target.bucket().map(BucketName::as_str));
        let key = parsed.target.key().map(ObjectKey::decoded);
        log.set_object(key, Query::new(parts.uri.query()));
        log.set_source(&parts.headers);
        if parsed.operation == Operation::Preflight {
            let ticket = self.limit(in_force, None, log)?;
            let answer = Box::pin(preflight(cx, &parsed.target, parts)).await;
            return answer.map(|response| (response, ticket));
        }
        let now = (self.surroundings.clock)();
        let verified = match authenticator.authenticate(parts, &**callers, now) {
            Ok(verified) => verified,
            // Whoever fails here is nobody, and has no more than nobody has.
            Err(refused) => {
                self.limit(in_force, None, log)?;
                return Err(refused.into());
            }
        };
        let certificate = arrival.certificate.clone();
        let names = certificate.as_ref().and_then(|it| it.names(now));
        let what = (&parsed.operation, &parts.headers);
        let verified = certificate::identify(verified, names, what, callers);
        let refuse_hoisted = || hoisted::refuse(Query::new(parts.uri.query()));
        let (request, ticket) = if parsed.operation == Operation::PostObject {
            refuse_hoisted()?;
            Box::pin(self.form_request(in_force, arrival, (&verified, names), log)).await?
        } else {
            let query = Query::new(parts.uri.query());
            let what = (&parsed.operation, &parsed.target, query);
            let (caller, ticket) = self.admit(in_force, (&verified, names), what, log)?;
            let is_presigned = verified.scheme() == Scheme::Presigned;
            if !is_presigned {
                refuse_hoisted()?;
            }
            let request = s3_request(arrival, verified, caller, log);
            headers::check_request(&request.headers)?;
            if is_presigned {
                // It may stand in the query.
                log.set_source(&request.headers);
            }
            access::authorise_source(&request)?;
            (request, ticket)
        };
        let answer = ops::dispatch(cx, request);
        let answer = match crossing {
            None => answer.await,
            Some(crossing) => tokio::join!(answer, Box::pin(crossing.find(cx))).0,
        };
        Ok((answer?, ticket))
    }

    /// Who is calling, if that is somebody who may. `names` are those of the certificate that the
    /// connection has.
    fn admit(
        &self,
        in_force: &InForce,
        (verified, names): (&Verified, Option<&PeerNames>),
        (operation, target, query): (&Operation, &Target, Query<'_>),
        log: &mut Account,
    ) -> Result<(Option<Arc<Caller>>, Ticket), Error> {
        let id = verified.caller();
        let caller = id.and_then(|id| in_force.callers.get(id)).cloned();
        log.set_client(id);
        log.set_scheme(verified.scheme());
        let ticket = self.limit(in_force, caller.as_deref(), log)?;
        if let Some(Caller { client, .. }) = caller.as_deref()
            && client.requires_certificate
            && !names.is_some_and(|names| certificate::is_of(client, names))
        {
            return Err(AuthError::CertificateRequired.into());
        }
        access::authorise(&in_force.cx, caller.as_deref(), operation, target, query)?;
        Ok((caller, ticket))
    }

    /// Refuses what is beyond the limits of a client, or of those who sign nothing. From here on
    /// something may be done: what is refused later has its line in the audit log, too.
    fn limit(
        &self,
        in_force: &InForce,
        caller: Option<&Caller>,
        log: &mut Account,
    ) -> Result<Ticket, Error> {
        let party = caller.map_or(Party::Stranger, |_| Party::Client);
        log.set_slot(self.let_in(party)?);
        let Surroundings {
            in_flight, meters, ..
        } = &self.surroundings;
        let client = caller.map(|caller| &caller.client);
        let id = client.map_or(NOBODY, |client| &client.access_key_id);
        let limits = client.map_or(&in_force.anonymous, |client| &client.limits);
        let ticket = in_flight.enter(id);
        let slow = (&log.brake(), &*in_force.cx);
        meters.admit(id, (limits, ticket.count()), slow, Instant::now())?;
        Ok(ticket)
    }
}

/// Whose requests those of nobody are: no client has the empty id.
const NOBODY: &str = "";

/// A request whose head was understood.
struct Arrival {
    id: RequestId,
    parsed: Parsed,
    parts: Parts,
    body: Incoming,
    is_tls: bool,
    certificate: Option<Arc<ClientCertificate>>,
}

fn s3_request(
    arrival: Arrival,
    verified: Verified,
    caller: Option<Arc<Caller>>,
    log: &Account,
) -> S3Request {
    let Arrival {
        id,
        parsed,
        parts,
        body,
        is_tls,
        certificate: _,
    } = arrival;
    let mut headers = parts.headers;
    // They are signed, unique, and contradict no header.
    for (name, value) in verified.header_parameters() {
        headers.insert(name, value.clone());
    }
    S3Request {
        is_operator: false,
        id,
        operation: parsed.operation,
        target: parsed.target,
        query: hoisted::upstream_query(Query::new(parts.uri.query())),
        uri: parts.uri,
        is_tls,
        method: parts.method,
        headers,
        verified: Arc::new(verified),
        caller,
        trail: log.trail(),
        brake: log.brake(),
        received: log.received(),
        body: Some(body),
        form: None,
    }
}

impl Handler for Proxy {
    type Body = Body;

    async fn handle(&self, request: Request<Incoming>, connection: Connection) -> Response<Body> {
        self.answer(request, connection).await
    }
}
