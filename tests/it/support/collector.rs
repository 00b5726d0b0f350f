//! A collector of traces: it takes what comes by OTLP over HTTP, and says what it is told to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A delivery as it arrived.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A running collector.
#[derive(Clone)]
pub struct Collector {
    /// Where it listens.
    pub address: SocketAddr,
    deliveries: Arc<Mutex<Vec<Delivery>>>,
    status: Arc<AtomicU16>,
}

impl Collector {
    /// Starts one that takes everything.
    pub async fn start() -> Self {
        Self::listen(None).await
    }

    /// Starts one that speaks TLS, with a certificate that nobody else trusts; returns it as well.
    pub async fn start_tls() -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        (Self::listen(Some(tls)).await, made.cert.pem())
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let collector = Self {
            address: listener.local_addr().unwrap(),
            deliveries: Arc::default(),
            status: Arc::new(AtomicU16::new(200)),
        };
        let shared = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                let service = service_fn(move |request| shared.clone().take(request));
                let server = hyper::server::conn::http1::Builder::new();
                let Some(tls) = tls.clone() else {
                    tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
                    continue;
                };
                tokio::spawn(async move {
                    let stream = tls.accept(stream).await?;
                    let served = server.serve_connection(TokioIo::new(stream), service);
                    served.await.map_err(std::io::Error::other)
                });
            }
        });
        collector
    }

    async fn take(self, request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        self.deliveries.lock().unwrap().push(Delivery {
            path: head.uri.path().to_owned(),
            headers: head.headers,
            body,
        });
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = self.status.load(Ordering::SeqCst).try_into().unwrap();
        Ok(answer)
    }

    /// Answers with this status from now on.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// The lines of `[traces]` that lead here.
    pub fn table(&self, lines: &str) -> String {
        let address = self.address;
        format!("[traces]\nendpoint = \"http://{address}\"\n{lines}\n")
    }

    /// All deliveries so far.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.deliveries.lock().unwrap().clone()
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let deliveries = self.deliveries();
        let decode = |it: Delivery| ExportTraceServiceRequest::decode(it.body).unwrap();
        deliveries.into_iter().map(decode).collect()
    }

    /// Who says that the spans are its own.
    pub fn resources(&self) -> Vec<Resource> {
        let requests = self.requests().into_iter();
        let resources = requests.flat_map(|request| request.resource_spans);
        resources.map(|spans| spans.resource.unwrap()).collect()
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Seen> {
        let requests = self.requests().into_iter();
        let resources = requests.flat_map(|request| request.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).map(Seen).collect()
    }

    /// Waits until there are deliveries.
    pub async fn wait_for(&self, count: usize) {
        for _ in 0..2000 {
            if self.deliveries().len() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not {count} deliveries within 20 s");
    }
}

/// A span as it arrived.
#[derive(Clone, Debug)]
pub struct Seen(pub Span);

impl Seen {
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The trace id in digits.
    pub fn trace(&self) -> String {
        HEXLOWER.encode(&self.0.trace_id)
    }

    /// Its own id in digits.
    pub fn id(&self) -> String {
        HEXLOWER.encode(&self.0.span_id)
    }

    /// The id of the span around it in digits.
    pub fn parent(&self) -> String {
        HEXLOWER.encode(&self.0.parent_span_id)
    }

    /// An attribute as text.
    pub fn attribute(&self, name: &str) -> Option<String> {
        let found = self.0.attributes.iter().find(|it| it.key == name)?;
        let value = found.value.clone()?.value?;
        if let Value::StringValue(text) = value {
            return Some(text);
        }
        let Value::IntValue(number) = value else {
            panic!("{value:?}");
        };
        Some(number.to_string())
    }

    pub fn is_error(&self) -> bool {
        self.0
            .status
            .as_ref()
            .is_some_and(|status| status.code == 2)
    }

    pub fn is_server(&self) -> bool {
        self.0.kind == 2
    }

    pub fn is_client(&self) -> bool {
        self.0.kind == 3
    }

    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.0.end_time_unix_nano - self.0.start_time_unix_nano)
    }
}
