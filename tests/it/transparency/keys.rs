//! Object keys are bytes: nothing resolves, collapses or decodes them twice.

use s3seal::s3::uri::encode_path;

use super::pair::{Pair, Way};

/// Keys that proxies and clients like to break.
fn odd_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "a//b",
        "//",
        "/",
        "/leading",
        "trailing/",
        "a/./b",
        "a/../b",
        ".",
        "..",
        "./a",
        "../a",
        "a+b",
        "a b",
        " a",
        "a%2Fb",
        "a%252Fb",
        "%",
        "100%",
        "a&b=c",
        "a?b",
        "a#b",
        "a;b",
        "a:b",
        "a@b",
        "a,b",
        "a'b\"c",
        "a<b>c",
        "(a)!*~",
        "a\\b",
        "[a]{b}|c^d`e",
        "\u{fc}ber",
        "u\u{308}ber",
        "\u{1f980}",
        "\u{65e5}\u{672c}\u{8a9e}",
        "a\tb",
        "a\u{1}b",
        "$a$",
        "AWS4-HMAC-SHA256",
    ]
    .map(str::to_owned)
    .into();
    keys.push("\u{e9}".repeat(100));
    keys.push(
        (0..5)
            .map(|_| "s".repeat(200))
            .collect::<Vec<_>>()
            .join("/")
            + &"x".repeat(20),
    );
    assert_eq!(keys.last().unwrap().len(), 1024);
    keys
}

pub async fn odd_keys_come_back_byte_by_byte(pair: &Pair) {
    let mut stored = Vec::new();
    for key in odd_keys() {
        let rest = format!("/{}", encode_path(key.as_bytes()));
        let body = format!("body of {key:?}");
        let put = pair
            .both(|way| way.draft("PUT", &rest).body(body.clone()))
            .await;
        assert_eq!(put.direct.status, put.proxied.status, "{key:?}: {put:?}");
        if !put.direct.status.is_success() {
            continue; // the server's own limits, told alike
        }
        let read = pair.both(|way| way.draft("GET", &rest)).await;
        assert_eq!(read.direct.status, read.proxied.status, "{key:?}: {read:?}");
        // D14: where the server drops the body of a folder, both ways get none.
        if read.direct.status.is_success() {
            assert_eq!(read.direct.body, read.proxied.body, "{key:?}");
            stored.push((key, rest, body));
        }
    }
    assert!(stored.len() >= 25, "{}", stored.len());
    let listing = |way: &Way| way.draft("GET", "?list-type=2&encoding-type=url&max-keys=1000");
    let listed = pair.both(listing).await;
    // SeaweedFS resolves `..`, up to the bucket itself.
    let keys = |body: &[u8], way: &Way| {
        let keys = keys_of(body).into_iter();
        keys.map(|key| key.replace(&way.bucket, "bucket"))
            .collect::<Vec<_>>()
    };
    let direct = keys(&listed.direct.body, &pair.direct);
    assert_eq!(direct, keys(&listed.proxied.body, &pair.proxied));
    // Where the server takes two keys for one, the binding refuses the second.
    for (key, rest, body) in &stored {
        let read = pair.both(|way| way.draft("GET", rest)).await;
        let is_folder = key.ends_with('/') && read.direct.body.is_empty();
        if read.direct.body == body.as_bytes() || is_folder {
            assert_eq!(read.direct.body, read.proxied.body, "{key:?}");
        } else {
            assert_eq!(read.proxied.status, 500, "{key:?}: {read:?}");
        }
    }
}

/// Ceph's gateway takes every key as it is.
pub async fn every_odd_key_is_stored_and_listed(pair: &Pair) {
    for key in odd_keys() {
        let rest = format!("/{}", encode_path(key.as_bytes()));
        let put = pair
            .proxied
            .draft("PUT", &rest)
            .body(format!("body of {key:?}"))
            .send()
            .await;
        assert_eq!(put.status, 200, "{key:?}: {put:?}");
    }
    let query = "?list-type=2&encoding-type=url&max-keys=1000";
    let listed = pair.proxied.draft("GET", query).send().await;
    let mut keys: Vec<_> = keys_of(&listed.body)
        .iter()
        .map(|key| decoded(key))
        .collect();
    let mut expected = odd_keys();
    keys.sort();
    expected.sort();
    assert_eq!(keys, expected);
    for key in odd_keys() {
        let rest = format!("/{}", encode_path(key.as_bytes()));
        for method in ["GET", "HEAD"] {
            let read = pair.proxied.draft(method, &rest).send().await;
            let body = if method == "GET" {
                format!("body of {key:?}")
            } else {
                String::new()
            };
            assert_eq!(
                (read.status.as_u16(), &read.body[..]),
                (200, body.as_bytes()),
                "{key:?}"
            );
        }
    }
}

pub async fn a_key_that_is_too_long_is_refused(pair: &Pair) {
    let key = format!("/{}", "k".repeat(1_025));
    let put = pair.proxied.draft("PUT", &key).body("x").send().await;
    assert_eq!(
        (put.status.as_u16(), put.code().as_str()),
        (400, "KeyTooLongError")
    );
}

fn keys_of(document: &[u8]) -> Vec<String> {
    let text = String::from_utf8(document.to_vec()).unwrap();
    let keys = text.split("<Key>").skip(1);
    keys.map(|rest| unescaped(rest.split("</Key>").next().unwrap()))
        .collect()
}

fn decoded(key: &str) -> String {
    percent_encoding::percent_decode_str(key)
        .decode_utf8_lossy()
        .into_owned()
}

fn unescaped(text: &str) -> String {
    let entities = [
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ];
    entities
        .iter()
        .fold(text.to_owned(), |text, (entity, plain)| {
            text.replace(entity, plain)
        })
}
