//! No secret in any log, at any level: the requests run with every log line kept, and the lines
//! are searched for everything that was secret.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use s3seal::config::log::{Log, LogFormat};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::upstream::Embedded;
use crate::support::{APP, Options, Proxy, UPSTREAM};

/// Keeps what is written to it.
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

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// A customer key, refused in this version and not logged either.
const CUSTOMER_KEY: &str = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";

#[tokio::test(flavor = "current_thread")]
async fn no_secret_is_logged_at_any_level() {
    let lines = Lines::default();
    // The signer of the test's own client shows what it signs.
    let log = Log {
        format: LogFormat::Json,
        filter: "trace,aws_sigv4=off".to_owned(),
    };
    let dispatch = s3seal::telemetry::dispatch(&log, lines.clone()).unwrap();
    // Every task of this runtime runs on this thread.
    let guard = tracing::dispatcher::set_default(&dispatch);

    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    let target = "/bucket/secret-object";
    assert_eq!(client.put(target, vec![b'm'; 100_000]).await.status, 200);
    assert_eq!(client.get(target).await.status, 200);
    assert_eq!(client.draft("HEAD", target).send().await.status, 200);
    let presigned = client
        .draft("GET", target)
        .presign(Duration::from_secs(60))
        .build();
    let query = presigned.uri().query().unwrap().to_owned();
    let signature = query.split("X-Amz-Signature=").nth(1).unwrap().to_owned();
    let read = client
        .unsigned("GET", &format!("{target}?{query}"))
        .send()
        .await;
    assert_eq!(read.status, 200);
    let forged = client.unsigned("GET", &format!("{target}?{}0", &query[..query.len() - 1]));
    assert_eq!(forged.send().await.status, 403);
    let refused = client
        .draft("PUT", target)
        .header("x-amz-server-side-encryption-customer-algorithm", "AES256")
        .header("x-amz-server-side-encryption-customer-key", CUSTOMER_KEY)
        .header(
            "x-amz-server-side-encryption-customer-key-md5",
            "AAAAAAAAAAAAAAAAAAAAAA==",
        )
        .send()
        .await;
    assert!(refused.status.is_client_error() || refused.status == 501);
    let keyring: serde_json::Value =
        serde_json::from_slice(&std::fs::read(proxy.keyring()).unwrap()).unwrap();
    proxy.stop().await;
    drop(guard);

    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("PutObject"), "the log was not kept");
    let mut secrets = vec![
        APP.secret.to_owned(),
        UPSTREAM.secret.to_owned(),
        CUSTOMER_KEY.to_owned(),
        signature,
        "mmmmmmmmmmmmmmmm".to_owned(),
    ];
    for key in keyring["keys"].as_array().unwrap() {
        secrets.push(key["versions"][0]["material"].as_str().unwrap().to_owned());
    }
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret} was logged");
    }
}
