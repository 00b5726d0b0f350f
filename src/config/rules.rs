//! Rules: which objects are encrypted how, and what may be opened where. The first match wins.

use std::fmt;

use figment::value::Value;
use serde::Deserialize;

use super::glob::{self, BucketGlob};
use super::keys::Keys;
use super::problem::Check;
use super::s3ec::{self, S3EncryptionClient, S3EncryptionClientTable};
use crate::keys::types::{Binding, Mode};

/// The rules in their order.
#[derive(Clone, Debug)]
pub struct Rules(Vec<Rule>);

/// What holds for the objects that match.
///
/// Key names are as written in the configuration: ids or aliases, resolved by their provider.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Buckets the rule is for.
    pub buckets: Vec<BucketGlob>,
    /// Beginning of the object keys it is for; all where `None`.
    pub prefix: Option<String>,
    /// What happens to objects whose writer asks for nothing.
    pub encryption: Encryption,
    /// Named key for writers that name none.
    pub key: String,
    /// Whether bucket keys are used for writers that do not say; as for all rules where `None`.
    pub bucket_keys: Option<bool>,
    /// Modes that writers may ask for.
    pub allow: Vec<Mode>,
    /// Named keys that writers may ask for, `key` included.
    pub keys: Vec<String>,
    /// Keys that may open objects here.
    pub accept_keys: Vec<String>,
    /// Whether objects without our metadata are served as they are.
    pub plaintext_reads: Permission,
    /// The weakest binding accepted, and the one written.
    pub binding: Binding,
    /// How ranges of multipart objects are found.
    pub range_layout: RangeLayout,
    /// Which copies stay within the upstream.
    pub copy: CopyPolicy,
    /// Whether HEAD proves the plaintext size with a read.
    pub verify_sizes: bool,
    /// Whether multipart objects without a seal are read.
    pub open_end: Permission,
    /// Whether unsigned requests are served.
    pub anonymous: Permission,
    /// Name that stands for the bucket in bindings; the bucket's own where `None`.
    pub logical_bucket: Option<String>,
    /// Whether an empty object without metadata whose key ends in `/` is served.
    pub directory_markers: Permission,
    /// What the Amazon S3 Encryption Client wrote is read; not at all where `None`.
    pub s3_encryption_client: Option<S3EncryptionClient>,
}

/// What happens to objects whose writer asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    /// Encrypted under the caller's own key, which every request must bring.
    CustomerKey,
    /// Every request is refused.
    Deny,
    /// Encrypted under the deployment's managed key.
    Managed,
    /// Encrypted under the rule's named key.
    NamedKey,
    /// Relayed as it is; objects already encrypted still open.
    Off,
}

/// `"allow"` or `"deny"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Permitted.
    Allow,
    /// Refused.
    Deny,
}

/// How ranges of multipart objects are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RangeLayout {
    /// Parts of equal size are assumed first, and proven.
    Equal,
    /// Segment headers are walked from the start.
    Walk,
}

/// Which copies stay within the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyPolicy {
    /// Those within a logical bucket.
    SameBucket,
    /// All under the same key-encryption key.
    ServerSide,
}

impl Rules {
    /// The rule for an object, or for a bucket as a whole where `key` is `None` (rules with a
    /// prefix never match those). `None` means that no rule covers it: the request is refused.
    pub fn find(&self, bucket: &str, key: Option<&str>) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.covers(bucket, key))
    }

    /// All rules, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }
}

impl Rule {
    /// Whether the rule is for this object, or for this bucket as a whole.
    pub fn covers(&self, bucket: &str, key: Option<&str>) -> bool {
        let in_prefix = match (&self.prefix, key) {
            (None, _) => true,
            (Some(prefix), Some(key)) => key.starts_with(prefix.as_str()),
            (Some(_), None) => false,
        };
        in_prefix && self.covers_some(bucket)
    }

    /// Whether the rule is for some object of this bucket.
    pub fn covers_some(&self, bucket: &str) -> bool {
        self.buckets.iter().any(|glob| glob.matches(bucket))
    }

    /// The name that stands for `bucket` in bindings.
    pub fn logical_bucket<'a>(&'a self, bucket: &'a str) -> &'a str {
        self.logical_bucket.as_deref().unwrap_or(bucket)
    }
}

impl Permission {
    /// Whether it is [`Permission::Allow`].
    pub fn is_allowed(self) -> bool {
        self == Self::Allow
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CustomerKey => "customer-key",
            Self::Deny => "deny",
            Self::Managed => "managed",
            Self::NamedKey => "named-key",
            Self::Off => "off",
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    buckets: Vec<String>,
    prefix: Option<String>,
    encryption: Encryption,
    key: Option<String>,
    bucket_keys: Option<bool>,
    allow: Option<Vec<ModeName>>,
    keys: Option<Vec<String>>,
    accept_keys: Option<Vec<String>>,
    plaintext_reads: Option<Permission>,
    binding: Option<BindingName>,
    range_layout: Option<RangeLayout>,
    copy: Option<CopyPolicy>,
    verify_sizes: Option<bool>,
    open_end: Option<Permission>,
    anonymous: Option<Permission>,
    logical_bucket: Option<String>,
    directory_markers: Option<Permission>,
    s3_encryption_client: Option<S3EncryptionClientTable>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ModeName {
    CustomerKey,
    Managed,
    NamedKey,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum BindingName {
    BucketAndKey,
    Key,
    None,
}

pub(super) fn check(value: Option<Value>, keys: Option<&Keys>, check: &mut Check<'_>) -> Rules {
    let is_absent = value.is_none();
    let mut rules: Vec<Rule> = Vec::new();
    for (key, element) in check.elements("rules", value) {
        let Some(table) = check.read::<RuleTable>(&key, element) else {
            continue;
        };
        let Some(keys) = keys else { continue };
        if let Some(index) = rules.iter().position(Rule::covers_everything) {
            check.warn(format!(
                "{key} is never reached: rules[{index}] covers everything"
            ));
        }
        rules.push(rule(&key, table, keys, check));
    }
    if is_absent {
        check.problem(
            "rules",
            "missing: without [[rules]] every request would be refused",
        );
    }
    Rules(rules)
}

/// Warns where listings are wrong about some objects.
pub(super) fn check_listings(rules: &Rules, check: &mut Check<'_>) {
    for (index, rule) in rules.iter().enumerate() {
        if rule.s3_encryption_client.is_some() {
            check.warn(format!(
                "rules[{index}].s3_encryption_client: listings show other sizes than such objects have \
                 unless upstream.list_sizes is \"head\"; copies by clients that rely on them may be cut"
            ));
        }
    }
}

/// Checks what is only known once all of the file is read.
pub(super) fn check_memory(rules: &Rules, chunk_memory: usize, check: &mut Check<'_>) {
    for (index, rule) in rules.iter().enumerate() {
        if let Some(reading) = &rule.s3_encryption_client {
            let key = format!("rules[{index}].s3_encryption_client");
            s3ec::check_memory(&key, reading, chunk_memory, check);
        }
    }
}

impl Rule {
    fn covers_everything(&self) -> bool {
        self.prefix.is_none() && self.buckets.iter().any(BucketGlob::is_any)
    }

    /// The keys that objects here can have been written with: named ones, then the managed one.
    /// Under `off` they were written before, under a rule that is gone.
    fn written_keys(&self, all: &Keys) -> Vec<String> {
        let mut keys = self.keys.clone();
        let is_managed_asked = self.allow.contains(&Mode::Managed);
        if is_managed_asked || matches!(self.encryption, Encryption::Managed | Encryption::Off) {
            keys.push(all.managed.clone());
            keys.extend(all.former_managed.iter().cloned());
        }
        keys
    }
}

fn rule(key: &str, table: RuleTable, keys: &Keys, check: &mut Check<'_>) -> Rule {
    let buckets = glob::list(&format!("{key}.buckets"), &table.buckets, check);
    let allow = match table.allow {
        Some(names) => names.into_iter().map(Mode::from).collect(),
        None => default_modes(table.encryption),
    };
    let named = [
        ("key", table.key.as_slice()),
        ("keys", table.keys.as_deref().unwrap_or_default()),
    ];
    for (name, listed) in named {
        let is_managed =
            |name: &String| *name == keys.managed || keys.former_managed.contains(name);
        if listed.iter().any(is_managed) {
            check.problem(
                format!("{key}.{name}"),
                "must not be the managed key: a managed key is never a named one",
            );
        }
    }
    if table.encryption == Encryption::Off && !allow.is_empty() {
        // A part names its upload and not how that was begun: sealed uploads among plain ones could
        // get plain parts.
        check.problem(
            format!("{key}.allow"),
            "must be empty under encryption = \"off\": put what is to be encrypted on request under \
             a rule that encrypts",
        );
    }
    let own_key = table.key.unwrap_or_else(|| keys.default.clone());
    let mut named = table.keys.unwrap_or_default();
    if !named.contains(&own_key) {
        named.insert(0, own_key.clone());
    }
    for (name, value) in [
        ("prefix", &table.prefix),
        ("logical_bucket", &table.logical_bucket),
    ] {
        if value.as_deref() == Some("") {
            check.problem(format!("{key}.{name}"), "must not be empty");
        }
    }
    let mut rule = Rule {
        buckets,
        prefix: table.prefix,
        encryption: table.encryption,
        key: own_key,
        bucket_keys: table.bucket_keys,
        allow,
        keys: named,
        accept_keys: Vec::new(),
        plaintext_reads: table.plaintext_reads.unwrap_or(Permission::Deny),
        binding: table.binding.map_or(Binding::BucketAndKey, Binding::from),
        range_layout: table.range_layout.unwrap_or(RangeLayout::Equal),
        copy: table.copy.unwrap_or(CopyPolicy::SameBucket),
        verify_sizes: table.verify_sizes.unwrap_or(false),
        open_end: table.open_end.unwrap_or(Permission::Deny),
        anonymous: table.anonymous.unwrap_or(Permission::Deny),
        logical_bucket: table.logical_bucket,
        directory_markers: table.directory_markers.unwrap_or(Permission::Allow),
        s3_encryption_client: table
            .s3_encryption_client
            .map(|table| s3ec::check(&format!("{key}.s3_encryption_client"), table, check)),
    };
    rule.accept_keys = accept_keys(key, &rule, table.accept_keys, keys, check);
    rule
}

/// By default, all keys that objects here can have been written with.
fn accept_keys(
    key: &str,
    rule: &Rule,
    listed: Option<Vec<String>>,
    keys: &Keys,
    check: &mut Check<'_>,
) -> Vec<String> {
    let written = rule.written_keys(keys);
    let Some(listed) = listed else {
        return written;
    };
    let writes = match rule.encryption {
        Encryption::NamedKey => Some(&rule.key),
        Encryption::Managed => Some(&keys.managed),
        Encryption::CustomerKey | Encryption::Deny | Encryption::Off => None,
    };
    if let Some(writes) = writes.filter(|name| !listed.contains(name)) {
        check.warn(format!(
            "{key}.accept_keys does not list {writes}: objects written under this rule may not open"
        ));
    }
    listed
}

/// Modes that writers may ask for where the rule does not say: all, as on S3, if the rule encrypts.
/// Under `off`, a writer that asks for encryption is refused rather than let down.
fn default_modes(encryption: Encryption) -> Vec<Mode> {
    match encryption {
        Encryption::CustomerKey | Encryption::Managed | Encryption::NamedKey => {
            vec![Mode::NamedKey, Mode::Managed, Mode::CustomerKey]
        }
        Encryption::Deny | Encryption::Off => Vec::new(),
    }
}

impl From<ModeName> for Mode {
    fn from(name: ModeName) -> Self {
        match name {
            ModeName::CustomerKey => Self::CustomerKey,
            ModeName::Managed => Self::Managed,
            ModeName::NamedKey => Self::NamedKey,
        }
    }
}

impl From<BindingName> for Binding {
    fn from(name: BindingName) -> Self {
        match name {
            BindingName::BucketAndKey => Self::BucketAndKey,
            BindingName::Key => Self::Key,
            BindingName::None => Self::None,
        }
    }
}
