//! The key service of a configuration, and what it tells about itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::trace::SpanKind;
use rustls::ClientConfig;

use super::StartError;
use super::upkeep::Keyring;
use crate::config::keys::{
    AwsKmsProvider as AwsKmsConfig, Keys, LocalProvider as LocalConfig, Provider,
    TransitProvider as TransitConfig,
};
use crate::keys::aws_kms::AwsKmsProvider;
use crate::keys::local::{KeyringFile, LocalProvider, Passphrase};
use crate::keys::names::Names;
use crate::keys::observer::{CallWatch, KeyObserver};
use crate::keys::pkcs11::Pkcs11Provider;
use crate::keys::transit::TransitProvider;
use crate::keys::types::{
    DataKey, FreshDataKey, KeyRef, ProviderKind, WrapContext, WrappedDataKey,
};
use crate::keys::{
    CacheSettings, KeyError, KeyProvider, KeyService, KeyServiceSettings, Outage, ProviderSetup,
    Roles,
};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;
use crate::telemetry::traces::span::CallSpan;
use crate::upstream::client::{TrustError, tls_config};

/// Opens every keyring, and joins the providers.
pub(super) async fn key_service(
    keys: &Keys,
    metrics: &Arc<Metrics>,
    traces: Option<Traces>,
) -> Result<(Arc<KeyService>, Vec<Keyring>), StartError> {
    let mut keyrings = Vec::new();
    let mut setups = Vec::new();
    for provider in &keys.providers {
        setups.push(match provider {
            Provider::AwsKms(kms) => aws_kms(kms).await?,
            Provider::Local(local) => {
                let local = local.clone();
                // Making the key of a seal takes its time.
                let opening = tokio::task::spawn_blocking(move || open(&local)).await;
                let keyring = opening.map_err(|died| StartError::Threads(died.into()))??;
                let setup = local_setup(&keyring);
                keyrings.push(keyring);
                setup
            }
            Provider::Pkcs11(token) => {
                let provider = Pkcs11Provider::new(token).map_err(StartError::Threads)?;
                ProviderSetup {
                    name: token.name.clone(),
                    served: provider.served(),
                    provider: Arc::new(provider),
                    foreign: None,
                }
            }
            Provider::Transit(transit) => {
                let tls = transit_tls(transit)?;
                let provider = TransitProvider::new(transit, tls, CONNECT_TIMEOUT);
                ProviderSetup {
                    name: transit.name.clone(),
                    served: provider.served(),
                    provider: Arc::new(provider),
                    foreign: None,
                }
            }
        });
    }
    let observer = KeyTelemetry {
        metrics: Arc::clone(metrics),
        traces,
    };
    Ok((Arc::new(join(keys, setups, observer)?), keyrings))
}

/// What [`key_service`] would find, as far as files and the configuration tell: it knows names and
/// asks no server or token. A key of AWS KMS has the names of the configuration only.
pub(super) fn names_alone(keys: &Keys, metrics: &Arc<Metrics>) -> Result<KeyService, StartError> {
    let mut setups = Vec::new();
    for provider in &keys.providers {
        setups.push(match provider {
            Provider::AwsKms(kms) => Unasked::setup(ProviderKind::AwsKms, &kms.name, &kms.keys),
            Provider::Local(local) => local_setup(&open(local)?),
            Provider::Pkcs11(token) => {
                Unasked::setup(ProviderKind::Pkcs11, &token.name, &token.keys)
            }
            Provider::Transit(transit) => {
                transit_tls(transit)?;
                Unasked::setup(ProviderKind::Transit, &transit.name, &transit.keys)
            }
        });
    }
    let observer = KeyTelemetry {
        metrics: Arc::clone(metrics),
        traces: None,
    };
    join(keys, setups, observer)
}

/// The default key and the managed ones of a configuration.
pub(super) fn roles(keys: &Keys) -> Roles {
    Roles {
        default: Some(keys.default.clone()),
        managed: Some(keys.managed.clone()),
        former_managed: keys.former_managed.clone(),
    }
}

fn join(
    keys: &Keys,
    setups: Vec<ProviderSetup>,
    observer: KeyTelemetry,
) -> Result<KeyService, StartError> {
    let settings = KeyServiceSettings {
        roles: roles(keys),
        cache: CacheSettings::new(keys.cache.ttl, keys.cache.max_entries)?
            .serve_stale(keys.cache.serve_stale),
        bucket_key_lifetime: keys.bucket_keys.lifetime,
        ..KeyServiceSettings::default()
    };
    Ok(KeyService::new(setups, settings, Arc::new(observer))?)
}

async fn aws_kms(config: &AwsKmsConfig) -> Result<ProviderSetup, StartError> {
    let connecting = Box::pin(AwsKmsProvider::connect(config)).await;
    let provider = connecting.map_err(|source| StartError::AwsKms {
        name: config.name.clone(),
        source,
    })?;
    let provider = Arc::new(provider);
    Ok(ProviderSetup {
        name: config.name.clone(),
        served: provider.served(),
        foreign: Some(provider.clone()),
        provider,
    })
}

fn open(config: &LocalConfig) -> Result<Keyring, StartError> {
    let passphrase = config.passphrase.clone().map(Passphrase::new);
    let file = KeyringFile::new(config.keyring.clone(), passphrase);
    Ok(Keyring {
        name: config.name.clone(),
        provider: Arc::new(LocalProvider::load(file)?),
    })
}

fn local_setup(keyring: &Keyring) -> ProviderSetup {
    ProviderSetup {
        name: keyring.name.clone(),
        served: keyring.provider.served(),
        provider: keyring.provider.clone(),
        foreign: None,
    }
}

fn transit_tls(config: &TransitConfig) -> Result<ClientConfig, TrustError> {
    let is_https = config.address.scheme_str() == Some("https");
    tls_config(config.ca.as_deref(), is_https)
}

/// In the place of a provider on the network, where only names matter.
struct Unasked(ProviderKind);

impl Unasked {
    fn setup(kind: ProviderKind, name: &str, keys: &[String]) -> ProviderSetup {
        ProviderSetup {
            name: name.to_owned(),
            served: Names::new(kind, keys).served(),
            provider: Arc::new(Self(kind)),
            foreign: None,
        }
    }
}

#[async_trait]
impl KeyProvider for Unasked {
    fn kind(&self) -> ProviderKind {
        self.0
    }

    async fn describe(&self, _: &str) -> Result<KeyRef, KeyError> {
        Err(Outage::Unreachable.into())
    }

    async fn generate(&self, _: &KeyRef, _: &WrapContext) -> Result<FreshDataKey, KeyError> {
        Err(Outage::Unreachable.into())
    }

    async fn wrap(
        &self,
        _: &KeyRef,
        _: &DataKey,
        _: &WrapContext,
    ) -> Result<WrappedDataKey, KeyError> {
        Err(Outage::Unreachable.into())
    }

    async fn unwrap(
        &self,
        _: &KeyRef,
        _: &WrappedDataKey,
        _: &WrapContext,
    ) -> Result<DataKey, KeyError> {
        Err(Outage::Unreachable.into())
    }

    async fn probe(&self) -> Result<(), KeyError> {
        Err(Outage::Unreachable.into())
    }
}

/// For a connection to a key provider, TLS included: its callers have five seconds in all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What the key service tells about itself, as metrics and spans.
struct KeyTelemetry {
    metrics: Arc<Metrics>,
    traces: Option<Traces>,
}

/// The span of an attempt at a call.
struct TracedCall(CallSpan);

impl CallWatch for TracedCall {
    fn end(self: Box<Self>, outcome: &'static str) {
        if outcome == "ok" {
            self.0.end();
        } else {
            self.0.fail(outcome);
        }
    }
}

impl KeyObserver for KeyTelemetry {
    fn begin_call(&self, provider: &'static str, call: &'static str) -> Option<Box<dyn CallWatch>> {
        let traces = self.traces.as_ref()?;
        let kind = if provider == ProviderKind::Local.name() {
            SpanKind::Internal
        } else {
            SpanKind::Client
        };
        let mut span = traces.call(call, kind)?;
        span.tag("s3seal.key.provider", provider);
        Some(Box::new(TracedCall(span)))
    }

    fn provider_call(
        &self,
        provider: &'static str,
        call: &'static str,
        outcome: &'static str,
        seconds: f64,
    ) {
        let elapsed = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        self.metrics.key_request(provider, call, outcome, elapsed);
    }

    fn cache_hit(&self) {
        self.metrics.key_cache_hit();
    }

    fn cache_miss(&self) {
        self.metrics.key_cache_miss();
    }

    fn cache_stale(&self) {
        self.metrics.key_cache_miss();
        self.metrics.key_cache_stale();
    }

    fn cache_entries(&self, entries: u64) {
        self.metrics.key_cache_entries(entries);
    }

    fn open_breakers(&self, provider: &'static str, count: usize) {
        self.metrics.key_breakers_open(provider, count);
    }
}
