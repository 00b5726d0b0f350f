//! The listener's answers: `POST /mutate`, `GET /healthz`, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::profile::Profiles;
use super::review::{self, Decision, Malformed, Outcome};
use crate::server::answer::{only, text};
use crate::server::{Connection, Handler, Limits};

/// Answers reviews with the profiles of the moment.
pub struct Reviewer {
    profiles: Arc<ArcSwap<Profiles>>,
    /// Memory for bodies, in KiB.
    room: Semaphore,
}

impl Reviewer {
    /// See [`Reviewer`].
    pub fn new(profiles: Arc<ArcSwap<Profiles>>) -> Self {
        let room = Semaphore::new(ROOM / KIB);
        Self { profiles, room }
    }

    async fn mutate(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if !is_json(request.headers()) {
            let said = "the content type has to be application/json\n";
            return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, said);
        }
        if is_too_large(request.headers()) {
            return text(StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE);
        }
        let read = self.read(request.into_body());
        let (body, room) = match tokio::time::timeout(BODY_TIMEOUT, read).await {
            Ok(Ok(read)) => read,
            Ok(Err(unread)) => return unread.answer(),
            Err(_) => {
                let said = "the body took too long to arrive\n";
                return text(StatusCode::REQUEST_TIMEOUT, said);
            }
        };
        let decided = review::decide(&body, &self.profiles.load());
        drop((body, room));
        log(&decided);
        match decided {
            Ok(decision) => {
                let mut answer = text(StatusCode::OK, decision.answer());
                let kind = HeaderValue::from_static(JSON);
                answer.headers_mut().insert(CONTENT_TYPE, kind);
                answer
            }
            Err(malformed) => text(StatusCode::BAD_REQUEST, format!("{malformed}\n")),
        }
    }

    /// Reads a body, as long as there is room for what has arrived: what is only announced takes none.
    async fn read(&self, body: Incoming) -> Result<(Vec<u8>, SemaphorePermit<'_>), Unread> {
        let mut body = Limited::new(body, MAX_BODY);
        let mut read = Vec::new();
        let mut room = self.room(0)?;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                let is_too_large = error.is::<LengthLimitError>();
                if is_too_large {
                    Unread::TooLarge
                } else {
                    Unread::Broken
                }
            })?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let needed = (read.len() + data.len()).div_ceil(KIB);
            room.merge(self.room(needed - room.num_permits())?);
            read.extend_from_slice(&data);
        }
        Ok((read, room))
    }

    fn room(&self, kib: usize) -> Result<SemaphorePermit<'_>, Unread> {
        let kib = u32::try_from(kib).map_err(|_| Unread::TooLarge)?;
        self.room.try_acquire_many(kib).map_err(|_| Unread::NoRoom)
    }
}

/// Why there is no body.
enum Unread {
    Broken,
    NoRoom,
    TooLarge,
}

impl Unread {
    fn answer(&self) -> Response<Full<Bytes>> {
        match self {
            Self::Broken => text(StatusCode::BAD_REQUEST, "the body broke off\n"),
            Self::NoRoom => text(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many reviews at once\n",
            ),
            Self::TooLarge => text(StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE),
        }
    }
}

impl Handler for Reviewer {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>, _: Connection) -> Response<Full<Bytes>> {
        let is_read = request.method() == Method::GET || request.method() == Method::HEAD;
        match request.uri().path() {
            "/mutate" if request.method() == Method::POST => self.mutate(request).await,
            "/mutate" => only("POST"),
            "/healthz" if is_read => text(StatusCode::OK, "ok\n"),
            "/healthz" => only("GET, HEAD"),
            _ => text(StatusCode::NOT_FOUND, "/mutate or /healthz\n"),
        }
    }
}

/// One line for each decision.
fn log(decided: &Result<Decision, Malformed>) {
    match decided {
        Ok(decision) => {
            let Decision {
                namespace,
                name,
                profile,
                outcome,
                ..
            } = decision;
            let reason = match outcome {
                Outcome::Refused(reason) => Some(reason.to_string()),
                Outcome::Complete | Outcome::Injected(_) | Outcome::NotAsked | Outcome::NotPod => {
                    None
                }
            };
            let outcome = outcome.name();
            tracing::info!(namespace, name, profile, outcome, reason, "review");
        }
        Err(malformed) => {
            let reason = malformed.to_string();
            tracing::warn!(outcome = "malformed", reason, "review");
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(JSON))
}

/// Whether a body says of itself that it is beyond the limit, before any of it is there.
fn is_too_large(headers: &HeaderMap) -> bool {
    let announced = headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    announced.is_some_and(|length| length > MAX_BODY as u64)
}

/// Limits of the listener: its callers are API servers.
pub const LIMITS: Limits = Limits {
    max_connections: 256,
    tls_handshake_timeout: Duration::from_secs(10),
    // API servers keep idle connections for 90 seconds. Who closes first must not be us: a request
    // on its way would be lost, and a pod refused.
    header_timeout: Duration::from_mins(2),
    write_timeout: Duration::from_secs(10),
    drain: Duration::from_secs(10),
};

const JSON: &str = "application/json";
const TOO_LARGE: &str = "a review has at most 3 MiB\n";
/// In bytes. The API server takes objects of 3 MiB and less.
const MAX_BODY: usize = 3 << 20;
/// For a body to arrive, after which the API server has given up by default.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Memory for what has arrived of all bodies, in bytes; a review of a pod has some ten KiB.
const ROOM: usize = 64 << 20;
/// Room is counted in these: a permit of it.
const KIB: usize = 1024;
