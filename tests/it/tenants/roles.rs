//! Roles: a client's requests go upstream in the name of the role that it has there.

use super::{READER, TENANT};
use crate::providers::moto::Moto;
use crate::support::chaos::{Chaos, Seen};
use crate::support::{Options, Proxy, UPSTREAM};

fn client(id: &str, secret: &str, credentials: &str) -> String {
    format!(
        "[[clients]]\naccess_key_id = \"{id}\"\nsecret_access_key = \"{secret}\"\nupstream_credentials = {credentials}\n"
    )
}

fn role(name: &str, sts: &str) -> String {
    format!(
        "{{ role_arn = \"arn:aws:iam::123456789012:role/{name}\", external_id = \"tenant\", sts_endpoint = \"{sts}\", \
         access_key_id = \"AKIDEXAMPLE\", secret_access_key = \"a-secret-access-key-of-the-tests\" }}"
    )
}

fn signed_by(seen: &Seen) -> String {
    let authorization = seen.header("authorization").unwrap();
    let (_, rest) = authorization.split_once("Credential=").unwrap();
    rest.split('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn p147_a_client_of_a_role_is_that_role_to_the_upstream() {
    let Some(moto) = Moto::of_the_run() else {
        return;
    };
    let sts = format!("http://{}", moto.address);
    let chaos = Chaos::start().await;
    let options = Options {
        tables: client(TENANT.id, TENANT.secret, &role("tenant-b", &sts))
            + &client(READER.id, READER.secret, &role("reader", &sts)),
        ..Options::default()
    };
    let proxy = Proxy::start(chaos.address, options).await;
    let owner = proxy.client();
    assert_eq!(owner.put("/bucket/object", "text").await.status, 200);
    assert_eq!(signed_by(&chaos.only()), UPSTREAM.id);
    let mut names = Vec::new();
    for identity in [TENANT, READER, TENANT] {
        chaos.forget();
        let client = owner.signing_as(identity);
        assert_eq!(client.get("/bucket/object").await.body, "text");
        let seen = chaos.only();
        assert!(seen.header("x-amz-security-token").is_some());
        names.push(signed_by(&seen));
    }
    // Of STS, each its own, and not asked for again while they hold.
    assert!(
        names.iter().all(|name| name.starts_with("ASIA")),
        "{names:?}"
    );
    assert_ne!(names[0], names[1]);
    assert_eq!(names[0], names[2]);
}

/// Whose role cannot be assumed is refused; nobody else notices, at the start or later.
#[tokio::test]
async fn p147_a_role_that_cannot_be_assumed_is_a_matter_of_its_client() {
    let chaos = Chaos::start().await;
    // Nobody listens there.
    let tables = client(
        TENANT.id,
        TENANT.secret,
        &role("gone", "http://127.0.0.1:1"),
    );
    let options = Options {
        tables,
        ..Options::default()
    };
    let proxy = Proxy::start(chaos.address, options).await;
    let owner = proxy.client();
    let tenant = owner.signing_as(TENANT);
    for _ in 0..3 {
        assert_eq!(owner.put("/bucket/object", "text").await.status, 200);
        let refused = tenant.get("/bucket/object").await;
        assert_eq!(refused.status, 503, "{refused:?}");
    }
}
