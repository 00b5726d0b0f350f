//! Who may use what: the scope of a client and the rules.

use super::Gate;
use crate::support::Options;
use crate::support::client::{Client, Identity};

const READER: Identity = Identity {
    id: "READER",
    secret: "reader-secret-of-the-tests",
};
const TEAM: Identity = Identity {
    id: "TEAM",
    secret: "team-secret-of-the-tests",
};
const TENANT: Identity = Identity {
    id: "TENANT",
    secret: "tenant-secret-of-the-tests",
};

const TABLES: &str = r#"
[[clients]]
access_key_id = "READER"
secret_access_key = "reader-secret-of-the-tests"
read_only = true
[[clients]]
access_key_id = "TEAM"
secret_access_key = "team-secret-of-the-tests"
buckets = ["team-*"]
[[clients]]
access_key_id = "TENANT"
secret_access_key = "tenant-secret-of-the-tests"
keys = ["tenant"]
[[rules]]
buckets = ["vault"]
encryption = "deny"
[[rules]]
buckets = ["plain"]
encryption = "off"
[[rules]]
buckets = ["strict"]
encryption = "managed"
allow = ["managed"]
"#;

fn options() -> Options {
    Options {
        tables: TABLES.to_owned(),
        ..Options::default()
    }
}

#[tokio::test]
async fn p43_a_read_only_client_changes_nothing() {
    let gate = Gate::start(options()).await;
    let reader = Client::new(gate.proxy.address, READER);
    for (method, target) in [
        ("PUT", "/bucket/object"),
        ("DELETE", "/bucket/object"),
        ("POST", "/bucket?delete"),
        ("PUT", "/bucket/object?acl"),
        ("PUT", "/bucket/object?tagging"),
        ("DELETE", "/bucket/object?tagging"),
        ("POST", "/bucket/object?restore"),
        ("POST", "/bucket/object?uploads"),
        ("PUT", "/bucket"),
        ("DELETE", "/bucket"),
        ("PUT", "/bucket?policy"),
        ("PUT", "/bucket/object?frobnicate"),
    ] {
        gate.refuses(target, reader.draft(method, target), 403, "AccessDenied")
            .await;
    }
    gate.stop().await;
}

#[tokio::test]
async fn p43_a_client_of_some_buckets_sees_no_other() {
    let gate = Gate::start(options()).await;
    let team = Client::new(gate.proxy.address, TEAM);
    for (method, target) in [
        ("GET", "/bucket/object"),
        ("PUT", "/bucket/object"),
        ("DELETE", "/bucket/object"),
        ("GET", "/bucket?list-type=2"),
        ("GET", "/bucket?location"),
        ("GET", "/team/object"),
    ] {
        gate.refuses(target, team.draft(method, target), 403, "AccessDenied")
            .await;
    }
    assert_eq!(
        team.draft("HEAD", "/bucket/object").send().await.status,
        403
    );
    gate.stop().await;
}

#[tokio::test]
async fn p12_p43_a_rule_that_denies_denies_everything() {
    let gate = Gate::start(options()).await;
    for (method, target) in [
        ("GET", "/vault/object"),
        ("PUT", "/vault/object"),
        ("DELETE", "/vault/object"),
        ("GET", "/vault"),
        ("GET", "/vault?list-type=2"),
        ("PUT", "/vault"),
        ("GET", "/vault?encryption"),
        ("GET", "/vault/object?acl"),
        ("PUT", "/vault/object?tagging"),
        ("POST", "/vault?delete"),
    ] {
        gate.refuses(
            target,
            gate.client.draft(method, target),
            403,
            "AccessDenied",
        )
        .await;
    }
    assert_eq!(
        gate.client
            .draft("HEAD", "/vault/object")
            .send()
            .await
            .status,
        403
    );
    gate.stop().await;
}

#[tokio::test]
async fn p12_p16_rules_and_clients_limit_modes_and_keys() {
    const SSE: &str = "x-amz-server-side-encryption";
    const KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";
    let gate = Gate::start(options()).await;
    let put = |target: &str| gate.client.draft("PUT", target);
    let tenant = Client::new(gate.proxy.address, TENANT);
    for (what, draft) in [
        (
            "managed under off",
            put("/plain/object").header(SSE, "AES256"),
        ),
        (
            "named under off",
            put("/plain/object").header(SSE, "aws:kms"),
        ),
        (
            "named under managed only",
            put("/strict/object").header(SSE, "aws:kms"),
        ),
        ("the rule's key", tenant.draft("PUT", "/bucket/object")),
        (
            "a key by name",
            tenant
                .draft("PUT", "/bucket/object")
                .header(SSE, "aws:kms")
                .header(KEY_ID, "default"),
        ),
    ] {
        gate.refuses(what, draft, 403, "AccessDenied").await;
    }
    gate.stop().await;
}

const AES: &str = "<SSEAlgorithm>AES256</SSEAlgorithm>";
const KMS: &str = "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>default</KMSMasterKeyID>";
const ALIAS: &str =
    "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>alias/default</KMSMasterKeyID>";
const OTHER_KEY: &str =
    "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>tenant</KMSMasterKeyID>";
const NO_KEY: &str = "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>none</KMSMasterKeyID>";

fn configuration(default: &str) -> String {
    format!(
        "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>{default}\
         </ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
    )
}

#[tokio::test]
async fn the_encryption_of_a_bucket_is_not_a_clients_to_change() {
    let gate = Gate::start(options()).await;
    let draft = gate.client.draft("DELETE", "/bucket?encryption");
    gate.refuses("DELETE", draft, 403, "AccessDenied").await;
    for (bucket, default, status) in [
        ("bucket", KMS, 200),
        ("bucket", "<SSEAlgorithm>aws:kms</SSEAlgorithm>", 200),
        ("bucket", ALIAS, 200),
        ("bucket", OTHER_KEY, 403),
        ("bucket", NO_KEY, 403),
        ("bucket", AES, 403),
        ("strict", AES, 200),
        ("strict", KMS, 403),
        ("plain", AES, 403),
        ("vault", AES, 403),
        ("bucket", "", 403),
    ] {
        let what = format!("{bucket} {default}");
        let draft = gate.client.draft("PUT", &format!("/{bucket}?encryption"));
        let draft = draft.body(configuration(default));
        if status == 200 {
            let answer = draft.send().await;
            assert_eq!(answer.status, 200, "{what}: {answer:?}");
            assert!(answer.body.is_empty(), "{what}");
        } else {
            gate.refuses(&what, draft, status, "AccessDenied").await;
        }
    }
    for document in ["", "<Other/>", "no document"] {
        let draft = gate
            .client
            .draft("PUT", "/bucket?encryption")
            .body(document);
        gate.refuses(document, draft, 400, "MalformedXML").await;
    }
    let code = "ServerSideEncryptionConfigurationNotFoundError";
    gate.refuses(
        "off",
        gate.client.draft("GET", "/plain?encryption"),
        404,
        code,
    )
    .await;
    gate.stop().await;
}
