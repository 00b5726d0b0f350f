//! A key envelope that reads is the only encoding of what it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use s3seal::format::KeyEnvelope;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(envelope) = KeyEnvelope::parse(bytes) {
        assert_eq!(envelope.encode(), bytes);
    }
});
