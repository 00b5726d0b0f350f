//! Who may call: access keys, their scope, and the upstream identity they map to.

use std::collections::HashMap;

use figment::value::Value;
use serde::Deserialize;

use super::glob::{self, BucketGlob};
use super::limits::{Limits, check_limits};
use super::problem::Check;
use super::secret::SecretSource;
use super::upstream::{Credentials, CredentialsTable, access_key_id};
use crate::secret::Secret;

/// The callers, by access key id.
#[derive(Debug, Default)]
pub struct Clients {
    by_id: HashMap<String, Client>,
}

/// One caller.
#[derive(Debug)]
pub struct Client {
    /// Access key id; not a secret.
    pub access_key_id: String,
    /// Its secret; `None` for a client that signs nothing, and shows its certificate.
    pub secret_access_key: Option<Secret<String>>,
    /// Buckets it may use.
    pub buckets: Vec<BucketGlob>,
    /// Beginnings of the object keys it may use; all keys where `None`.
    pub prefixes: Option<Vec<String>>,
    /// Named key for what it writes without naming one; the rule's where `None`.
    pub key: Option<String>,
    /// Named keys it may use; all that the rules allow where `None`.
    pub keys: Option<Vec<String>>,
    /// Whether it may only read.
    pub is_read_only: bool,
    /// Whose name its requests are signed in upstream; the deployment's where `None`.
    pub upstream_credentials: Option<Credentials>,
    /// How much it may ask for, the defaults included.
    pub limits: Limits,
    /// Whoever shows a certificate of this name is this client, without a signature.
    pub certificate: Option<CertificateName>,
    /// Whether a signature holds only over a connection with that certificate.
    pub requires_certificate: bool,
}

/// A name in a certificate that the listener has verified. Names are compared as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// The only common name of the subject.
    SubjectCn(String),
    /// A DNS name among the alternative ones, in lower case.
    Dns(String),
    /// A URI among the alternative names.
    Uri(String),
}

impl Clients {
    /// The client with this access key id.
    pub fn find(&self, access_key_id: &str) -> Option<&Client> {
        self.by_id.get(access_key_id)
    }

    /// All clients, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.by_id.values()
    }

    /// Takes all clients, in no order.
    pub fn into_clients(self) -> impl Iterator<Item = Client> {
        self.by_id.into_values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

impl Client {
    /// Whether the bucket is in the client's scope.
    pub fn may_use_bucket(&self, bucket: &str) -> bool {
        self.buckets.iter().any(|glob| glob.matches(bucket))
    }

    /// Whether its scope is all buckets.
    pub fn may_use_all_buckets(&self) -> bool {
        self.buckets.iter().any(BucketGlob::is_any)
    }

    /// Whether the object is in the client's scope, by its decoded key.
    ///
    /// Where the scope is a prefix, keys with dot segments are in none: some upstreams take keys for
    /// paths, and leave the prefix by them.
    pub fn may_use_object(&self, bucket: &str, key: &str) -> bool {
        self.may_use_bucket(bucket) && self.may_use_prefix(key)
    }

    /// Whether all keys that begin so are in the client's scope.
    pub fn may_use_prefix(&self, prefix: &str) -> bool {
        let Some(prefixes) = &self.prefixes else {
            return true;
        };
        let has_dots = prefix.split(['/', '\\']).any(|it| matches!(it, "." | ".."));
        !has_dots && prefixes.iter().any(|own| prefix.starts_with(own))
    }

    /// Whether the client may use the named key, given by the name it has in the configuration.
    pub fn may_use_key(&self, key: &str) -> bool {
        self.keys
            .as_ref()
            .is_none_or(|keys| keys.iter().any(|known| known == key))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientTable {
    access_key_id: String,
    secret_access_key: Option<SecretSource>,
    buckets: Option<Vec<String>>,
    prefixes: Option<Vec<String>>,
    key: Option<String>,
    keys: Option<Vec<String>>,
    read_only: Option<bool>,
    upstream_credentials: Option<CredentialsTable>,
    limits: Option<Limits>,
    certificate: Option<CertificateTable>,
    require_certificate: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateTable {
    subject_cn: Option<String>,
    dns: Option<String>,
    uri: Option<String>,
}

pub(super) fn check(
    value: Option<Value>,
    defaults: Limits,
    check: &mut Check<'_>,
) -> Option<Clients> {
    let mut by_id = HashMap::new();
    let mut is_complete = true;
    for (key, element) in check.elements("clients", value) {
        let table = check.read::<ClientTable>(&key, element);
        let Some(client) = table.and_then(|table| client(&key, table, defaults, check)) else {
            is_complete = false;
            continue;
        };
        if by_id.contains_key(&client.access_key_id) {
            check.problem(
                format!("{key}.access_key_id"),
                "another client has the same id",
            );
        } else if by_id
            .values()
            .any(|other| is_same_certificate(other, &client))
        {
            check.problem(
                format!("{key}.certificate"),
                "another client has the same certificate",
            );
        } else {
            by_id.insert(client.access_key_id.clone(), client);
        }
    }
    is_complete.then_some(Clients { by_id })
}

/// A managed key is never a named one, for no client.
pub(super) fn check_keys(clients: &Clients, managed: &str, check: &mut Check<'_>) {
    for client in clients.iter() {
        if client.key.as_deref() == Some(managed) {
            let id = &client.access_key_id;
            check.problem(
                "clients",
                format!("client {id}: key must not be the managed key: clients never name it"),
            );
        }
        let keys = client.keys.as_deref().unwrap_or_default();
        if keys.iter().any(|key| key == managed) {
            let id = &client.access_key_id;
            check.problem(
                "clients",
                format!("client {id}: keys must not list the managed key: clients never name it"),
            );
        }
    }
}

/// A certificate that nobody can have shown would be a client that nobody can be.
pub(super) fn check_certificates(clients: &Clients, are_asked: bool, check: &mut Check<'_>) {
    for client in clients.iter().filter(|it| it.certificate.is_some()) {
        if !are_asked {
            let id = &client.access_key_id;
            check.problem(
                "clients",
                format!("client {id}: a certificate needs listen.tls.client_ca"),
            );
        }
    }
}

fn is_same_certificate(one: &Client, other: &Client) -> bool {
    one.certificate.is_some() && one.certificate == other.certificate
}

impl CertificateTable {
    fn check(self, key: &str, check: &mut Check<'_>) -> Option<CertificateName> {
        let dns = self.dns.map(|name| name.to_ascii_lowercase());
        let name = match (self.subject_cn, dns, self.uri) {
            (Some(name), None, None) => CertificateName::SubjectCn(name),
            (None, Some(name), None) => CertificateName::Dns(name),
            (None, None, Some(name)) => CertificateName::Uri(name),
            _ => {
                check.problem(key, "must have one of subject_cn, dns and uri");
                return None;
            }
        };
        let (CertificateName::SubjectCn(text)
        | CertificateName::Dns(text)
        | CertificateName::Uri(text)) = &name;
        if text.is_empty() || text.contains('*') {
            check.problem(key, "must be a whole name, without wildcards");
            return None;
        }
        Some(name)
    }
}

fn client(
    key: &str,
    table: ClientTable,
    defaults: Limits,
    check: &mut Check<'_>,
) -> Option<Client> {
    access_key_id(&format!("{key}.access_key_id"), &table.access_key_id, check);
    let secret_key = format!("{key}.secret_access_key");
    let secret = match table.secret_access_key {
        Some(secret) => secret.fetch(&secret_key, check).map(Some),
        None if table.certificate.is_some() => Some(None),
        // It may have been there, and no secret.
        None if check.is_wrong(&secret_key) => None,
        None => {
            check.problem(
                secret_key,
                "missing; only a client with a certificate can do without",
            );
            None
        }
    };
    let buckets = table.buckets.unwrap_or_else(|| vec!["*".to_owned()]);
    let buckets = glob::list(&format!("{key}.buckets"), &buckets, check);
    let upstream_credentials = match table.upstream_credentials {
        Some(own) => Some(own.check(&format!("{key}.upstream_credentials"), check)?),
        None => None,
    };
    let limits = check_limits(
        &format!("{key}.limits"),
        table.limits.unwrap_or_default(),
        check,
    );
    check_prefixes(key, table.prefixes.as_deref(), check);
    if let (Some(own), Some(keys)) = (&table.key, &table.keys)
        && !keys.contains(own)
    {
        check.problem(
            format!("{key}.key"),
            "must be one of keys, in the same spelling",
        );
    }
    let certificate = match table.certificate {
        Some(names) => Some(names.check(&format!("{key}.certificate"), check)?),
        None => None,
    };
    let requires_certificate = table.require_certificate.unwrap_or(false);
    if requires_certificate && certificate.is_none() {
        check.problem(
            format!("{key}.require_certificate"),
            "needs certificate: which one is it?",
        );
    }
    Some(Client {
        certificate,
        requires_certificate,
        access_key_id: table.access_key_id,
        secret_access_key: secret?,
        buckets,
        prefixes: table.prefixes,
        key: table.key,
        keys: table.keys,
        is_read_only: table.read_only.unwrap_or(false),
        upstream_credentials,
        limits: limits.or(defaults),
    })
}

fn check_prefixes(key: &str, prefixes: Option<&[String]>, check: &mut Check<'_>) {
    let Some(prefixes) = prefixes else { return };
    if prefixes.is_empty() {
        check.problem(format!("{key}.prefixes"), "must not be empty");
    }
    for (index, prefix) in prefixes.iter().enumerate() {
        let has_dots = prefix.split('/').any(|it| matches!(it, "." | ".."));
        if prefix.is_empty() || has_dots {
            check.problem(
                format!("{key}.prefixes[{index}]"),
                "must not be empty, and have no segment . or ..",
            );
        } else if !prefix.ends_with('/') {
            check.warn(format!(
                "{key}.prefixes[{index}] does not end in \"/\": {prefix:?} covers keys like \"{prefix}x\", too"
            ));
        }
    }
}
