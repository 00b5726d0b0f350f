//! An object opens if and only if no byte of it was changed, however it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use s3seal_fuzz::Sealed;

fuzz_target!(|input: (bool, u16, u16, Option<u16>, Vec<(u16, u8)>)| {
    let (segmented, len, step, cut, edits) = input;
    let sealed = Sealed::new(segmented, len);
    let mut stored = sealed.stored.clone();
    edits
        .iter()
        .for_each(|(at, mask)| stored[usize::from(*at) % sealed.stored.len()] ^= mask);
    stored.truncate(cut.map_or(usize::MAX, usize::from));
    let expected = (stored == sealed.stored).then_some(usize::from(len));
    assert_eq!(sealed.open(&stored, step), expected);
});
