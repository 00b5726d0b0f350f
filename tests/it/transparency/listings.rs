//! Listings: plaintext sizes, and nothing else changed.

use super::pair::{Pair, Way, plaintext};

const SIZES: [usize; 6] = [0, 1, 65_535, 65_536, 65_537, 300_000];

async fn fill(pair: &Pair) {
    for (index, len) in SIZES.into_iter().enumerate() {
        pair.put(&format!("/folder-{}/size-{len}", index % 2), plaintext(len))
            .await;
    }
    pair.put("/top%20%26%20more", plaintext(70_000)).await;
}

pub async fn listings_say_the_same(pair: &Pair) {
    fill(pair).await;
    for query in [
        "?list-type=2",
        "?list-type=2&encoding-type=url",
        "?list-type=2&prefix=folder-0%2F",
        "?list-type=2&delimiter=%2F",
        "?list-type=2&delimiter=%2F&prefix=folder-1%2F&fetch-owner=true",
        "?list-type=2&max-keys=0",
        "?list-type=2&prefix=nothing",
        "",
        "?encoding-type=url",
        "?delimiter=%2F&max-keys=2",
        "?prefix=folder-0%2F&marker=folder-0%2Fsize-0",
    ] {
        let listed = pair
            .same_success(query, |way| way.draft("GET", query))
            .await;
        assert!(listed.proxied.body.starts_with(b"<?xml"), "{query}");
    }
    let mut query = "?list-type=2&max-keys=3".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = pair.proxied.draft("GET", &query).send().await;
        seen.extend(entries(&page.body, "Contents"));
        if page.element("IsTruncated") != "true" {
            break;
        }
        let token = page.element("NextContinuationToken").replace("&amp;", "&");
        let token = s3seal::s3::uri::encode_component(token.as_bytes()).to_string();
        query = format!("?list-type=2&max-keys=3&continuation-token={token}");
    }
    assert_eq!(seen.len(), SIZES.len() + 1);
}

pub async fn listing_sizes_equal_plaintext_sizes(pair: &Pair) {
    fill(pair).await;
    for query in [
        "?list-type=2",
        "?list-type=2&encoding-type=url",
        "",
        "?encoding-type=url",
    ] {
        let listed = pair.proxied.draft("GET", query).send().await;
        let entries = entries(&listed.body, "Contents");
        assert_eq!(entries.len(), SIZES.len() + 1, "{query}");
        for entry in entries {
            check(&pair.proxied, &entry).await;
        }
    }
}

/// Size and ETag of an entry are those of HEAD and GET.
pub async fn check(way: &Way, entry: &str) {
    let text = |name: &str| {
        let rest = entry.split_once(&format!("<{name}>")).unwrap().1;
        rest.split('<')
            .next()
            .unwrap()
            .replace("&quot;", "\"")
            .replace("&#34;", "\"")
    };
    let key = text("Key").replace("&amp;", "&");
    // With encoding-type=url it is encoded already, and a plus is a blank.
    let is_encoded = key.contains('%') || key.contains('+');
    let key = if is_encoded {
        key.replace('+', "%20")
    } else {
        s3seal::s3::uri::encode_path(key.as_bytes()).to_string()
    };
    for method in ["HEAD", "GET"] {
        let read = way.draft(method, &format!("/{key}")).send().await;
        assert_eq!(read.status, 200, "{method} {key}");
        assert_eq!(
            read.header("content-length"),
            Some(text("Size").as_str()),
            "{method} {key}"
        );
        // Some servers list no ETag.
        if entry.contains("<ETag>") {
            let etag = read.header("etag").map(unquoted);
            assert_eq!(etag, Some(unquoted(&text("ETag"))), "{method} {key}");
        }
    }
    if let Some((_, len)) = key.rsplit_once("size-") {
        assert_eq!(text("Size"), len);
    }
}

fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

/// The insides of all elements of this name.
pub fn entries(document: &[u8], name: &str) -> Vec<String> {
    let text = String::from_utf8(document.to_vec()).unwrap();
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let inside = |rest: &str| rest.split(&close).next().unwrap().to_owned();
    text.split(&open).skip(1).map(inside).collect()
}
