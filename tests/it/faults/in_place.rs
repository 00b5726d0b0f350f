//! Objects that are sealed in place over an upstream that fails, or that does not heed conditions.

use s3seal::app;
use s3seal::config::{Config, Environment};
use s3seal::error::Error;
use s3seal::ops::context::Cx;
use s3seal::ops::in_place::{self, Manner, Outcome};

use super::{Bench, OBJECT, plaintext};
use crate::support::Options;
use crate::support::chaos::{Reply, Step, Stored};

const MANNER: Manner = Manner {
    dry_run: false,
    single_max: 5 << 30,
};

async fn bench() -> (Bench, Cx) {
    let bench = Bench::start(Options::default()).await;
    let config = Config::load(&bench.proxy.config(), &Environment::default()).unwrap();
    let cx = Box::pin(app::operator(config)).await.unwrap();
    (bench, cx)
}

fn plain(body: &[u8], etag: &str) -> Stored {
    let mut stored = Stored {
        headers: Vec::new(),
        body: body.to_vec(),
    };
    stored.set("ETag", etag);
    stored.set("x-amz-meta-colour", "blue");
    stored
}

async fn seal(cx: &Cx) -> Result<Outcome, Error> {
    in_place::seal(cx, "bucket", "object", MANNER).await
}

#[tokio::test]
async fn an_object_that_cannot_be_written_back_stays_as_it_is() {
    for len in [1_000, 200_000] {
        let (bench, cx) = bench().await;
        let body = plaintext(len);
        bench.chaos.store(OBJECT, plain(&body, "\"1\""));
        let unwilling = || Reply::error(403, "AccessDenied");
        // look, tags, ACL, read, write
        for steps in [
            vec![
                Step::Serve,
                Step::Serve,
                Step::Serve,
                Step::Serve,
                Step::Answer(unwilling()),
            ],
            vec![
                Step::Serve,
                Step::Serve,
                Step::Serve,
                Step::Serve,
                Step::Reset,
            ],
            vec![Step::Serve, Step::Serve, Step::Serve, Step::Reset],
            vec![Step::Serve, Step::Serve, Step::Answer(unwilling())],
            vec![
                Step::Serve,
                Step::Serve,
                Step::Serve,
                Step::Mangle(Box::new(|reply| reply.body.truncate(10))),
            ],
            vec![Step::Serve, Step::Answer(unwilling())],
        ] {
            bench.chaos.script(steps);
            let outcome = seal(&cx).await;
            let is_kept = bench.chaos.stored(OBJECT).unwrap().body == body;
            let is_sealed = matches!(outcome, Ok(Outcome::Sealed(_)));
            // A reset is met by another try where nothing has been streamed.
            assert!(is_kept != is_sealed, "{len}: {outcome:?}");
            if is_sealed {
                bench.chaos.store(OBJECT, plain(&body, "\"1\""));
            }
            bench.chaos.script([]);
        }
        assert_eq!(seal(&cx).await.unwrap(), Outcome::Sealed(len as u64));
        let get = bench.client.get(OBJECT).await;
        assert!(get.body == body && get.header("x-amz-meta-colour") == Some("blue"));
        bench.proxy.stop().await;
    }
}

#[tokio::test]
async fn the_write_is_on_the_condition_that_nobody_else_wrote() {
    let (bench, cx) = bench().await;
    bench.chaos.store(OBJECT, plain(b"first", "\"1\""));
    assert_eq!(seal(&cx).await.unwrap(), Outcome::Sealed(5));
    let puts = bench.chaos.seen();
    let put = puts.iter().find(|seen| seen.head.method == "PUT").unwrap();
    assert_eq!(put.header("if-match"), Some("\"1\""));
    // Replaced between the look and the read: it starts over, with the object that is there.
    bench.chaos.store(OBJECT, plain(b"first", "\"1\""));
    bench
        .chaos
        .replace_after_the_next(OBJECT, plain(b"newer", "\"2\""));
    bench.chaos.forget();
    assert_eq!(seal(&cx).await.unwrap(), Outcome::Sealed(5));
    assert_eq!(bench.client.get(OBJECT).await.body, "newer");
    let failed = || Step::Answer(Reply::error(412, "PreconditionFailed"));
    bench.chaos.store(OBJECT, plain(b"first", "\"1\""));
    for _ in 0..3 {
        bench
            .chaos
            .script([Step::Serve, Step::Serve, Step::Serve, Step::Serve, failed()]);
    }
    let outcome = seal(&cx).await;
    assert!(matches!(outcome, Err(Error::Changed)), "{outcome:?}");
    bench.proxy.stop().await;
}

#[tokio::test]
async fn an_upstream_that_ignores_if_match_on_writes_is_found_out() {
    let (bench, cx) = bench().await;
    assert!(
        !in_place::heeds_conditions(&cx, "bucket", "p/")
            .await
            .unwrap()
    );
    let seen = bench.chaos.seen();
    let methods: Vec<&str> = seen.iter().map(|seen| &*seen.head.method).collect();
    assert_eq!(
        methods,
        ["PUT", "DELETE"],
        "the question leaves nothing behind"
    );
    assert!(seen[0].head.path().starts_with("/bucket/p/.s3seal-"));
    for (status, code) in [(412, "PreconditionFailed"), (404, "NoSuchKey")] {
        bench
            .chaos
            .script([Step::Answer(Reply::error(status, code))]);
        assert!(
            in_place::heeds_conditions(&cx, "bucket", "p/")
                .await
                .unwrap()
        );
    }
    bench
        .chaos
        .script([Step::Answer(Reply::error(403, "AccessDenied"))]);
    assert!(
        in_place::heeds_conditions(&cx, "bucket", "p/")
            .await
            .is_err()
    );
    bench.proxy.stop().await;
}

/// Aborting an upload that the upstream has completed destroys the object, on some of them.
#[tokio::test]
async fn an_upload_is_not_aborted_when_nobody_knows_whether_it_is_complete() {
    const MIB: usize = 1 << 20;
    let created = || {
        let document = "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>object</Key>\
             <UploadId>u</UploadId></InitiateMultipartUploadResult>";
        Step::Answer(Reply::new(200, document))
    };
    let part = || Step::Answer(Reply::new(200, "").header("ETag", "\"p\""));
    let late = "<Error><Code>InternalError</Code><Message>late</Message></Error>";
    for (what, completion, is_aborted) in [
        ("no answer", Step::Reset, false),
        ("no sense", Step::Answer(Reply::new(200, "<html>")), false),
        (
            "an error behind a 200",
            Step::Answer(Reply::new(200, late)),
            false,
        ),
        (
            "an error",
            Step::Answer(Reply::error(500, "InternalError")),
            false,
        ),
        (
            "a clear no",
            Step::Answer(Reply::error(403, "AccessDenied")),
            true,
        ),
    ] {
        let (bench, cx) = bench().await;
        bench
            .chaos
            .store(OBJECT, plain(&plaintext(6 * MIB), "\"1\""));
        // look, tags, ACL, upload, twice a part, look again, complete
        let steps = [
            Step::Serve,
            Step::Serve,
            Step::Serve,
            created(),
            Step::Serve,
            part(),
            Step::Serve,
            part(),
            Step::Serve,
            completion,
        ];
        bench.chaos.script(steps);
        let manner = Manner {
            single_max: 5 << 20,
            ..MANNER
        };
        let outcome = in_place::seal(&cx, "bucket", "object", manner).await;
        assert!(
            !matches!(outcome, Ok(Outcome::Sealed(_))),
            "{what}: {outcome:?}"
        );
        let seen = bench.chaos.seen();
        let completions = seen
            .iter()
            .filter(|seen| seen.head.method == "POST")
            .count();
        assert_eq!(completions, 2, "{what}: {outcome:?}");
        let aborts = seen
            .iter()
            .filter(|seen| seen.head.method == "DELETE")
            .count();
        assert_eq!(aborts, usize::from(is_aborted), "{what}");
        bench.proxy.stop().await;
    }
}
