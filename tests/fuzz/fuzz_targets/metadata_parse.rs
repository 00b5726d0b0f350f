//! Metadata values that read are written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use s3seal::format::{Metadata, metadata};

fuzz_target!(|values: (&[u8], &[u8])| {
    let stored = [
        (metadata::HEADER_NAME, values.0),
        (metadata::KEY_NAME, values.1),
    ];
    if let Ok(Some(read)) = Metadata::parse(stored) {
        assert_eq!(
            read.pairs().map(|(_, value)| value.into_bytes()),
            [values.0, values.1]
        );
    }
});
