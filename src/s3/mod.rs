//! The S3 protocol as data: pure.

pub mod query;
pub mod uri;
