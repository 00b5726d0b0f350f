//! A whole proxy while its key provider is away, slow, throttling or talking nonsense: nobody gets
//! a wrong byte, nothing is stored in the clear, and the provider is left in peace.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::providers::bao::{AppRole, Bao};
use crate::providers::gate::{Gate, Mode};
use crate::support::client::{Answer, Client};
use crate::support::upstream::Embedded;
use crate::support::{Options, Proxy};

const KEY: &str = "tenant-a";

/// A data key of somebody else's: 32 bytes that open nothing here.
const FOREIGN: &str = "{\"data\":{\"plaintext\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}}";

/// How a proxy is to be.
struct Wishes {
    cache: &'static str,
    bucket_keys: bool,
    token_ttl: &'static str,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            cache: "ttl_seconds = 60",
            bucket_keys: false,
            token_ttl: "1h",
        }
    }
}

/// A proxy over OpenBao with a gate in between.
struct Site {
    bao: Bao,
    mount: String,
    role: AppRole,
    gate: Gate,
    upstream: Embedded,
    proxy: Proxy,
    client: Client,
    options: Options,
}

impl Site {
    /// `None` where the tests are told to do without a server.
    async fn start(wishes: Wishes) -> Option<Self> {
        let bao = Bao::of_the_run()?;
        let mount = bao.transit(KEY).await;
        let role = bao.approle(&mount, KEY, wishes.token_ttl, "2h").await;
        let gate = Gate::before(bao.address).await;
        let (
            address,
            AppRole {
                method,
                role_id,
                secret_id,
                ..
            },
        ) = (gate.address, &role);
        let tables = format!(
            "[[keys.providers]]\nkind = \"transit\"\nname = \"bao\"\naddress = \"http://{address}\"\n\
             mount = \"{mount}\"\nkeys = [\"{KEY}\"]\nauth = {{ method = \"approle\", \
             mount = \"{method}\", role_id = \"{role_id}\", secret_id = \"{secret_id}\" }}\n\
             [keys.cache]\n{}\n",
            wishes.cache
        );
        let options = Options {
            tables,
            rule: format!("key = \"{KEY}\"\nbucket_keys = {}", wishes.bucket_keys),
            ..Options::default()
        };
        let upstream = Embedded::start().await;
        let proxy = Proxy::start(upstream.address, options.clone()).await;
        let client = proxy.client();
        Some(Self {
            bao,
            mount,
            role,
            gate,
            upstream,
            proxy,
            client,
            options,
        })
    }

    /// Writes objects `0` to `count`, with a proxy of its own: this one has cached no key.
    async fn store(&self, count: usize) {
        let writer =
            Proxy::start_beside(&self.proxy, self.upstream.address, self.options.clone()).await;
        let client = writer.client();
        for number in 0..count {
            let put = client.put(&path(number), text(number)).await;
            assert_eq!(put.status, 200, "{put:?}");
        }
        writer.stop().await;
    }

    async fn get(&self, number: usize) -> Answer {
        self.client.get(&path(number)).await
    }

    /// Reads object `number`; says whether it could be had. Other bytes than its own, or another
    /// refusal than 503, end the test.
    async fn read(&self, number: usize) -> bool {
        let get = self.get(number).await;
        if get.status == 200 {
            assert_eq!(get.body, text(number));
            return true;
        }
        refused(&get);
        false
    }

    async fn read_all(&self, numbers: std::ops::Range<usize>) -> usize {
        let reads = join_all(numbers.map(|number| self.read(number))).await;
        reads.into_iter().filter(|had| *had).count()
    }

    fn decrypts(&self) -> usize {
        self.gate.count("/decrypt/")
    }

    /// How long it takes until object `number` can be read.
    async fn recovery(&self, number: usize) -> Duration {
        let began = Instant::now();
        while !self.read(number).await {
            assert!(began.elapsed() < Duration::from_secs(40), "no recovery");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        began.elapsed()
    }

    async fn metric(&self, name: &str) -> f64 {
        let metrics = self.proxy.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// Nobody may decrypt with the key any more, and everybody again.
    async fn set_key_gone(&self, is_gone: bool) {
        let (method, call) = if is_gone {
            ("DELETE", "soft-delete")
        } else {
            ("POST", "soft-delete-restore")
        };
        let path = format!("{}/keys/{KEY}/{call}", self.mount);
        self.bao.operator(method, &path, &json!({})).await;
    }
}

fn path(number: usize) -> String {
    format!("/bucket/{number}")
}

fn text(number: usize) -> String {
    format!("the contents of object {number}, which nobody else may read")
}

/// A 503 with `Retry-After`.
fn refused(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}

#[tokio::test]
async fn p94_a_hung_provider_is_asked_64_times_and_not_300() {
    let Some(site) = Site::start(Wishes::default()).await else {
        return;
    };
    site.store(300).await;
    let before = site.decrypts();
    site.gate.set(Mode::Hung);
    let began = Instant::now();
    assert_eq!(site.read_all(0..300).await, 0);
    let elapsed = began.elapsed();
    assert!(elapsed < Duration::from_secs(8), "{elapsed:?}");
    let asked = site.decrypts() - before;
    assert!((1..=70).contains(&asked), "{asked} requests");
    // From now on nobody waits, and the provider is asked once in a while.
    let (mut waited, reader) = (0, &site);
    for _ in 0..5 {
        let reads = (0..50).map(|number| async move {
            let began = Instant::now();
            assert!(!reader.read(number).await);
            usize::from(began.elapsed() > Duration::from_secs(2))
        });
        waited += join_all(reads).await.iter().sum::<usize>();
    }
    let more = site.decrypts() - before - asked;
    assert!(
        more <= 5 && waited <= more,
        "{more} requests, {waited} waits"
    );
    let open = "s3seal_key_breakers_open{provider=\"transit\"}";
    assert!((site.metric(open).await - 1.0).abs() < 0.1);

    site.gate.set(Mode::Open);
    let recovery = site.recovery(0).await;
    assert!(recovery < Duration::from_secs(16), "{recovery:?}");
    assert_eq!(site.read_all(0..300).await, 300);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(site.metric(open).await < 0.1);
    site.proxy.stop().await;
}

#[tokio::test]
async fn p94_keys_that_end_together_are_no_storm() {
    let wishes = Wishes {
        cache: "ttl_seconds = 5",
        ..Wishes::default()
    };
    let Some(site) = Site::start(wishes).await else {
        return;
    };
    site.store(200).await;
    assert_eq!(site.read_all(0..200).await, 200);
    site.gate.set(Mode::Broken);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = site.decrypts();
    for round in 0..10 {
        if round == 5 {
            site.gate.kill();
        }
        assert_eq!(site.read_all(0..200).await, 0);
    }
    let asked = site.decrypts() - before;
    assert!(asked <= 64 * 3 + 12, "{asked} requests for 2,000 reads");
    site.gate.set(Mode::Open);
    assert_eq!(site.read_all(0..200).await, 0, "nobody listens");
    site.gate.revive().await;
    let recovery = site.recovery(0).await;
    assert!(recovery < Duration::from_secs(16), "{recovery:?}");
    site.proxy.stop().await;
}

#[tokio::test]
async fn p95_cached_keys_open_objects_until_their_time_is_over_and_writes_are_refused() {
    let wishes = Wishes {
        cache: "ttl_seconds = 6",
        ..Wishes::default()
    };
    let Some(site) = Site::start(wishes).await else {
        return;
    };
    site.store(2).await;
    let began = Instant::now();
    assert!(site.read(0).await);
    site.gate.set(Mode::Broken);
    while began.elapsed() < Duration::from_millis(4500) {
        assert!(site.read(0).await);
        assert!(!site.read(1).await, "its key is not cached");
        let put = site.client.put("/bucket/new", "never stored").await;
        refused(&put);
        assert!(!site.upstream.file("new").exists());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep_until((began + Duration::from_secs(6)).into()).await;
    assert!(!site.read(0).await);
    site.gate.set(Mode::Open);
    site.recovery(0).await;
    let put = site.client.put("/bucket/new", "stored now").await;
    assert_eq!(put.status, 200);
    site.proxy.stop().await;
}

#[tokio::test]
async fn p95_a_cached_bucket_key_seals_until_its_time_is_over_and_stale_ones_never() {
    let wishes = Wishes {
        cache: "ttl_seconds = 3\nserve_stale_seconds = 60",
        bucket_keys: true,
        ..Wishes::default()
    };
    let Some(site) = Site::start(wishes).await else {
        return;
    };
    let began = Instant::now();
    let put = site.client.put(&path(0), text(0)).await;
    assert_eq!(put.status, 200);
    site.gate.set(Mode::Broken);
    while began.elapsed() < Duration::from_secs(2) {
        let put = site.client.put(&path(1), text(1)).await;
        assert_eq!(put.status, 200, "{put:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep_until((began + Duration::from_secs(3)).into()).await;
    refused(&site.client.put(&path(2), text(2)).await);
    assert!(!site.upstream.file("2").exists());
    assert_eq!(site.read_all(0..2).await, 2, "stale keys open");
    site.proxy.stop().await;
}

#[tokio::test]
async fn p18_whatever_a_provider_does_nobody_gets_a_wrong_byte() {
    let wishes = Wishes {
        cache: "ttl_seconds = 0",
        ..Wishes::default()
    };
    let Some(site) = Site::start(wishes).await else {
        return;
    };
    site.store(20).await;
    let stored = std::fs::read_dir(site.upstream.root().join("bucket"))
        .unwrap()
        .count();
    for (mode, status, code) in [
        (Mode::Broken, 503, "ServiceUnavailable"),
        (
            Mode::Answer(StatusCode::SERVICE_UNAVAILABLE, "{\"errors\":[]}"),
            503,
            "ServiceUnavailable",
        ),
        (
            Mode::Answer(StatusCode::TOO_MANY_REQUESTS, "{\"errors\":[]}"),
            503,
            "SlowDown",
        ),
        (
            Mode::Answer(StatusCode::OK, "<html>welcome</html>"),
            503,
            "ServiceUnavailable",
        ),
        (Mode::Answer(StatusCode::OK, FOREIGN), 500, "InternalError"),
    ] {
        site.gate.set(mode.clone());
        let reader = &site;
        let reads = (0..20).map(|number| async move {
            let get = reader.get(number).await;
            assert_eq!((get.status.as_u16(), &*get.code()), (status, code));
            let has_retry = get.header("retry-after").is_some();
            assert_eq!(has_retry, status == 503);
            assert!(!get.body.windows(12).any(|part| part == b"the contents"));
        });
        join_all(reads).await;
        let put = site.client.put("/bucket/new", "never stored").await;
        assert!(put.status.is_server_error(), "{mode:?}: {put:?}");
        site.gate.set(Mode::Open);
        let recovery = site.recovery(0).await;
        assert!(recovery < Duration::from_secs(16), "{mode:?}: {recovery:?}");
        assert_eq!(site.read_all(0..20).await, 20);
    }
    let after = std::fs::read_dir(site.upstream.root().join("bucket"))
        .unwrap()
        .count();
    assert_eq!(after, stored);
    site.gate.set(Mode::Slow(Duration::from_millis(800)));
    assert_eq!(site.read_all(0..20).await, 20);
    site.proxy.stop().await;
}

#[tokio::test]
async fn p96_a_throttling_provider_is_not_left_alone_and_not_asked_in_masses() {
    let wishes = Wishes {
        cache: "ttl_seconds = 0",
        ..Wishes::default()
    };
    let Some(site) = Site::start(wishes).await else {
        return;
    };
    site.store(100).await;
    let before = site.decrypts();
    let throttled = Mode::Answer(StatusCode::TOO_MANY_REQUESTS, "{\"errors\":[]}");
    site.gate.set(throttled);
    let began = Instant::now();
    assert_eq!(site.read_all(0..100).await, 0);
    let asked = site.decrypts() - before;
    assert_eq!(asked, 300, "three attempts each");
    // 64 at a time, each over two pauses.
    assert!(began.elapsed() > Duration::from_millis(200));
    site.gate.set(Mode::Open);
    assert!(site.read(0).await, "at once");
    site.proxy.stop().await;
}

#[tokio::test]
async fn p97_stale_keys_bridge_an_outage_and_a_refusal_ends_them() {
    for bucket_keys in [false, true] {
        let wishes = Wishes {
            cache: "ttl_seconds = 1\nserve_stale_seconds = 20",
            bucket_keys,
            ..Wishes::default()
        };
        let Some(site) = Site::start(wishes).await else {
            return;
        };
        site.store(3).await;
        assert_eq!(site.read_all(0..2).await, 2);
        site.gate.set(Mode::Broken);
        tokio::time::sleep(Duration::from_millis(1100)).await;
        for _ in 0..5 {
            assert_eq!(site.read_all(0..2).await, 2);
        }
        assert!(site.metric("s3seal_key_cache_stale_total").await >= 10.0);
        refused(&site.client.put("/bucket/new", "never stored").await);
        assert!(!site.upstream.file("new").exists());
        if !bucket_keys {
            assert!(!site.read(2).await, "its key was never unwrapped");
        }

        // Revoked meanwhile: the first answer ends it, for every object of the key.
        site.set_key_gone(true).await;
        assert_eq!(site.read_all(0..2).await, 2, "nobody can know");
        site.gate.set(Mode::Open);
        let began = Instant::now();
        loop {
            let get = site.get(0).await;
            if get.status != 200 {
                assert_eq!(get.code(), "KMS.DisabledException", "{get:?}");
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(16));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        site.gate.set(Mode::Broken);
        for number in 0..2 {
            assert!(!site.read(number).await, "{number}");
        }
        site.set_key_gone(false).await;
        site.gate.set(Mode::Open);
        site.recovery(1).await;
        site.proxy.stop().await;
    }
}

#[tokio::test]
async fn p97_stale_keys_end_after_their_seconds_and_with_a_purge() {
    let wishes = Wishes {
        cache: "ttl_seconds = 1\nserve_stale_seconds = 4",
        ..Wishes::default()
    };
    let Some(site) = Site::start(wishes).await else {
        return;
    };
    site.store(2).await;
    let began = Instant::now();
    assert_eq!(site.read_all(0..2).await, 2);
    site.gate.set(Mode::Broken);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(site.read_all(0..2).await, 2);
    tokio::time::sleep_until((began + Duration::from_secs(5)).into()).await;
    assert_eq!(site.read_all(0..2).await, 0);
    tokio::time::sleep(Duration::from_millis(3500)).await;
    assert!(site.metric("s3seal_key_cache_entries").await < 0.1);

    site.gate.set(Mode::Open);
    site.recovery(0).await;
    site.gate.set(Mode::Broken);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(site.read(0).await);
    purge(&site).await;
    assert!(!site.read(0).await);
    site.proxy.stop().await;
}

async fn purge(site: &Site) {
    // The admin listener of the tests is on another address of loopback.
    let admin = Client::new(site.proxy.admin, crate::support::APP);
    let path = format!("/keys/purge?key={KEY}");
    let purged = admin.unsigned("POST", &path).send().await;
    assert_eq!(purged.status, 200, "{purged:?}");
}

#[tokio::test]
async fn p19_a_revocation_holds_within_the_ttl_and_a_purge_makes_it_hold_at_once() {
    for bucket_keys in [false, true] {
        let wishes = Wishes {
            cache: "ttl_seconds = 3",
            bucket_keys,
            ..Wishes::default()
        };
        let Some(site) = Site::start(wishes).await else {
            return;
        };
        site.store(20).await;
        assert_eq!(site.read_all(0..20).await, 20);
        site.set_key_gone(true).await;
        let revoked = Instant::now();
        tokio::time::sleep_until((revoked + Duration::from_secs(3)).into()).await;
        for number in 0..20 {
            let get = site.get(number).await;
            assert_eq!(get.code(), "KMS.DisabledException", "{get:?}");
        }
        let put = site.client.put("/bucket/new", "x").await;
        assert_eq!(put.code(), "KMS.DisabledException", "{put:?}");

        site.set_key_gone(false).await;
        assert_eq!(site.read_all(0..20).await, 20);
        site.set_key_gone(true).await;
        let get_before = site.get(0).await;
        assert_eq!(get_before.status, 200, "cached");
        purge(&site).await;
        let get_after = site.get(0).await;
        assert_eq!(get_after.code(), "KMS.DisabledException");
        site.proxy.stop().await;
    }
}

#[tokio::test]
async fn p94_a_token_that_ends_during_an_outage_is_replaced_by_few_logins() {
    let wishes = Wishes {
        cache: "ttl_seconds = 0",
        token_ttl: "3s",
        ..Wishes::default()
    };
    let Some(site) = Site::start(wishes).await else {
        return;
    };
    site.store(100).await;
    assert_eq!(site.read_all(0..100).await, 100);
    let logins = site.gate.count("/login");
    site.gate.set(Mode::Broken);
    for _ in 0..12 {
        assert_eq!(site.read_all(0..100).await, 0);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    site.gate.set(Mode::Open);
    let recovery = site.recovery(0).await;
    assert!(recovery < Duration::from_secs(20), "{recovery:?}");
    assert_eq!(site.read_all(0..100).await, 100);
    let logins = site.gate.count("/login") - logins;
    assert!(logins <= 10, "{logins} logins");
    site.proxy.stop().await;
}

#[tokio::test]
async fn p18_a_role_that_is_shut_out_is_no_outage_and_gets_no_stale_keys() {
    let wishes = Wishes {
        cache: "ttl_seconds = 1\nserve_stale_seconds = 60",
        ..Wishes::default()
    };
    let Some(site) = Site::start(wishes).await else {
        return;
    };
    site.store(1).await;
    assert!(site.read(0).await);
    let policy = format!("sys/policies/acl/{}", site.role.policy);
    site.bao.operator("DELETE", &policy, &Value::Null).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let get = site.get(0).await;
    assert_eq!((get.status.as_u16(), &*get.code()), (403, "AccessDenied"));
    site.gate.set(Mode::Broken);
    assert!(!site.read(0).await);
    site.proxy.stop().await;
}
