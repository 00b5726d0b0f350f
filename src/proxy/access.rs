//! Who may do what: the scope of a client, anonymous requests, and requests in flight per client.

use std::sync::Arc;

use dashmap::DashMap;

use crate::config::glob::BucketGlob;
use crate::error::Error;
use crate::ops::context::Cx;
use crate::ops::policy::Caller;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::operation::Operation;
use crate::s3::target::{BucketName, ObjectKey, Target};

/// Refuses what is outside the caller's scope. Rules come later, with the operation.
pub fn authorise(
    cx: &Cx,
    caller: Option<&Caller>,
    operation: &Operation,
    target: &Target,
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
    if caller.client.is_read_only && operation.writes() {
        return Err(denied());
    }
    match bucket {
        Some(bucket) if !caller.client.may_use_bucket(bucket) => Err(denied()),
        // A list of all buckets shows more than a scoped client may know.
        None if !caller.client.buckets.iter().any(BucketGlob::is_any) => Err(denied()),
        Some(_) | None => Ok(()),
    }
}

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
    all: InFlight,
    client: String,
}

impl InFlight {
    /// Counts a request of this client until the ticket is dropped.
    pub fn enter(&self, client: &str) -> Ticket {
        *self.0.entry(client.to_owned()).or_default() += 1;
        Ticket {
            all: self.clone(),
            client: client.to_owned(),
        }
    }

    /// Requests in flight of this client.
    pub fn of(&self, client: &str) -> u32 {
        self.0.get(client).map_or(0, |count| *count)
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
