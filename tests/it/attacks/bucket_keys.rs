//! Envelopes that name another bucket key than the one their data key is under.

use super::{By, Site};
use crate::support::Options;
use crate::support::attacker::{BucketKeyWrap, Loot};

const OBJECT: &str = "/bucket/object";
const BESIDE: &str = "/bucket/beside";
const OTHER: &str = "/other/object";

/// How the envelope is made to name another bucket key.
const TAKEN: [(&str, fn(&mut BucketKeyWrap, &BucketKeyWrap)); 4] = [
    ("its id", |own, other| own.id = other.id),
    ("its wrap", |own, other| {
        own.embedded.clone_from(&other.embedded);
    }),
    ("its id and its wrap", |own, other| {
        own.id = other.id;
        own.embedded.clone_from(&other.embedded);
    }),
    ("the data key under it", |own, other| {
        own.wrapped.clone_from(&other.wrapped);
    }),
];

/// Two bucket keys of one bucket under one key, and one of another bucket.
struct Keys {
    site: Site,
    object: Loot,
    beside: BucketKeyWrap,
    other: BucketKeyWrap,
}

impl Keys {
    async fn start(registry: &str) -> Self {
        let site = Site::start(Options {
            tables: format!("[keys.bucket_keys]\nenabled = true\n{registry}"),
            ..Options::default()
        })
        .await;
        site.attacker.make_bucket("other").await;
        site.attacker.make_bucket("ops").await;
        let beside = site.write(BESIDE).await.bucket_key();
        let other = site.write(OTHER).await.bucket_key();
        // Every replica that writes has bucket keys of its own.
        let site = site.restart().await;
        let object = site.write(OBJECT).await;
        let own = object.bucket_key();
        assert!(own.id != beside.id && own.id != other.id);
        Self {
            site,
            object,
            beside,
            other,
        }
    }

    async fn refuse(&self) {
        let Self { site, object, .. } = self;
        // Whatever is named has been opened a moment ago: the cache helps nobody.
        for path in [BESIDE, OTHER] {
            site.opens(path).await;
        }
        let others = [("the same bucket", &self.beside), ("another", &self.other)];
        for (whose, other) in others {
            for (what, take) in TAKEN {
                let forged = object.with_bucket_key(|own| take(own, other));
                let what = format!("{what} of {whose}");
                site.refuses_instead(OBJECT, &forged, By::Unwrap, &what)
                    .await;
            }
        }
        let unknown = object.with_bucket_key(|own| own.id = [0xA5; 16]);
        site.refuses_instead(OBJECT, &unknown, By::Unwrap, "unknown")
            .await;
    }
}

#[tokio::test]
async fn p14_p91_the_envelope_names_another_bucket_key() {
    let keys = Keys::start("").await;
    keys.refuse().await;
    keys.site.stop().await;
}

/// The registry's wrap of the key that is named counts, and is the wrong one.
#[tokio::test]
async fn p14_p93_the_envelope_names_another_bucket_key_of_the_registry() {
    let keys = Keys::start("registry = \"s3://ops/keys\"\n").await;
    let Keys { site, object, .. } = &keys;
    for (whose, other) in [("the same bucket", &keys.beside), ("another", &keys.other)] {
        site.opens(BESIDE).await;
        let forged = object.with_bucket_key(|own| own.id = other.id);
        site.refuses_instead(OBJECT, &forged, By::Unwrap, whose)
            .await;
    }
    // What is embedded does not count where the registry has the key.
    let forged = object.with_bucket_key(|own| own.embedded = vec![0; 80]);
    site.attacker.plant(OBJECT, &forged).await;
    site.opens(OBJECT).await;
    // Nor is there a key where neither has one: it may be that the registry is incomplete.
    let nowhere = object.with_bucket_key(|own| {
        own.id = [0xA5; 16];
        own.embedded.clear();
    });
    site.attacker.plant(OBJECT, &nowhere).await;
    let refused = site.client.get(OBJECT).await;
    super::assert_refused(&refused, 503, "ServiceUnavailable", "no wrap at all");
    site.attacker.plant(OBJECT, object).await;
    site.opens(OBJECT).await;
    keys.site.stop().await;
}
