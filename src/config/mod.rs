//! What the operator asked for: plain, checked data, without behaviour.
//!
//! A TOML file, overridden by `S3SEAL_` environment variables, becomes a [`Config`] in one step:
//! [`Config::load`] reads, checks and converts everything, and reports all problems it can find at
//! once, each with its source, key and reason. Whatever this version cannot do is refused here
//! rather than ignored. Every key with its default is described in `config/example.toml`.
//!
//! Rooms import their own part only ([`listen`], [`upstream`], [`keys`], [`rules`], …).

pub mod audit;
pub mod clients;
pub mod crypto;
pub mod glob;
pub mod keys;
pub mod limits;
pub mod listen;
pub mod log;
pub mod origin;
pub mod place;
pub mod rules;
pub mod s3ec;
pub mod traces;
pub mod uploads;
pub mod upstream;

mod problem;
mod read;
mod secret;
mod source;

use std::collections::HashSet;
use std::path::Path;

use figment::value::{Dict, Value};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use audit::Audit;
use clients::Clients;
use crypto::Crypto;
use keys::{Keys, RegistryPlace};
use limits::DefaultLimits;
use listen::{Admin, Listen};
use log::Log;
use origin::{Files, Marks, Origin};
use rules::Rules;
use traces::Traces;
use uploads::Uploads;
use upstream::{ListSizes, Upstream};

use problem::Check;

pub use problem::{ConfigError, Problem};
pub use source::{Environment, KEYRING_PASSPHRASE};

/// The whole configuration, checked. The composition root takes it apart; no room sees all of it.
#[derive(Debug)]
pub struct Config {
    /// Where S3 clients connect.
    pub listen: Listen,
    /// Where metrics and health are served.
    pub admin: Admin,
    /// The real S3.
    pub upstream: Upstream,
    /// Who may call.
    pub clients: Clients,
    /// How much clients may ask for that have no limits of their own.
    pub limits: DefaultLimits,
    /// Key names, providers and caches.
    pub keys: Keys,
    /// Multipart uploads.
    pub uploads: Uploads,
    /// Which buckets are encrypted how.
    pub rules: Rules,
    /// Choice of implementations.
    pub crypto: Crypto,
    /// The audit log, if there is one.
    pub audit: Option<Audit>,
    /// Traces, if there are any.
    pub traces: Option<Traces>,
    /// What is logged and how.
    pub log: Log,
    /// What is allowed but probably not meant; sentences for the log. Never holds a secret.
    pub warnings: Vec<String>,
    /// Where to look for another one.
    pub origin: Origin,
}

impl Config {
    /// Reads and checks a configuration file with the overrides found in `environment`.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let mut files = Files::default();
        files.add(path);
        let text = source::read_file(path)?;
        let mut config = Self::read(&text, path, environment, files)?;
        config.warnings.extend(source::exposure(path, &text));
        Ok(config)
    }

    /// Checks configuration text as if it stood in the file `path`: errors name it, and relative
    /// paths are relative to its folder. The file itself is not read.
    pub fn parse(text: &str, path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        Self::read(text, path, environment, Files::default())
    }

    fn read(
        text: &str,
        path: &Path,
        environment: &Environment,
        files: Files,
    ) -> Result<Self, ConfigError> {
        let source = source::merge(text, path, environment)?;
        let mut check = Check::new(path, environment, source.overrides, files);
        for (variable, reason) in source.rejected {
            check.reject_variable(&variable, reason);
        }
        let marks = Marks::of(&source.value);
        let sections = check.read::<Sections>("", source.value);
        check.finish_with(marks, |check| Self::from_sections(sections?, check))
    }

    /// Buckets that only the proxy itself uses.
    pub fn own_buckets(&self) -> HashSet<String> {
        let registry = match &self.keys.bucket_keys.registry {
            Some(RegistryPlace::S3(place)) => Some(place),
            Some(RegistryPlace::Folder(_)) | None => None,
        };
        let places = self.uploads.state.iter().chain(registry);
        places.map(|place| place.bucket.clone()).collect()
    }

    fn from_sections(sections: Sections, check: &mut Check<'_>) -> Option<Self> {
        let limits = section(check, "limits", sections.limits);
        let limits = limits.map(|table| limits::check_defaults(&table, check));
        let defaults = limits.unwrap_or_default().clients;
        let clients = clients::check(sections.clients, defaults, check);
        let listen = section(check, "listen", sections.listen);
        let listen = listen.map(|table| listen::check(table, check));
        let admin = section(check, "admin", sections.admin);
        let admin = admin.map(|table| listen::check_admin(&table));
        let upstream = section(check, "upstream", sections.upstream);
        let upstream = upstream.and_then(|table| upstream::check(table, check));
        let uploads = section(check, "uploads", sections.uploads);
        let uploads = uploads.map(|table| uploads::check(&table, check));
        let crypto = section(check, "crypto", sections.crypto);
        let crypto = crypto.map(|table| crypto::check_crypto(&table, check));
        let log = section(check, "log", sections.log);
        let log = log.and_then(|table| log::check(table, check));
        let audit = section(check, "audit", sections.audit);
        let audit = audit.map(|table| audit::check(&table, check));
        let traces = section(check, "traces", sections.traces);
        let traces = traces.map(|table| traces::check(table, check));
        let keys = section(check, "keys", sections.keys);
        let keys = keys.map(|table| keys::check(table, check));
        let rules = rules::check(sections.rules, keys.as_ref(), check);

        if let (Some(listen), Some(admin)) = (&listen, &admin) {
            listen::check_apart(listen, admin, check);
        }
        if let (Some(listen), Some(clients)) = (&listen, &clients) {
            listen::check_exposure(listen, clients.is_empty(), check);
            let tls = listen.tls.as_ref();
            let are_asked = tls.is_some_and(|tls| tls.clients.is_some());
            clients::check_certificates(clients, are_asked, check);
        }
        if upstream
            .as_ref()
            .is_some_and(|it| it.list_sizes == ListSizes::Formula)
        {
            rules::check_listings(&rules, check);
        }
        if let Some(crypto) = &crypto {
            rules::check_memory(&rules, crypto.chunk_memory, check);
        }
        if let (Some(keys), Some(clients)) = (&keys, &clients) {
            clients::check_keys(clients, &keys.managed, check);
        }
        Some(Self {
            listen: listen?,
            admin: admin?,
            upstream: upstream?,
            clients: clients?,
            limits: limits?,
            keys: keys?,
            uploads: uploads?,
            rules,
            crypto: crypto?,
            audit: audit?,
            traces: traces?,
            log: log?,
            warnings: Vec::new(),
            origin: Origin::default(),
        })
    }
}

/// The tables of the file, unread: each is read on its own, so that each reports its problems.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sections {
    listen: Option<Value>,
    admin: Option<Value>,
    upstream: Option<Value>,
    clients: Option<Value>,
    limits: Option<Value>,
    keys: Option<Value>,
    uploads: Option<Value>,
    rules: Option<Value>,
    crypto: Option<Value>,
    audit: Option<Value>,
    traces: Option<Value>,
    log: Option<Value>,
}

/// Names of the tables, for overrides of a whole table or array.
const SECTIONS: [&str; 12] = [
    "listen", "admin", "upstream", "clients", "limits", "keys", "uploads", "rules", "crypto",
    "audit", "traces", "log",
];

/// Reads one table; an absent one counts as empty.
fn section<T: DeserializeOwned>(
    check: &mut Check<'_>,
    key: &str,
    value: Option<Value>,
) -> Option<T> {
    check.read(key, value.unwrap_or_else(|| Dict::new().into()))
}

#[cfg(test)]
mod tests;
