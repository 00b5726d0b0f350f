//! Metadata of a stored object in any shape: no panic, and what is accepted prints as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use s3seal::format::metadata::{HEADER_NAME, KEY_NAME, Metadata};
use s3seal::format::{ContentHeader, KeyEnvelope};

fuzz_target!(|input: (&[u8], &[u8])| {
    let (header, envelope) = input;
    if let Ok(parsed) = KeyEnvelope::parse(envelope) {
        assert_eq!(parsed.encode(), envelope);
    }
    if let Ok(parsed) = ContentHeader::parse(header) {
        assert_eq!(parsed.to_bytes(), header);
    }
    if let Ok(Some(parsed)) = Metadata::parse([(HEADER_NAME, header), (KEY_NAME, envelope)]) {
        let printed = parsed.pairs();
        assert_eq!(printed.each_ref().map(|(_, value)| value.as_bytes()), [header, envelope]);
    }
});
