//! Who is not let in.

use std::time::{Duration, SystemTime};

use super::{Gate, with_header, with_query};
use crate::support::Options;
use crate::support::client::{Client, Identity, PayloadHash};
use crate::support::wire;

const OBJECT: &str = "/bucket/object";
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn p42_other_signature_versions_are_refused() {
    let gate = Gate::start(Options::default()).await;
    let by_header = |value: &str| {
        gate.client
            .unsigned("GET", OBJECT)
            .unsigned_header("authorization", value)
    };
    let get = |target: &str| gate.client.unsigned("GET", target);
    let v2 = by_header("AWS APP:bWFjbWFjbWFjbWFjbWFjbWFjbWE=");
    gate.refuses("V2 header", v2, 400, "InvalidRequest").await;
    let v2 =
        get("/bucket/object?AWSAccessKeyId=APP-OF-THE-TESTS&Signature=c2ln&Expires=4102444800");
    let answer = gate.refuses("V2 query", v2, 400, "InvalidRequest").await;
    assert!(
        answer
            .element("Message")
            .ends_with("Please use AWS4-HMAC-SHA256.")
    );
    let v4a = by_header(
        "AWS4-ECDSA-P256-SHA256 Credential=APP-OF-THE-TESTS/20260101/s3/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature=3045",
    );
    gate.refuses("V4A header", v4a, 501, "NotImplemented").await;
    let v4a = get("/bucket/object?X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Signature=3045");
    gate.refuses("V4A query", v4a, 501, "NotImplemented").await;
    for mode in [
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER",
    ] {
        let put = gate.client.draft("PUT", OBJECT);
        let put = put.payload(PayloadHash::Text(mode.to_owned()));
        gate.refuses(mode, put, 501, "NotImplemented").await;
    }
    let other = by_header("Bearer eyJhbGciOiJub25lIn0");
    gate.refuses("bearer", other, 400, "InvalidArgument").await;
    gate.stop().await;
}

#[tokio::test]
async fn p39_p41_only_the_right_secret_and_region_are_let_in() {
    let gate = Gate::start(Options::default()).await;
    let nobody = Identity {
        id: "NOBODY",
        secret: "app-secret-of-the-tests",
    };
    let stranger = Client::new(gate.proxy.address, nobody).draft("GET", OBJECT);
    let answer = gate
        .refuses("unknown key", stranger, 403, "InvalidAccessKeyId")
        .await;
    assert_eq!(answer.element("AWSAccessKeyId"), "NOBODY");
    let stranger = Client::new(gate.proxy.address, nobody)
        .draft("GET", OBJECT)
        .presign(HOUR);
    gate.refuses(
        "unknown key, presigned",
        stranger,
        403,
        "InvalidAccessKeyId",
    )
    .await;

    let liar = Identity {
        id: "APP-OF-THE-TESTS",
        secret: "another-secret",
    };
    let forged = Client::new(gate.proxy.address, liar).draft("GET", OBJECT);
    let answer = gate
        .refuses("wrong secret", forged, 403, "SignatureDoesNotMatch")
        .await;
    assert!(
        answer
            .element("StringToSign")
            .starts_with("AWS4-HMAC-SHA256\n")
    );
    assert!(
        answer
            .element("CanonicalRequest")
            .starts_with("GET\n/bucket/object\n")
    );
    assert_eq!(answer.element("AWSAccessKeyId"), "APP-OF-THE-TESTS");
    assert_eq!(answer.element("SignatureProvided").len(), 64);

    let abroad = gate.client.draft("GET", OBJECT).region("eu-central-1");
    let answer = gate
        .refuses("region", abroad, 400, "AuthorizationHeaderMalformed")
        .await;
    assert_eq!(answer.element("Region"), "us-east-1");
    let abroad = gate
        .client
        .draft("GET", OBJECT)
        .region("eu-central-1")
        .presign(HOUR);
    let code = "AuthorizationQueryParametersError";
    let answer = gate.refuses("region, presigned", abroad, 400, code).await;
    assert_eq!(answer.element("Region"), "us-east-1");
    gate.stop().await;
}

#[tokio::test]
async fn p41_clocks_more_than_15_minutes_off_are_refused() {
    let gate = Gate::start(Options::default()).await;
    let now = SystemTime::now();
    for time in [now - 16 * MINUTE, now + 16 * MINUTE] {
        let draft = gate.client.draft("GET", OBJECT).time(time);
        let answer = gate
            .refuses("skew", draft, 403, "RequestTimeTooSkewed")
            .await;
        assert_eq!(answer.element("MaxAllowedSkewMilliseconds"), "900000");
        assert!(!answer.element("RequestTime").is_empty());
        assert!(!answer.element("ServerTime").is_empty());
    }
    // One that is only 14 minutes off is refused for what it asks, not for its time.
    let draft = gate
        .client
        .draft("PUT", "/bucket/object?torrent")
        .time(now - 14 * MINUTE);
    gate.refuses("small skew", draft, 501, "NotImplemented")
        .await;
    gate.stop().await;
}

#[tokio::test]
async fn p41_presigned_urls_live_as_long_as_they_say() {
    let gate = Gate::start(Options::default()).await;
    let now = SystemTime::now();
    let presigned = || gate.client.draft("GET", OBJECT).presign(HOUR);
    let draft = presigned().time(now - 2 * HOUR);
    let answer = gate.refuses("expired", draft, 403, "AccessDenied").await;
    assert_eq!(answer.element("Message"), "Request has expired");
    assert!(!answer.element("Expires").is_empty() && !answer.element("ServerTime").is_empty());
    let draft = presigned().time(now + HOUR);
    let answer = gate
        .refuses("not yet valid", draft, 403, "AccessDenied")
        .await;
    assert_eq!(answer.element("Message"), "Request is not valid yet");
    for seconds in ["0", "604801", "-1", "1e3", ""] {
        let request = with_query(presigned(), |url| {
            url.replace("X-Amz-Expires=3600", &format!("X-Amz-Expires={seconds}"))
        });
        let code = "AuthorizationQueryParametersError";
        gate.refuses_request(seconds, request, 400, code).await;
    }
    gate.stop().await;
}

#[tokio::test]
async fn p39_presigned_urls_cannot_be_changed() {
    let gate = Gate::start(Options::default()).await;
    let presigned = || gate.client.draft("GET", OBJECT).presign(HOUR);
    let changes: [(&str, fn(String) -> String); 5] = [
        ("key", |url| url.replace("/object?", "/other?")),
        ("life", |url| url.replace("Expires=3600", "Expires=7200")),
        ("parameter", |url| format!("{url}&versionId=1")),
        ("signature", |url| {
            let (rest, signature) = url.rsplit_once('=').unwrap();
            format!("{rest}={}", signature.chars().rev().collect::<String>())
        }),
        ("hoisted header", |url| {
            url.replace("X-Amz-Expires", "x-amz-checksum-mode=ENABLED&X-Amz-Expires")
        }),
    ];
    for (what, change) in changes {
        let request = with_query(presigned(), change);
        gate.refuses_request(what, request, 403, "SignatureDoesNotMatch")
            .await;
    }
    let mut request = presigned().build();
    *request.method_mut() = hyper::Method::DELETE;
    gate.refuses_request("method", request, 403, "SignatureDoesNotMatch")
        .await;
    let request = with_query(presigned(), |url| {
        url.replace("X-Amz-SignedHeaders", "X-Amz-Signed")
    });
    gate.refuses_request(
        "missing parameter",
        request,
        400,
        "AuthorizationQueryParametersError",
    )
    .await;
    let draft = presigned().unsigned_header("x-amz-acl", "public-read");
    gate.refuses("unsigned header", draft, 403, "AccessDenied")
        .await;
    gate.stop().await;
}

#[tokio::test]
async fn p40_host_and_every_amz_header_must_be_signed() {
    let gate = Gate::start(Options::default()).await;
    let put = || gate.client.draft("PUT", OBJECT);
    for name in [
        "x-amz-acl",
        "x-amz-meta-a",
        "x-amz-tagging",
        "x-amz-checksum-mode",
    ] {
        let draft = put().unsigned_header(name, "public-read");
        let answer = gate.refuses(name, draft, 403, "AccessDenied").await;
        assert_eq!(answer.element("HeadersNotSigned"), name);
    }
    let request = with_header(put(), "authorization", |value| {
        value.replace("SignedHeaders=host;", "SignedHeaders=")
    });
    let answer = gate
        .refuses_request("host", request, 403, "AccessDenied")
        .await;
    assert_eq!(answer.element("HeadersNotSigned"), "host");
    gate.stop().await;
}

#[tokio::test]
async fn repeated_headers_are_refused() {
    let gate = Gate::start(Options::default()).await;
    for (name, value) in [
        ("authorization", "AWS4-HMAC-SHA256 Credential=x"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("x-amz-date", "20260101T000000Z"),
        ("x-amz-meta-a", "2"),
    ] {
        let put = gate.client.draft("PUT", OBJECT).header("x-amz-meta-a", "1");
        let draft = put.unsigned_header(name, value);
        gate.refuses(name, draft, 400, "InvalidRequest").await;
    }
    let mut request = gate.client.draft("GET", OBJECT).build();
    request
        .headers_mut()
        .append("host", "other.example.test".parse().unwrap());
    let answer = wire::exchange(gate.proxy.address, &request, b"").await;
    assert_eq!(answer.status(), 400, "{}", answer.head());
    gate.stop().await;
}

#[tokio::test]
async fn malformed_authentication_is_refused() {
    let gate = Gate::start(Options::default()).await;
    let get = || gate.client.draft("GET", OBJECT);
    let code = "AuthorizationHeaderMalformed";
    let changes: [(&str, fn(String) -> String); 6] = [
        ("no signature", |value| {
            value.rsplit_once(',').unwrap().0.to_owned()
        }),
        ("short signature", |value| {
            value[..value.len() - 1].to_owned()
        }),
        ("another service", |value| value.replace("/s3/", "/sts/")),
        ("another terminal", |value| {
            value.replace("aws4_request", "aws5_request")
        }),
        ("another date", |value| {
            let (head, scope) = value.split_once("APP-OF-THE-TESTS/").unwrap();
            format!("{head}APP-OF-THE-TESTS/20200101{}", &scope[8..])
        }),
        ("another component", |value| format!("{value}, Extra=1")),
    ];
    for (what, change) in changes {
        let request = with_header(get(), "authorization", change);
        gate.refuses_request(what, request, 400, code).await;
    }
    let request = with_header(get(), "authorization", |value| {
        value.replace("/s3/", "/s3express/")
    });
    gate.refuses_request("s3express", request, 501, "NotImplemented")
        .await;

    let mut request = get().build();
    request.headers_mut().remove("x-amz-content-sha256");
    let answer = gate
        .refuses_request("no hash", request, 400, "InvalidRequest")
        .await;
    assert!(answer.element("Message").ends_with("x-amz-content-sha256"));
    let draft = get().payload(PayloadHash::Text("nonsense".to_owned()));
    let answer = gate.refuses("hash", draft, 400, "InvalidArgument").await;
    assert_eq!(answer.element("ArgumentName"), "x-amz-content-sha256");
    let mut request = get().build();
    request.headers_mut().remove("x-amz-date");
    gate.refuses_request("no date", request, 403, "AccessDenied")
        .await;
    let draft = get().header("x-amz-security-token", "token");
    gate.refuses("session token", draft, 400, "InvalidToken")
        .await;
    gate.stop().await;
}

#[tokio::test]
async fn one_mechanism_at_a_time() {
    let gate = Gate::start(Options::default()).await;
    let signed = gate.client.draft("GET", OBJECT).build();
    let authorization = signed.headers()["authorization"].to_str().unwrap();
    let both = gate.client.draft("GET", OBJECT).presign(HOUR);
    let both = both.unsigned_header("authorization", authorization);
    gate.refuses("header and presigned", both, 400, "InvalidArgument")
        .await;
    for query in [
        "AWSAccessKeyId=APP-OF-THE-TESTS&Signature=c2ln&Expires=1",
        "Signature=c2ln",
    ] {
        let both = gate.client.draft("GET", &format!("{OBJECT}?{query}"));
        gate.refuses(query, both, 400, "InvalidArgument").await;
    }
    gate.stop().await;
}

#[tokio::test]
async fn p43_nobody_in_particular_may_do_nothing() {
    let gate = Gate::start(Options::default()).await;
    for method in ["GET", "PUT", "DELETE", "POST"] {
        for target in [OBJECT, "/bucket", "/", "/bucket/object?acl"] {
            let draft = gate.client.unsigned(method, target);
            gate.refuses(target, draft, 403, "AccessDenied").await;
        }
    }
    gate.stop().await;
}

/// HEAD has no body, whatever is wrong.
#[tokio::test]
async fn p48_errors_of_head_have_no_body() {
    let gate = Gate::start(Options::default()).await;
    let head = |target: &str| gate.client.draft("HEAD", target);
    let liar = Identity {
        id: "APP-OF-THE-TESTS",
        secret: "another-secret",
    };
    let liar = Client::new(gate.proxy.address, liar);
    let drafts = [
        (gate.client.unsigned("HEAD", OBJECT), 403),
        (liar.draft("HEAD", OBJECT), 403),
        (head("/bucket/object?torrent"), 501),
        (head("/bucket/%FF"), 400),
        (
            head("/bucket/object").header("x-amz-server-side-encryption", "AES256"),
            400,
        ),
        (head("/bucket/object").header("x-amz-new", "1"), 501),
        (head("/bucket/object?partNumber=0"), 400),
    ];
    for (draft, status) in drafts {
        let answer = wire::exchange(gate.proxy.address, &draft.build(), b"").await;
        assert_eq!(answer.status(), status, "{}", answer.head());
        assert_eq!(answer.body(), b"");
        assert!(
            answer.head().contains("x-s3seal-request-id: "),
            "{}",
            answer.head()
        );
    }
    gate.stop().await;
}
