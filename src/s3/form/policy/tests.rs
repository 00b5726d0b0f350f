use super::*;

const NOW: i64 = 1_700_000_000;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW).unwrap()
}

fn fields(pairs: &[(&str, &str)]) -> FormFields {
    let mut fields = FormFields::default();
    for (name, value) in pairs {
        fields.insert(name, value.as_bytes().to_vec()).unwrap();
    }
    fields
}

fn document(conditions: &str) -> String {
    format!(r#"{{"expiration": "2024-01-01T00:00:00.000Z", "conditions": [{conditions}]}}"#)
}

fn check(conditions: &str, pairs: &[(&str, &str)]) -> Result<LengthRange, FormError> {
    let policy = PostPolicy::parse(document(conditions).as_bytes())?;
    policy.check(&fields(pairs), "bucket", now())
}

fn message(checked: Result<LengthRange, FormError>) -> String {
    checked.unwrap_err().to_s3().message.into_owned()
}

const BUCKET_HOLDS: &str = r#"{"bucket": "bucket"}"#;

#[test]
fn conditions_hold_or_are_named() {
    for (condition, value, holds) in [
        (r#"{"key": "a/b"}"#, "a/b", true),
        (r#"{"KEY": "a/b"}"#, "a/b", true),
        (r#"{"key": "a/b"}"#, "a/B", false),
        (r#"["eq", "$key", "a"]"#, "a", true),
        (r#"["EQ", "$Key", "a"]"#, "ab", false),
        (r#"["starts-with", "$key", "a/"]"#, "a/b", true),
        (r#"["StArTs-WiTh", "$KeY", ""]"#, "", true),
        (r#"["starts-with", "$key", "a/"]"#, "b/a/", false),
        (r#"["starts-with", "$key", "\"ü"]"#, "\"ü.png", true),
        (
            r#"["starts-with", "$key", "a/"], {"key": "a/b"}"#,
            "a/c",
            false,
        ),
    ] {
        let checked = check(&format!("{BUCKET_HOLDS}, {condition}"), &[("key", value)]);
        assert_eq!(checked.is_ok(), holds, "{condition} of {value}");
    }
    let failed = check(r#"["Starts-With", "$Key", "a\"b"]"#, &[("key", "x")]);
    assert_eq!(
        message(failed),
        r#"Invalid according to Policy: Policy Condition failed: ["starts-with", "$key", "a\"b"]"#
    );
}

#[test]
fn a_condition_on_a_field_that_is_not_there_does_not_hold() {
    for condition in [r#"{"acl": ""}"#, r#"["starts-with", "$acl", ""]"#] {
        let checked = check(&format!("{BUCKET_HOLDS}, {condition}"), &[]);
        assert!(matches!(checked, Err(FormError::Condition { .. })));
    }
}

#[test]
fn every_input_is_mentioned_the_bucket_included() {
    let free = [
        ("x-ignore-me", "1"),
        ("policy", "p"),
        ("x-amz-signature", "s"),
    ];
    assert_eq!(check(BUCKET_HOLDS, &free), Ok(LengthRange::ANY));
    let extra = check(BUCKET_HOLDS, &[("x-amz-meta-a", "1"), ("acl", "private")]);
    assert_eq!(
        message(extra),
        "Invalid according to Policy: Extra input fields: x-amz-meta-a, acl"
    );
    assert_eq!(
        message(check("", &[])),
        "Invalid according to Policy: Extra input fields: bucket"
    );
    for (condition, pairs) in [
        (r#"{"bucket": "other"}"#, &[] as &[(&str, &str)]),
        (r#"{"bucket": "other"}"#, &[("bucket", "other")]),
        (BUCKET_HOLDS, &[("bucket", "other")]),
    ] {
        let checked = check(condition, pairs);
        assert!(matches!(checked, Err(FormError::Condition { .. })));
    }
}

#[test]
fn each_type_of_a_list_must_be_allowed() {
    let image = format!(r#"{BUCKET_HOLDS}, ["starts-with", "$Content-Type", "image/"]"#);
    for (value, holds) in [
        ("image/png", true),
        ("image/png, image/gif", true),
        ("image/png,text/html", false),
        ("text/html", false),
    ] {
        assert_eq!(
            check(&image, &[("content-type", value)]).is_ok(),
            holds,
            "{value}"
        );
    }
}

#[test]
fn lengths_are_between_all_ranges() {
    let both = format!(
        r#"{BUCKET_HOLDS}, ["content-length-range", 2, 10], ["content-length-range", "0", "5"]"#
    );
    let lengths = check(&both, &[]).unwrap();
    assert_eq!(
        lengths.check(1),
        Err(FormError::TooSmall { len: 1, min: 2 })
    );
    assert_eq!(lengths.check(2), Ok(()));
    assert_eq!(lengths.check(5), Ok(()));
    assert_eq!(
        lengths.check(6),
        Err(FormError::TooLarge { len: 6, max: 5 })
    );
}

#[test]
fn a_policy_ends_when_it_says() {
    for (expiration, holds) in [
        ("2023-11-14T22:13:21Z", true),
        ("2023-11-14T22:13:20Z", false),
        ("2023-11-14T22:13:20.500Z", true),
        ("2023-11-14T23:13:20+01:00", false),
        ("1999-01-01T00:00:00.000Z", false),
    ] {
        let text = format!(r#"{{"expiration": "{expiration}", "conditions": [{BUCKET_HOLDS}]}}"#);
        let policy = PostPolicy::parse(text.as_bytes()).unwrap();
        let checked = policy.check(&fields(&[]), "bucket", now());
        assert_eq!(checked.is_ok(), holds, "{expiration}");
        if !holds {
            let expired = "Invalid according to Policy: Policy expired.";
            assert_eq!(message(checked), expired);
        }
    }
}

#[test]
fn what_is_no_policy_is_malformed() {
    for conditions in [
        "1",
        "\"\"",
        "[]",
        "{}",
        r#"{"a": "1", "b": "2"}"#,
        r#"{"a": 1}"#,
        r#"["eq", "key", "a"]"#,
        r#"["eq", "$key"]"#,
        r#"["eq", "$key", "a", "b"]"#,
        r#"["eq", "$key", 1]"#,
        r#"["matches", "$key", "a"]"#,
        r#"["content-length-range", -1, 5]"#,
        r#"["content-length-range", 1]"#,
        r#"["content-length-range", 1, 1.5]"#,
        r#"["content-length-range", "x", "y"]"#,
    ] {
        let parsed = PostPolicy::parse(document(conditions).as_bytes());
        assert!(matches!(parsed, Err(FormError::Policy(_))), "{conditions}");
    }
    for document in [
        "",
        "[]",
        "{}",
        r#"{"expiration": "2024-01-01T00:00:00Z"}"#,
        r#"{"conditions": []}"#,
        r#"{"EXPIRATION": "2024-01-01T00:00:00Z", "conditions": []}"#,
        r#"{"expiration": "2024-01-01", "conditions": []}"#,
        r#"{"expiration": "2024-01-01T00:00:00Z", "conditions": {}}"#,
        r#"{"expiration": "2024-01-01T00:00:00Z", "conditions": [], "x": 1}"#,
    ] {
        let parsed = PostPolicy::parse(document.as_bytes());
        assert!(matches!(parsed, Err(FormError::Policy(_))), "{document}");
    }
}
