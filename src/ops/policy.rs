//! The rules with their key names resolved: which keys may seal and open objects, and who may use
//! them.

use std::collections::HashSet;
use std::sync::Arc;

use thiserror::Error;

use crate::config::clients::Client;
use crate::config::rules::{Encryption, Rule, Rules};
use crate::keys::policy::{AcceptedKeys, KeyId, OpenPolicy};
use crate::keys::service::KeyService;
use crate::keys::types::{KeyRef, ProviderKind};
use crate::upstream::credentials::CredentialSource;

/// The rules, first match first.
#[derive(Debug)]
pub struct RuleBook {
    rules: Vec<ResolvedRule>,
    /// Buckets of the proxy's own, which no rule opens.
    own: HashSet<String>,
}

/// One rule and what its key names stand for.
#[derive(Debug)]
pub struct ResolvedRule {
    /// As configured.
    pub rule: Rule,
    /// What an envelope must say to be opened here.
    pub open: OpenPolicy,
    /// Keys of AWS KMS that open what the S3 Encryption Client wrote here.
    pub s3ec_keys: Vec<KeyId>,
    named: HashSet<KeyId>,
}

/// One caller and what its key names stand for.
pub struct Caller {
    /// As configured.
    pub client: Client,
    /// Signs upstream in its name; the deployment's credentials where `None`.
    pub upstream: Option<Arc<CredentialSource>>,
    keys: Option<HashSet<KeyId>>,
    // Callers with the same rights to keys share cached keys.
    grant: Vec<u8>,
}

/// A name in a rule or client that no provider serves.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{place}: no provider serves the key {name:?}")]
pub struct UnknownKey {
    /// Where the name stands.
    pub place: String,
    /// The name.
    pub name: String,
}

impl RuleBook {
    /// Resolves every key name, or fails at the first that nobody serves.
    ///
    /// `managed` are the managed key and those that were; `own` are the buckets of the proxy's own.
    pub fn new(
        rules: &Rules,
        keys: &KeyService,
        managed: &[KeyId],
        own: HashSet<String>,
    ) -> Result<Self, UnknownKey> {
        let resolved = rules.iter().enumerate().map(|(index, rule)| {
            let place = format!("rules[{index}]");
            let accepted = resolve(&rule.accept_keys, keys, &format!("{place}.accept_keys"))?;
            Ok(ResolvedRule {
                open: OpenPolicy {
                    accepted: AcceptedKeys::new(managed.iter().cloned(), accepted),
                    least_binding: rule.binding,
                },
                s3ec_keys: s3ec_keys(rule, keys, &place)?,
                named: resolve(&rule.keys, keys, &format!("{place}.keys"))?,
                rule: rule.clone(),
            })
        });
        let rules = resolved.collect::<Result<_, _>>()?;
        Ok(Self { rules, own })
    }

    /// The buckets of the proxy's own.
    pub fn own(&self) -> &HashSet<String> {
        &self.own
    }

    /// The rules that some object of a bucket can be under.
    pub fn covering(&self, bucket: &str) -> Vec<&ResolvedRule> {
        let mut of_bucket = Vec::new();
        if self.own.contains(bucket) {
            return of_bucket;
        }
        for resolved in self.rules.iter().filter(|it| it.rule.covers_some(bucket)) {
            of_bucket.push(resolved);
            if resolved.rule.prefix.is_none() {
                break; // it covers everything that is left
            }
        }
        of_bucket
    }

    /// Whether some object of the bucket may be reached by somebody.
    pub fn serves_some(&self, bucket: &str) -> bool {
        self.within(bucket)
            .any(|rule| rule.encryption != Encryption::Deny)
    }

    fn within(&self, bucket: &str) -> impl Iterator<Item = &Rule> {
        self.covering(bucket)
            .into_iter()
            .map(|resolved| &resolved.rule)
    }

    /// Whether some objects of the bucket are out of everybody's reach.
    pub fn denies_some(&self, bucket: &str) -> bool {
        self.within(bucket)
            .any(|rule| rule.encryption == Encryption::Deny)
    }

    /// Whether every object of the bucket is stored as it is.
    pub fn is_plain(&self, bucket: &str) -> bool {
        self.within(bucket)
            .all(|rule| rule.encryption == Encryption::Off)
    }

    /// The rule for an object, or for a bucket as a whole. `None`: refuse, either because no rule
    /// covers it or because the one that does says so, or because the bucket is the proxy's own.
    pub fn find(&self, bucket: &str, key: Option<&str>) -> Option<&ResolvedRule> {
        if self.own.contains(bucket) {
            return None;
        }
        self.rules
            .iter()
            .find(|resolved| resolved.rule.covers(bucket, key))
            .filter(|resolved| resolved.rule.encryption != Encryption::Deny)
    }
}

impl ResolvedRule {
    /// Whether writers may name this key here.
    pub fn may_name(&self, key: &KeyRef) -> bool {
        self.named.contains(&key.into())
    }
}

impl Caller {
    /// Resolves the key names of a client.
    pub fn new(
        client: Client,
        upstream: Option<Arc<CredentialSource>>,
        keys: &KeyService,
    ) -> Result<Self, UnknownKey> {
        let allowed = Self::check(&client, keys)?;
        let mut grant: Vec<String> = allowed
            .iter()
            .flatten()
            .map(|key| format!("{}\0{}\0", key.provider as u8, key.id))
            .collect();
        grant.sort();
        let scope = if allowed.is_some() { "some" } else { "all" };
        Ok(Self {
            upstream,
            keys: allowed,
            grant: [scope, &grant.concat()].concat().into_bytes(),
            client,
        })
    }

    /// The keys of a client; all that the rules allow where `None`.
    pub fn check(client: &Client, keys: &KeyService) -> Result<Option<HashSet<KeyId>>, UnknownKey> {
        let id = &client.access_key_id;
        resolve(client.key.as_slice(), keys, &format!("clients[{id}].key"))?;
        let place = format!("clients[{id}].keys");
        client
            .keys
            .as_ref()
            .map(|names| resolve(names, keys, &place))
            .transpose()
    }

    /// Whether this caller may use a named key.
    pub fn may_use(&self, key: &KeyRef) -> bool {
        self.may_use_any_version(&key.into())
    }

    /// As [`Self::may_use`].
    pub fn may_use_any_version(&self, key: &KeyId) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.contains(key))
    }

    /// Equal for callers with the same rights to keys.
    pub fn grant(&self) -> &[u8] {
        &self.grant
    }
}

/// In the order of the configuration, which is the one they are tried in.
fn s3ec_keys(rule: &Rule, keys: &KeyService, place: &str) -> Result<Vec<KeyId>, UnknownKey> {
    let reading = rule.s3_encryption_client.iter();
    let names = reading.flat_map(|reading| &reading.kms_keys);
    let resolved = names.map(|name| {
        let found = keys.resolve(name);
        let of_kms = found.filter(|key| key.provider == ProviderKind::AwsKms);
        of_kms.ok_or_else(|| UnknownKey {
            place: format!("{place}.s3_encryption_client.kms_keys (of aws-kms providers)"),
            name: name.clone(),
        })
    });
    resolved.collect()
}

fn resolve(names: &[String], keys: &KeyService, place: &str) -> Result<HashSet<KeyId>, UnknownKey> {
    names
        .iter()
        .map(|name| {
            keys.resolve(name).ok_or_else(|| UnknownKey {
                place: place.to_owned(),
                name: name.clone(),
            })
        })
        .collect()
}
