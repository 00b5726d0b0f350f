//! The admin listener: what it shows, and the one thing it does.

use std::sync::Mutex;

use super::*;
use crate::server::admin;

struct Inside {
    missing: Option<&'static str>,
    purged: Arc<Mutex<Vec<String>>>,
}

impl admin::Inside for Inside {
    fn metrics(&self) -> String {
        "s3seal_up 1\n".to_owned()
    }

    fn page(&self) -> admin::Page {
        admin::Page {
            text: "<p>a page</p>",
            policy: http::HeaderValue::from_static("default-src 'none'"),
        }
    }

    fn status(&self, is_draining: bool) -> String {
        format!("{{\"draining\":{is_draining}}}")
    }

    fn readiness(&self) -> Result<(), String> {
        self.missing.map_or(Ok(()), |what| Err(what.to_owned()))
    }

    fn log_filter(&self) -> Option<String> {
        None
    }

    fn set_log_filter(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    async fn purge(&self, key: &str) -> bool {
        self.purged.lock().unwrap().push(key.to_owned());
        key != "nobody"
    }
}

async fn admin(inside: Inside, draining: admin::Draining) -> Running {
    let handler = admin::Admin::new(inside, draining);
    start_with(None, admin::LIMITS, Arc::new(handler)).await
}

fn healthy() -> Inside {
    Inside {
        missing: None,
        purged: Arc::default(),
    }
}

/// The whole answer.
async fn ask(server: &Running, method: &str, path: &str) -> String {
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    server.exchange(&request).await.0
}

#[tokio::test]
async fn the_admin_listener_answers_its_paths() {
    let draining = admin::Draining::default();
    let server = admin(healthy(), draining.clone()).await;
    let ask = async |method: &str, path: &str| ask(&server, method, path).await;
    let metrics = ask("GET", "/metrics").await;
    assert!(metrics.starts_with("HTTP/1.1 200") && metrics.ends_with("\r\n\r\ns3seal_up 1\n"));
    assert!(
        metrics.contains("content-type: text/plain; version=0.0.4"),
        "{metrics}"
    );
    assert!(ask("GET", "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(
        ask("GET", "/readyz?verbose")
            .await
            .starts_with("HTTP/1.1 200")
    );
    let head = ask("HEAD", "/metrics").await;
    assert!(
        head.contains("content-length: 12\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    for path in [
        "/index.html",
        "/status",
        "/metrics/",
        "/metrics-tenant",
        "/bucket/key",
    ] {
        assert!(ask("GET", path).await.starts_with("HTTP/1.1 404"), "{path}");
    }
    let refused = ask("POST", "/metrics").await;
    assert!(refused.starts_with("HTTP/1.1 405") && refused.contains("allow: GET, HEAD"));

    draining.begin();
    assert!(ask("GET", "/readyz").await.ends_with("\r\n\r\ndraining\n"));
    assert!(ask("GET", "/readyz").await.starts_with("HTTP/1.1 503"));
    assert!(ask("GET", "/healthz").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn readiness_says_what_is_missing() {
    let inside = Inside {
        missing: Some("the key provider \"local\" does not answer"),
        ..healthy()
    };
    let server = admin(inside, admin::Draining::default()).await;
    let request = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let (answer, _) = server.exchange(request).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with("\"local\" does not answer\n"), "{answer}");
}

#[tokio::test]
async fn the_admin_listener_purges_the_key_it_is_told() {
    let inside = healthy();
    let purged = Arc::clone(&inside.purged);
    let server = admin(inside, admin::Draining::default()).await;
    let ask = async |method: &str, query: &str| {
        ask(&server, method, &format!("/keys/purge{query}")).await
    };
    let answer = ask("POST", "?key=arn%3Aaws%3Akms%3Ax%2Fy").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(ask("POST", "?key=nobody").await.starts_with("HTTP/1.1 404"));
    for query in ["", "?", "?name=x", "?key=%ff"] {
        assert!(
            ask("POST", query).await.starts_with("HTTP/1.1 400"),
            "{query}"
        );
    }
    // A link must not be able to do it.
    assert!(ask("GET", "?key=x").await.contains("allow: POST"));
    assert_eq!(*purged.lock().unwrap(), ["arn:aws:kms:x/y", "nobody"]);
}

#[tokio::test]
async fn the_status_page_is_shown_and_never_kept() {
    let draining = admin::Draining::default();
    let server = admin(healthy(), draining.clone()).await;
    let ask = async |method: &str, path: &str| ask(&server, method, path).await;
    let page = ask("GET", "/").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.ends_with("\r\n\r\n<p>a page</p>"));
    for header in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "x-frame-options: DENY",
        "referrer-policy: no-referrer",
    ] {
        assert!(
            page.contains(&format!("\r\n{header}\r\n")),
            "{header}: {page}"
        );
    }
    assert!(
        ask("GET", "/status.json?x")
            .await
            .ends_with("{\"draining\":false}")
    );
    let head = ask("HEAD", "/status.json").await;
    assert!(
        head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    assert!(head.contains("\r\ncontent-type: application/json\r\n"));
    for path in ["/", "/status.json"] {
        let refused = ask("POST", path).await;
        assert!(refused.starts_with("HTTP/1.1 405"), "{refused}");
        assert!(refused.contains("\r\nallow: GET, HEAD\r\n"), "{refused}");
    }
    draining.begin();
    assert!(
        ask("GET", "/status.json")
            .await
            .ends_with("{\"draining\":true}")
    );
}
