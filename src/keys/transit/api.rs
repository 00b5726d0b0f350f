//! The HTTP API of Vault and OpenBao: bounded answers, no redirects, fixed meanings of refusals.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::keys::provider::{KeyError, Outage};
use crate::secret::Secret;

/// One server, over pooled connections; clones share them.
#[derive(Clone)]
pub(super) struct Api {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Scheme and authority.
    address: Arc<str>,
    namespace: Option<HeaderValue>,
}

/// Why the server did not do it. A server's own words stay out: they may hold what was sent.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The token is not good, or its policy does not allow it.
    #[error("refused")]
    Denied,
    /// The meaning is the provider's.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl From<Refusal> for KeyError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Denied => Self::Denied,
            Refusal::Key(error) => error,
        }
    }
}

impl Api {
    pub(super) fn new(
        address: &Uri,
        namespace: Option<String>,
        tls: ClientConfig,
        connect_timeout: Duration,
    ) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(connect_timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .build(connector);
        let scheme = address.scheme_str().unwrap_or("https");
        let authority = address
            .authority()
            .map_or("", |authority| authority.as_str());
        Self {
            client,
            address: format!("{scheme}://{authority}").into(),
            namespace: namespace.and_then(|name| HeaderValue::try_from(name).ok()),
        }
    }

    /// One request below `/v1/`; the body of a success.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&Secret<String>>,
        body: Option<&Value>,
    ) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let request = self.request(method, path, token, body)?;
        let answer = timeout(ANSWER_TIMEOUT, self.exchange(request)).await;
        let (status, body) = answer.map_err(|_elapsed| KeyError::from(Outage::Timeout))??;
        if status.is_success() {
            return Ok(body);
        }
        Err(refusal(status, &body))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        token: Option<&Secret<String>>,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, KeyError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/v1/{path}", self.address));
        if let Some(namespace) = &self.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        if let Some(token) = token {
            // A token that is no header value is one that nobody can have been given.
            let mut value =
                HeaderValue::from_str(token.expose()).map_err(|_invalid| KeyError::Denied)?;
            value.set_sensitive(true);
            request = request.header("x-vault-token", value);
        }
        let bytes = match body {
            None => Bytes::new(),
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                // Wiped when the connection has sent it: data keys and secret ids are in it.
                let text = serde_json::to_vec(body).map_err(|_impossible| Outage::Answer)?;
                Bytes::from_owner(Zeroizing::new(text))
            }
        };
        let request = request.body(Full::new(bytes));
        Ok(request.map_err(|_invalid| Outage::Unreachable)?)
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Zeroizing<Vec<u8>>), KeyError> {
        let unreachable = |_error| KeyError::from(Outage::Unreachable);
        let response = self.client.request(request).await.map_err(unreachable)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_LEN_MAX)
            .collect()
            .await
            .map_err(|_too_long_or_broken| Outage::Unreachable)?;
        Ok((status, Zeroizing::new(body.to_bytes().to_vec())))
    }
}

/// What a status and the known sentences of Transit mean.
fn refusal(status: StatusCode, body: &[u8]) -> Refusal {
    match status.as_u16() {
        400 => bad_request(body),
        // Nothing is mounted there.
        404 => KeyError::NotFound.into(),
        429 => KeyError::Throttled.into(),
        // 412: a replica that has not seen the token yet; 472, 473: a standby.
        // Redirects of a standby are not followed: the token would go wherever they point.
        300..=399 | 412 | 472 | 473 | 500..=599 => KeyError::from(Outage::Unreachable).into(),
        _ => Refusal::Denied,
    }
}

/// Transit answers 400 to everything that is about the key or the wrap.
fn bad_request(body: &[u8]) -> Refusal {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<String>,
    }
    let errors = serde_json::from_slice::<Errors>(body).map(|answer| answer.errors);
    let errors = errors.unwrap_or_default();
    let known = SENTENCES
        .iter()
        .find(|(sentence, _)| errors.iter().any(|error| error.contains(sentence)));
    match known {
        Some((_, meaning)) => Refusal::Key(*meaning),
        // A login with a wrong role or secret id, a key that cannot do it: the operator's.
        None => Refusal::Denied,
    }
}

/// What Transit says, and whose fault that is. More special ones come first.
const SENTENCES: &[(&str, KeyError)] = &[
    ("message authentication failed", KeyError::ContextMismatch),
    ("(too old)", KeyError::Disabled),
    ("version is too new", KeyError::NotFound),
    ("soft-deleted", KeyError::Disabled),
    ("encryption key not found", KeyError::NotFound),
    ("invalid ciphertext", KeyError::Malformed),
];

/// For one answer: the callers' own time is longer, and a second attempt has to fit in.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// Answers are a few hundred bytes; those to logins list policies.
const ANSWER_LEN_MAX: usize = 256 * 1024;

const POOL_IDLE: Duration = Duration::from_secs(30);
