//! Clients that show certificates, and what that makes of their requests.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::{ClientConfig, HandshakeKind};
use s3seal::config::upstream::ClientPair;
use s3seal::upstream::client::tls_config_of;
use time::OffsetDateTime;

use super::certificates::{ask, connect_by};

use super::{OTHER, reloads};
use crate::support::client::{Client, Identity};
use crate::support::upstream::Embedded;
use crate::support::{APP, Options, Proxy};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate of a client, in files of the proxy's folder.
fn issue(proxy: &Proxy, by: &Authority, common_name: &str, dns: &str) -> ClientPair {
    issue_until(proxy, by, (common_name, dns), date_time_ymd(2100, 1, 1))
}

fn issue_until(
    proxy: &Proxy,
    by: &Authority,
    (common_name, dns): (&str, &str),
    ends: OffsetDateTime,
) -> ClientPair {
    let mut parameters = CertificateParams::new(vec![dns.to_owned()]).unwrap();
    parameters.not_after = ends;
    parameters
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let key = KeyPair::generate().unwrap();
    let made = parameters.signed_by(&key, by).unwrap();
    let at = |kind| proxy.folder().join(format!("{common_name}-{dns}.{kind}"));
    let pair = ClientPair {
        certificate: at("crt"),
        private_key: at("key"),
    };
    std::fs::write(&pair.certificate, made.pem()).unwrap();
    std::fs::write(&pair.private_key, key.serialize_pem()).unwrap();
    pair
}

/// A proxy that asks for certificates of `ca.pem`; APP is who is called `app` in one.
async fn start(demand: &str, authority: &Authority) -> (Embedded, Proxy) {
    let upstream = Embedded::start().await;
    let options = Options {
        tls: true,
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    proxy.write("ca.pem", &authority.pem());
    proxy.configure(|text| {
        let (id, secret) = (OTHER.id, OTHER.secret);
        let text = text.replace(
            "private_key = \"tls.key\"",
            &format!("private_key = \"tls.key\", client_ca = \"ca.pem\", client_certificates = \"{demand}\""),
        );
        let secret_line = format!("secret_access_key = \"{}\"\n", APP.secret);
        let named = format!("{secret_line}certificate = {{ subject_cn = \"app\" }}\n");
        let text = text.replace(&secret_line, &named);
        text + &format!(
            "[[clients]]\naccess_key_id = \"{id}\"\nsecret_access_key = \"{secret}\"\n\
             certificate = {{ dns = \"Other.Example\" }}\nrequire_certificate = true\n"
        )
    });
    reloads(&proxy, 1, 0).await;
    (upstream, proxy)
}

/// Where certificates are optional, with `/bucket/a` there.
async fn with_object(authority: &Authority) -> (Embedded, Proxy) {
    let (upstream, proxy) = start("optional", authority).await;
    let put = proxy.tls_client().put("/bucket/a", "text").await;
    assert_eq!(put.status, 200, "{put:?}");
    (upstream, proxy)
}

#[tokio::test]
async fn p143_a_certificate_stands_for_a_client() {
    let authority = authority();
    let (_upstream, proxy) = start("optional", &authority).await;
    let app = proxy.tls_client();
    assert_eq!(app.put("/bucket/a", "text").await.status, 200);
    let nobody = app.unsigned("GET", "/bucket/a").send().await;
    assert_eq!(nobody.code(), "AccessDenied");

    // It counts as signed: the object is under a named key.
    let shown = app.clone().showing(&issue(&proxy, &authority, "app", "x"));
    let unsigned = shown.unsigned("GET", "/bucket/a").send().await;
    assert_eq!(unsigned.body, "text", "{unsigned:?}");
    let put = shown.unsigned("PUT", "/bucket/b").body("more").send().await;
    assert_eq!(put.status, 200, "{put:?}");

    // Names of nobody, and those of two clients at once.
    for (name, dns) in [("stranger", "x"), ("app", "other.example")] {
        let pair = issue(&proxy, &authority, name, dns);
        let shown = app.clone().showing(&pair);
        let refused = shown.unsigned("GET", "/bucket/a").send().await;
        assert_eq!(refused.code(), "AccessDenied", "{name} {dns}");
        assert_eq!(shown.get("/bucket/a").await.status, 200, "{name} {dns}");
    }
    // The signature decides whose it is.
    let signed = Client::over_tls(proxy.address, APP, &proxy.certificate());
    let others = issue(&proxy, &authority, "y", "other.example");
    assert_eq!(signed.showing(&others).get("/bucket/a").await.status, 200);
    // Somebody else's authority.
    let foreign = issue(&proxy, &self::authority(), "app", "z");
    let refused = app.clone().showing(&foreign);
    assert!(
        refused
            .unsigned("GET", "/bucket/a")
            .try_send()
            .await
            .is_err()
    );
}

#[tokio::test]
async fn p144_a_client_may_be_held_to_its_certificate() {
    let authority = authority();
    let (_upstream, proxy) = with_object(&authority).await;
    let other = Client::over_tls(proxy.address, OTHER, &proxy.certificate());
    assert_eq!(other.get("/bucket/a").await.code(), "AccessDenied");
    let wrong = issue(&proxy, &authority, "app", "x");
    let refused = other.clone().showing(&wrong).get("/bucket/a").await;
    assert_eq!(refused.code(), "AccessDenied");
    let own = issue(&proxy, &authority, "y", "other.example");
    assert_eq!(other.showing(&own).get("/bucket/a").await.body, "text");
    let metrics = proxy.metrics().await;
    assert!(metrics.contains("s3seal_auth_failures_total{reason=\"certificate\"} 2"));
}

/// Whatever is signed in its name is what nobody has signed.
#[tokio::test]
async fn a_client_of_a_certificate_needs_no_secret() {
    let authority = authority();
    let (_upstream, proxy) = start("optional", &authority).await;
    proxy.configure(|text| {
        text + "[[clients]]\naccess_key_id = \"NO-SECRET-OF-THE-TESTS\"\n\
                certificate = { subject_cn = \"silent\" }\n"
    });
    reloads(&proxy, 2, 0).await;
    let shown = proxy
        .tls_client()
        .showing(&issue(&proxy, &authority, "silent", "x"));
    let put = shown.unsigned("PUT", "/bucket/a").body("text").send().await;
    assert_eq!(put.status, 200, "{put:?}");
    for secret in ["", "guess", "0000000000000000000000000000000000000000"] {
        let id = "NO-SECRET-OF-THE-TESTS";
        let signed = shown.signing_as(Identity { id, secret });
        let refused = signed.get("/bucket/a").await;
        assert_eq!(refused.code(), "InvalidAccessKeyId", "{secret:?}");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn p144_a_required_certificate_is_required_of_everybody() {
    let authority = authority();
    let (_upstream, proxy) = start("required", &authority).await;
    let client = proxy.tls_client();
    assert!(client.draft("GET", "/bucket/a").try_send().await.is_err());
    let shown = client.showing(&issue(&proxy, &authority, "stranger", "x"));
    assert_eq!(shown.get("/bucket/a").await.code(), "NoSuchKey");
}

/// How a client connects that shows this certificate.
fn showing(proxy: &Proxy, pair: &ClientPair) -> Arc<ClientConfig> {
    Arc::new(tls_config_of(Some(&proxy.certificate()), Some(pair), true).unwrap())
}

/// A browser shows the certificate that it holds to whatever page asks.
#[tokio::test]
async fn p143_no_page_speaks_for_a_certificate() {
    let authority = authority();
    let (_upstream, proxy) = start("optional", &authority).await;
    let app = proxy.tls_client();
    assert_eq!(app.put("/bucket/a", "text").await.status, 200);
    let shown = app.showing(&issue(&proxy, &authority, "app", "x"));
    for (name, value) in [
        ("origin", "https://page.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let get = shown.unsigned("GET", "/bucket/a").header(name, value);
        assert_eq!(get.send().await.code(), "AccessDenied", "{name}");
        let document = "<Delete><Object><Key>a</Key></Object></Delete>";
        let delete = shown.unsigned("POST", "/bucket?delete").body(document);
        let delete = delete
            .header(name, value)
            .header("content-type", "text/plain");
        assert_eq!(delete.send().await.code(), "AccessDenied", "{name}");
    }
    let get = shown.unsigned("GET", "/bucket/a").send().await;
    assert_eq!(get.body, "text");
}

#[tokio::test]
async fn p145_a_certificate_ends_on_a_connection_that_does_not() {
    let authority = authority();
    let (_upstream, proxy) = with_object(&authority).await;
    let ends = OffsetDateTime::now_utc() + Duration::from_secs(4);
    let pair = issue_until(&proxy, &authority, ("app", "x"), ends);
    let tls = showing(&proxy, &pair);
    let mut open = connect_by(&proxy, &tls).await.unwrap();
    assert!(ask(&mut open).await.ends_with("text"));
    while OffsetDateTime::now_utc() < ends + Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(ask(&mut open).await.contains("<Code>AccessDenied</Code>"));
    // What was once let in is not let in again.
    if let Ok(mut again) = connect_by(&proxy, &tls).await {
        assert_eq!(
            again.get_ref().1.handshake_kind(),
            Some(HandshakeKind::Full)
        );
        let request = b"GET /bucket/a HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
        let _ = tokio::io::AsyncWriteExt::write_all(&mut again, request).await;
        let mut answer = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut again, &mut answer).await;
        assert!(read.is_err(), "{:?}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn p145_an_authority_ends_on_connections_that_do_not() {
    let (old, new) = (authority(), authority());
    let (_upstream, proxy) = with_object(&old).await;
    let mut open = connect_by(&proxy, &showing(&proxy, &issue(&proxy, &old, "app", "x")))
        .await
        .unwrap();
    assert!(ask(&mut open).await.ends_with("text"));
    // One more authority changes nothing for the clients of the first.
    proxy.write("ca.pem", &(old.pem() + &new.pem()));
    reloads(&proxy, 2, 0).await;
    assert!(ask(&mut open).await.ends_with("text"));
    proxy.write("ca.pem", &new.pem());
    reloads(&proxy, 3, 0).await;
    assert!(ask(&mut open).await.contains("<Code>AccessDenied</Code>"));
    let fresh = showing(&proxy, &issue(&proxy, &new, "app", "y"));
    let mut fresh = connect_by(&proxy, &fresh).await.unwrap();
    assert!(ask(&mut fresh).await.ends_with("text"));
}

/// A session that is resumed would bring its certificate along.
#[tokio::test]
async fn p145_no_session_with_a_certificate_is_resumed() {
    let authority = authority();
    let (_upstream, proxy) = start("optional", &authority).await;
    let tls = showing(&proxy, &issue(&proxy, &authority, "app", "x"));
    for _ in 0..3 {
        let mut stream = connect_by(&proxy, &tls).await.unwrap();
        ask(&mut stream).await;
        let kind = stream.get_ref().1.handshake_kind();
        assert_eq!(kind, Some(HandshakeKind::Full));
    }
}

#[tokio::test]
async fn p144_presigned_requests_are_held_to_the_certificate() {
    let authority = authority();
    let (_upstream, proxy) = with_object(&authority).await;
    let other = Client::over_tls(proxy.address, OTHER, &proxy.certificate());
    let get = |client: &Client| {
        let draft = client.draft("GET", "/bucket/a");
        draft.presign(Duration::from_mins(5)).send()
    };
    assert_eq!(get(&other).await.code(), "AccessDenied");
    let own = issue(&proxy, &authority, "y", "other.example");
    assert_eq!(get(&other.showing(&own)).await.body, "text");
}
