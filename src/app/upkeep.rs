//! What has to happen now and then: expired keys are dropped, keyrings reloaded, readiness asked, the
//! history of the metrics kept.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::reload::{Nudge, Reloader};
use super::{now, with_causes};
use crate::keys::local::{KeyringError, LocalProvider};
use crate::keys::{KeyService, RouteError};
use crate::server::wake::{Hangup, every};
use crate::telemetry::history::{History, STEP};
use crate::telemetry::metrics::Metrics;

/// A keyring that is watched for changes.
#[derive(Clone)]
pub(super) struct Keyring {
    pub(super) name: String,
    pub(super) provider: Arc<LocalProvider>,
}

/// Runs until it is aborted. A provider that takes its time to say whether it is there, or a reload that
/// waits for somebody, keeps no expired key alive and no keyring from being reloaded.
pub(super) async fn upkeep(
    keys: Arc<KeyService>,
    keyrings: Vec<Keyring>,
    not_ready: Arc<ArcSwap<Option<String>>>,
    metrics: Arc<Metrics>,
    history: Arc<History>,
    reloader: Reloader,
) {
    let (nudge, nudges) = mpsc::channel(NUDGES_MAX);
    tokio::join!(
        maintain(&keys, &keyrings, &metrics, nudge),
        reloader.watch(nudges, &metrics),
        watch_readiness(&keys, &not_ready),
        keep_history(&metrics, &history)
    );
}

async fn maintain(
    keys: &KeyService,
    keyrings: &[Keyring],
    metrics: &Metrics,
    nudge: mpsc::Sender<Nudge>,
) {
    let mut ticks = every(UPKEEP_PERIOD);
    let mut hangup = Hangup::watch();
    loop {
        let is_asked = tokio::select! {
            _ = ticks.tick() => false,
            () = hangup.next() => true,
        };
        if is_asked {
            tracing::info!("SIGHUP: reading keyrings and configuration");
        }
        keys.maintain().await;
        let mut has_other_keys = false;
        // The keys first: the configuration may name new ones.
        for keyring in keyrings {
            has_other_keys |= reload(keyring, keys, metrics).await;
        }
        let is_nudged = [(is_asked, Nudge::Asked), (has_other_keys, Nudge::OtherKeys)];
        for (_, why) in is_nudged.into_iter().filter(|(is_nudged, _)| *is_nudged) {
            // With so many waiting, one of them will do.
            let _ = nudge.try_send(why);
        }
    }
}

async fn watch_readiness(keys: &KeyService, not_ready: &ArcSwap<Option<String>>) {
    let mut ticks = every(UPKEEP_PERIOD);
    loop {
        ticks.tick().await;
        let state = keys
            .ready()
            .await
            .err()
            .map(|error| format!("keys: {error}"));
        if state != **not_ready.load() {
            not_ready.store(Arc::new(state));
        }
    }
}

async fn keep_history(metrics: &Metrics, history: &History) {
    let mut ticks = every(STEP);
    let mut before = Instant::now();
    loop {
        ticks.tick().await;
        let seconds = before.elapsed().as_secs_f64();
        before = Instant::now();
        history.take(metrics.totals(), now().unix_timestamp(), seconds);
    }
}

/// Takes over a changed keyring file; one that is broken, or whose names cannot be routed, changes
/// nothing but a metric. Returns whether there are other keys now.
async fn reload(keyring: &Keyring, keys: &KeyService, metrics: &Metrics) -> bool {
    let name = keyring.name.as_str();
    match try_reload(keyring, keys).await {
        Ok(false) => false,
        Ok(true) => {
            tracing::info!(name, "keyring reloaded");
            true
        }
        Err(error) => {
            metrics.keyring_failure();
            tracing::error!(
                name,
                error = with_causes(&error),
                "changed keyring not taken over"
            );
            false
        }
    }
}

async fn try_reload(keyring: &Keyring, keys: &KeyService) -> Result<bool, ReloadError> {
    let provider = Arc::clone(&keyring.provider);
    let read = tokio::task::spawn_blocking(move || provider.read_if_changed()).await?;
    let Some(changed) = read? else {
        return Ok(false);
    };
    // The routes first: they can refuse. Until the next line they may name a key that the keyring
    // in use does not have, which is refused as unknown.
    keys.set_served(&keyring.name, changed.served())?;
    keyring.provider.take_over(changed);
    // A version that was disabled must not go on opening objects from the cache.
    for key in keyring.provider.served() {
        if let Some(id) = keys.resolve(&key.id) {
            keys.purge(id).await;
        }
    }
    Ok(true)
}

/// Why a changed keyring is not used.
#[derive(Debug, Error)]
enum ReloadError {
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error(transparent)]
    Routes(#[from] RouteError),
    #[error("reading it failed")]
    Died(#[from] tokio::task::JoinError),
}

/// More than wait at a time.
const NUDGES_MAX: usize = 8;

/// How often the above happens: also how long a changed keyring file goes unnoticed.
const UPKEEP_PERIOD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prometheus::Registry;
    use tempfile::TempDir;

    use super::*;
    use crate::app::now;
    use crate::keys::local::{Keyring as KeyringFile, Material, NewKey, WhenMissing, update};
    use crate::keys::observer::NoObserver;
    use crate::keys::{KeyServiceSettings, ProviderSetup};

    fn create(path: &Path, id: &str) {
        let key = NewKey {
            id: id.to_owned(),
            description: String::new(),
            aliases: Vec::new(),
        };
        let material = Material::generate().unwrap();
        update(path, WhenMissing::Create, |ring: &mut KeyringFile| {
            ring.create(key, material, now())
        })
        .unwrap();
    }

    #[tokio::test]
    async fn a_keyring_whose_names_cannot_be_routed_is_not_taken_over() {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut keyrings = Vec::new();
        for name in ["a", "b"] {
            create(&path(name), name);
            keyrings.push(Keyring {
                name: name.to_owned(),
                provider: Arc::new(LocalProvider::open(&path(name)).unwrap()),
            });
        }
        let setups = keyrings.iter().map(|keyring| ProviderSetup {
            name: keyring.name.clone(),
            served: keyring.provider.served(),
            provider: keyring.provider.clone(),
            foreign: None,
        });
        let keys = KeyService::new(
            setups.collect(),
            KeyServiceSettings::default(),
            Arc::new(NoObserver),
        )
        .unwrap();
        let metrics = Metrics::new(&Registry::new(), []).unwrap();

        // "a" is the other keyring's name: which of the two is meant?
        create(&path("b"), "a");
        for _ in 0..2 {
            reload(&keyrings[1], &keys, &metrics).await;
            assert!(try_reload(&keyrings[1], &keys).await.is_err());
            assert_eq!(keyrings[1].provider.served().len(), 1);
        }
        create(&path("a"), "c");
        assert!(try_reload(&keyrings[0], &keys).await.unwrap());
        assert!(keys.resolve("c").is_some());
        assert!(!try_reload(&keyrings[0], &keys).await.unwrap());
    }
}
