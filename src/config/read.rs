//! From values to types: reports every problem of a table, with the closest known key.

use std::collections::BTreeSet;

use figment::error::{Actual, Kind};
use figment::value::Value;
use serde::de::DeserializeOwned;

use super::problem::Check;

impl Check<'_> {
    /// Reads the value at `key` into `T`. After a problem the offending key is taken out and the
    /// rest is read again, so that one run shows all problems; the load fails all the same.
    pub(super) fn read<T: DeserializeOwned>(&mut self, key: &str, mut value: Value) -> Option<T> {
        let mut removed = BTreeSet::new();
        loop {
            let error = match T::deserialize(&value) {
                Ok(read) => return Some(read),
                Err(error) => error,
            };
            let mut full = join(key, &error.path);
            if let Some(text) = self.plain_text(&full, &error.kind)
                && let Some(slot) = find(&mut value, &error.path)
            {
                *slot = Value::from(text);
                continue;
            }
            if let Kind::MissingField(name) = &error.kind {
                full = join(&full, &[name.to_string()]);
            }
            if !removed.contains(&full) {
                self.problem(full.as_str(), reason(&error.kind));
            }
            if error.missing() || !remove(&mut value, &error.path) {
                return None;
            }
            removed.insert(full);
        }
    }

    /// Splits an array of tables (`[[rules]]`) into its elements, each with its key path.
    pub(super) fn elements(&mut self, key: &str, value: Option<Value>) -> Vec<(String, Value)> {
        match value {
            None => Vec::new(),
            Some(Value::Array(_, items)) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| (format!("{key}[{index}]"), item))
                .collect(),
            Some(_) => {
                self.problem(key, format!("must be an array of tables: [[{key}]]"));
                Vec::new()
            }
        }
    }

    /// An environment variable that parsed as a number, a truth value or a date where a string is
    /// wanted is that string, character by character ("0123" is no number).
    fn plain_text(&self, key: &str, kind: &Kind) -> Option<&str> {
        let Kind::InvalidType(actual, _) = kind else {
            return None;
        };
        let is_mistyped = !matches!(actual, Actual::Str(_) | Actual::Seq | Actual::Map);
        self.override_text(key).filter(|_| is_mistyped)
    }
}

/// What is wrong, without the value: it may be a secret.
pub(super) fn reason(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => message.clone(),
        Kind::InvalidType(actual, expected) => {
            format!("must be {}, not {}", wanted(expected), found(actual))
        }
        Kind::InvalidValue(_, expected) => format!("must be {}", wanted(expected)),
        Kind::InvalidLength(count, expected) => {
            format!("has {count} elements, must be {}", wanted(expected))
        }
        Kind::UnknownVariant(name, known) => {
            let known_list = known.join("\", \"");
            format!("must be one of \"{known_list}\"{}", suggestion(name, known))
        }
        Kind::UnknownField(name, known) => format!("unknown key{}", suggestion(name, known)),
        Kind::MissingField(_) => "missing".to_owned(),
        Kind::DuplicateField(_) => "given twice".to_owned(),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => "number out of range".to_owned(),
        Kind::Unsupported(actual) | Kind::UnsupportedKey(actual, _) => {
            format!("must not be {}", found(actual))
        }
    }
}

/// The known name closest to what was written: one that a slip of the finger explains.
pub(super) fn closest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(written, name), *name))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

fn suggestion(written: &str, known: &[&'static str]) -> String {
    match closest(written, known) {
        Some(name) => format!("; did you mean \"{name}\"?"),
        None if known.is_empty() => String::new(),
        None => format!("; known here: {}", known.join(", ")),
    }
}

/// serde's words for what it expected, in the file's words.
fn wanted(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "an array".to_owned(),
        _ if expected.starts_with("struct ") => "a table".to_owned(),
        _ if expected.starts_with("enum ") => "a string".to_owned(),
        _ => expected.to_owned(),
    }
}

fn found(actual: &Actual) -> &'static str {
    match actual {
        Actual::Bool(_) => "a boolean",
        Actual::Unsigned(_) | Actual::Signed(_) => "a number",
        Actual::Float(_) => "a fraction",
        Actual::Char(_) | Actual::Str(_) => "a string",
        Actual::Seq => "an array",
        Actual::Map => "a table",
        Actual::Bytes(_)
        | Actual::Unit
        | Actual::Option
        | Actual::NewtypeStruct
        | Actual::Enum
        | Actual::UnitVariant
        | Actual::NewtypeVariant
        | Actual::TupleVariant
        | Actual::StructVariant
        | Actual::Other(_) => "something else",
    }
}

/// `rules` and `["0", "buckets"]` to `rules[0].buckets`.
fn join(key: &str, path: &[String]) -> String {
    let mut full = key.to_owned();
    for part in path {
        if !full.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            full = format!("{full}[{part}]");
        } else if full.is_empty() {
            full.clone_from(part);
        } else {
            full = format!("{full}.{part}");
        }
    }
    full
}

fn find<'v>(value: &'v mut Value, path: &[String]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |inner, part| match inner {
        Value::Dict(_, dict) => dict.get_mut(part),
        Value::Array(_, items) => items.get_mut(part.parse::<usize>().ok()?),
        Value::String(..)
        | Value::Char(..)
        | Value::Bool(..)
        | Value::Num(..)
        | Value::Empty(..) => None,
    })
}

/// Takes a key out of its table. Elements of arrays stay: their neighbours would change places.
fn remove(value: &mut Value, path: &[String]) -> bool {
    let Some((last, parents)) = path.split_last() else {
        return false;
    };
    match find(value, parents) {
        Some(Value::Dict(_, dict)) => dict.remove(last).is_some(),
        Some(_) | None => false,
    }
}

/// Jaro-Winkler likeness from which on a name is worth suggesting.
const LIKENESS: f64 = 0.8;
