//! An upstream's error document in any shape: no panic, and what was read prints to the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use s3seal::s3::xml::error::ErrorDocument;

fuzz_target!(|body: &[u8]| {
    if let Some(read) = ErrorDocument::parse(body) {
        let printed = read.render();
        let again = ErrorDocument::parse(printed.as_bytes()).expect("what we print can be read");
        assert_eq!(again.render(), printed);
    }
});
