//! From the configuration of the real S3 to connection pools that sign for it.

use std::sync::Arc;

use rustls::ClientConfig;

use super::{StartError, now};
use crate::config::upstream::{self as upstream_config, Credentials};
use crate::telemetry::metrics::Metrics;
use crate::upstream::client::{HttpClient, PoolSettings, tls_config};
use crate::upstream::credentials::{CredentialSource, CredentialsError, fixed};
use crate::upstream::endpoint::{Addressing, Endpoint};
use crate::upstream::{self, Learnt, Timeouts, Upstream};

/// What connections to the real S3 are made of.
pub(super) struct UpstreamPlan {
    settings: upstream::Settings,
    pool: PoolSettings,
    tls: ClientConfig,
    credentials: Arc<CredentialSource>,
    learnt: Arc<Learnt>,
}

impl UpstreamPlan {
    pub(super) async fn new(
        config: &upstream_config::Upstream,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let addressing = match config.addressing {
            upstream_config::Addressing::Path => Addressing::Path,
            upstream_config::Addressing::VirtualHost => Addressing::VirtualHost,
        };
        let credentials = credential_source(&config.credentials, &config.region).await?;
        Ok(Self {
            settings: upstream::Settings {
                endpoint: Endpoint::new(
                    config.endpoint.is_https,
                    config.endpoint.authority.as_str(),
                    addressing,
                ),
                region: config.region.clone(),
                timeouts: Timeouts {
                    response: config.response_header_timeout,
                    idle: config.idle_timeout,
                },
                clock: now,
                metrics: Arc::clone(metrics),
            },
            pool: PoolSettings {
                connect_timeout: config.connect_timeout,
                idle_timeout: config.pool_idle,
                idle_per_host: config.pool_max_idle,
            },
            tls: tls_config(config.ca.as_deref(), config.endpoint.is_https)?,
            credentials: Arc::new(credentials),
            learnt: Arc::default(),
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

pub(super) async fn credential_source(
    credentials: &Credentials,
    region: &str,
) -> Result<CredentialSource, CredentialsError> {
    match credentials {
        Credentials::Static(own) => Ok(CredentialSource::Static(fixed(
            &own.access_key_id,
            &own.secret_access_key,
            own.session_token.as_ref(),
        ))),
        Credentials::DefaultChain => CredentialSource::default_chain(region).await,
    }
}
