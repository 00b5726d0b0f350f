//! Laws of the sizes.

use proptest::prelude::*;

use super::*;

/// Sizes where a formula is likely to be wrong by one.
fn edges() -> impl Iterator<Item = u64> {
    let steps = [
        1 << 16,
        65552,
        16640,
        5 << 20,
        5 << 30,
        MAX_SINGLE_LEN,
        MAX_SEGMENT_LEN,
    ];
    let around = steps.into_iter().flat_map(|step: u64| {
        (1..=3).flat_map(move |times| (step * times).saturating_sub(300)..=step * times + 300)
    });
    (0..1000).chain(around).chain(u64::MAX - 70_000..=u64::MAX)
}

fn assert_single_laws(value: u64) {
    if let Ok(stored) = single_stored_len(value) {
        assert_eq!(single_plaintext_len(stored), Ok(value));
        assert_eq!(listed_plaintext_len(stored, None), Some(value));
    } else {
        assert!(value > MAX_SINGLE_LEN);
    }
    match single_plaintext_len(value) {
        Ok(plaintext) => assert_eq!(single_stored_len(plaintext), Ok(value)),
        Err(error) => assert_eq!(error, SizeError::Impossible { stored: value }),
    }
}

fn assert_segment_laws(value: u64, parts: u32) {
    if let Ok(stored) = segment_stored_len(value) {
        assert_eq!(segment_plaintext_len(stored), Ok(value));
    }
    if let Ok(plaintext) = segment_plaintext_len(value) {
        assert_eq!(segment_stored_len(plaintext), Ok(value));
    }
    if let Some(plaintext) = listed_plaintext_len(value, Some(parts)) {
        assert_eq!(plaintext + SEGMENT_OVERHEAD * u64::from(parts), value);
    }
}

#[test]
fn laws_hold_at_the_edges() {
    for value in edges() {
        assert_single_laws(value);
        for parts in [0, 1, 2, 10_000, 10_001, u32::MAX] {
            assert_segment_laws(value, parts);
        }
    }
}

#[test]
fn the_largest_objects_fill_one_request() {
    assert_eq!(single_stored_len(MAX_SINGLE_LEN), Ok(5 << 30));
    assert_eq!(single_plaintext_len(5 << 30), Ok(MAX_SINGLE_LEN));
    assert!(single_plaintext_len((5 << 30) + 1).is_err());
    assert_eq!(segment_stored_len(MAX_SEGMENT_LEN), Ok(5 << 30));
    assert!(segment_plaintext_len((5 << 30) + 1).is_err());
}

#[test]
fn known_sizes() {
    assert_eq!(single_stored_len(0), Ok(144));
    assert_eq!(single_plaintext_len(144), Ok(0));
    for impossible in [0, 127, 128, 143, 65_681, 65_696] {
        assert!(single_plaintext_len(impossible).is_err(), "{impossible}");
    }
    assert_eq!(listed_plaintext_len(16_640, Some(1)), Some(0));
    assert_eq!(listed_plaintext_len(16_639, Some(1)), None);
    assert_eq!(listed_plaintext_len(16_640, Some(0)), None);
}

proptest! {
    #[test]
    fn laws_hold_for_any_size(value: u64, small in 0..6_u64 << 30, parts: u32) {
        for value in [value, small] {
            assert_single_laws(value);
            assert_segment_laws(value, parts);
            assert_segment_laws(value, parts % 10_001);
        }
    }
}
