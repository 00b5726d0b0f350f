//! Conditions, which only the upstream can decide atomically.

use super::pair::{Pair, Way, plaintext};

pub async fn conditional_get_304_412_pass(pair: &Pair) {
    let stored = pair.put("/key", plaintext(100_000)).await;
    let etag = |way: &Way| {
        let is_direct = std::ptr::eq(way, &raw const pair.direct);
        let answer = if is_direct {
            &stored.direct
        } else {
            &stored.proxied
        };
        answer.header("etag").unwrap().to_owned()
    };
    assert!(
        etag(&pair.proxied).ends_with("-0\""),
        "{}",
        etag(&pair.proxied)
    );
    let other = "\"00000000000000000000000000000000\"";
    for method in ["GET", "HEAD"] {
        for (name, is_own, status) in [
            ("if-none-match", true, 304),
            ("if-none-match", false, 200),
            ("if-match", true, 200),
            ("if-match", false, 412),
        ] {
            let draft = |way: &Way| {
                let value = if is_own { etag(way) } else { other.to_owned() };
                way.draft(method, "/key").header(name, &value)
            };
            let answers = pair.same(&format!("{method} {name} {is_own}"), draft).await;
            assert_eq!(answers.proxied.status, status, "{method} {name} {is_own}");
        }
        for (name, status) in [("if-modified-since", 304), ("if-unmodified-since", 200)] {
            let future = "Thu, 01 Dec 2033 16:00:00 GMT";
            let past = "Sat, 01 Jan 2000 00:00:00 GMT";
            let draft = |way: &Way| way.draft(method, "/key").header(name, past);
            let expected = if status == 304 { 200 } else { 412 };
            let answers = pair.same(&format!("{method} {name} past"), draft).await;
            assert_eq!(answers.proxied.status, expected, "{method} {name} past");
            if name == "if-unmodified-since" {
                let draft = |way: &Way| way.draft(method, "/key").header(name, future);
                let answers = pair.same(&format!("{method} {name} future"), draft).await;
                assert_eq!(answers.proxied.status, status);
            }
        }
    }
}

pub async fn conditional_put_412_passes(pair: &Pair) {
    let only_new = |way: &Way| {
        let draft = way
            .draft("PUT", "/key")
            .header("content-type", "text/plain");
        draft.header("if-none-match", "*").body("first")
    };
    pair.same_success("the first", only_new).await;
    for len in [10, 200_000] {
        let second = |way: &Way| {
            way.draft("PUT", "/key")
                .header("if-none-match", "*")
                .body(plaintext(len))
        };
        let refused = pair.same("the second", second).await;
        assert_eq!(
            (refused.proxied.status.as_u16(), refused.proxied.code()),
            (412, "PreconditionFailed".to_owned())
        );
        let other = |way: &Way| {
            let draft = way.draft("PUT", "/key").body(plaintext(len));
            draft.header("if-match", "\"00000000000000000000000000000000\"")
        };
        assert_eq!(pair.same("another", other).await.proxied.status, 412);
    }
    let read = pair
        .same_success("read", |way| way.draft("GET", "/key"))
        .await;
    assert_eq!(read.proxied.body, "first");
    let etag = read.proxied.header("etag").unwrap().to_owned();
    let replace = pair
        .proxied
        .draft("PUT", "/key")
        .header("if-match", &etag)
        .body("second");
    assert_eq!(replace.send().await.status, 200);
    assert_eq!(
        pair.proxied.draft("GET", "/key").send().await.body,
        "second"
    );
}

pub async fn of_32_writers_that_want_to_be_first_exactly_one_is(pair: &Pair) {
    for len in [100, 100_000] {
        let key = format!("/race-{len}");
        let writers = (0..32).map(|writer: u8| {
            let body = vec![writer; len];
            let draft = pair
                .proxied
                .draft("PUT", &key)
                .header("if-none-match", "*")
                .body(body);
            async move { (writer, draft.send().await.status.as_u16()) }
        });
        let outcomes = futures_util::future::join_all(writers).await;
        let winners: Vec<_> = outcomes
            .iter()
            .filter(|(_, status)| *status == 200)
            .collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        assert!(
            outcomes
                .iter()
                .all(|(_, status)| matches!(status, 200 | 409 | 412)),
            "{outcomes:?}"
        );
        let stored = pair.proxied.draft("GET", &key).send().await;
        assert_eq!(stored.body, vec![winners[0].0; len]);
    }
}
