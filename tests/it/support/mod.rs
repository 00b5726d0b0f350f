//! A real proxy on a free port in front of an embedded S3 server, and a client that says exactly
//! what it is told to say. Requests are signed by aws-sigv4, never by the code under test.

pub mod attacker;
pub mod chaos;
pub mod chunked;
pub mod client;
pub mod collector;
pub mod customer_key;
pub mod form;
pub mod framing;
pub mod http1;
pub mod upstream;
pub mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use s3seal::app::{self, App};
use s3seal::config::{Config, Environment};
use s3seal::keys::local::{Material, NewKey, WhenMissing, update};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::client::{Client, Identity};

/// Who calls the proxy in tests; scopes come from the configuration.
/// Long names: three letters would turn up in ciphertext by chance.
pub const APP: Identity = Identity {
    id: "APP-OF-THE-TESTS",
    secret: "app-secret-of-the-tests",
};

/// Who the proxy is to the upstream.
pub const UPSTREAM: Identity = Identity {
    id: "UPSTREAM",
    secret: "upstream-secret-of-the-tests",
};

/// The keys of a keyring that a proxy starts with.
const KEYS: [&str; 3] = ["default", "managed", "tenant"];

/// The bucket that is there from the start.
pub const BUCKET: &str = "bucket";

/// A running proxy.
pub struct Proxy {
    /// Where S3 clients connect.
    pub address: SocketAddr,
    /// Where `/metrics` is.
    pub admin: SocketAddr,
    dir: TempDir,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

/// What differs from the usual configuration.
#[derive(Clone, Default)]
pub struct Options {
    /// Lines of `[listen]`.
    pub listen: String,
    /// Lines of `[upstream]`.
    pub upstream: String,
    /// Lines of `[keys]`; `default` and `managed` are there already.
    pub keys: String,
    /// Lines of the only rule; `buckets = ["*"]` and `encryption` are there already.
    pub rule: String,
    /// `named-key` where empty.
    pub encryption: &'static str,
    /// Whole tables, `[[clients]]` and `[[rules]]` among them; they come first.
    pub tables: String,
    /// Who the proxy is to the upstream; [`UPSTREAM`] where `None`.
    pub identity: Option<Identity>,
    /// Whether clients come over TLS.
    pub tls: bool,
}

impl Proxy {
    /// Starts a proxy in front of `upstream` (`host:port`).
    pub async fn start(upstream: SocketAddr, options: Options) -> Self {
        let dir = TempDir::new().unwrap();
        make_keyring(&dir.path().join("keyring.json"), &KEYS);
        Self::start_in(dir, upstream, options).await
    }

    /// Starts a replica of another proxy: with the same keys and certificate, and nothing else in
    /// common.
    pub async fn start_beside(other: &Self, upstream: SocketAddr, options: Options) -> Self {
        let dir = TempDir::new().unwrap();
        for name in ["keyring.json", "tls.crt", "tls.key"] {
            std::fs::copy(other.folder().join(name), dir.path().join(name)).unwrap();
        }
        Self::start_in(dir, upstream, options).await
    }

    async fn start_in(dir: TempDir, upstream: SocketAddr, options: Options) -> Self {
        if !dir.path().join("tls.crt").exists() {
            make_certificate(dir.path());
        }
        let path = dir.path().join("config.toml");
        std::fs::write(&path, configuration(upstream, &options)).unwrap();
        let config = Config::load(&path, &Environment::default()).unwrap();
        let app = Box::pin(App::build(config)).await.unwrap();
        let (address, admin) = (app.address().unwrap(), app.admin_address().unwrap());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(app.run(async move {
            let _ = stopped.await;
        }));
        Self {
            address,
            admin,
            dir,
            stop: Some(stop),
            running: Some(running),
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// A client that signs as [`APP`].
    pub fn client(&self) -> Client {
        Client::new(self.address, APP)
    }

    /// The same over TLS, which has to be on.
    pub fn tls_client(&self) -> Client {
        Client::over_tls(self.address, APP, &self.certificate())
    }

    /// Its certificate, which nobody else trusts.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("tls.crt")
    }

    /// The keyring in use.
    pub fn keyring(&self) -> PathBuf {
        self.dir.path().join("keyring.json")
    }

    /// The configuration in use.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    /// Writes a file beside the configuration as it should be done: whole or not at all.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    /// Changes the text of the configuration.
    pub fn configure(&self, change: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        let changed = change(text.clone());
        assert!(changed != text, "nothing changed");
        self.write("config.toml", &changed);
    }

    /// Waits until a line is among the metrics.
    pub async fn wait_for_metric(&self, line: &str) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        loop {
            let metrics = self.metrics().await;
            if metrics.lines().any(|other| other == line) {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{line}\n{metrics}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> String {
        let response = Client::new(self.admin, APP)
            .unsigned("GET", "/metrics")
            .send()
            .await;
        String::from_utf8(response.body.to_vec()).unwrap()
    }

    /// What the status page shows.
    pub async fn status(&self) -> serde_json::Value {
        let admin = Client::new(self.admin, APP);
        let answer = admin.unsigned("GET", "/status.json").send().await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Stops serving and waits until the last request has ended.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(running) = self.running.take() {
            running.await.unwrap();
        }
    }
}

fn make_certificate(dir: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(dir.join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(dir.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
}

/// Creates a keyring with these keys, each of which has an alias, too.
pub fn make_keyring(path: &Path, ids: &[&str]) {
    for &id in ids {
        let key = NewKey {
            id: id.to_owned(),
            aliases: vec![format!("alias/{id}")],
            description: String::new(),
        };
        let material = Material::generate().unwrap();
        update(path, WhenMissing::Create, |keyring| {
            keyring.create(key, material, app::now())
        })
        .unwrap();
    }
}

fn configuration(upstream: SocketAddr, options: &Options) -> String {
    let Options {
        listen,
        upstream: upstream_lines,
        keys,
        rule,
        encryption,
        tables,
        identity,
        tls,
    } = options;
    let tls = if *tls {
        "tls = { certificate = \"tls.crt\", private_key = \"tls.key\" }"
    } else {
        ""
    };
    let encryption = if encryption.is_empty() {
        "named-key"
    } else {
        encryption
    };
    let Identity { id, secret } = APP;
    let Identity {
        id: upstream_id,
        secret: upstream_secret,
    } = identity.unwrap_or(UPSTREAM);
    format!(
        r#"
{tables}
[listen]
address = "127.0.0.1:0"
{tls}
{listen}
[admin]
address = "127.0.0.2:0"
[upstream]
endpoint = "http://{upstream}"
region = "us-east-1"
credentials = {{ access_key_id = "{upstream_id}", secret_access_key = "{upstream_secret}" }}
{upstream_lines}
[[clients]]
access_key_id = "{id}"
secret_access_key = "{secret}"
[keys]
default = "default"
managed = "managed"
{keys}
[[keys.providers]]
kind = "local"
name = "local"
keyring = "keyring.json"
[[rules]]
buckets = ["*"]
encryption = "{encryption}"
{rule}
"#
    )
}
