//! A listing comes out the same whole and in pieces, whatever it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use s3seal::s3::{etag::ETagStyle, xml::list::ListRewriter};

fuzz_target!(|input: (&[u8], u8)| {
    let run = |piece: usize| {
        let (mut rewriter, mut out) = (ListRewriter::new(ETagStyle::Dashed, |size, _| size.checked_sub(128)), Vec::new());
        input.0.chunks(piece).try_for_each(|piece| rewriter.push(piece, &mut out))?;
        rewriter.finish().map(|summary| (summary, out))
    };
    assert_eq!(run(usize::from(input.1) + 1), run(input.0.len().max(1)));
});
