//! Where settings come from: one TOML file, overridden by `S3SEAL_` environment variables.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::problem::{ConfigError, Problem};
use super::{SECTIONS, read};

/// Environment variables as an argument: tests bring their own, the process reads its once.
///
/// Variables that are not UTF-8 are treated as not set. `Debug` shows no values.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process. The only place that reads them.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of a variable.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let pairs = variables.into_iter();
        Self(pairs.map(|(k, v)| (k.into(), v.into())).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}

/// The file with its overrides, not yet read into types.
pub(super) struct Source {
    pub(super) value: Value,
    /// Key path to the variable that set it.
    pub(super) overrides: BTreeMap<String, String>,
    /// Variables that look like overrides but are none, with the reason.
    pub(super) rejected: Vec<(String, String)>,
}

/// Reads the file's text.
pub(super) fn read_file(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path)
        .map_err(|error| whole_file(path, format!("cannot be read: {error}")))
}

/// A warning if others may read a file that holds secrets in clear.
pub(super) fn exposure(path: &Path, text: &str) -> Option<String> {
    let holds_secrets = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .any(|line| {
            line.split_once("secret_access_key")
                .is_some_and(|(_, rest)| {
                    rest.trim_start_matches([' ', '\t', '='])
                        .starts_with(['"', '\''])
                })
        });
    (holds_secrets && is_world_readable(path)).then(|| {
        let path = path.display();
        format!("{path} holds secrets and is readable by everybody: use chmod 600")
    })
}

pub(super) fn is_world_readable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0)
}

/// Parses the file's text and lays the environment over it.
pub(super) fn merge(
    text: &str,
    path: &Path,
    environment: &Environment,
) -> Result<Source, ConfigError> {
    let file =
        Toml::from_str::<Dict>(text).map_err(|error| whole_file(path, syntax(text, &error)))?;
    let borrowed = borrowed_variables(&file);
    let mut figment = Figment::from(Layer(file.clone()));
    let mut overrides = BTreeMap::new();
    let mut rejected = Vec::new();
    for (name, value) in &environment.0 {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let is_borrowed = borrowed.contains(&name.as_str()) || name == KEYRING_PASSPHRASE;
        if is_borrowed || is_service_link(rest, value) {
            continue;
        }
        match layer(rest, value) {
            Ok((key, layer)) => {
                figment = figment.merge(layer);
                overrides.insert(key, name.clone());
            }
            Err(reason) => rejected.push((name.clone(), reason)),
        }
    }
    let value = figment
        .extract::<Dict>()
        .map_err(|error| whole_file(path, read::reason(&error.kind)))?;
    Ok(Source {
        value: value.into(),
        overrides,
        rejected,
    })
}

/// The passphrase of a sealed keyring, for commands: never an override.
pub const KEYRING_PASSPHRASE: &str = "S3SEAL_KEYRING_PASSPHRASE";

/// One source of settings for figment.
struct Layer(Dict);

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named("configuration")
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.0.clone()))
    }
}

/// `UPSTREAM__ENDPOINT` and its text to the key path and a layer that sets it.
fn layer(name: &str, text: &str) -> Result<(String, Layer), String> {
    let segments: Vec<_> = name.split("__").map(str::to_ascii_lowercase).collect();
    let first = segments.first().map_or("", String::as_str);
    if !SECTIONS.contains(&first) {
        return Err(unknown_variable(first));
    }
    if segments.iter().any(String::is_empty) {
        return Err("names no key: an empty part between double underscores".to_owned());
    }
    if segments
        .iter()
        .skip(1)
        .any(|part| part.parse::<usize>().is_ok())
    {
        return Err("arrays are overridden as a whole, in TOML syntax".to_owned());
    }
    let value = override_value(text)?;
    let key = segments.join(".");
    let nested = segments.iter().rev().fold(value, |inner, part| {
        Dict::from([(part.clone(), inner)]).into()
    });
    let dict = nested.into_dict().unwrap_or_default();
    Ok((key, Layer(dict)))
}

/// TOML where the text is TOML (`5`, `true`, `["a"]`, `"5"`), else the text itself as a string.
///
/// A string that happens to look like a number is put right when it is read (see `read.rs`).
fn override_value(text: &str) -> Result<Value, String> {
    let is_address = text.parse::<std::net::SocketAddr>().is_ok(); // "[::1]:9000" is no array
    let is_structured = text.trim_start().starts_with(['[', '{']) && !is_address;
    let parsed = Toml::from_str::<Dict>(&format!("{OVERRIDE} = {text}"));
    match parsed.map(|mut dict| (dict.len(), dict.remove(OVERRIDE))) {
        // A date is a table to figment; only braces make one here.
        Ok((1, Some(value))) if is_structured || value.as_dict().is_none() => Ok(value),
        Ok(_) if is_structured => Err("is more than one TOML value".to_owned()),
        Err(error) if is_structured => Err(format!("is not valid TOML: {}", error.message())),
        Ok(_) | Err(_) => Ok(text.into()),
    }
}

fn unknown_variable(first: &str) -> String {
    let hint = SECTIONS
        .iter()
        .find(|section| first.starts_with(&format!("{section}_")))
        .map(|section| {
            let variable = section.to_ascii_uppercase();
            format!("; two underscores separate a table from its key: {PREFIX}{variable}__…")
        })
        .or_else(|| {
            let closest = read::closest(first, &SECTIONS)?.to_ascii_uppercase();
            Some(format!("; did you mean {PREFIX}{closest}?"))
        });
    format!(
        "names no key of the configuration{}",
        hint.unwrap_or_default()
    )
}

/// Variables that Kubernetes sets for a Service called s3seal or s3seal-NAME: `S3SEAL_SERVICE_HOST`,
/// `S3SEAL_NAME_SERVICE_PORT…`, `S3SEAL_NAME_PORT=tcp://…`, `S3SEAL_PORT_9000_TCP…`. Keys of tables have
/// two underscores, and `S3SEAL_LISTEN_PORT=9000` is still a mistake that is named.
fn is_service_link(rest: &str, value: &str) -> bool {
    let ends_in = |tail: &str| rest == tail || rest.ends_with(&format!("_{tail}"));
    let has = |part: &str| rest.starts_with(part) || rest.contains(&format!("_{part}"));
    let after_ports = rest.split("PORT_").skip(1);
    let is_number = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    !rest.contains("__")
        && (ends_in("SERVICE_HOST")
            || ends_in("SERVICE_PORT")
            || has("SERVICE_PORT_")
            || after_ports.into_iter().any(is_number)
            || (ends_in("PORT") && value.contains("://")))
}

/// Names in `{ env = "…" }` anywhere in the file: these variables hold secrets and override nothing.
fn borrowed_variables(dict: &Dict) -> Vec<&str> {
    let mut names = Vec::new();
    let mut pending: Vec<_> = dict
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    while let Some((key, value)) = pending.pop() {
        match value {
            Value::String(_, name) if key == "env" => names.push(name.as_str()),
            Value::Dict(_, inner) => pending.extend(inner.iter().map(|(k, v)| (k.as_str(), v))),
            Value::Array(_, items) => pending.extend(items.iter().map(|item| ("", item))),
            Value::String(..)
            | Value::Char(..)
            | Value::Bool(..)
            | Value::Num(..)
            | Value::Empty(..) => {}
        }
    }
    names
}

fn whole_file(path: &Path, reason: String) -> ConfigError {
    let origin = path.display().to_string();
    let key = String::new();
    Problem {
        origin,
        key,
        reason,
    }
    .into()
}

/// The parser's message with its place, but without the line itself: it may hold a secret.
fn syntax(text: &str, error: &<Toml as Format>::Error) -> String {
    let line = error
        .span()
        .and_then(|span| text.get(..span.start))
        .map(|before| before.matches('\n').count() + 1);
    let message = error.message().replace('\n', ", ");
    match line {
        Some(line) => format!("line {line}: {message}"),
        None => message,
    }
}

const PREFIX: &str = "S3SEAL_";
const OVERRIDE: &str = "value";
