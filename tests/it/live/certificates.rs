//! The certificate of the listener changes under connections that stay.

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use s3seal::upstream::client::tls_config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{is_stale, reloads};
use crate::support::upstream::Embedded;
use crate::support::{Options, Proxy};

async fn connect(proxy: &Proxy) -> TlsStream<TcpStream> {
    let tls = tls_config(Some(&proxy.certificate()), true).unwrap();
    connect_by(proxy, &Arc::new(tls)).await.unwrap()
}

/// One connection.
pub(super) async fn connect_by(
    proxy: &Proxy,
    tls: &Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(proxy.address).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::clone(tls))
        .connect(name, stream)
        .await
}

/// The answer to an unsigned request for an object.
pub(super) async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    let request = "GET /bucket/a HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let mut buffer = [0; 4096];
    while !is_whole(&answer) {
        let len = stream.read(&mut buffer).await.unwrap();
        assert!(len > 0, "closed after {answer:?}");
        answer += std::str::from_utf8(&buffer[..len]).unwrap();
    }
    answer
}

fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return false;
    };
    let mut lines = head.lines();
    let len = lines.find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= len.unwrap().parse().unwrap()
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain[0].to_vec()
}

#[tokio::test]
async fn p142_the_certificate_changes_and_connections_stay() {
    let upstream = Embedded::start().await;
    let options = Options {
        tls: true,
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let mut old = connect(&proxy).await;
    assert!(ask(&mut old).await.contains("AccessDenied"));

    // A certificate whose key is not there yet is no pair.
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    proxy.write("tls.crt", &made.cert.pem());
    reloads(&proxy, 0, 1).await;
    assert!(is_stale(&proxy.metrics().await));

    let pem = made.signing_key.serialize_pem();
    proxy.write("tls.key", &pem[..pem.len() / 2]);
    reloads(&proxy, 0, 2).await;
    proxy.write("tls.key", &pem);
    reloads(&proxy, 1, 2).await;
    assert!(!is_stale(&proxy.metrics().await));

    let mut new = connect(&proxy).await;
    assert_eq!(shown(&new), made.cert.der().to_vec());
    assert_ne!(shown(&old), shown(&new));
    assert!(ask(&mut new).await.contains("AccessDenied"));
    assert!(ask(&mut old).await.contains("AccessDenied"));
}
