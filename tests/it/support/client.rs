//! A raw S3 client: every header and byte is the test's, the signature is aws-sigv4's.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use s3seal::config::upstream::ClientPair;
use s3seal::upstream::client::{tls_config, tls_config_of};

/// An access key with its secret.
#[derive(Clone, Copy)]
pub struct Identity {
    /// Access key id.
    pub id: &'static str,
    /// Secret access key.
    pub secret: &'static str,
}

/// Sends requests to one server.
#[derive(Clone)]
pub struct Client {
    certificate: Option<PathBuf>,
    address: SocketAddr,
    scheme: &'static str,
    identity: Identity,
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// A whole response.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A request in the making.
pub struct Draft {
    client: Client,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    unsigned_headers: Vec<(String, String)>,
    body: Bytes,
    payload: PayloadHash,
    region: String,
    time: SystemTime,
    presign: Option<Duration>,
    is_signed: bool,
    host: Option<String>,
}

/// What goes into `x-amz-content-sha256`.
#[derive(Clone, Debug)]
pub enum PayloadHash {
    /// The hash of the body.
    OfBody,
    /// `UNSIGNED-PAYLOAD`.
    Unsigned,
    /// This text.
    Text(String),
}

fn connector(tls: rustls::ClientConfig) -> HttpsConnector<HttpConnector> {
    HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .build()
}

impl Client {
    /// A client of the server at `address`.
    pub fn new(address: SocketAddr, identity: Identity) -> Self {
        Self::trusting(address, "http", identity, None)
    }

    /// A client of the server at `address`, which has this certificate (PEM).
    pub fn over_tls(address: SocketAddr, identity: Identity, certificate: &Path) -> Self {
        Self::trusting(address, "https", identity, Some(certificate))
    }

    /// A client that keeps connections and uses them again.
    pub fn keeping(mut self) -> Self {
        let tls = tls_config(self.certificate.as_deref(), false).unwrap();
        self.http = HttpClient::builder(TokioExecutor::new())
            // A connection that ends under a request is what tests look for.
            .retry_canceled_requests(false)
            .build(connector(tls));
        self
    }

    /// The same over HTTP/2, by one connection. What a GOAWAY overtakes was never sent, and goes by
    /// another connection (RFC 9113, section 6.8).
    pub fn keeping_http2(mut self) -> Self {
        let tls = tls_config(self.certificate.as_deref(), false).unwrap();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http2()
            .build();
        self.http = HttpClient::builder(TokioExecutor::new())
            .http2_only(true)
            .build(connector);
        self
    }

    /// A client that shows this certificate.
    pub fn showing(mut self, pair: &ClientPair) -> Self {
        let tls = tls_config_of(self.certificate.as_deref(), Some(pair), false).unwrap();
        self.http = HttpClient::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector(tls));
        self
    }

    fn trusting(
        address: SocketAddr,
        scheme: &'static str,
        identity: Identity,
        certificate: Option<&Path>,
    ) -> Self {
        let tls = tls_config(certificate, false).unwrap();
        Self {
            certificate: certificate.map(Path::to_owned),
            address,
            scheme,
            identity,
            // A connection for each request: a server may close a kept one just as it is reused,
            // and what the test then sees is neither an answer nor a fault.
            http: HttpClient::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build(connector(tls)),
        }
    }

    /// A client of the same server that signs as somebody else.
    pub fn signing_as(&self, identity: Identity) -> Self {
        Self {
            identity,
            ..self.clone()
        }
    }

    /// A signed request; `target` is path and query as they go on the wire.
    pub fn draft(&self, method: &str, target: &str) -> Draft {
        Draft {
            client: self.clone(),
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            unsigned_headers: Vec::new(),
            body: Bytes::new(),
            payload: PayloadHash::OfBody,
            region: "us-east-1".to_owned(),
            time: SystemTime::now(),
            presign: None,
            is_signed: true,
            host: None,
        }
    }

    /// A request without any signature.
    pub fn unsigned(&self, method: &str, target: &str) -> Draft {
        Draft {
            is_signed: false,
            ..self.draft(method, target)
        }
    }

    /// Sends a request as it is and reads the whole answer.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        self.try_send(request).await.unwrap()
    }

    /// Sends a request as it is; an error is a connection that broke before the end of the answer.
    pub async fn try_send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let response = self.http.request(request).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }

    /// Signed GET.
    pub async fn get(&self, target: &str) -> Answer {
        self.draft("GET", target).send().await
    }

    /// Signed PUT.
    pub async fn put(&self, target: &str, body: impl Into<Bytes>) -> Answer {
        self.draft("PUT", target).body(body).send().await
    }
}

impl Draft {
    /// Adds a signed header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a header behind the signature's back.
    pub fn unsigned_header(mut self, name: &str, value: &str) -> Self {
        self.unsigned_headers
            .push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets `x-amz-content-sha256`.
    pub fn payload(mut self, payload: PayloadHash) -> Self {
        self.payload = payload;
        self
    }

    /// Signs for another region.
    pub fn region(mut self, region: &str) -> Self {
        region.clone_into(&mut self.region);
        self
    }

    /// Signs at another time.
    pub fn time(mut self, time: SystemTime) -> Self {
        self.time = time;
        self
    }

    /// Calls the server by another name.
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// Signs in the query, for this long.
    pub fn presign(mut self, expires: Duration) -> Self {
        self.presign = Some(expires);
        self
    }

    /// The signed request, for tests that change it afterwards.
    pub fn build(self) -> Request<Full<Bytes>> {
        let (scheme, address) = (self.client.scheme, self.client.address);
        let mut url = format!("{scheme}://{address}{}", self.target);
        let mut headers = self.headers.clone();
        let host = self.host.clone();
        let host = host.unwrap_or_else(|| self.client.address.to_string());
        headers.push(("host".to_owned(), host));
        if self.is_signed {
            let (added, query) = self.signature(&url, &headers);
            headers.extend(added);
            for (index, (name, value)) in query.iter().enumerate() {
                let first = index == 0 && !url.contains('?');
                url.push(if first { '?' } else { '&' });
                url.push_str(name);
                url.push('=');
                url.push_str(&s3seal::s3::uri::encode_component(value.as_bytes()));
            }
        }
        // What hyper leaves out for an empty body, and S3 demands.
        let announces_length = headers.iter().any(|(name, _)| name == "content-length");
        if matches!(self.method.as_str(), "PUT" | "POST")
            && self.body.is_empty()
            && !announces_length
        {
            headers.push(("content-length".to_owned(), "0".to_owned()));
        }
        let mut request = Request::builder().method(self.method.as_str()).uri(url);
        for (name, value) in headers.iter().chain(&self.unsigned_headers) {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body)).unwrap()
    }

    /// Sends it and reads the whole answer.
    pub async fn send(self) -> Answer {
        self.try_send().await.unwrap()
    }

    /// Sends it; an error is a connection that broke before the end of the answer.
    pub async fn try_send(self) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let client = self.client.clone();
        client.try_send(self.build()).await
    }

    #[allow(
        clippy::type_complexity,
        reason = "headers and query parameters to add"
    )]
    fn signature(
        &self,
        url: &str,
        headers: &[(String, String)],
    ) -> (Vec<(String, String)>, Vec<(String, String)>) {
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        if let Some(expires) = self.presign {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(expires);
            settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
        }
        let Identity { id, secret } = self.client.identity;
        let identity = Credentials::new(id, secret, None, None, "test").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(self.time)
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let body = match &self.payload {
            _ if self.presign.is_some() => SignableBody::UnsignedPayload,
            PayloadHash::OfBody => SignableBody::Bytes(&self.body),
            PayloadHash::Unsigned => SignableBody::UnsignedPayload,
            PayloadHash::Text(text) => SignableBody::Precomputed(text.clone()),
        };
        let pairs = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let request = SignableRequest::new(&self.method, url, pairs, body).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let query = instructions
            .params()
            .iter()
            .map(|(name, value)| owned((name, value)));
        (instructions.headers().map(owned).collect(), query.collect())
    }
}

impl Answer {
    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The S3 code of an error document.
    pub fn code(&self) -> String {
        self.element("Code")
    }

    /// The texts of all elements of this name.
    pub fn elements(&self, name: &str) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.body);
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let pieces = text.split(&open).skip(1);
        let inner = pieces.filter_map(|piece| piece.split_once(&close));
        inner.map(|(inner, _)| inner.to_owned()).collect()
    }

    /// The text of an element of the document.
    pub fn element(&self, name: &str) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let inner = text
            .split_once(&open)
            .and_then(|(_, rest)| rest.split_once(&close));
        inner.map(|(inner, _)| inner.to_owned()).unwrap_or_default()
    }
}
