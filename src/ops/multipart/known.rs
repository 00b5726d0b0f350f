//! Uploads that this replica has seen: state that may be lost. It lets clients go on with the
//! upstream's ids, which they find in `ListMultipartUploads`.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

/// The sealed ids of running uploads.
pub struct KnownUploads(Cache<Place, Arc<str>>);

/// Bucket, decoded key, upstream id.
type Place = (String, String, String);

impl KnownUploads {
    /// Forgets an upload when it is older than `max_age`, or when they take too much memory.
    pub fn new(max_age: Duration) -> Self {
        let weigh = |place: &Place, sealed: &Arc<str>| {
            let bytes = place.0.len() + place.1.len() + place.2.len() + sealed.len() + 256;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder()
            .weigher(weigh)
            .max_capacity(BYTES_MAX)
            .time_to_live(max_age);
        Self(cache.build())
    }

    /// Remembers the sealed id of an upload.
    pub fn insert(&self, bucket: &str, key: &str, upstream_id: &str, sealed: &str) {
        self.0
            .insert(place(bucket, key, upstream_id), sealed.into());
    }

    /// The sealed id of an upload.
    pub fn get(&self, bucket: &str, key: &str, upstream_id: &str) -> Option<Arc<str>> {
        self.0.get(&place(bucket, key, upstream_id))
    }
}

fn place(bucket: &str, key: &str, upstream_id: &str) -> Place {
    (bucket.to_owned(), key.to_owned(), upstream_id.to_owned())
}

/// Memory of all ids: some 8,000 uploads.
const BYTES_MAX: u64 = 8 << 20;
