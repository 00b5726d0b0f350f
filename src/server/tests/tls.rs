//! TLS and HTTP/2.

use hyper::client::conn::http2::{self, SendRequest};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::*;
use crate::config::listen::TlsFiles;
use crate::server::tls::{self, Terms};

struct Certified {
    folder: tempfile::TempDir,
    roots: Arc<RootCertStore>,
}

fn certified() -> Certified {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(
        folder.path().join("tls.key"),
        made.signing_key.serialize_pem(),
    )
    .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    Certified {
        folder,
        roots: Arc::new(roots),
    }
}

impl Certified {
    fn server(&self) -> Terms {
        let at = |name| self.folder.path().join(name);
        tls::terms(&TlsFiles {
            certificate: at("tls.crt"),
            private_key: at("tls.key"),
            clients: None,
        })
        .unwrap()
    }

    async fn connect(
        &self,
        server: &Running,
        alpn: &[&[u8]],
    ) -> tokio_rustls::client::TlsStream<TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = server.connect().await;
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap()
    }

    async fn http2(&self, server: &Running) -> SendRequest<Full<Bytes>> {
        self.http2_with(server, &http2::Builder::new(TokioExecutor::new()))
            .await
            .0
    }

    /// The second ends with the connection.
    async fn http2_with(
        &self,
        server: &Running,
        builder: &http2::Builder<TokioExecutor>,
    ) -> (SendRequest<Full<Bytes>>, tokio::task::JoinHandle<()>) {
        let stream = self.connect(server, &[b"h2"]).await;
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        let ended = tokio::spawn(async {
            // How it ends is seen by its streams.
            let _ = connection.await;
        });
        (sender, ended)
    }
}

fn get(path: &str) -> Request<Full<Bytes>> {
    let uri = format!("https://localhost{path}");
    Request::get(uri).body(Full::default()).unwrap()
}

#[tokio::test]
async fn tls_speaks_http1_first_and_http2_when_asked() {
    let certified = certified();
    let server = start(Some(certified.server()), LIMITS).await;
    for (offered, agreed) in [
        (vec![], None),
        (vec![&b"h2"[..], b"http/1.1"], Some(&b"http/1.1"[..])),
        (vec![b"h2"], Some(b"h2")),
    ] {
        let stream = certified.connect(&server, &offered).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
    }
    let mut stream = certified.connect(&server, &[]).await;
    let request = "GET /tls HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("\r\n\r\nx"), "{answer}");

    let mut sender = certified.http2(&server).await;
    let response = sender.send_request(get("/tls")).await.unwrap();
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "x"
    );
}

#[tokio::test]
async fn http2_body_errors_and_panics_reset_the_stream_only() {
    let certified = certified();
    let server = start(Some(certified.server()), LIMITS).await;
    let mut sender = certified.http2(&server).await;
    // The reset may overtake the head.
    let error = match sender.send_request(get("/fail")).await {
        Ok(response) => response.into_body().collect().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(format!("{error:?}").contains("INTERNAL_ERROR"), "{error:?}");
    assert!(sender.send_request(get("/panic")).await.is_err());
    let response = sender.send_request(get("/")).await.unwrap();
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "xxxxx"
    );
}

/// A client with a window for streams that is `window` bytes and never grows.
fn stingy(window: u32) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    builder
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed() {
    let certified = certified();
    let limits = Limits {
        header_timeout: HASTE,
        ..LIMITS
    };
    let server = start(Some(certified.server()), limits).await;
    let started = tokio::time::Instant::now();
    let (mut sender, ended) = certified.http2_with(&server, &stingy(65_535)).await;
    let response = sender.send_request(get("/slow")).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "xxxxx", "a slow handler is not idle");
    timeout(PATIENCE, ended).await.unwrap().unwrap();
    assert!(started.elapsed() >= HASTE * 2);
}

#[tokio::test]
async fn http2_streams_that_nobody_reads_end_their_connection() {
    let limits = Limits {
        max_connections: 1,
        write_timeout: HASTE,
        ..LIMITS
    };
    let certified = certified();
    let server = start(Some(certified.server()), limits).await;
    let (mut sender, _) = certified.http2_with(&server, &stingy(16_384)).await;
    let deaf = sender.send_request(get("/endless")).await.unwrap();
    // It holds the only slot: the next connection is served once it is cut.
    let mut next = certified.http2(&server).await;
    let response = timeout(PATIENCE, next.send_request(get("/")));
    assert!(response.await.unwrap().is_ok());
    assert!(deaf.into_body().collect().await.is_err());
}

/// What an answer comes from has an idle timeout of its own.
#[tokio::test]
async fn an_http2_answer_that_has_nothing_to_send_is_not_the_clients_fault() {
    let limits = Limits {
        write_timeout: HASTE,
        ..LIMITS
    };
    let certified = certified();
    let server = start(Some(certified.server()), limits).await;
    let mut sender = certified.http2(&server).await;
    let response = sender.send_request(get("/pause")).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "xx");
}

/// One frame of several MiB, taken at a pace that lets no MiB through within the timeout.
#[tokio::test]
async fn a_slow_http2_client_of_large_frames_is_not_cut() {
    let limits = Limits {
        write_timeout: HASTE * 2,
        header_timeout: HASTE * 2,
        ..LIMITS
    };
    let certified = certified();
    let server = start(Some(certified.server()), limits).await;
    let (mut sender, _) = certified.http2_with(&server, &stingy(65_535)).await;
    let response = sender.send_request(get("/large")).await.unwrap();
    let mut body = response.into_body();
    let mut taken = 0;
    while let Some(frame) = body.frame().await {
        taken += frame.unwrap().into_data().unwrap().len();
        tokio::time::sleep(HASTE / 32).await;
    }
    assert_eq!(taken, 2 << 20);
}

#[tokio::test]
async fn http2_drains_too() {
    let certified = certified();
    let server = start(Some(certified.server()), LIMITS).await;
    let mut sender = certified.http2(&server).await;
    let request = tokio::spawn(sender.send_request(get("/slow")));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.stop().await, 0);
    let body = request.await.unwrap().unwrap().into_body();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "xxxxx");
}

#[tokio::test]
async fn a_body_error_over_tls_is_no_clean_end() {
    let certified = certified();
    let server = start(Some(certified.server()), LIMITS).await;
    let mut stream = certified.connect(&server, &[]).await;
    stream
        .write_all(b"GET /fail HTTP/1.0\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    assert!(stream.read_to_end(&mut answer).await.is_err());
}

#[tokio::test]
async fn a_slow_handshake_holds_up_nobody_and_is_cut() {
    let certified = certified();
    let limits = Limits {
        // Enough for the handshake that is not slow.
        tls_handshake_timeout: HASTE * 5,
        ..LIMITS
    };
    let server = start(Some(certified.server()), limits).await;
    let started = tokio::time::Instant::now();
    let mut slow = server.connect().await;
    slow.write_all(&[22, 3, 1]).await.unwrap();
    let mut sender = certified.http2(&server).await;
    assert!(sender.send_request(get("/")).await.is_ok());
    let (answer, _) = read_all(&mut slow).await;
    assert!(answer.is_empty());
    assert!(started.elapsed() >= limits.tls_handshake_timeout);
    let cut = "s3seal_connections_refused_total{listener=\"s3\",reason=\"handshake\"} 1\n";
    server.wait_for_metric(cut).await;
    server
        .connect()
        .await
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    server.wait_for_metric(&cut.replace(" 1\n", " 2\n")).await;
}

#[test]
fn unusable_certificates_and_keys_are_named() {
    let certified = certified();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let at = |name: &str| certified.folder.path().join(name);
    std::fs::write(at("other.key"), other.signing_key.serialize_pem()).unwrap();
    std::fs::write(at("empty"), "").unwrap();
    std::fs::write(at("torn"), "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n").unwrap();
    let refuse = |certificate: &str, key: &str| {
        let error = tls::terms(&TlsFiles {
            certificate: at(certificate),
            private_key: at(key),
            clients: None,
        })
        .unwrap_err()
        .to_string();
        error.replace(&format!("{}/", certified.folder.path().display()), "")
    };
    assert_eq!(
        refuse("tls.crt", "other.key"),
        "other.key is not the private key of tls.crt"
    );
    assert_eq!(refuse("tls.crt", "empty"), "empty holds no private key");
    assert_eq!(refuse("tls.crt", "tls.crt"), "tls.crt holds no private key");
    assert_eq!(refuse("tls.key", "tls.key"), "tls.key holds no certificate");
    assert_eq!(refuse("tls.crt", "torn"), "torn: not valid PEM");
    assert!(refuse("none", "tls.key").starts_with("none: "));
}
