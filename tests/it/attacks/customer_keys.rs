//! Objects under customer keys: wrong keys for them, and them in the wrong places.

use super::{SECRET, Site, assert_refused, secret};
use crate::multipart;
use crate::support::Options;
use crate::support::attacker::Loot;
use crate::support::client::{Client, Draft};
use crate::support::customer_key::{Key, PREFIX, SOURCE};

const OBJECT: &str = "/bucket/object";
const RIGHT: Key = Key(b'r');
const WRONG: Key = Key(b'w');

/// What the headers say: a key, and the MD5 of one.
#[derive(Clone, Copy)]
struct Claim(Key, Key);

impl Claim {
    fn on(self, draft: Draft, prefix: &str) -> Draft {
        draft
            .header(&format!("{prefix}algorithm"), "AES256")
            .header(&format!("{prefix}key"), &self.0.base64())
            .header(&format!("{prefix}key-md5"), &self.1.md5())
    }
}

struct Bench {
    site: Site,
    client: Client,
}

impl Bench {
    async fn start() -> Self {
        let site = Site::start(Options {
            tls: true,
            ..Options::default()
        })
        .await;
        let client = site.proxy.tls_client();
        Self { site, client }
    }

    /// Writes an object under a key; what is stored of it.
    async fn write(&self, path: &str, key: Key) -> Loot {
        let put = key.on(self.client.draft("PUT", path), PREFIX);
        let put = put.body(secret(path)).send().await;
        assert_eq!(put.status, 200, "{put:?}");
        self.site.attacker.take(path).await
    }

    async fn opens(&self, path: &str, key: Key) {
        let get = key.on(self.client.draft("GET", path), PREFIX).send().await;
        assert!(get.status == 200 && get.body == secret(path), "{get:?}");
    }

    /// Every way to the bytes with this key in the headers, and one to put more of them there.
    fn ways(&self, path: &str, upload: &str, claim: Claim) -> Vec<(&'static str, Draft)> {
        let get = || claim.on(self.client.draft("GET", path), PREFIX);
        let copy = |target: &str| {
            let draft = self.client.draft("PUT", target);
            claim.on(draft.header("x-amz-copy-source", path), SOURCE)
        };
        let part = multipart::target("plain", upload, Some(1));
        vec![
            ("GET", get()),
            ("a range", get().header("range", "bytes=0-0")),
            ("HEAD", claim.on(self.client.draft("HEAD", path), PREFIX)),
            ("a copy", copy("/bucket/stolen")),
            ("a part copied", copy(&part)),
        ]
    }

    async fn refuses(&self, path: &str, claim: Claim, (status, code): (u16, &str), what: &str) {
        let upload = create(&self.client, "plain", |draft| draft).await;
        for (way, draft) in self.ways(path, &upload, claim) {
            let refused = draft.send().await;
            let what = format!("{what}, {way}");
            if way == "HEAD" {
                assert_eq!(refused.status.as_u16(), status, "{what}");
            } else {
                assert_refused(&refused, status, code, &what);
            }
        }
        assert!(!self.site.attacker.finds("/bucket/stolen").await, "{what}");
    }
}

async fn create(client: &Client, key: &str, more: impl FnOnce(Draft) -> Draft) -> String {
    let created = more(client.draft("POST", &format!("/bucket/{key}?uploads")));
    let created = created.send().await;
    assert_eq!(created.status, 200, "{created:?}");
    created.element("UploadId")
}

#[tokio::test]
async fn p86_p89_a_wrong_key_comes_right_behind_the_right_one() {
    let bench = Bench::start().await;
    bench.write(OBJECT, RIGHT).await;
    for (claim, refusal, what) in [
        (Claim(WRONG, WRONG), (403, "AccessDenied"), "a wrong key"),
        (
            Claim(WRONG, RIGHT),
            (400, "InvalidArgument"),
            "a wrong key with the right one's MD5",
        ),
        (
            Claim(RIGHT, WRONG),
            (400, "InvalidArgument"),
            "the right key with another's MD5",
        ),
    ] {
        bench.opens(OBJECT, RIGHT).await;
        bench.refuses(OBJECT, claim, refusal, what).await;
    }
    bench.opens(OBJECT, RIGHT).await;
    bench.site.stop().await;
}

#[tokio::test]
async fn p88_a_part_comes_with_another_key_right_behind_one_with_the_right_key() {
    let bench = Bench::start().await;
    let client = &bench.client;
    let id = create(client, "object", |draft| RIGHT.on(draft, PREFIX)).await;
    let put = async |number, claim: Claim| {
        let draft = client.draft("PUT", &multipart::target("object", &id, Some(number)));
        claim.on(draft, PREFIX).body(SECRET).send().await
    };
    let one = put(1, Claim(RIGHT, RIGHT)).await;
    assert_eq!(one.status, 200, "{one:?}");
    for (claim, code) in [
        (Claim(WRONG, WRONG), "InvalidRequest"),
        (Claim(WRONG, RIGHT), "InvalidArgument"),
        (Claim(RIGHT, WRONG), "InvalidArgument"),
    ] {
        assert_refused(&put(1, claim).await, 400, code, "the same part");
        assert_refused(&put(2, claim).await, 400, code, "another part");
    }
    let etags = [one.header("etag").unwrap().to_owned()];
    let done = multipart::complete(client, "object", &id, &etags).await;
    assert_eq!(done.status, 200, "{done:?}");
    let get = RIGHT.on(client.draft("GET", OBJECT), PREFIX).send().await;
    assert!(get.status == 200 && get.body == SECRET, "{get:?}");
    bench.site.stop().await;
}

/// To the right key for another object it looks like a wrong one.
#[tokio::test]
async fn p7_p86_an_object_under_the_same_key_comes_from_another_place() {
    let bench = Bench::start().await;
    let own = bench.write(OBJECT, RIGHT).await;
    let other = bench.write("/bucket/other", RIGHT).await;
    let foreign = bench.write("/bucket/foreign", WRONG).await;
    let envelope_of = |loot: &Loot| Loot {
        envelope: loot.envelope.clone(),
        ..own.clone()
    };
    for (forged, what) in [
        (other.clone(), "another object"),
        (envelope_of(&other), "its envelope"),
        (foreign.clone(), "an object under another key"),
        (envelope_of(&foreign), "its envelope"),
        (own.with_envelope(|it| it.binding = 1), "another binding"),
        (
            own.with_envelope(|it| "{\"a\":\"b\"}".clone_into(&mut it.context)),
            "another context",
        ),
    ] {
        bench.site.attacker.plant(OBJECT, &forged).await;
        let (status, code) = if what == "another binding" {
            (500, "InternalError")
        } else {
            (403, "AccessDenied")
        };
        let refusal = (status, code);
        bench
            .refuses(OBJECT, Claim(RIGHT, RIGHT), refusal, what)
            .await;
    }
    bench.site.attacker.plant(OBJECT, &own).await;
    bench.opens(OBJECT, RIGHT).await;
    bench.opens("/bucket/other", RIGHT).await;
    bench.site.stop().await;
}

/// Whoever sends no key is not given an object that the attacker sealed under one of his.
#[tokio::test]
async fn p86_an_object_is_exchanged_for_one_under_a_customer_key_of_the_attackers() {
    let bench = Bench::start().await;
    let forged = bench.write(OBJECT, WRONG).await;
    let put = bench.client.put(OBJECT, secret(OBJECT)).await;
    assert_eq!(put.status, 200, "{put:?}");
    let own = bench.site.attacker.take(OBJECT).await;
    bench.site.attacker.plant(OBJECT, &forged).await;
    for draft in [
        bench.client.draft("GET", OBJECT),
        bench
            .client
            .draft("GET", OBJECT)
            .header("range", "bytes=0-0"),
        bench
            .client
            .draft("PUT", "/bucket/stolen")
            .header("x-amz-copy-source", OBJECT),
    ] {
        assert_refused(&draft.send().await, 400, "InvalidRequest", "no key");
    }
    let head = bench.client.draft("HEAD", OBJECT).send().await;
    assert_eq!(head.status, 400);
    // Nor can it pass for one without.
    let named = forged.with_envelope(|it| {
        (it.provider, it.mode, it.key_version) = (1, 2, 1);
        "default".clone_into(&mut it.key_id);
    });
    bench.site.attacker.plant(OBJECT, &named).await;
    let refused = bench.client.get(OBJECT).await;
    assert_refused(&refused, 500, "InternalError", "as a named key's");
    bench.site.attacker.plant(OBJECT, &own).await;
    let get = bench.client.get(OBJECT).await;
    assert!(get.status == 200 && get.body == secret(OBJECT), "{get:?}");
    bench.site.stop().await;
}
