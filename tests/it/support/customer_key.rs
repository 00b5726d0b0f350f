//! Keys of customers, as SSE-C has them on the wire.

use data_encoding::BASE64;
use md5::{Digest, Md5};

use super::client::Draft;

/// What the names of the headers for an object begin with.
pub const PREFIX: &str = "x-amz-server-side-encryption-customer-";

/// What those for the source of a copy begin with.
pub const SOURCE: &str = "x-amz-copy-source-server-side-encryption-customer-";

/// A customer's key, of 32 equal bytes.
#[derive(Clone, Copy)]
pub struct Key(pub u8);

impl Key {
    /// As it goes into its header.
    pub fn base64(self) -> String {
        BASE64.encode(&[self.0; 32])
    }

    /// Its MD5, likewise.
    pub fn md5(self) -> String {
        BASE64.encode(&Md5::digest([self.0; 32]))
    }

    /// The three headers whose names begin with `prefix`.
    pub fn on(self, draft: Draft, prefix: &str) -> Draft {
        draft
            .header(&format!("{prefix}algorithm"), "AES256")
            .header(&format!("{prefix}key"), &self.base64())
            .header(&format!("{prefix}key-md5"), &self.md5())
    }
}
