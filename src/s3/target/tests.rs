//! Addressing: both styles, odd hosts and odd keys.

use super::*;

fn domains() -> Vec<String> {
    vec!["example.test".to_owned(), "s3.example.test".to_owned()]
}

fn parse(path: &str, host: &str) -> Result<Target, TargetError> {
    Target::parse(path, Some(host), &domains())
}

fn object(bucket: &str, raw: &str) -> Target {
    Target::Object {
        bucket: BucketName::new(bucket).unwrap(),
        key: ObjectKey::parse(raw).unwrap(),
    }
}

fn bucket(name: &str) -> Target {
    Target::Bucket {
        bucket: BucketName::new(name).unwrap(),
    }
}

#[test]
fn both_styles_name_the_same_object() {
    for raw in [
        "photos/a.jpg",
        "/",
        "//a",
        "a/",
        ".",
        "..",
        "a/../b",
        "+",
        "%2F",
        "%2f%2F",
        "%C3%BC",
        "%00",
    ] {
        let path_style = parse(&format!("/logs/{raw}"), "s3.example.test:9000").unwrap();
        let virtual_host = parse(&format!("/{raw}"), "logs.s3.example.test:9000").unwrap();
        assert_eq!(path_style, virtual_host, "{raw}");
        assert_eq!(path_style, object("logs", raw), "{raw}");
        assert_eq!(path_style.upstream_path(), format!("/logs/{raw}"));
        assert_eq!(path_style.upstream_path_in_bucket(), format!("/{raw}"));
    }
}

#[test]
fn keys_keep_both_forms() {
    let cases = [
        ("a%2Fb", "a/b"),
        ("a+b", "a+b"),
        ("a%20b", "a b"),
        ("%252F", "%2F"),
        ("ü", "ü"),
        ("%C3%BC", "ü"),
        ("u%CC%88", "u\u{308}"),
        ("a//b/./../c/", "a//b/./../c/"),
        ("%3F", "?"),
        ("%0A", "\n"),
    ];
    for (raw, decoded) in cases {
        let key = ObjectKey::parse(raw).unwrap();
        assert_eq!((key.raw(), key.decoded()), (raw, decoded));
    }
    assert_eq!(ObjectKey::parse("a%2Fb"), ObjectKey::parse("a/b"));
    assert_ne!(ObjectKey::parse("%C3%BC"), ObjectKey::parse("u%CC%88"));
}

#[test]
fn service_and_buckets() {
    let cases = [
        ("/", "s3.example.test", Target::Service),
        ("", "localhost", Target::Service),
        ("*", "s3.example.test", Target::Service),
        ("*", "logs.s3.example.test", bucket("logs")),
        ("/logs", "s3.example.test", bucket("logs")),
        ("/logs/", "localhost:9000", bucket("logs")),
        ("/", "logs.s3.example.test", bucket("logs")),
        ("", "logs.s3.example.test", bucket("logs")),
        ("/", "a.b.s3.example.test", bucket("a.b")),
        ("/", "LOGS.S3.Example.Test:443", bucket("logs")),
        ("/", "logs.s3.example.test.", bucket("logs")),
        ("/Legacy_Name", "localhost", bucket("Legacy_Name")),
        ("/my%2Dbucket", "localhost", bucket("my-bucket")),
        (
            "/WriteGetObjectResponse",
            "localhost",
            bucket("WriteGetObjectResponse"),
        ),
    ];
    for (path, host, target) in cases {
        assert_eq!(parse(path, host), Ok(target), "{host}{path}");
    }
}

#[test]
fn a_bucket_name_cannot_choose_a_host() {
    for raw in [
        "/*",
        "/169.254.169.254:",
        "/evil.example%3A",
        "/a%40b",
        "/a%20b",
        "/%C3%BC",
        "/a%3Fb",
        "/[::1]",
    ] {
        let refused = parse(raw, "s3.example.test");
        assert!(
            matches!(refused, Err(TargetError::BucketName { .. })),
            "{raw}: {refused:?}"
        );
    }
    let is_host_label = |name: &str| BucketName::new(name).unwrap().is_host_label();
    for legal in ["logs", "a.b-c", "1"] {
        assert!(is_host_label(legal), "{legal}");
    }
    for other in ["Logs", "a_b", "-a", "a.", "a..b"] {
        assert!(!is_host_label(other), "{other}");
    }
}

#[test]
fn a_bucket_is_never_guessed_from_a_foreign_host() {
    for host in [
        "127.0.0.1:9000",
        "[::1]:9000",
        "logs.other.test",
        "s3.example.test",
        "example.test",
        "logs-s3.example.test.evil",
        "xs3.example.tests",
        "logs.s3.example.test:80x",
    ] {
        assert_eq!(parse("/b/k", host), Ok(object("b", "k")), "{host}");
    }
    assert_eq!(
        Target::parse("/b/k", None, &domains()),
        Ok(object("b", "k"))
    );
    assert_eq!(
        Target::parse("/b/k", Some("x.y"), &[String::new()]),
        Ok(object("b", "k"))
    );
    // "xs3" is a bucket of the shorter domain, not a prefix of the longer one.
    assert_eq!(parse("/b/k", "xs3.example.test"), Ok(object("xs3", "b/k")));
}

#[test]
fn unsafe_bucket_names_are_refused() {
    for path in [
        "//key",
        "/./key",
        "/../key",
        "/%2E%2E/key",
        "/a%2Fb/key",
        "/a%5Cb",
        "/a%00b",
        "/a%0Ab/k",
    ] {
        let error = parse(path, "localhost").unwrap_err();
        assert!(
            matches!(error, TargetError::BucketName { .. }),
            "{path}: {error:?}"
        );
        assert_eq!(error.to_s3().code, ErrorCode::InvalidBucketName);
    }
    assert!(parse("/k", ".s3.example.test").is_err());
    assert!(parse(&format!("/{}", "b".repeat(256)), "localhost").is_err());
    for path in ["/arn:aws:s3:us-east-1:1:accesspoint/x", "/arn%3Aaws%3As3/x"] {
        assert_eq!(
            parse(path, "localhost").unwrap_err().to_s3().code.status(),
            501
        );
    }
}

#[test]
fn broken_escapes_and_bad_utf8_are_refused() {
    for path in [
        "/b/%",
        "/b/%2",
        "/b/%zz",
        "/b/a%2",
        "/b/%ff",
        "/b/%C3",
        "/b/%ED%A0%80",
        "/%ff/k",
        "/b/%%41",
    ] {
        assert_eq!(parse(path, "localhost"), Err(TargetError::Uri), "{path}");
    }
}

#[test]
fn keys_are_1_to_1024_bytes_when_decoded() {
    assert!(parse(&format!("/b/{}", "%41".repeat(1024)), "h").is_ok());
    assert!(parse(&format!("/b/{}", "%C3%BC".repeat(512)), "h").is_ok());
    let error = parse(&format!("/b/{}", "a".repeat(1025)), "h").unwrap_err();
    assert_eq!(error, TargetError::KeyTooLong { len: 1025 });
    assert_eq!(error.to_s3().code.as_str(), "KeyTooLongError");
    assert_eq!(
        parse(&format!("/b/{}", "%C3%BC".repeat(513)), "h"),
        Err(TargetError::KeyTooLong { len: 1026 })
    );
}

/// The claim this file rests on: the `http` crate hands out the path as it came.
#[test]
fn http_uri_keeps_the_path_bytes() {
    for path in [
        "//b//k",
        "/b/./../k/",
        "/b/%2f%2F+%zz",
        "/b/a%20b",
        "/b/\u{fc}",
    ] {
        let uri = Uri::try_from(path).unwrap();
        assert_eq!(uri.path(), path);
    }
}

#[test]
fn one_host_decides() {
    let host = |uri: &str, hosts: &[&str]| {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, host.parse().unwrap());
        }
        let uri = Uri::try_from(uri).unwrap();
        request_host(&uri, &headers).map(|host| host.map(str::to_owned))
    };
    assert_eq!(host("/k", &["a.test:80"]), Ok(Some("a.test:80".to_owned())));
    assert_eq!(host("/k", &[]), Ok(None));
    assert_eq!(host("http://a.test/k", &[]), Ok(Some("a.test".to_owned())));
    assert_eq!(
        host("http://a.test/k", &["A.test"]),
        Ok(Some("A.test".to_owned()))
    );
    assert_eq!(host("http://a.test/k", &["b.test"]), Err(TargetError::Host));
    assert_eq!(host("/k", &["a.test", "a.test"]), Err(TargetError::Host));
}
