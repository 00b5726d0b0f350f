//! Where the segments of multipart objects are stored, as far as earlier reads have proven it.
//! Nothing in it is secret; every read that relies on it carries `If-Match`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use moka::sync::Cache;

use crate::error::StoredError;
use crate::format::{
    ContentKey, OpenError, PartNumber, SEGMENT_HEADER_LEN, SegmentHead, SegmentedLayout,
    SegmentedRange, Walk, WalkError,
};

/// Proven layouts of objects by bucket, key and version.
pub struct Layouts {
    proven: Cache<Place, Arc<Proven>>,
    /// The entity tags of objects whose parts only looked equal: they are walked.
    doubted: Cache<Place, HeaderValue>,
    /// Objects that are being walked: whoever comes meanwhile waits for what comes of it.
    walks: Cache<Place, Arc<Turn>>,
}

/// Held by the only one who walks an object: how far it has come, for who goes on if that one leaves.
pub type Turn = tokio::sync::Mutex<Option<Walked>>;

/// A walk in the making.
pub struct Walked {
    /// The entity tag of the object.
    pub etag: HeaderValue,
    /// Its content header.
    pub header: [u8; crate::format::HEADER_LEN],
    /// Its stored bytes.
    pub stored_len: u64,
    /// Where it goes on.
    pub walk: Walk,
    /// The plaintext lengths of the parts that it has passed.
    pub lens: Vec<u64>,
}

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
    /// How far that is proven.
    pub certainty: Certainty,
    /// The oldest first.
    heads: Mutex<VecDeque<(PartNumber, [u8; SEGMENT_HEADER_LEN])>>,
}

/// How far a layout is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// First and last header are where equal parts would have them. Other parts can still differ, and
    /// make up for it: the header of each must be seen at its place before it is relied on.
    Guessed,
    /// Every header was seen.
    Walked,
}

impl Proven {
    /// A layout without any segment headers.
    pub fn new(
        etag: HeaderValue,
        header: [u8; crate::format::HEADER_LEN],
        stored_len: u64,
        (layout, certainty): (SegmentedLayout, Certainty),
    ) -> Self {
        Self {
            etag,
            header,
            stored_len,
            layout: Arc::new(layout),
            certainty,
            heads: Mutex::default(),
        }
    }

    /// The stored header of a segment, if a read has passed it. It proves itself.
    pub fn head(&self, part: PartNumber) -> Option<[u8; SEGMENT_HEADER_LEN]> {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let found = heads.iter().find(|(known, _)| *known == part);
        found.map(|(_, head)| *head)
    }

    /// Whether the place of a part is proven.
    pub fn is_certain(&self, part: PartNumber) -> bool {
        self.certainty == Certainty::Walked || self.head(part).is_some()
    }

    /// The parts whose headers must be read before anything of a range is released.
    ///
    /// Those of long ranges by a guess are too many to ask for: between the first and the last, each
    /// is met within the stored bytes, and a wrong guess ends the read there.
    pub fn missing_heads(&self, plan: &SegmentedRange) -> Vec<PartNumber> {
        let (first, last) = (plan.first_part(), plan.last_part());
        let mut needed = Vec::new();
        if plan.separate_header().is_some() {
            needed.push(first);
        }
        if self.certainty == Certainty::Guessed {
            let touched = first.get()..=last.get();
            if last.get() - first.get() < HEADS_AT_ONCE_MAX {
                needed.extend(touched.filter_map(PartNumber::new));
            } else {
                needed.extend([first, last]);
            }
        }
        needed.sort_unstable();
        needed.dedup();
        needed.retain(|part| self.head(*part).is_none());
        needed
    }

    /// Keeps the header of a part if it is the one that the layout says.
    pub fn confirm(
        &self,
        key: &ContentKey,
        part: PartNumber,
        head: &[u8; SEGMENT_HEADER_LEN],
    ) -> Result<(), StoredError> {
        let verified = SegmentHead::verify(key, head).map_err(OpenError::from)?;
        let is_at_place = verified.part() == part && self.layout.check(&verified).is_ok();
        if !is_at_place {
            return Err(OpenError::from(WalkError::Order).into());
        }
        self.keep_head(part, *head);
        Ok(())
    }

    /// Keeps the header of a segment, in place of another one where there are many.
    pub fn keep_head(&self, part: PartNumber, head: [u8; SEGMENT_HEADER_LEN]) {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.retain(|(known, _)| *known != part);
        if heads.len() >= HEADS_MAX {
            heads.pop_front();
        }
        heads.push_back((part, head));
    }
}

impl Layouts {
    /// What is known of the object.
    pub fn get(&self, place: &Place) -> Option<Arc<Proven>> {
        self.proven.get(place)
    }

    /// Keeps what was proven. A guess takes no place of a walk's, nor one that was wrong once: what
    /// is slow may have been overtaken.
    pub fn insert(&self, place: Place, proven: Arc<Proven>) {
        if proven.certainty == Certainty::Guessed {
            let known = self.proven.get(&place);
            let is_walked = known.is_some_and(|known| {
                known.certainty == Certainty::Walked
                    && known.etag == proven.etag
                    && known.header == proven.header
            });
            if is_walked || self.is_doubted(&place, &proven.etag) {
                return;
            }
        }
        self.proven.insert(place, proven);
    }

    /// Forgets an object that is no longer what it was.
    pub fn remove(&self, place: &Place) {
        self.proven.invalidate(place);
    }

    /// To be locked while an object is walked.
    pub fn turn(&self, place: Place) -> Arc<Turn> {
        self.walks.get_with(place, Arc::default)
    }

    /// Forgets an object that a guess was wrong about, and makes none about it again.
    pub fn doubt(&self, place: &Place, etag: &HeaderValue) {
        // First the doubt, or a guess could slip in between.
        self.doubted.insert(place.clone(), etag.clone());
        let is_wrong =
            |known: Arc<Proven>| known.certainty == Certainty::Guessed && known.etag == *etag;
        if self.proven.get(place).is_some_and(is_wrong) {
            self.proven.invalidate(place);
        }
    }

    /// Whether a guess about the object was wrong.
    pub fn is_doubted(&self, place: &Place, etag: &HeaderValue) -> bool {
        self.doubted.get(place).as_ref() == Some(etag)
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
        let proven = Cache::builder().weigher(weigh).max_capacity(BYTES_MAX);
        Self {
            proven: proven.build(),
            doubted: Cache::new(DOUBTED_MAX),
            walks: Cache::builder()
                .max_capacity(WALKS_MAX)
                .time_to_idle(WALK_KEPT)
                .build(),
        }
    }
}

/// Segment headers kept for an object: those that ranges began in.
const HEADS_MAX: usize = 32;

/// Segment headers that are read along with a range.
const HEADS_AT_ONCE_MAX: u32 = 16;

/// Objects to make no guess about: some 100 bytes each, 2 KiB with the longest names.
const DOUBTED_MAX: u64 = 1_000;

/// Objects whose walks are shared: beyond that some are walked twice. One that was left half way has
/// 80 KiB at most.
const WALKS_MAX: u64 = 100;

/// How long the walk of an object that nobody reads is kept.
const WALK_KEPT: Duration = Duration::from_mins(10);

/// Memory of all layouts: some 1,500 objects of equal parts, or 90 of 10,000 odd ones.
const BYTES_MAX: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_an_object_are_bounded() {
        let proven = proven("e", Certainty::Walked);
        let part = |number| PartNumber::new(number).unwrap();
        for number in (1..=100).rev() {
            proven.keep_head(part(number), [number as u8; SEGMENT_HEADER_LEN]);
            let kept = proven.head(part(number));
            assert_eq!(kept, Some([number as u8; SEGMENT_HEADER_LEN]));
        }
        // the oldest goes first, whatever its number
        assert_eq!(proven.head(part(100)), None);
        assert!(proven.head(part(32)).is_some());
        for _ in 0..100 {
            proven.keep_head(part(1), [0; SEGMENT_HEADER_LEN]);
        }
        assert_eq!(proven.heads.lock().unwrap().len(), HEADS_MAX);
        assert!(proven.head(part(32)).is_some());
    }

    fn proven(etag: &'static str, certainty: Certainty) -> Arc<Proven> {
        let layout = (SegmentedLayout::walked([1]).unwrap(), certainty);
        let etag = HeaderValue::from_static(etag);
        Arc::new(Proven::new(etag, [0; 72], 16_641, layout))
    }

    #[test]
    fn a_late_guess_takes_no_place_of_a_walk_nor_of_a_doubt() {
        let layouts = Layouts::default();
        let place = || ("b".to_owned(), "k".to_owned(), None);
        let certainty = || layouts.get(&place()).map(|known| known.certainty);
        layouts.insert(place(), proven("e", Certainty::Guessed));
        layouts.insert(place(), proven("e", Certainty::Walked));
        layouts.insert(place(), proven("e", Certainty::Guessed));
        assert_eq!(certainty(), Some(Certainty::Walked));
        // what was walked stays, whatever is doubted
        layouts.doubt(&place(), &HeaderValue::from_static("e"));
        assert_eq!(certainty(), Some(Certainty::Walked));
        // another object
        layouts.insert(place(), proven("f", Certainty::Guessed));
        assert_eq!(certainty(), Some(Certainty::Guessed));
        layouts.doubt(&place(), &HeaderValue::from_static("e"));
        assert_eq!(certainty(), Some(Certainty::Guessed));
        layouts.doubt(&place(), &HeaderValue::from_static("f"));
        assert_eq!(certainty(), None);
        layouts.insert(place(), proven("f", Certainty::Guessed));
        assert_eq!(certainty(), None);
    }
}
