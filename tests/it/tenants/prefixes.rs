//! A client of some key prefixes: what is outside of them is not there for it.

use crate::support::client::{Draft, Identity};
use crate::support::form::Form;
use crate::support::upstream::Embedded;
use crate::support::{Options, Proxy};

use super::denies;

const TEAM: Identity = Identity {
    id: "TEAM-A-OF-THE-TESTS",
    secret: "team-a-secret-of-the-tests",
};

const CLIENT: &str = r#"
[[clients]]
access_key_id = "TEAM-A-OF-THE-TESTS"
secret_access_key = "team-a-secret-of-the-tests"
prefixes = ["team-a/", "a+b/"]
key = "tenant"
"#;

#[tokio::test]
async fn p129_a_client_of_a_prefix_stays_within_it() {
    let upstream = Embedded::start().await;
    let options = Options {
        tables: CLIENT.to_owned(),
        rule: "keys = [\"tenant\"]".to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let (owner, team) = (proxy.client(), proxy.client().signing_as(TEAM));
    assert_eq!(owner.put("/bucket/team-b/x", "text").await.status, 200);
    let put = team.put("/bucket/team-a/x", "text").await;
    assert_eq!(put.status, 200, "{put:?}");
    // Without a word, under its own key.
    let key = put.header("x-amz-server-side-encryption-aws-kms-key-id");
    assert_eq!(key, Some("tenant"));
    assert_eq!(&team.get("/bucket/team-a/x").await.body[..], b"text");
    let copy = |from: &str, to: &str| -> Draft {
        let draft = team.draft("PUT", to);
        draft.header("x-amz-copy-source", from)
    };
    let delete = |key: &str| {
        let document = format!(
            "<Delete><Object><Key>team-a/x</Key></Object><Object><Key>{key}</Key></Object></Delete>"
        );
        let draft = team.draft("POST", "/bucket?delete").body(document);
        draft.header("content-type", "application/xml")
    };
    let mut outside = vec![
        copy("bucket/team-b/x", "/bucket/team-a/y"),
        copy("bucket/team-a%2F..%2Fteam-b/x", "/bucket/team-a/y"),
        copy("bucket/team-a/x", "/bucket/team-b/y"),
        delete("team-b/x"),
        delete("team-a/../team-b/x"),
        delete("team-&#98;/x"),
    ];
    for (method, target) in [
        ("GET", "/bucket/team-b/x"),
        ("PUT", "/bucket/team-b/x"),
        ("DELETE", "/bucket/team-b/x"),
        ("GET", "/bucket/team-a"),
        ("GET", "/bucket/team-a/../team-b/x"),
        ("GET", "/bucket/team-a/%2e%2e/team-b/x"),
        ("GET", "/bucket/team-b/x?tagging"),
        ("POST", "/bucket/team-b/x?uploads"),
        ("GET", "/bucket"),
        ("GET", "/bucket?prefix="),
        ("GET", "/bucket?prefix=team-"),
        ("GET", "/bucket?prefix=team-b/"),
        ("GET", "/bucket?list-type=2&prefix=team-a/../"),
        ("GET", "/bucket?versions&start-after=team-a/"),
        ("GET", "/bucket?uploads"),
        ("GET", "/bucket?policy"),
        ("GET", "/bucket?cors"),
        ("GET", "/bucket?lifecycle"),
        ("PUT", "/bucket?policy"),
        ("PUT", "/bucket?encryption"),
        ("PUT", "/bucket"),
        ("DELETE", "/bucket"),
    ] {
        outside.push(team.draft(method, target));
    }
    for draft in outside {
        denies("outside", draft).await;
    }
    let form = Form::new("team-b/form", "text").sign(TEAM);
    denies("a form", form.draft(&team, "/bucket")).await;
    let form = Form::new("team-a/form", "text").sign(TEAM);
    assert_eq!(form.draft(&team, "/bucket").send().await.status, 204);
    let listed = team.get("/bucket?list-type=2&prefix=team-a%2F").await;
    assert_eq!(listed.elements("Key"), ["team-a/form", "team-a/x"]);
    for target in ["/bucket?location", "/bucket?encryption"] {
        assert_ne!(team.get(target).await.status, 403, "{target}");
    }
    let encryption = team.get("/bucket?encryption").await;
    assert_eq!(encryption.element("KMSMasterKeyID"), "tenant");
    assert_eq!(team.draft("HEAD", "/bucket").send().await.status, 200);
    assert_eq!(delete("team-a/form").send().await.status, 200);
    let left = owner.get("/bucket?list-type=2").await;
    assert_eq!(left.elements("Key"), ["team-b/x"]);
    proxy.stop().await;
}

#[tokio::test]
async fn p130_the_key_of_a_client_has_to_be_one_of_the_rule() {
    let upstream = Embedded::start().await;
    let options = Options {
        tables: CLIENT.to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let team = proxy.client().signing_as(TEAM);
    denies("its key", team.draft("PUT", "/bucket/team-a/x")).await;
    let named = team.draft("PUT", "/bucket/team-a/x");
    let named = named
        .header("x-amz-server-side-encryption", "aws:kms")
        .header("x-amz-server-side-encryption-aws-kms-key-id", "default");
    assert_eq!(named.send().await.status, 200);
    proxy.stop().await;
}
