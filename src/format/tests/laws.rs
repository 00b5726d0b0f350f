//! Laws of sealed objects, over any plaintext and any way to cut the stream.

use proptest::prelude::*;

use super::*;

fn key() -> DataKey {
    DataKey::new([0x5A; 32])
}

fn cipher() -> impl Strategy<Value = BulkCipher> {
    prop::sample::select(CIPHERS.to_vec())
}

/// Lengths of layout 01, mostly around chunk boundaries.
fn single_len() -> impl Strategy<Value = usize> {
    let boundary = (0..4_usize, 0..40_usize)
        .prop_map(|(chunks, beyond)| (chunks * CHUNK_LEN + beyond).saturating_sub(20));
    prop_oneof![0..2000_usize, boundary, 0..4 * CHUNK_LEN]
}

fn steps() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![0..200_usize, 1..200_000_usize], 1..8)
        .prop_filter("a step must lead on", |steps| {
            steps.iter().any(|step| *step > 60)
        })
}

/// A sealed object of layout 01, with an opener for any stored length.
struct Sealed {
    header: ContentHeader,
    plaintext: Vec<u8>,
    stored: Vec<u8>,
}

impl Sealed {
    fn new(cipher: BulkCipher, len: usize) -> Self {
        let plaintext = pattern(len);
        let trailer = Trailer::new(&[(SealedChecksum::Crc32, &[1, 2, 3, 4])]).unwrap();
        let (header, stored) = seal_single(cipher, &key(), [9; 32], &plaintext, &trailer);
        Self {
            header,
            plaintext,
            stored,
        }
    }

    fn content_key(&self) -> ContentKey {
        self.header.verify(&key()).unwrap()
    }

    /// Opens a stored body that was not what the sealer wrote; never releases a wrong byte, and
    /// never the end of the plaintext.
    fn assert_refused(&self, cipher: BulkCipher, stored: &[u8]) {
        let opener = Opener::single(cipher, &self.content_key(), stored.len() as u64);
        let Ok(opener) = opener else { return };
        let (released, result) = open_whole(opener, stored);
        assert!(result.is_err());
        assert!(released.is_empty() || released.len() < self.plaintext.len());
        assert!(self.plaintext.starts_with(&released));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn single_round_trip(
        seal_with in cipher(), open_with in cipher(), len in single_len(), steps in steps(),
    ) {
        let sealed = Sealed::new(seal_with, len);
        let stored_len = sealed.stored.len() as u64;
        let opener = Opener::single(open_with, &sealed.content_key(), stored_len).unwrap();
        let (plaintext, opened) = open(opener, &sealed.stored, steps.into_iter().cycle());
        let opened = opened.unwrap();
        prop_assert!(plaintext == sealed.plaintext);
        prop_assert_eq!(opened.trailer().unwrap().checksum(SealedChecksum::Crc32).unwrap(), [1, 2, 3, 4]);
    }

    #[test]
    fn single_range_is_a_slice_of_the_whole(
        cipher in cipher(), len in 1..4 * CHUNK_LEN, first: prop::sample::Index,
        span in 0..200_000_u64, steps in steps(),
    ) {
        let sealed = Sealed::new(cipher, len);
        let stored_len = sealed.stored.len() as u64;
        let first = first.index(len) as u64;
        let range = single::SingleRange::new(stored_len, first, first + span).unwrap().unwrap();
        let stored = range.stored();
        let stored = &sealed.stored[stored.first as usize..=stored.last as usize];
        let key = sealed.content_key();
        let opener = Opener::single_span(cipher, &key, stored_len, range.chunks()).unwrap();
        let (plaintext, opened) = open(opener, stored, steps.into_iter().cycle());
        prop_assert!(opened.unwrap().trailer().is_none());
        let (skip, take) = (range.skip() as usize, range.take() as usize);
        let end = (first + span + 1).min(len as u64) as usize;
        prop_assert!(plaintext[skip..skip + take] == sealed.plaintext[first as usize..end]);
    }

    #[test]
    fn single_change_is_refused(
        cipher in cipher(), len in single_len(), at: prop::sample::Index, bit in 0..8_u8,
    ) {
        let sealed = Sealed::new(cipher, len);
        let mut stored = sealed.stored.clone();
        let at = at.index(stored.len());
        stored[at] ^= 1 << bit;
        sealed.assert_refused(cipher, &stored);
    }

    #[test]
    fn single_cut_or_extension_is_refused(
        cipher in cipher(), len in single_len(), at: prop::sample::Index,
        more in prop::collection::vec(any::<u8>(), 1..300),
    ) {
        let sealed = Sealed::new(cipher, len);
        sealed.assert_refused(cipher, &sealed.stored[..at.index(sealed.stored.len())]);
        sealed.assert_refused(cipher, &[sealed.stored.as_slice(), &more].concat());
    }

    #[test]
    fn single_body_must_be_as_long_as_announced(
        cipher in cipher(), len in single_len(), at: prop::sample::Index,
    ) {
        let sealed = Sealed::new(cipher, len);
        let stored_len = sealed.stored.len() as u64;
        let opener = || Opener::single(cipher, &sealed.content_key(), stored_len).unwrap();
        let cut = &sealed.stored[..at.index(sealed.stored.len())];
        let (released, result) = open_whole(opener(), cut);
        prop_assert_eq!(result.unwrap_err(), OpenError::Truncated);
        prop_assert!(released.is_empty() || released.len() < len);
        let (released, result) = open_whole(opener(), &[&sealed.stored[..], &[0]].concat());
        prop_assert_eq!(result.unwrap_err(), OpenError::Extended);
        prop_assert!(released.is_empty() || released.len() < len);
    }
}

#[test]
fn a_trailer_alone_proves_the_size() {
    for cipher in CIPHERS {
        let sealed = Sealed::new(cipher, 70_000);
        let (stored_len, key) = (sealed.stored.len() as u64, sealed.content_key());
        let bytes = *sealed.stored.last_chunk().unwrap();
        let trailer = single::open_trailer(cipher, &key, stored_len, bytes).unwrap();
        assert!(trailer.checksum(SealedChecksum::Crc32).is_some());
        let other_size = single::open_trailer(cipher, &key, stored_len - 1, bytes);
        assert_eq!(other_size.unwrap_err(), OpenError::TrailerTag);
    }
}

#[test]
fn a_sealer_takes_exactly_what_was_announced() {
    let sealer = |len| {
        let (_, key) = ContentHeader::new(HeaderPrefix::single([9; 32]), &key());
        SingleSealer::new(BulkCipher::AwsLc, key, len)
    };
    let mut one = sealer(CHUNK_LEN as u64 + 5).unwrap();
    let wrong = one.seal_chunk(&mut [0; 5]).unwrap_err();
    assert_eq!(
        wrong,
        SealError::ChunkLength {
            expected: CHUNK_LEN,
            got: 5
        }
    );
    let _ = one.seal_chunk(&mut vec![0; CHUNK_LEN]).unwrap();
    assert_eq!(one.finish(&Trailer::EMPTY), Err(SealError::Incomplete));
    let mut empty = sealer(0).unwrap();
    assert_eq!(empty.next_chunk_len(), Some(0));
    let _ = empty.seal_chunk(&mut []).unwrap();
    assert_eq!(empty.next_chunk_len(), None);
    let more = empty.seal_chunk(&mut []).unwrap_err();
    assert_eq!(
        more,
        SealError::ChunkLength {
            expected: 0,
            got: 0
        }
    );
    assert!(matches!(
        sealer(MAX_SINGLE_LEN + 1),
        Err(SealError::Size(_))
    ));
}

#[test]
fn a_key_of_the_other_layout_is_refused() {
    let prefix = HeaderPrefix::segmented([9; 32], Ending::Terminal);
    let (header, fresh) = ContentHeader::new(prefix, &key());
    let sealer = SingleSealer::new(BulkCipher::AwsLc, fresh, 1);
    assert_eq!(sealer.unwrap_err(), SealError::Layout);
    let opener = Opener::single(BulkCipher::AwsLc, &header.verify(&key()).unwrap(), 144);
    assert_eq!(opener.unwrap_err(), OpenError::Layout);
}

#[test]
fn a_span_must_be_in_the_body() {
    let sealed = Sealed::new(BulkCipher::AwsLc, 70_000);
    let (stored_len, key) = (sealed.stored.len() as u64, sealed.content_key());
    let beyond = ChunkSpan { first: 1, last: 2 };
    let opener = Opener::single_span(BulkCipher::AwsLc, &key, stored_len, beyond);
    assert_eq!(opener.unwrap_err(), OpenError::Span);
}
