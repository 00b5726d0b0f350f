//! Upstreams for tests: an embedded S3 server whose signature check is not ours, and whatever the
//! environment names.

use std::net::SocketAddr;
use std::path::PathBuf;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::client::Identity;
use super::{BUCKET, UPSTREAM};

/// s3s-fs on a folder of its own.
pub struct Embedded {
    /// Where it listens.
    pub address: SocketAddr,
    dir: TempDir,
}

impl Embedded {
    /// Starts one with an empty bucket.
    pub async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::create_dir(dir.path().join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(dir.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(UPSTREAM.id, UPSTREAM.secret));
        let service = service.build();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, dir }
    }

    /// Where everything is kept.
    pub fn root(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// The file that holds the stored bytes of an object in [`BUCKET`].
    pub fn file(&self, key: &str) -> PathBuf {
        self.dir.path().join(BUCKET).join(key)
    }
}

/// A server of another make, started by whoever runs the tests.
#[derive(Clone, Copy)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its account.
    pub identity: Identity,
}

impl Server {
    /// The server that `variable` names. `None` where the tests are told to do without; a missing
    /// server is an error otherwise, so that nobody mistakes half of the tests for all of them.
    pub fn from_environment(variable: &str) -> Option<Self> {
        let address = address_from_environment(variable)?;
        let account = |name: &str| -> &'static str {
            let value = std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
            Box::leak(value.into_boxed_str())
        };
        let id = account("S3SEAL_TEST_ACCESS_KEY");
        let secret = account("S3SEAL_TEST_SECRET_KEY");
        Some(Self {
            address,
            identity: Identity { id, secret },
        })
    }
}

/// Where a server listens that whoever runs the tests has started; see [`Server::from_environment`].
pub fn address_from_environment(variable: &str) -> Option<SocketAddr> {
    let endpoint = value_from_environment(variable)?;
    let address = endpoint.strip_prefix("http://").expect("an http endpoint");
    Some(address.parse().unwrap())
}

/// What whoever runs the tests has prepared; see [`Server::from_environment`].
pub fn value_from_environment(variable: &str) -> Option<String> {
    let Ok(value) = std::env::var(variable) else {
        let is_offline = std::env::var("S3SEAL_TEST_OFFLINE").is_ok_and(|value| value == "1");
        assert!(
            is_offline,
            "{variable} is not set: run `tests/run it`, which starts the servers, or set \
             S3SEAL_TEST_OFFLINE=1 to leave out the tests that need them"
        );
        return None;
    };
    Some(value)
}
