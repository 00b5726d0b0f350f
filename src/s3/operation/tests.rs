//! Classification: the request lines of the AWS documentation, each in both addressing styles,
//! and everything that must not be taken for one of them.

use http::HeaderMap;
use proptest::prelude::*;

use super::*;

/// `method`, a path in the bucket with its query, and optional headers, tried in both styles.
fn name_of(method: &str, line: &str, headers: &[(&'static str, &'static str)]) -> String {
    let [path_style, virtual_host] = both_styles(method, line, headers);
    assert_eq!(path_style, virtual_host, "{method} {line}");
    if let Operation::Unknown { what, .. } = path_style {
        return format!("Unknown: {what}");
    }
    path_style.name().to_owned()
}

fn both_styles(
    method: &str,
    line: &str,
    headers: &[(&'static str, &'static str)],
) -> [Operation; 2] {
    let domains = ["s3.example.test".to_owned()];
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    let (path, query) = line
        .split_once('?')
        .map_or((line, None), |(path, query)| (path, Some(query)));
    let styles = [
        (format!("/examplebucket{path}"), "s3.example.test"),
        (path.to_owned(), "examplebucket.s3.example.test"),
    ];
    styles.map(|(path, host)| {
        let target = Target::parse(&path, Some(host), &domains).unwrap();
        classify(&method, &target, Query::new(query), &map)
    })
}

/// Every operation of botocore's model as its `requestUri` spells it, with what else identifies it.
#[rustfmt::skip]
const OPERATIONS: &[(&str, &str, &str)] = &[
    ("AbortMultipartUpload", "DELETE", "/k?uploadId=x"),
    ("CompleteMultipartUpload", "POST", "/k?uploadId=x"),
    ("CreateBucket", "PUT", "/"),
    ("CreateBucketMetadataConfiguration", "POST", "/?metadataConfiguration"),
    ("CreateBucketMetadataTableConfiguration", "POST", "/?metadataTable"),
    ("CreateMultipartUpload", "POST", "/k?uploads"),
    ("CreateSession", "GET", "/?session"),
    ("DeleteBucket", "DELETE", "/"),
    ("DeleteBucketAnalyticsConfiguration", "DELETE", "/?analytics&id=1"),
    ("DeleteBucketCors", "DELETE", "/?cors"),
    ("DeleteBucketEncryption", "DELETE", "/?encryption"),
    ("DeleteBucketIntelligentTieringConfiguration", "DELETE", "/?intelligent-tiering&id=1"),
    ("DeleteBucketInventoryConfiguration", "DELETE", "/?inventory&id=1"),
    ("DeleteBucketLifecycle", "DELETE", "/?lifecycle"),
    ("DeleteBucketMetadataConfiguration", "DELETE", "/?metadataConfiguration"),
    ("DeleteBucketMetadataTableConfiguration", "DELETE", "/?metadataTable"),
    ("DeleteBucketMetricsConfiguration", "DELETE", "/?metrics&id=1"),
    ("DeleteBucketOwnershipControls", "DELETE", "/?ownershipControls"),
    ("DeleteBucketPolicy", "DELETE", "/?policy"),
    ("DeleteBucketReplication", "DELETE", "/?replication"),
    ("DeleteBucketTagging", "DELETE", "/?tagging"),
    ("DeleteBucketWebsite", "DELETE", "/?website"),
    ("DeleteObject", "DELETE", "/k"),
    ("DeleteObjectTagging", "DELETE", "/k?tagging"),
    ("DeleteObjects", "POST", "/?delete"),
    ("DeletePublicAccessBlock", "DELETE", "/?publicAccessBlock"),
    ("GetBucketAbac", "GET", "/?abac"),
    ("GetBucketAccelerateConfiguration", "GET", "/?accelerate"),
    ("GetBucketAcl", "GET", "/?acl"),
    ("GetBucketAnalyticsConfiguration", "GET", "/?analytics&id=1"),
    ("GetBucketCors", "GET", "/?cors"),
    ("GetBucketEncryption", "GET", "/?encryption"),
    ("GetBucketIntelligentTieringConfiguration", "GET", "/?intelligent-tiering&id=1"),
    ("GetBucketInventoryConfiguration", "GET", "/?inventory&id=1"),
    ("GetBucketLifecycleConfiguration", "GET", "/?lifecycle"),
    ("GetBucketLocation", "GET", "/?location"),
    ("GetBucketLogging", "GET", "/?logging"),
    ("GetBucketMetadataConfiguration", "GET", "/?metadataConfiguration"),
    ("GetBucketMetadataTableConfiguration", "GET", "/?metadataTable"),
    ("GetBucketMetricsConfiguration", "GET", "/?metrics&id=1"),
    ("GetBucketNotificationConfiguration", "GET", "/?notification"),
    ("GetBucketOwnershipControls", "GET", "/?ownershipControls"),
    ("GetBucketPolicy", "GET", "/?policy"),
    ("GetBucketPolicyStatus", "GET", "/?policyStatus"),
    ("GetBucketReplication", "GET", "/?replication"),
    ("GetBucketRequestPayment", "GET", "/?requestPayment"),
    ("GetBucketTagging", "GET", "/?tagging"),
    ("GetBucketVersioning", "GET", "/?versioning"),
    ("GetBucketWebsite", "GET", "/?website"),
    ("GetObject", "GET", "/k"),
    ("GetObjectAcl", "GET", "/k?acl"),
    ("GetObjectAttributes", "GET", "/k?attributes"),
    ("GetObjectLegalHold", "GET", "/k?legal-hold"),
    ("GetObjectLockConfiguration", "GET", "/?object-lock"),
    ("GetObjectRetention", "GET", "/k?retention"),
    ("GetObjectTagging", "GET", "/k?tagging"),
    ("GetObjectTorrent", "GET", "/k?torrent"),
    ("GetPublicAccessBlock", "GET", "/?publicAccessBlock"),
    ("HeadBucket", "HEAD", "/"),
    ("HeadObject", "HEAD", "/k"),
    ("ListBucketAnalyticsConfigurations", "GET", "/?analytics"),
    ("ListBucketIntelligentTieringConfigurations", "GET", "/?intelligent-tiering"),
    ("ListBucketInventoryConfigurations", "GET", "/?inventory"),
    ("ListBucketMetricsConfigurations", "GET", "/?metrics"),
    ("ListMultipartUploads", "GET", "/?uploads"),
    ("ListObjectVersions", "GET", "/?versions"),
    ("ListObjects", "GET", "/"),
    ("ListObjectsV2", "GET", "/?list-type=2"),
    ("ListParts", "GET", "/k?uploadId=x"),
    ("PutBucketAbac", "PUT", "/?abac"),
    ("PutBucketAccelerateConfiguration", "PUT", "/?accelerate"),
    ("PutBucketAcl", "PUT", "/?acl"),
    ("PutBucketAnalyticsConfiguration", "PUT", "/?analytics&id=1"),
    ("PutBucketCors", "PUT", "/?cors"),
    ("PutBucketEncryption", "PUT", "/?encryption"),
    ("PutBucketIntelligentTieringConfiguration", "PUT", "/?intelligent-tiering&id=1"),
    ("PutBucketInventoryConfiguration", "PUT", "/?inventory&id=1"),
    ("PutBucketLifecycleConfiguration", "PUT", "/?lifecycle"),
    ("PutBucketLogging", "PUT", "/?logging"),
    ("PutBucketMetricsConfiguration", "PUT", "/?metrics&id=1"),
    ("PutBucketNotificationConfiguration", "PUT", "/?notification"),
    ("PutBucketOwnershipControls", "PUT", "/?ownershipControls"),
    ("PutBucketPolicy", "PUT", "/?policy"),
    ("PutBucketReplication", "PUT", "/?replication"),
    ("PutBucketRequestPayment", "PUT", "/?requestPayment"),
    ("PutBucketTagging", "PUT", "/?tagging"),
    ("PutBucketVersioning", "PUT", "/?versioning"),
    ("PutBucketWebsite", "PUT", "/?website"),
    ("PutObject", "PUT", "/k"),
    ("PutObjectAcl", "PUT", "/k?acl"),
    ("PutObjectLegalHold", "PUT", "/k?legal-hold"),
    ("PutObjectLockConfiguration", "PUT", "/?object-lock"),
    ("PutObjectRetention", "PUT", "/k?retention"),
    ("PutObjectTagging", "PUT", "/k?tagging"),
    ("PutPublicAccessBlock", "PUT", "/?publicAccessBlock"),
    ("RenameObject", "PUT", "/k?renameObject"),
    ("RestoreObject", "POST", "/k?restore"),
    ("SelectObjectContent", "POST", "/k?select&select-type=2"),
    ("UpdateBucketMetadataInventoryTableConfiguration", "PUT", "/?metadataInventoryTable"),
    ("UpdateBucketMetadataJournalTableConfiguration", "PUT", "/?metadataJournalTable"),
    ("UpdateObjectEncryption", "PUT", "/k?encryption"),
    ("UploadPart", "PUT", "/k?partNumber=1&uploadId=x"),
];

#[test]
fn every_operation_of_the_model_is_known() {
    for (name, method, line) in OPERATIONS {
        assert_eq!(name_of(method, line, &[]), *name, "{method} {line}");
        let with_hint = format!(
            "{line}{}x-id={name}",
            if line.contains('?') { '&' } else { '?' }
        );
        assert_eq!(
            name_of(method, &with_hint, &[]),
            *name,
            "{method} {with_hint}"
        );
    }
    // Not in the table: two copies, two on the service, one on another host, four old names.
    assert_eq!(OPERATIONS.len() + 9, 111);
}

#[test]
fn twins_of_the_model_go_by_their_newer_name() {
    let service = |method: Method, query| {
        classify(
            &method,
            &Target::Service,
            Query::new(query),
            &HeaderMap::new(),
        )
        .name()
    };
    assert_eq!(service(Method::GET, None), "ListBuckets");
    assert_eq!(
        service(Method::GET, Some("max-buckets=5&x-id=ListBuckets")),
        "ListBuckets"
    );
    assert_eq!(service(Method::GET, Some("Action=ListUsers")), "Unknown");
    assert_eq!(service(Method::POST, None), "Unknown");

    let copy = &[("x-amz-copy-source", "/b/k")];
    assert_eq!(name_of("PUT", "/k", copy), "CopyObject");
    assert_eq!(
        name_of("PUT", "/k?partNumber=2&uploadId=x", copy),
        "UploadPartCopy"
    );
    assert_eq!(
        name_of(
            "PUT",
            "/k?X-Amz-Copy-Source=%2Fb%2Fk&X-Amz-Signature=s",
            &[]
        ),
        "CopyObject"
    );

    let target = Target::parse("/WriteGetObjectResponse", None, &[]).unwrap();
    let lambda = |method| classify(&method, &target, Query::default(), &HeaderMap::new()).name();
    assert_eq!(lambda(Method::POST), "WriteGetObjectResponse");
    assert_eq!(lambda(Method::PUT), "Unknown");
}

/// Request lines of the documentation's examples, and of the SDKs' presigners.
#[rustfmt::skip]
const EXAMPLES: &[(&str, &str, &str)] = &[
    ("GetObject", "GET", "/photos/2006/February/sample.jpg"),
    ("GetObject", "GET", "/k?response-content-type=a%2Fb&response-expires=x&versionId=3HL4kqtJlcp"),
    ("GetObject", "GET", "/k?partNumber=1"),
    ("GetObject", "GET", "/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=c&X-Amz-Date=d\
        &X-Amz-Expires=1&X-Amz-SignedHeaders=host&X-Amz-Signature=s&X-Amz-Security-Token=t"),
    ("GetObject", "GET", "/k?AWSAccessKeyId=a&Signature=s&Expires=1"),
    ("HeadObject", "HEAD", "/k?partNumber=1&versionId=null"),
    ("PutObject", "PUT", "/my-image.jpg"),
    ("PutObject", "PUT", "//acl"),
    ("PutObject", "PUT", "/k?x-amz-checksum-crc32=AAAA&x-amz-sdk-checksum-algorithm=CRC32"),
    ("GetObjectTagging", "GET", "/k?%74agging"),
    ("GetObjectAcl", "GET", "/k?acl=&versionId=x"),
    ("ListObjects", "GET", "/?prefix=N&marker=Ned&max-keys=40&delimiter=%2F&encoding-type=url"),
    ("ListObjects", "GET", "/?list-type=1"),
    ("ListObjectsV2", "GET", "/?list-type=2&continuation-token=1%2Fa&fetch-owner=true&start-after=E"),
    ("ListObjectVersions", "GET", "/?versions&key-marker=k&version-id-marker=v&max-keys=3"),
    ("ListMultipartUploads", "GET", "/?uploads&max-uploads=3&upload-id-marker=x&key-marker=k"),
    ("ListParts", "GET", "/k?uploadId=x&max-parts=2&part-number-marker=1"),
    ("GetBucketInventoryConfiguration", "GET", "/?inventory&id=list1"),
    ("ListBucketInventoryConfigurations", "GET", "/?inventory&continuation-token=x"),
    ("Preflight", "OPTIONS", "/k?anything"),
    ("SelectObjectContent", "POST", "/k?select&select-type=2"),
];

#[test]
fn request_lines_of_the_documentation() {
    for (name, method, line) in EXAMPLES {
        assert_eq!(name_of(method, line, &[]), *name, "{method} {line}");
    }
    let form = (
        "content-type",
        "Multipart/Form-Data; boundary=9431149156168",
    );
    assert_eq!(name_of("POST", "/", &[form]), "PostObject");
}

/// Space-separated request targets by method.
const NOT_UNDERSTOOD: &[(&str, &str)] = &[
    (
        "PUT",
        "/k?new /k?append&position=0 /k?acl&tagging /k?acl&acl /k?uploadId=x /k?partNumber=1",
    ),
    (
        "PUT",
        "/k?partNumber=1&partNumber=2&uploadId=x /k?versionId=x /k?prefix=x /k?ACL",
    ),
    (
        "PUT",
        "/k?uploadid=x&partNumber=1 /k?x-amz-new=1 /k?x-amz-meta-s3seal-key=1 /k?=x /k?%ff",
    ),
    ("PUT", "/?new /?prefix=a /?inventory /?uploads"),
    (
        "GET",
        "/k?uploads /k?list-type=2 /k?versionId=a&versionId=b /k?legal-hold&partNumber=1",
    ),
    (
        "GET",
        "/?max-directory-buckets=1 /?location&prefix=a /?versionId=x",
    ),
    ("HEAD", "/k?acl /?acl /k?uploadId=x"),
    ("POST", "/k / /k?select /k?uploadId=x&partNumber=1"),
    (
        "DELETE",
        "/k?acl /k?uploadId=x&versionId=y /?versions /?policy&cors",
    ),
    ("PATCH", "/k"),
    ("PROPFIND", "/"),
    ("put", "/k"),
];

#[test]
fn what_is_not_understood_is_never_a_known_operation() {
    for (method, lines) in NOT_UNDERSTOOD {
        for line in lines.split_whitespace() {
            let name = name_of(method, line, &[]);
            assert!(name.starts_with("Unknown: "), "{method} {line} is {name}");
            assert!(name.len() < 400);
        }
    }
    let copy = ("x-amz-copy-source", "/b/k");
    assert!(name_of("PUT", "/k?acl", &[copy]).starts_with("Unknown: "));
    let not_a_form = ("content-type", "application/x-www-form-urlencoded");
    assert!(name_of("POST", "/", &[not_a_form]).starts_with("Unknown: "));
}

#[test]
fn unknown_operations_say_what_is_unknown() {
    assert_eq!(
        name_of("PUT", "/k?new", &[]),
        "Unknown: query parameter new"
    );
    assert_eq!(
        name_of("PUT", "/k?acl&tagging", &[]),
        "Unknown: query parameter acl with query parameter tagging"
    );
    assert_eq!(
        name_of("PUT", "/k?%0a%1b", &[]),
        "Unknown: query parameter \\n\\u{1b}"
    );
    assert_eq!(
        name_of("GET", "/k", &[("x-amz-copy-source", "/b/k")]),
        "Unknown: x-amz-copy-source on GetObject"
    );
}

#[test]
fn reads_and_writes_are_told_apart() {
    let reading = ["Get", "Head", "List", "Select"];
    for (name, method, line) in OPERATIONS {
        let [operation, _] = both_styles(method, line, &[]);
        let reads =
            reading.iter().any(|prefix| name.starts_with(prefix)) || *name == "CreateSession";
        assert_eq!(operation.writes(), !reads, "{name}");
    }
    let [unknown, _] = both_styles("GET", "/k?new", &[]);
    assert!(unknown.writes(), "an unknown operation may do anything");
}

proptest! {
    /// A write without a listed sub-resource is a plain one only if no parameter is left over.
    #[test]
    fn a_stray_parameter_is_never_a_plain_write(name in "[a-zA-Z-]{1,12}", value in "[a-z0-9]{0,4}") {
        let line = format!("/k?{name}={value}");
        let [operation, _] = both_styles("PUT", &line, &[]);
        if operation == Operation::PutObject {
            prop_assert!(hoisted::kind(&name) != Hoisted::No || name == "x-id", "{line}");
        }
    }

    #[test]
    fn any_request_is_survived(method in "[A-Z]{1,7}", line in "[ -~&&[^#]]{0,60}") {
        let target = Target::Bucket { bucket: crate::s3::target::BucketName::new("b").unwrap() };
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let operation = classify(&method, &target, Query::new(Some(&line)), &HeaderMap::new());
        prop_assert!(!operation.name().is_empty());
    }
}
