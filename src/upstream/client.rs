//! The connection pool: hyper over rustls, to the system's trust store or a configured one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use thiserror::Error;

use super::UpstreamError;
use super::early::EarlyConnector;
use crate::body::Body;
use crate::config::upstream::ClientPair;

/// Limits of the pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// Longest time for TCP and TLS handshakes.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Unused connections kept per host.
    pub idle_per_host: usize,
}

/// No trust store, so no TLS.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The configured file.
    #[error("cannot read certificates from {path}: {reason}")]
    File {
        /// As configured.
        path: String,
        /// What the parser said.
        reason: String,
    },
    /// The system has none.
    #[error("the system's trust store holds no certificate")]
    NoSystemRoots,
    /// The TLS library refused the set-up.
    #[error("tls: {0}")]
    Tls(#[from] rustls::Error),
}

/// Sends signed requests over pooled connections.
pub struct HttpClient {
    inner: Client<EarlyConnector<HttpsConnector<HttpConnector>>, Body>,
}

impl HttpClient {
    /// A pool; `tls` is the trust store for `https` endpoints.
    pub fn new(pool: PoolSettings, tls: ClientConfig) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(pool.connect_timeout));
        http.set_keepalive(Some(KEEPALIVE));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let inner = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(pool.idle_timeout)
            .pool_max_idle_per_host(pool.idle_per_host)
            .http1_max_buf_size(HTTP1_BUFFER_LEN)
            .http1_max_headers(RESPONSE_HEADERS_MAX)
            .build(EarlyConnector(connector));
        Self { inner }
    }

    /// Sends one request; the error says whether anything can have reached the upstream.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, UpstreamError> {
        self.inner.request(request).await.map_err(|error| {
            if error.is_connect() {
                UpstreamError::Connect(error)
            } else {
                UpstreamError::Broken(error)
            }
        })
    }
}

/// TLS to the upstream: the certificates of `ca`, or else the system's.
///
/// Without a certificate nothing can be trusted: an error if `is_needed`.
pub fn tls_config(ca: Option<&Path>, is_needed: bool) -> Result<ClientConfig, TrustError> {
    Ok(trusting(ca, is_needed)?.with_no_client_auth())
}

/// As [`tls_config`], with a certificate of our own for servers that ask for one.
pub fn tls_config_of(
    ca: Option<&Path>,
    client: Option<&ClientPair>,
    is_needed: bool,
) -> Result<ClientConfig, TrustError> {
    let Some(client) = client else {
        return tls_config(ca, is_needed);
    };
    let failed = |path: &Path, reason: String| TrustError::File {
        path: path.display().to_string(),
        reason,
    };
    let chain = read_certificates(&client.certificate)?;
    // The error's own text may quote the file: only that it failed is told.
    let key = PrivateKeyDer::from_pem_file(&client.private_key)
        .map_err(|_| failed(&client.private_key, "no private key in it".to_owned()))?;
    let config = trusting(ca, is_needed)?.with_client_auth_cert(chain, key);
    config.map_err(|error| failed(&client.certificate, error.to_string()))
}

fn trusting(
    ca: Option<&Path>,
    is_needed: bool,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TrustError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => add_file(&mut roots, path)?,
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if is_needed && roots.is_empty() {
        return Err(TrustError::NoSystemRoots);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots))
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), TrustError> {
    let failed = |reason: String| TrustError::File {
        path: path.display().to_string(),
        reason,
    };
    for certificate in read_certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| failed(error.to_string()))?;
    }
    Ok(())
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let failed = |reason: String| TrustError::File {
        path: path.display().to_string(),
        reason,
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| {
            failed(if let pem::Error::Io(error) = error {
                error.to_string()
            } else {
                // Its own text may quote the file, which may hold a key as well.
                "not valid PEM".to_owned()
            })
        })?;
    if certificates.is_empty() {
        return Err(failed("no certificate in it".to_owned()));
    }
    Ok(certificates)
}

/// Read and write buffer of a connection, as large as those of the server for the same reasons.
const HTTP1_BUFFER_LEN: usize = 128 * 1024;

/// S3 answers with a header per piece of user metadata.
const RESPONSE_HEADERS_MAX: usize = 256;

/// Finds out that a peer is gone although nothing is sent.
const KEEPALIVE: Duration = Duration::from_mins(1);
