//! The S3 protocol as data: pure.

pub mod checksum;
pub mod chunked;
pub mod conditional;
pub mod copy_source;
pub mod cors;
pub mod error_code;
pub mod etag;
pub mod form;
pub mod headers;
pub mod hoisted;
pub mod operation;
pub mod query;
pub mod range;
pub mod sigv4;
pub mod sse;
pub mod target;
pub mod uri;
pub mod xml;
