//! Where the segments of multipart objects are stored, as far as earlier reads have proven it.
//! Nothing in it is secret; every read that relies on it carries `If-Match`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;
use moka::sync::Cache;

use crate::format::{PartNumber, SEGMENT_HEADER_LEN, SegmentedLayout};

/// Proven layouts of objects by bucket, key and version.
pub struct Layouts(Cache<Place, Arc<Proven>>);

/// Which object a request names: bucket, decoded key, and version where it names one.
pub type Place = (String, String, Option<String>);

/// The layout of an object that was there.
pub struct Proven {
    /// The upstream's entity tag: it holds for objects that have it.
    pub etag: HeaderValue,
    /// The content header, which the object must have too.
    pub header: [u8; crate::format::HEADER_LEN],
    /// Stored bytes.
    pub stored_len: u64,
    /// Where the segments are.
    pub layout: Arc<SegmentedLayout>,
    heads: Mutex<BTreeMap<PartNumber, [u8; SEGMENT_HEADER_LEN]>>,
}

impl Proven {
    /// A layout without any segment headers.
    pub fn new(
        etag: HeaderValue,
        header: [u8; crate::format::HEADER_LEN],
        stored_len: u64,
        layout: Arc<SegmentedLayout>,
    ) -> Self {
        Self {
            etag,
            header,
            stored_len,
            layout,
            heads: Mutex::default(),
        }
    }

    /// The stored header of a segment, if a read has passed it. It proves itself.
    pub fn head(&self, part: PartNumber) -> Option<[u8; SEGMENT_HEADER_LEN]> {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.get(&part).copied()
    }

    /// Keeps the header of a segment, in place of another one where there are many.
    pub fn keep_head(&self, part: PartNumber, head: [u8; SEGMENT_HEADER_LEN]) {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        if heads.len() >= HEADS_MAX {
            heads.pop_first();
        }
        heads.insert(part, head);
    }
}

impl Layouts {
    /// What is known of the object.
    pub fn get(&self, place: &Place) -> Option<Arc<Proven>> {
        self.0.get(place)
    }

    /// Keeps what was proven.
    pub fn insert(&self, place: Place, proven: Arc<Proven>) {
        self.0.insert(place, proven);
    }

    /// Forgets an object that is no longer what it was.
    pub fn remove(&self, place: &Place) {
        self.0.invalidate(place);
    }
}

impl Default for Layouts {
    fn default() -> Self {
        let weigh = |place: &Place, proven: &Arc<Proven>| {
            let names = place.0.len() + place.1.len() + place.2.as_ref().map_or(0, String::len);
            let heads = HEADS_MAX * (SEGMENT_HEADER_LEN + 16);
            let bytes = names + heads + proven.layout.memory() + 512;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self(
            Cache::builder()
                .weigher(weigh)
                .max_capacity(BYTES_MAX)
                .build(),
        )
    }
}

/// Segment headers kept for an object: those that ranges began in.
const HEADS_MAX: usize = 32;

/// Memory of all layouts: some 1,500 objects of equal parts, or 90 of 10,000 odd ones.
const BYTES_MAX: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_an_object_are_bounded() {
        let layout = Arc::new(SegmentedLayout::walked([1]).unwrap());
        let proven = Proven::new(HeaderValue::from_static("e"), [0; 72], 16_641, layout);
        for number in 1..=100 {
            let part = PartNumber::new(number).unwrap();
            proven.keep_head(part, [number as u8; SEGMENT_HEADER_LEN]);
            assert_eq!(proven.head(part), Some([number as u8; SEGMENT_HEADER_LEN]));
        }
        assert_eq!(proven.head(PartNumber::FIRST), None);
        assert_eq!(proven.heads.lock().unwrap().len(), HEADS_MAX);
    }
}
