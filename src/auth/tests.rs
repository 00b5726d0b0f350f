use http::{HeaderName, HeaderValue, request::Parts};

use super::{test_support::*, *};

#[cfg(feature = "proxy")] // brings aws-credential-types
mod signer;

const HOST: &str = "examplebucket.s3.amazonaws.com";
const GET_SIGNATURE: &str = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
const GET_SIGNED: &str = "host;range;x-amz-content-sha256;x-amz-date";

/// "Example: GET Object" of the S3 documentation.
fn get_object() -> Parts {
    parts(
        "GET",
        "/test.txt",
        &[
            ("host", HOST),
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", EMPTY_SHA256),
            ("x-amz-date", "20130524T000000Z"),
            ("authorization", &authorization(GET_SIGNED, GET_SIGNATURE)),
        ],
    )
}

const PRESIGNED: &str = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
    &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
    &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

fn presigned(uri: &str) -> Parts {
    parts("GET", uri, &[("host", HOST)])
}

fn set(parts: &mut Parts, name: &'static str, value: &str) {
    let name = HeaderName::from_static(name);
    parts
        .headers
        .insert(name, HeaderValue::from_str(value).unwrap());
}

#[test]
fn published_header_examples_verify() {
    let verified = authenticate(&get_object()).unwrap();
    assert_eq!(verified.caller(), Some(ACCESS_KEY));
    assert_eq!(verified.scheme(), Scheme::Header);

    let signed = "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class";
    let signature = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd";
    // The example's path is encoded in the canonical request; it verifies in both spellings.
    for path in ["/test%24file.text", "/test$file.text"] {
        let put = parts(
            "PUT",
            path,
            &[
                ("host", HOST),
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-date", "20130524T000000Z"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
                (
                    "x-amz-content-sha256",
                    "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
                ),
                ("authorization", &authorization(signed, signature)),
            ],
        );
        assert!(authenticate(&put).is_ok(), "{path}");
    }

    for (uri, signature) in [
        (
            "/?lifecycle",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "/?max-keys=2&prefix=J",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ] {
        let get = parts(
            "GET",
            uri,
            &[
                ("host", HOST),
                ("x-amz-content-sha256", EMPTY_SHA256),
                ("x-amz-date", "20130524T000000Z"),
                (
                    "authorization",
                    &authorization("host;x-amz-content-sha256;x-amz-date", signature),
                ),
            ],
        );
        assert!(authenticate(&get).is_ok(), "{uri}");
    }
}

#[test]
fn published_presigned_example_verifies_while_it_lives() {
    let get = presigned(PRESIGNED);
    for seconds in [-900, 0, 86_400] {
        let verified = authenticate_after(&get, seconds).unwrap();
        assert_eq!(verified.scheme(), Scheme::Presigned);
        assert_eq!(verified.payload_claim(), PayloadClaim::Unsigned);
        assert!(verified.header_parameters().is_empty());
    }
    let early = authenticate_after(&get, -901).unwrap_err();
    assert!(matches!(early, AuthError::NotYetValid { .. }), "{early:?}");
    let late = authenticate_after(&get, 86_401).unwrap_err();
    let AuthError::Expired {
        expires_seconds,
        expires,
        server_time,
    } = late
    else {
        panic!("{late:?}");
    };
    assert_eq!(expires_seconds, 86_400);
    assert_eq!(server_time - expires, time::Duration::seconds(1));
}

#[test]
fn header_requests_live_fifteen_minutes_each_way() {
    for seconds in [-900, 900] {
        assert!(authenticate_after(&get_object(), seconds).is_ok());
    }
    for seconds in [-901, 901] {
        let error = authenticate_after(&get_object(), seconds).unwrap_err();
        assert!(matches!(error, AuthError::Skewed { .. }), "{error:?}");
        assert_eq!(error.reason(), "skew");
    }
}

/// HTTP/2 has no `Host` header but an authority; absolute-form requests have both.
#[test]
fn the_authority_stands_for_the_host() {
    let mut get = get_object();
    get.headers.remove("host");
    get.uri = format!("http://{HOST}/test.txt").parse().unwrap();
    assert!(authenticate(&get).is_ok());
    set(&mut get, "host", HOST);
    assert!(authenticate(&get).is_ok());
    set(&mut get, "host", "other.s3.amazonaws.com");
    let error = authenticate(&get).unwrap_err();
    assert!(matches!(error, AuthError::HostConflict));
}

#[test]
fn nobody_is_anonymous() {
    let verified = authenticate(&parts("GET", "/test.txt?acl", &[("host", HOST)])).unwrap();
    assert_eq!(verified.caller(), None);
    assert_eq!(verified.scheme(), Scheme::Anonymous);
}

/// What is done to the published GET, and how it is refused.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn header_refusals() {
    type Case = (&'static str, fn(&mut Parts), fn(&AuthError) -> bool);
    let cases: &[Case] = &[
        (
            "v2",
            |p| set(p, "authorization", "AWS AKIA:c2ln"),
            |e| matches!(e, AuthError::SignatureV2),
        ),
        (
            "v4a",
            |p| set(p, "authorization", "AWS4-ECDSA-P256-SHA256 Credential=a"),
            |e| matches!(e, AuthError::SigV4a),
        ),
        (
            "bearer",
            |p| set(p, "authorization", "Bearer x"),
            |e| matches!(e, AuthError::UnsupportedScheme),
        ),
        (
            "no scheme",
            |p| set(p, "authorization", ""),
            |e| matches!(e, AuthError::UnsupportedScheme),
        ),
        (
            "both mechanisms",
            |p| p.uri = PRESIGNED.parse().unwrap(),
            |e| matches!(e, AuthError::MultipleMechanisms),
        ),
        (
            "v2 parameters beside",
            |p| p.uri = "/a?AWSAccessKeyId=a&Signature=b&Expires=1".parse().unwrap(),
            |e| matches!(e, AuthError::MultipleMechanisms),
        ),
        (
            "unsigned x-amz header",
            |p| set(p, "x-amz-acl", "public-read"),
            |e| matches!(e, AuthError::UnsignedHeaders { names } if names == &["x-amz-acl"]),
        ),
        (
            "unsigned host",
            |p| {
                set(
                    p,
                    "authorization",
                    &authorization("range;x-amz-content-sha256;x-amz-date", GET_SIGNATURE),
                );
            },
            |e| matches!(e, AuthError::UnsignedHeaders { names } if names == &["host"]),
        ),
        (
            "repeated signed header",
            |p| {
                p.headers
                    .append("range", HeaderValue::from_static("bytes=0-9"));
            },
            |e| matches!(e, AuthError::RepeatedHeader { name } if name == "range"),
        ),
        (
            "repeated x-amz-date",
            |p| {
                p.headers
                    .append("x-amz-date", HeaderValue::from_static("20130524T000000Z"));
            },
            |e| matches!(e, AuthError::RepeatedHeader { name } if name == "x-amz-date"),
        ),
        (
            "repeated authorization",
            |p| {
                p.headers
                    .append("authorization", HeaderValue::from_static("AWS a:b"));
            },
            |e| matches!(e, AuthError::RepeatedHeader { .. }),
        ),
        (
            "repeated host",
            |p| {
                p.headers.append("host", HeaderValue::from_static(HOST));
            },
            |e| matches!(e, AuthError::RepeatedHeader { .. }),
        ),
        (
            "repeated length",
            |p| {
                p.headers
                    .append("content-length", HeaderValue::from_static("1"));
                p.headers
                    .append("content-length", HeaderValue::from_static("2"));
            },
            |e| matches!(e, AuthError::RepeatedHeader { .. }),
        ),
        (
            "session token",
            |p| set(p, "x-amz-security-token", "t"),
            |e| matches!(e, AuthError::SessionToken),
        ),
        (
            "no date",
            |p| {
                p.headers.remove("x-amz-date");
            },
            |e| matches!(e, AuthError::MissingDate),
        ),
        (
            "bad date",
            |p| set(p, "x-amz-date", "yesterday"),
            |e| matches!(e, AuthError::MissingDate),
        ),
        (
            "scope of another date",
            |p| set(p, "x-amz-date", "20130525T000000Z"),
            |e| {
                matches!(
                    e,
                    AuthError::Malformed {
                        fault: Malformation::CredentialDate { .. },
                        ..
                    }
                )
            },
        ),
        (
            "no payload hash",
            |p| {
                p.headers.remove("x-amz-content-sha256");
            },
            |e| matches!(e, AuthError::MissingContentSha256),
        ),
        (
            "no payload hash at all",
            |p| set(p, "x-amz-content-sha256", "abc"),
            |e| matches!(e, AuthError::InvalidContentSha256 { value } if value == "abc"),
        ),
        (
            "asymmetric chunks",
            |p| {
                set(
                    p,
                    "x-amz-content-sha256",
                    "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
                );
            },
            |e| matches!(e, AuthError::SigV4a),
        ),
        (
            "another payload hash",
            |p| set(p, "x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
            |e| matches!(e, AuthError::SignatureDoesNotMatch(_)),
        ),
        (
            "a signed header gone",
            |p| {
                p.headers.remove("range");
            },
            |e| matches!(e, AuthError::SignatureDoesNotMatch(_)),
        ),
    ];
    for (case, change, expected) in cases {
        let mut get = get_object();
        change(&mut get);
        let error = authenticate(&get).unwrap_err();
        assert!(expected(&error), "{case}: {error:?}");
    }
}

#[test]
fn authorization_syntax_is_strict() {
    let good = authorization(GET_SIGNED, GET_SIGNATURE);
    let upper = GET_SIGNATURE.to_uppercase();
    let cases = [
        ("/s3/", "/ec2/", "Service"),
        ("aws4_request", "aws4", "Terminal"),
        ("20130524/", "2013052/", "Credential"),
        ("AKIAIOSFODNN7EXAMPLE", "", "Credential"),
        ("/us-east-1/", "/", "Credential"),
        ("host;range", "range;host", "SignedHeaders"),
        ("host;range", "Host;range", "SignedHeaders"),
        ("host;range", "host;host;range", "SignedHeaders"),
        ("host;range", "host;;range", "SignedHeaders"),
        (",Signature=", ",Signature=0,Signature=", "Components"),
        (",Signature=", ",Other=", "Components"),
        ("SignedHeaders=", "Signedheaders=", "Components"),
        (GET_SIGNATURE, &upper, "Signature"),
        (GET_SIGNATURE, "f0e8", "Signature"),
    ];
    for (from, to, fault) in cases {
        let mut get = get_object();
        set(&mut get, "authorization", &good.replace(from, to));
        let error = authenticate(&get).unwrap_err();
        let AuthError::Malformed {
            place: Place::Header,
            fault: found,
        } = &error
        else {
            panic!("{from} -> {to}: {error:?}");
        };
        assert!(
            format!("{found:?}").starts_with(fault),
            "{from} -> {to}: {found:?}"
        );
        let message = error.message();
        assert!(
            message.starts_with("The authorization header is malformed; "),
            "{message}"
        );
        assert_eq!(error.reason(), "malformed");
    }
    // Order and blanks do not matter.
    let (scheme, components) = good.split_once(' ').unwrap();
    let mut components: Vec<_> = components.split(',').collect();
    components.reverse();
    let mut get = get_object();
    set(
        &mut get,
        "authorization",
        &format!("{scheme} {}", components.join(" , ")),
    );
    assert!(authenticate(&get).is_ok());
}

#[test]
fn wrong_scope_and_unknown_key_have_their_own_errors() {
    let with = |from: &str, to: &str| {
        let mut get = get_object();
        let value = authorization(GET_SIGNED, GET_SIGNATURE).replace(from, to);
        set(&mut get, "authorization", &value);
        authenticate(&get).unwrap_err()
    };
    let region = with("us-east-1", "eu-west-1");
    assert!(matches!(&region, AuthError::WrongRegion { expected, .. } if expected == "us-east-1"));
    assert_eq!(
        region.message(),
        "The authorization header is malformed; the region 'eu-west-1' is wrong; \
         expecting 'us-east-1'."
    );
    assert!(matches!(with("/s3/", "/s3express/"), AuthError::S3Express));
    let unknown = with(ACCESS_KEY, "AKIANOBODY");
    assert!(
        matches!(&unknown, AuthError::UnknownAccessKey { access_key_id } if access_key_id == "AKIANOBODY")
    );
    let wrong = with("Signature=f", "Signature=e");
    let AuthError::SignatureDoesNotMatch(detail) = &wrong else {
        panic!("{wrong:?}");
    };
    assert!(
        detail
            .canonical_request
            .starts_with("GET\n/test.txt\n\nhost:examplebucket")
    );
    assert!(
        detail
            .string_to_sign
            .ends_with("\n7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972")
    );
    assert!(!format!("{wrong:?} {wrong}").contains("test.txt"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn presigned_refusals() {
    type Expected = fn(&AuthError) -> bool;
    let malformed: Expected = |e| {
        matches!(
            e,
            AuthError::Malformed {
                place: Place::Query,
                ..
            }
        )
    };
    let conflict: Expected = |e| matches!(e, AuthError::ConflictingParameter { .. });
    let cases: &[(&str, &str, Expected)] = &[
        ("X-Amz-Expires=86400", "X-Amz-Expires=0", malformed),
        ("X-Amz-Expires=86400", "X-Amz-Expires=604801", malformed),
        ("X-Amz-Expires=86400", "X-Amz-Expires=-1", malformed),
        ("X-Amz-Expires=86400", "X-Amz-Expires=%2B1", malformed),
        ("X-Amz-Expires=86400", "X-Amz-Expires=", malformed),
        ("&X-Amz-Expires=86400", "", malformed),
        ("&X-Amz-Date=20130524T000000Z", "", malformed),
        (
            "X-Amz-Date=20130524T000000Z",
            "X-Amz-Date=20130524",
            malformed,
        ),
        ("&X-Amz-SignedHeaders=host", "", malformed),
        (
            "X-Amz-SignedHeaders=host",
            "X-Amz-SignedHeaders=HOST",
            malformed,
        ),
        (
            "&X-Amz-Expires=86400",
            "&X-Amz-Expires=86400&X-Amz-Expires=86400",
            malformed,
        ),
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1", malformed),
        ("aeeed9bb", "AEEED9BB", malformed),
        ("%2F20130524%2F", "%2F20130525%2F", malformed),
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256", |e| {
            matches!(e, AuthError::SigV4a)
        }),
        ("us-east-1", "eu-west-1", |e| {
            matches!(e, AuthError::WrongRegion { .. })
        }),
        ("%2Fs3%2F", "%2Fs3express%2F", |e| {
            matches!(e, AuthError::S3Express)
        }),
        ("&X-Amz-Date", "&X-Amz-Security-Token=t&X-Amz-Date", |e| {
            matches!(e, AuthError::SessionToken)
        }),
        (
            "&X-Amz-Date",
            "&x-amz-date=20130524T000000Z&X-Amz-Date",
            conflict,
        ),
        (
            "&X-Amz-Date",
            "&x-amz-acl=a&x-amz-acl=a&X-Amz-Date",
            conflict,
        ),
        (
            "&X-Amz-Date",
            "&x-amz-acl=a&X-Amz-Acl=b&X-Amz-Date",
            conflict,
        ),
        ("&X-Amz-Date", "&x-amz-meta-%20=a&X-Amz-Date", conflict),
        ("&X-Amz-Date", "&x-amz-acl=%0d%0a&X-Amz-Date", conflict),
        ("&X-Amz-Date", "&x-amz-acl=private&X-Amz-Date", |e| {
            matches!(e, AuthError::SignatureDoesNotMatch(_))
        }),
        ("&X-Amz-Date", "&Signature=s&X-Amz-Date", |e| {
            matches!(e, AuthError::MultipleMechanisms)
        }),
        ("EXAMPLE%2F", "UNKNOWN%2F", |e| {
            matches!(e, AuthError::UnknownAccessKey { .. })
        }),
    ];
    for (from, to, expected) in cases {
        let error = authenticate(&presigned(&PRESIGNED.replace(from, to))).unwrap_err();
        assert!(expected(&error), "{from} -> {to}: {error:?}");
    }
    let v2 = presigned("/test.txt?AWSAccessKeyId=A&Signature=s&Expires=1");
    let error = authenticate(&v2).unwrap_err();
    assert_eq!(
        error.message(),
        "The authorization mechanism you have provided is not supported. Please use \
         AWS4-HMAC-SHA256."
    );
}

/// CVE-2026-97731: a header added to a presigned request must not take effect.
#[test]
fn headers_added_to_a_presigned_request_are_refused() {
    let mut get = presigned(PRESIGNED);
    set(&mut get, "x-amz-server-side-encryption", "AES256");
    let error = authenticate(&get).unwrap_err();
    assert!(
        matches!(error, AuthError::UnsignedHeaders { .. }),
        "{error:?}"
    );
    assert_eq!(
        error.message(),
        "There were headers present in the request which were not signed"
    );
    // Harmless where it is no x-amz header; a contradiction is refused before anything else.
    let mut get = presigned(PRESIGNED);
    set(&mut get, "content-type", "text/plain");
    assert!(authenticate(&get).is_ok());
    set(&mut get, "x-amz-date", "20130524T000001Z");
    let error = authenticate(&get).unwrap_err();
    assert!(matches!(error, AuthError::ConflictingParameter { name } if name == "x-amz-date"));
}

#[test]
fn one_authenticator_gives_the_same_verdicts_from_its_cache() {
    let authenticator = authenticator();
    let mut wrong = get_object();
    let signature = GET_SIGNATURE.replace('f', "e");
    set(
        &mut wrong,
        "authorization",
        &authorization(GET_SIGNED, &signature),
    );
    for _ in 0..3 {
        let client = OneClient::new();
        assert!(
            authenticator
                .authenticate(&get_object(), &client, now())
                .is_ok()
        );
        assert!(authenticator.authenticate(&wrong, &client, now()).is_err());
    }
}
