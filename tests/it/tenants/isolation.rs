//! Every operation of the tables, by whoever may not: refused by the head alone, and nothing of it
//! reaches the upstream.

use std::collections::BTreeSet;
use std::time::Duration;

use s3seal::s3::operation::{Operation, Place, RequestShape, request_shapes};

use super::{CLIENTS, READER, TENANT, assert_denied, denies};
use crate::support::chaos::{Chaos, Reply, Step};
use crate::support::client::{Client, Identity};
use crate::support::form::Form;
use crate::support::wire::Untouched;
use crate::support::{APP, Options, Proxy};

/// A request of one operation, against the bucket of somebody else.
struct Attempt {
    operation: Operation,
    method: String,
    target: String,
    headers: Vec<(&'static str, &'static str)>,
}

impl Attempt {
    fn of(shape: RequestShape, bucket: &str) -> Self {
        let path = match shape.place {
            Place::Service => "/".to_owned(),
            Place::Bucket => format!("/{bucket}"),
            Place::Object => format!("/{bucket}/object"),
        };
        let target = match shape.query.as_str() {
            "" => path,
            query => format!("{path}?{query}"),
        };
        let mut headers = Vec::new();
        if shape.operation == Operation::PostObject {
            headers.push(("content-type", "multipart/form-data; boundary=b"));
        }
        Self {
            operation: shape.operation,
            method: shape.method.to_string(),
            target,
            headers,
        }
    }

    fn new(operation: Operation, method: &str, target: String) -> Self {
        Self {
            operation,
            method: method.to_owned(),
            target,
            headers: Vec::new(),
        }
    }

    fn name(&self) -> String {
        format!("{} {} {}", self.operation, self.method, self.target)
    }

    fn draft(&self, client: &Client) -> crate::support::client::Draft {
        let draft = client.draft(&self.method, &self.target);
        let headers = self.headers.iter();
        headers.fold(draft, |draft, (name, value)| draft.header(name, value))
    }

    fn unsigned(&self, client: &Client) -> crate::support::client::Draft {
        let draft = client.unsigned(&self.method, &self.target);
        let headers = self.headers.iter();
        headers.fold(draft, |draft, (name, value)| draft.header(name, value))
    }
}

/// Every operation against a bucket: the rows of the tables, and what a header or a value makes of
/// them.
fn attempts(bucket: &str) -> Vec<Attempt> {
    let mut all: Vec<Attempt> = request_shapes()
        .map(|shape| Attempt::of(shape, bucket))
        .collect();
    let put = |operation, query: &str| {
        let mut copy = Attempt::new(operation, "PUT", format!("/{bucket}/object{query}"));
        copy.headers.push(("x-amz-copy-source", "team-b/mine"));
        copy
    };
    all.push(put(Operation::CopyObject, ""));
    all.push(put(Operation::UploadPartCopy, "?partNumber=1&uploadId=2"));
    let listing = format!("/{bucket}?list-type=1");
    all.push(Attempt::new(Operation::ListObjects, "GET", listing));
    for (method, query) in [
        ("PUT", "?frobnicate"),
        ("PATCH", ""),
        ("POST", "?acl"),
        ("GET", "?acl&tagging"),
    ] {
        let unknown = Operation::Unknown {
            method: method.parse().unwrap(),
            what: String::new(),
        };
        let target = format!("/{bucket}/object{query}");
        all.push(Attempt::new(unknown, method, target));
    }
    all
}

/// How an operation is held against the table. A new operation does not compile until it is here.
enum Table {
    /// A row of the tables of `src/s3/operation/routes.rs`, or one that `attempts` adds.
    Attempted,
    /// Nobody is asked who they are, and what is told is what any browser may know.
    BeforeAuthentication,
    /// About a bucket of a name that no bucket can have.
    NoBucket,
}

fn table(operation: &Operation) -> Table {
    use Operation as Op;
    match operation {
        Op::Preflight => Table::BeforeAuthentication,
        Op::WriteGetObjectResponse => Table::NoBucket,
        Op::AbortMultipartUpload
        | Op::Bucket(_)
        | Op::CompleteMultipartUpload
        | Op::CopyObject
        | Op::CreateBucket
        | Op::CreateMultipartUpload
        | Op::CreateSession
        | Op::DeleteBucket
        | Op::DeleteBucketEncryption
        | Op::DeleteObject
        | Op::DeleteObjects
        | Op::GetBucketEncryption
        | Op::GetObject
        | Op::GetObjectAttributes
        | Op::GetObjectTorrent
        | Op::HeadBucket
        | Op::HeadObject
        | Op::ListBuckets
        | Op::ListMultipartUploads
        | Op::ListObjectVersions
        | Op::ListObjects
        | Op::ListObjectsV2
        | Op::ListParts
        | Op::Object(_)
        | Op::PostObject
        | Op::PutBucketEncryption
        | Op::PutObject
        | Op::RenameObject
        | Op::RestoreObject
        | Op::SelectObjectContent
        | Op::UpdateObjectEncryption
        | Op::UploadPart
        | Op::UploadPartCopy
        | Op::Unknown { .. } => Table::Attempted,
    }
}

/// The names that [`table`] knows, to see that each is attempted.
const ATTEMPTED: [&str; 33] = [
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateBucket",
    "CreateMultipartUpload",
    "CreateSession",
    "DeleteBucket",
    "DeleteBucketEncryption",
    "DeleteObject",
    "DeleteObjects",
    "GetBucketEncryption",
    "GetBucketPolicy",
    "GetObject",
    "GetObjectAcl",
    "GetObjectAttributes",
    "GetObjectTorrent",
    "HeadBucket",
    "HeadObject",
    "ListBuckets",
    "ListMultipartUploads",
    "ListObjectVersions",
    "ListObjects",
    "ListObjectsV2",
    "ListParts",
    "PostObject",
    "PutBucketEncryption",
    "PutObject",
    "RenameObject",
    "RestoreObject",
    "SelectObjectContent",
    "UpdateObjectEncryption",
    "UploadPart",
    "UploadPartCopy",
];

#[test]
fn every_operation_is_in_the_table() {
    let all = attempts("team-a");
    let names: BTreeSet<&str> = all.iter().map(|attempt| attempt.operation.name()).collect();
    for name in ATTEMPTED.into_iter().chain(["Unknown"]) {
        assert!(names.contains(name), "{name} is not attempted");
    }
    for attempt in &all {
        assert!(matches!(table(&attempt.operation), Table::Attempted));
    }
    assert!(matches!(
        table(&Operation::Preflight),
        Table::BeforeAuthentication
    ));
    assert!(matches!(
        table(&Operation::WriteGetObjectResponse),
        Table::NoBucket
    ));
    assert!(all.len() > 100, "{}", all.len());
}

async fn start(rule: &str) -> (Proxy, Untouched) {
    let upstream = Untouched::start().await;
    let options = Options {
        tables: CLIENTS.to_owned(),
        rule: rule.to_owned(),
        ..Options::default()
    };
    (Proxy::start(upstream.address, options).await, upstream)
}

#[tokio::test]
async fn p126_no_operation_reaches_the_bucket_of_another_tenant() {
    let (proxy, upstream) = start("").await;
    let tenant = proxy.client().signing_as(TENANT);
    for attempt in attempts("team-a") {
        // Shows what is the tenant's own; and a form is signed in its fields.
        let is_elsewhere = [Operation::ListBuckets, Operation::PostObject];
        if is_elsewhere.contains(&attempt.operation) {
            continue;
        }
        let is_head = attempt.method == "HEAD";
        let answer = attempt.draft(&tenant).send().await;
        assert_denied(&attempt.name(), is_head, &answer);
        let presigned = attempt.draft(&tenant).presign(Duration::from_secs(60));
        let what = format!("presigned {}", attempt.name());
        assert_denied(&what, is_head, &presigned.send().await);
    }
    let form = Form::new("object", "text");
    let form = form
        .without_conditions()
        .condition(r#"{"bucket": "team-a"}"#);
    let form = form
        .condition(r#"["starts-with", "$key", ""]"#)
        .sign(TENANT);
    denies("a form", form.draft(&tenant, "/team-a")).await;
    proxy.stop().await;
    assert_eq!(upstream.calls(), 0, "the upstream was called");
}

#[tokio::test]
async fn p126_no_copy_reads_the_bucket_of_another_tenant() {
    let (proxy, upstream) = start("").await;
    let tenant = proxy.client().signing_as(TENANT);
    for source in [
        "team-a/object",
        "/team-a/object",
        "team-a%2Fobject",
        "%74eam-a/object",
        "team-a/a%2Fb",
        "/team-a/object?versionId=v",
        "/team-a/../team-b/object",
    ] {
        for target in ["/team-b/copy", "/team-b/copy?partNumber=1&uploadId=2"] {
            let draft = || tenant.draft("PUT", target);
            let what = format!("{source} to {target}");
            denies(&what, draft().header("x-amz-copy-source", source)).await;
        }
        let source = s3seal::s3::uri::encode_component(source.as_bytes());
        let hoisted = format!("/team-b/copy?x-amz-copy-source={source}");
        let hoisted = tenant.draft("PUT", &hoisted);
        denies("presigned", hoisted.presign(Duration::from_secs(60))).await;
    }
    let slash = tenant.draft("PUT", "/team-b/copy");
    let slash = slash
        .header("x-amz-copy-source", "%2Fteam-a/object")
        .send()
        .await;
    assert_eq!(slash.code(), "InvalidBucketName", "{slash:?}");
    // Where a dot segment leads is not asked: this is a key, of a bucket that is nobody's here.
    let arn = "arn:aws:s3:us-east-1:1:accesspoint/team-a/object/k";
    let answer = tenant.draft("PUT", "/team-b/copy");
    let answer = answer.header("x-amz-copy-source", arn).send().await;
    assert_eq!(answer.status, 501, "{answer:?}");
    proxy.stop().await;
    assert_eq!(upstream.calls(), 0, "the upstream was called");
}

#[tokio::test]
async fn p126_a_bucket_in_a_host_or_an_encoded_path_is_the_same_bucket() {
    let upstream = Untouched::start().await;
    let options = Options {
        tables: CLIENTS.to_owned(),
        listen: "domains = [\"s3.example.test\"]".to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let tenant = proxy.client().signing_as(TENANT);
    for target in ["/object", "/team-b/object"] {
        let draft = tenant.draft("GET", target).host("team-a.s3.example.test");
        denies(target, draft).await;
    }
    for target in ["/%74eam-a/object", "/team-b%2F..%2Fteam-a/object"] {
        let answer = tenant.get(target).await;
        assert!(
            [400, 403].contains(&answer.status.as_u16()),
            "{target}: {answer:?}"
        );
    }
    proxy.stop().await;
    assert_eq!(upstream.calls(), 0, "the upstream was called");
}

/// Documents that have the upstream write into another bucket, in the name of the proxy.
const DESTINATIONS: &[(&str, &str)] = &[
    (
        "logging",
        "<BucketLoggingStatus><LoggingEnabled><TargetBucket>BUCKET</TargetBucket>\
         <TargetPrefix>x</TargetPrefix></LoggingEnabled></BucketLoggingStatus>",
    ),
    (
        "replication",
        "<ReplicationConfiguration><Role>r</Role><Rule><Status>Enabled</Status><Destination>\
         <Bucket>arn:aws:s3:::BUCKET</Bucket></Destination></Rule></ReplicationConfiguration>",
    ),
    (
        "inventory&id=1",
        "<InventoryConfiguration><Destination><S3BucketDestination><Bucket>arn:aws:s3:::BUCKET\
         </Bucket></S3BucketDestination></Destination></InventoryConfiguration>",
    ),
    (
        "analytics&id=1",
        "<AnalyticsConfiguration><StorageClassAnalysis><DataExport><Destination>\
         <S3BucketDestination><Bucket>arn:aws-cn:s3:::BUCKET</Bucket></S3BucketDestination>\
         </Destination></DataExport></StorageClassAnalysis></AnalyticsConfiguration>",
    ),
];

#[tokio::test]
async fn p127_no_configuration_has_the_upstream_write_into_another_tenants_bucket() {
    let (proxy, upstream) = start("").await;
    let tenant = proxy.client().signing_as(TENANT);
    for (query, document) in DESTINATIONS {
        for name in [
            "team-a",
            "&#116;eam-a",
            "<![CDATA[team-a]]>",
            "<b>team-a</b>",
            "",
            "team-b-logs/prefix",
            "team-b-x:team-b",
            "arn:aws:s3:us-east-1:1:accesspoint/team-b",
            "arn:aws:s3:us-east-1:1:accesspoint:team-b",
            "arn:aws:s3:zone:other-tenant:team-b",
            "arn:aws:s3:::team-b-logs/prefix",
        ] {
            let document = document.replace("BUCKET", name);
            let draft = tenant.draft("PUT", &format!("/team-b?{query}"));
            let answer = draft.body(document).send().await;
            let is_refused = answer.status == 403 && answer.code() == "AccessDenied"
                || answer.code() == "MalformedXML";
            assert!(is_refused, "{query} {name}: {answer:?}");
        }
        let prefixed = document
            .replace("Bucket>", "a:Bucket>")
            .replace("BUCKET", "team-a");
        let draft = tenant.draft("PUT", &format!("/team-b?{query}"));
        assert!(!draft.body(prefixed).send().await.status.is_server_error());
    }
    // Not even whose scope is everything has a pattern for what is no bucket.
    for (query, document) in DESTINATIONS {
        for name in ["arn:aws:s3:us-east-1:1:accesspoint/team-b", "bucket/prefix"] {
            let draft = proxy.client().draft("PUT", &format!("/bucket?{query}"));
            let answer = draft.body(document.replace("BUCKET", name)).send().await;
            assert_denied(query, false, &answer);
        }
    }
    assert_eq!(upstream.calls(), 0, "the upstream was called");
    // What names its own goes on its way.
    for (query, document) in DESTINATIONS {
        let document = document.replace("BUCKET", "team-b-logs");
        let draft = tenant.draft("PUT", &format!("/team-b?{query}"));
        let answer = draft.body(document).send().await;
        assert!(answer.status.is_server_error(), "{query}: {answer:?}");
    }
    proxy.stop().await;
    assert!(upstream.calls() >= DESTINATIONS.len());
}

/// A list without an end is none, and neither is its beginning.
#[tokio::test]
async fn p128_a_list_of_buckets_that_does_not_end_is_an_error() {
    let chaos = Chaos::start().await;
    let options = Options {
        tables: CLIENTS.to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(chaos.address, options).await;
    let tenant = proxy.client().signing_as(TENANT);
    let page = |next: &str| {
        let buckets = "<Buckets><Bucket><Name>team-b</Name></Bucket></Buckets>";
        let document = format!("<ListAllMyBucketsResult>{buckets}{next}</ListAllMyBucketsResult>");
        Step::Answer(Reply::new(200, document))
    };
    let more = "<ContinuationToken>more</ContinuationToken>";
    chaos.script((0..100).map(|_| page(more)));
    let endless = tenant.get("/").await;
    assert_eq!(endless.status, 500, "{endless:?}");
    assert_eq!(chaos.seen().len(), 100);
    chaos.script((0..99).map(|_| page(more)));
    chaos.script([page("")]);
    let long = tenant.get("/").await;
    assert_eq!(long.elements("Name").len(), 100, "{long:?}");
    proxy.stop().await;
}

#[tokio::test]
async fn p126_a_read_only_client_writes_by_no_operation() {
    let (proxy, upstream) = start("").await;
    let reader = proxy.client().signing_as(READER);
    for attempt in attempts("bucket") {
        let reads = ["GET", "HEAD"].contains(&attempt.method.as_str())
            && !matches!(attempt.operation, Operation::Unknown { .. });
        // Refused with 501 to everybody, and reads.
        let is_select = attempt.operation == Operation::SelectObjectContent;
        if attempt.operation == Operation::PostObject || is_select {
            continue;
        }
        let before = upstream.calls();
        let answer = attempt.draft(&reader).send().await;
        if reads {
            assert_ne!(answer.status, 403, "{}: {answer:?}", attempt.name());
        } else {
            assert_denied(&attempt.name(), false, &answer);
            assert_eq!(upstream.calls(), before, "{}", attempt.name());
        }
    }
    let before = upstream.calls();
    let form = Form::new("object", "text").sign(READER);
    denies("a form", form.draft(&reader, "/bucket")).await;
    proxy.stop().await;
    assert_eq!(upstream.calls(), before, "the upstream was called");
}

#[tokio::test]
async fn p126_nobody_reaches_anything_without_a_signature() {
    let (proxy, upstream) = start("").await;
    let anybody = proxy.client();
    for attempt in attempts("bucket") {
        let answer = if attempt.operation == Operation::PostObject {
            Form::new("object", "text")
                .draft(&anybody, "/bucket")
                .send()
                .await
        } else {
            attempt.unsigned(&anybody).send().await
        };
        assert_denied(&attempt.name(), attempt.method == "HEAD", &answer);
    }
    proxy.stop().await;
    assert_eq!(upstream.calls(), 0, "the upstream was called");
}

#[tokio::test]
async fn p126_anonymous_by_rule_opens_seven_operations_and_no_other() {
    const OPEN: [&str; 7] = [
        "GetObject",
        "HeadBucket",
        "HeadObject",
        "ListObjects",
        "ListObjectsV2",
        "PostObject",
        "PutObject",
    ];
    let (proxy, upstream) = start("anonymous = \"allow\"").await;
    let anybody = proxy.client();
    for attempt in attempts("bucket") {
        let before = upstream.calls();
        let answer = attempt.unsigned(&anybody).send().await;
        if OPEN.contains(&attempt.operation.name()) {
            assert_ne!(answer.status, 403, "{}: {answer:?}", attempt.name());
        } else {
            assert_denied(&attempt.name(), attempt.method == "HEAD", &answer);
            assert_eq!(upstream.calls(), before, "{}", attempt.name());
        }
    }
    // Under the rule's key, and by no name.
    let before = upstream.calls();
    let named = anybody.unsigned("PUT", "/bucket/object");
    let named = named
        .header("x-amz-server-side-encryption", "aws:kms")
        .header("x-amz-server-side-encryption-aws-kms-key-id", "default");
    denies("a key by name", named).await;
    let copy = anybody.unsigned("PUT", "/bucket/object");
    denies("a copy", copy.header("x-amz-copy-source", "bucket/other")).await;
    proxy.stop().await;
    assert_eq!(upstream.calls(), before, "the upstream was called");
}

#[tokio::test]
async fn p126_the_identity_of_another_does_not_come_with_its_signature() {
    let (proxy, upstream) = start("").await;
    // Signed by the tenant, in the name of whoever may do everything.
    let forged = proxy.client().signing_as(Identity {
        id: APP.id,
        secret: TENANT.secret,
    });
    let answer = forged.get("/team-a/object").await;
    assert_eq!(answer.code(), "SignatureDoesNotMatch");
    proxy.stop().await;
    assert_eq!(upstream.calls(), 0, "the upstream was called");
}
