//! A registry of bucket keys that somebody has written to.

use std::fs;
use std::path::PathBuf;

use s3seal::keys::bucket_keys::WrappedBucketKey;
use s3seal::keys::bucket_keys::registry;
use s3seal::keys::types::ProviderKind;

use super::{By, Site, assert_refused, forgery};
use crate::support::{Options, Proxy};

const OBJECT: &str = "/bucket/object";
const OTHER: &str = "/other/object";

fn options(rule: &str) -> Options {
    Options {
        tables: "[keys.bucket_keys]\nenabled = true\nregistry = \"s3://ops/keys\"\n".to_owned(),
        rule: rule.to_owned(),
        ..Options::default()
    }
}

/// A site whose bucket `bucket` and bucket `other` have an object and a bucket key each.
async fn start(rule: &str) -> Site {
    let site = Site::start(options(rule)).await;
    site.attacker.make_bucket("other").await;
    site.attacker.make_bucket("ops").await;
    site.write(OBJECT).await;
    site.write(OTHER).await;
    site
}

/// Where the entry of an object's bucket key is.
async fn entry_of(site: &Site, path: &str) -> PathBuf {
    let id = site.attacker.take(path).await.bucket_key().id;
    let bucket = path.split('/').nth(1).unwrap();
    site.upstream
        .root()
        .join("ops/keys")
        .join(registry::name(bucket, &id))
}

fn read(entry: &PathBuf) -> WrappedBucketKey {
    registry::parse(&fs::read(entry).unwrap()).unwrap()
}

/// With these bytes in the place of the entry of [`OBJECT`]'s bucket key, the object is refused by a
/// replica that has not read the registry yet; the other bucket's is not.
async fn refuses(site: Site, entry: Vec<u8>, by: By, what: &str) -> Site {
    let place = entry_of(&site, OBJECT).await;
    let original = fs::read(&place).unwrap();
    assert_ne!(entry, original, "{what}: nothing was changed");
    fs::write(&place, entry).unwrap();
    let site = site.restart().await;
    site.refuses(OBJECT, by, what).await;
    site.opens(OTHER).await;
    fs::write(&place, original).unwrap();
    let site = site.restart().await;
    site.opens(OBJECT).await;
    site
}

#[tokio::test]
async fn p14_p93_the_entry_of_another_bucket_is_put_in_the_place_of_this_ones() {
    let site = start("").await;
    let place = entry_of(&site, OBJECT).await;
    let (original, own) = (fs::read(&place).unwrap(), read(&place));
    let other = read(&entry_of(&site, OTHER).await);
    let disguised = WrappedBucketKey {
        id: own.id,
        ..other
    };
    let entry = registry::encode(&disguised).unwrap();
    let site = refuses(site, entry.clone(), By::Unwrap, "under this one's id").await;
    // The provider itself refuses: it does not come to a bucket key that opens no data key.
    fs::write(&place, entry).unwrap();
    let site = site.restart().await;
    let before = mismatches(&site).await;
    let refused = site.client.get(OBJECT).await;
    assert_refused(&refused, 500, "InternalError", "under this one's id");
    assert_eq!(mismatches(&site).await, before + 1);
    fs::write(&place, original).unwrap();
    site.stop().await;
}

/// How often providers found a wrap to be bound to something else.
async fn mismatches(site: &Site) -> u64 {
    let asked = site.asked().await;
    let lines = asked
        .iter()
        .filter(|line| line.contains("context_mismatch"));
    let counts = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    counts.sum()
}

/// An entry says which key it is of: one of another is none, and the wrap in the object counts.
#[tokio::test]
async fn p93_an_entry_of_another_bucket_key_is_no_entry() {
    let mut site = start("").await;
    let place = entry_of(&site, OBJECT).await;
    let original = fs::read(&place).unwrap();
    let other = fs::read(entry_of(&site, OTHER).await).unwrap();
    let mut cut = original.clone();
    cut.pop();
    let mut newer = original.clone();
    newer[0] = 2;
    for bytes in [other, cut, newer, vec![0; 10], Vec::new()] {
        fs::write(&place, bytes).unwrap();
        site = site.restart().await;
        site.opens(OBJECT).await;
        site.opens(OTHER).await;
    }
    fs::remove_file(&place).unwrap();
    site = site.restart().await;
    site.opens(OBJECT).await;
    // Without a wrap of its own the object needs the entry, and takes no other.
    let bare = site.attacker.take(OBJECT).await;
    let bare = bare.with_bucket_key(|wrap| wrap.embedded.clear());
    site.attacker.plant(OBJECT, &bare).await;
    fs::write(&place, fs::read(entry_of(&site, OTHER).await).unwrap()).unwrap();
    site = site.restart().await;
    let refused = site.client.get(OBJECT).await;
    assert_refused(&refused, 503, "ServiceUnavailable", "the other's entry");
    fs::write(&place, original).unwrap();
    site = site.restart().await;
    site.opens(OBJECT).await;
    site.stop().await;
}

#[tokio::test]
async fn p13_p93_an_entry_is_rewritten_to_name_another_key() {
    let mut site = start("accept_keys = [\"default\", \"tenant\"]").await;
    let own = read(&entry_of(&site, OBJECT).await);
    for (id, by) in [
        ("tenant", By::Unwrap),
        ("managed", By::Policy),
        ("unknown", By::Policy),
    ] {
        let mut renamed = own.clone();
        id.clone_into(&mut renamed.kek.id);
        let entry = registry::encode(&renamed).unwrap();
        site = refuses(site, entry, by, id).await;
    }
    let mut moved = own.clone();
    moved.kek.provider = ProviderKind::AwsKms;
    let entry = registry::encode(&moved).unwrap();
    site = refuses(site, entry, By::Policy, "a key of the same name").await;
    let mut garbled = own;
    garbled.wrapped.0[40] ^= 1;
    let entry = registry::encode(&garbled).unwrap();
    site = refuses(site, entry, By::Unwrap, "another wrap").await;
    site.stop().await;
}

/// A bucket key of the attacker's, faultlessly wrapped for this bucket and this id by a key that the
/// victim's providers have, and an object under it.
#[tokio::test]
async fn p13_p93_an_entry_with_a_bucket_key_of_the_attackers_is_registered() {
    let site = start("").await;
    let (address, beside) = (site.upstream.address, &site.proxy);
    let forger = Proxy::start_beside(beside, address, options("key = \"tenant\"")).await;
    let original = site.attacker.take(OBJECT).await;
    assert_eq!(forger.client().put(OBJECT, forgery()).await.status, 200);
    // It has registered its key itself, as every replica does.
    let forged = site.attacker.take(OBJECT).await;
    assert_eq!(read(&entry_of(&site, OBJECT).await).kek.id, "tenant");
    forger.stop().await;
    let site = site.restart().await;
    site.refuses(OBJECT, By::Policy, "as it is").await;
    // The envelope names the victim's key; the entry, which counts, cannot.
    let disguised = forged.with_envelope(|it| "default".clone_into(&mut it.key_id));
    site.attacker.plant(OBJECT, &disguised).await;
    site.refuses(OBJECT, By::Policy, "in disguise").await;
    site.attacker.plant(OBJECT, &original).await;
    site.opens(OBJECT).await;
    site.stop().await;
}
