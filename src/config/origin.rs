//! Where a configuration came from, so that it can be looked at again: the files that were read, and
//! marks of what holds until a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use aws_lc_rs::digest;
use figment::value::Value;
use zeroize::Zeroizing;

use super::{Config, ConfigError, Environment};

/// Where a configuration came from.
/// `Debug` shows nothing of the values: a digest of a short secret is as good as the secret.
#[derive(Clone, Default)]
pub struct Origin {
    path: PathBuf,
    environment: Environment,
    /// What was read, as it was just before.
    pub files: Files,
    marks: Marks,
}

/// Files, each with what tells one state of it from another without reading it. A file that is a
/// link, or lies in a folder that is one, is the one that the links lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<PathBuf, Option<Stamp>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Digests of values by key: values may be secrets.
#[derive(Clone, Default)]
pub(super) struct Marks(BTreeMap<String, Vec<u8>>);

impl Origin {
    pub(super) fn new(path: &Path, environment: &Environment, files: Files, marks: Marks) -> Self {
        Self {
            path: path.to_owned(),
            environment: environment.clone(),
            files,
            marks,
        }
    }

    /// Reads the same configuration again, with the environment of the first time.
    pub fn load_again(&self) -> Result<Config, ConfigError> {
        Config::load(&self.path, &self.environment)
    }

    /// Keys whose values differ in `other` and are in use until a restart, in order.
    pub fn fixed_keys_that_differ(&self, other: &Self) -> Vec<String> {
        let differing = self.differing(other);
        let fixed = differing.into_iter().filter(|key| !is_live(key));
        fixed.map(str::to_owned).collect()
    }

    /// Whether anything of a table differs in `other`.
    pub fn differs_in(&self, table: &str, other: &Self) -> bool {
        let differing = self.differing(other);
        differing.iter().any(|key| is_within(key, table))
    }

    fn differing<'a>(&'a self, other: &'a Self) -> BTreeSet<&'a str> {
        let (old, new) = (&self.marks.0, &other.marks.0);
        let keys = old.keys().chain(new.keys());
        let differing = keys.filter(|key| old.get(*key) != new.get(*key));
        differing.map(String::as_str).collect()
    }

    /// The same place with what `newer` says of everything that changes live.
    #[must_use]
    pub fn with_live_of(&self, newer: &Self) -> Self {
        let fixed = self.marks.0.iter().filter(|(key, _)| !is_live(key));
        let live = newer.marks.0.iter().filter(|(key, _)| is_live(key));
        let marks = fixed
            .chain(live)
            .map(|(key, mark)| (key.clone(), mark.clone()));
        Self {
            files: newer.files.clone(),
            marks: Marks(marks.collect()),
            ..self.clone()
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Files {
    /// Adds a file that is about to be read.
    pub(super) fn add(&mut self, path: &Path) {
        self.0.insert(path.to_owned(), Stamp::of(path));
    }

    /// The same files as they are now.
    #[must_use]
    pub fn now(&self) -> Self {
        let paths = self.0.keys();
        Self(paths.map(|path| (path.clone(), Stamp::of(path))).collect())
    }

    /// These and others; of a file that is in both, the state of `others`.
    #[must_use]
    pub fn with(mut self, others: &Self) -> Self {
        let others = others.0.iter().map(|(path, stamp)| (path.clone(), *stamp));
        self.0.extend(others);
        self
    }
}

impl Stamp {
    /// `None` where there is no file, or none that may be looked at.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl Marks {
    /// Of every value; an array is one.
    pub(super) fn of(value: &Value) -> Self {
        let mut marks = BTreeMap::new();
        let mut pending = vec![(String::new(), value)];
        while let Some((key, value)) = pending.pop() {
            if let Value::Dict(_, dict) = value {
                let dot = if key.is_empty() { "" } else { "." };
                pending.extend(
                    dict.iter()
                        .map(|(name, it)| (format!("{key}{dot}{name}"), it)),
                );
            } else {
                // Never fails: a value that was read from text can be written as such.
                let text = Zeroizing::new(serde_json::to_vec(value).unwrap_or_default());
                let mark = digest::digest(&digest::SHA256, &text);
                marks.insert(key, mark.as_ref().to_vec());
            }
        }
        Self(marks)
    }
}

fn is_live(key: &str) -> bool {
    LIVE.iter().any(|live| is_within(key, live))
}

fn is_within(key: &str, table: &str) -> bool {
    key.strip_prefix(table)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// What a reload takes over. A key that is not here waits for a restart, and is named in the log.
const LIVE: [&str; 19] = [
    "clients",
    "keys.bucket_keys.enabled",
    "keys.default",
    "keys.former_managed",
    "keys.managed",
    "limits",
    "listen.domains",
    "listen.tls",
    "log.filter",
    "rules",
    "upstream.connect_timeout_seconds",
    "upstream.credentials",
    "upstream.etag",
    "upstream.idle_timeout_seconds",
    "upstream.list_sizes",
    "upstream.pool_idle_seconds",
    "upstream.pool_max_idle",
    "upstream.response_header_timeout_seconds",
    "upstream.tls",
];
