//! What operations use: built once for the proxy, or for a command that works beside it.

use std::sync::Arc;

use super::keys::key_service;
use super::upkeep::Keyring;
use super::upstream::{UpstreamPlan, upstream_tls};
use super::{StartError, new_metrics, now, series};
use crate::body::room::Room;
use crate::config::Config;
use crate::config::crypto::BulkCipherName;
use crate::config::keys::{BucketKeysEnabled, RegistryPlace};
use crate::config::upstream::{EtagStyle, ListSizes, UpstreamChecksum};
use crate::format::BulkCipher;
use crate::keys::KeyService;
use crate::keys::bucket_keys::file::RegistryFolder;
use crate::keys::bucket_keys::registry::RegistryStore;
use crate::ops::context::{BucketKeyUse, Cx, Settings};
use crate::ops::copy::conditions::CopyConditions;
use crate::ops::cors::KnownCors;
use crate::ops::key_registry::S3Registry;
use crate::ops::layouts::Layouts;
use crate::ops::listed_sizes::KnownSizes;
use crate::ops::multipart::known::KnownUploads;
use crate::ops::policy::RuleBook;
use crate::s3::etag::ETagStyle;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;
use crate::upstream::Upstream;

/// What operations use, before upstream connections are made.
pub(super) struct Rooms {
    pub(super) upstream: UpstreamPlan,
    pub(super) keys: Arc<KeyService>,
    pub(super) rules: Arc<RuleBook>,
    pub(super) metrics: Arc<Metrics>,
    uploads: Arc<KnownUploads>,
    copies: Arc<CopyConditions>,
    layouts: Arc<Layouts>,
    cors: Arc<KnownCors>,
    pub(super) sizes: KnownSizes,
    pub(super) room: Arc<Room>,
    pub(super) settings: Settings,
}

impl Rooms {
    /// Builds them and tests every key.
    pub(super) async fn new(
        config: &Config,
        metrics: Arc<Metrics>,
        traces: Option<Traces>,
    ) -> Result<(Self, Vec<Keyring>), StartError> {
        series::begin(&metrics, &config.keys);
        let (keys, keyrings) = key_service(&config.keys, &metrics, traces.clone()).await?;
        let managed = keys.managed_keys();
        let rules = RuleBook::new(&config.rules, &keys, &managed, config.own_buckets())?;
        let tls = upstream_tls(&config.upstream)?;
        let upstream = UpstreamPlan::new(&config.upstream, tls, &metrics, traces).await?;
        let (place, settings) = (config.keys.bucket_keys.registry.as_ref(), settings(config));
        if let Some(registry) = registry(place, &upstream, settings.upstream_checksum) {
            keys.set_registry(registry);
        }
        keys.probe().await?;
        let rooms = Self {
            upstream,
            keys,
            rules: Arc::new(rules),
            metrics,
            uploads: Arc::new(KnownUploads::new(config.uploads.max_age)),
            copies: Arc::default(),
            layouts: Arc::default(),
            cors: Arc::default(),
            sizes: KnownSizes::default(),
            room: Arc::new(Room::new(config.crypto.chunk_memory)),
            settings,
        };
        Ok((rooms, keyrings))
    }

    /// With upstream connections of its own.
    pub(super) fn cx(&self) -> Cx {
        self.cx_over(Arc::new(self.upstream.build()))
    }

    /// With these upstream connections.
    pub(super) fn cx_over(&self, upstream: Arc<Upstream>) -> Cx {
        Cx {
            upstream,
            keys: Arc::clone(&self.keys),
            rules: Arc::clone(&self.rules),
            metrics: Arc::clone(&self.metrics),
            uploads: Arc::clone(&self.uploads),
            copies: Arc::clone(&self.copies),
            layouts: Arc::clone(&self.layouts),
            cors: Arc::clone(&self.cors),
            sizes: self.sizes.clone(),
            room: Arc::clone(&self.room),
            settings: self.settings.clone(),
        }
    }
}

pub(super) fn settings(config: &Config) -> Settings {
    Settings {
        lists_by_head: config.upstream.list_sizes == ListSizes::Head,
        etag_style: etag_style(config.upstream.etag),
        cipher: bulk_cipher(config.crypto.bulk_cipher),
        upstream_checksum: config.upstream.checksum == UpstreamChecksum::Crc64Nvme,
        managed_key: config.keys.managed.clone(),
        bucket_keys: bucket_key_use(config.keys.bucket_keys.enabled),
        client_head: config.listen.header_timeout,
        client_idle: config.listen.idle_timeout,
        upload_max_age: config.uploads.max_age,
        upload_state: config.uploads.state.clone(),
        clock: now,
        region: config.upstream.region.clone(),
    }
}

/// The rooms for a command that works beside the proxy, with its keys and rules and nobody calling.
pub async fn operator(config: Config) -> Result<Cx, StartError> {
    Ok(Rooms::new(&config, new_metrics()?, None).await?.0.cx())
}

/// The connection to the real S3 alone, for commands.
pub async fn upstream_alone(config: &Config) -> Result<Upstream, StartError> {
    let (tls, metrics) = (upstream_tls(&config.upstream)?, new_metrics()?);
    let plan = UpstreamPlan::new(&config.upstream, tls, &metrics, None).await?;
    Ok(plan.build())
}

fn bucket_key_use(enabled: BucketKeysEnabled) -> BucketKeyUse {
    BucketKeyUse {
        local: enabled == BucketKeysEnabled::Always,
        remote: enabled != BucketKeysEnabled::Never,
    }
}

/// The registry of bucket keys at a place, if there is one.
pub(super) fn registry(
    place: Option<&RegistryPlace>,
    upstream: &UpstreamPlan,
    takes_checksums: bool,
) -> Option<Arc<dyn RegistryStore>> {
    Some(match place? {
        RegistryPlace::Folder(path) => Arc::new(RegistryFolder::new(path.clone())),
        RegistryPlace::S3(place) => {
            let (upstream, place) = (upstream.build(), place.clone());
            Arc::new(S3Registry::new(upstream, place, takes_checksums))
        }
    })
}

fn etag_style(style: EtagStyle) -> ETagStyle {
    match style {
        EtagStyle::Dashed => ETagStyle::Dashed,
        EtagStyle::Upstream => ETagStyle::Upstream,
    }
}

fn bulk_cipher(name: BulkCipherName) -> BulkCipher {
    match name {
        BulkCipherName::AwsLc => BulkCipher::AwsLc,
        BulkCipherName::AesGcm => BulkCipher::AesGcm,
    }
}
