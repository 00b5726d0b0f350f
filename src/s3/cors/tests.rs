//! The evaluation of CORS rules as a table.

use proptest::prelude::*;

use super::*;

const RULES: &str = "<?xml version=\"1.0\"?>\
    <CORSConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
    <CORSRule><ID>app</ID><AllowedOrigin>https://app.example</AllowedOrigin>\
    <AllowedOrigin>https://*.app.example</AllowedOrigin>\
    <AllowedMethod>PUT</AllowedMethod><AllowedMethod>GET</AllowedMethod>\
    <AllowedHeader>X-Amz-*</AllowedHeader><AllowedHeader>content-type</AllowedHeader>\
    <ExposeHeader>ETag</ExposeHeader><ExposeHeader>x-amz-version-id</ExposeHeader>\
    <MaxAgeSeconds>600</MaxAgeSeconds></CORSRule>\
    <CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>\
    <CORSRule><AllowedOrigin>https://app.example</AllowedOrigin>\
    <AllowedMethod>DELETE</AllowedMethod><AllowedHeader>*</AllowedHeader></CORSRule>\
    </CORSConfiguration>";

fn rules() -> CorsRules {
    CorsRules::parse(RULES.as_bytes()).unwrap()
}

fn asked(origin: &str, method: &str, headers: &str) -> HeaderMap {
    let mut map = HeaderMap::new();
    let pairs = [
        (ORIGIN, origin),
        (ACCESS_CONTROL_REQUEST_METHOD, method),
        (ACCESS_CONTROL_REQUEST_HEADERS, headers),
    ];
    for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
        map.insert(name, value.parse().unwrap());
    }
    map
}

/// Origin, credentials, methods and headers of the answer.
fn shown(headers: &HeaderMap) -> [&str; 4] {
    [
        ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_HEADERS,
    ]
    .map(|name| {
        headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    })
}

#[test]
fn the_first_rule_that_allows_a_preflight_answers_it() {
    const APP: &str = "https://app.example";
    let cases: &[(&str, &str, &str, Option<[&str; 4]>)] = &[
        (APP, "PUT", "", Some([APP, "true", "PUT, GET", ""])),
        (APP, "GET", "", Some([APP, "true", "PUT, GET", ""])),
        (
            APP,
            "PUT",
            "X-Amz-Meta-A,Content-Type , x-amz-date",
            Some([
                APP,
                "true",
                "PUT, GET",
                "x-amz-meta-a, content-type, x-amz-date",
            ]),
        ),
        (APP, "PUT", "authorization", None),
        (APP, "PUT", "x-amz-date,authorization", None),
        (APP, "PUT", "content-type2", None),
        (APP, "PUT", "not a header", None),
        // The second rule has the method, and no headers.
        (APP, "GET", "authorization", None),
        (
            APP,
            "DELETE",
            "Authorization",
            Some([APP, "true", "DELETE", "authorization"]),
        ),
        (
            "https://a.b.app.example",
            "PUT",
            "",
            Some(["https://a.b.app.example", "true", "PUT, GET", ""]),
        ),
        (
            "https://.app.example",
            "PUT",
            "",
            Some(["https://.app.example", "true", "PUT, GET", ""]),
        ),
        ("https://app.example.evil", "PUT", "", None),
        ("https://evil-app.example", "PUT", "", None),
        ("http://app.example", "PUT", "", None),
        ("HTTPS://APP.EXAMPLE", "PUT", "", None),
        ("null", "PUT", "", None),
        ("null", "GET", "", Some(["*", "", "GET", ""])),
        ("https://other", "GET", "", Some(["*", "", "GET", ""])),
        ("https://other", "HEAD", "", None),
    ];
    for (origin, method, headers, expected) in cases {
        let what = format!("{origin} {method} {headers}");
        let answer = CorsRequest::preflight(&asked(origin, method, headers));
        let answer = answer.ok().and_then(|request| rules().allow(&request));
        assert_eq!(answer.as_ref().map(shown), *expected, "{what}");
    }
}

#[test]
fn a_preflight_has_to_say_what_it_is_for() {
    let cases = [
        (
            "",
            "GET",
            "Insufficient information. Origin request header needed.",
        ),
        (
            "",
            "",
            "Insufficient information. Origin request header needed.",
        ),
        ("o", "", "Invalid Access-Control-Request-Method: null"),
        ("o", "PATCH", "Invalid Access-Control-Request-Method: PATCH"),
        ("o", "get", "Invalid Access-Control-Request-Method: get"),
        (
            "o",
            "0123456789abcdefghi",
            "Invalid Access-Control-Request-Method: 0123456789abcdef",
        ),
    ];
    for (origin, method, message) in cases {
        let refused = CorsRequest::preflight(&asked(origin, method, "")).unwrap_err();
        assert_eq!(refused.code, ErrorCode::BadRequest);
        assert_eq!(refused.message, message);
    }
    let many = vec!["a"; REQUESTED_MAX + 1].join(",");
    let refused = CorsRequest::preflight(&asked("o", "GET", &many)).unwrap_err();
    assert_eq!(refused.code, ErrorCode::AccessForbidden);
    let most = vec!["a"; REQUESTED_MAX].join(",");
    assert!(CorsRequest::preflight(&asked("o", "GET", &most)).is_ok());
}

#[test]
fn other_requests_are_asked_for_origin_and_method_alone() {
    let headers = asked("https://app.example", "DELETE", "authorization");
    let request = CorsRequest::actual(&Method::GET, &headers).unwrap();
    let answer = rules().allow(&request).unwrap();
    assert_eq!(
        shown(&answer),
        ["https://app.example", "true", "PUT, GET", ""]
    );
    assert_eq!(
        answer[ACCESS_CONTROL_EXPOSE_HEADERS],
        "ETag, x-amz-version-id"
    );
    assert_eq!(answer[ACCESS_CONTROL_MAX_AGE], "600");
    assert_eq!(CorsRequest::actual(&Method::GET, &asked("", "", "")), None);
    assert_eq!(CorsRequest::actual(&Method::OPTIONS, &headers), None);
}

#[test]
fn what_is_no_configuration_is_not_read() {
    let rule = "<CORSRule><AllowedOrigin>*</AllowedOrigin></CORSRule>";
    let of = |inner: &str| format!("<CORSConfiguration>{inner}</CORSConfiguration>");
    let nested = "<CORSRule><AllowedOrigin><b/></AllowedOrigin></CORSRule>";
    for document in [
        String::new(),
        "<Other/>".to_owned(),
        of(nested),
        of(&rule.repeat(RULES_MAX + 1)),
    ] {
        assert_eq!(CorsRules::parse(document.as_bytes()), None, "{document}");
    }
    assert!(CorsRules::parse(of(&rule.repeat(RULES_MAX)).as_bytes()).is_some());
    let none = CorsRules::parse(of("").as_bytes()).unwrap();
    let request = CorsRequest::preflight(&asked("o", "GET", "")).unwrap();
    assert_eq!(none.allow(&request), None);
    // Values that fit into no header are left out.
    let odd = of(
        "<CORSRule><AllowedOrigin>o</AllowedOrigin><AllowedMethod>GET</AllowedMethod>\
                  <ExposeHeader>a&#10;b: c</ExposeHeader></CORSRule>",
    );
    let answer = CorsRules::parse(odd.as_bytes())
        .unwrap()
        .allow(&request)
        .unwrap();
    assert!(!answer.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS));
}

proptest! {
    #[test]
    fn a_wildcard_stands_for_anything_once(head in "[a-c*]{0,3}", tail in "[a-c]{0,3}", text in "[a-c*]{0,8}") {
        let pattern = Pattern::read(&format!("{head}*{tail}"));
        if pattern.matches(&text) {
            let first = head.split('*').next().unwrap();
            prop_assert!(text.starts_with(first) && text.ends_with(&tail));
            prop_assert!(text.len() >= first.len() + tail.len());
        }
        let text = text.replace('*', "");
        prop_assert_eq!(Pattern::read(&text).matches(&text), true);
    }

    #[test]
    fn any_document_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = CorsRules::parse(&bytes);
    }
}
