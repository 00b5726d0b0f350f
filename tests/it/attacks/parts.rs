//! Multipart objects that were cut, mixed and relabelled, and single ones that pass for them.

use bytes::Bytes;

use super::{By, SECRET, Site, assert_refused, rule, secret};
use crate::multipart;
use crate::support::attacker::Loot;

const OBJECT: &str = "/bucket/object";
const OTHER: &str = "/bucket/other";

const MIB: usize = 1 << 20;

/// Plaintext bytes of the parts.
const PARTS: [usize; 3] = [5 * MIB, 5 * MIB, 100_000];

/// Stored bytes of a chunk of such parts.
const CHUNK: usize = 16_384 + 16;

/// What is stored in front of the chunks of a part, and behind them.
const HEAD: usize = 128;
const TAIL: usize = 16_384 + 128;

/// The plaintext of the victim's multipart object of this name.
fn plaintext(path: &str) -> Bytes {
    let line = format!("{SECRET} {path} ");
    line.bytes().cycle().take(PARTS.iter().sum()).collect()
}

async fn write(site: &Site, path: &str) -> Loot {
    let (key, whole) = (path.strip_prefix("/bucket/").unwrap(), plaintext(path));
    let id = multipart::create(&site.client, key).await;
    let (mut etags, mut start) = (Vec::new(), 0);
    for (index, len) in PARTS.into_iter().enumerate() {
        let part = whole.slice(start..start + len);
        etags.push(multipart::put(&site.client, key, &id, index + 1, part).await);
        start += len;
    }
    let done = multipart::complete(&site.client, key, &id, &etags).await;
    assert_eq!(done.status, 200, "{done:?}");
    site.attacker.take(path).await
}

/// The stored parts of an object.
fn parts(loot: &Loot) -> [Bytes; 3] {
    let mut rest = loot.body.clone();
    let parts = PARTS.map(|len| rest.split_to(len + HEAD + TAIL));
    // The last one is small, and ends the object.
    assert!(rest.is_empty());
    parts
}

/// Puts these parts under the object's own header and envelope.
async fn plant(site: &Site, loot: &Loot, parts: &[Bytes]) {
    let mut end = 0;
    let ends: Vec<usize> = parts
        .iter()
        .map(|part| {
            end += part.len();
            end
        })
        .collect();
    let body = parts.concat().into();
    let forged = Loot {
        body,
        ..loot.clone()
    };
    site.attacker.plant_in_parts(OBJECT, &forged, &ends).await;
}

/// Neither the whole object nor what was changed, from there to the end, is to be had.
async fn refuses(site: &Site, loot: &Loot, forged: &[Bytes], changed: usize, what: &str) {
    plant(site, loot, forged).await;
    let whole = plaintext(OBJECT);
    site.breaks_off(OBJECT, None, &whole, what).await;
    let after = format!("bytes={changed}-");
    let stored: usize = forged.iter().map(Bytes::len).sum();
    let announced = stored.checked_sub(forged.len() * (HEAD + TAIL));
    if announced.is_some_and(|len| len <= changed) {
        // Of sizes nobody is sure before bytes are read.
        let draft = site.client.draft("GET", OBJECT).header("range", &after);
        assert_refused(&draft.send().await, 416, "InvalidRange", what);
    } else {
        let expected = whole.slice(changed..);
        site.breaks_off(OBJECT, Some(&after), &expected, what).await;
    }
}

/// The object is as good as it was.
async fn restores(site: &Site, loot: &Loot) {
    plant(site, loot, &parts(loot)).await;
    site.opens_as(OBJECT, plaintext(OBJECT)).await;
}

fn joined(pieces: &[&[u8]]) -> Bytes {
    pieces.concat().into()
}

#[tokio::test]
async fn p5_p56_a_part_is_cut_at_the_border_of_a_chunk() {
    let site = Site::start(rule("range_layout = \"walk\"")).await;
    let loot = write(&site, OBJECT).await;
    let [one, two, three] = parts(&loot);
    for (part, number) in [(&one, 0), (&three, 2)] {
        let len = part.len();
        for (cut, what) in [
            (joined(&[&part[..HEAD + CHUNK]]), "behind the first chunk"),
            (
                joined(&[&part[..HEAD + CHUNK], &part[len - TAIL..]]),
                "behind the first chunk, with its end",
            ),
            (
                joined(&[&part[..len - TAIL - CHUNK], &part[len - TAIL..]]),
                "without the last chunk, with its end",
            ),
            (joined(&[&part[..HEAD], &part[len - TAIL..]]), "to nothing"),
        ] {
            // S3 takes small parts at the end only.
            let mut forged = vec![one.clone(), two.clone()];
            forged.truncate(number);
            forged.push(cut);
            let changed = number * 5 * MIB;
            let what = format!("part {} cut {what}", number + 1);
            refuses(&site, &loot, &forged, changed, &what).await;
        }
    }
    restores(&site, &loot).await;
    site.stop().await;
}

#[tokio::test]
async fn p56_a_part_comes_from_another_object_or_another_number() {
    let site = Site::start(rule("range_layout = \"walk\"")).await;
    let (other, loot) = (write(&site, OTHER).await, write(&site, OBJECT).await);
    let (own, foreign) = (parts(&loot), parts(&other));
    let [one, two, three] = own.clone();
    for (number, foreign) in foreign.into_iter().enumerate() {
        let mut forged = own.to_vec();
        forged[number] = foreign;
        let what = format!("part {} of another object", number + 1);
        refuses(&site, &loot, &forged, number * 5 * MIB, &what).await;
    }
    // A chunk of it under the header that is the object's own.
    let spliced = |part: &Bytes, chunk: &[u8]| {
        let mut bytes = part.to_vec();
        bytes[HEAD + CHUNK..HEAD + 2 * CHUNK].copy_from_slice(chunk);
        Bytes::from(bytes)
    };
    for (source, what) in [
        (parts(&other)[0].clone(), "a chunk of another object"),
        (two.clone(), "a chunk of another part"),
    ] {
        let chunk = &source[HEAD + CHUNK..HEAD + 2 * CHUNK];
        let forged = [spliced(&one, chunk), two.clone(), three.clone()];
        refuses(&site, &loot, &forged, 16_384, what).await;
    }
    for (forged, what) in [
        ([two.clone(), one.clone(), three.clone()], "swapped"),
        ([one.clone(), one.clone(), three.clone()], "doubled"),
    ] {
        refuses(&site, &loot, &forged, 0, what).await;
    }
    restores(&site, &loot).await;
    site.opens_as(OTHER, plaintext(OTHER)).await;
    site.stop().await;
}

/// What an object is says its header, to which the wrap is bound; how it was uploaded says nothing.
#[tokio::test]
async fn p14_p15_a_single_object_is_presented_as_a_multipart_one_and_the_reverse() {
    let site = Site::start(rule("")).await;
    let single = site.write(OBJECT).await;
    let mut relabelled = single.clone();
    (relabelled.header[2], relabelled.header[3]) = (2, 0x0E);
    (relabelled.header[6], relabelled.header[7]) = (4, 0);
    site.refuses_instead(OBJECT, &relabelled, By::Unwrap, "single as multipart")
        .await;
    site.attacker
        .plant_in_parts(OBJECT, &relabelled, &[relabelled.body.len()])
        .await;
    site.refuses(OBJECT, By::Unwrap, "single as multipart, in a part")
        .await;
    site.attacker
        .plant_in_parts(OBJECT, &single, &[single.body.len()])
        .await;
    site.opens_as(OBJECT, secret(OBJECT)).await;

    let segmented = write(&site, OBJECT).await;
    let mut relabelled = segmented.clone();
    (relabelled.header[2], relabelled.header[3]) = (1, 0x10);
    (relabelled.header[6], relabelled.header[7]) = (0, 0);
    plant(&site, &relabelled, &parts(&segmented)).await;
    site.refuses(OBJECT, By::Unwrap, "multipart as single")
        .await;
    site.attacker.plant(OBJECT, &relabelled).await;
    site.refuses(OBJECT, By::Unwrap, "multipart as single, in one piece")
        .await;
    site.attacker.plant(OBJECT, &segmented).await;
    site.opens_as(OBJECT, plaintext(OBJECT)).await;

    // An end that needs no mark would hide that parts were dropped.
    let mut open = segmented.clone();
    open.header[5] = 1;
    plant(&site, &open, &parts(&segmented)[..2]).await;
    site.refuses(OBJECT, By::Unwrap, "an open end").await;
    restores(&site, &segmented).await;
    site.stop().await;
}
