//! Every situation of the SSE error table that the headers alone decide, with its exact answer.

use super::*;

const KEY: &str = "pO3upElrwuEXSoFwCfnZPdSsmt/xWeFa0N9KgDijwVs=";
const KEY_MD5: &str = "eB6Dl8X1oP1PuzLxwZbXGw==";

fn map(pairs: &[(HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, value.parse().unwrap());
    }
    headers
}

fn key_md5() -> String {
    let key = BASE64.decode(KEY.as_bytes()).unwrap();
    BASE64.encode(&Md5::digest(key))
}

#[test]
fn modes_are_told_apart() {
    assert!(matches!(
        SseRequest::parse(&HeaderMap::new()),
        Ok(SseRequest::None)
    ));
    assert!(matches!(
        SseRequest::parse(&map(&[(SSE, "AES256")])),
        Ok(SseRequest::Managed)
    ));
    let headers = map(&[(SSE, "AES256"), (SSE_BUCKET_KEY_ENABLED, "false")]);
    assert!(matches!(
        SseRequest::parse(&headers),
        Ok(SseRequest::Managed)
    ));

    let headers = map(&[(SSE, "aws:kms")]);
    let Ok(SseRequest::Named {
        key_id: None,
        context: None,
        bucket_key: None,
    }) = SseRequest::parse(&headers)
    else {
        panic!("a named key without details");
    };

    let context = BASE64.encode(b"{\"app\":\"x\"}");
    let headers = map(&[
        (SSE, "aws:kms"),
        (SSE_KMS_KEY_ID, "alias/app"),
        (SSE_CONTEXT, &context),
        (SSE_BUCKET_KEY_ENABLED, "True"),
    ]);
    let Ok(SseRequest::Named {
        key_id,
        context,
        bucket_key,
    }) = SseRequest::parse(&headers)
    else {
        panic!("a named key with details");
    };
    assert_eq!(key_id.as_deref(), Some("alias/app"));
    assert_eq!(
        context.unwrap().pairs(),
        [("app".to_owned(), "x".to_owned())]
    );
    assert_eq!(bucket_key, Some(true));
}

#[test]
fn customer_keys_are_read_and_never_shown() {
    let md5 = key_md5();
    let headers = map(&[
        (SSE_CUSTOMER_ALGORITHM, "AES256"),
        (SSE_CUSTOMER_KEY, KEY),
        (SSE_CUSTOMER_KEY_MD5, &md5),
    ]);
    let request = SseRequest::parse(&headers).unwrap();
    assert_eq!(format!("{request:?}"), "Customer(CustomerKey([redacted]))");
    let key = CustomerKey::parse(&headers).unwrap().unwrap();
    assert_eq!(key.over(false).unwrap_err(), SseError::CustomerKeyInClear);
    let key = CustomerKey::parse(&headers).unwrap().unwrap();
    let key = key.over(true).unwrap();
    assert_eq!(
        (BASE64.encode(key.expose()), key.md5()),
        (KEY.to_owned(), md5.clone())
    );
    assert!(CustomerKey::parse_copy_source(&headers).unwrap().is_none());

    let headers = map(&[
        (COPY_SOURCE_SSE_CUSTOMER_ALGORITHM, "AES256"),
        (COPY_SOURCE_SSE_CUSTOMER_KEY, KEY),
        (COPY_SOURCE_SSE_CUSTOMER_KEY_MD5, &md5),
    ]);
    assert!(CustomerKey::parse_copy_source(&headers).unwrap().is_some());
    assert!(matches!(SseRequest::parse(&headers), Ok(SseRequest::None)));
}

/// 400 `InvalidArgument` with this message, which holds no byte of the key.
fn refuses(message: &str, pairs: &[(HeaderName, &str)]) {
    let error = SseRequest::parse(&map(pairs)).unwrap_err().to_s3();
    assert_eq!(error.message, message, "{pairs:?}");
    assert_eq!(error.code.as_str(), "InvalidArgument");
    assert_eq!(error.code.status(), 400);
    assert!(!format!("{error:?}").contains(KEY));
}

#[test]
fn customer_keys_are_refused_as_in_the_table() {
    let (algorithm, key) = ((SSE_CUSTOMER_ALGORITHM, "AES256"), (SSE_CUSTOMER_KEY, KEY));
    let md5 = (SSE_CUSTOMER_KEY_MD5, KEY_MD5);
    let with_md5 = |md5| [algorithm.clone(), key.clone(), (SSE_CUSTOMER_KEY_MD5, md5)];

    refuses(CUSTOMER_ALGORITHM, &[key.clone(), md5.clone()]);
    refuses(CUSTOMER_ALGORITHM, std::slice::from_ref(&md5));
    let lower = (SSE_CUSTOMER_ALGORITHM, "aes256");
    refuses(CUSTOMER_ALGORITHM, &[lower, key.clone(), md5.clone()]);
    refuses(CUSTOMER_KEY_MISSING, &[algorithm.clone(), md5.clone()]);
    refuses(CUSTOMER_KEY_MISSING, std::slice::from_ref(&algorithm));
    refuses(CUSTOMER_KEY_MD5_MISSING, &[algorithm.clone(), key.clone()]);

    let (short, long, no_base64) = (
        BASE64.encode(&[7; 31]),
        BASE64.encode(&[7; 33]),
        "*".repeat(44),
    );
    for key in [&short, &long, &no_base64, ""] {
        let invalid = "The secret key was invalid for the specified algorithm.";
        refuses(
            invalid,
            &[algorithm.clone(), (SSE_CUSTOMER_KEY, key), md5.clone()],
        );
    }
    refuses(CUSTOMER_KEY_MISMATCH, &with_md5("AAAAAAAAAAAAAAAAAAAAAA=="));
    refuses(CUSTOMER_KEY_MISMATCH, &with_md5("x"));
    refuses(
        TWO_METHODS,
        &[algorithm.clone(), key.clone(), md5.clone(), (SSE, "AES256")],
    );
    refuses(TWO_METHODS, &[algorithm.clone(), (SSE_KMS_KEY_ID, "k")]);
}

#[test]
fn named_keys_are_refused_as_in_the_table() {
    refuses(KMS_ONLY, &[(SSE_KMS_KEY_ID, "k")]);
    refuses(KMS_ONLY, &[(SSE, "AES256"), (SSE_KMS_KEY_ID, "k")]);
    refuses(KMS_ONLY, &[(SSE, "AES256"), (SSE_CONTEXT, "e30=")]);
    refuses(KMS_ONLY, &[(SSE_BUCKET_KEY_ENABLED, "true")]);
    refuses(CONTEXT_MALFORMED, &[(SSE, "aws:kms"), (SSE_CONTEXT, "{}")]);
    refuses(
        "The key id is not valid.",
        &[(SSE, "aws:kms"), (SSE_KMS_KEY_ID, "")],
    );
    let maybe = [(SSE, "aws:kms"), (SSE_BUCKET_KEY_ENABLED, "maybe")];
    refuses("The value must be true or false.", &maybe);
    for method in ["aws:fsx", "aes256", "AWS:KMS", ""] {
        refuses(
            "The encryption method specified is not supported",
            &[(SSE, method)],
        );
    }
}

#[test]
fn other_codes() {
    let s3 = |pairs: &[(HeaderName, &str)]| SseRequest::parse(&map(pairs)).unwrap_err().to_s3();
    assert_eq!(s3(&[(SSE, "aws:kms:dsse")]).code.status(), 501);
    assert_eq!(
        s3(&[(SSE, "AES256"), (SSE, "AES256")]).code,
        ErrorCode::InvalidRequest
    );
    let clear = SseError::CustomerKeyInClear.to_s3();
    assert_eq!(
        (clear.code, clear.message.as_ref()),
        (ErrorCode::InvalidRequest, CUSTOMER_KEY_IN_CLEAR)
    );
}

#[test]
fn reads_take_customer_keys_only() {
    assert_eq!(refuse_on_read(&map(&[(SSE_CUSTOMER_KEY, KEY)])), Ok(()));
    for name in SERVER_SIDE {
        let error = refuse_on_read(&map(&[(name, "x")])).unwrap_err().to_s3();
        assert_eq!(
            (error.code, error.message.as_ref()),
            (ErrorCode::InvalidArgument, ON_READ)
        );
    }
}
