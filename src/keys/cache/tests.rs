//! Expiry that really drops, purges that hold, flights that are shared.

use std::sync::Weak;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::keys::provider::Outage;
use crate::keys::types::{DataKey, ProviderKind};
use crate::keys::unwrapped::UnwrappedKey;

fn cache(ttl: Duration, max_entries: u64) -> KeyCache<UnwrappedKey> {
    KeyCache::new(CacheSettings::new(ttl, max_entries).unwrap())
}

fn unwrapped(byte: u8) -> UnwrappedKey {
    UnwrappedKey::new(DataKey::new([byte; 32]))
}

fn place(text: &str) -> CacheKey {
    CacheKey::of(&[text.as_bytes(), b"", b"", b""])
}

fn id(name: &str) -> KeyId {
    KeyId {
        provider: ProviderKind::Local,
        id: name.to_owned(),
    }
}

async fn fill(cache: &KeyCache<UnwrappedKey>, text: &str, wrapped_by: &str) -> Arc<UnwrappedKey> {
    let unwrap = async { Ok(unwrapped(7)) };
    look_up(cache, text, wrapped_by, unwrap).await.0.unwrap()
}

/// The key, and whether it was a hit.
async fn look_up(
    cache: &KeyCache<UnwrappedKey>,
    text: &str,
    wrapped_by: &str,
    unwrap: impl Future<Output = Result<UnwrappedKey, KeyError>>,
) -> (Result<Arc<UnwrappedKey>, KeyError>, bool) {
    let asking = cache.asking(id(wrapped_by));
    let found = cache.get_or_unwrap(place(text), asking, unwrap).await;
    (found.key, found.lookup == Lookup::Hit)
}

/// Maintains until `gone`, as the application's timer does.
async fn maintained_until(cache: &KeyCache<UnwrappedKey>, gone: impl Fn() -> bool) -> bool {
    // Ended keys are collected about once a second.
    for _ in 0..500 {
        cache.maintain().await;
        if gone() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

#[test]
fn the_time_to_live_is_bounded() {
    assert!(CacheSettings::new(Duration::from_mins(5), 1).is_ok());
    let refused = CacheSettings::new(Duration::from_secs(301), 1).unwrap_err();
    assert!(refused.to_string().contains("300 seconds, not 301"));
}

#[test]
fn places_tell_every_part_and_border_apart() {
    let parts: [[&[u8]; 4]; 6] = [
        [b"ab", b"c", b"d", b"e"],
        [b"a", b"bc", b"d", b"e"],
        [b"ab", b"cd", b"", b"e"],
        [b"ab", b"c", b"de", b""],
        [b"ab", b"c", b"d", b"f"],
        [b"", b"", b"", b""],
    ];
    let places: std::collections::HashSet<_> = parts
        .map(|parts| CacheKey::of(&parts))
        .into_iter()
        .collect();
    assert_eq!(places.len(), parts.len());
    assert_eq!(CacheKey::of(&parts[0]), CacheKey::of(&parts[0]));
}

#[tokio::test]
async fn a_second_request_is_a_hit_and_runs_nothing() {
    let cache = cache(Duration::from_mins(1), 10);
    let first = fill(&cache, "a", "k").await;
    let never = async { Err(KeyError::Denied) };
    let (second, hit) = look_up(&cache, "a", "k", never).await;
    assert!(hit);
    assert!(Arc::ptr_eq(&first, &second.unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_concurrent_requests_unwrap_once() {
    let cache = Arc::new(cache(Duration::from_mins(1), 10));
    let calls = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(tokio::sync::Barrier::new(100));
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (cache, calls, gate) = (cache.clone(), calls.clone(), gate.clone());
            tokio::spawn(async move {
                gate.wait().await;
                let unwrap = async {
                    calls.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Ok(unwrapped(7))
                };
                look_up(&cache, "a", "k", unwrap).await
            })
        })
        .collect();
    let mut hits = 0;
    for task in tasks {
        let (found, hit) = task.await.unwrap();
        assert_eq!(found.unwrap().data_key().expose(), &[7; 32]);
        hits += usize::from(hit);
    }
    assert_eq!((calls.load(Ordering::SeqCst), hits), (1, 99));
}

#[tokio::test]
async fn failures_are_not_remembered() {
    let cache = cache(Duration::from_mins(1), 10);
    let failing = async { Err(KeyError::Unavailable(Outage::Unreachable)) };
    let (failed, hit) = look_up(&cache, "a", "k", failing).await;
    assert_eq!(
        failed.unwrap_err(),
        KeyError::Unavailable(Outage::Unreachable)
    );
    assert!(!hit);
    fill(&cache, "a", "k").await;
}

#[tokio::test]
async fn an_expired_key_is_wiped_by_the_timer_and_not_before_its_last_user_is_done() {
    let cache = cache(Duration::from_millis(50), 10);
    let idle: Weak<UnwrappedKey> = Arc::downgrade(&fill(&cache, "idle", "k").await);
    let in_use = fill(&cache, "in use", "k").await;
    assert!(idle.upgrade().is_some());
    let gone = || idle.upgrade().is_none() && Arc::strong_count(&in_use) == 1;
    assert!(maintained_until(&cache, gone).await);
    assert_eq!(cache.len(), 0);
    assert_eq!(
        in_use.data_key().expose(),
        &[7; 32],
        "a key in use is never wiped"
    );
}

#[tokio::test]
async fn a_purge_takes_the_keys_of_one_wrapping_key_only() {
    let cache = cache(Duration::from_mins(1), 10);
    let purged = Arc::downgrade(&fill(&cache, "a", "old").await);
    let kept = fill(&cache, "b", "new").await;
    cache.purge(id("old")).await;
    assert!(maintained_until(&cache, || purged.upgrade().is_none()).await);
    let unwrap = async { Ok(unwrapped(8)) };
    let (again, hit) = look_up(&cache, "a", "old", unwrap).await;
    assert_eq!((again.unwrap().data_key().expose(), hit), (&[8; 32], false));
    assert!(Arc::ptr_eq(&kept, &fill(&cache, "b", "new").await));
}

#[tokio::test]
async fn an_unwrap_that_a_purge_overtook_does_not_stay() {
    let cache = cache(Duration::from_mins(1), 10);
    let overtaken = async {
        cache.purge(id("k")).await;
        Ok(unwrapped(7))
    };
    let (found, _) = look_up(&cache, "a", "k", overtaken).await;
    assert_eq!(found.unwrap().data_key().expose(), &[7; 32]);
    let unwrap = async { Ok(unwrapped(8)) };
    let (again, hit) = look_up(&cache, "a", "k", unwrap).await;
    assert_eq!((again.unwrap().data_key().expose(), hit), (&[8; 32], false));
}

#[tokio::test]
async fn a_cancelled_request_does_not_fail_those_who_wait() {
    let cache = Arc::new(cache(Duration::from_mins(1), 10));
    let stuck = {
        let cache = cache.clone();
        tokio::spawn(async move {
            let never = std::future::pending::<Result<UnwrappedKey, KeyError>>();
            look_up(&cache, "a", "k", never).await.1
        })
    };
    tokio::task::yield_now().await;
    let waiting = {
        let cache = cache.clone();
        tokio::spawn(async move { fill(&cache, "a", "k").await })
    };
    tokio::task::yield_now().await;
    stuck.abort();
    assert_eq!(waiting.await.unwrap().data_key().expose(), &[7; 32]);
}

#[tokio::test]
async fn the_number_of_entries_is_bounded_and_zero_switches_off() {
    let bounded = cache(Duration::from_mins(1), 3);
    for index in 0..50 {
        fill(&bounded, &index.to_string(), "k").await;
        bounded.maintain().await;
        assert!(bounded.len() <= 3);
    }
    for off in [cache(Duration::ZERO, 10), cache(Duration::from_mins(1), 0)] {
        fill(&off, "a", "k").await;
        off.maintain().await;
        let unwrap = async { Ok(unwrapped(8)) };
        let (again, hit) = look_up(&off, "a", "k", unwrap).await;
        assert_eq!((again.unwrap().data_key().expose(), hit), (&[8; 32], false));
    }
}

mod stale {
    use super::*;

    const AWAY: KeyError = KeyError::Unavailable(Outage::Timeout);

    fn cache(stale: Duration) -> KeyCache<UnwrappedKey> {
        let settings = CacheSettings::new(Duration::from_millis(50), 10).unwrap();
        KeyCache::new(settings.serve_stale(stale))
    }

    async fn ask(
        cache: &KeyCache<UnwrappedKey>,
        text: &str,
        wrapped_by: &str,
        answer: Result<u8, KeyError>,
    ) -> (Result<u8, KeyError>, Lookup) {
        let unwrap = async { answer.map(unwrapped) };
        let asking = cache.asking(id(wrapped_by));
        let found = cache.get_even_stale(place(text), asking, unwrap).await;
        let byte = found.key.map(|key| key.data_key().expose()[0]);
        (byte, found.lookup)
    }

    async fn time_goes_by() {
        tokio::time::sleep(Duration::from_millis(60)).await;
    }

    #[tokio::test]
    async fn a_key_whose_time_is_over_is_used_while_nobody_answers() {
        let cache = cache(Duration::from_mins(1));
        fill(&cache, "a", "k").await;
        assert_eq!(ask(&cache, "a", "k", Err(AWAY)).await, (Ok(7), Lookup::Hit));
        time_goes_by().await;
        for absence in [AWAY, KeyError::Throttled, Outage::Unreachable.into()] {
            let found = ask(&cache, "a", "k", Err(absence)).await;
            assert_eq!(found, (Ok(7), Lookup::Stale));
            let other = ask(&cache, "b", "k", Err(absence)).await;
            assert_eq!(other, (Err(absence), Lookup::Miss));
        }
        // Nothing new under a key that nobody can confirm.
        let unwrap = async { Err(AWAY) };
        assert_eq!(look_up(&cache, "a", "k", unwrap).await.0.unwrap_err(), AWAY);
        // An answer replaces it.
        assert_eq!(ask(&cache, "a", "k", Ok(8)).await, (Ok(8), Lookup::Miss));
        time_goes_by().await;
        let found = ask(&cache, "a", "k", Err(AWAY)).await;
        assert_eq!(found, (Ok(8), Lookup::Stale));
    }

    #[tokio::test]
    async fn off_it_is_never_used() {
        let cache = cache(Duration::ZERO);
        fill(&cache, "a", "k").await;
        time_goes_by().await;
        let found = ask(&cache, "a", "k", Err(AWAY)).await;
        assert_eq!(found, (Err(AWAY), Lookup::Miss));
    }

    #[tokio::test]
    async fn a_refusal_ends_all_that_the_key_wrapped_at_once() {
        for refusal in [
            KeyError::Denied,
            KeyError::Destroyed,
            KeyError::Disabled,
            KeyError::NotFound,
        ] {
            let cache = cache(Duration::from_mins(1));
            let ended = Arc::downgrade(&fill(&cache, "a", "k").await);
            fill(&cache, "b", "other").await;
            time_goes_by().await;
            // Another object under the same key: the refusal is about the key.
            let refused = ask(&cache, "c", "k", Err(refusal)).await;
            assert_eq!(refused, (Err(refusal), Lookup::Miss));
            let found = ask(&cache, "a", "k", Err(AWAY)).await;
            assert_eq!(found, (Err(AWAY), Lookup::Miss), "{refusal:?}");
            let other = ask(&cache, "b", "other", Err(AWAY)).await;
            assert_eq!(other, (Ok(7), Lookup::Stale));
            assert!(maintained_until(&cache, || ended.upgrade().is_none()).await);
            // Enabled again.
            assert_eq!(ask(&cache, "a", "k", Ok(9)).await, (Ok(9), Lookup::Miss));
            time_goes_by().await;
            let found = ask(&cache, "a", "k", Err(AWAY)).await;
            assert_eq!(found, (Ok(9), Lookup::Stale));
        }
    }

    #[tokio::test]
    async fn an_answer_about_the_object_ends_its_key_only() {
        for answer in [
            KeyError::ContextMismatch,
            KeyError::Malformed,
            Outage::Answer.into(),
            Outage::Login.into(),
        ] {
            let cache = cache(Duration::from_mins(1));
            fill(&cache, "a", "k").await;
            fill(&cache, "b", "k").await;
            time_goes_by().await;
            let refused = ask(&cache, "a", "k", Err(answer)).await;
            assert_eq!(refused, (Err(answer), Lookup::Miss));
            let found = ask(&cache, "a", "k", Err(AWAY)).await;
            assert_eq!(found, (Err(AWAY), Lookup::Miss), "{answer:?}");
            let other = ask(&cache, "b", "k", Err(AWAY)).await;
            assert_eq!(other, (Ok(7), Lookup::Stale));
        }
    }

    #[tokio::test]
    async fn a_purge_takes_stale_keys_too_and_an_unwrap_it_overtook() {
        let cache = cache(Duration::from_mins(1));
        let purged = Arc::downgrade(&fill(&cache, "a", "k").await);
        fill(&cache, "b", "other").await;
        time_goes_by().await;
        let overtaken = async {
            cache.purge(id("k")).await;
            Ok(unwrapped(7))
        };
        look_up(&cache, "c", "k", overtaken).await.0.unwrap();
        for text in ["a", "c"] {
            let found = ask(&cache, text, "k", Err(AWAY)).await;
            assert_eq!(found, (Err(AWAY), Lookup::Miss));
        }
        assert!(maintained_until(&cache, || purged.upgrade().is_none()).await);
        let other = ask(&cache, "b", "other", Err(AWAY)).await;
        assert_eq!(other, (Ok(7), Lookup::Stale));
    }

    #[tokio::test]
    async fn beyond_its_end_it_is_not_used_and_really_dropped() {
        let cache = cache(Duration::from_millis(100));
        let key = Arc::downgrade(&fill(&cache, "a", "k").await);
        time_goes_by().await;
        let found = ask(&cache, "a", "k", Err(AWAY)).await;
        assert_eq!(found, (Ok(7), Lookup::Stale));
        tokio::time::sleep(Duration::from_millis(100)).await;
        let found = ask(&cache, "a", "k", Err(AWAY)).await;
        assert_eq!(found, (Err(AWAY), Lookup::Miss));
        assert!(maintained_until(&cache, || key.upgrade().is_none()).await);
        assert_eq!(cache.len(), 0);
    }
}

#[test]
fn lifetimes_differ_by_a_fifth_and_are_never_longer() {
    let longest = Duration::from_mins(5);
    let spread = Spread::up_to(longest);
    let lifetimes: Vec<_> = (0..1000).map(|key: u32| spread.of(&key)).collect();
    assert!(lifetimes.iter().all(|time| *time <= longest));
    assert!(lifetimes.iter().all(|time| *time > longest * 4 / 5));
    let different: std::collections::HashSet<_> = lifetimes.iter().collect();
    assert!(different.len() > 500, "{}", different.len());
    assert_eq!(Spread::up_to(Duration::ZERO).of(&1), Duration::ZERO);
    let other = Spread::up_to(longest);
    assert!((0..100).any(|key: u32| spread.of(&key) != other.of(&key)));
}

#[tokio::test]
async fn the_time_to_live_begins_when_the_provider_is_asked() {
    let cache = cache(Duration::from_millis(50), 10);
    let slow = async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        Ok(unwrapped(7))
    };
    assert!(look_up(&cache, "a", "k", slow).await.0.is_ok());
    let unwrap = async { Ok(unwrapped(8)) };
    let (again, hit) = look_up(&cache, "a", "k", unwrap).await;
    assert_eq!((again.unwrap().data_key().expose(), hit), (&[8; 32], false));
}
