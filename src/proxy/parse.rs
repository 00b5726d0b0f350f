//! From a request head to an operation on a target, before anybody is authenticated.

use http::request::Parts;

use super::InForce;
use crate::error::Error;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::operation::{Operation, classify};
use crate::s3::query::Query;
use crate::s3::target::{Target, request_host};

/// What a request asks for.
pub struct Parsed {
    /// The operation.
    pub operation: Operation,
    /// The bucket and key.
    pub target: Target,
}

impl InForce {
    /// Reads the request line and the headers. No decision depends on the body.
    pub(super) fn parse(&self, parts: &Parts) -> Result<Parsed, Error> {
        let host = request_host(&parts.uri, &parts.headers)?;
        let target = Target::parse(parts.uri.path(), host, &self.domains)?;
        if self.cx.upstream.names_buckets_in_hosts()
            && let Some(bucket) = target.bucket()
            && !bucket.is_host_label()
        {
            return Err(S3Error::new(ErrorCode::InvalidBucketName).into());
        }
        let query = Query::new(parts.uri.query());
        let operation = classify(&parts.method, &target, query, &parts.headers);
        Ok(Parsed { operation, target })
    }
}
