//! Single fields of the envelope of a real object rewritten, each in the canonical encoding, and in a
//! deployment where the new value would do.

use s3seal::app;
use s3seal::keys::local::Material;
use s3seal::keys::local::{WhenMissing, update};

use super::{By, KEY_ID, SSE, Site, rule};
use crate::support::Options;
use crate::support::attacker::{Fields, Loot};
use crate::support::client::Draft;

const OBJECT: &str = "/bucket/object";
const CONTEXT: &str = "x-amz-server-side-encryption-context";

/// `{"tenant":"a"}`
const TENANT_A: &str = "eyJ0ZW5hbnQiOiJhIn0=";

fn with_context(draft: Draft) -> Draft {
    draft.header(SSE, "aws:kms").header(CONTEXT, TENANT_A)
}

/// Refuses the object with this change, and opens it without.
async fn refuses(site: &Site, object: &Loot, by: By, what: &str, change: fn(&mut Fields)) {
    let forged = object.with_envelope(change);
    site.refuses_instead(OBJECT, &forged, by, what).await;
}

#[tokio::test]
async fn p14_p16_the_mode_is_rewritten() {
    let site = Site::start(rule("accept_keys = [\"default\", \"managed\"]")).await;
    let named = site.write(OBJECT).await;
    refuses(&site, &named, By::Policy, "named as managed", |it| {
        it.mode = 1
    })
    .await;
    refuses(
        &site,
        &named,
        By::Metadata,
        "named as the customer's",
        |it| it.mode = 3,
    )
    .await;
    refuses(&site, &named, By::Metadata, "no mode", |it| it.mode = 4).await;
    let managed = site
        .write_as(OBJECT, |draft| draft.header(SSE, "AES256"))
        .await;
    refuses(&site, &managed, By::Policy, "managed as named", |it| {
        it.mode = 2
    })
    .await;
    site.stop().await;
}

/// Where the key has become a managed one, the rule has nothing against the other mode.
#[tokio::test]
async fn p14_the_mode_is_rewritten_where_the_rule_would_take_it() {
    let site = Site::start(rule("keys = [\"tenant\"]")).await;
    let named = |draft: Draft| draft.header(SSE, "aws:kms").header(KEY_ID, "tenant");
    let object = site.write_as(OBJECT, named).await;
    site.opens(OBJECT).await;
    let options = Options {
        keys: "former_managed = [\"tenant\"]".to_owned(),
        ..Options::default()
    };
    let site = Site { options, ..site }.restart().await;
    let forged = object.with_envelope(|it| it.mode = 1);
    site.attacker.plant(OBJECT, &forged).await;
    let refused = site.client.get(OBJECT).await;
    super::assert_refused(&refused, 500, "InternalError", "the other mode");
    assert_eq!(site.failures().await.get("unwrap"), Some(&1));
    site.stop().await;
}

#[tokio::test]
async fn p13_p14_the_key_id_is_rewritten() {
    let site = Site::start(rule("accept_keys = [\"default\", \"tenant\"]")).await;
    let object = site.write(OBJECT).await;
    for (id, by) in [
        ("tenant", By::Unwrap),
        ("managed", By::Policy),
        ("unknown", By::Policy),
        ("Default", By::Policy),
        ("alias/default", By::Policy), // an alias is no id
        ("", By::Metadata),
    ] {
        let forged = object.with_envelope(|it| id.clone_into(&mut it.key_id));
        site.refuses_instead(OBJECT, &forged, by, id).await;
    }
    site.stop().await;
}

#[tokio::test]
async fn p14_the_key_version_is_rewritten() {
    let site = Site::start(rule("")).await;
    update(&site.proxy.keyring(), WhenMissing::Refuse, |keyring| {
        keyring.rotate("default", Material::generate().unwrap(), app::now())
    })
    .unwrap();
    let site = site.restart().await;
    let object = site.write(OBJECT).await;
    assert_eq!(Fields::read(&object.envelope).key_version, 2);
    refuses(&site, &object, By::Unwrap, "an older version", |it| {
        it.key_version = 1
    })
    .await;
    // A version that does not exist is the key's trouble, and no alert.
    for version in [0, 3, u32::MAX] {
        let forged = object.with_envelope(|it| it.key_version = version);
        site.attacker.plant(OBJECT, &forged).await;
        let refused = site.client.get(OBJECT).await;
        super::assert_refused(&refused, 400, "KMS.NotFoundException", "no such version");
    }
    site.attacker.plant(OBJECT, &object).await;
    site.opens(OBJECT).await;
    site.stop().await;
}

#[tokio::test]
async fn p13_p14_the_provider_is_rewritten() {
    let site = Site::start(rule("")).await;
    let object = site.write(OBJECT).await;
    refuses(&site, &object, By::Policy, "AWS KMS", |it| it.provider = 2).await;
    refuses(&site, &object, By::Policy, "Transit", |it| it.provider = 3).await;
    refuses(&site, &object, By::Policy, "PKCS#11", |it| it.provider = 4).await;
    refuses(&site, &object, By::Metadata, "the customer's", |it| {
        it.provider = 5
    })
    .await;
    refuses(&site, &object, By::Metadata, "no provider", |it| {
        it.provider = 6
    })
    .await;
    site.stop().await;
}

#[tokio::test]
async fn p14_the_binding_is_rewritten() {
    for (written, least, others) in [
        ("bucket-and-key", By::Policy, [0, 1]),
        ("none", By::Unwrap, [1, 2]),
    ] {
        let site = Site::start(rule(&format!("binding = \"{written}\""))).await;
        let object = site.write(OBJECT).await;
        for binding in others {
            let forged = object.with_envelope(|it| it.binding = binding);
            let what = format!("{written} as {binding}");
            site.refuses_instead(OBJECT, &forged, least, &what).await;
        }
        refuses(&site, &object, By::Metadata, "no binding", |it| {
            it.binding = 3
        })
        .await;
        site.stop().await;
    }
}

#[tokio::test]
async fn p10_p14_the_kind_of_wrap_is_rewritten() {
    let site = Site::start(rule("")).await;
    let object = site.write(OBJECT).await;
    refuses(&site, &object, By::Metadata, "the wrap alone", |it| {
        it.wrap = 2
    })
    .await;
    refuses(&site, &object, By::Metadata, "its flag alone", |it| {
        it.flags = 1
    })
    .await;
    refuses(&site, &object, By::Metadata, "no such flag", |it| {
        it.flags = 2
    })
    .await;
    let as_bucket_key = |it: &mut Fields| {
        (it.wrap, it.flags) = (2, 1);
        // The wrap of the data key taken for one of a bucket key, which would then be the data key.
        let mut last = [vec![7; 16], vec![0, 80], it.last.clone()].concat();
        last.extend_from_slice(&it.last);
        it.last = last;
    };
    refuses(&site, &object, By::Unwrap, "all of it", as_bucket_key).await;

    let by_bucket_key = |draft: Draft| {
        let on = "x-amz-server-side-encryption-bucket-key-enabled";
        draft.header(SSE, "aws:kms").header(on, "true")
    };
    let object = site.write_as(OBJECT, by_bucket_key).await;
    refuses(&site, &object, By::Metadata, "the wrap alone", |it| {
        it.wrap = 1;
    })
    .await;
    let taken = object.bucket_key();
    for (wrapped, what) in [
        (taken.embedded, "the bucket key"),
        (taken.wrapped, "its wrap"),
    ] {
        let forged = object.with_envelope(|it| {
            (it.wrap, it.flags) = (1, 0);
            it.last = wrapped;
        });
        let what = format!("{what} as a direct wrap");
        site.refuses_instead(OBJECT, &forged, By::Unwrap, &what)
            .await;
    }
    site.stop().await;
}

#[tokio::test]
async fn p14_the_client_encryption_context_is_rewritten() {
    for bucket_key in [false, true] {
        let site = Site::start(rule(&format!("bucket_keys = {bucket_key}"))).await;
        let object = site.write_as(OBJECT, with_context).await;
        for (context, by) in [
            ("{\"tenant\":\"b\"}", By::Unwrap),
            ("{\"more\":\"x\",\"tenant\":\"a\"}", By::Unwrap),
            ("", By::Unwrap),
            ("{}", By::Metadata),
            ("{ \"tenant\":\"a\"}", By::Metadata),
            ("{\"aws:s3:arn\":\"a\"}", By::Metadata),
        ] {
            let forged = object.with_envelope(|it| context.clone_into(&mut it.context));
            site.refuses_instead(OBJECT, &forged, by, context).await;
        }
        let object = site.write(OBJECT).await;
        let added = object.with_envelope(|it| "{\"tenant\":\"a\"}".clone_into(&mut it.context));
        site.refuses_instead(OBJECT, &added, By::Unwrap, "one where there was none")
            .await;
        site.stop().await;
    }
}
