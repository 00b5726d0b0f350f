//! Another tenant: a client of the same proxy with keys of its own, who can write to the upstream, too.

use super::{By, KEY_ID, SSE, Site, TENANT, TENANTS_TABLE, assert_refused, secret};
use crate::support::Options;
use crate::support::attacker::{Fields, Loot};
use crate::support::client::{Client, Draft};

const VICTIMS: &str = "/bucket/victims";
const TENANTS: &str = "/tenants/own";

/// The tenant has a bucket and a key; the victim has all keys and buckets.
fn options(rule: &str, tenants_rule: &str) -> Options {
    let client = format!("{TENANTS_TABLE}buckets = [\"tenants\", \"common\"]\n");
    let rules = "[[rules]]\nbuckets = [\"tenants\"]\nencryption = \"named-key\"\n\
                 key = \"tenant\"\nverify_sizes = true\n";
    Options {
        tables: format!("{client}{rules}{tenants_rule}\n"),
        rule: rule.to_owned(),
        ..Options::default()
    }
}

struct Bench {
    site: Site,
    tenant: Client,
    victims: Loot,
    tenants: Loot,
}

impl Bench {
    async fn start(rule: &str, tenants_rule: &str) -> Self {
        let site = Site::start(options(rule, tenants_rule)).await;
        for bucket in ["tenants", "common"] {
            site.attacker.make_bucket(bucket).await;
        }
        let tenant = Client::new(site.proxy.address, TENANT);
        let put = tenant.put(TENANTS, secret(TENANTS)).await;
        assert_eq!(put.status, 200, "{put:?}");
        Self {
            victims: site.write(VICTIMS).await,
            tenants: site.attacker.take(TENANTS).await,
            tenant,
            site,
        }
    }

    /// Every way to the bytes of an object, for the tenant.
    async fn denies(&self, path: &str, what: &str) {
        for (way, draft) in self.ways_to(path) {
            let refused = draft.send().await;
            let what = format!("{what}, {way}");
            if way == "HEAD" {
                assert_eq!(refused.status, 403, "{what}");
            } else {
                assert_refused(&refused, 403, "AccessDenied", &what);
            }
        }
        assert!(!self.site.attacker.finds("/tenants/stolen").await, "{what}");
    }

    fn ways_to(&self, path: &str) -> Vec<(&'static str, Draft)> {
        let get = || self.tenant.draft("GET", path);
        let copy = self.tenant.draft("PUT", "/tenants/stolen");
        let onto = self.tenant.draft("PUT", path);
        let onto = onto.header(SSE, "aws:kms").header(KEY_ID, "tenant");
        let rewrap = self.tenant.draft("PUT", &format!("{path}?encryption"));
        let tenants = "<ObjectEncryption><SSE-KMS><KMSKeyArn>tenant</KMSKeyArn></SSE-KMS>\
                       </ObjectEncryption>";
        vec![
            ("GET", get()),
            ("a range", get().header("range", "bytes=0-0")),
            ("HEAD", self.tenant.draft("HEAD", path)),
            ("a copy", copy.header("x-amz-copy-source", path)),
            (
                "a copy under his key onto it",
                onto.header("x-amz-copy-source", path),
            ),
            ("his key for it", rewrap.body(tenants)),
        ]
    }
}

/// The attacker has the victim's object in his own bucket, where he may read.
#[tokio::test]
async fn p7_p13_a_tenant_moves_an_object_into_his_own_bucket_to_read_it() {
    // Whatever the rule of his bucket accepts, and however little it binds.
    for (rule, tenants_rule, by) in [
        ("", "", By::Policy),
        ("", "accept_keys = [\"tenant\", \"default\"]", By::Unwrap),
        (
            "binding = \"none\"",
            "accept_keys = [\"tenant\", \"default\"]\nbinding = \"none\"",
            By::Unwrap,
        ),
    ] {
        let bench = Bench::start(rule, tenants_rule).await;
        let Bench { site, victims, .. } = &bench;
        bench.denies(VICTIMS, "where it is").await;
        site.attacker.plant(TENANTS, victims).await;
        if by == By::Policy {
            let refused = bench.tenant.get(TENANTS).await;
            assert_refused(&refused, 500, "InternalError", "a foreign key");
            site.refuses(TENANTS, by, "the rule").await;
        } else {
            // Reading it a moment ago, the victim has put its key into the cache.
            site.opens(VICTIMS).await;
            bench.denies(TENANTS, "not his key").await;
        }
        // The envelope cannot be made to name his.
        let renamed = victims.with_envelope(|it| "tenant".clone_into(&mut it.key_id));
        site.attacker.plant(TENANTS, &renamed).await;
        let refused = bench.tenant.get(TENANTS).await;
        assert_refused(&refused, 500, "InternalError", "renamed");
        site.attacker.plant(TENANTS, &bench.tenants).await;
        let own = bench.tenant.get(TENANTS).await;
        assert!(own.status == 200 && own.body == secret(TENANTS));
        site.opens(VICTIMS).await;
        bench.site.stop().await;
    }
}

/// The attacker's object, faultlessly sealed under his own key, in the place of the victim's.
#[tokio::test]
async fn p13_p14_a_tenant_puts_an_object_of_his_in_the_place_of_anothers() {
    for (rule, by) in [
        ("", By::Policy),
        ("accept_keys = [\"default\", \"tenant\"]", By::Unwrap),
    ] {
        let bench = Bench::start(rule, "").await;
        let Bench { site, tenants, .. } = &bench;
        site.refuses_instead(VICTIMS, tenants, by, "as it is").await;
        let renamed = tenants.with_envelope(|it| "default".clone_into(&mut it.key_id));
        site.refuses_instead(VICTIMS, &renamed, By::Unwrap, "renamed")
            .await;
        let only_envelope = Loot {
            envelope: tenants.envelope.clone(),
            ..bench.victims.clone()
        };
        site.refuses_instead(VICTIMS, &only_envelope, by, "its envelope")
            .await;
        bench.site.stop().await;
    }
}

/// Both write to one bucket, each under his own key.
#[tokio::test]
async fn p13_p16_a_tenant_reads_and_rewrites_in_a_bucket_of_both() {
    let bench = Bench::start("keys = [\"tenant\"]", "").await;
    let (site, path) = (&bench.site, "/common/object");
    let victims = site.write(path).await;
    assert_eq!(Fields::read(&victims.envelope).key_id, "default");
    site.opens(path).await;
    bench.denies(path, "another's key, cached").await;
    for key in ["default", "managed"] {
        let put = bench.tenant.draft("PUT", path).body("mine");
        let put = put.header(SSE, "aws:kms").header(KEY_ID, key);
        assert_refused(&put.send().await, 403, "AccessDenied", key);
    }
    let put = bench.tenant.draft("PUT", "/common/his").body("mine");
    let put = put.header(SSE, "aws:kms").header(KEY_ID, "tenant");
    assert_eq!(put.send().await.status, 200);
    site.opens(path).await;
    bench.site.stop().await;
}
