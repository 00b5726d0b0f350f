//! Who may do what: the scope of a client, anonymous requests, and requests in flight per client.

use std::sync::Arc;

use dashmap::DashMap;

use crate::config::clients::Client;
use crate::error::Error;
use crate::ops::context::{Cx, S3Request};
use crate::ops::copy;
use crate::ops::policy::Caller;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::operation::Operation;
use crate::s3::query::Query;
use crate::s3::target::{BucketName, ObjectKey, Target};
use crate::s3::uri;

/// Refuses what is outside the caller's scope. Rules come later, with the operation.
pub fn authorise(
    cx: &Cx,
    caller: Option<&Caller>,
    operation: &Operation,
    target: &Target,
    query: Query<'_>,
) -> Result<(), Error> {
    let denied = || Error::from(S3Error::new(ErrorCode::AccessDenied));
    let bucket = target.bucket().map(BucketName::as_str);
    let key = target.key().map(ObjectKey::decoded);
    let Some(caller) = caller else {
        let rule = bucket.and_then(|bucket| cx.rules.find(bucket, key));
        let allowed = rule.is_some_and(|rule| rule.rule.anonymous.is_allowed());
        return if allowed && is_for_everybody(operation) {
            Ok(())
        } else {
            Err(denied())
        };
    };
    let client = &caller.client;
    let is_in_scope = match (bucket, key) {
        // Shows what is in scope.
        (None, _) => client.may_use_all_buckets() || *operation == Operation::ListBuckets,
        (Some(bucket), None) => {
            client.may_use_bucket(bucket) && is_for_prefixes(client, operation, query)
        }
        (Some(bucket), Some(key)) => client.may_use_object(bucket, key),
    };
    if is_in_scope && !(client.is_read_only && operation.writes()) {
        Ok(())
    } else {
        Err(denied())
    }
}

/// As [`authorise`], for what a copy reads: before anything is asked about either end.
pub fn authorise_source(request: &S3Request) -> Result<(), Error> {
    if !matches!(
        request.operation,
        Operation::CopyObject | Operation::UploadPartCopy
    ) {
        return Ok(());
    }
    copy::source(request).map(drop)
}

/// Whether a request about a bucket as a whole stays within the key prefixes of a client: listings
/// of such a prefix, deletions (key by key, once they are read), forms (by their key), and what tells
/// nothing of keys. Everything else is about all of the bucket.
fn is_for_prefixes(client: &Client, operation: &Operation, query: Query<'_>) -> bool {
    if client.prefixes.is_none() {
        return true;
    }
    match operation {
        Operation::ListObjects
        | Operation::ListObjectsV2
        | Operation::ListObjectVersions
        | Operation::ListMultipartUploads => {
            // Some upstreams take a plus sign for a space: it has to be encoded.
            let raw = query
                .pairs()
                .filter(|(name, _)| uri::decode(name).as_ref() == b"prefix");
            let is_plain = raw
                .into_iter()
                .all(|(_, value)| !value.unwrap_or_default().contains('+'));
            let prefix = query.get("prefix").unwrap_or_default();
            let prefix = std::str::from_utf8(&prefix);
            is_plain && prefix.is_ok_and(|prefix| client.may_use_prefix(prefix))
        }
        Operation::DeleteObjects
        | Operation::GetBucketEncryption
        | Operation::HeadBucket
        | Operation::PostObject => true,
        Operation::Bucket(_) => HARMLESS.contains(&operation.name()),
        Operation::AbortMultipartUpload
        | Operation::CompleteMultipartUpload
        | Operation::CopyObject
        | Operation::CreateBucket
        | Operation::CreateMultipartUpload
        | Operation::CreateSession
        | Operation::DeleteBucket
        | Operation::DeleteBucketEncryption
        | Operation::DeleteObject
        | Operation::GetObject
        | Operation::GetObjectAttributes
        | Operation::GetObjectTorrent
        | Operation::HeadObject
        | Operation::ListBuckets
        | Operation::ListParts
        | Operation::Object(_)
        | Operation::Preflight
        | Operation::PutBucketEncryption
        | Operation::PutObject
        | Operation::RenameObject
        | Operation::RestoreObject
        | Operation::SelectObjectContent
        | Operation::UpdateObjectEncryption
        | Operation::UploadPart
        | Operation::UploadPartCopy
        | Operation::WriteGetObjectResponse
        | Operation::Unknown { .. } => false,
    }
}

/// What of a bucket's configuration tells nothing of keys, and is asked by clients before they write.
const HARMLESS: [&str; 4] = [
    "GetBucketLocation",
    "GetBucketRequestPayment",
    "GetBucketVersioning",
    "GetObjectLockConfiguration",
];

/// What `anonymous = "allow"` can open: reading, listing and writing objects. Everything else would
/// run with the rights of the proxy.
fn is_for_everybody(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::GetObject
            | Operation::HeadObject
            | Operation::HeadBucket
            | Operation::ListObjects
            | Operation::ListObjectsV2
            | Operation::PostObject
            | Operation::PutObject
    )
}

/// Requests in flight per client: a number to look at, lost on restart.
#[derive(Clone, Default)]
pub struct InFlight(Arc<DashMap<String, u32>>);

/// One request in flight; ends when dropped.
pub struct Ticket {
    count: u32,
    all: InFlight,
    client: String,
}

impl InFlight {
    /// Counts a request of this client until the ticket is dropped.
    pub fn enter(&self, client: &str) -> Ticket {
        let mut entry = self.0.entry(client.to_owned()).or_default();
        *entry += 1;
        let count = *entry;
        drop(entry);
        Ticket {
            count,
            all: self.clone(),
            client: client.to_owned(),
        }
    }

    /// Requests in flight of this client.
    pub fn of(&self, client: &str) -> u32 {
        self.0.get(client).map_or(0, |count| *count)
    }
}

impl Ticket {
    /// The requests of its client that were in flight when it entered, itself included.
    pub fn count(&self) -> u32 {
        self.count
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.all.0.remove_if_mut(&self.client, |_, count| {
            *count -= 1;
            *count == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_forgotten_when_its_last_request_ends() {
        let all = InFlight::default();
        let (first, second) = (all.enter("APP"), all.enter("APP"));
        assert_eq!(all.of("APP"), 2);
        drop(first);
        assert_eq!(all.of("APP"), 1);
        drop(second);
        assert!(all.0.is_empty());
    }
}
