//! Transit with the login of a pod: OpenBao asks a Kubernetes API server, which is a stand-in here,
//! and the proxy reaches OpenBao over TLS.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3seal::config::keys::Provider;
use s3seal::config::{Config, Environment};
use s3seal::keys::transit::TransitProvider;
use s3seal::keys::{KeyError, KeyProvider, Outage};
use s3seal::upstream::client::tls_config;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::bao::Bao;
use super::contract::context;
use super::gate::Gate;
use super::tls::Certified;

const KEY: &str = "tenant-a";
/// What OpenBao shows the API server to be allowed to ask.
const REVIEWER: &str = "the-token-of-the-reviewer";

/// The one call of a Kubernetes API server that logins need: who is this?
#[derive(Clone)]
struct Cluster {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    known: Mutex<BTreeSet<String>>,
    asked: Mutex<Vec<String>>,
}

impl Cluster {
    async fn start(certified: &Certified) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, acceptor) = (Arc::<State>::default(), certified.acceptor.clone());
        let cluster = Self {
            address,
            state: Arc::clone(&state),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, acceptor) = (Arc::clone(&state), acceptor.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(move |request| {
                        let state = Arc::clone(&state);
                        async move { state.review(request).await }
                    });
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        cluster
    }

    /// These tokens are good from now on, and no others.
    fn knows(&self, tokens: &[&str]) {
        let tokens = tokens.iter().map(|token| (*token).to_owned());
        *self.state.known.lock().unwrap() = tokens.collect();
    }

    /// The tokens that it was asked about so far.
    fn asked(&self) -> Vec<String> {
        self.state.asked.lock().unwrap().clone()
    }
}

impl State {
    async fn review(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let is_review = parts.uri.path() == "/apis/authentication.k8s.io/v1/tokenreviews";
        let bearer = parts.headers.get("authorization");
        let is_allowed = bearer.is_some_and(|value| value == &format!("Bearer {REVIEWER}"));
        let review: Value = serde_json::from_slice(&body).unwrap_or_default();
        let (status, answer) = match review["spec"]["token"].as_str() {
            Some(token) if is_review && is_allowed => {
                self.asked.lock().unwrap().push(token.to_owned());
                let is_known = self.known.lock().unwrap().contains(token);
                (
                    StatusCode::CREATED,
                    status(is_known, &review["spec"]["audiences"]),
                )
            }
            Some(_) | None => (StatusCode::FORBIDDEN, json!({"kind": "Status"})),
        };
        let answer = Full::new(Bytes::from(answer.to_string()));
        let mut response = Response::new(answer);
        *response.status_mut() = status;
        let json = "application/json".parse().unwrap();
        response.headers_mut().insert("content-type", json);
        Ok(response)
    }
}

/// A token is good for the audiences that OpenBao asks about: those that it read in it.
fn status(is_known: bool, audiences: &Value) -> Value {
    let mut status = json!({"authenticated": is_known});
    if is_known {
        status["audiences"] = audiences.clone();
        status["user"] = json!({
            "username": "system:serviceaccount:apps:proxy", "uid": "uid-of-the-account",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:apps"],
        });
    }
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status})
}

/// A service account's token. Nobody but the cluster looks at its signature.
fn jwt(number: u32, account: &str) -> String {
    let claims = json!({
        "iss": "https://kubernetes.default.svc", "aud": ["bao"], "jti": format!("token-{number}"),
        "iat": 1_700_000_000, "nbf": 1_700_000_000, "exp": 4_000_000_000_u64,
        "sub": format!("system:serviceaccount:apps:{account}"),
        "kubernetes.io": {
            "namespace": "apps",
            "serviceaccount": {"name": account, "uid": "uid-of-the-account"},
        },
    });
    let header = json!({"alg": "RS256", "kid": "of-the-cluster", "typ": "JWT"});
    let parts = [header.to_string(), claims.to_string(), "s".repeat(256)];
    parts
        .map(|part| BASE64URL_NOPAD.encode(part.as_bytes()))
        .join(".")
}

/// A pod with its token, in a cluster, behind TLS.
struct Pod {
    folder: TempDir,
    bao: Bao,
    cluster: Cluster,
    gate: Gate,
    engine: String,
    method: String,
}

impl Pod {
    async fn start(ttl: &str, max_ttl: &str) -> Option<Self> {
        let bao = Bao::of_the_run()?;
        let folder = TempDir::new().unwrap();
        let (of_cluster, of_bao) = (Certified::new(), Certified::new());
        let cluster = Cluster::start(&of_cluster).await;
        let gate = Gate::before_over_tls(bao.address, &of_bao).await;
        of_bao.write(folder.path(), "bao-ca.pem");
        let engine = bao.transit(KEY).await;
        let policy = bao.policy(&engine, KEY).await;
        let method = bao.mount("auth", "kubernetes").await;
        let config = json!({
            "kubernetes_host": format!("https://{}", cluster.address),
            "kubernetes_ca_cert": of_cluster.pem,
            "disable_local_ca_jwt": true, "token_reviewer_jwt": REVIEWER,
        });
        let path = format!("auth/{method}/config");
        bao.operator("POST", &path, &config).await;
        let role = json!({
            "bound_service_account_names": "proxy", "bound_service_account_namespaces": "apps",
            "token_policies": policy, "token_ttl": ttl, "token_max_ttl": max_ttl,
        });
        let path = format!("auth/{method}/role/proxy");
        bao.operator("POST", &path, &role).await;
        Some(Self {
            folder,
            bao,
            cluster,
            gate,
            engine,
            method,
        })
    }

    /// As the kubelet does it: a new file, and a rename.
    fn mount_token(&self, token: &str) {
        let folder = self.folder.path();
        std::fs::write(folder.join("..data"), format!("{token}\n")).unwrap();
        std::fs::rename(folder.join("..data"), folder.join("jwt")).unwrap();
    }

    /// The provider as a configuration makes it.
    fn provider(&self, ca: &str) -> TransitProvider {
        let file = self.folder.path().join("config.toml");
        std::fs::write(&file, self.configuration(ca)).unwrap();
        let config = Config::load(&file, &Environment::default()).unwrap();
        let found = config.keys.providers.iter().find_map(|provider| {
            let Provider::Transit(transit) = provider else {
                return None;
            };
            Some(transit.clone())
        });
        let config = found.unwrap();
        let tls = tls_config(config.ca.as_deref(), true).unwrap();
        TransitProvider::new(&config, tls, Duration::from_secs(2))
    }

    fn configuration(&self, ca: &str) -> String {
        let example = include_str!("../../../config/example.toml");
        let Self {
            gate,
            engine,
            method,
            ..
        } = self;
        let address = gate.address;
        format!(
            "{example}\n[[keys.providers]]\nkind = \"transit\"\nname = \"bao\"\n\
             address = \"https://{address}\"\nmount = \"{engine}\"\ntls = {{ ca = \"{ca}\" }}\n\
             auth = {{ method = \"kubernetes\", mount = \"{method}\", role = \"proxy\", \
             jwt_file = \"jwt\" }}\nkeys = [\"{KEY}\"]\n"
        )
    }
}

async fn generate(provider: &TransitProvider) -> Result<(), KeyError> {
    let key = provider.describe(KEY).await?;
    let a = context("a");
    let fresh = provider.generate(&key, &a).await?;
    let opened = provider.unwrap(&key, &fresh.wrapped, &a).await?;
    assert_eq!(opened.expose(), fresh.data_key.expose());
    Ok(())
}

/// Projected tokens live an hour: the kubelet replaces the file long before.
#[tokio::test]
async fn a_pods_token_is_read_again_at_the_next_login() {
    let Some(pod) = Pod::start("9s", "18s").await else {
        return;
    };
    let (first, second) = (jwt(1, "proxy"), jwt(2, "proxy"));
    pod.cluster.knows(&[&first]);
    pod.mount_token(&first);
    let provider = pod.provider("bao-ca.pem");
    assert_eq!(generate(&provider).await, Ok(()));
    assert!(pod.cluster.asked() == std::slice::from_ref(&first));

    pod.mount_token(&second);
    pod.cluster.knows(&[&second]);
    let began = Instant::now();
    // OpenBao asks about the first one again when its login is to be renewed, and refuses.
    while !pod.cluster.asked().contains(&second) {
        assert_eq!(generate(&provider).await, Ok(()));
        assert!(began.elapsed() < Duration::from_secs(30), "no new login");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(generate(&provider).await, Ok(()));
    assert_eq!(pod.gate.count("/login"), 2);
    let asked = pod.cluster.asked();
    assert!(
        asked.last() == Some(&second),
        "not the one that is there now"
    );
    assert!(asked.iter().rev().skip(1).all(|token| *token == first));
}

#[tokio::test]
async fn a_pod_that_the_cluster_or_the_role_does_not_know_is_not_let_in_until_it_is() {
    let Some(pod) = Pod::start("1h", "2h").await else {
        return;
    };
    let (unknown, unbound, good) = (jwt(1, "proxy"), jwt(2, "somebody"), jwt(3, "proxy"));
    pod.cluster.knows(&[&unbound, &good]);
    pod.mount_token(&unknown);
    let provider = pod.provider("bao-ca.pem");
    for token in [&unknown, &unbound] {
        pod.mount_token(token);
        for _ in 0..20 {
            let refused = generate(&provider).await;
            assert_eq!(refused, Err(KeyError::Unavailable(Outage::Login)));
        }
    }
    assert!(
        pod.gate.count("/login") <= 3,
        "{}",
        pod.gate.count("/login")
    );
    pod.mount_token(&good);
    let began = Instant::now();
    while generate(&provider).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "still refused");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(pod.cluster.asked().last(), Some(&good));
    // the operator takes the tokens of the method away
    tokio::time::sleep(Duration::from_secs(11)).await;
    let path = format!("sys/leases/revoke-prefix/auth/{}/login", pod.method);
    pod.bao.operator("PUT", &path, &json!({})).await;
    assert_eq!(generate(&provider).await, Ok(()));
}

/// A token must not be shown to whoever answers.
#[tokio::test]
async fn an_authority_that_is_not_the_configured_one_is_shown_no_token() {
    let Some(pod) = Pod::start("1h", "2h").await else {
        return;
    };
    let token = jwt(1, "proxy");
    pod.cluster.knows(&[&token]);
    pod.mount_token(&token);
    Certified::new().write(pod.folder.path(), "other-ca.pem");
    let provider = pod.provider("other-ca.pem");
    for _ in 0..5 {
        let refused = generate(&provider).await;
        assert_eq!(refused, Err(KeyError::Unavailable(Outage::Unreachable)));
    }
    assert_eq!((pod.gate.count(""), pod.cluster.asked().len()), (0, 0));
    assert_eq!(generate(&pod.provider("bao-ca.pem")).await, Ok(()));
    is_refused_at_start(pod.folder.path());
}

/// A file of authorities that holds none is a mistake that shows at start.
fn is_refused_at_start(folder: &Path) {
    let path = folder.join("empty.pem");
    std::fs::write(&path, "").unwrap();
    assert!(tls_config(Some(&path), true).is_err());
    assert!(tls_config(Some(&folder.join("nowhere.pem")), true).is_err());
}
