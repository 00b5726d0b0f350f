//! Objects that the attacker sealed himself, faultlessly, under keys that are real ones but not the
//! victim's, and put in the place of the victim's.

use std::path::Path;

use tempfile::TempDir;

use super::{By, SSE, Site, forgery, rule};
use crate::providers::bao::Bao;
use crate::providers::moto::{Moto, REGION};
use crate::support::attacker::{Fields, Loot};
use crate::support::{Options, Proxy, make_keyring};

const OBJECT: &str = "/bucket/object";

/// What a proxy of the attacker's stores under the victim's own name.
async fn forge(site: &Site, forger: Options) -> Loot {
    let own = Proxy::start_beside(&site.proxy, site.upstream.address, forger).await;
    let loot = forge_by(&own, site).await;
    own.stop().await;
    loot
}

async fn forge_by(forger: &Proxy, site: &Site) -> Loot {
    let original = site.attacker.take(OBJECT).await;
    let put = forger.client().put(OBJECT, forgery()).await;
    assert_eq!(put.status, 200, "{put:?}");
    let forged = site.attacker.take(OBJECT).await;
    site.attacker.plant(OBJECT, &original).await;
    forged
}

/// The forgery is a good one: whoever accepts its key is deceived. The manual says so.
async fn deceives_whoever_accepts_its_key(site: &Site, forged: &Loot, options: Options) {
    let original = site.attacker.take(OBJECT).await;
    let believer = Proxy::start_beside(&site.proxy, site.upstream.address, options).await;
    site.attacker.plant(OBJECT, forged).await;
    let get = believer.client().get(OBJECT).await;
    assert!(get.status == 200 && get.body == forgery(), "{get:?}");
    site.attacker.plant(OBJECT, &original).await;
    believer.stop().await;
}

/// A forgery under `foreign`, which the providers have and the rule does not list.
async fn refuses_a_foreign_key(providers: &str, own: &str, foreign: &str) {
    let options = |rule: String| Options {
        tables: providers.to_owned(),
        rule,
        ..Options::default()
    };
    let site = Site::start(options(format!("key = \"{own}\""))).await;
    site.write(OBJECT).await;
    for bucket_keys in [false, true] {
        let forger = format!("key = \"{foreign}\"\nbucket_keys = {bucket_keys}");
        let forged = forge(&site, options(forger)).await;
        let what = format!("{foreign} for {own}, bucket key {bucket_keys}");
        site.refuses_instead(OBJECT, &forged, By::Policy, &what)
            .await;
        // It cannot pass for one under the victim's key either.
        let id = Fields::read(&site.attacker.take(OBJECT).await.envelope).key_id;
        let renamed = forged.with_envelope(|it| it.key_id = id);
        site.refuses_instead(OBJECT, &renamed, By::Unwrap, &what)
            .await;
        let both = format!("key = \"{own}\"\naccept_keys = [\"{own}\", \"{foreign}\"]");
        deceives_whoever_accepts_its_key(&site, &forged, options(both)).await;
        site.opens(OBJECT).await;
    }
    site.stop().await;
}

#[tokio::test]
async fn p13_an_object_is_forged_under_another_key_of_the_same_keyring() {
    refuses_a_foreign_key("", "default", "tenant").await;
}

fn second_keyring(path: &Path) -> String {
    format!(
        "[[keys.providers]]\nkind = \"local\"\nname = \"second\"\nkeyring = \"{}\"\n",
        path.display()
    )
}

#[tokio::test]
async fn p13_an_object_is_forged_under_a_key_of_another_keyring() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("second.json");
    make_keyring(&path, &["guest"]);
    refuses_a_foreign_key(&second_keyring(&path), "default", "guest").await;
}

/// Key ids are not secret: anybody can make a key of the same name.
#[tokio::test]
async fn p14_an_object_is_forged_under_a_key_of_the_same_name_in_a_keyring_of_the_attackers() {
    for bucket_keys in [false, true] {
        let options = rule(&format!("bucket_keys = {bucket_keys}"));
        let site = Site::start(options.clone()).await;
        site.write(OBJECT).await;
        let stranger = Proxy::start(site.upstream.address, options).await;
        let forged = forge_by(&stranger, &site).await;
        stranger.stop().await;
        let what = format!("bucket key {bucket_keys}");
        site.refuses_instead(OBJECT, &forged, By::Unwrap, &what)
            .await;
        site.stop().await;
    }
}

#[tokio::test]
async fn p13_p16_an_object_is_forged_under_the_managed_key_where_only_named_keys_are_taken() {
    for taken in ["allow = [\"named-key\"]", "accept_keys = [\"default\"]"] {
        let site = Site::start(rule(taken)).await;
        site.write(OBJECT).await;
        let managed = Options {
            encryption: "managed",
            ..Options::default()
        };
        let forged = forge(&site, managed.clone()).await;
        site.refuses_instead(OBJECT, &forged, By::Policy, taken)
            .await;
        let as_named = forged.with_envelope(|it| it.mode = 2);
        site.refuses_instead(OBJECT, &as_named, By::Policy, taken)
            .await;
        deceives_whoever_accepts_its_key(&site, &forged, managed).await;
        site.stop().await;
    }
}

#[tokio::test]
async fn p13_p16_an_object_is_forged_under_a_named_key_where_only_the_managed_key_is_taken() {
    let site = Site::start(Options {
        encryption: "managed",
        rule: "accept_keys = [\"managed\"]".to_owned(),
        ..Options::default()
    })
    .await;
    let original = site.write(OBJECT).await;
    assert_eq!(Fields::read(&original.envelope).mode, 1);
    let forged = forge(&site, Options::default()).await;
    site.refuses_instead(OBJECT, &forged, By::Policy, "as it is")
        .await;
    let as_managed = forged.with_envelope(|it| it.mode = 1);
    site.refuses_instead(OBJECT, &as_managed, By::Policy, "as managed")
        .await;
    let get = site.client.get(OBJECT).await;
    assert_eq!(get.header(SSE), Some("AES256"));
    deceives_whoever_accepts_its_key(&site, &forged, Options::default()).await;
    site.stop().await;
}

fn transit(bao: &Bao, name: &str, mount: &str, keys: &str) -> String {
    let (address, token) = (bao.address, &bao.token);
    format!(
        "[[keys.providers]]\nkind = \"transit\"\nname = \"{name}\"\naddress = \"http://{address}\"\n\
         mount = \"{mount}\"\nkeys = {keys}\nauth = {{ method = \"token\", token = \"{token}\" }}\n"
    )
}

#[tokio::test]
async fn p13_an_object_is_forged_under_another_key_of_the_same_transit_engine() {
    let Some(bao) = Bao::of_the_run() else { return };
    let mount = bao.transit("victim").await;
    bao.transit_key(&mount, "guest").await;
    let providers = transit(&bao, "bao", &mount, "[\"victim\", \"guest\"]");
    refuses_a_foreign_key(&providers, "victim", "guest").await;
}

#[tokio::test]
async fn p13_an_object_is_forged_under_a_key_of_another_transit_engine() {
    let Some(bao) = Bao::of_the_run() else { return };
    let own = transit(&bao, "bao", &bao.transit("victim").await, "[\"victim\"]");
    let foreign = transit(&bao, "second", &bao.transit("guest").await, "[\"guest\"]");
    refuses_a_foreign_key(&format!("{own}{foreign}"), "victim", "guest").await;
}

fn kms(moto: &Moto, name: &str, keys: &str) -> String {
    let address = moto.address;
    format!(
        "[[keys.providers]]\nkind = \"aws-kms\"\nname = \"{name}\"\nregion = \"{REGION}\"\n\
         endpoint = \"http://{address}\"\nkeys = {keys}\n\
         credentials = {{ access_key_id = \"A\", secret_access_key = \"B\" }}\n"
    )
}

/// KMS itself would open it: the wrap names its key, and the proxy has access to both.
#[tokio::test]
async fn p13_an_object_is_forged_under_another_key_of_aws_kms() {
    let Some(moto) = Moto::of_the_run() else {
        return;
    };
    let (own, foreign) = (moto.key().await.arn, moto.key().await.arn);
    let one = kms(&moto, "kms", &format!("[\"{own}\", \"{foreign}\"]"));
    let two = kms(&moto, "kms", &format!("[\"{own}\"]"))
        + &kms(&moto, "second", &format!("[\"{foreign}\"]"));
    for providers in [one, two] {
        refuses_a_foreign_key(&providers, &own, &foreign).await;
    }
}
