//! Tenants: who shares a proxy sees and touches nothing of the others.

mod audit;
mod foreign_keys;
mod isolation;
mod limits;
mod prefixes;
mod roles;

use crate::support::client::{Answer, Draft, Identity};

/// Has the bucket `team-b` and the key `default`.
const TENANT: Identity = Identity {
    id: "TENANT-B-OF-THE-TESTS",
    secret: "tenant-b-secret-of-the-tests",
};

/// May read everything.
const READER: Identity = Identity {
    id: "READER-OF-THE-TESTS",
    secret: "reader-secret-of-the-tests",
};

const CLIENTS: &str = r#"
[[clients]]
access_key_id = "TENANT-B-OF-THE-TESTS"
secret_access_key = "tenant-b-secret-of-the-tests"
buckets = ["team-b", "team-b-*"]
keys = ["default"]
[[clients]]
access_key_id = "READER-OF-THE-TESTS"
secret_access_key = "reader-secret-of-the-tests"
read_only = true
"#;

/// Refused as S3 refuses; a HEAD has no document to say so in.
fn assert_denied(what: &str, is_head: bool, answer: &Answer) {
    assert_eq!(answer.status, 403, "{what}: {answer:?}");
    if !is_head {
        assert_eq!(answer.code(), "AccessDenied", "{what}: {answer:?}");
    }
}

async fn denies(what: &str, draft: Draft) {
    assert_denied(what, false, &draft.send().await);
}
