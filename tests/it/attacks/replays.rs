//! Older bytes and older metadata, and pieces of a copy, which has the same data key.

use super::{By, Site, rule, secret};
use crate::support::attacker::Loot;

const OBJECT: &str = "/bucket/object";
const COPY: &str = "/bucket/copy";

/// Stored bytes of a chunk.
const CHUNK: usize = 65_552;

#[tokio::test]
async fn p8_p15_an_older_version_comes_back_in_part() {
    let site = Site::start(rule("")).await;
    let old = site.write(OBJECT).await;
    let new = site.write(OBJECT).await;
    assert_eq!(old.body.len(), new.body.len());
    for (forged, what) in [
        (
            Loot {
                body: old.body.clone(),
                ..new.clone()
            },
            "old bytes under new metadata",
        ),
        (
            Loot {
                body: new.body.clone(),
                ..old.clone()
            },
            "new bytes under old metadata",
        ),
    ] {
        site.attacker.plant(OBJECT, &forged).await;
        for range in [None, Some("bytes=0-0"), Some("bytes=-1")] {
            site.breaks_off(OBJECT, range, &[], what).await;
        }
    }
    for (header, envelope, what) in [
        (&old.header, &new.envelope, "the old header"),
        (&new.header, &old.envelope, "the old envelope"),
    ] {
        let forged = Loot {
            header: header.clone(),
            envelope: envelope.clone(),
            body: new.body.clone(),
        };
        site.attacker.plant(OBJECT, &forged).await;
        site.refuses(OBJECT, By::Unwrap, what).await;
    }
    site.attacker.plant(OBJECT, &new).await;
    site.opens(OBJECT).await;
    site.stop().await;
}

/// Of which the manual says that nobody notices.
#[tokio::test]
async fn p8_an_older_version_comes_back_whole_and_opens() {
    let site = Site::start(rule("")).await;
    let old = site.write(OBJECT).await;
    assert_eq!(site.client.put(OBJECT, "newer").await.status, 200);
    site.attacker.plant(OBJECT, &old).await;
    site.opens(OBJECT).await;
    site.stop().await;
}

/// Chunks are where they were sealed: those of a copy can stand for themselves and nothing else.
#[tokio::test]
async fn p14_p59_pieces_of_a_server_side_copy_come_into_its_source() {
    let site = Site::start(rule("")).await;
    let source = site.write(OBJECT).await;
    let draft = site.client.draft("PUT", COPY);
    let copied = draft.header("x-amz-copy-source", OBJECT).send().await;
    assert_eq!(copied.status, 200, "{copied:?}");
    let copy = site.attacker.take(COPY).await;
    assert!(source.header == copy.header && source.body == copy.body);
    assert_ne!(source.envelope, copy.envelope);

    let forged = Loot {
        envelope: copy.envelope.clone(),
        ..source.clone()
    };
    site.refuses_instead(OBJECT, &forged, By::Unwrap, "the envelope of the copy")
        .await;
    let plaintext = secret(OBJECT);
    let chunk = |loot: &Loot, index: usize| loot.body.slice(index * CHUNK..(index + 1) * CHUNK);
    for (from, to) in [(0, 1), (1, 0), (2, 1), (1, 2)] {
        let mut body = source.body.to_vec();
        body[to * CHUNK..(to + 1) * CHUNK].copy_from_slice(&chunk(&copy, from));
        let forged = Loot {
            body: body.into(),
            ..source.clone()
        };
        site.attacker.plant(OBJECT, &forged).await;
        let what = format!("chunk {from} of the copy as {to}");
        site.breaks_off(OBJECT, None, &plaintext, &what).await;
        let range = format!("bytes={}-{}", to * 65_536, to * 65_536 + 9);
        site.breaks_off(OBJECT, Some(&range), &[], &what).await;
    }
    site.attacker.plant(OBJECT, &source).await;
    site.opens(OBJECT).await;
    site.opens_as(COPY, plaintext).await;
    site.stop().await;
}
