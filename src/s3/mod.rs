//! The S3 protocol as data: pure.

pub mod checksum;
pub mod chunked;
pub mod query;
pub mod uri;
