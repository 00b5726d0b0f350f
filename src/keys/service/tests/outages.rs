//! A provider that is away: how often it is asked, what callers are told, and how it is found again.

use futures_util::future::join_all;

use super::*;
use crate::keys::cache::CacheSettings;

const UNREACHABLE: KeyError = KeyError::Unavailable(Outage::Unreachable);
const TIMEOUT: KeyError = KeyError::Unavailable(Outage::Timeout);

/// Three calls of three attempts each.
async fn opened(faults: &[KeyError]) -> (KeyService, Arc<FaultyProvider>, Stored) {
    let home = Home::with(&["one"]);
    let other = service(vec![home.setup("a")], Arc::new(NoObserver));
    let stored = stored(&other, "one").await;
    let provider = faulty(&home, faults, Duration::ZERO);
    let service = service(
        vec![home.setup_with("a", provider.clone())],
        Arc::new(NoObserver),
    );
    for _ in 0..3 {
        let refused = service.unwrap(stored.request(b"")).await;
        assert_eq!(refused.unwrap_err(), UNREACHABLE);
    }
    assert_eq!(provider.calls(), 9);
    (service, provider, stored)
}

#[tokio::test]
async fn after_three_calls_in_vain_it_is_left_alone_and_then_tried_once() {
    let (service, provider, stored) = opened(&[UNREACHABLE; 9]).await;
    for _ in 0..100 {
        let refused = service.unwrap(stored.request(b"")).await;
        assert_eq!(refused.unwrap_err(), UNREACHABLE);
        let key = stored.key.key();
        let refused = service.generate(key, &stored.context).await;
        assert_eq!(refused.err(), Some(UNREACHABLE));
    }
    assert_eq!(provider.calls(), 9);
    // What is answered from memory is, and readiness asks.
    assert!(service.describe("one").await.is_ok());
    assert!(service.ready().await.is_ok());
    assert_eq!(provider.calls(), 11);
}

#[tokio::test]
async fn the_state_of_a_provider_is_known_without_asking_it() {
    let (service, provider, stored) = opened(&[UNREACHABLE; 9]).await;
    let state = || {
        let states = service.providers();
        (states[0].breaker, states[0].readiness)
    };
    assert_eq!(state(), (BreakerState::Open, None));
    let _ = service.ready().await;
    assert_eq!(state(), (BreakerState::Open, Some(Ok(()))));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(state().0, BreakerState::Trying);
    let asked = provider.calls();
    assert_eq!(service.keys()[0].id.id, "one");
    assert_eq!(provider.calls(), asked);
    service.unwrap(stored.request(b"")).await.unwrap();
    assert_eq!(state().0, BreakerState::Closed);
}

#[tokio::test]
async fn one_call_finds_out_that_it_is_back() {
    let (service, provider, stored) = opened(&[UNREACHABLE; 9]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let opened = service.unwrap(stored.request(b"")).await.unwrap();
    assert_eq!(opened.data_key().expose(), stored.data_key.expose());
    assert_eq!(provider.calls(), 10);
}

#[tokio::test]
async fn the_one_call_that_fails_is_not_repeated() {
    let (service, provider, stored) = opened(&[UNREACHABLE; 10]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..10 {
        let refused = service.unwrap(stored.request(b"")).await;
        assert_eq!(refused.unwrap_err(), UNREACHABLE);
    }
    assert_eq!(provider.calls(), 10);
}

#[tokio::test]
async fn what_a_provider_answers_is_never_hidden() {
    for answer in [
        KeyError::Denied,
        KeyError::Disabled,
        KeyError::Destroyed,
        KeyError::NotFound,
        KeyError::ContextMismatch,
        Outage::Login.into(),
        Outage::Answer.into(),
    ] {
        let faults = [[UNREACHABLE; 9].as_slice(), &[answer; 20]].concat();
        let (service, provider, stored) = opened(&faults).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        for _ in 0..20 {
            let refused = service.unwrap(stored.request(b"")).await;
            assert_eq!(refused.unwrap_err(), answer);
        }
        assert_eq!(provider.calls(), 29);
    }
}

#[tokio::test]
async fn throttling_leaves_it_as_it_is() {
    let home = Home::with(&["one"]);
    let throttled = [KeyError::Throttled; 30];
    let provider = faulty(&home, &throttled, Duration::ZERO);
    let service = service(
        vec![home.setup_with("a", provider.clone())],
        Arc::new(NoObserver),
    );
    let key = home.provider.describe("one").await.unwrap();
    for _ in 0..10 {
        let refused = service.generate(&key, &context("a")).await;
        assert_eq!(refused.err(), Some(KeyError::Throttled));
    }
    assert_eq!(provider.calls(), 30);
    assert!(service.generate(&key, &context("a")).await.is_ok());
}

/// A service whose provider takes an hour, and hands out half a second.
async fn hung() -> (Arc<KeyService>, Arc<FaultyProvider>, KeyRef) {
    let home = Home::with(&["one"]);
    let key = home.provider.describe("one").await.unwrap();
    let provider = faulty(&home, &[], Duration::from_hours(1));
    let setup = home.setup_with("a", provider.clone());
    let service = hurried(setup, Duration::from_millis(500), Arc::new(NoObserver));
    (Arc::new(service), provider, key)
}

#[tokio::test]
async fn three_hundred_calls_at_once_to_a_hung_provider_are_64() {
    let (service, provider, key) = hung().await;
    let context = context("a");
    let calls = (0..300).map(|_| service.generate(&key, &context));
    let began = std::time::Instant::now();
    for outcome in join_all(calls).await {
        assert_eq!(outcome.err(), Some(TIMEOUT));
    }
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(provider.calls(), 64);
    assert_eq!(service.generate(&key, &context).await.err(), Some(TIMEOUT));
    assert_eq!(provider.calls(), 64, "left alone now");
}

#[tokio::test]
async fn callers_that_give_up_early_do_not_keep_the_breaker_from_opening() {
    let (service, provider, key) = hung().await;
    let context = context("a");
    for _ in 0..10 {
        let call = service.generate(&key, &context);
        let _gave_up = tokio::time::timeout(Duration::from_millis(300), call).await;
    }
    assert_eq!(provider.calls(), 3);
    // Those who give up at once say nothing about the provider.
    let (service, provider, key) = hung().await;
    for _ in 0..10 {
        let call = service.generate(&key, &context);
        let _gave_up = tokio::time::timeout(Duration::from_millis(10), call).await;
    }
    assert_eq!(provider.calls(), 10);
}

#[tokio::test]
async fn stale_keys_open_objects_and_seal_none() {
    let home = Home::with(&["one"]);
    let recorder = Arc::new(Recorder::default());
    let away = [UNREACHABLE; 6];
    let cache = CacheSettings::new(Duration::from_millis(100), 10).unwrap();
    let settings = KeyServiceSettings {
        cache: cache.serve_stale(Duration::from_mins(1)),
        ..KeyServiceSettings::default()
    };
    let provider = Arc::new(FaultyProvider::new(Arc::clone(&home.provider) as Arc<_>));
    let setup = home.setup_with("a", provider.clone());
    let service = KeyService::new(vec![setup], settings, recorder.clone()).unwrap();
    let stored = stored(&service, "one").await;
    service.unwrap(stored.request(b"")).await.unwrap();
    let kek = stored.key.key();
    let sealing = service.sealing_bucket_key(kek, "photos").await.unwrap();
    let context = context("object");
    let wrapped = sealing.key.wrap(&stored.data_key, &context).unwrap();
    tokio::time::sleep(Duration::from_millis(120)).await;
    recorder.take();
    provider.fail_next(away);
    let opened = service.unwrap(stored.request(b"")).await.unwrap();
    assert_eq!(opened.data_key().expose(), stored.data_key.expose());
    let by_bucket_key = service
        .unwrap_by_bucket_key(
            &stored.key,
            &sealing.wrapped,
            "photos",
            (&wrapped, &context),
        )
        .await
        .unwrap();
    assert_eq!(by_bucket_key.data_key().expose(), stored.data_key.expose());
    let stale = recorder.take();
    assert_eq!(stale.iter().filter(|note| *note == "stale").count(), 2);
    provider.fail_next([UNREACHABLE; 3]);
    let refused = service.sealing_bucket_key(kek, "photos").await;
    assert_eq!(refused.err(), Some(UNREACHABLE));
    service.maintain().await;
    let told = recorder.take();
    assert!(told.contains(&"local 1 open".to_owned()), "{told:?}");
    assert!(told.contains(&"entries 2".to_owned()), "{told:?}");
}
