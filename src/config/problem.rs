//! Problems of a configuration, collected so that one run reports them all.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::origin::{Files, Marks, Origin};
use super::{Config, Environment};

/// Everything that is wrong with a configuration: the operator's to repair. One line per problem;
/// values are not shown, since any of them may be a secret.
#[derive(Debug, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct ConfigError {
    /// The problems, in the order of the file's tables.
    pub problems: Vec<Problem>,
    /// The files that were read, or should have been.
    pub files: Files,
}

/// One problem: printed as `file: key: reason`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, or the environment variable that overrides it.
    pub origin: String,
    /// Path of the key, like `rules[0].buckets`; empty for the file as a whole.
    pub key: String,
    /// What is wrong and what to do.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.origin, self.reason)
        } else {
            write!(f, "{}: {}: {}", self.origin, self.key, self.reason)
        }
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
            files: Files::default(),
        }
    }
}

/// What the checks need to know, and where they leave what they find.
pub(super) struct Check<'a> {
    file: &'a Path,
    environment: &'a Environment,
    /// Key path to the variable that set it.
    overrides: BTreeMap<String, String>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
    files: Files,
}

impl<'a> Check<'a> {
    pub(super) fn new(
        file: &'a Path,
        environment: &'a Environment,
        overrides: BTreeMap<String, String>,
        files: Files,
    ) -> Self {
        Self {
            file,
            environment,
            overrides,
            problems: Vec::new(),
            warnings: Vec::new(),
            files,
        }
    }

    /// Notes a problem with the value at `key`.
    pub(super) fn problem(&mut self, key: impl Into<String>, reason: impl Into<String>) {
        let key = key.into();
        let origin = self.origin(&key);
        self.problems.push(Problem {
            origin,
            key,
            reason: reason.into(),
        });
    }

    /// Whether the value at `key` is known to be wrong.
    pub(super) fn is_wrong(&self, key: &str) -> bool {
        self.problems.iter().any(|problem| problem.key == key)
    }

    /// Notes that an environment variable cannot be used at all.
    pub(super) fn reject_variable(&mut self, variable: &str, reason: String) {
        self.problems.push(Problem {
            origin: variable.to_owned(),
            key: String::new(),
            reason,
        });
    }

    /// Refuses what a later version will do, instead of ignoring it.
    pub(super) fn unavailable(&mut self, key: impl Into<String>, what: &str) {
        self.problem(key, format!("{what} is not available in this version"));
    }

    pub(super) fn warn(&mut self, sentence: impl Into<String>) {
        self.warnings.push(sentence.into());
    }

    /// A path as written, relative to the folder of the file.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        self.file
            .parent()
            .unwrap_or_else(|| Path::new(""))
            .join(path)
    }

    /// As [`Self::resolve`], for a file whose change is a change of the configuration: to be called
    /// before it is read.
    pub(super) fn watched(&mut self, path: &Path) -> PathBuf {
        let path = self.resolve(path);
        self.files.add(&path);
        path
    }

    pub(super) fn environment(&self) -> &'a Environment {
        self.environment
    }

    /// The raw text of the variable that set exactly this key, if one did.
    pub(super) fn override_text(&self, key: &str) -> Option<&'a str> {
        self.environment.find(self.overrides.get(key)?)
    }

    /// A number within limits; the default where the file has none. Never returns a value outside.
    pub(super) fn number(&mut self, key: &str, value: Option<u64>, bounds: &Bounds) -> u64 {
        let value = value.unwrap_or(bounds.default);
        if (bounds.min..=bounds.max).contains(&value) {
            return value;
        }
        let Bounds { min, max, .. } = bounds;
        self.problem(key, format!("must be between {min} and {max}"));
        bounds.default
    }

    /// [`Self::number`] in seconds.
    pub(super) fn seconds(&mut self, key: &str, value: Option<u64>, bounds: &Bounds) -> Duration {
        Duration::from_secs(self.number(key, value, bounds))
    }

    /// [`Self::number`] as a count of things in memory.
    pub(super) fn count(&mut self, key: &str, value: Option<u64>, bounds: &Bounds) -> usize {
        usize::try_from(self.number(key, value, bounds)).unwrap_or(usize::MAX)
    }

    /// Does the last checks: a configuration is only handed out when nothing was wrong.
    pub(super) fn finish_with(
        mut self,
        marks: Marks,
        then: impl FnOnce(&mut Self) -> Option<Config>,
    ) -> Result<Config, ConfigError> {
        match then(&mut self) {
            Some(mut config) if self.problems.is_empty() => {
                config.warnings = self.warnings;
                config.origin = Origin::new(self.file, self.environment, self.files, marks);
                Ok(config)
            }
            Some(_) | None => Err(ConfigError {
                problems: self.problems,
                files: self.files,
            }),
        }
    }

    /// Who set `key`: the variable that overrides it or a table around it, else the file.
    fn origin(&self, key: &str) -> String {
        self.overrides
            .iter()
            .rfind(|(path, _)| is_within(key, path))
            .map_or_else(|| self.file.display().to_string(), |(_, name)| name.clone())
    }
}

/// Limits and default of a number.
pub(super) struct Bounds {
    pub(super) min: u64,
    pub(super) max: u64,
    pub(super) default: u64,
}

fn is_within(key: &str, path: &str) -> bool {
    key.strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}
