//! Copies of objects that are replaced meanwhile, over upstreams that heed the condition on the source
//! and such that do not: what was written is never lost, and what is there can be read.

use super::{Bench, OBJECT, assert_refused, plaintext};
use crate::support::Options;
use crate::support::chaos::{Reply, Step, Stored};
use crate::support::client::{Answer, Draft};

const LEN: usize = 1_000;

fn copy(bench: &Bench, to: &str) -> Draft {
    bench
        .client
        .draft("PUT", to)
        .header("x-amz-copy-source", OBJECT)
        .header("x-amz-metadata-directive", "REPLACE")
        .header("x-amz-meta-colour", "blue")
}

/// A copy of which the first request looks at the source.
fn untagged(bench: &Bench, to: &str) -> Draft {
    copy(bench, to).header("x-amz-tagging-directive", "REPLACE")
}

/// A bench with [`OBJECT`], and another sealed object to put in its place.
async fn bench() -> (Bench, Stored) {
    let bench = Bench::with_object(Options::default(), LEN).await;
    let newer = bench.client.put(OBJECT, "newer").await;
    assert_eq!(newer.status, 200);
    let newer = bench.chaos.stored(OBJECT).unwrap();
    assert_eq!(bench.client.put(OBJECT, plaintext(LEN)).await.status, 200);
    bench.chaos.forget();
    (bench, newer)
}

async fn teach(bench: &Bench) {
    let done = copy(bench, "/bucket/first").send().await;
    assert_eq!(done.status, 200, "{done:?}");
    bench.chaos.forget();
}

fn copies_upstream(bench: &Bench) -> usize {
    let seen = bench.chaos.seen();
    let copies = seen
        .iter()
        .filter(|seen| seen.header("x-amz-copy-source").is_some());
    copies.count()
}

async fn read(bench: &Bench, path: &str) -> Answer {
    let get = bench.client.get(path).await;
    assert_eq!(get.status, 200, "{path} cannot be read: {get:?}");
    get
}

#[tokio::test]
async fn a_copy_of_an_object_that_is_replaced_meanwhile_is_made_of_one_of_both() {
    for ignores in [false, true] {
        for to in [OBJECT, "/bucket/copy"] {
            for knows in [false, true] {
                let what = format!("ignores {ignores}, to {to}, knows {knows}");
                let (bench, newer) = bench().await;
                if ignores {
                    bench.chaos.ignore_conditions();
                }
                if knows {
                    teach(&bench).await;
                }
                bench.chaos.replace_after_the_next(OBJECT, newer);
                let done = untagged(&bench, to).send().await;
                assert_eq!(done.status, 200, "{what}: {done:?}");
                let get = read(&bench, to).await;
                let is_one = get.body == "newer" || get.body == plaintext(LEN);
                assert!(
                    is_one && get.header("x-amz-meta-colour") == Some("blue"),
                    "{what}"
                );
                read(&bench, OBJECT).await;
                bench.proxy.stop().await;
            }
        }
    }
}

/// Nobody asks twice, and bytes are moved only where they must.
#[tokio::test]
async fn what_the_upstream_makes_of_conditions_is_found_out_once() {
    for (ignores, expected) in [(false, [2, 1, 1]), (true, [1, 0, 0])] {
        let (bench, _) = bench().await;
        if ignores {
            bench.chaos.ignore_conditions();
        }
        for count in expected {
            assert_eq!(copy(&bench, "/bucket/copy").send().await.status, 200);
            assert_eq!(copies_upstream(&bench), count, "ignores {ignores}");
            assert_eq!(read(&bench, "/bucket/copy").await.body, plaintext(LEN));
            bench.chaos.forget();
        }
        bench.proxy.stop().await;
    }
}

#[tokio::test]
async fn a_condition_on_the_destination_is_told_from_that_on_the_source() {
    let (bench, newer) = bench().await;
    teach(&bench).await;
    let conditional = || untagged(&bench, "/bucket/copy").header("if-none-match", "*");
    let failed = || Step::Answer(Reply::error(412, "PreconditionFailed"));
    bench.chaos.script([Step::Serve, failed()]);
    assert_refused(&conditional().send().await, 412, "PreconditionFailed");
    bench.chaos.replace_after_the_next(OBJECT, newer);
    bench.chaos.script([failed()]);
    let done = conditional().send().await;
    assert_eq!(done.status, 200, "it starts over: {done:?}");
    assert_eq!(read(&bench, "/bucket/copy").await.body, "newer");
    bench.proxy.stop().await;
}

#[tokio::test]
async fn p61_tags_that_cannot_be_read_now_are_not_taken_for_none() {
    let (bench, _) = bench().await;
    teach(&bench).await;
    for (status, code, expected) in [
        (429, "TooManyRequests", 503),
        (503, "SlowDown", 503),
        (408, "RequestTimeout", 500),
        (400, "InvalidRequest", 500),
        (409, "OperationAborted", 500),
        (404, "NoSuchTagSet", 200),
        (404, "NoSuchTagSetError", 200),
        (405, "MethodNotAllowed", 200),
        (501, "NotImplemented", 200),
    ] {
        bench.chaos.script_tags(Reply::error(status, code));
        let answer = copy(&bench, "/bucket/copy").send().await;
        assert_eq!(
            answer.status.as_u16(),
            expected,
            "{status} {code}: {answer:?}"
        );
    }
    bench.proxy.stop().await;
}

#[tokio::test]
async fn p68_an_error_behind_the_200_of_a_copy_is_an_error() {
    let (bench, _) = bench().await;
    teach(&bench).await;
    for (code, status) in [
        ("InternalError", 500),
        ("SlowDown", 503),
        ("AccessDenied", 403),
    ] {
        let document = format!("  \n<Error><Code>{code}</Code><Message>late</Message></Error>");
        let late = Step::Answer(Reply::new(200, document));
        bench.chaos.script([Step::Serve, late]);
        assert_refused(&untagged(&bench, "/bucket/copy").send().await, status, code);
    }
    bench.proxy.stop().await;
}
