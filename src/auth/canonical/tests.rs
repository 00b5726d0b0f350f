//! Excerpts of the AWS signing test suite (aws-sigv4's package, Apache-2.0), those cases that do
//! not depend on the path normalisation S3 does not do.

use http::Request;

use super::*;
use crate::auth::Place;
use crate::s3::sigv4::string_to_sign;

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn canonical(uri: &str, headers: &[(&str, &str)], signed: &str) -> String {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let canonical = Canonical {
        parts: &parts,
        host: b"example.amazonaws.com",
        signed_headers: SignedHeaders::parse(signed, Place::Header).unwrap(),
        payload_hash: EMPTY,
    };
    let (raw, encoded) = canonical.paths();
    let path = encoded.as_deref().unwrap_or(raw);
    String::from_utf8(canonical.request(path)).unwrap()
}

#[test]
fn paths_and_queries_of_the_suite() {
    let cases = [
        ("/", "/", ""),
        ("//example//", "//example//", ""),
        ("/example/..", "/example/..", ""),
        ("/./", "/./", ""),
        ("/\u{1234}", "/%E1%88%B4", ""),
        (
            "/?Param2=value2&Param1=value1",
            "/",
            "Param1=value1&Param2=value2",
        ),
        (
            "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
            "/",
            "%E1%88%B4=Value1&Param=Value2&Param-3=Value3",
        ),
        ("/?\u{1234}=bar", "/", "%E1%88%B4=bar"),
        ("/?a=2&a=1&acl&b=%2f+%7e", "/", "a=1&a=2&acl=&b=%2F%2B~"),
        ("/?X-Amz-Signature=0&x=y", "/", "x=y"),
        ("/a%2fb+c%20d!", "/a/b%2Bc%20d%21", ""),
    ];
    for (uri, path, query) in cases {
        let expected = format!(
            "GET\n{path}\n{query}\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\n\
             host;x-amz-date\n{EMPTY}"
        );
        let headers = [("x-amz-date", "20150830T123600Z")];
        assert_eq!(
            canonical(uri, &headers, "host;x-amz-date"),
            expected,
            "{uri}"
        );
    }
}

#[test]
fn spaces_in_header_values_collapse() {
    let headers = [("my-header1", "value1"), ("my-header2", "\"a   b   c\"")];
    let text = canonical("/", &headers, "host;my-header1;my-header2");
    assert!(text.contains("\nmy-header1:value1\nmy-header2:\"a b c\"\n"));
}

/// `get-vanilla` of the suite: hash of the canonical request inside the string to sign.
#[test]
fn string_to_sign_of_the_suite() {
    let headers = [("x-amz-date", "20150830T123600Z")];
    let request = canonical("/", &headers, "host;x-amz-date");
    let text = string_to_sign(
        "20150830T123600Z",
        "20150830/us-east-1/service/aws4_request",
        request.as_bytes(),
    );
    assert_eq!(
        text,
        "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/service/aws4_request\n\
         bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63"
    );
}
