//! Browsers in front of the proxy: preflights, and what is added to other answers.

use crate::support::chaos::{Chaos, Reply, Step};
use crate::support::client::{Answer, Draft};
use crate::support::form::Form;
use crate::support::upstream::Embedded;
use crate::support::{APP as CLIENT, Options, Proxy};

const APP: &str = "https://app.example";
const RULES: &str = "<CORSConfiguration><CORSRule><AllowedOrigin>https://app.example</AllowedOrigin>\
    <AllowedMethod>PUT</AllowedMethod><AllowedMethod>GET</AllowedMethod>\
    <AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader>\
    <MaxAgeSeconds>60</MaxAgeSeconds></CORSRule></CORSConfiguration>";
const VARY: &str = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";
const ALLOW_ORIGIN: &str = "access-control-allow-origin";

struct Bench {
    chaos: Chaos,
    proxy: Proxy,
}

impl Bench {
    async fn start(options: Options) -> Self {
        let chaos = Chaos::start().await;
        let proxy = Proxy::start(chaos.address, options).await;
        Self { chaos, proxy }
    }

    /// With rules, set through the proxy.
    async fn with_rules() -> Self {
        let bench = Self::start(Options::default()).await;
        assert_eq!(bench.put_rules().await.status, 200);
        bench.chaos.forget();
        bench
    }

    async fn put_rules(&self) -> Answer {
        self.proxy.client().put("/bucket?cors", RULES).await
    }

    fn preflight(&self, target: &str, method: &str) -> Draft {
        let draft = self.proxy.client().unsigned("OPTIONS", target);
        let draft = draft.header("access-control-request-method", method);
        draft.header("origin", APP)
    }

    /// How often the rules of a bucket were asked for.
    fn lookups(&self) -> usize {
        let seen = self.chaos.seen();
        let is_lookup = |target: &str| target.ends_with("?cors");
        let asked = seen.iter().filter(|seen| seen.head.method == "GET");
        asked.filter(|seen| is_lookup(&seen.head.target)).count()
    }
}

fn assert_bare(answer: &Answer) {
    let names = answer.headers.keys();
    let cors = names.filter(|name| name.as_str().starts_with("access-control-"));
    assert_eq!(cors.count(), 0, "{answer:?}");
}

fn assert_refused(answer: &Answer, status: u16, code: &str) {
    let refused = (answer.status.as_u16(), answer.code());
    assert_eq!(refused, (status, code.to_owned()), "{answer:?}");
    assert_bare(answer);
}

#[tokio::test]
async fn p64_a_preflight_is_answered_by_the_rules_of_the_bucket() {
    let bench = Bench::with_rules().await;
    for target in ["/bucket", "/bucket/key?X-Amz-Signature=x&partNumber=1"] {
        let draft = bench.preflight(target, "PUT");
        let draft = draft.header("access-control-request-headers", "X-Amz-Date,content-type");
        let answer = draft.send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.is_empty());
        for (name, value) in [
            (ALLOW_ORIGIN, APP),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "PUT, GET"),
            ("access-control-allow-headers", "x-amz-date, content-type"),
            ("access-control-expose-headers", "ETag"),
            ("access-control-max-age", "60"),
            ("vary", VARY),
            ("content-length", "0"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{name}");
        }
    }
    let other = bench.preflight("/bucket/key", "DELETE").send().await;
    assert_refused(&other, 403, "AccessForbidden");
    assert!(other.element("Message").contains("evalution"));
    assert_eq!(bench.lookups(), 1);
    assert_eq!(bench.chaos.seen().len(), 1, "nothing else went up");
}

#[tokio::test]
async fn p64_a_preflight_without_origin_or_method_asks_nobody() {
    let bench = Bench::with_rules().await;
    let client = bench.proxy.client();
    let bare = client.unsigned("OPTIONS", "/bucket/key").send().await;
    assert_refused(&bare, 400, "BadRequest");
    let draft = client.unsigned("OPTIONS", "/bucket/key");
    let half = draft.header("origin", APP).send().await;
    assert_refused(&half, 400, "BadRequest");
    for target in ["/", "/Bucket%2F", "/..", "/a%00b"] {
        let answer = bench.preflight(target, "GET").send().await;
        assert!(answer.status.is_client_error(), "{target}: {answer:?}");
        assert_bare(&answer);
    }
    assert!(bench.chaos.seen().is_empty());
}

#[tokio::test]
async fn p64_virtual_hosts_have_preflights_too() {
    let options = Options {
        listen: "domains = [\"s3.test\"]".to_owned(),
        ..Options::default()
    };
    let bench = Bench::start(options).await;
    bench.put_rules().await;
    let draft = bench.preflight("/key", "PUT").host("bucket.s3.test");
    let answer = draft.send().await;
    assert_eq!(answer.header(ALLOW_ORIGIN), Some(APP), "{answer:?}");
}

#[tokio::test]
async fn p64_a_preflight_tells_nobody_which_buckets_there_are() {
    let tables = "[[rules]]\nbuckets = [\"vault\"]\nencryption = \"deny\"\n\
                  [[rules]]\nbuckets = [\"*\"]\nprefix = \"secret/\"\nencryption = \"deny\"\n";
    let options = Options {
        tables: tables.to_owned(),
        ..Options::default()
    };
    let bench = Bench::start(options).await;
    let denied = bench.preflight("/vault/key", "GET").send().await;
    assert_refused(&denied, 403, "AccessForbidden");
    let prefix = bench.preflight("/bucket/secret/key", "GET").send().await;
    assert_refused(&prefix, 403, "AccessForbidden");
    assert!(
        bench.chaos.seen().is_empty(),
        "rules say no: nobody is asked"
    );
    for code in ["NoSuchCORSConfiguration", "NoSuchBucket"] {
        bench.chaos.script([Step::Answer(Reply::error(404, code))]);
        let target = format!("/{}/key", code.to_lowercase());
        let answer = bench.preflight(&target, "GET").send().await;
        assert_refused(&answer, 403, "AccessForbidden");
        let message = "CORSResponse: CORS is not enabled for this bucket.";
        assert_eq!(answer.element("Message"), message);
        let again = bench.preflight(&target, "GET").send().await;
        assert_refused(&again, 403, "AccessForbidden");
    }
    assert_eq!(bench.lookups(), 2, "that there are none is remembered");
}

#[tokio::test]
async fn p64_answers_to_browsers_carry_what_the_rules_allow() {
    let bench = Bench::with_rules().await;
    let client = bench.proxy.client();
    let put = client.draft("PUT", "/bucket/key").body("x");
    let put = put.header("origin", APP).send().await;
    assert_eq!(
        (put.status.as_u16(), put.header(ALLOW_ORIGIN)),
        (200, Some(APP))
    );
    for (target, signed, status) in [
        ("/bucket/key", true, 200),
        ("/bucket/none", true, 404),
        ("/bucket/key?frobnicate", true, 501),
        ("/bucket/key", false, 403),
    ] {
        let draft = if signed {
            client.draft("GET", target)
        } else {
            client.unsigned("GET", target)
        };
        let answer = draft.header("origin", APP).send().await;
        assert_eq!(answer.status, status, "{target}: {answer:?}");
        assert_eq!(answer.header(ALLOW_ORIGIN), Some(APP), "{target}");
        assert_eq!(answer.header("access-control-expose-headers"), Some("ETag"));
        assert_eq!(answer.header("vary"), Some(VARY));
    }
    for (method, origin) in [("GET", "https://evil.example"), ("DELETE", APP)] {
        let draft = client.draft(method, "/bucket/key").header("origin", origin);
        let answer = draft.send().await;
        assert!(answer.status.is_success(), "{answer:?}");
        assert_bare(&answer);
        assert_eq!(answer.header("vary"), Some(VARY));
    }
    assert_eq!(bench.lookups(), 1);
    let up = bench.chaos.seen();
    assert!(up.iter().all(|seen| seen.header("origin").is_none()));
}

#[tokio::test]
async fn p64_a_request_without_an_origin_costs_no_lookup_and_shows_nothing() {
    let bench = Bench::with_rules().await;
    let client = bench.proxy.client();
    client.put("/bucket/key", "x").await;
    bench.chaos.mangle(|reply| {
        for (name, value) in [(ALLOW_ORIGIN, "*"), ("Vary", "Origin")] {
            reply.headers.push((name.to_owned(), value.to_owned()));
        }
    });
    let answer = client.get("/bucket/key").await;
    assert_eq!(answer.body, "x");
    assert_bare(&answer);
    assert_eq!(answer.header("vary"), None);
    assert_eq!(bench.lookups(), 0);
}

#[tokio::test]
async fn p64_rules_that_change_through_the_proxy_hold_at_once() {
    let bench = Bench::start(Options::default()).await;
    let client = bench.proxy.client();
    let refused = bench.preflight("/bucket/key", "PUT").send().await;
    assert_refused(&refused, 403, "AccessForbidden");
    bench.put_rules().await;
    assert_eq!(
        bench.preflight("/bucket/key", "PUT").send().await.status,
        200
    );
    let deleted = client.draft("DELETE", "/bucket?cors").send().await;
    assert_eq!(deleted.status, 204);
    let refused = bench.preflight("/bucket/key", "PUT").send().await;
    assert_refused(&refused, 403, "AccessForbidden");
    assert_eq!(bench.lookups(), 3);
}

#[tokio::test]
async fn p64_browsers_that_come_together_are_one_question() {
    let bench = Bench::with_rules().await;
    let all = (0..32).map(|_| bench.preflight("/bucket/key", "PUT").send());
    for answer in futures_util::future::join_all(all).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(bench.lookups(), 1);
}

#[tokio::test]
async fn p64_a_failing_lookup_fails_preflights_alone() {
    let cases = [
        (Reply::error(403, "AccessDenied"), 403, "AccessDenied"),
        (Reply::error(400, "Odd"), 503, "ServiceUnavailable"),
        (Reply::new(200, "no rules"), 503, "ServiceUnavailable"),
        (
            Reply::error(403, "SignatureDoesNotMatch"),
            503,
            "ServiceUnavailable",
        ),
    ];
    for (reply, status, code) in cases {
        let bench = Bench::with_rules().await;
        bench.chaos.script([Step::Answer(reply)]);
        let refused = bench.preflight("/bucket/key", "PUT").send().await;
        assert_refused(&refused, status, code);
        let client = bench.proxy.client();
        let put = client.draft("PUT", "/bucket/key").body("x");
        let put = put.header("origin", APP).send().await;
        assert_eq!(put.status, 200, "{put:?}");
        assert_bare(&put);
        assert_eq!(bench.lookups(), 1, "a failure is remembered for a while");
    }
}

#[tokio::test]
async fn p64_a_silent_upstream_is_not_waited_for_long() {
    let bench = Bench::with_rules().await;
    bench.chaos.script([Step::Hang]);
    let refused = bench.preflight("/bucket/key", "PUT").send().await;
    assert_refused(&refused, 503, "ServiceUnavailable");
    let client = bench.proxy.client();
    let put = client.draft("PUT", "/bucket/key").body("x");
    let put = put.header("origin", APP).send().await;
    assert_eq!(put.status, 200, "{put:?}");
    assert_bare(&put);
}

/// s3s-fs has no CORS, and a name for it: 501.
#[tokio::test]
async fn p64_an_upstream_without_cors_has_no_rules() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let draft = proxy.client().unsigned("OPTIONS", "/bucket/key");
    let draft = draft.header("access-control-request-method", "GET");
    let answer = draft.header("origin", APP).send().await;
    assert_refused(&answer, 403, "AccessForbidden");
    let put = proxy.client().draft("PUT", "/bucket/key").body("x");
    let put = put.header("origin", APP).send().await;
    assert_eq!(put.status, 200, "{put:?}");
    assert_bare(&put);
    proxy.stop().await;
}

#[tokio::test]
async fn p64_p62_a_form_from_a_page_is_answered_as_the_rules_say() {
    let bench = Bench::start(Options::default()).await;
    let rules = RULES.replace("PUT", "POST");
    let client = bench.proxy.client();
    assert_eq!(client.put("/bucket?cors", rules).await.status, 200);
    let signed = || Form::new("object", "x").sign(CLIENT);
    for (form, status) in [
        (signed(), 204),
        (signed().with("x-amz-signature", &"0".repeat(64)), 403),
    ] {
        let draft = form.draft(&client, "/bucket");
        let answer = draft.header("origin", APP).send().await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        assert_eq!(answer.header(ALLOW_ORIGIN), Some(APP));
        assert_eq!(answer.header("access-control-expose-headers"), Some("ETag"));
        let stranger = form.draft(&client, "/bucket");
        let stranger = stranger.header("origin", "https://other.example");
        assert_eq!(stranger.send().await.header(ALLOW_ORIGIN), None);
    }
    bench.proxy.stop().await;
}
