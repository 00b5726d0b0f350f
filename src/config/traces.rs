//! Where traces go, how many there are, and whom to believe about them.

use std::path::PathBuf;
use std::sync::Arc;

use http::uri::{PathAndQuery, Uri};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use super::problem::Check;
use super::secret::{SecretPlace, SecretSource};

/// Traces for a collector that speaks OTLP over HTTP.
#[derive(Clone, Debug)]
pub struct Traces {
    /// Where spans are sent, with the path that OTLP has for them.
    pub url: Uri,
    /// The share of requests that are traced, 0 to 1.
    pub sample_ratio: f64,
    /// Whether a caller decides if its request is traced.
    pub trusts_parent: bool,
    /// The name under which the collector shows the proxy.
    pub service_name: String,
    /// Headers for the collector. What lies in files is read again with every delivery.
    pub headers: Vec<(HeaderName, Arc<SecretPlace>)>,
    /// PEM file of certificate authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
}

impl Traces {
    /// Whether the collector is spoken to over TLS.
    pub fn is_https(&self) -> bool {
        self.url.scheme_str() == Some("https")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TracesTable {
    endpoint: Option<String>,
    sample_ratio: Option<f64>,
    trust_parent: Option<bool>,
    service_name: Option<String>,
    headers: Option<Vec<HeaderTable>>,
    tls: Option<TlsTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderTable {
    name: String,
    value: SecretSource,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsTable {
    ca: PathBuf,
}

/// `None` without an endpoint: nothing is traced.
pub(super) fn check(table: TracesTable, check: &mut Check<'_>) -> Option<Traces> {
    let sample_ratio = table.sample_ratio.unwrap_or(SAMPLE_RATIO);
    if !(0.0..=1.0).contains(&sample_ratio) {
        check.problem("traces.sample_ratio", "must be between 0 and 1");
    }
    let service_name = table.service_name.unwrap_or_else(|| "s3seal".to_owned());
    if !(1..=SERVICE_NAME_LEN_MAX).contains(&service_name.len()) {
        check.problem("traces.service_name", "must have 1 to 255 bytes");
    }
    let headers = table.headers.unwrap_or_default();
    let Some(endpoint) = table.endpoint else {
        if !headers.is_empty() {
            check.problem("traces.headers", "needs traces.endpoint");
        }
        if table.tls.is_some() {
            check.problem("traces.tls", "needs traces.endpoint");
        }
        return None;
    };
    let url = signal_url(&endpoint);
    if url.is_none() {
        check.problem(
            "traces.endpoint",
            "must be http:// or https://, a host, perhaps a port and a path",
        );
    }
    let headers = check_headers(headers, check);
    let is_plain = url.as_ref().is_some_and(|url| !is_private(url));
    if is_plain && !headers.is_empty() {
        check.warn("traces.headers go over the network in clear: traces.endpoint is not https");
    }
    let traces = Traces {
        url: url?,
        sample_ratio,
        trusts_parent: table.trust_parent.unwrap_or(false),
        service_name,
        headers,
        ca: table.tls.map(|tls| check.resolve(&tls.ca)),
    };
    if traces.ca.is_some() && !traces.is_https() {
        check.problem("traces.tls", "has no use: the endpoint is not https");
    }
    Some(traces)
}

fn check_headers(
    tables: Vec<HeaderTable>,
    check: &mut Check<'_>,
) -> Vec<(HeaderName, Arc<SecretPlace>)> {
    let mut headers = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let key = format!("traces.headers[{index}]");
        let name = HeaderName::try_from(&table.name).ok();
        let name = name.filter(|name| !OURS.contains(&name.as_str()));
        if name.is_none() {
            let reason = "must be the name of a header that the proxy does not set itself";
            check.problem(format!("{key}.name"), reason);
        }
        let value_key = format!("{key}.value");
        let value = table.value.place(&value_key, check);
        let is_value = |text: &str| HeaderValue::from_str(text).is_ok();
        let is_fine = value.as_ref().is_none_or(|value| {
            let read = value.read();
            read.is_ok_and(|text| is_value(text.expose()))
        });
        if !is_fine {
            check.problem(value_key, "must be the value of a header");
        }
        headers.extend(name.zip(value.map(Arc::new)));
    }
    headers
}

/// The endpoint with `/v1/traces` behind its path.
fn signal_url(endpoint: &str) -> Option<Uri> {
    let uri: Uri = endpoint.parse().ok()?;
    let is_known = matches!(uri.scheme_str()?, "http" | "https");
    let authority = uri.authority()?;
    let has_user = authority.as_str().contains('@');
    if !is_known || has_user || authority.host().is_empty() || uri.query().is_some() {
        return None;
    }
    let path = format!("{}/v1/traces", uri.path().trim_end_matches('/'));
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

/// Whether nobody on the way can read what is sent.
fn is_private(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |ip: std::net::IpAddr| ip.is_loopback();
    url.scheme_str() == Some("https") || host == "localhost" || host.parse().is_ok_and(is_loopback)
}

/// One request in ten: enough to see where time goes, at a price nobody notices.
const SAMPLE_RATIO: f64 = 0.1;

const SERVICE_NAME_LEN_MAX: usize = 255;

/// Headers of a delivery that are not the operator's.
const OURS: [&str; 8] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
    "user-agent",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_otlp_is_appended_to_the_endpoint() {
        for (endpoint, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otel.example/", "https://otel.example/v1/traces"),
            (
                "https://otel.example/team/otlp/",
                "https://otel.example/team/otlp/v1/traces",
            ),
        ] {
            let found = signal_url(endpoint).map(|url| url.to_string());
            assert_eq!(found.as_deref(), Some(url));
        }
        for endpoint in [
            "",
            "127.0.0.1:4318",
            "grpc://127.0.0.1:4317",
            "http://",
            "http://user@host",
            "http://host?query",
        ] {
            assert!(signal_url(endpoint).is_none(), "{endpoint}");
        }
    }

    #[test]
    fn plain_http_is_private_on_loopback_only() {
        let private = |url: &str| is_private(&url.parse().unwrap());
        assert!(private("http://127.0.0.1:4318") && private("http://[::1]:4318"));
        assert!(private("http://localhost") && private("https://otel.example"));
        assert!(!private("http://otel.example") && !private("http://192.0.2.1"));
    }
}
