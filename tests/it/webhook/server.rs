//! The program as a webhook, and who calls it: connections on which nothing happens by itself.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than anything may take that is not meant to take its time.
pub const PATIENCE: Duration = Duration::from_secs(25);

/// Somebody who signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, both PEM.
pub struct Certified {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for 127.0.0.1, or for a client.
    pub fn sign(&self) -> Certified {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        Certified {
            certificate: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

/// Files as Kubernetes mounts them: links into a folder that is exchanged as a whole.
pub struct Mounted {
    folder: PathBuf,
    generation: u32,
}

impl Mounted {
    pub fn new(folder: PathBuf, files: &[(&str, &str)]) -> Self {
        fs::create_dir(&folder).unwrap();
        let mut mounted = Self {
            folder,
            generation: 0,
        };
        mounted.exchange(files);
        mounted
    }

    pub fn exchange(&mut self, files: &[(&str, &str)]) {
        self.generation += 1;
        let generation = format!("..{}", self.generation);
        fs::create_dir(self.folder.join(&generation)).unwrap();
        for (name, text) in files {
            fs::write(self.folder.join(&generation).join(name), text).unwrap();
        }
        symlink(&generation, self.folder.join("..data_tmp")).unwrap();
        fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data")).unwrap();
        for (name, _) in files {
            // There already after the first time.
            let _ = symlink(format!("..data/{name}"), self.folder.join(name));
        }
        let old = self.folder.join(format!("..{}", self.generation - 1));
        let _ = fs::remove_dir_all(old);
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn path(&self) -> &Path {
        &self.folder
    }
}

/// A running webhook.
pub struct Webhook {
    pub authority: Authority,
    pub tls: Mounted,
    pub templates: Mounted,
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<Value>>>,
    child: Child,
    _folder: TempDir,
}

impl Webhook {
    pub fn start(profiles: &[(&str, &str)]) -> Self {
        Self::start_with(profiles, None)
    }

    /// Whose clients have to be signed by somebody.
    pub fn start_with(profiles: &[(&str, &str)], client_ca: Option<&Authority>) -> Self {
        let folder = TempDir::new().unwrap();
        let authority = Authority::new();
        let Certified { certificate, key } = authority.sign();
        let ca = client_ca.map(Authority::pem).unwrap_or_default();
        let files = [
            ("tls.crt", certificate.as_str()),
            ("tls.key", &key),
            ("ca.crt", &ca),
        ];
        let tls = Mounted::new(folder.path().join("tls"), &files);
        let templates = Mounted::new(folder.path().join("templates"), profiles);
        let mut command = command(&tls.at("tls.crt"), &tls.at("tls.key"), templates.path());
        if client_ca.is_some() {
            command.arg("--client-ca").arg(tls.at("ca.crt"));
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, stderr) = (Arc::clone(&log), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let line = line.unwrap();
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                lines.lock().unwrap().push(line);
            }
        });
        let mut webhook = Self {
            authority,
            tls,
            templates,
            address: ([127, 0, 0, 1], 0).into(),
            log,
            child,
            _folder: folder,
        };
        let serving = webhook.logged(|line| line["message"] == "serving");
        webhook.address = serving["address"].as_str().unwrap().parse().unwrap();
        webhook
    }

    /// The first line of the log that is like this, once there is one.
    pub fn logged(&self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self
                .log
                .lock()
                .unwrap()
                .iter()
                .find(|l| is_wanted(l))
                .cloned();
            if let Some(found) = found {
                return found;
            }
            assert!(Instant::now() < deadline, "not logged: {:?}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything that was logged so far.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    /// Makes it look at its files, and waits for what it says of them.
    pub fn hang_up(&self, message: &str) -> Value {
        self.log.lock().unwrap().clear();
        self.signal(Signal::HUP);
        self.logged(|line| line["message"] == message)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The exit code, once it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// A connection that trusts whoever made the webhook's first certificate.
    pub async fn connect(&self) -> Caller {
        Caller::connect(self.address, &self.authority, None)
            .await
            .unwrap()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program as a webhook on a free port.
pub fn command(certificate: &Path, key: &Path, templates: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_s3seal"));
    command
        .args(["webhook", "--listen", "127.0.0.1:0", "--certificate"])
        .arg(certificate)
        .arg("--private-key")
        .arg(key)
        .arg("--templates")
        .arg(templates)
        .env_clear()
        .stdin(Stdio::null());
    command
}

/// Runs what is expected to end by itself.
pub fn output(mut command: Command) -> Output {
    command.output().unwrap()
}

/// A TLS connection.
pub struct Caller {
    stream: TlsStream<TcpStream>,
}

impl Caller {
    /// The error is that of the handshake. A client's certificate that is not good enough shows only
    /// when something is read.
    pub async fn connect(
        address: SocketAddr,
        trusted: &Authority,
        own: Option<&Certified>,
    ) -> std::io::Result<Self> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(trusted.pem().as_bytes()).unwrap();
        roots.add(root).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            Some(Certified { certificate, key }) => {
                let chain = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self {
            stream: connector.connect(name, stream).await?,
        })
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await?;
        self.stream.flush().await
    }

    /// The head of a review's request, as API servers send it.
    pub async fn begin(&mut self, length: usize) {
        let head = format!(
            "POST /mutate?timeout=10s HTTP/1.1\r\nHost: s3seal-webhook.s3seal.svc:443\r\n\
             User-Agent: kube-apiserver-admission\r\nContent-Length: {length}\r\n\
             Accept: application/json, */*\r\nContent-Type: application/json\r\n\r\n"
        );
        self.send(head).await.unwrap();
    }

    /// Status and body of the next answer.
    pub async fn answer(&mut self) -> std::io::Result<(u16, String)> {
        let read = tokio::time::timeout(PATIENCE, self.read_answer());
        read.await.expect("no answer")
    }

    async fn read_answer(&mut self) -> std::io::Result<(u16, String)> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.split("content-length: ").nth(1).unwrap();
        let length = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok((status, String::from_utf8(body).unwrap()))
    }

    /// Sends a whole request without a body.
    pub async fn ask(&mut self, method: &str, path: &str) -> (u16, String) {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        self.send(head).await.unwrap();
        self.answer().await.unwrap()
    }

    /// Sends a review and returns the answer's `response`.
    pub async fn review(&mut self, review: &Value) -> Value {
        let body = review.to_string();
        self.begin(body.len()).await;
        self.send(body).await.unwrap();
        let (status, body) = self.answer().await.unwrap();
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["kind"], "AdmissionReview");
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
        answer["response"].clone()
    }
}
