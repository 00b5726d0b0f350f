//! Envelopes, headers and whole objects in other places than their own.

use super::{By, Site, assert_refused, rule};
use crate::support::Options;
use crate::support::attacker::Loot;

const HERE: &str = "/bucket/here";

/// Sealed objects of three places: the same bucket, another bucket, and the same key in that.
async fn elsewhere(site: &Site) -> Vec<(&'static str, Loot)> {
    site.attacker.make_bucket("other").await;
    let mut places = Vec::new();
    for path in ["/bucket/there", "/other/there", "/other/here"] {
        places.push((path, site.write(path).await));
    }
    places
}

/// The parts of `from` that are named, in the place of those of `to`.
fn mixed(to: &Loot, from: &Loot, parts: &str) -> Loot {
    let take = |part| parts.contains(part);
    Loot {
        header: if take("header") { from } else { to }.header.clone(),
        envelope: if take("envelope") { from } else { to }.envelope.clone(),
        body: if take("body") { from } else { to }.body.clone(),
    }
}

const MIXTURES: [&str; 5] = [
    "header",
    "envelope",
    "envelope and body",
    "header and envelope",
    "header, envelope and body",
];

#[tokio::test]
async fn p7_p14_an_envelope_comes_from_another_object_or_bucket() {
    for bucket_keys in [false, true] {
        let site = Site::start(rule(&format!("bucket_keys = {bucket_keys}"))).await;
        let here = site.write(HERE).await;
        for (path, there) in elsewhere(&site).await {
            for parts in MIXTURES {
                let moved = mixed(&here, &there, parts);
                let what = format!("{parts} of {path}, bucket key {bucket_keys}");
                site.refuses_instead(HERE, &moved, By::Unwrap, &what).await;
            }
            site.opens(path).await;
        }
        site.stop().await;
    }
}

/// Under weaker bindings whole objects move, as the rule says; single pieces of them never do.
#[tokio::test]
async fn p7_p15_weaker_bindings_let_whole_objects_move_and_nothing_less() {
    for (settings, movable) in [
        (
            "binding = \"none\"",
            &["/bucket/there", "/other/there", "/other/here"][..],
        ),
        ("binding = \"key\"", &["/other/here"]),
        ("logical_bucket = \"both\"", &["/other/here"]),
        (
            "binding = \"none\"\nbucket_keys = true",
            // A bucket key is one bucket's.
            &["/bucket/there"],
        ),
        (
            "binding = \"none\"\nbucket_keys = true\nlogical_bucket = \"both\"",
            &["/bucket/there", "/other/there", "/other/here"],
        ),
    ] {
        let site = Site::start(rule(settings)).await;
        let here = site.write(HERE).await;
        for (path, there) in elsewhere(&site).await {
            let what = format!("{settings}, {path}");
            let is_movable = movable.contains(&path);
            for parts in ["header", "envelope", "envelope and body"] {
                let moved = mixed(&here, &there, parts);
                let what = format!("{what}: {parts}");
                site.refuses_instead(HERE, &moved, By::Unwrap, &what).await;
            }
            let whole = mixed(&here, &there, "header, envelope and body");
            if !is_movable {
                site.refuses_instead(HERE, &whole, By::Unwrap, &what).await;
                continue;
            }
            site.attacker.plant(HERE, &whole).await;
            site.opens_as(HERE, super::secret(path)).await;
            // A body stays with its header.
            let headless = mixed(&here, &there, "header and envelope");
            site.attacker.plant(HERE, &headless).await;
            for range in [None, Some("bytes=0-0"), Some("bytes=-1")] {
                site.breaks_off(HERE, range, &[], &what).await;
            }
            site.attacker.plant(HERE, &here).await;
            site.opens(HERE).await;
        }
        site.stop().await;
    }
}

/// An object that was written under a weak binding does not come into a stricter place.
#[tokio::test]
async fn p14_an_object_with_a_weaker_binding_is_moved_under_a_stricter_rule() {
    let weak = "[[rules]]\nbuckets = [\"other\"]\nencryption = \"named-key\"\n\
                binding = \"none\"\nverify_sizes = true\n";
    let site = Site::start(Options {
        tables: weak.to_owned(),
        ..Options::default()
    })
    .await;
    site.attacker.make_bucket("other").await;
    site.write(HERE).await;
    let moved = site.write("/other/here").await;
    site.opens("/other/here").await;
    site.refuses_instead(HERE, &moved, By::Policy, "weaker")
        .await;
    let claimed = moved.with_envelope(|it| it.binding = 2);
    site.refuses_instead(HERE, &claimed, By::Unwrap, "claimed to be strong")
        .await;
    site.stop().await;
}

/// What was moved is not made one of this place by giving it another wrap.
#[tokio::test]
async fn p7_p123_a_moved_object_is_rewrapped_where_it_is() {
    let site = Site::start(rule("")).await;
    let here = site.write(HERE).await;
    for (path, there) in elsewhere(&site).await {
        for parts in MIXTURES {
            let moved = mixed(&here, &there, parts);
            site.attacker.plant(HERE, &moved).await;
            let draft = site.client.draft("PUT", &format!("{HERE}?encryption"));
            let asked = draft.body(
                "<ObjectEncryption><SSE-KMS><KMSKeyArn>default</KMSKeyArn>\
                 <BucketKeyEnabled>true</BucketKeyEnabled></SSE-KMS></ObjectEncryption>",
            );
            let what = format!("{parts} of {path}");
            assert_refused(&asked.send().await, 500, "InternalError", &what);
            assert_eq!(site.attacker.take(HERE).await, moved, "{what}");
        }
    }
    site.attacker.plant(HERE, &here).await;
    site.opens(HERE).await;
    site.stop().await;
}
