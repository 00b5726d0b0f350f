//! The key service of a configuration, and what it tells about itself.

use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use super::upkeep::Keyring;
use crate::config::keys::{Keys, Provider};
use crate::keys::local::LocalProvider;
use crate::keys::observer::KeyObserver;
use crate::keys::pkcs11::Pkcs11Provider;
use crate::keys::transit::TransitProvider;
use crate::keys::{CacheSettings, KeyService, KeyServiceSettings, ProviderSetup};
use crate::telemetry::metrics::Metrics;
use crate::upstream::client::tls_config;

/// Opens every keyring, and joins the providers.
pub(super) fn key_service(
    keys: &Keys,
    metrics: &Arc<Metrics>,
) -> Result<(Arc<KeyService>, Vec<Keyring>), StartError> {
    let mut keyrings = Vec::new();
    let mut setups = Vec::new();
    for provider in &keys.providers {
        match provider {
            Provider::Local(local) => {
                let provider = Arc::new(LocalProvider::open(&local.keyring)?);
                setups.push(ProviderSetup {
                    name: local.name.clone(),
                    served: provider.served(),
                    provider: provider.clone(),
                });
                keyrings.push(Keyring {
                    name: local.name.clone(),
                    provider,
                });
            }
            Provider::Pkcs11(token) => {
                let provider = Pkcs11Provider::new(token).map_err(StartError::Threads)?;
                setups.push(ProviderSetup {
                    name: token.name.clone(),
                    served: provider.served(),
                    provider: Arc::new(provider),
                });
            }
            Provider::Transit(transit) => {
                let is_https = transit.address.scheme_str() == Some("https");
                let tls = tls_config(transit.ca.as_deref(), is_https)?;
                let provider = TransitProvider::new(transit, tls, CONNECT_TIMEOUT);
                setups.push(ProviderSetup {
                    name: transit.name.clone(),
                    served: provider.served(),
                    provider: Arc::new(provider),
                });
            }
        }
    }
    let settings = KeyServiceSettings {
        default: Some(keys.default.clone()),
        managed: Some(keys.managed.clone()),
        cache: CacheSettings::new(keys.cache.ttl, keys.cache.max_entries)?,
        bucket_key_lifetime: keys.bucket_keys.lifetime,
        ..KeyServiceSettings::default()
    };
    let observer = Arc::new(KeyMetrics(Arc::clone(metrics)));
    Ok((
        Arc::new(KeyService::new(setups, settings, observer)?),
        keyrings,
    ))
}

/// For a connection to a key provider, TLS included: its callers have five seconds in all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What the key service tells about itself, as metrics.
struct KeyMetrics(Arc<Metrics>);

impl KeyObserver for KeyMetrics {
    fn provider_call(
        &self,
        provider: &'static str,
        call: &'static str,
        outcome: &'static str,
        seconds: f64,
    ) {
        let elapsed = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        self.0.key_request(provider, call, outcome, elapsed);
    }

    fn cache_hit(&self) {
        self.0.key_cache_hit();
    }

    fn cache_miss(&self) {
        self.0.key_cache_miss();
    }

    fn cache_entries(&self, entries: u64) {
        self.0.key_cache_entries(entries);
    }
}
