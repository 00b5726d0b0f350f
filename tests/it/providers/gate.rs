//! A gate in front of a key provider: counts what passes, and does to it what the test says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::tls::Certified;
use tokio::task::{AbortHandle, JoinSet};

/// What happens to requests.
#[derive(Clone, Debug, Default)]
pub enum Mode {
    /// They pass.
    #[default]
    Open,
    /// They pass after a while.
    Slow(Duration),
    /// Nobody answers.
    Hung,
    /// The connection breaks.
    Broken,
    /// They are answered so, and not passed on.
    Answer(StatusCode, &'static str),
}

/// A running gate.
#[derive(Clone)]
pub struct Gate {
    pub address: SocketAddr,
    behind: SocketAddr,
    tls: Option<TlsAcceptor>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    mode: Mutex<Mode>,
    seen: Mutex<BTreeMap<String, usize>>,
    passed: Mutex<Vec<(String, Bytes)>>,
    serving: Mutex<Option<AbortHandle>>,
}

impl Gate {
    /// In front of the server at `behind`.
    pub async fn before(behind: SocketAddr) -> Self {
        Self::start(behind, None).await
    }

    /// The same, for clients over TLS.
    pub async fn before_over_tls(behind: SocketAddr, certified: &Certified) -> Self {
        Self::start(behind, Some(certified.acceptor.clone())).await
    }

    async fn start(behind: SocketAddr, tls: Option<TlsAcceptor>) -> Self {
        // Without TLS, which has a certificate for the usual address, one that nobody connects from:
        // its port is still free after a kill.
        let host = if tls.is_some() {
            "127.0.0.1"
        } else {
            "127.0.0.3"
        };
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let gate = Self {
            address: listener.local_addr().unwrap(),
            behind,
            tls,
            state: Arc::default(),
        };
        gate.serve(listener);
        gate
    }

    /// Nobody listens any more, and every connection breaks.
    pub fn kill(&self) {
        let serving = self.state.serving.lock().unwrap().take();
        serving.expect("a gate that serves").abort();
    }

    /// Listens again where it did.
    pub async fn revive(&self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    fn serve(&self, listener: TcpListener) {
        let (state, behind) = (Arc::clone(&self.state), self.behind);
        let tls = self.tls.clone();
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (state, client, tls) = (Arc::clone(&state), client.clone(), tls.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (state, client) = (Arc::clone(&state), client.clone());
                    async move { state.handle(request, &client, behind).await }
                });
                connections.spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    let Some(tls) = tls else {
                        let _ = server.serve_connection(TokioIo::new(stream), service).await;
                        return;
                    };
                    if let Ok(stream) = tls.accept(stream).await {
                        let _ = server.serve_connection(TokioIo::new(stream), service).await;
                    }
                });
            }
        });
        *self.state.serving.lock().unwrap() = Some(serving.abort_handle());
    }

    /// What happens from now on.
    pub fn set(&self, mode: Mode) {
        *self.state.mode.lock().unwrap() = mode;
    }

    /// How many requests for something that holds `part` came so far, whatever became of them.
    pub fn count(&self, part: &str) -> usize {
        let seen = self.state.seen.lock().unwrap();
        let matching = seen.iter().filter(|(what, _)| what.contains(part));
        matching.map(|(_, count)| count).sum()
    }

    /// The bodies of the requests for something that holds `part` which passed so far.
    pub fn bodies(&self, part: &str) -> Vec<Bytes> {
        let passed = self.state.passed.lock().unwrap();
        let matching = passed.iter().filter(|(what, _)| what.contains(part));
        matching.map(|(_, body)| body.clone()).collect()
    }
}

type Http = Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>;

impl State {
    async fn handle(
        &self,
        request: Request<Incoming>,
        client: &Http,
        behind: SocketAddr,
    ) -> Result<Response<Full<Bytes>>, Broken> {
        let target = request.headers().get("x-amz-target");
        let what = match target {
            Some(target) => target.to_str().unwrap().to_owned(),
            None => request.uri().path().to_owned(),
        };
        *self.seen.lock().unwrap().entry(what.clone()).or_default() += 1;
        let mode = self.mode.lock().unwrap().clone();
        match mode {
            Mode::Open => {}
            Mode::Slow(wait) => tokio::time::sleep(wait).await,
            Mode::Hung => std::future::pending::<()>().await,
            Mode::Broken => return Err(Broken),
            Mode::Answer(status, body) => {
                let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
                *response.status_mut() = status;
                return Ok(response);
            }
        }
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_gone| Broken)?.to_bytes();
        self.passed.lock().unwrap().push((what, body.clone()));
        let target = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = format!("http://{behind}{target}").parse::<Uri>().unwrap();
        let request = Request::from_parts(parts, Full::new(body));
        let response = client.request(request).await.map_err(|_down| Broken)?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|_gone| Broken)?.to_bytes();
        Ok(Response::from_parts(parts, Full::new(body)))
    }
}

/// Ends the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("broken on purpose")]
struct Broken;
