//! DeleteObjects with conditions: what goes upstream.

use crate::support::chaos::{Chaos, Reply, Step};
use crate::support::chunked;
use crate::support::{Options, Proxy};

const HEX: &str = "0123456789abcdef0123456789abcdef";

fn deletion(condition: &str) -> String {
    format!("<Delete><Object><Key>k</Key>{condition}</Object></Delete>")
}

#[tokio::test]
async fn p65_conditions_of_deletions_go_up_in_the_upstreams_terms() {
    let chaos = Chaos::start().await;
    let proxy = Proxy::start(chaos.address, Options::default()).await;
    let dashed = deletion(&format!("<ETag>{HEX}-0</ETag>"));
    let plain = deletion(&format!("<ETag>{HEX}</ETag>"));
    let dated = deletion("<LastModifiedTime>Tue, 03 Feb 2026 04:05:06 GMT</LastModifiedTime>");
    for (sent, arrived) in [(&dashed, &plain), (&plain, &plain), (&dated, &dated)] {
        for (name, sum) in [
            ("content-md5", chunked::md5 as fn(&[u8]) -> String),
            ("x-amz-checksum-crc32", chunked::crc32),
        ] {
            chaos.forget();
            chaos.script([Step::Answer(Reply::new(200, "<DeleteResult/>"))]);
            let draft = proxy.client().draft("POST", "/bucket?delete");
            let draft = draft.header(name, &sum(sent.as_bytes()));
            let answer = draft.body(sent.clone()).send().await;
            assert_eq!(answer.status, 200, "{sent}: {answer:?}");
            let seen = chaos.only();
            assert_eq!(String::from_utf8_lossy(&seen.body), **arrived);
            let expected = sum(arrived.as_bytes());
            assert_eq!(seen.header(name), Some(expected.as_str()), "{name}");
        }
    }
}

#[tokio::test]
async fn p46_d6_p65_a_size_is_no_condition() {
    let chaos = Chaos::start().await;
    let proxy = Proxy::start(chaos.address, Options::default()).await;
    for (document, status, code) in [
        (deletion("<Size>1</Size>"), 501, "NotImplemented"),
        (deletion("<ETag>x</Etag>"), 400, "MalformedXML"),
    ] {
        let draft = proxy.client().draft("POST", "/bucket?delete");
        let draft = draft.header("content-md5", &chunked::md5(document.as_bytes()));
        let refused = draft.body(document).send().await;
        assert_eq!(
            (refused.status.as_u16(), &*refused.code()),
            (status, code),
            "{refused:?}"
        );
    }
    assert!(chaos.seen().is_empty());
}
