//! What a profile adds to a pod: init containers, volumes, environment variables. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use thiserror::Error;

/// What a pod gets that asks for it. Has no `Debug`: values of variables may be secrets.
#[derive(Clone, PartialEq)]
pub struct Profile {
    pub(super) init_containers: Vec<Item>,
    pub(super) volumes: Vec<Item>,
    pub(super) env: Vec<Item>,
}

/// A JSON object with a name, which no other of its list has.
#[derive(Clone, PartialEq)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) content: Value,
}

/// Why the text of a profile is none: the operator's to repair. Quotes no values.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// An entry that is no object with a name.
    #[error("{list}[{index}] is no object with a name")]
    Anonymous {
        /// The list.
        list: &'static str,
        /// Its place, counted from 0.
        index: usize,
    },
    /// Two entries of a list have one name.
    #[error("{list} names {name:?} twice")]
    Double {
        /// The list.
        list: &'static str,
        /// The name.
        name: String,
    },
    /// Nothing would run in the pod, and it would be told that it has the sidecar.
    #[error("initContainers is missing or empty")]
    Empty,
    /// Not JSON. What serde says of the syntax quotes nothing.
    #[error("not JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// A list that is none.
    #[error("{0} is no list")]
    NoList(&'static str),
    /// JSON, but no object.
    #[error("not a JSON object")]
    NoObject,
    /// A key that means nothing, most likely a misspelt one.
    #[error("unknown key {0:?}: there are initContainers, volumes and env")]
    Unknown(String),
    /// A variable with anything but a name and a text, or a name and `valueFrom`.
    #[error("env {0:?} needs a name and either a text as value or valueFrom, and nothing else")]
    Variable(String),
}

impl Profile {
    /// Reads the JSON text of a profile.
    pub fn parse(text: &[u8]) -> Result<Self, ProfileError> {
        let read = serde_json::from_slice(text).map_err(ProfileError::Json)?;
        let Value::Object(mut keys) = read else {
            return Err(ProfileError::NoObject);
        };
        let profile = Self {
            init_containers: items(&mut keys, "initContainers")?,
            volumes: items(&mut keys, "volumes")?,
            env: items(&mut keys, "env")?,
        };
        if let Some(unknown) = keys.keys().next() {
            return Err(ProfileError::Unknown(unknown.clone()));
        }
        if profile.init_containers.is_empty() {
            return Err(ProfileError::Empty);
        }
        match profile.env.iter().find(|item| !item.is_variable()) {
            Some(wrong) => Err(ProfileError::Variable(wrong.name.clone())),
            None => Ok(profile),
        }
    }

    /// Whether a container of this name is one of the profile.
    pub(super) fn has_container(&self, name: &str) -> bool {
        self.init_containers.iter().any(|item| item.name == name)
    }
}

impl Item {
    fn is_variable(&self) -> bool {
        let Value::Object(keys) = &self.content else {
            return false;
        };
        let is_value = match (keys.get("value"), keys.get("valueFrom")) {
            (Some(value), None) => value.is_string(),
            (None, Some(source)) => source.is_object(),
            (Some(_), Some(_)) | (None, None) => false,
        };
        is_value && keys.len() == 2
    }
}

fn items(keys: &mut Map<String, Value>, list: &'static str) -> Result<Vec<Item>, ProfileError> {
    let entries = match keys.remove(list) {
        None => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(ProfileError::NoList(list)),
    };
    let mut names = BTreeSet::new();
    let mut items = Vec::with_capacity(entries.len());
    for (index, content) in entries.into_iter().enumerate() {
        let name = content.get("name").and_then(Value::as_str);
        let name = name.filter(|name| !name.is_empty()).map(str::to_owned);
        let name = name.ok_or(ProfileError::Anonymous { list, index })?;
        if !names.insert(name.clone()) {
            return Err(ProfileError::Double { list, name });
        }
        items.push(Item { name, content });
    }
    Ok(items)
}

/// All profiles by name.
#[derive(Clone, PartialEq)]
pub struct Profiles(BTreeMap<String, Profile>);

impl Profiles {
    /// See [`Profiles`].
    pub fn new(profiles: BTreeMap<String, Profile>) -> Self {
        Self(profiles)
    }

    /// The one of this name.
    pub fn named(&self, name: &str) -> Option<&Profile> {
        self.0.get(name)
    }

    /// The names of all, for a person.
    pub fn names(&self) -> String {
        let names: Vec<_> = self.0.keys().map(String::as_str).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Profile::parse(text.as_bytes()).err().unwrap().to_string()
    }

    #[test]
    fn a_profile_may_leave_out_all_but_containers() {
        let profile = Profile::parse(br#"{"initContainers":[{"name":"a"}]}"#)
            .ok()
            .unwrap();
        assert!(profile.has_container("a") && !profile.has_container("b"));
        assert!(profile.volumes.is_empty() && profile.env.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_without_values() {
        let with =
            |rest: &str| refusal(&format!(r#"{{"initContainers":[{{"name":"a"}}],{rest}}}"#));
        for (said, expected) in [
            (refusal("[]"), "not a JSON object"),
            (refusal("{}"), "initContainers is missing or empty"),
            (
                refusal(r#"{"initContainers":null}"#),
                "initContainers is no list",
            ),
            (
                refusal(r#"{"initContainers":[{"name":"a"},{"name":"a"}]}"#),
                r#"initContainers names "a" twice"#,
            ),
            (
                refusal(r#"{"initContainers":[{"name":"a"},{"name":""}]}"#),
                "initContainers[1] is no object with a name",
            ),
            (
                with(r#""volume":[]"#),
                r#"unknown key "volume": there are initContainers, volumes and env"#,
            ),
            (
                with(r#""volumes":["hunter2"]"#),
                "volumes[0] is no object with a name",
            ),
        ] {
            assert_eq!(said, expected);
        }
        for variable in [
            r#"{"name":"A"}"#,
            r#"{"name":"A","value":17171}"#,
            r#"{"name":"A","value":"hunter2","valueFrom":{}}"#,
            r#"{"name":"A","valueFrom":"hunter2"}"#,
            r#"{"name":"A","value":"hunter2","vale":""}"#,
        ] {
            let said = with(&format!(r#""env":[{variable}]"#));
            assert!(said.starts_with(r#"env "A" needs"#), "{said}");
            assert!(
                !said.contains("hunter2") && !said.contains("17171"),
                "{said}"
            );
        }
        let torn = refusal(r#"{"initContainers":[{"name":"hunter2}]}"#);
        assert!(
            torn.starts_with("not JSON: ") && !torn.contains("hunter2"),
            "{torn}"
        );
    }
}
