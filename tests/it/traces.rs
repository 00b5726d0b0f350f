//! Traces of a running proxy, as a collector receives them.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::multipart::{complete, create, put};
use crate::providers::bao::Bao;
use crate::support::chaos::{Chaos, Reply, Step};
use crate::support::client::PayloadHash;
use crate::support::collector::{Collector, Seen};
use crate::support::customer_key::{Key, PREFIX};
use crate::support::upstream::Embedded;
use crate::support::wire::{Untouched, begin};
use crate::support::{APP, Options, Proxy, UPSTREAM};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const PLAINTEXT: &str = "a plaintext that nobody may export";

fn options(tables: String) -> Options {
    Options {
        tables,
        ..Options::default()
    }
}

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{SPAN}-{flags}")
}

fn only<'a>(spans: &'a [Seen], name: &str) -> &'a Seen {
    let found: Vec<_> = spans.iter().filter(|span| span.name() == name).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:?}");
    found[0]
}

fn children<'a>(spans: &'a [Seen], of: &Seen) -> Vec<&'a Seen> {
    let is_child = |span: &&Seen| span.trace() == of.trace() && span.parent() == of.id();
    spans.iter().filter(is_child).collect()
}

#[tokio::test]
async fn a_request_is_a_span_in_the_trace_of_its_client_and_the_upstream_is_told_so() {
    let (upstream, collector) = (Chaos::start().await, Collector::start().await);
    let tables = collector.table("sample_ratio = 1\nservice_name = \"storage\"");
    let proxy = Proxy::start(upstream.address, options(tables)).await;
    let client = proxy.client();
    let draft = client.draft("PUT", "/bucket/object").body(PLAINTEXT);
    let answer = draft.header("traceparent", &parent("00")).send().await;
    assert_eq!(answer.status, 200);
    let put_id = answer.header("x-amz-request-id").unwrap().to_owned();
    let presigned = client.draft("GET", "/bucket/object");
    let presigned = presigned.presign(Duration::from_secs(60));
    assert_eq!(presigned.send().await.body, PLAINTEXT);
    let (sent, address) = (upstream.seen(), upstream.address);
    proxy.stop().await;

    let spans = collector.spans();
    let put = only(&spans, "PutObject");
    assert_eq!((put.trace().as_str(), put.parent().as_str()), (TRACE, SPAN));
    assert!(put.is_server() && !put.is_error());
    for (name, value) in [
        ("http.request.method", "PUT"),
        ("http.response.status_code", "200"),
        ("http.request.body.size", &PLAINTEXT.len().to_string()),
        ("url.scheme", "http"),
        ("rpc.method", "PutObject"),
        ("aws.request_id", &put_id),
        ("s3seal.outcome", "ok"),
    ] {
        assert_eq!(put.attribute(name).as_deref(), Some(value), "{name}");
    }
    let get = only(&spans, "GetObject");
    assert!(get.trace() != TRACE && get.parent().is_empty());
    for (span, method, call, seen) in [
        (put, "PUT", "generate", &sent[0]),
        (get, "GET", "unwrap", &sent[1]),
    ] {
        let under = children(&spans, span);
        let sending = under.iter().find(|span| span.name() == method).unwrap();
        assert!(sending.is_client());
        let port = address.port().to_string();
        assert_eq!(sending.attribute("server.port"), Some(port));
        assert_eq!(sending.attribute("server.address").unwrap(), "127.0.0.1");
        let told = format!("00-{}-{}-01", span.trace(), sending.id());
        assert_eq!(seen.header("traceparent"), Some(&*told));
        let key = under.iter().find(|span| span.name() == call);
        // A key that was just made is in the cache.
        if method == "PUT" {
            let provider = key.unwrap().attribute("s3seal.key.provider");
            assert_eq!(provider.as_deref(), Some("local"));
            assert!(!key.unwrap().is_client());
        }
    }
    let resource = &collector.resources()[0];
    let mut attributes = resource.attributes.iter();
    let service = attributes.find(|it| it.key == "service.name").unwrap();
    assert!(
        format!("{service:?}").contains("\"storage\""),
        "{service:?}"
    );
    for delivery in collector.deliveries() {
        assert_eq!(delivery.path, "/v1/traces");
        assert_eq!(delivery.headers["content-type"], "application/x-protobuf");
    }
}

/// Whatever is done, and however long it takes: what the upstream was asked is under the request.
#[tokio::test]
async fn every_call_is_under_its_request() {
    let (upstream, collector) = (Embedded::start().await, Collector::start().await);
    let tables = collector.table("sample_ratio = 1.0");
    let proxy = Proxy::start(upstream.address, options(tables)).await;
    let client = proxy.client();
    let part = Bytes::from(vec![7; 5 * 1024 * 1024]);
    let id = create(&client, "parts").await;
    let one = put(&client, "parts", &id, 1, part.clone()).await;
    let two = put(&client, "parts", &id, 2, part.slice(..100)).await;
    let done = complete(&client, "parts", &id, &[one, two]).await;
    assert_eq!(done.status, 200, "{done:?}");
    let copy = client.draft("PUT", "/bucket/copy");
    let copy = copy.header("x-amz-copy-source", "bucket/parts");
    assert_eq!(copy.send().await.status, 200);
    let read = client
        .draft("GET", "/bucket/copy")
        .header("range", "bytes=5242878-5242885");
    assert_eq!(read.send().await.body.len(), 8);
    assert_eq!(client.get("/bucket?list-type=2").await.status, 200);
    proxy.stop().await;

    let spans = collector.spans();
    for name in [
        "CreateMultipartUpload",
        "CompleteMultipartUpload",
        "CopyObject",
        "GetObject",
        "ListObjectsV2",
    ] {
        let request = only(&spans, name);
        let under = children(&spans, request);
        let calls = under.iter().filter(|span| span.is_client()).count();
        assert!(calls > 0, "{name} calls nobody: {spans:?}");
    }
    let parts = spans.iter().filter(|span| span.name() == "UploadPart");
    assert_eq!(parts.count(), 2);
    let requests: HashSet<_> = spans
        .iter()
        .filter(|span| span.is_server())
        .map(Seen::id)
        .collect();
    let orphans: Vec<_> = spans
        .iter()
        .filter(|span| !span.is_server() && !requests.contains(&span.parent()))
        .collect();
    assert!(orphans.is_empty(), "{orphans:?}");
}

#[tokio::test]
async fn a_span_ends_with_its_answer_and_says_when_the_client_left_before() {
    let (upstream, collector) = (Embedded::start().await, Collector::start().await);
    let tables = collector.table("sample_ratio = 1");
    let proxy = Proxy::start(upstream.address, options(tables)).await;
    let client = proxy.client();
    let large = Bytes::from(vec![9; 32 * 1024 * 1024]);
    let stored = client.draft("PUT", "/bucket/large").body(large.clone());
    let stored = stored.payload(PayloadHash::Unsigned).send().await;
    assert_eq!(stored.status, 200);
    let get = client.draft("GET", "/bucket/large").build();
    let mut slow = begin(proxy.address, &get).await;
    let mut head = [0; 100];
    slow.read_exact(&mut head).await.unwrap();
    let pause = Duration::from_millis(400);
    tokio::time::sleep(pause).await;
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() > large.len());
    let mut hasty = begin(proxy.address, &get).await;
    hasty.read_exact(&mut head).await.unwrap();
    drop(hasty);
    proxy.stop().await;

    let spans = collector.spans();
    let outcome = |wanted: &str| {
        let of_wanted = |span: &&Seen| span.attribute("s3seal.outcome").as_deref() == Some(wanted);
        let gets = spans.iter().filter(|span| span.name() == "GetObject");
        gets.into_iter()
            .find(of_wanted)
            .unwrap_or_else(|| panic!("{wanted}: {spans:?}"))
    };
    let whole = outcome("ok");
    assert!(whole.duration() >= pause, "{whole:?}");
    let size = whole.attribute("http.response.body.size");
    assert_eq!(size, Some(large.len().to_string()));
    assert!(
        children(&spans, whole)
            .iter()
            .all(|call| call.duration() < whole.duration())
    );
    assert!(!outcome("cut").is_error());
}

#[tokio::test]
async fn failures_are_errors_and_refusals_are_not() {
    let (upstream, collector) = (Chaos::start().await, Collector::start().await);
    let tables = collector.table("sample_ratio = 1");
    let proxy = Proxy::start(upstream.address, options(tables)).await;
    let client = proxy.client();
    let failing = || Step::Answer(Reply::error(500, "InternalError"));
    upstream.script([failing(), failing(), failing()]);
    assert_eq!(client.get("/bucket/object").await.status, 500);
    assert_eq!(
        client.draft("HEAD", "/bucket/none").send().await.status,
        404
    );
    let wrong = client.draft("DELETE", "/bucket/object").region("eu-west-1");
    assert_eq!(wrong.send().await.status, 400);
    proxy.stop().await;

    let spans = collector.spans();
    let failed = only(&spans, "GetObject");
    assert!(failed.is_error());
    let attempts = children(&spans, failed);
    let count = |span: &&Seen| span.attribute("http.request.resend_count");
    let counts: Vec<_> = attempts.iter().map(count).collect();
    assert_eq!(counts, [None, Some("1".to_owned()), Some("2".to_owned())]);
    for attempt in attempts {
        assert!(attempt.is_error());
        assert_eq!(attempt.attribute("error.type").as_deref(), Some("500"));
    }
    let missing = only(&spans, "HeadObject");
    assert!(!missing.is_error() && !children(&spans, missing)[0].is_error());
    let refused = only(&spans, "DeleteObject");
    assert!(!refused.is_error() && children(&spans, refused).is_empty());
    let code = refused.attribute("error.type");
    assert_eq!(code.as_deref(), Some("AuthorizationHeaderMalformed"));
}

#[tokio::test]
async fn p150_nothing_of_a_request_is_exported() {
    let (upstream, collector) = (Embedded::start().await, Collector::start().await);
    let dir = tempfile::TempDir::new().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "Bearer first-token\n").unwrap();
    let header = format!(
        "headers = [{{ name = \"authorization\", value = {{ file = \"{}\" }} }}]",
        token.display()
    );
    let tables = collector.table(&format!("sample_ratio = 1\n{header}"));
    // Keys of customers come over TLS only.
    let options = Options {
        tls: true,
        ..options(tables)
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.tls_client();
    let name = "an-object-key-of-the-tests";
    let target = format!("/bucket/{name}?x-id=a-query-of-the-tests");
    let draft = client.draft("PUT", &target).body(PLAINTEXT);
    let draft = draft.header("x-amz-meta-secret", "metadata-of-the-tests");
    let draft = draft.header("tracestate", "vendor=state-of-the-tests");
    let draft = draft.header("traceparent", &parent("01"));
    assert_eq!(draft.send().await.status, 200);
    let sealed = client
        .draft("PUT", &format!("/bucket/{name}-2"))
        .body(PLAINTEXT);
    assert_eq!(Key(0x5a).on(sealed, PREFIX).send().await.status, 200);
    let unknown = client.draft("METHOD-OF-THE-TESTS", &target);
    assert_ne!(unknown.send().await.status, 200);
    collector.wait_for(1).await;
    std::fs::write(&token, "Bearer second-token\n").unwrap();
    assert_eq!(client.get(&target).await.body, PLAINTEXT);
    proxy.stop().await;

    let spans = collector.spans();
    let requests = spans.iter().filter(|span| span.is_server());
    let schemes: Vec<_> = requests.map(|span| span.attribute("url.scheme")).collect();
    assert_eq!(schemes, vec![Some("https".to_owned()); 4]);
    let secrets = [
        "bucket",
        name,
        "x-id",
        "of-the-tests",
        "OF-THE-TESTS",
        PLAINTEXT,
        "meta",
        APP.id,
        APP.secret,
        UPSTREAM.secret,
        "Signature",
        "Credential",
        "default",
        "first-token",
        "WlpaWlpaWlpa",
    ];
    let deliveries = collector.deliveries();
    for delivery in &deliveries {
        let text = String::from_utf8_lossy(&delivery.body);
        for secret in secrets {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
    let first = &deliveries[0].headers["authorization"];
    let last = &deliveries.last().unwrap().headers["authorization"];
    assert_eq!(
        (first, last),
        (
            &"Bearer first-token".parse().unwrap(),
            &"Bearer second-token".parse().unwrap()
        )
    );
}

#[tokio::test]
async fn p150_a_stranger_does_not_decide_what_is_traced() {
    let (upstream, collector) = (Chaos::start().await, Collector::start().await);
    let tables = collector.table("sample_ratio = 0");
    let proxy = Proxy::start(upstream.address, options(tables)).await;
    for _ in 0..20 {
        let draft = proxy.client().draft("PUT", "/bucket/object").body("text");
        let draft = draft.header("traceparent", &parent("01"));
        let draft = draft.header("tracestate", "vendor=value");
        assert_eq!(draft.send().await.status, 200);
    }
    for seen in upstream.seen() {
        let told = seen.header("traceparent").unwrap();
        assert!(told.starts_with(&format!("00-{TRACE}-")), "{told}");
        assert!(told.ends_with("-00") && !told.contains(SPAN), "{told}");
        assert_eq!(seen.header("tracestate"), None);
    }
    proxy.stop().await;
    assert!(collector.deliveries().is_empty());
}

#[tokio::test]
async fn a_trusted_caller_decides_what_is_traced() {
    let (upstream, collector) = (Chaos::start().await, Collector::start().await);
    let tables = collector.table("sample_ratio = 0\ntrust_parent = true");
    let proxy = Proxy::start(upstream.address, options(tables)).await;
    let client = proxy.client();
    for flags in ["01", "00"] {
        let draft = client.draft("PUT", "/bucket/object").body("text");
        let draft = draft.header("traceparent", &parent(flags));
        let draft = draft.header("tracestate", "vendor=value");
        assert_eq!(draft.send().await.status, 200);
    }
    for seen in upstream.seen() {
        assert_eq!(seen.header("tracestate"), Some("vendor=value"));
    }
    proxy.stop().await;
    let spans = collector.spans();
    let put = only(&spans, "PutObject");
    assert_eq!(
        (put.parent().as_str(), put.0.trace_state.as_str()),
        (SPAN, "vendor=value")
    );
}

#[tokio::test]
async fn p150_without_traces_there_is_no_context() {
    let upstream = Chaos::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    let draft = client.draft("PUT", "/bucket/object").body("text");
    let draft = draft.header("traceparent", &parent("01"));
    assert_eq!(draft.header("tracestate", "a=b").send().await.status, 200);
    // One that is relayed.
    let draft = client.draft("GET", "/bucket?location");
    draft.header("traceparent", &parent("01")).send().await;
    let seen = upstream.seen();
    assert_eq!(seen.len(), 2);
    for seen in seen {
        assert_eq!(seen.header("traceparent"), None);
        assert_eq!(seen.header("tracestate"), None);
    }
    proxy.stop().await;
}

/// A collector that nobody has started, one that hangs up, and one that never answers.
#[tokio::test]
async fn p150_requests_do_not_notice_a_collector_that_is_away() {
    let closed = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        listener.local_addr().unwrap()
    };
    let hanging_up = Untouched::start().await;
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    for address in [closed, hanging_up.address, silent.local_addr().unwrap()] {
        let upstream = Embedded::start().await;
        let tables = format!("[traces]\nendpoint = \"http://{address}\"\nsample_ratio = 1");
        let proxy = Proxy::start(upstream.address, options(tables)).await;
        let client = proxy.client();
        // More spans than may wait.
        let began = Instant::now();
        for _ in 0..1500 {
            let missing = client.get("/bucket/none").await;
            assert_eq!(missing.code(), "NoSuchKey");
        }
        assert_eq!(client.put("/bucket/object", PLAINTEXT).await.status, 200);
        assert_eq!(client.get("/bucket/object").await.body, PLAINTEXT);
        assert!(began.elapsed() < Duration::from_secs(120));
        let metrics = proxy.metrics().await;
        let lost = metrics
            .lines()
            .filter_map(|line| line.strip_prefix("s3seal_trace_spans_dropped_total{reason="))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum::<u64>();
        assert!(lost > 0, "{address}: {metrics}");
        let stopping = Instant::now();
        proxy.stop().await;
        assert!(stopping.elapsed() < Duration::from_secs(10));
    }
    assert!(hanging_up.calls() > 0);
}

/// A collector that is away for a moment has everything when it is back.
#[tokio::test]
async fn spans_wait_for_a_collector_that_restarts() {
    let (upstream, collector) = (Embedded::start().await, Collector::start().await);
    collector.answer(503);
    let tables = collector.table("sample_ratio = 1");
    let proxy = Proxy::start(upstream.address, options(tables)).await;
    assert_eq!(
        proxy.client().put("/bucket/object", "text").await.status,
        200
    );
    collector.wait_for(1).await;
    collector.answer(200);
    collector.wait_for(2).await;
    let metrics = proxy.metrics().await;
    for reason in ["delivery", "queue"] {
        let line = format!("s3seal_trace_spans_dropped_total{{reason=\"{reason}\"}} 0");
        assert!(metrics.contains(&line), "{metrics}");
    }
    proxy.stop().await;
    let deliveries = collector.deliveries();
    assert_eq!(deliveries[0].body, deliveries[1].body);
}

#[tokio::test]
async fn a_parent_that_is_none_changes_nothing() {
    let (upstream, collector) = (Embedded::start().await, Collector::start().await);
    let tables = collector.table("sample_ratio = 1");
    let proxy = Proxy::start(upstream.address, options(tables)).await;
    let client = proxy.client();
    let long = "0".repeat(4000);
    for text in [
        "",
        "00-x",
        &long,
        &parent("0"),
        &parent("01").to_uppercase(),
    ] {
        let draft = client.draft("PUT", "/bucket/object").body("text");
        let answer = draft.header("traceparent", text).send().await;
        assert_eq!(answer.status, 200, "{text}");
    }
    let mut raw = TcpStream::connect(proxy.address).await.unwrap();
    let twice = format!("traceparent: {}\r\n", parent("01")).repeat(2);
    let request =
        format!("GET /bucket/object HTTP/1.1\r\nhost: x\r\n{twice}connection: close\r\n\r\n");
    raw.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    raw.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    proxy.stop().await;
    let spans = collector.spans();
    let requests = spans.iter().filter(|span| span.is_server());
    assert_eq!(requests.clone().count(), 6);
    for span in requests {
        assert!(
            span.parent().is_empty() && span.trace() != TRACE,
            "{span:?}"
        );
    }
}

#[tokio::test]
async fn calls_of_a_remote_key_provider_are_spans() {
    let Some(bao) = Bao::of_the_run() else {
        return;
    };
    let mount = bao.transit("traced").await;
    let (upstream, collector) = (Chaos::start().await, Collector::start().await);
    let provider = format!(
        "[[keys.providers]]\nkind = \"transit\"\nname = \"bao\"\naddress = \"http://{}\"\n\
         mount = \"{mount}\"\nkeys = [\"traced\"]\nauth = {{ method = \"token\", token = \"{}\" }}\n",
        bao.address, bao.token
    );
    let rule = "key = \"traced\"\nbucket_keys = false".to_owned();
    let options = Options {
        tables: format!("{provider}{}", collector.table("sample_ratio = 1")),
        rule,
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options.clone()).await;
    assert_eq!(
        proxy.client().put("/bucket/object", PLAINTEXT).await.status,
        200
    );
    // Another process has nothing in its cache.
    let other = Proxy::start_beside(&proxy, upstream.address, options).await;
    assert_eq!(other.client().get("/bucket/object").await.body, PLAINTEXT);
    bao.operator(
        "POST",
        &format!("{mount}/keys/traced/config"),
        &json!({"deletion_allowed": true}),
    )
    .await;
    bao.operator("DELETE", &format!("{mount}/keys/traced"), &json!({}))
        .await;
    assert_ne!(
        proxy.client().put("/bucket/object", PLAINTEXT).await.status,
        200
    );
    proxy.stop().await;
    other.stop().await;

    let spans = collector.spans();
    let calls: Vec<_> = spans
        .iter()
        .filter(|span| span.attribute("s3seal.key.provider").as_deref() == Some("transit"))
        .collect();
    assert!(calls.iter().all(|call| call.is_client()), "{calls:?}");
    let get = only(&spans, "GetObject");
    let unwrap = only(&spans, "unwrap");
    assert!(unwrap.parent() == get.id() && !unwrap.is_error());
    let failed = spans.iter().find(|span| {
        span.name() == "PutObject"
            && span.attribute("http.response.status_code").as_deref() != Some("200")
    });
    let failed = children(&spans, failed.unwrap());
    let generate = failed.iter().find(|span| span.name() == "generate");
    let generate = generate.unwrap();
    assert!(generate.is_error(), "{failed:?}");
    assert_eq!(
        generate.attribute("error.type").as_deref(),
        Some("not_found")
    );
    for delivery in collector.deliveries() {
        let text = String::from_utf8_lossy(&delivery.body);
        assert!(
            !text.contains("traced") && !text.contains(&bao.token),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_collector_can_have_a_certificate_of_its_own() {
    let (upstream, (collector, certificate)) =
        (Embedded::start().await, Collector::start_tls().await);
    let dir = tempfile::TempDir::new().unwrap();
    let ca = dir.path().join("collector.pem");
    std::fs::write(&ca, certificate).unwrap();
    let (address, ca) = (collector.address, ca.display());
    let endpoint = format!("[traces]\nendpoint = \"https://{address}/otlp/\"\nsample_ratio = 1\n");
    for (tls, is_trusted) in [
        (format!("tls = {{ ca = \"{ca}\" }}\n"), true),
        (String::new(), false),
    ] {
        let before = collector.deliveries().len();
        let proxy = Proxy::start(upstream.address, options(format!("{endpoint}{tls}"))).await;
        assert_eq!(
            proxy.client().put("/bucket/object", "text").await.status,
            200
        );
        proxy.stop().await;
        let delivered = collector.deliveries();
        assert_eq!(delivered.len() > before, is_trusted);
        assert!(delivered.iter().all(|it| it.path == "/otlp/v1/traces"));
    }
}

#[tokio::test]
async fn a_reload_keeps_traces_as_they_are() {
    let (upstream, collector) = (Embedded::start().await, Collector::start().await);
    let tables = collector.table("sample_ratio = 1.0");
    let proxy = Proxy::start(upstream.address, options(tables)).await;
    proxy.configure(|text| {
        let changed = text.replace("[upstream]", "[upstream]\nidle_timeout_seconds = 59");
        changed.replace("sample_ratio = 1.0", "sample_ratio = 0.0")
    });
    let reloaded = "s3seal_config_reloads_total{outcome=\"ok\"} 1";
    proxy.wait_for_metric(reloaded).await;
    proxy.wait_for_metric("s3seal_config_waiting 1").await;
    assert_eq!(
        proxy.client().put("/bucket/object", "text").await.status,
        200
    );
    proxy.stop().await;
    let spans = collector.spans();
    let put = only(&spans, "PutObject");
    let calls = children(&spans, put);
    assert!(calls.iter().any(|call| call.is_client()), "{spans:?}");
}
