//! The way to the collector of traces: HTTP over connections of its own, apart from those to the real S3.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Collected, Limited};
use rustls::ClientConfig;

use super::{StartError, with_causes};
use crate::body::Body;
use crate::config::keys::SecretPlace;
use crate::config::traces::Traces as Config;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::{Collector, Traces, Undelivered};
use crate::upstream::UpstreamError;
use crate::upstream::client::{HttpClient, PoolSettings, tls_config};

/// Begins to deliver spans, if that is configured.
pub(super) fn start(
    config: Option<&Config>,
    metrics: &Arc<Metrics>,
) -> Result<Option<Traces>, StartError> {
    let Some(config) = config else {
        return Ok(None);
    };
    let collector = HttpCollector {
        client: HttpClient::new(POOL, tls(config)?),
        url: config.url.clone(),
        headers: config.headers.clone(),
    };
    Ok(Some(Traces::start(config, collector, metrics)))
}

/// TLS to the collector.
pub(super) fn tls(config: &Config) -> Result<ClientConfig, StartError> {
    let tls = tls_config(config.ca.as_deref(), config.is_https());
    tls.map_err(StartError::TracesTrust)
}

struct HttpCollector {
    client: HttpClient,
    url: Uri,
    headers: Vec<(HeaderName, Arc<SecretPlace>)>,
}

#[async_trait]
impl Collector for HttpCollector {
    async fn deliver(&self, message: Bytes) -> Result<Bytes, Undelivered> {
        let mut request = Request::new(Body::full(message));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = read(self.headers.clone()).await.map_err(again)?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, PROTOBUF);
        headers.insert(USER_AGENT, AGENT);
        let sent = self.client.send(request).await;
        let (head, body) = sent.map_err(|error| again(reason(&error)))?.into_parts();
        let body = Limited::new(body, ANSWER_LEN_MAX).collect().await;
        if !head.status.is_success() {
            return Err(Undelivered {
                reason: format!("status {}", head.status.as_u16()),
                may_repeat: REPEATABLE.contains(&head.status),
            });
        }
        // It was taken, whatever the answer says of it.
        Ok(body.map(Collected::to_bytes).unwrap_or_default())
    }
}

/// The operator's headers. Their files may have changed, and the disk may be slow.
async fn read(places: Vec<(HeaderName, Arc<SecretPlace>)>) -> Result<HeaderMap, String> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut headers = HeaderMap::with_capacity(places.len() + 2);
        for (name, place) in places {
            let value = place.read().map_err(|error| format!("{name}: {error}"))?;
            let value = HeaderValue::from_str(value.expose());
            let mut value = value.map_err(|_| format!("{name}: no value of a header"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    });
    reading.await.map_err(|error| error.to_string())?
}

fn again(reason: String) -> Undelivered {
    Undelivered {
        reason,
        may_repeat: true,
    }
}

/// Without the words for the real S3.
fn reason(error: &UpstreamError) -> String {
    if let UpstreamError::Connect(cause) | UpstreamError::Broken(cause) = error {
        return with_causes(cause);
    }
    error.to_string()
}

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("s3seal/", env!("CARGO_PKG_VERSION")));

/// The answers after which OTLP has a message sent again.
const REPEATABLE: [StatusCode; 4] = [
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

/// An answer is a few bytes.
const ANSWER_LEN_MAX: usize = 64 * 1024;

const POOL: PoolSettings = PoolSettings {
    connect_timeout: Duration::from_secs(5),
    idle_timeout: Duration::from_mins(1),
    idle_per_host: 1,
};
