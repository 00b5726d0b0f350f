//! Secrets in the file: a string, `{ file = "…" }` or `{ env = "…" }`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

use super::problem::Check;
use super::source::is_world_readable;
use crate::secret::Secret;

/// Where a secret is to be found.
pub(super) enum SecretSource {
    Text(Secret<String>),
    File(PathBuf),
    Variable(String),
}

impl SecretSource {
    /// A secret that a file holds.
    pub(super) fn file(path: PathBuf) -> Self {
        Self::File(path)
    }

    /// Fetches the secret once to see that it is there, and says where it is from now on.
    pub(super) fn place(self, key: &str, check: &mut Check<'_>) -> Option<SecretPlace> {
        let file = match &self {
            Self::File(path) => Some(check.resolve(path)),
            Self::Text(_) | Self::Variable(_) => None,
        };
        // Whoever uses it reads the file again, so that its change is none of the configuration.
        let secret = self.fetch_from(key, check, false)?;
        Some(file.map_or(SecretPlace::Fixed(secret), SecretPlace::File))
    }

    /// Fetches the secret. A file's trailing newline is not part of it.
    pub(super) fn fetch(self, key: &str, check: &mut Check<'_>) -> Option<Secret<String>> {
        self.fetch_from(key, check, true)
    }

    fn fetch_from(
        self,
        key: &str,
        check: &mut Check<'_>,
        is_watched: bool,
    ) -> Option<Secret<String>> {
        let fetched = match self {
            Self::Text(secret) => Ok(secret),
            Self::Variable(name) => check
                .environment()
                .find(&name)
                .map(|text| Secret::new(text.to_owned()))
                .ok_or_else(|| format!("the environment variable {name} is not set")),
            Self::File(path) => {
                let path = if is_watched {
                    check.watched(&path)
                } else {
                    check.resolve(&path)
                };
                read_file(key, &path, check)
            }
        };
        match fetched {
            Ok(secret) if secret.expose().is_empty() => check.problem(key, "must not be empty"),
            Ok(secret) => return Some(secret),
            Err(reason) => check.problem(key, reason),
        }
        None
    }
}

fn read_file(key: &str, path: &Path, check: &mut Check<'_>) -> Result<Secret<String>, String> {
    let secret = read_line(path).map_err(|error| format!("{}: {error}", path.display()))?;
    // Not an error: Kubernetes mounts secrets with mode 0644 unless told otherwise.
    if is_world_readable(path) {
        check.warn(format!(
            "{} ({key}) is readable by everybody",
            path.display()
        ));
    }
    Ok(secret)
}

/// A secret that may change while the proxy runs, where it lies in a file.
#[derive(Debug)]
pub enum SecretPlace {
    /// In the configuration or the environment: fixed.
    Fixed(Secret<String>),
    /// In a file, which somebody else may replace.
    File(PathBuf),
}

impl SecretPlace {
    /// The secret as it is now. Blocks on the disk where it lies in a file.
    pub fn read(&self) -> io::Result<Secret<String>> {
        match self {
            Self::Fixed(secret) => Ok(Secret::new(secret.expose().clone())),
            Self::File(path) => read_line(path),
        }
    }
}

/// A file's text without its trailing newline.
fn read_line(path: &Path) -> io::Result<Secret<String>> {
    let text = std::fs::read_to_string(path).map(Secret::new)?;
    let line = text.expose().trim_end_matches(['\r', '\n']);
    Ok(Secret::new(line.to_owned()))
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = SecretSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, { file = \"…\" } or { env = \"…\" }")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SecretSource, E> {
        Ok(SecretSource::Text(Secret::new(text.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretSource, A::Error> {
        let reference = Reference::deserialize(MapAccessDeserializer::new(map))?;
        match (reference.file, reference.env) {
            (Some(path), None) => Ok(SecretSource::File(path)),
            (None, Some(name)) => Ok(SecretSource::Variable(name)),
            (None, None) | (Some(_), Some(_)) => Err(serde::de::Error::custom(
                "must name either a file or an env variable",
            )),
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    file: Option<PathBuf>,
    env: Option<String>,
}
