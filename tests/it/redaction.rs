//! Nothing secret in log lines, error documents or metrics, even where everything is logged.

use std::io::{self, Write};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use http_body_util::Full;
use hyper::Request;
use s3seal::config::log::{Log, LogFormat};
use s3seal::format::{Metadata, Wrapped};
use s3seal::keys::local::LocalProvider;
use s3seal::telemetry;
use tokio::sync::oneshot;

use crate::support::chunked::md5;
use crate::support::client::{Answer, Client, Identity, PayloadHash};
use crate::support::form::Form;
use crate::support::upstream::Embedded;
use crate::support::{APP, Options, Proxy, UPSTREAM};

const PLAINTEXT: &str = "a plaintext that nobody may log";
const CUSTOMER_KEY: &[u8; 32] = b"a customer's key of thirty-two b";
const SESSION_TOKEN: &str = "a-session-token-of-a-client";

/// Every log line of the threads it is the default on.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A proxy on a thread of its own: whatever is logged there is the proxy's.
struct Watched {
    proxy: Proxy,
    lines: Lines,
    release: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

/// While there is a single log, tracing asks the thread that meets an event first whether anybody
/// wants it, remembers the answer, and other tests' threads say no.
static SECOND: OnceLock<tracing::Dispatch> = OnceLock::new();

impl Watched {
    fn start(upstream: std::net::SocketAddr, format: LogFormat) -> Self {
        let lines = Lines::default();
        let log = Log {
            format,
            filter: "trace".to_owned(),
        };
        let writer = lines.clone();
        SECOND.get_or_init(|| telemetry::dispatch(&log, io::sink).unwrap());
        let dispatch = telemetry::dispatch(&log, move || writer.clone()).unwrap();
        let (started, starting) = mpsc::channel();
        let (release, released) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            tracing::dispatcher::with_default(&dispatch, || {
                runtime.block_on(async move {
                    let options = Options {
                        tls: true,
                        ..Options::default()
                    };
                    started.send(Proxy::start(upstream, options).await).unwrap();
                    let _ = released.await;
                });
            });
        });
        let proxy = starting.recv().unwrap();
        Self {
            proxy,
            lines,
            release,
            thread,
        }
    }

    /// Everything that was logged until the last request had ended.
    async fn stop(self) -> String {
        self.proxy.stop().await;
        let _ = self.release.send(());
        self.thread.join().unwrap();
        String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap()
    }
}

/// Bytes that must not be seen in any of the usual spellings.
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    fn add(&mut self, what: &str, secret: impl AsRef<[u8]>) {
        self.0.push((what.to_owned(), secret.as_ref().to_vec()));
    }

    fn assert_absent(&self, place: &str, text: &str) {
        for (what, secret) in &self.0 {
            let spellings = [
                String::from_utf8_lossy(secret).into_owned(),
                BASE64.encode(secret),
                BASE64URL_NOPAD.encode(secret),
                HEXLOWER.encode(secret),
                HEXLOWER.encode(secret).to_uppercase(),
                format!("{secret:?}"),
            ];
            for spelling in spellings {
                assert!(
                    !text.contains(&spelling),
                    "{place} shows {what}: {spelling}"
                );
            }
        }
    }
}

/// The signature of a request, wherever it stands.
fn signature(request: &Request<Full<Bytes>>) -> String {
    let in_header = request
        .headers()
        .get("authorization")
        .map(|value| value.to_str().unwrap());
    let text = in_header.map_or_else(|| request.uri().to_string(), str::to_owned);
    let (_, rest) = text.rsplit_once("Signature=").unwrap();
    rest.chars().take_while(char::is_ascii_hexdigit).collect()
}

/// What a client does in a day, with what must not be seen of it.
async fn use_all_of_it(proxy: &Proxy, secrets: &mut Secrets) -> Vec<Answer> {
    let client = proxy.tls_client();
    let liar = Identity {
        id: "APP-OF-THE-TESTS",
        secret: "a-wrong-secret-of-somebody",
    };
    secrets.add("a wrong secret", liar.secret);
    let liar = Client::over_tls(proxy.address, liar, &proxy.certificate());
    let customer = [
        (
            "x-amz-server-side-encryption-customer-algorithm",
            "AES256".to_owned(),
        ),
        (
            "x-amz-server-side-encryption-customer-key",
            BASE64.encode(CUSTOMER_KEY),
        ),
        (
            "x-amz-server-side-encryption-customer-key-md5",
            md5(CUSTOMER_KEY),
        ),
    ];
    let with_key = |method: &str| {
        let draft = client.draft(method, "/bucket/customers");
        customer
            .iter()
            .fold(draft, |draft, (name, value)| draft.header(name, value))
    };
    let hour = Duration::from_hours(1);
    let hoisted = format!("/bucket/object?x-amz-security-token={SESSION_TOKEN}");
    let drafts = [
        client.draft("PUT", "/bucket/object").body(PLAINTEXT),
        client.draft("GET", "/bucket/object"),
        client.draft("HEAD", "/bucket/object"),
        client
            .draft("GET", "/bucket/object")
            .header("range", "bytes=2-5"),
        client.draft("GET", "/bucket/object").presign(hour),
        client
            .draft("PUT", "/bucket/presigned")
            .body(PLAINTEXT)
            .presign(hour),
        client.draft("GET", "/bucket/nothing").presign(hour),
        client.draft("GET", "/bucket?list-type=2"),
        client.draft("DELETE", "/bucket/presigned"),
        client
            .draft("PUT", "/bucket/object")
            .payload(PayloadHash::Text("0".repeat(64)))
            .body(PLAINTEXT),
        client
            .draft("GET", "/bucket/object")
            .header("x-amz-security-token", SESSION_TOKEN),
        client.draft("GET", &hoisted).presign(hour),
        client.draft("GET", "/bucket/object?torrent").presign(hour),
        with_key("PUT").body(PLAINTEXT),
        with_key("GET"),
        with_key("HEAD"),
        with_key("PUT").header("x-amz-server-side-encryption", "AES256"),
    ];
    let mut answers = Vec::new();
    for draft in drafts {
        let request = draft.build();
        secrets.add("a client's signature", signature(&request));
        answers.push(client.send(request).await);
    }
    for draft in [
        liar.draft("GET", "/bucket/object"),
        liar.draft("GET", "/bucket/object").presign(hour),
    ] {
        // The client is shown its own signature again, the log is not; nobody is shown the right one.
        answers.push(draft.send().await);
    }
    let form = Form::new("form", PLAINTEXT)
        .field("x-amz-meta-colour", "a-value-of-a-field")
        .sign(APP);
    secrets.add("the signature of a form", form.value("x-amz-signature"));
    let forged = form.clone().with("x-amz-signature", &"0".repeat(64));
    for form in [form, forged] {
        answers.push(form.draft(&client, "/bucket").send().await);
    }
    answers
}

/// The data key of the one object that is left.
async fn data_key(upstream: &Embedded, proxy: &Proxy) -> [u8; 32] {
    let direct = Client::new(upstream.address, UPSTREAM);
    let head = direct.draft("HEAD", "/bucket/object").send().await;
    let pairs = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    let metadata = Metadata::parse(pairs).unwrap().unwrap();
    let Wrapped::Direct(wrapped) = metadata.envelope.wrapped() else {
        panic!("a bucket key");
    };
    let keyring = LocalProvider::open(&proxy.keyring()).unwrap();
    let envelope = metadata.envelope.head();
    let context = envelope
        .context(metadata.header.prefix(), "bucket", "object")
        .unwrap();
    *keyring
        .unwrap_now(envelope.key(), wrapped, &context)
        .unwrap()
        .expose()
}

/// Both forms of log line: they format fields in different ways.
#[tokio::test]
async fn p49_no_secret_is_logged_shown_or_counted() {
    for format in [LogFormat::Json, LogFormat::Text] {
        let upstream = Embedded::start().await;
        let watched = Watched::start(upstream.address, format);
        let mut secrets = Secrets(Vec::new());
        let answers = use_all_of_it(&watched.proxy, &mut secrets).await;
        let statuses: Vec<u16> = answers
            .iter()
            .map(|answer| answer.status.as_u16())
            .collect();
        let expected = [
            200, 200, 200, 206, 200, 200, 404, 200, 204, 400, 400, 400, 501, 200, 200, 200, 400,
            403, 403, 204, 403,
        ];
        assert_eq!(statuses, expected);

        let keyring = std::fs::read_to_string(watched.proxy.keyring()).unwrap();
        for (_, rest) in keyring
            .match_indices("\"material\": \"")
            .map(|(at, tag)| keyring.split_at(at + tag.len()))
        {
            let material = rest.split('"').next().unwrap();
            secrets.add("key material", BASE64.decode(material.as_bytes()).unwrap());
        }
        secrets.add("a client's secret", APP.secret);
        secrets.add("the upstream's secret", UPSTREAM.secret);
        secrets.add("a customer's key", CUSTOMER_KEY);
        secrets.add("a session token", SESSION_TOKEN);
        secrets.add("a data key", data_key(&upstream, &watched.proxy).await);
        for answer in answers.iter().filter(|answer| !answer.status.is_success()) {
            secrets.assert_absent("an answer", &format!("{answer:?}"));
        }
        secrets.assert_absent("/metrics", &watched.proxy.metrics().await);
        let admin = Client::new(watched.proxy.admin, APP);
        let status = admin.unsigned("GET", "/status.json").send().await;
        assert_eq!(status.status, 200);
        secrets.assert_absent("/status.json", &format!("{status:?}"));

        secrets.add("a plaintext", PLAINTEXT);
        let log = watched.stop().await;
        secrets.assert_absent("the log", &log);
        // The last two are in forms: the beginning of any policy, and what stands in a field.
        for text in [
            "X-Amz-Signature",
            "X-Amz-Credential",
            "Signature=",
            "eyJleHBpcmF0aW9u",
            "a-value-of-a-field",
        ] {
            assert!(!log.contains(text), "{text} in the log");
        }
        // It is the log of these requests: an empty one would prove nothing.
        for said in [
            "GetObject",
            "PutObject",
            "PostObject",
            "SignatureDoesNotMatch",
            "/bucket/object",
            "TRACE",
        ] {
            assert!(log.contains(said), "{said} is not in the log:\n{log}");
        }
    }
}
