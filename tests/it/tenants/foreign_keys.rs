//! A key of another tenant: not to be written under, by whatever it is named in, and what is under
//! it is not to be read, wherever it is.

use super::{CLIENTS, TENANT, assert_denied, denies};
use crate::support::client::{Client, Draft};
use crate::support::form::Form;
use crate::support::upstream::Embedded;
use crate::support::{Options, Proxy};

const SSE: &str = "x-amz-server-side-encryption";
const KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";

/// Of the other tenant.
const FOREIGN: &str = "tenant";

struct House {
    proxy: Proxy,
    upstream: Embedded,
    owner: Client,
    tenant: Client,
}

impl House {
    /// Both buckets are there, and the rules would let both keys be used in both.
    async fn start() -> Self {
        let upstream = Embedded::start().await;
        for bucket in ["team-a", "team-b", "team-b-own", "other"] {
            std::fs::create_dir(upstream.root().join(bucket)).unwrap();
        }
        let tables = format!(
            "{CLIENTS}\n[[rules]]\nbuckets = [\"team-b-own\"]\nencryption = \"named-key\"\n\
             key = \"{FOREIGN}\"\nkeys = [\"default\"]\n"
        );
        let options = Options {
            tables,
            rule: format!("keys = [\"{FOREIGN}\"]"),
            ..Options::default()
        };
        let proxy = Proxy::start(upstream.address, options).await;
        let owner = proxy.client();
        let tenant = owner.signing_as(TENANT);
        Self {
            proxy,
            upstream,
            owner,
            tenant,
        }
    }
}

fn under(draft: Draft, key: &str) -> Draft {
    draft.header(SSE, "aws:kms").header(KEY_ID, key)
}

#[tokio::test]
async fn p126_the_key_of_another_tenant_is_not_written_under() {
    let house = House::start().await;
    let tenant = &house.tenant;
    let own = tenant.put("/team-b/mine", "text").await;
    assert_eq!(own.status, 200, "{own:?}");
    for name in [FOREIGN, "alias/tenant"] {
        let put = under(tenant.draft("PUT", "/team-b/object"), name);
        denies("PutObject", put.body("text")).await;
        let create = under(tenant.draft("POST", "/team-b/object?uploads"), name);
        denies("CreateMultipartUpload", create).await;
        let copy = under(tenant.draft("PUT", "/team-b/object"), name);
        denies(
            "CopyObject",
            copy.header("x-amz-copy-source", "team-b/mine"),
        )
        .await;
        let document = format!(
            "<ObjectEncryption><SSE-KMS><KMSKeyArn>{name}</KMSKeyArn></SSE-KMS></ObjectEncryption>"
        );
        let update = tenant
            .draft("PUT", "/team-b/mine?encryption")
            .body(document);
        denies("UpdateObjectEncryption", update).await;
        let form = Form::new("object", "text").without_conditions();
        let form = form.condition(r#"{"bucket": "team-b"}"#);
        let form = form.condition(r#"["starts-with", "$key", ""]"#);
        let form = form.field(SSE, "aws:kms").field(KEY_ID, name).sign(TENANT);
        denies("PostObject", form.draft(tenant, "/team-b")).await;
    }
    // The default of a rule is no way to it either.
    for draft in [
        tenant.draft("PUT", "/team-b-own/object").body("text"),
        tenant
            .draft("PUT", "/team-b-own/object")
            .header(SSE, "aws:kms"),
        tenant.draft("POST", "/team-b-own/object?uploads"),
        tenant
            .draft("PUT", "/team-b-own/object")
            .header("x-amz-copy-source", "team-b/mine"),
    ] {
        denies("the rule's key", draft).await;
    }
    let named = under(tenant.draft("PUT", "/team-b-own/object"), "default");
    assert_eq!(named.body("text").send().await.status, 200);
    for (bucket, count) in [("team-b", 1), ("team-b-own", 1)] {
        let files = std::fs::read_dir(house.upstream.root().join(bucket)).unwrap();
        assert_eq!(files.count(), count, "{bucket}");
    }
    house.proxy.stop().await;
}

#[tokio::test]
async fn p126_what_is_under_the_key_of_another_tenant_is_not_read() {
    let house = House::start().await;
    let tenant = &house.tenant;
    let put = under(house.owner.draft("PUT", "/team-b/theirs"), FOREIGN);
    assert_eq!(put.body("secret text").send().await.status, 200);
    for draft in [
        tenant.draft("GET", "/team-b/theirs"),
        tenant.draft("GET", "/team-b/theirs").header("range", "bytes=0-0"),
        tenant.draft("GET", "/team-b/theirs?partNumber=1"),
        tenant
            .draft("GET", "/team-b/theirs?attributes")
            .header("x-amz-object-attributes", "ObjectSize"),
        tenant
            .draft("GET", "/team-b/theirs")
            .presign(std::time::Duration::from_secs(60)),
        tenant
            .draft("PUT", "/team-b/copy")
            .header("x-amz-copy-source", "team-b/theirs"),
        tenant
            .draft("PUT", "/team-b/theirs")
            .header("x-amz-copy-source", "team-b/theirs")
            .header("x-amz-metadata-directive", "REPLACE"),
        tenant.draft("PUT", "/team-b/theirs?encryption").body(
            "<ObjectEncryption><SSE-KMS><KMSKeyArn>default</KMSKeyArn></SSE-KMS></ObjectEncryption>",
        ),
    ] {
        denies("a read", draft).await;
    }
    let head = tenant.draft("HEAD", "/team-b/theirs").send().await;
    assert_denied("HEAD", true, &head);
    house.proxy.stop().await;
}

#[tokio::test]
async fn p126_the_upload_of_another_tenant_is_not_gone_on_with() {
    let house = House::start().await;
    let (owner, tenant) = (&house.owner, &house.tenant);
    let begun = under(owner.draft("POST", "/team-b/theirs?uploads"), FOREIGN);
    let begun = begun.send().await;
    let id = begun.element("UploadId");
    assert!(!id.is_empty(), "{begun:?}");
    let part = format!("/team-b/theirs?partNumber=1&uploadId={id}");
    denies("UploadPart", tenant.draft("PUT", &part).body("text")).await;
    assert_eq!(tenant.put("/team-b/mine", "text").await.status, 200);
    let copy = tenant.draft("PUT", &part);
    denies(
        "UploadPartCopy",
        copy.header("x-amz-copy-source", "team-b/mine"),
    )
    .await;
    let sent = owner.put(&part, "text").await;
    assert_eq!(sent.status, 200, "{sent:?}");
    let etag = sent.header("etag").unwrap();
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
         </CompleteMultipartUpload>"
    );
    let complete = format!("/team-b/theirs?uploadId={id}");
    denies(
        "CompleteMultipartUpload",
        tenant.draft("POST", &complete).body(document),
    )
    .await;
    // With the id of an upload elsewhere, nothing is found in the own bucket.
    let elsewhere = owner.draft("POST", "/team-a/object?uploads").send().await;
    let id = elsewhere.element("UploadId");
    for (method, query) in [
        ("PUT", "&partNumber=1"),
        ("GET", ""),
        ("DELETE", ""),
        ("POST", ""),
    ] {
        let target = format!("/team-b/object?uploadId={id}{query}");
        let draft = tenant.draft(method, &target);
        let answer = draft.body(if method == "POST" { "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>" } else { "" });
        let answer = answer.send().await;
        assert_eq!(answer.code(), "NoSuchUpload", "{method}: {answer:?}");
    }
    house.proxy.stop().await;
}

#[tokio::test]
async fn p128_list_buckets_shows_what_is_in_scope() {
    let house = House::start().await;
    let all = house.owner.get("/").await;
    for name in ["bucket", "other", "team-a", "team-b", "team-b-own"] {
        assert!(all.elements("Name").iter().any(|it| it == name), "{name}");
    }
    let own = house.tenant.get("/").await;
    assert_eq!(own.status, 200, "{own:?}");
    assert_eq!(own.elements("Name"), ["team-b", "team-b-own"]);
    assert!(!String::from_utf8_lossy(&own.body).contains("team-a"));
    let first = house.tenant.get("/?max-buckets=1").await;
    assert_eq!(first.elements("Name"), ["team-b"], "{first:?}");
    let token = first.element("ContinuationToken");
    let rest = house
        .tenant
        .get(&format!("/?max-buckets=1&continuation-token={token}"))
        .await;
    assert_eq!(rest.elements("Name"), ["team-b-own"], "{rest:?}");
    assert_eq!(rest.element("ContinuationToken"), "");
    let named = house.tenant.get("/?prefix=team-b-").await;
    assert_eq!(named.elements("Name"), ["team-b-own"], "{named:?}");
    let token = house.tenant.get("/?continuation-token=%00").await;
    assert_eq!(token.code(), "InvalidArgument", "{token:?}");
    house.proxy.stop().await;
}
