//! The configuration in a few lines: what may be seen of it by everybody who reaches the admin listener.

use std::net::SocketAddr;

use serde::Serialize;

use crate::config::Config;
use crate::config::crypto::BulkCipherName;
use crate::config::keys::Provider as ConfiguredProvider;
use crate::config::rules::{Encryption, Rule as ConfiguredRule};
use crate::config::upstream::Addressing;
use crate::keys::types::{Mode, ProviderKind};

/// No secret, no credentials, no object key.
#[derive(Clone, Debug, Serialize)]
pub(in crate::app) struct Summary {
    listen: String,
    listen_tls: bool,
    admin: String,
    pub(super) upstream: Upstream,
    providers: Vec<Provider>,
    /// Access key ids, which are no secrets; the first of them.
    clients: Vec<String>,
    clients_count: usize,
    pub(super) rules: Vec<Rule>,
    bulk_cipher: &'static str,
    key_cache_ttl_seconds: u64,
    key_cache_max_entries: u64,
    serve_stale_seconds: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Upstream {
    /// Scheme, host and port.
    pub(super) endpoint: String,
    region: String,
    addressing: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct Provider {
    name: String,
    kind: &'static str,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Rule {
    buckets: Vec<String>,
    /// Whether it is for a part of each bucket. Which part would be the beginning of object keys.
    has_prefix: bool,
    encryption: String,
    plaintext_reads: bool,
    anonymous: bool,
    /// Names of keys that objects may be written with.
    #[serde(skip)]
    pub(super) write_keys: Vec<String>,
    /// Names of keys that open objects.
    #[serde(skip)]
    pub(super) accept_keys: Vec<String>,
}

impl Summary {
    /// What may be seen of a configuration.
    pub(in crate::app) fn of(config: &Config) -> Self {
        let scheme = if config.upstream.endpoint.is_https {
            "https"
        } else {
            "http"
        };
        let ids = config
            .clients
            .iter()
            .map(|client| client.access_key_id.clone());
        let mut clients: Vec<_> = ids.collect();
        clients.sort_unstable();
        clients.truncate(CLIENTS_SHOWN);
        let rules = config.rules.iter();
        Self {
            listen: config.listen.address.to_string(),
            listen_tls: config.listen.tls.is_some(),
            admin: config.admin.address.to_string(),
            upstream: Upstream {
                // Without user and password: configurations that have them there are refused.
                endpoint: format!("{scheme}://{}", config.upstream.endpoint.authority),
                region: config.upstream.region.clone(),
                addressing: match config.upstream.addressing {
                    Addressing::Path => "path",
                    Addressing::VirtualHost => "virtual-host",
                },
            },
            providers: config.keys.providers.iter().map(Provider::of).collect(),
            clients,
            clients_count: config.clients.len(),
            rules: rules
                .map(|rule| Rule::of(rule, &config.keys.managed))
                .collect(),
            bulk_cipher: match config.crypto.bulk_cipher {
                BulkCipherName::AesGcm => "aes-gcm",
                BulkCipherName::AwsLc => "aws-lc",
            },
            key_cache_ttl_seconds: config.keys.cache.ttl.as_secs(),
            key_cache_max_entries: config.keys.cache.max_entries,
            serve_stale_seconds: config.keys.cache.serve_stale.as_secs(),
        }
    }

    /// With what a reload takes over of another configuration; the rest waits for a restart.
    pub(in crate::app) fn with_live_of(self, newer: Self) -> Self {
        let Self {
            clients,
            clients_count,
            rules,
            ..
        } = newer;
        Self {
            clients,
            clients_count,
            rules,
            ..self
        }
    }

    /// With the addresses that were bound: a configured port may be 0.
    pub(in crate::app) fn at(mut self, [listen, admin]: [Option<SocketAddr>; 2]) -> Self {
        if let Some(address) = listen {
            self.listen = address.to_string();
        }
        if let Some(address) = admin {
            self.admin = address.to_string();
        }
        self
    }
}

impl Provider {
    fn of(provider: &ConfiguredProvider) -> Self {
        let (name, kind) = match provider {
            ConfiguredProvider::AwsKms(it) => (&it.name, ProviderKind::AwsKms),
            ConfiguredProvider::Local(it) => (&it.name, ProviderKind::Local),
            ConfiguredProvider::Pkcs11(it) => (&it.name, ProviderKind::Pkcs11),
            ConfiguredProvider::Transit(it) => (&it.name, ProviderKind::Transit),
        };
        Self {
            name: name.clone(),
            kind: kind.name(),
        }
    }
}

impl Rule {
    fn of(rule: &ConfiguredRule, managed: &str) -> Self {
        let mut write_keys = rule.keys.clone();
        if rule.encryption == Encryption::Managed || rule.allow.contains(&Mode::Managed) {
            write_keys.push(managed.to_owned());
        }
        Self {
            buckets: rule.buckets.iter().map(ToString::to_string).collect(),
            has_prefix: rule.prefix.is_some(),
            encryption: rule.encryption.to_string(),
            plaintext_reads: rule.plaintext_reads.is_allowed(),
            anonymous: rule.anonymous.is_allowed(),
            write_keys,
            accept_keys: rule.accept_keys.clone(),
        }
    }
}

/// More would be a long list on a small page.
const CLIENTS_SHOWN: usize = 50;
