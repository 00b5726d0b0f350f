//! From the configuration of the real S3 to connection pools that sign for it.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::ClientConfig;
use zeroize::Zeroizing;

use super::{StartError, now};
use crate::config::upstream::{self as upstream_config, Credentials, StaticCredentials};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;
use crate::upstream::client::{HttpClient, PoolSettings, TrustError, tls_config_of};
use crate::upstream::credentials::CredentialSource;
use crate::upstream::endpoint::{Addressing, Endpoint};
use crate::upstream::{self, Learnt, Timeouts, Upstream};

/// What connections to the real S3 are made of.
pub(super) struct UpstreamPlan {
    settings: upstream::Settings,
    pool: PoolSettings,
    tls: ClientConfig,
    configured: Arc<Credentials>,
    credentials: Arc<CredentialSource>,
    learnt: Arc<Learnt>,
}

impl UpstreamPlan {
    pub(super) async fn new(
        config: &upstream_config::Upstream,
        tls: ClientConfig,
        metrics: &Arc<Metrics>,
        traces: Option<Traces>,
    ) -> Result<Self, StartError> {
        let credentials = CredentialSource::new(&config.credentials, &config.region).await?;
        let addressing = match config.addressing {
            upstream_config::Addressing::Path => Addressing::Path,
            upstream_config::Addressing::VirtualHost => Addressing::VirtualHost,
        };
        Ok(Self {
            settings: upstream::Settings {
                endpoint: Endpoint::new(
                    config.endpoint.is_https,
                    config.endpoint.authority.as_str(),
                    addressing,
                ),
                region: config.region.clone(),
                timeouts: timeouts(config),
                clock: now,
                metrics: Arc::clone(metrics),
                traces,
            },
            pool: pool(config),
            tls,
            configured: Arc::clone(&config.credentials),
            credentials: Arc::new(credentials),
            learnt: Arc::default(),
        })
    }

    /// A plan for the same place in the place of this one.
    pub(super) async fn followed_by(
        &self,
        config: &upstream_config::Upstream,
        tls: ClientConfig,
    ) -> Result<Self, StartError> {
        // The same are not asked for again: that can fail, and what else has changed would wait for it.
        let credentials = if self.configured.is_same(&config.credentials) {
            Arc::clone(&self.credentials)
        } else {
            let fresh = CredentialSource::new(&config.credentials, &config.region);
            Arc::new(fresh.await?)
        };
        Ok(Self {
            settings: upstream::Settings {
                timeouts: timeouts(config),
                ..self.settings.clone()
            },
            pool: pool(config),
            tls,
            configured: Arc::clone(&config.credentials),
            credentials,
            learnt: Arc::clone(&self.learnt),
        })
    }

    /// A connection pool: its connections live on the thread that first uses them.
    pub(super) fn build(&self) -> Upstream {
        let client = HttpClient::new(self.pool, self.tls.clone());
        let credentials = Arc::clone(&self.credentials);
        let learnt = Arc::clone(&self.learnt);
        Upstream::new(self.settings.clone(), client, credentials, learnt)
    }
}

fn timeouts(config: &upstream_config::Upstream) -> Timeouts {
    Timeouts {
        response: config.response_header_timeout,
        idle: config.idle_timeout,
    }
}

fn pool(config: &upstream_config::Upstream) -> PoolSettings {
    PoolSettings {
        connect_timeout: config.connect_timeout,
        idle_timeout: config.pool_idle,
        idle_per_host: config.pool_max_idle,
    }
}

/// TLS to the real S3.
pub(super) fn upstream_tls(config: &upstream_config::Upstream) -> Result<ClientConfig, TrustError> {
    let (ca, client) = (config.ca.as_deref(), config.client.as_ref());
    tls_config_of(ca, client, config.endpoint.is_https)
}

/// A digest of what lies in other files than the configuration's own: equal where the same connections
/// would be made.
pub(super) fn mark(config: &upstream_config::Upstream) -> Vec<u8> {
    let mut digest = Context::new(&SHA256);
    let mut add = |bytes: &[u8]| {
        digest.update(&bytes.len().to_be_bytes());
        digest.update(bytes);
    };
    let client = config.client.iter();
    let client = client.flat_map(|pair| [&pair.certificate, &pair.private_key]);
    for file in config.ca.iter().chain(client) {
        // Whoever makes the connections says what is wrong with it.
        add(&Zeroizing::new(std::fs::read(file).unwrap_or_default()));
    }
    let fixed = match &*config.credentials {
        Credentials::DefaultChain => None,
        Credentials::Role(role) => role.assumed_by.as_ref(),
        Credentials::Static(own) => Some(own),
    };
    if let Some((id, secret, token)) = fixed.map(StaticCredentials::parts) {
        for part in [id, secret].into_iter().chain(token) {
            add(part.as_bytes());
        }
    }
    digest.finish().as_ref().to_vec()
}
