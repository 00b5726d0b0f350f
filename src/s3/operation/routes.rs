//! The operations of S3 as a table: method, sub-resource, and the parameters each one knows.
//!
//! Source: the S3 service model of botocore 1.43.11 (111 operations).

use http::Method;

use super::{Operation, Relayed};

/// The methods S3 uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Delete,
    Get,
    Head,
    Post,
    Put,
}

impl Verb {
    pub(super) fn of(method: &Method) -> Option<Self> {
        let all = [
            (Method::DELETE, Self::Delete),
            (Method::GET, Self::Get),
            (Method::HEAD, Self::Head),
            (Method::POST, Self::Post),
            (Method::PUT, Self::Put),
        ];
        all.into_iter()
            .find(|(name, _)| name == method)
            .map(|(_, verb)| verb)
    }

    pub(super) fn method(self) -> Method {
        match self {
            Self::Delete => Method::DELETE,
            Self::Get => Method::GET,
            Self::Head => Method::HEAD,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
        }
    }
}

/// One row. Of several rows for a sub-resource the first whose need is met is taken.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) verb: Verb,
    /// The parameter that chooses the operation; empty where there is none.
    pub(super) subresource: &'static str,
    pub(super) operation: Operation,
    /// A further parameter without which it is another operation.
    pub(super) needs: Option<&'static str>,
    /// The parameters that may be there besides.
    pub(super) parameters: &'static [&'static str],
}

impl Route {
    /// A query that leads to this row.
    pub(super) fn query(&self) -> String {
        let needed = self.needs.map(|name| format!("{name}=2"));
        let subresource = (!self.subresource.is_empty()).then(|| format!("{}=2", self.subresource));
        let parts: Vec<String> = subresource.into_iter().chain(needed).collect();
        parts.join("&")
    }
}

pub(super) const SERVICE_ROUTES: &[Route] = &[route(
    Get,
    "",
    Op::ListBuckets,
    &[
        "bucket-region",
        "continuation-token",
        "max-buckets",
        "prefix",
    ],
)];

#[rustfmt::skip] // one row, one line
pub(super) const BUCKET_ROUTES: &[Route] = &[
    needing("list-type", Get, "", Op::ListObjectsV2, LISTING),
    route(Get, "", Op::ListObjects, LISTING),
    route(Get, "versions", Op::ListObjectVersions, LISTING),
    route(Get, "uploads", Op::ListMultipartUploads, LIST_UPLOADS),
    route(Head, "", Op::HeadBucket, NONE),
    route(Put, "", Op::CreateBucket, NONE),
    route(Delete, "", Op::DeleteBucket, NONE),
    route(Post, "", Op::PostObject, NONE),
    route(Post, "delete", Op::DeleteObjects, NONE),
    route(Get, "session", Op::CreateSession, NONE),
    route(Get, "encryption", Op::GetBucketEncryption, NONE),
    route(Put, "encryption", Op::PutBucketEncryption, NONE),
    route(Delete, "encryption", Op::DeleteBucketEncryption, NONE),
    bucket(Get, "abac", "GetBucketAbac"),
    bucket(Put, "abac", "PutBucketAbac"),
    bucket(Get, "accelerate", "GetBucketAccelerateConfiguration"),
    bucket(Put, "accelerate", "PutBucketAccelerateConfiguration"),
    bucket(Get, "acl", "GetBucketAcl"),
    bucket(Put, "acl", "PutBucketAcl"),
    by_id(Get, "analytics", "GetBucketAnalyticsConfiguration"),
    paged(Get, "analytics", "ListBucketAnalyticsConfigurations"),
    by_id(Put, "analytics", "PutBucketAnalyticsConfiguration"),
    by_id(Delete, "analytics", "DeleteBucketAnalyticsConfiguration"),
    bucket(Get, "cors", "GetBucketCors"),
    bucket(Put, "cors", "PutBucketCors"),
    bucket(Delete, "cors", "DeleteBucketCors"),
    by_id(Get, "intelligent-tiering", "GetBucketIntelligentTieringConfiguration"),
    paged(Get, "intelligent-tiering", "ListBucketIntelligentTieringConfigurations"),
    by_id(Put, "intelligent-tiering", "PutBucketIntelligentTieringConfiguration"),
    by_id(Delete, "intelligent-tiering", "DeleteBucketIntelligentTieringConfiguration"),
    by_id(Get, "inventory", "GetBucketInventoryConfiguration"),
    paged(Get, "inventory", "ListBucketInventoryConfigurations"),
    by_id(Put, "inventory", "PutBucketInventoryConfiguration"),
    by_id(Delete, "inventory", "DeleteBucketInventoryConfiguration"),
    // The deprecated GetBucketLifecycle and PutBucketLifecycle look the same.
    bucket(Get, "lifecycle", "GetBucketLifecycleConfiguration"),
    bucket(Put, "lifecycle", "PutBucketLifecycleConfiguration"),
    bucket(Delete, "lifecycle", "DeleteBucketLifecycle"),
    bucket(Get, "location", "GetBucketLocation"),
    bucket(Get, "logging", "GetBucketLogging"),
    bucket(Put, "logging", "PutBucketLogging"),
    bucket(Post, "metadataConfiguration", "CreateBucketMetadataConfiguration"),
    bucket(Get, "metadataConfiguration", "GetBucketMetadataConfiguration"),
    bucket(Delete, "metadataConfiguration", "DeleteBucketMetadataConfiguration"),
    bucket(Put, "metadataInventoryTable", "UpdateBucketMetadataInventoryTableConfiguration"),
    bucket(Put, "metadataJournalTable", "UpdateBucketMetadataJournalTableConfiguration"),
    bucket(Post, "metadataTable", "CreateBucketMetadataTableConfiguration"),
    bucket(Get, "metadataTable", "GetBucketMetadataTableConfiguration"),
    bucket(Delete, "metadataTable", "DeleteBucketMetadataTableConfiguration"),
    by_id(Get, "metrics", "GetBucketMetricsConfiguration"),
    paged(Get, "metrics", "ListBucketMetricsConfigurations"),
    by_id(Put, "metrics", "PutBucketMetricsConfiguration"),
    by_id(Delete, "metrics", "DeleteBucketMetricsConfiguration"),
    // As with lifecycle: GetBucketNotification and PutBucketNotification are deprecated.
    bucket(Get, "notification", "GetBucketNotificationConfiguration"),
    bucket(Put, "notification", "PutBucketNotificationConfiguration"),
    bucket(Get, "object-lock", "GetObjectLockConfiguration"),
    bucket(Put, "object-lock", "PutObjectLockConfiguration"),
    bucket(Get, "ownershipControls", "GetBucketOwnershipControls"),
    bucket(Put, "ownershipControls", "PutBucketOwnershipControls"),
    bucket(Delete, "ownershipControls", "DeleteBucketOwnershipControls"),
    bucket(Get, "policy", "GetBucketPolicy"),
    bucket(Put, "policy", "PutBucketPolicy"),
    bucket(Delete, "policy", "DeleteBucketPolicy"),
    bucket(Get, "policyStatus", "GetBucketPolicyStatus"),
    bucket(Get, "publicAccessBlock", "GetPublicAccessBlock"),
    bucket(Put, "publicAccessBlock", "PutPublicAccessBlock"),
    bucket(Delete, "publicAccessBlock", "DeletePublicAccessBlock"),
    bucket(Get, "replication", "GetBucketReplication"),
    bucket(Put, "replication", "PutBucketReplication"),
    bucket(Delete, "replication", "DeleteBucketReplication"),
    bucket(Get, "requestPayment", "GetBucketRequestPayment"),
    bucket(Put, "requestPayment", "PutBucketRequestPayment"),
    bucket(Get, "tagging", "GetBucketTagging"),
    bucket(Put, "tagging", "PutBucketTagging"),
    bucket(Delete, "tagging", "DeleteBucketTagging"),
    bucket(Get, "versioning", "GetBucketVersioning"),
    bucket(Put, "versioning", "PutBucketVersioning"),
    bucket(Get, "website", "GetBucketWebsite"),
    bucket(Put, "website", "PutBucketWebsite"),
    bucket(Delete, "website", "DeleteBucketWebsite"),
];

#[rustfmt::skip] // one row, one line
pub(super) const OBJECT_ROUTES: &[Route] = &[
    route(Get, "", Op::GetObject, GET_OBJECT),
    route(Head, "", Op::HeadObject, GET_OBJECT),
    route(Put, "", Op::PutObject, NONE),
    route(Delete, "", Op::DeleteObject, VERSION),
    route(Post, "uploads", Op::CreateMultipartUpload, NONE),
    needing("partNumber", Put, "uploadId", Op::UploadPart, NONE),
    route(Post, "uploadId", Op::CompleteMultipartUpload, NONE),
    route(Delete, "uploadId", Op::AbortMultipartUpload, NONE),
    route(Get, "uploadId", Op::ListParts, &["encoding-type", "max-parts", "part-number-marker"]),
    route(Get, "attributes", Op::GetObjectAttributes, VERSION),
    route(Get, "torrent", Op::GetObjectTorrent, VERSION),
    route(Put, "renameObject", Op::RenameObject, NONE),
    route(Post, "restore", Op::RestoreObject, VERSION),
    needing("select-type", Post, "select", Op::SelectObjectContent, VERSION),
    route(Put, "encryption", Op::UpdateObjectEncryption, VERSION),
    object(Get, "acl", "GetObjectAcl"),
    object(Put, "acl", "PutObjectAcl"),
    object(Get, "legal-hold", "GetObjectLegalHold"),
    object(Put, "legal-hold", "PutObjectLegalHold"),
    object(Get, "retention", "GetObjectRetention"),
    object(Put, "retention", "PutObjectRetention"),
    object(Get, "tagging", "GetObjectTagging"),
    object(Put, "tagging", "PutObjectTagging"),
    object(Delete, "tagging", "DeleteObjectTagging"),
];

use Operation as Op;
use Verb::{Delete, Get, Head, Post, Put};

const fn route(
    verb: Verb,
    subresource: &'static str,
    operation: Operation,
    parameters: &'static [&'static str],
) -> Route {
    Route {
        verb,
        subresource,
        operation,
        needs: None,
        parameters,
    }
}

/// As [`route`], only with a further parameter.
const fn needing(
    parameter: &'static str,
    verb: Verb,
    subresource: &'static str,
    operation: Operation,
    parameters: &'static [&'static str],
) -> Route {
    Route {
        verb,
        subresource,
        operation,
        needs: Some(parameter),
        parameters,
    }
}

/// A relayed sub-resource of a bucket.
const fn bucket(verb: Verb, subresource: &'static str, name: &'static str) -> Route {
    route(verb, subresource, Op::Bucket(relayed(verb, name)), NONE)
}

/// As [`bucket`], of a configuration that has an id.
const fn by_id(verb: Verb, subresource: &'static str, name: &'static str) -> Route {
    needing(
        "id",
        verb,
        subresource,
        Op::Bucket(relayed(verb, name)),
        NONE,
    )
}

/// As [`bucket`], of the list of the configurations that have ids.
const fn paged(verb: Verb, subresource: &'static str, name: &'static str) -> Route {
    route(
        verb,
        subresource,
        Op::Bucket(relayed(verb, name)),
        &["continuation-token"],
    )
}

/// A relayed sub-resource of an object.
const fn object(verb: Verb, subresource: &'static str, name: &'static str) -> Route {
    route(verb, subresource, Op::Object(relayed(verb, name)), VERSION)
}

const fn relayed(verb: Verb, name: &'static str) -> Relayed {
    let writes = matches!(verb, Delete | Post | Put);
    Relayed { name, writes }
}

const NONE: &[&str] = &[];
const VERSION: &[&str] = &["versionId"];
const GET_OBJECT: &[&str] = &[
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "versionId",
];
/// Of all three listings: S3 ignores those of another one, and some clients send them.
const LISTING: &[&str] = &[
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "marker",
    "max-keys",
    "prefix",
    "start-after",
    "version-id-marker",
];
const LIST_UPLOADS: &[&str] = &[
    "delimiter",
    "encoding-type",
    "key-marker",
    "max-uploads",
    "prefix",
    "upload-id-marker",
];
