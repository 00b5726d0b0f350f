//! Room for what is large in memory. The chunks of a part above 64 MiB have up to 8 MiB, and a request holds three
//! of them at most; a short form is held as a whole, and so is a body with one tag at its end.
//! All requests together take no more than is configured, and others wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::format::CHUNK_LEN;

/// The memory of large chunks, a half for those that are opened and one for those that are sealed.
///
/// A copy does both: it holds its share of the first half while it waits for one of the second. The
/// other way round waits only one whose source turns out to have larger chunks than was expected; two
/// that then wait for each other end with the patience of one.
#[derive(Debug)]
pub struct Room {
    opening: Arc<Semaphore>,
    sealing: Arc<Semaphore>,
    /// Of each half, in units of [`CHUNK_LEN`].
    units: usize,
}

/// What is taken of one half, and all of it, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Held by requests, or set aside for one that waits for more.
    pub bytes: usize,
    /// There is no more.
    pub max: usize,
}

/// What one client may hold of each half. A client that is slowed down holds what it has for long:
/// a chunk is opened as a whole, and goes out piece by piece.
#[derive(Debug)]
pub struct Quota {
    opening: Arc<Semaphore>,
    sealing: Arc<Semaphore>,
    /// Of each half, in units of [`CHUNK_LEN`].
    units: usize,
}

/// A request's share of it, given back when it is dropped.
#[derive(Debug, Default)]
pub struct Share {
    _permits: Option<[Option<OwnedSemaphorePermit>; 2]>,
    chunk_len: usize,
    quota: Option<Arc<Quota>>,
}

impl Share {
    /// The largest chunk that there is room for: those of the usual size always have it.
    pub fn chunk_len(&self) -> usize {
        self.chunk_len.max(CHUNK_LEN)
    }

    /// No room, of whoever this is.
    #[must_use]
    pub fn given_back(&self) -> Self {
        Self {
            quota: self.quota.clone(),
            ..Self::default()
        }
    }

    /// Out of whose quota it is.
    pub fn quota(&self) -> Option<&Arc<Quota>> {
        self.quota.as_ref()
    }
}

impl Room {
    /// Room of `bytes` in all; at least [`Self::LEN_MIN`], or the largest chunks would never fit.
    pub fn new(bytes: usize) -> Self {
        let units = bytes.max(Self::LEN_MIN) / 2 / CHUNK_LEN;
        Self {
            opening: Arc::new(Semaphore::new(units)),
            sealing: Arc::new(Semaphore::new(units)),
            units,
        }
    }

    /// What the largest chunks of one request in either direction need.
    pub const LEN_MIN: usize = 2 * HELD * (8 << 20);

    /// What is taken of the half for opening.
    pub fn opening(&self) -> Taken {
        self.taken(&self.opening)
    }

    /// What is taken of the half for sealing.
    pub fn sealing(&self) -> Taken {
        self.taken(&self.sealing)
    }

    fn taken(&self, half: &Semaphore) -> Taken {
        Taken {
            bytes: self.units.saturating_sub(half.available_permits()) * CHUNK_LEN,
            max: self.units * CHUNK_LEN,
        }
    }

    /// A part of each half that is one client's: a quarter, or what a request needs at most.
    pub fn quota(&self) -> Quota {
        let units = (self.units / 4).max(Self::LEN_MIN / 2 / CHUNK_LEN);
        Quota {
            opening: Arc::new(Semaphore::new(units)),
            sealing: Arc::new(Semaphore::new(units)),
            units,
        }
    }

    /// Waits for room to open chunks of this length; `None` if there is none for long.
    pub async fn to_open(&self, chunk_len: usize, quota: Option<&Arc<Quota>>) -> Option<Share> {
        let own = quota.map(|quota| (&quota.opening, quota.units));
        let share = share(&self.opening, own, held(chunk_len), PATIENCE).await?;
        Some(Share {
            chunk_len,
            quota: quota.cloned(),
            ..share
        })
    }

    /// Waits for room to hold a whole body that is opened at once; `None` if there is none for long.
    pub async fn to_open_whole(&self, len: usize, quota: Option<&Arc<Quota>>) -> Option<Share> {
        let own = quota.map(|quota| (&quota.opening, quota.units));
        share(&self.opening, own, len, PATIENCE).await
    }

    /// Waits for room to seal chunks of this length; `None` if there is none for long.
    pub async fn to_seal(&self, chunk_len: usize, quota: Option<&Arc<Quota>>) -> Option<Share> {
        let own = quota.map(|quota| (&quota.sealing, quota.units));
        share(&self.sealing, own, held(chunk_len), PATIENCE).await
    }

    /// Waits for room to hold a whole body that will be sealed; `None` if there is none for long.
    pub async fn to_hold(&self, len: usize, quota: Option<&Arc<Quota>>) -> Option<Share> {
        let own = quota.map(|quota| (&quota.sealing, quota.units));
        share(&self.sealing, own, len, PATIENCE).await
    }
}

/// What a request holds of chunks of this length. Of those of the usual size that is bounded by the
/// number of connections, and nothing is counted.
fn held(chunk_len: usize) -> usize {
    if chunk_len > CHUNK_LEN {
        HELD * chunk_len
    } else {
        0
    }
}

/// Of the client's own first: who waits for that takes nothing from others.
async fn share(
    half: &Arc<Semaphore>,
    own: Option<(&Arc<Semaphore>, usize)>,
    len: usize,
    patience: Duration,
) -> Option<Share> {
    if len <= CHUNK_LEN {
        return Some(Share::default());
    }
    let units = u32::try_from(len.div_ceil(CHUNK_LEN)).ok()?;
    let permits = async {
        let own = match own {
            // What is larger than all of it takes all of it.
            Some((own, most)) => {
                let units = u32::try_from(most).unwrap_or(units).min(units);
                Some(Arc::clone(own).acquire_many_owned(units).await.ok()?)
            }
            None => None,
        };
        let permit = Arc::clone(half).acquire_many_owned(units).await.ok()?;
        Some([own, Some(permit)])
    };
    Some(Share {
        _permits: Some(timeout(patience, permits).await.ok()??),
        ..Share::default()
    })
}

/// Chunks of one request: one in hand, and those that wait to be sent.
const HELD: usize = 3;

/// Well below the time after which clients and upstreams give up on a body that does not move.
const PATIENCE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const LARGEST: usize = 8 << 20;

    #[tokio::test]
    async fn requests_wait_for_each_other_and_the_directions_do_not() {
        let room = Room::new(Room::LEN_MIN);
        let first = room.to_seal(LARGEST, None).await.unwrap();
        assert!(room.to_open(LARGEST, None).await.is_some());
        assert!(
            room.to_seal(CHUNK_LEN, None).await.is_some(),
            "the usual ones"
        );
        let mut second = Box::pin(room.to_seal(2 * CHUNK_LEN, None));
        assert!(second.as_mut().now_or_never().is_none(), "no room");
        drop(first);
        let second = second.await.unwrap();
        assert!(room.to_seal(LARGEST, None).now_or_never().is_none());
        drop(second);
        assert!(
            room.to_seal(LARGEST, None)
                .now_or_never()
                .unwrap()
                .is_some()
        );
    }

    #[tokio::test]
    async fn what_is_opened_as_a_whole_takes_its_size() {
        let room = Room::new(0);
        let half = Room::LEN_MIN / 2;
        let first = room.to_open_whole(half, None).await.unwrap();
        assert!(
            room.to_open_whole(CHUNK_LEN + 1, None)
                .now_or_never()
                .is_none()
        );
        assert!(room.to_open_whole(CHUNK_LEN, None).now_or_never().is_some());
        drop(first);
        assert!(
            room.to_open_whole(half, None)
                .now_or_never()
                .unwrap()
                .is_some()
        );
    }

    #[tokio::test]
    async fn a_client_with_a_quota_leaves_the_rest_to_others() {
        let room = Room::new(4 * Room::LEN_MIN);
        let (slow, other) = (Arc::new(room.quota()), Arc::new(room.quota()));
        let first = room.to_open(LARGEST, Some(&slow)).await.unwrap();
        let mut second = Box::pin(room.to_open(LARGEST, Some(&slow)));
        assert!(
            second.as_mut().now_or_never().is_none(),
            "its part is taken"
        );
        // It waits for itself, and takes nothing meanwhile.
        assert_eq!(room.opening().bytes, HELD * LARGEST);
        assert!(room.to_seal(LARGEST, Some(&slow)).now_or_never().is_some());
        assert!(room.to_open(LARGEST, Some(&other)).now_or_never().is_some());
        let rest: Vec<_> = (0..3)
            .map(|_| room.to_open(LARGEST, None).now_or_never().unwrap())
            .collect();
        assert!(room.to_open(LARGEST, None).now_or_never().is_none(), "full");
        drop((first, rest));
        let second = second.await.unwrap();
        // Chunks that turn out larger come out of the same part.
        assert!(Arc::ptr_eq(second.given_back().quota().unwrap(), &slow));
    }

    #[tokio::test]
    async fn what_is_larger_than_a_quota_takes_all_of_it() {
        let room = Room::new(4 * Room::LEN_MIN);
        let quota = Arc::new(room.quota());
        let whole = room.to_open_whole(2 * HELD * LARGEST, Some(&quota)).await;
        assert!(room.to_open(LARGEST, Some(&quota)).now_or_never().is_none());
        drop(whole);
        assert!(room.to_open(LARGEST, Some(&quota)).now_or_never().is_some());
    }

    #[tokio::test]
    async fn what_is_taken_is_told() {
        let room = Room::new(0);
        let max = Room::LEN_MIN / 2;
        assert_eq!(room.opening(), Taken { bytes: 0, max });
        let held = room.to_seal(2 * CHUNK_LEN, None).await.unwrap();
        let bytes = 6 * CHUNK_LEN;
        assert_eq!(room.sealing(), Taken { bytes, max });
        assert_eq!(room.opening(), Taken { bytes: 0, max });
        drop(held);
        assert_eq!(room.sealing(), Taken { bytes: 0, max });
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let room = Room::new(0);
        let first = room.to_open(LARGEST, None).await.unwrap();
        let waited = share(&room.opening, None, held(LARGEST), Duration::from_millis(1)).await;
        assert!(waited.is_none());
        drop(first);
    }
}
