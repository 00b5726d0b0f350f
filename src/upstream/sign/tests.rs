//! Our signatures against those of `aws-sigv4`, which canonicalises for itself.

use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings,
};
use http::Method;
use proptest::prelude::*;

use super::*;
use crate::s3::sigv4::judge;
use crate::upstream::endpoint::{Addressing, Endpoint};

const NOW: i64 = 1_800_000_000;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW).unwrap()
}

fn place(addressing: Addressing) -> Place {
    Place {
        endpoint: Endpoint::new(true, "s3.example.test:8443", addressing),
        region: "eu-central-1".to_owned(),
    }
}

fn head(key: &str, query: &str, headers: &[(String, String)], payload: PayloadSignature) -> Head {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    Head {
        method: Method::PUT,
        bucket: Some("bucket".to_owned()),
        key: Some(key.to_owned()),
        query: query.to_owned(),
        headers: map,
        payload,
        credentials: None,
    }
}

/// The `Authorization` that aws-sigv4 gives to the request we are about to send.
fn theirs(sent: &Request<()>, payload: &PayloadSignature, credentials: &Credentials) -> String {
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let body = match payload {
        PayloadSignature::Sha256(bytes) => SignableBody::Bytes(bytes),
        PayloadSignature::Unsigned => SignableBody::UnsignedPayload,
        PayloadSignature::UnsignedWithTrailer => SignableBody::StreamingUnsignedPayloadTrailer,
    };
    let added = ["x-amz-date", "x-amz-content-sha256", "x-amz-security-token"];
    let headers = sent.headers().iter().filter_map(|(name, value)| {
        let signed = is_signed(name) && !added.contains(&name.as_str());
        signed.then(|| (name.as_str(), value.to_str().unwrap()))
    });
    let uri = sent.uri().to_string();
    let request = SignableRequest::new(sent.method().as_str(), &uri, headers, body).unwrap();
    let place = ("eu-central-1", now());
    let instructions = judge::sign(request, credentials.clone(), place, settings);
    let authorization = instructions
        .headers()
        .find(|(name, _)| *name == "authorization");
    authorization.unwrap().1.to_owned()
}

fn check(head: &Head, addressing: Addressing, token: Option<&str>) {
    let token = token.map(str::to_owned);
    let credentials = Credentials::new("AKIDEXAMPLE", "not-a-secret", token, None, "test");
    let keys = SigningKeys::default();
    let sent = sign(head, &place(addressing), &credentials, &keys, now()).unwrap();
    let ours = sent.headers().get(AUTHORIZATION).unwrap();
    assert!(ours.is_sensitive());
    let theirs = theirs(&sent, &head.payload, &credentials);
    assert_eq!(ours.to_str().unwrap(), theirs, "{}", sent.uri());
}

fn payload() -> impl Strategy<Value = PayloadSignature> {
    prop_oneof![
        Just(PayloadSignature::Unsigned),
        Just(PayloadSignature::UnsignedWithTrailer),
        prop::collection::vec(any::<u8>(), 0..40)
            .prop_map(|bytes| PayloadSignature::Sha256(bytes.into())),
    ]
}

/// Header values without the blanks on the outside that HTTP takes off.
const VALUE: &str = "[!-~]([ -~]{0,20}[!-~])?";

proptest! {
    #[test]
    fn signatures_are_those_of_aws_sigv4(
        key in "[ -~äß/.+%]{1,40}",
        query in prop::collection::vec(("[a-z-]{1,8}", "[A-Za-z0-9._~+-]{0,8}"), 0..4),
        metadata in prop::collection::vec(("x-amz-meta-[a-z0-9-]{1,8}", VALUE), 0..4),
        payload in payload(),
        token in prop::option::of("[A-Za-z0-9/+=]{1,40}"),
        is_path_style in any::<bool>(),
    ) {
        let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let head = head(&key, &pairs.join("&"), &metadata, payload);
        let style = if is_path_style { Addressing::Path } else { Addressing::VirtualHost };
        check(&head, style, token.as_deref());
    }
}

#[test]
fn parameters_without_a_value_and_encoded_ones_are_signed_as_sent() {
    for query in [
        "acl",
        "tagging&versionId=a%2Bb",
        "prefix=%C3%BC%2F&delimiter=%2F",
    ] {
        let head = head("k", query, &[], PayloadSignature::Unsigned);
        check(&head, Addressing::Path, None);
    }
}

#[test]
fn a_key_is_derived_anew_for_another_day() {
    let keys = SigningKeys::default();
    let credentials = Credentials::new("AKIDEXAMPLE", "not-a-secret", None, None, "test");
    let head = head("k", "", &[], PayloadSignature::Unsigned);
    let signed = |now| sign(&head, &place(Addressing::Path), &credentials, &keys, now).unwrap();
    let authorization = |request: Request<()>| request.headers()[AUTHORIZATION].clone();
    let today = authorization(signed(now()));
    assert_eq!(today, authorization(signed(now())));
    let tomorrow = authorization(signed(now() + time::Duration::days(1)));
    assert!(
        tomorrow.to_str().unwrap().contains("/20270116/"),
        "{tomorrow:?}"
    );
}
