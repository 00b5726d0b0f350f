//! Object keys are bytes (s3-operations 6): nothing resolves, collapses or decodes them twice.

use s3seal::s3::uri::{encode_component, encode_path};

use super::pair::{Pair, Way};

/// Keys that proxies and clients like to break.
fn odd_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "a//b", "//", "/", "/leading", "trailing/", "a/./b", "a/../b", ".", "..", "./a", "../a",
        "a+b", "a b", " a", "a%2Fb", "a%252Fb", "%", "100%", "a&b=c", "a?b", "a#b", "a;b", "a:b", "a@b", "a,b",
        "a'b\"c", "a<b>c", "(a)!*~", "a\\b", "[a]{b}|c^d`e", "\u{fc}ber", "u\u{308}ber", "\u{1f980}",
        "\u{65e5}\u{672c}\u{8a9e}", "a\tb", "a\u{1}b", "$a$", "AWS4-HMAC-SHA256",
    ]
    .map(str::to_owned)
    .into();
    keys.push("\u{e9}".repeat(100));
    keys.push((0..5).map(|_| "s".repeat(200)).collect::<Vec<_>>().join("/") + &"x".repeat(20));
    assert_eq!(keys.last().unwrap().len(), 1024);
    keys
}

pub async fn odd_keys_come_back_byte_by_byte(pair: &Pair) {
    let mut stored = Vec::new();
    for key in odd_keys() {
        let rest = format!("/{}", encode_path(key.as_bytes()));
        let body = format!("body of {key:?}");
        let put = pair.both(|way| way.draft("PUT", &rest).body(body.clone())).await;
        assert_eq!(put.direct.status, put.proxied.status, "{key:?}: {put:?}");
        if !put.direct.status.is_success() {
            continue; // the server's own limits, told alike
        }
        let read = pair.both(|way| way.draft("GET", &rest)).await;
        assert_eq!(read.direct.status, read.proxied.status, "{key:?}: {read:?}");
        // D14: where the server drops the body of a folder, both ways get none.
        assert_eq!(read.direct.body, read.proxied.body, "{key:?}");
        stored.push((key, rest, body));
    }
    assert!(stored.len() >= 25, "{}", stored.len());
    let listing = |way: &Way| way.draft("GET", "?list-type=2&encoding-type=url&max-keys=1000");
    let listed = pair.both(listing).await;
    assert_eq!(keys_of(&listed.direct.body), keys_of(&listed.proxied.body));
    // Every object is where its key says: none has overwritten another.
    let keys = keys_of(&listed.proxied.body);
    for (key, rest, body) in &stored {
        let read = pair.both(|way| way.draft("GET", rest)).await;
        assert_eq!(read.direct.body, read.proxied.body, "{key:?}");
        if read.direct.body == body.as_bytes() {
            assert_eq!(read.proxied.body, body.as_bytes(), "{key:?}");
        }
        let names = [encode_path(key.as_bytes()), encode_component(key.as_bytes())];
        let is_listed = names.iter().any(|name| keys.contains(&name.to_string()));
        if !is_listed {
            let name = key.replace(' ', "+");
            assert!(keys.iter().any(|other| decoded(other) == *key || decoded(other) == name), "{key:?} in {keys:?}");
        }
    }
}

pub async fn a_key_that_is_too_long_is_refused(pair: &Pair) {
    let key = format!("/{}", "k".repeat(1_025));
    let put = pair.proxied.draft("PUT", &key).body("x").send().await;
    assert_eq!((put.status.as_u16(), put.code().as_str()), (400, "KeyTooLongError"));
}

fn keys_of(document: &[u8]) -> Vec<String> {
    let text = String::from_utf8(document.to_vec()).unwrap();
    let keys = text.split("<Key>").skip(1);
    keys.map(|rest| rest.split("</Key>").next().unwrap().to_owned()).collect()
}

fn decoded(key: &str) -> String {
    percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned()
}
