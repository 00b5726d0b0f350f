//! Single objects.

use std::time::Duration;

use s3seal::s3::uri::encode_path;

use super::pair::{Pair, Way, plaintext};
use crate::support::chunked::{self, Framing};
use crate::support::client::PayloadHash;
use crate::support::http1::Wire;

pub async fn user_metadata_and_content_headers_come_back_as_sent(pair: &Pair) {
    for len in [0, 1_000, 200_000] {
        pair.same_success("put", |way| {
            way.draft("PUT", "/key")
                .header("content-type", "text/x-promise; charset=utf-8")
                .header("cache-control", "max-age=60, private")
                .header("content-disposition", "attachment; filename=\"a b.txt\"")
                .header("content-encoding", "gzip")
                .header("content-language", "de, en")
                .header("expires", "Thu, 01 Dec 2033 16:00:00 GMT")
                .header("x-amz-meta-color", "blue green")
                .header("x-amz-meta-empty-not", "=?utf-8?b?w7w=?=")
                .header("x-amz-meta-mixedcase", "Value")
                .body(plaintext(len))
        })
        .await;
        for method in ["GET", "HEAD"] {
            let read = pair
                .same_success(method, |way| way.draft(method, "/key"))
                .await;
            let shown = read.proxied.header("x-amz-meta-color");
            assert_eq!(shown, Some("blue green"));
            assert_eq!(
                read.proxied.header("content-length"),
                Some(len.to_string().as_str())
            );
        }
    }
}

/// SeaweedFS guesses a type from the bytes, which are ciphertext.
pub async fn no_content_type_is_made_up(pair: &Pair) {
    for body in ["no headers at all", "<html>"] {
        pair.same_success("put", |way| way.draft("PUT", "/plain").body(body))
            .await;
        pair.same_success("defaults", |way| way.draft("GET", "/plain"))
            .await;
    }
}

pub async fn response_overrides_work(pair: &Pair) {
    pair.put("/key", plaintext(100_000)).await;
    let query = "/key?response-cache-control=no-cache&response-content-disposition=inline%3B%20\
                 filename%3D%22x%22&response-content-language=fr&response-content-type=text%2Fplain";
    let read = pair
        .same_success("overrides", |way| way.draft("GET", query))
        .await;
    assert_eq!(read.proxied.header("content-type"), Some("text/plain"));
    assert_eq!(read.proxied.header("cache-control"), Some("no-cache"));
    assert_eq!(read.proxied.body, plaintext(100_000));
}

pub async fn empty_objects_come_back_empty(pair: &Pair) {
    pair.put("/empty", "").await;
    for method in ["GET", "HEAD"] {
        let read = pair
            .same_success(method, |way| way.draft(method, "/empty"))
            .await;
        assert_eq!(read.proxied.header("content-length"), Some("0"));
    }
}

pub async fn errors_of_objects_pass(pair: &Pair) {
    for method in ["GET", "HEAD"] {
        let missing = pair.same(method, |way| way.draft(method, "/missing")).await;
        assert_eq!(missing.proxied.status, 404);
    }
    let read = |way: &Way| {
        way.client
            .draft("GET", &format!("/{}-none/key", way.bucket))
    };
    assert_eq!(pair.same("no bucket", read).await.proxied.status, 404);
}

pub async fn deletes_pass(pair: &Pair) {
    for key in ["a", "b c", "d&e", "f"] {
        pair.put(&format!("/{}", encode_path(key.as_bytes())), "x")
            .await;
    }
    pair.same_success("delete", |way| way.draft("DELETE", "/a"))
        .await;
    pair.same("delete again", |way| way.draft("DELETE", "/a"))
        .await;
    let document =
        "<Delete><Object><Key>b c</Key></Object><Object><Key>d&amp;e</Key></Object></Delete>";
    let several = |way: &Way| {
        let draft = way
            .draft("POST", "?delete")
            .header("content-md5", &chunked::md5(document.as_bytes()));
        draft
            .header("content-type", "application/xml")
            .body(document)
    };
    let answers = pair.both(several).await;
    assert_eq!(answers.direct.status, answers.proxied.status, "{answers:?}");
    for (key, status) in [("/b%20c", 404), ("/d%26e", 404), ("/f", 200)] {
        let read = pair.same(key, |way| way.draft("GET", key)).await;
        assert_eq!(read.proxied.status, status, "{key}");
    }
}

pub async fn presigned_urls_work(pair: &Pair) {
    let minute = Duration::from_mins(1);
    let put = |way: &Way| {
        way.draft("PUT", "/key")
            .presign(minute)
            .body(plaintext(70_000))
    };
    pair.same_success("presigned put", put).await;
    let get = |way: &Way| {
        way.draft("GET", "/key?response-content-type=a%2Fb")
            .presign(minute)
    };
    let read = pair.same_success("presigned get", get).await;
    assert_eq!(read.proxied.body, plaintext(70_000));
}

/// Not a comparison: some servers refuse modes that the proxy takes.
pub async fn every_payload_mode_stores_the_same(pair: &Pair) {
    for len in [0, 1_000, 65_536, 200_000, 2 << 20] {
        let body = plaintext(len);
        for payload in [PayloadHash::OfBody, PayloadHash::Unsigned] {
            let put = |way: &Way| {
                way.draft("PUT", "/key")
                    .body(body.clone())
                    .payload(payload.clone())
            };
            pair.same_success("put", put).await;
            let read = pair
                .same_success("get", |way| way.draft("GET", "/key"))
                .await;
            assert_eq!(read.proxied.body, body);
        }
        for framing in Framing::ALL {
            let way = &pair.proxied;
            let (head, framed) =
                chunked::put(&way.client, &format!("/{}/key", way.bucket), &body, framing);
            let mut wire =
                Wire::connect(head.uri().authority().unwrap().as_str().parse().unwrap()).await;
            wire.send_head(&head).await;
            wire.send(&framed).await;
            let answer = wire.head().await.unwrap();
            assert_eq!(answer.status(), 200, "{framing:?} {len}: {answer:?}");
            let read = way.draft("GET", "/key").send().await;
            assert_eq!(read.body, body, "{framing:?}");
            assert_eq!(read.header("content-encoding"), None, "{framing:?}");
        }
    }
}

pub async fn sent_checksums_come_back(pair: &Pair) {
    let body = plaintext(10_000);
    let crc32 = chunked::crc32(&body);
    let put = |way: &Way| {
        way.draft("PUT", "/key")
            .header("x-amz-checksum-crc32", &crc32)
            .body(body.clone())
    };
    let stored = pair.both(put).await;
    assert_eq!(
        stored.proxied.header("x-amz-checksum-crc32"),
        Some(crc32.as_str())
    );
    for method in ["GET", "HEAD"] {
        let read = |way: &Way| {
            way.draft(method, "/key")
                .header("x-amz-checksum-mode", "ENABLED")
        };
        let read = pair.both(read).await;
        let direct = read.direct.header("x-amz-checksum-crc32");
        assert_eq!(
            read.proxied.header("x-amz-checksum-crc32"),
            Some(crc32.as_str())
        );
        assert!(direct.is_none_or(|direct| direct == crc32));
    }
}

pub async fn tags_pass(pair: &Pair) {
    let put = |way: &Way| {
        way.draft("PUT", "/key")
            .header("x-amz-tagging", "a=1&b=x%20y")
    };
    pair.same_success("put with tags", |way| put(way).body(plaintext(1_000)))
        .await;
    for method in ["GET", "HEAD"] {
        pair.same_success(method, |way| way.draft(method, "/key"))
            .await;
    }
    pair.same_success("get tags", |way| way.draft("GET", "/key?tagging"))
        .await;
    let tags = "<Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><TagSet><Tag><Key>c</Key>\
                <Value>2+2=x@y_z</Value></Tag></TagSet></Tagging>";
    let md5 = chunked::md5(tags.as_bytes());
    let put = |way: &Way| {
        way.draft("PUT", "/key?tagging")
            .header("content-md5", &md5)
            .body(tags)
    };
    pair.same_success("put tags", put).await;
    let read = pair
        .same_success("get tags", |way| way.draft("GET", "/key?tagging"))
        .await;
    assert_eq!(read.proxied.element("Key"), "c");
    pair.same_success("delete tags", |way| way.draft("DELETE", "/key?tagging"))
        .await;
    pair.same_success("get no tags", |way| way.draft("GET", "/key?tagging"))
        .await;
    let read = pair
        .same_success("the object is untouched", |way| way.draft("GET", "/key"))
        .await;
    assert_eq!(read.proxied.body, plaintext(1_000));
}
