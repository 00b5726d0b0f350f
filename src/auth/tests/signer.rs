//! aws-sigv4 signs, we verify: two implementations that share no canonicaliser.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
};
use http::{HeaderValue, Request, request::Parts};
use proptest::prelude::*;

use super::{
    super::{Scheme, test_support::*},
    HOST,
};
use crate::s3::{sigv4::judge, uri};

/// Signs as the SDKs do for S3.
fn signed(request: Request<()>, location: SignatureLocation) -> Parts {
    let mut settings = SigningSettings::default();
    settings.signature_location = location;
    let body = if location == SignatureLocation::QueryParams {
        settings.expires_in = Some(Duration::from_mins(15));
        SignableBody::UnsignedPayload
    } else {
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        SignableBody::Bytes(b"body")
    };
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test");
    let mut request = request;
    let headers = request.headers().iter();
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.uri().to_string(),
        headers.map(|(name, value)| (name.as_str(), value.to_str().unwrap())),
        body,
    )
    .unwrap();
    let instructions = judge::sign(signable, credentials, ("us-east-1", now()), settings);
    instructions.apply_to_request_http1x(&mut request);
    let (mut parts, ()) = request.into_parts();
    // The signer wants an absolute URI; the wire has the path.
    parts.uri = parts
        .uri
        .path_and_query()
        .unwrap()
        .as_str()
        .parse()
        .unwrap();
    parts
}

fn request(method: &str, key: &str, query: &[(String, String)], meta: &str) -> Request<()> {
    let mut uri = format!("http://{HOST}/{}", uri::encode_path(key.as_bytes()));
    for (index, (name, value)) in query.iter().enumerate() {
        uri.push(if index == 0 { '?' } else { '&' });
        uri.push_str(&uri::encode_component(name.as_bytes()));
        uri.push('=');
        uri.push_str(&uri::encode_component(value.as_bytes()));
    }
    Request::builder()
        .method(method)
        .uri(uri)
        .header("host", HOST)
        .header("x-amz-meta-note", meta)
        .body(())
        .unwrap()
}

/// Keys as people have them: every oddity of the path and any text.
fn keys() -> impl Strategy<Value = String> {
    let odd = vec![
        "/",
        "//",
        ".",
        "..",
        "./",
        "../",
        "+",
        "%",
        "%2F",
        "%2f",
        "%252F",
        " ",
        "  ",
        "&",
        "=",
        "?",
        "#",
        ":",
        "@",
        "!",
        "$",
        "'",
        "(",
        ")",
        "*",
        ",",
        ";",
        "~",
        "\u{fc}",
        "\u{1f600}",
        "\n",
        "\\",
        "\"",
        "<",
        "a",
        "Z",
        "0",
    ];
    prop::collection::vec(prop::sample::select(odd), 1..10).prop_map(|parts| parts.concat())
}

fn queries() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop::sample::select(vec![
        "prefix",
        "prefix-a",
        "list-type",
        "a",
        "a b",
        "\u{fc}",
    ]);
    prop::collection::vec((name.prop_map(str::to_owned), keys()), 0..4)
}

fn locations() -> impl Strategy<Value = SignatureLocation> {
    prop::sample::select(vec![
        SignatureLocation::Headers,
        SignatureLocation::QueryParams,
    ])
}

/// One change of something that is signed.
fn tamper(parts: &mut Parts, how: usize, scheme: Scheme) {
    let uri = parts.uri.to_string();
    let authorization = |parts: &mut Parts, from: char, to: char| {
        let value = parts.headers["authorization"].to_str().unwrap().to_owned();
        let (head, signature) = value.rsplit_once('=').unwrap();
        let signature = signature.replace(from, &to.to_string());
        let value = HeaderValue::from_str(&format!("{head}={signature}")).unwrap();
        parts.headers.insert("authorization", value);
    };
    match (how, scheme) {
        (0, _) => parts.method = "DELETE".parse().unwrap(),
        (1, _) => {
            let (path, query) = uri.split_once('?').unwrap_or((&uri, ""));
            let joined = if query.is_empty() { "" } else { "?" };
            parts.uri = format!("{path}/{joined}{query}").parse().unwrap();
        }
        (2, _) => {
            let joint = if uri.contains('?') { '&' } else { '?' };
            parts.uri = format!("{uri}{joint}versionId=1").parse().unwrap();
        }
        (3, _) => {
            parts
                .headers
                .insert("host", HeaderValue::from_static("other.example.test"));
        }
        (4, _) => {
            parts
                .headers
                .insert("x-amz-meta-note", HeaderValue::from_static("forged"));
        }
        (5, Scheme::Presigned) => {
            parts.uri = uri
                .replace("X-Amz-Expires=900", "X-Amz-Expires=901")
                .parse()
                .unwrap();
        }
        (5, _) => {
            let value = HeaderValue::from_static("20130524T000001Z");
            parts.headers.insert("x-amz-date", value);
        }
        (_, Scheme::Presigned) => {
            let (head, signature) = uri.split_once("X-Amz-Signature=").unwrap();
            let first = if signature.starts_with('0') { '1' } else { '0' };
            let signature = format!("{first}{}", &signature[1..]);
            parts.uri = format!("{head}X-Amz-Signature={signature}")
                .parse()
                .unwrap();
        }
        (_, _) => {
            let last = parts.headers["authorization"]
                .to_str()
                .unwrap()
                .chars()
                .next_back();
            let last = last.unwrap();
            authorization(parts, last, if last == '0' { '1' } else { '0' });
        }
    }
}

proptest! {
    #[test]
    fn whatever_aws_sigv4_signs_verifies_and_no_change_of_it_does(
        method in prop::sample::select(vec!["GET", "PUT", "POST", "HEAD"]),
        key in keys(),
        query in queries(),
        meta in "[ -~]{0,20}",
        location in locations(),
        how in 0_usize..7,
    ) {
        let mut parts = signed(request(method, &key, &query, &meta), location);
        let verified = authenticate(&parts).map_err(|e| TestCaseError::fail(format!("{e:?}")))?;
        prop_assert_eq!(verified.caller(), Some(ACCESS_KEY));
        let scheme = verified.scheme();
        tamper(&mut parts, how, scheme);
        prop_assert!(authenticate(&parts).is_err());
    }

    /// Clients that encode less or differently than they sign: the same key, another spelling.
    #[test]
    fn other_spellings_of_the_path_verify(key in "[a-z !$'()*,;:@+=\u{e0}-\u{ff}]{1,12}") {
        let mut parts = signed(request("GET", &key, &[], ""), SignatureLocation::Headers);
        let lower = parts.uri.path().replace("%C3", "%c3").replace("%21", "!").replace("%2B", "+");
        parts.uri = lower.parse().unwrap();
        prop_assert!(authenticate(&parts).is_ok());
    }
}

/// SDKs move headers into the presigned query; they count as headers and are signed.
#[test]
fn header_parameters_are_listed() {
    let query = [
        ("x-amz-acl", "private"),
        ("X-Amz-Meta-A", "b c"),
        ("x-id", "PutObject"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let parts = signed(
        request("PUT", "k", &query, ""),
        SignatureLocation::QueryParams,
    );
    let verified = authenticate(&parts).unwrap();
    let listed: Vec<_> = verified
        .header_parameters()
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    assert_eq!(listed, [("x-amz-acl", "private"), ("x-amz-meta-a", "b c")]);
}

/// A signer may send `Date` alone; the date then enters the string to sign in the basic form.
#[test]
fn date_header_stands_in_for_x_amz_date() {
    use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};

    let canonical = format!(
        "GET\n/k\n\ndate:Fri, 24 May 2013 00:00:00 GMT\nhost:{HOST}\n\
         x-amz-content-sha256:UNSIGNED-PAYLOAD\n\ndate;host;x-amz-content-sha256\n\
         UNSIGNED-PAYLOAD"
    );
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes());
    let string_to_sign = format!(
        "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n{}",
        data_encoding::HEXLOWER.encode(hash.as_ref())
    );
    let key = generate_signing_key(SECRET_KEY, SystemTime::from(now()), "us-east-1", "s3");
    let signature = calculate_signature(key, string_to_sign.as_bytes());
    let get = parts(
        "GET",
        "/k",
        &[
            ("host", HOST),
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
            (
                "authorization",
                &authorization("date;host;x-amz-content-sha256", &signature),
            ),
        ],
    );
    assert!(authenticate(&get).is_ok());
}
