//! The way to KMS: credentials, time limits, and what the configured names stand for.

use std::time::Duration;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::config::{BehaviorVersion, Region, StalledStreamProtectionConfig};
use aws_sdk_kms::types::{KeyMetadata, KeySpec};
use backon::{ExponentialBuilder, Retryable};
use thiserror::Error;

use super::ask;
use super::names::{KeyArn, KnownKeys};
use crate::aws::{self, NoProvider};
use crate::config::keys::AwsKmsProvider as AwsKmsConfig;
use crate::keys::provider::{KeyError, Outage};

/// Why the keys of AWS KMS cannot be used at all.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is nothing to sign with.
    #[error("AWS KMS: {0}")]
    NoCredentials(#[from] NoProvider),
    /// KMS does not say what a configured name stands for.
    #[error("AWS KMS key {key:?}: {source}")]
    Unknown {
        /// The name.
        key: String,
        /// What KMS says instead.
        source: KeyError,
    },
    /// A key for signatures or message authentication codes, or an asymmetric one.
    #[error("AWS KMS key {0:?} is no symmetric encryption key")]
    Unfit(String),
}

/// A client that waits for nothing longer than the callers do, and leaves retries to them.
pub(super) async fn client(config: &AwsKmsConfig) -> Result<Client, ConnectError> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(CALL_TIMEOUT)
        // Credentials, too, are fetched within a call.
        .operation_timeout(CALL_TIMEOUT)
        .build();
    // Nothing else: the SDK would take an address for all services from the environment, and the
    // one that was meant for the upstream would get the data keys.
    let settings = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(config.region.clone()))
        .credentials_provider(aws::provider(&config.credentials, &config.region).await?)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    let settings = match &config.endpoint {
        Some(endpoint) => settings.endpoint_url(endpoint.to_string()),
        None => settings,
    };
    Ok(Client::from_conf(settings.build()))
}

/// Asks what each of `names` stands for: ids, ARNs and aliases of keys.
pub(super) async fn learn(client: &Client, names: &[String]) -> Result<KnownKeys, ConnectError> {
    let mut keys = KnownKeys::default();
    for name in names {
        let describe = || async {
            let answer = ask(client.describe_key().key_id(name).send()).await?;
            let metadata = answer.key_metadata.ok_or(Outage::Answer)?;
            Ok::<_, KeyError>(metadata)
        };
        let described = describe
            .retry(RETRY)
            .when(|error: &KeyError| error.is_transient())
            .await;
        let unknown = |source| ConnectError::Unknown {
            key: name.clone(),
            source,
        };
        let metadata = described.map_err(unknown)?;
        if !is_fit(&metadata) {
            return Err(ConnectError::Unfit(name.clone()));
        }
        let arn = metadata.arn().and_then(KeyArn::parse);
        let arn = arn.ok_or_else(|| unknown(Outage::Answer.into()))?;
        keys.add(arn, name);
    }
    Ok(keys)
}

/// Whether it can wrap. What only resembles KMS may not say so: the self-test at start shows it.
fn is_fit(metadata: &KeyMetadata) -> bool {
    let spec = metadata.key_spec();
    spec.is_none_or(|spec| *spec == KeySpec::SymmetricDefault)
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The callers have five seconds in all: they hear what it was, and log it.
const CALL_TIMEOUT: Duration = Duration::from_secs(4);

/// As patient as the key service is later.
const RETRY: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(50))
    .with_max_delay(Duration::from_millis(500))
    .with_max_times(2)
    .with_jitter();
