//! The configuration and its files change while the proxy serves.

mod certificates;
mod mutual;
mod rolling;

use std::path::Path;
use std::time::Duration;

use s3seal::keys::local::{Change, WhenMissing, update};

use crate::support::client::{Client, Identity};
use crate::support::upstream::Embedded;
use crate::support::{Options, Proxy};

const OTHER: Identity = Identity {
    id: "OTHER-OF-THE-TESTS",
    secret: "other-secret-of-the-tests",
};

/// A second client whose secret lies in a file that `name` leads to.
fn with_other(name: &str) -> String {
    let id = OTHER.id;
    format!("[[clients]]\naccess_key_id = \"{id}\"\nsecret_access_key = {{ file = \"{name}\" }}\n")
}

async fn start(tables: &str) -> (Embedded, Proxy) {
    let upstream = Embedded::start().await;
    let options = Options {
        tables: tables.to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    (upstream, proxy)
}

async fn reloads(proxy: &Proxy, ok: u32, failed: u32) {
    let line =
        |outcome, count| format!("s3seal_config_reloads_total{{outcome=\"{outcome}\"}} {count}");
    proxy.wait_for_metric(&line("ok", ok)).await;
    proxy.wait_for_metric(&line("failed", failed)).await;
}

fn is_stale(metrics: &str) -> bool {
    metrics.lines().any(|line| line == "s3seal_config_stale 1")
}

#[tokio::test]
async fn p140_clients_come_and_go_with_their_secrets() {
    let (_upstream, proxy) = start("").await;
    let app = proxy.client();
    assert_eq!(app.put("/bucket/a", "text").await.status, 200);
    let other = Client::new(proxy.address, OTHER);
    assert_eq!(other.get("/bucket/a").await.code(), "InvalidAccessKeyId");

    proxy.write("other.secret", OTHER.secret);
    proxy.configure(|text| text + &with_other("other.secret"));
    reloads(&proxy, 1, 0).await;
    assert_eq!(other.get("/bucket/a").await.body, "text");
    assert_eq!(app.get("/bucket/a").await.body, "text");

    proxy.write("other.secret", "another-secret");
    reloads(&proxy, 2, 0).await;
    assert_eq!(other.get("/bucket/a").await.code(), "SignatureDoesNotMatch");
    proxy.write("other.secret", OTHER.secret);
    reloads(&proxy, 3, 0).await;
    assert_eq!(other.get("/bucket/a").await.status, 200);

    proxy.configure(|text| text.replace(&with_other("other.secret"), ""));
    reloads(&proxy, 4, 0).await;
    assert_eq!(other.get("/bucket/a").await.code(), "InvalidAccessKeyId");
    assert_eq!(app.get("/bucket/a").await.status, 200);
    let metrics = proxy.metrics().await;
    assert!(!is_stale(&metrics));
}

/// What a client had unwrapped does not stay after it.
#[tokio::test]
async fn p140_with_a_client_go_its_unwrapped_keys() {
    let (_upstream, proxy) = start(&format!(
        "[[clients]]\naccess_key_id = \"{}\"\nsecret_access_key = \"{}\"\n",
        OTHER.id, OTHER.secret
    ))
    .await;
    assert_eq!(proxy.client().put("/bucket/a", "text").await.status, 200);
    let other = Client::new(proxy.address, OTHER);
    assert_eq!(other.get("/bucket/a").await.status, 200);
    proxy.wait_for_metric("s3seal_key_cache_entries 1").await;
    proxy.configure(|text| text.replacen(OTHER.id, "SOMEBODY-ELSE", 1));
    reloads(&proxy, 1, 0).await;
    proxy.wait_for_metric("s3seal_key_cache_entries 0").await;
}

#[tokio::test]
async fn p140_rules_and_default_keys_change() {
    let (upstream, proxy) = start("").await;
    let client = proxy.client();
    assert_eq!(client.put("/bucket/sealed", "text").await.status, 200);
    let head = async |key: &str| client.draft("HEAD", key).send().await;
    let key_of = |answer: &crate::support::client::Answer| {
        let header = answer.header("x-amz-server-side-encryption-aws-kms-key-id");
        header.map(str::to_owned)
    };
    let first = head("/bucket/sealed").await;
    assert!(key_of(&first).unwrap().ends_with("default"), "{first:?}");

    proxy.configure(|text| {
        let text = text.replace("default = \"default\"", "default = \"tenant\"");
        text + "accept_keys = [\"default\", \"tenant\"]\n"
    });
    reloads(&proxy, 1, 0).await;
    assert_eq!(client.put("/bucket/other", "text").await.status, 200);
    assert!(
        key_of(&head("/bucket/other").await)
            .unwrap()
            .ends_with("tenant")
    );
    assert_eq!(client.get("/bucket/sealed").await.body, "text");

    proxy.configure(|text| text.replace("encryption = \"named-key\"", "encryption = \"off\""));
    reloads(&proxy, 2, 0).await;
    assert_eq!(client.put("/bucket/plain", "plain").await.status, 200);
    assert_eq!(std::fs::read(upstream.file("plain")).unwrap(), b"plain");
    assert_eq!(client.get("/bucket/sealed").await.body, "text");

    proxy.configure(|text| text.replace("encryption = \"off\"", "encryption = \"deny\""));
    reloads(&proxy, 3, 0).await;
    assert_eq!(client.get("/bucket/sealed").await.code(), "AccessDenied");
}

/// A bad file changes nothing, and says so until it is repaired, by whichever file.
#[tokio::test]
async fn p141_broken_files_change_nothing() {
    let (_upstream, proxy) = start("").await;
    let client = proxy.client();
    assert_eq!(client.put("/bucket/a", "text").await.status, 200);
    let good = std::fs::read_to_string(proxy.config()).unwrap();
    let refused = [
        "[listen".to_owned(),
        good.replace("[[clients]]", "[[clientz]]"),
        good.replace("encryption = ", "key = \"nobodys\"\nencryption = "),
        good.clone() + &with_other("missing.secret"),
    ];
    for (count, text) in (1..).zip(refused) {
        proxy.write("config.toml", &text);
        reloads(&proxy, 0, count).await;
        assert!(is_stale(&proxy.metrics().await), "{text}");
        assert_eq!(client.get("/bucket/a").await.body, "text");
    }
    // The last one was only in want of a file.
    proxy.write("missing.secret", OTHER.secret);
    reloads(&proxy, 1, 4).await;
    assert!(!is_stale(&proxy.metrics().await));
    let other = Client::new(proxy.address, OTHER);
    assert_eq!(other.get("/bucket/a").await.status, 200);
}

/// The first half of a configuration can be a whole one that says something else.
#[tokio::test]
async fn p141_a_file_is_read_when_nobody_writes_it_any_more() {
    let (_upstream, proxy) = start("").await;
    let client = proxy.client();
    let id = OTHER.id;
    let secret = OTHER.secret;
    let text = std::fs::read_to_string(proxy.config()).unwrap();
    // Valid after every step: clients are added one by one, in place.
    let mut growing = text;
    for number in 0..40 {
        growing += &format!(
            "[[clients]]\naccess_key_id = \"{id}{number}\"\nsecret_access_key = \"{secret}\"\n"
        );
        std::fs::write(proxy.config(), &growing).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let metrics = proxy.metrics().await;
        let none = "s3seal_config_reloads_total{outcome=\"ok\"} 0";
        assert!(metrics.lines().any(|line| line == none), "after {number}");
    }
    reloads(&proxy, 1, 0).await;
    assert_eq!(client.put("/bucket/a", "text").await.status, 200);
}

/// Kubernetes mounts secrets and config maps as links into a folder that is replaced as a whole.
#[tokio::test]
async fn p140_links_are_followed_to_what_they_lead_to() {
    let (_upstream, proxy) = start("").await;
    let folder = proxy.config().parent().unwrap().to_owned();
    let publish = |version: &str, secret: &str| {
        let data = folder.join(version);
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("secret"), secret).unwrap();
        let (new, link) = (folder.join("..data_tmp"), folder.join("..data"));
        std::os::unix::fs::symlink(version, &new).unwrap();
        std::fs::rename(new, link).unwrap();
    };
    publish("..1", OTHER.secret);
    std::os::unix::fs::symlink(Path::new("..data/secret"), folder.join("other")).unwrap();
    proxy.configure(|text| text + &with_other("other"));
    reloads(&proxy, 1, 0).await;
    let other = Client::new(proxy.address, OTHER);
    assert_eq!(other.get("/bucket/a").await.code(), "NoSuchKey");
    publish("..2", "another-secret");
    reloads(&proxy, 2, 0).await;
    assert_eq!(other.get("/bucket/a").await.code(), "SignatureDoesNotMatch");
}

/// The rest is taken over; what cannot be stays as it was.
#[tokio::test]
async fn p141_what_needs_a_restart_waits() {
    let (_upstream, proxy) = start("").await;
    let client = proxy.client();
    assert_eq!(client.put("/bucket/a", "text").await.status, 200);
    proxy.configure(|text| {
        let text = text.replace("[admin]", "max_connections = 1\n[admin]");
        let secret = OTHER.secret;
        text + &with_other("x").replace("{ file = \"x\" }", &format!("\"{secret}\""))
    });
    reloads(&proxy, 1, 0).await;
    let other = Client::new(proxy.address, OTHER);
    assert_eq!(other.get("/bucket/a").await.body, "text");
    let metrics = proxy.metrics().await;
    assert!(metrics.contains("s3seal_connections_max{listener=\"s3\"} 4096"));
    assert!(!is_stale(&metrics));
    proxy.wait_for_metric("s3seal_config_waiting 1").await;
    // The status page shows what is in force.
    let status = proxy.status().await;
    let configuration = &status["configuration"];
    let clients = configuration["clients"].as_array().unwrap();
    assert!(clients.contains(&OTHER.id.into()), "{clients:?}");
}

/// Rules and credentials are written for one place: with another one, all of it waits.
#[tokio::test]
async fn p141_a_configuration_for_another_upstream_waits_as_a_whole() {
    let (upstream, proxy) = start("").await;
    let client = proxy.client();
    assert_eq!(client.put("/bucket/a", "text").await.status, 200);
    let here = "endpoint = \"http://127.0.0.1:";
    let elsewhere = "endpoint = \"http://127.0.0.3:";
    proxy.configure(|text| {
        let text = text.replace(here, elsewhere);
        let text = text.replace("upstream-secret-of-the-tests", "wrong");
        text.replace("encryption = \"named-key\"", "encryption = \"off\"")
    });
    reloads(&proxy, 0, 1).await;
    assert!(is_stale(&proxy.metrics().await));
    assert_eq!(client.put("/bucket/b", "plain").await.status, 200);
    assert_ne!(std::fs::read(upstream.file("b")).unwrap(), b"plain");
    proxy.configure(|text| {
        text.replace(elsewhere, here)
            .replace("\"wrong\"", "\"upstream-secret-of-the-tests\"")
    });
    reloads(&proxy, 1, 1).await;
    assert!(!is_stale(&proxy.metrics().await));
    assert_eq!(client.put("/bucket/c", "plain").await.status, 200);
    assert_eq!(std::fs::read(upstream.file("c")).unwrap(), b"plain");
}

/// A default that cannot be used would fail every write, and the next start.
#[tokio::test]
async fn p141_a_disabled_key_does_not_become_the_default() {
    let (_upstream, proxy) = start("").await;
    let client = proxy.client();
    update(&proxy.keyring(), WhenMissing::Refuse, |keyring| {
        keyring.change("tenant", None, Change::Disable)
    })
    .unwrap();
    let to_tenant = |text: String| text.replace("default = \"default\"", "default = \"tenant\"");
    proxy.configure(to_tenant);
    reloads(&proxy, 0, 1).await;
    assert_eq!(client.put("/bucket/a", "text").await.status, 200);
    update(&proxy.keyring(), WhenMissing::Refuse, |keyring| {
        keyring.change("tenant", None, Change::Enable { force: false })
    })
    .unwrap();
    reloads(&proxy, 1, 1).await;
    assert_eq!(client.put("/bucket/a", "text").await.status, 200);
}

#[tokio::test]
async fn p140_limits_change() {
    let (_upstream, proxy) = start("").await;
    let client = proxy.client();
    let anonymous = async || client.unsigned("GET", "/bucket/a").send().await.status;
    proxy.configure(|text| {
        text + "[limits]\nrequests_per_second = 1\n[limits.anonymous]\nrequests_per_second = 1\n"
    });
    for _ in 0..5 {
        assert_eq!(client.put("/bucket/a", "text").await.status, 200);
        assert_eq!(anonymous().await, 403);
    }
    reloads(&proxy, 1, 0).await;
    let mut refused = (0, 0);
    for _ in 0..5 {
        refused.0 += u32::from(client.put("/bucket/a", "text").await.code() == "SlowDown");
        refused.1 += u32::from(anonymous().await == 503);
    }
    assert!(refused.0 > 0 && refused.1 > 0, "{refused:?}");
}

/// The proxy's own credentials are among what changes.
#[tokio::test]
async fn p140_upstream_credentials_change() {
    let (_upstream, proxy) = start("").await;
    let client = proxy.client();
    assert_eq!(client.put("/bucket/a", "text").await.status, 200);
    proxy.configure(|text| text.replace("upstream-secret-of-the-tests", "wrong"));
    reloads(&proxy, 1, 0).await;
    assert_ne!(client.get("/bucket/a").await.status, 200);
    proxy.configure(|text| text.replace("\"wrong\"", "\"upstream-secret-of-the-tests\""));
    reloads(&proxy, 2, 0).await;
    assert_eq!(client.get("/bucket/a").await.status, 200);
}
