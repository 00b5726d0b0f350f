//! The status page and its data over the admin listener: what happened is there, what is secret is not, nothing is
//! changed.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::support::client::{Client, Identity};
use crate::support::upstream::Embedded;
use crate::support::{APP, BUCKET, Options, Proxy, UPSTREAM};

const KEY: &str = "a-key-that-nobody-may-see";

/// The status when `is` holds of it.
async fn status_when(proxy: &Proxy, is: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let status = proxy.status().await;
        if is(&status) {
            return status;
        }
        assert!(Instant::now() < until, "{status:#}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn calls_of<'a>(status: &'a Value, operation: &str) -> &'a Value {
    let operations = status["operations"].as_array().unwrap();
    let found = operations.iter().find(|it| it["name"] == operation);
    found.map_or(&Value::Null, |it| &it["calls"])
}

#[tokio::test]
async fn what_happened_is_shown_and_nothing_that_is_secret() {
    let upstream = Embedded::start().await;
    let options = Options {
        tls: true,
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.tls_client();
    status_when(&proxy, |status| status["providers"][0]["ready"] == true).await;
    let path = format!("/{BUCKET}/{KEY}");
    assert_eq!(client.put(&path, "a plaintext").await.status, 200);
    for _ in 0..3 {
        assert_eq!(client.get(&path).await.body, "a plaintext");
    }
    let absent = client.get(&format!("/{BUCKET}/not-there")).await;
    assert_eq!(absent.status, 404);
    let stranger = Identity {
        secret: "another secret",
        ..APP
    };
    let stranger = Client::over_tls(proxy.address, stranger, &proxy.certificate());
    let refused = stranger.get(&format!("{path}?response-expires=x")).await;
    assert_eq!(refused.status, 403);
    std::fs::write(upstream.file(KEY), "no ciphertext").unwrap();
    assert_eq!(client.get(&path).await.status, 500);

    let shown = status_when(&proxy, |status| {
        calls_of(status, "GetObject")["count"].as_u64() >= Some(6)
    })
    .await;
    let gets = calls_of(&shown, "GetObject");
    assert!(gets["p95_seconds"].as_f64() > Some(0.0), "{gets}");
    assert_eq!(
        gets["rates"].as_array().unwrap().len(),
        shown["window"]["steps"]
    );
    assert_eq!(shown["state"], "ready");
    assert_eq!(shown["integrity_failures"].as_object().unwrap().len(), 1);
    assert_eq!(
        shown["upstream"]["endpoint"],
        format!("http://{}", upstream.address)
    );
    assert!(shown["upstream"]["last_answer_unix"].is_u64());
    assert!(shown["upstream"]["last_error_unix"].is_null());
    assert_eq!(shown["keys"][0]["active_version"], 1);
    assert_eq!(shown["keys"][0]["written_by"], serde_json::json!([0]));
    assert_eq!(shown["keys"][2]["opens"], serde_json::json!([]));
    assert_eq!(shown["providers"][0]["breaker"], "closed");
    assert_eq!(shown["certificates"][0]["name"], "listen");
    assert_eq!(shown["configuration"]["listen"], proxy.address.to_string());
    assert_eq!(shown["configuration"]["clients"][0], APP.id);

    let failure = &shown["failures"][0];
    assert_eq!(
        (&failure["status"], &failure["fault"]),
        (&500.into(), &"stored".into())
    );
    assert_eq!(failure["bucket"], BUCKET);
    let refusals = shown["refusals"].as_array().unwrap();
    assert_eq!(
        refusals.len(),
        1,
        "that something is not there is an answer"
    );
    assert_eq!(refusals[0]["code"], "SignatureDoesNotMatch");
    assert_eq!(refusals[0]["fault"], "client");
    let id = refused.header("x-s3seal-request-id").unwrap();
    assert_eq!(refusals[0]["request_id"], id);

    let text = shown.to_string();
    for secret in [
        APP.secret,
        UPSTREAM.secret,
        UPSTREAM.id,
        KEY,
        "response-expires",
        "not-there",
    ] {
        assert!(!text.contains(secret), "{secret}");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn an_upstream_that_is_away_is_shown() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let proxy = Proxy::start(address, Options::default()).await;
    // The first totals are a beginning: what came before them is not in the history.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let away = proxy.client().get(&format!("/{BUCKET}/{KEY}")).await;
    assert_eq!(away.status, 503);
    let shown = status_when(&proxy, |status| {
        status["upstream"]["last_error"] == "connect"
    })
    .await;
    assert!(shown["upstream"]["calls"]["errors_per_minute"].as_f64() > Some(0.0));
    assert_eq!(shown["failures"][0]["fault"], "upstream");
    assert_eq!(shown["failures"][0]["code"], "ServiceUnavailable");
    proxy.stop().await;
}

#[tokio::test]
async fn the_page_is_read_only_and_stays_to_itself() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let admin = Client::new(proxy.admin, APP);
    let page = admin.unsigned("GET", "/").send().await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.contains("default-src 'none'; script-src 'sha256-"),
        "{policy}"
    );
    assert!(page.body.starts_with(b"<!doctype html>"));
    for path in ["/", "/status.json"] {
        let head = admin.unsigned("HEAD", path).send().await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0), "{path}");
        assert_eq!(head.header("cache-control"), Some("no-store"));
        assert_eq!(head.header("x-content-type-options"), Some("nosniff"));
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let refused = admin.unsigned(method, path).send().await;
            assert_eq!(refused.status, 405, "{method} {path}");
            assert_eq!(refused.header("allow"), Some("GET, HEAD"));
        }
    }
    proxy.stop().await;
}
