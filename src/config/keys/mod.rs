//! Key names, key providers, caches and bucket keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use figment::value::Value;
use serde::Deserialize;

use super::place::{S3Place, s3_place};
use super::problem::{Bounds, Check};

mod remote;

pub use self::remote::{AwsKmsProvider, Pkcs11Provider, TransitAuth, TransitProvider};
pub use super::secret::SecretPlace;
use super::secret::SecretSource;
pub use super::upstream::{Credentials, StaticCredentials};

/// The key hierarchy as configured. Names are ids or aliases; providers resolve them.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Named key where neither client nor rule names one.
    pub default: String,
    /// The deployment's managed key, which no client names.
    pub managed: String,
    /// Keys that were the managed one before: they open managed objects, and do nothing else.
    pub former_managed: Vec<String>,
    /// Cache of unwrapped keys.
    pub cache: KeyCache,
    /// Keys between key-encryption keys and data keys.
    pub bucket_keys: BucketKeys,
    /// Where key-encryption keys live.
    pub providers: Vec<Provider>,
}

/// Limits of the cache of unwrapped keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyCache {
    /// How long an unwrapped key is used: the delay of a revocation, at most 300 s; 0 is off.
    pub ttl: Duration,
    /// Keys held at most.
    pub max_entries: u64,
    /// How much longer they are used while their provider is away; 0 is off.
    pub serve_stale: Duration,
}

/// When bucket keys are used, and how long each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketKeys {
    /// For which providers.
    pub enabled: BucketKeysEnabled,
    /// How long one wraps new data keys.
    pub lifetime: Duration,
    /// Where newer wraps of bucket keys are.
    pub registry: Option<RegistryPlace>,
}

/// Where the registry of bucket keys is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryPlace {
    /// A folder of files.
    Folder(PathBuf),
    /// A bucket of the upstream, with a prefix.
    S3(S3Place),
}

/// For which providers bucket keys are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketKeysEnabled {
    /// For all.
    Always,
    /// For none.
    Never,
    /// For all but the local keyring.
    Remote,
}

/// A key provider.
#[derive(Clone, Debug)]
pub enum Provider {
    /// AWS KMS.
    AwsKms(Box<AwsKmsProvider>),
    /// The embedded keyring file.
    Local(LocalProvider),
    /// A PKCS#11 token.
    Pkcs11(Box<Pkcs11Provider>),
    /// Vault or OpenBao.
    Transit(Box<TransitProvider>),
}

/// A keyring file as a provider.
#[derive(Clone, Debug)]
pub struct LocalProvider {
    /// Name in logs and metrics.
    pub name: String,
    /// The keyring file.
    pub keyring: PathBuf,
    /// What opens its seal. The file must then be sealed, and else it must not.
    pub passphrase: Option<Arc<SecretPlace>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeysTable {
    default: Option<String>,
    managed: Option<String>,
    former_managed: Option<Vec<String>>,
    cache: Option<CacheTable>,
    bucket_keys: Option<BucketKeysTable>,
    providers: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheTable {
    ttl_seconds: Option<u64>,
    max_entries: Option<u64>,
    serve_stale_seconds: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct BucketKeysTable {
    enabled: Option<Value>,
    lifetime_seconds: Option<u64>,
    registry: Option<String>,
}

pub(super) fn check(table: KeysTable, check: &mut Check<'_>) -> Keys {
    let default = table.default.unwrap_or_else(|| "default".to_owned());
    let managed = table.managed.unwrap_or_else(|| "managed".to_owned());
    for (key, name) in [("keys.default", &default), ("keys.managed", &managed)] {
        if name.is_empty() {
            check.problem(key, "must not be empty");
        }
    }
    if default == managed {
        check.problem(
            "keys.managed",
            "must differ from keys.default: a managed key is never a named one",
        );
    }
    let former_managed = table.former_managed.unwrap_or_default();
    if former_managed.contains(&default) || former_managed.contains(&managed) {
        check.problem(
            "keys.former_managed",
            "must list neither keys.default nor keys.managed",
        );
    }
    let cache = check_cache(&table.cache.unwrap_or_default(), check);
    let bucket_keys = check_bucket_keys(table.bucket_keys.unwrap_or_default(), check);
    let providers = check_providers(table.providers, check);
    Keys {
        default,
        managed,
        former_managed,
        cache,
        bucket_keys,
        providers,
    }
}

fn check_cache(table: &CacheTable, check: &mut Check<'_>) -> KeyCache {
    const SERVE_STALE: &str = "keys.cache.serve_stale_seconds";
    let serve_stale = check.seconds(SERVE_STALE, table.serve_stale_seconds, &SERVE_STALE_SECONDS);
    let ttl = check.seconds("keys.cache.ttl_seconds", table.ttl_seconds, &TTL_SECONDS);
    if ttl.is_zero() && !serve_stale.is_zero() {
        check.problem(
            SERVE_STALE,
            "keys.cache.ttl_seconds = 0 keeps no keys that could be used longer",
        );
    }
    KeyCache {
        ttl,
        max_entries: check.number("keys.cache.max_entries", table.max_entries, &MAX_ENTRIES),
        serve_stale,
    }
}

fn check_bucket_keys(table: BucketKeysTable, check: &mut Check<'_>) -> BucketKeys {
    let enabled = match table.enabled {
        None => BucketKeysEnabled::Remote,
        Some(Value::String(_, text)) if text == "remote" => BucketKeysEnabled::Remote,
        Some(Value::Bool(_, false)) => BucketKeysEnabled::Never,
        Some(Value::Bool(_, true)) => BucketKeysEnabled::Always,
        Some(_) => {
            check.problem(
                "keys.bucket_keys.enabled",
                "must be \"remote\", true or false",
            );
            BucketKeysEnabled::Remote
        }
    };
    let registry = table.registry.and_then(|text| registry(&text, check));
    let lifetime = check.seconds(
        "keys.bucket_keys.lifetime_seconds",
        table.lifetime_seconds,
        &BUCKET_KEY_SECONDS,
    );
    BucketKeys {
        enabled,
        lifetime,
        registry,
    }
}

fn registry(text: &str, check: &mut Check<'_>) -> Option<RegistryPlace> {
    const KEY: &str = "keys.bucket_keys.registry";
    if text.is_empty() {
        check.problem(KEY, "must not be empty");
        return None;
    }
    if text.contains("://") {
        return s3_place(KEY, text, check).map(RegistryPlace::S3);
    }
    Some(RegistryPlace::Folder(check.resolve(Path::new(text))))
}

fn check_providers(value: Option<Value>, check: &mut Check<'_>) -> Vec<Provider> {
    let mut seen = Seen::default();
    let mut providers = Vec::new();
    if value.is_none() {
        check.problem(
            "keys.providers",
            "missing: at least one [[keys.providers]] is needed",
        );
    }
    for (key, element) in check.elements("keys.providers", value) {
        let kind = element
            .find_ref("kind")
            .and_then(|kind| kind.as_str().map(str::to_owned));
        match kind.as_deref() {
            Some("local") => {
                let Some(table) = check.read::<LocalTable>(&key, element) else {
                    continue;
                };
                seen.name(&key, &table.name, check);
                let passphrase = table.passphrase.and_then(|passphrase| {
                    let key = format!("{key}.passphrase");
                    passphrase.place(&key, check).map(Arc::new)
                });
                providers.push(Provider::Local(LocalProvider {
                    keyring: check.resolve(&table.keyring),
                    name: table.name,
                    passphrase,
                }));
            }
            Some(remote) if remote::KINDS.contains(&remote) => {
                let Some(checked) = remote::check(remote, &key, element, check) else {
                    continue;
                };
                seen.name(&key, &checked.name, check);
                seen.ids(&key, &checked.ids, check);
                providers.extend(checked.provider);
            }
            Some(_) | None => check.problem(
                format!("{key}.kind"),
                "must be one of \"local\", \"aws-kms\", \"transit\", \"pkcs11\"",
            ),
        }
    }
    providers
}

/// Names and key ids met so far: both are unique over all providers.
#[derive(Default)]
struct Seen {
    names: BTreeSet<String>,
    ids: BTreeMap<String, String>,
}

impl Seen {
    fn name(&mut self, key: &str, name: &str, check: &mut Check<'_>) {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_fine) {
            check.problem(
                format!("{key}.name"),
                "must be letters, digits, dashes, dots and underscores: it is a metric label",
            );
        }
        if !self.names.insert(name.to_owned()) {
            check.problem(format!("{key}.name"), "another provider has the same name");
        }
    }

    fn ids(&mut self, key: &str, ids: &[String], check: &mut Check<'_>) {
        for (index, id) in ids.iter().enumerate() {
            let here = format!("{key}.keys[{index}]");
            if let Some(other) = self.ids.insert(id.clone(), here.clone()) {
                check.problem(here, format!("{other} serves the same key"));
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LocalTable {
    #[serde(rename = "kind")]
    _kind: String,
    name: String,
    keyring: PathBuf,
    passphrase: Option<SecretSource>,
}

/// At most five minutes: it is the delay of a revocation.
const TTL_SECONDS: Bounds = Bounds {
    min: 0,
    max: 300,
    default: 60,
};
const MAX_ENTRIES: Bounds = Bounds {
    min: 1,
    max: 10_000_000,
    default: 10_000,
};
/// At most a day: while somebody keeps the provider away, no revocation is noticed.
const SERVE_STALE_SECONDS: Bounds = Bounds {
    min: 0,
    max: 86_400,
    default: 0,
};
/// At most a day (keys.md, "The hierarchy").
const BUCKET_KEY_SECONDS: Bounds = Bounds {
    min: 60,
    max: 86_400,
    default: 86_400,
};
