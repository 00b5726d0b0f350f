//! Any upload id is read without panic, and keeps the upstream's id.
#![no_main]

use libfuzzer_sys::fuzz_target;
use s3seal::format::UploadId;

fuzz_target!(|id: &str| {
    if let Ok(Some(read)) = UploadId::parse(id) {
        assert!(id.ends_with(read.upstream_id()));
    }
});
