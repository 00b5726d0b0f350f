//! Laws of segmented objects: full reads, walks, cold ranges.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// A sealed object of layout 02 with all its segments.
struct Upload {
    key: Arc<ContentKey>,
    plaintext: Vec<u8>,
    stored: Vec<u8>,
    part_lens: Vec<u64>,
}

const MIB: usize = 1 << 20;

/// Equal parts and a small last one.
static EQUAL: LazyLock<Upload> =
    LazyLock::new(|| Upload::new(Ending::Terminal, &[5 * MIB, 5 * MIB, 5 * MIB, 100_001]));

/// No two parts alike, and a seal.
static ODD: LazyLock<Upload> =
    LazyLock::new(|| Upload::new(Ending::Terminal, &[5 * MIB + 12_345, 17 * MIB, 5 * MIB + 1]));

/// One small part.
static SMALL: LazyLock<Upload> = LazyLock::new(|| Upload::new(Ending::Terminal, &[40_000]));

impl Upload {
    fn new(ending: Ending, part_lens: &[usize]) -> Self {
        let prefix = HeaderPrefix::segmented([4; 32], ending);
        let (_, key) = ContentHeader::new(prefix, &DataKey::new([5; 32]));
        let key: ContentKey = key.into();
        let mut upload = Self {
            plaintext: pattern(part_lens.iter().sum()),
            stored: Vec::new(),
            part_lens: Vec::new(),
            key: Arc::new(key),
        };
        let mut left = upload.plaintext.as_slice();
        for (length, number) in part_lens.iter().zip(1..) {
            let (plaintext, rest) = left.split_at(*length);
            left = rest;
            let part = PartNumber::new(number).unwrap();
            let salt = [u8::try_from(number).unwrap(); 32];
            let cipher = BulkCipher::AwsLc;
            let sealer =
                SegmentSealer::new(cipher, &upload.key, part, *length as u64, salt).unwrap();
            upload
                .stored
                .extend_from_slice(&seal(sealer, plaintext, &Trailer::EMPTY));
            upload.part_lens.push(*length as u64);
        }
        upload.close(ending);
        upload
    }

    fn close(&mut self, ending: Ending) {
        let last = PartNumber::new(self.parts()).unwrap();
        let next = PartNumber::new(self.parts() + 1).unwrap();
        if ending == Ending::Terminal && !is_terminal(last, *self.part_lens.last().unwrap()) {
            let seal = SegmentSealer::closing(BulkCipher::AwsLc, &self.key, next).unwrap();
            self.stored.extend_from_slice(&seal);
            self.part_lens.push(0);
        }
    }

    fn parts(&self) -> u32 {
        u32::try_from(self.part_lens.len()).unwrap()
    }

    fn announced(&self) -> Announced {
        Announced {
            stored_len: self.stored.len() as u64,
            parts: Some(self.parts()),
        }
    }

    fn opener(&self, announced: Announced) -> Result<Opener, WalkError> {
        let walk = Walk::new(self.key.prefix(), announced, OpenEnds::Refuse)?;
        Ok(Opener::segmented(
            BulkCipher::AwsLc,
            Arc::clone(&self.key),
            walk,
        ))
    }

    fn head(&self, offset: u64) -> SegmentHead {
        let bytes = self.stored[offset as usize..].first_chunk().unwrap();
        SegmentHead::verify(&self.key, bytes).unwrap()
    }

    /// Reads every header, as for an object whose part sizes are not known.
    fn walk(&self, announced: Announced) -> Result<SegmentedLayout, WalkError> {
        let mut walk = Walk::new(self.key.prefix(), announced, OpenEnds::Refuse)?;
        let mut part_lens = Vec::new();
        while let Some(offset) = walk.next_header() {
            let head = self.head(offset);
            walk.accept(&head)?;
            part_lens.push(head.plaintext_len());
        }
        Ok(SegmentedLayout::walked(part_lens).unwrap())
    }

    fn prove(&self, announced: Announced) -> Option<SegmentedLayout> {
        let first = self.head(0);
        let prefix = self.key.prefix();
        let cold = ColdRead::new(prefix, announced, OpenEnds::Refuse, &first).unwrap()?;
        let offset = cold.header_offset(cold.last_part());
        let last = self.stored.get(offset as usize..)?.first_chunk()?;
        let last = SegmentHead::verify(&self.key, last).ok()?;
        cold.prove(&[&first], &last)
    }

    fn read_range(&self, layout: &SegmentedLayout, first: u64, last: u64, step: usize) -> Vec<u8> {
        let range = layout.range(first, last).unwrap();
        let head = range.separate_header().map(|offset| self.head(offset));
        let opener = Opener::segmented_range(
            BulkCipher::AwsLc,
            Arc::clone(&self.key),
            Arc::new(layout.clone()),
            range,
            head.as_ref(),
        );
        let stored = range.stored();
        let stored = &self.stored[stored.first as usize..=stored.last as usize];
        let (plaintext, result) = open(opener.unwrap(), stored, std::iter::repeat(step));
        assert_eq!(result.unwrap().plaintext_len(), plaintext.len() as u64);
        plaintext[range.skip() as usize..][..range.take() as usize].to_vec()
    }

    /// Opens a stored body that was not what the sealers wrote; never releases a wrong byte, and
    /// never as many as were announced.
    fn assert_refused(&self, stored: &[u8], announced: Announced) {
        let Ok(opener) = self.opener(announced) else {
            return;
        };
        let (released, result) = open_whole(opener, stored);
        assert!(result.is_err());
        let Announced { stored_len, parts } = announced;
        let own = self.plaintext.len() as u64;
        let limit = parts.map_or(Some(own), |parts| {
            listed_plaintext_len(stored_len, Some(parts))
        });
        assert!((released.len() as u64) < limit.unwrap());
        assert!(self.plaintext.starts_with(&released));
    }
}

#[test]
fn a_walk_finds_the_parts_without_a_count() {
    for upload in [&*EQUAL, &*ODD, &*SMALL] {
        let unknown = Announced {
            parts: None,
            ..upload.announced()
        };
        let layout = upload.walk(unknown).unwrap();
        assert_eq!(layout.parts().get(), upload.parts());
        assert_eq!(layout.plaintext_len(), upload.plaintext.len() as u64);
        assert_eq!(upload.walk(upload.announced()), Ok(layout));
        let (plaintext, opened) = open_whole(upload.opener(unknown).unwrap(), &upload.stored);
        assert!(opened.is_ok() && plaintext == upload.plaintext);
    }
}

#[test]
fn a_cold_read_proves_equal_parts_and_nothing_else() {
    let unknown = |upload: &Upload| Announced {
        parts: None,
        ..upload.announced()
    };
    for upload in [&*EQUAL, &*SMALL] {
        let layout = upload.prove(upload.announced()).unwrap();
        assert_eq!(layout.plaintext_len(), upload.plaintext.len() as u64);
        assert_eq!(upload.prove(unknown(upload)), Some(layout));
    }
    assert_eq!(ODD.prove(ODD.announced()), None);
    assert_eq!(ODD.prove(unknown(&ODD)), None);
    for wrong in [1, 3, 5, 10_001] {
        assert_eq!(
            EQUAL.prove(Announced {
                parts: Some(wrong),
                ..EQUAL.announced()
            }),
            None
        );
    }
    for stored_len in [EQUAL.stored.len() - 1, EQUAL.stored.len() + 1] {
        let announced = Announced {
            stored_len: stored_len as u64,
            ..EQUAL.announced()
        };
        assert_eq!(EQUAL.prove(announced), None);
    }
}

#[test]
fn a_cold_read_begins_with_part_one() {
    let second = EQUAL.head(5 * MIB as u64 + SEGMENT_OVERHEAD);
    let (prefix, announced) = (EQUAL.key.prefix(), EQUAL.announced());
    let cold = ColdRead::new(prefix, announced, OpenEnds::Refuse, &second);
    assert_eq!(cold.unwrap_err(), WalkError::Order);
}

#[test]
fn a_segment_of_another_size_disproves_the_guess() {
    let first = EQUAL.head(0);
    let (prefix, announced) = (EQUAL.key.prefix(), EQUAL.announced());
    let cold = ColdRead::new(prefix, announced, OpenEnds::Refuse, &first)
        .unwrap()
        .unwrap();
    let last = EQUAL.head(cold.header_offset(cold.last_part()));
    assert!(cold.prove(&[&first], &last).is_some());
    let part = PartNumber::new(2).unwrap();
    let other = SegmentSealer::new(BulkCipher::AwsLc, &EQUAL.key, part, 5 << 20 | 1, [0; 32]);
    let other = other.unwrap().prologue();
    let other = SegmentHead::verify(&EQUAL.key, other.first_chunk().unwrap()).unwrap();
    assert_eq!(cold.prove(&[&first, &other], &last), None);
}

/// Parts that grow: by the first one, the last would be larger than any part is.
#[test]
fn a_guess_has_no_part_that_is_too_large() {
    let first = EQUAL.head(0);
    let guess = |stored_len| {
        let announced = Announced {
            stored_len,
            parts: Some(2),
        };
        let prefix = EQUAL.key.prefix();
        let cold = ColdRead::new(prefix, announced, OpenEnds::Refuse, &first);
        cold.unwrap().unwrap().guess().is_some()
    };
    let largest = first.stored_len() + MAX_SEGMENT_LEN + SEGMENT_OVERHEAD;
    assert!(guess(largest));
    assert!(!guess(largest + 1));
}

#[test]
fn open_ends_need_flag_and_rule() {
    let open = Upload::new(Ending::Open, &[5 * MIB, 5 * MIB]);
    let (prefix, announced) = (open.key.prefix(), open.announced());
    let refused = Walk::new(prefix, announced, OpenEnds::Refuse);
    assert_eq!(refused.unwrap_err(), WalkError::OpenEnd);
    let first = open.head(0);
    let refused = ColdRead::new(prefix, announced, OpenEnds::Refuse, &first);
    assert_eq!(refused.unwrap_err(), WalkError::OpenEnd);
    let cold = ColdRead::new(prefix, announced, OpenEnds::Allow, &first)
        .unwrap()
        .unwrap();
    let last = open.head(cold.header_offset(cold.last_part()));
    assert!(cold.prove(&[], &last).is_some());
    let mut walk = Walk::new(prefix, announced, OpenEnds::Allow).unwrap();
    assert_eq!(walk.accept(&first), Ok(()));
    assert_eq!(walk.accept(&last), Ok(()));
    assert_eq!(walk.next_header(), None);
}

#[test]
fn a_part_is_a_range() {
    let layout = ODD.walk(ODD.announced()).unwrap();
    let mut start = 0;
    for (length, number) in ODD.part_lens.iter().zip(1..) {
        let part = PartNumber::new(number).unwrap();
        let expected = (*length > 0).then(|| (start, start + length - 1));
        assert_eq!(layout.part_range(part), expected);
        start += length;
    }
    assert_eq!(layout.part_range(PartNumber::new(5).unwrap()), None);
    assert_eq!(layout.range(start, u64::MAX), None);
}

#[test]
fn a_range_of_another_object_is_refused() {
    let layout = Arc::new(EQUAL.walk(EQUAL.announced()).unwrap());
    let range = layout.range(0, 10).unwrap();
    let open_range = |head: Option<&SegmentHead>| {
        let key = Arc::clone(&ODD.key);
        Opener::segmented_range(BulkCipher::AwsLc, key, Arc::clone(&layout), range, head)
    };
    let (released, result) = open_whole(open_range(None).unwrap(), &ODD.stored[..20_000]);
    assert_eq!(result.unwrap_err().check(), "part count");
    assert!(released.is_empty());
    assert_eq!(open_range(Some(&ODD.head(0))).unwrap_err(), OpenError::Span);
}

#[test]
fn parts_know_whether_they_end_an_object() {
    let part = |number| PartNumber::new(number).unwrap();
    assert!(is_terminal(part(1), (5 << 20) - SEGMENT_OVERHEAD - 1));
    assert!(!is_terminal(part(1), (5 << 20) - SEGMENT_OVERHEAD));
    assert!(is_terminal(part(10_000), u64::MAX));
    assert_eq!(PartNumber::new(0), None);
    assert_eq!(PartNumber::new(10_001), None);
}

#[test]
fn the_largest_chunk_is_that_of_the_largest_part() {
    let mib = MIB as u64;
    for (lens, expected) in [
        (vec![1], 1 << 14),
        (vec![64 * mib, 64 * mib], 1 << 16),
        (vec![64 * mib, 64 * mib + 1], 1 << 17),
        (vec![5 * mib, MAX_SEGMENT_LEN, 1], 8 << 20),
    ] {
        let layout = SegmentedLayout::walked(lens.clone()).unwrap();
        assert_eq!(layout.chunk_len_max(), expected, "{lens:?}");
    }
    for (stored_len, parts, expected) in [
        (64 * mib, Some(1), 1 << 16),
        (640 * mib, Some(10), 1 << 16),
        (650 * mib, Some(10), 1 << 17),
        (640 * mib, None, 1 << 20),
        (u64::MAX, Some(0), 8 << 20),
    ] {
        assert_eq!(Announced { stored_len, parts }.chunk_len(), expected);
    }
}

#[test]
fn layouts_have_limits() {
    assert_eq!(SegmentedLayout::walked([]), None);
    assert_eq!(SegmentedLayout::walked([MAX_SEGMENT_LEN + 1]), None);
    assert_eq!(SegmentedLayout::walked(vec![1; 10_001]), None);
    let largest = SegmentedLayout::walked(vec![MAX_SEGMENT_LEN; 10_000]).unwrap();
    let (last, plaintext_len) = (largest.parts(), largest.plaintext_len());
    assert_eq!(plaintext_len, MAX_SEGMENT_LEN * 10_000);
    assert_eq!(largest.header_offset(last), Some((5 << 30) * 9_999));
    let range = largest.range(plaintext_len - 1, u64::MAX).unwrap();
    assert_eq!((range.first_part(), range.take()), (last, 1));
    assert!(range.separate_header().is_some());
}

#[test]
fn a_seal_can_be_made_again() {
    let part = PartNumber::new(4).unwrap();
    let seals = CIPHERS.map(|cipher| SegmentSealer::closing(cipher, &ODD.key, part).unwrap());
    assert_eq!(seals[0], seals[1]);
    assert_eq!(seals[0].len() as u64, SEGMENT_OVERHEAD);
    assert!(ODD.stored.ends_with(&seals[0]));
}

#[test]
fn a_key_of_the_other_layout_is_refused() {
    let (_, single) = ContentHeader::new(HeaderPrefix::single([4; 32]), &DataKey::new([5; 32]));
    let single: ContentKey = single.into();
    let part = PartNumber::FIRST;
    let sealer = SegmentSealer::new(BulkCipher::AwsLc, &single, part, 1, [0; 32]);
    assert_eq!(sealer.unwrap_err(), SealError::Layout);
    let walk = Walk::new(single.prefix(), SMALL.announced(), OpenEnds::Allow);
    assert_eq!(walk.unwrap_err(), WalkError::Layout);
    let head = SegmentHead::verify(&single, SMALL.stored.first_chunk().unwrap());
    assert_eq!(head.unwrap_err(), SegmentError::Layout);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn round_trip_under_any_split(
        odd: bool, steps in prop::collection::vec(1_000..3_000_000_usize, 1..6),
    ) {
        let upload = if odd { &*ODD } else { &*EQUAL };
        let opener = upload.opener(upload.announced()).unwrap();
        let (plaintext, opened) = open(opener, &upload.stored, steps.into_iter().cycle());
        prop_assert_eq!(opened.unwrap().plaintext_len(), upload.plaintext.len() as u64);
        prop_assert!(plaintext == upload.plaintext);
    }

    #[test]
    fn range_is_a_slice_of_the_whole(
        odd: bool, first: prop::sample::Index, span in prop_oneof![0..100_u64, 0..12_000_000_u64],
        step in 10_000..3_000_000_usize,
    ) {
        let upload = if odd { &*ODD } else { &*EQUAL };
        let layout = if odd {
            upload.walk(upload.announced()).unwrap()
        } else {
            upload.prove(upload.announced()).unwrap()
        };
        let first = first.index(upload.plaintext.len());
        let end = (first + span as usize + 1).min(upload.plaintext.len());
        let read = upload.read_range(&layout, first as u64, first as u64 + span, step);
        prop_assert!(read == upload.plaintext[first..end]);
    }

    #[test]
    fn change_is_refused(
        odd: bool, at: prop::sample::Index, near_segment: bool, bit in 0..8_u8,
    ) {
        let upload = if odd { &*ODD } else { &*EQUAL };
        let mut stored = upload.stored.clone();
        let at = if near_segment {
            // Around the end of the first segment: padding, trailer, next header.
            let end = (upload.part_lens[0] + SEGMENT_OVERHEAD) as usize;
            end - 17_000 + at.index(17_300)
        } else {
            at.index(stored.len())
        };
        stored[at] ^= 1 << bit;
        upload.assert_refused(&stored, upload.announced());
    }

    #[test]
    fn cut_or_extension_is_refused(
        at: prop::sample::Index, more in prop::collection::vec(any::<u8>(), 1..300), parts in 1..6_u32,
    ) {
        let cut = &ODD.stored[..at.index(ODD.stored.len())];
        let longer = [&ODD.stored[..], &more].concat();
        for stored in [cut, &longer] {
            // As announced, and announced as what is there.
            ODD.assert_refused(stored, ODD.announced());
            let announced = Announced { stored_len: stored.len() as u64, parts: Some(parts) };
            ODD.assert_refused(stored, announced);
            ODD.assert_refused(stored, Announced { parts: None, ..announced });
        }
    }
}

proptest! {
    #[test]
    fn change_of_a_small_upload_is_refused(at: prop::sample::Index, bit in 0..8_u8) {
        let mut stored = SMALL.stored.clone();
        let at = at.index(stored.len());
        stored[at] ^= 1 << bit;
        SMALL.assert_refused(&stored, SMALL.announced());
    }

    #[test]
    fn only_one_count_fits(parts in 1..20_000_u32) {
        let announced = Announced { parts: Some(parts), ..EQUAL.announced() };
        let accepted = EQUAL.walk(announced).is_ok();
        prop_assert_eq!(accepted, parts == EQUAL.parts());
    }
}
