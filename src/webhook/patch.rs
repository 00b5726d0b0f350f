//! What a pod lacks of a profile, as a JSON Patch (RFC 6902). Pure.

use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use super::pod::{Annotations, Container, Spec};
use super::profile::{Item, Profile};

/// Why a pod cannot have what it asks for: whoever made the pod has to change it.
#[derive(Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Clash {
    /// Another container has the name.
    #[error(
        "the pod has a container named {0:?} already, which is not the one that s3seal would add"
    )]
    Container(String),
    /// The address that the variables name would be the node's.
    #[error(
        "a pod in its node's network (hostNetwork: true) cannot have the s3seal sidecar: \
         127.0.0.1 would be the node's, for every process and every such pod on it"
    )]
    HostNetwork,
    /// So many containers, or so large a profile, that no pod of that size could be stored.
    #[error("the pod would grow by more than {} MiB", MAX_PATCH >> 20)]
    TooLarge,
    /// Another volume has the name.
    #[error("the pod has a volume named {0:?} already, which is not the one that s3seal would add")]
    Volume(String),
}

/// The text of the JSON Patch that gives a pod what it lacks of a profile. `None` if it lacks nothing.
///
/// The profile's containers come first of the init containers: each of those waits for the ones
/// before it. Asked again, about the patched pod and whatever others changed in it, this adds what
/// is missing by then and nothing twice.
pub(super) fn patch(
    spec: &Spec<'_>,
    annotations: &Annotations<'_>,
    profile: &Profile,
) -> Result<Option<Vec<u8>>, Clash> {
    if spec.is_in_host_network {
        return Err(Clash::HostNetwork);
    }
    // Anybody can write it into a pod: it excuses what others do to a container, and is no proof of one.
    let is_marked = annotations.status.as_deref() == Some(INJECTED);
    let containers = missing_containers(spec, profile, is_marked)?;
    let volumes = missing_volumes(spec, profile)?;

    let mut patch = Patch::default();
    // Before the init containers change places.
    patch.add_env("/spec/containers", &spec.containers, profile)?;
    if let Some(list) = &spec.init_containers {
        patch.add_env("/spec/initContainers", list, profile)?;
    }
    match &spec.init_containers {
        Some(_) => {
            for (index, item) in containers.iter().enumerate() {
                patch.add(&format!("/spec/initContainers/{index}"), &item.content)?;
            }
        }
        None => patch.add_list("/spec/initContainers", &containers)?,
    }
    match &spec.volumes {
        Some(_) => patch.append("/spec/volumes", &volumes)?,
        None => patch.add_list("/spec/volumes", &volumes)?,
    }
    if !is_marked {
        // The annotations are there: the pod asks by one.
        patch.add(STATUS_PATH, &INJECTED)?;
    }
    Ok(patch.finish())
}

fn missing_containers<'p>(
    spec: &Spec<'_>,
    profile: &'p Profile,
    is_marked: bool,
) -> Result<Vec<&'p Item>, Clash> {
    let mut apps = spec.containers.iter();
    if let Some(app) = apps.find(|app| profile.has_container(&app.name)) {
        return Err(Clash::Container(app.name.clone().into_owned()));
    }
    let there = spec.init_containers.as_deref().unwrap_or_default();
    let text = |name: &str| Some(there.iter().find(|container| container.name == name)?.text);
    let is_ours = |text: &str, wanted: &Value| {
        parsed(text).is_some_and(|mut there| {
            if is_marked {
                undo_changes(&mut there, wanted);
            }
            contains(Some(&there), wanted) && runs_the_same(&there, wanted)
        })
    };
    missing(&profile.init_containers, text, is_ours).map_err(Clash::Container)
}

fn missing_volumes<'p>(spec: &Spec<'_>, profile: &'p Profile) -> Result<Vec<&'p Item>, Clash> {
    let there = spec.volumes.as_deref().unwrap_or_default();
    let text = |name: &str| Some(there.iter().find(|volume| volume.name == name)?.text);
    let is_ours = |text: &str, wanted: &Value| {
        parsed(text).is_some_and(|there| contains(Some(&there), wanted))
    };
    missing(&profile.volumes, text, is_ours).map_err(Clash::Volume)
}

/// The items that the pod has no text for. The error is a name that something else has.
fn missing<'p, 'a>(
    wanted: &'p [Item],
    text: impl Fn(&str) -> Option<&'a str>,
    is_ours: impl Fn(&str, &Value) -> bool,
) -> Result<Vec<&'p Item>, String> {
    let mut missing = Vec::new();
    for item in wanted {
        match text(&item.name) {
            None => missing.push(item),
            Some(text) if is_ours(text, &item.content) => {}
            Some(_) => return Err(item.name.clone()),
        }
    }
    Ok(missing)
}

fn parsed(text: &str) -> Option<Value> {
    let is_small = text.len() <= MAX_COMPARED;
    is_small.then(|| serde_json::from_str(text).ok()).flatten()
}

/// Takes back what other webhooks do to every container between two calls of this one: limits, and
/// the same image from somewhere else.
fn undo_changes(there: &mut Value, wanted: &Value) {
    let Value::Object(there) = there else { return };
    let image = |value: Option<&Value>| Some(image_name(value?.as_str()?).to_owned());
    let is_same_image = image(there.get("image")) == image(wanted.get("image"));
    for (key, is_excused) in [
        ("image", is_same_image),
        ("imagePullPolicy", true),
        ("resources", true),
    ] {
        if let (true, Some(wanted)) = (is_excused, wanted.get(key)) {
            there.insert(key.to_owned(), wanted.clone());
        }
    }
}

/// `name` of `registry:5000/path/name:tag@digest`.
fn image_name(image: &str) -> &str {
    let name = image.rsplit('/').next().unwrap_or_default();
    name.split([':', '@']).next().unwrap_or_default()
}

/// What is added to it makes another program of a container here, as does a variable that overrides
/// the configuration. Nobody does that in passing.
fn runs_the_same(there: &Value, wanted: &Value) -> bool {
    let are_equal = ["command", "args", "envFrom"].into_iter().all(|key| {
        let (there, wanted) = (there.get(key), wanted.get(key));
        there == wanted || [there, wanted].into_iter().flatten().all(is_nothing)
    });
    are_equal && overrides(there).eq(overrides(wanted))
}

/// The variables that s3seal takes for its configuration.
fn overrides(container: &Value) -> impl Iterator<Item = &Value> {
    let variables = container.get("env").and_then(Value::as_array);
    variables.into_iter().flatten().filter(|variable| {
        let name = variable.get("name").and_then(Value::as_str);
        name.is_some_and(|name| name.starts_with("S3SEAL_"))
    })
}

/// Whether what a pod has is what would be added, up to what the API server adds or leaves out.
fn contains(there: Option<&Value>, wanted: &Value) -> bool {
    match (there, wanted) {
        (None, wanted) => is_nothing(wanted),
        (Some(Value::Object(there)), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| contains(there.get(key), wanted)),
        (Some(Value::Array(there)), Value::Array(wanted)) => {
            // In the same order, with anything between: mounts are added to every container.
            let mut there = there.iter();
            wanted
                .iter()
                .all(|wanted| there.any(|there| contains(Some(there), wanted)))
        }
        (Some(there), wanted) => there == wanted,
    }
}

/// What the API server leaves out where it may.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.values().all(is_nothing),
    }
}

/// The text of a patch that is being written; operations apply one after the other.
#[derive(Default)]
struct Patch(Vec<u8>);

#[derive(Serialize)]
struct Add<'a, V> {
    op: &'static str,
    path: &'a str,
    value: &'a V,
}

impl Patch {
    fn add<V: Serialize>(&mut self, path: &str, value: &V) -> Result<(), Clash> {
        self.0.push(if self.0.is_empty() { b'[' } else { b',' });
        let operation = Add {
            op: "add",
            path,
            value,
        };
        // JSON values can be written, and memory takes all.
        serde_json::to_writer(&mut self.0, &operation).map_err(|_| Clash::TooLarge)?;
        if self.0.len() > MAX_PATCH {
            return Err(Clash::TooLarge);
        }
        Ok(())
    }

    /// Adds a list that is not there, unless it would be empty.
    fn add_list(&mut self, path: &str, items: &[&Item]) -> Result<(), Clash> {
        if items.is_empty() {
            return Ok(());
        }
        let contents: Vec<_> = items.iter().map(|item| &item.content).collect();
        self.add(path, &contents)
    }

    /// Adds to the end of a list that is there.
    fn append(&mut self, path: &str, items: &[&Item]) -> Result<(), Clash> {
        let end = format!("{path}/-");
        items
            .iter()
            .try_for_each(|item| self.add(&end, &item.content))
    }

    /// Gives containers the variables that they do not set; never those of the profile.
    fn add_env(
        &mut self,
        path: &str,
        containers: &[Container<'_>],
        profile: &Profile,
    ) -> Result<(), Clash> {
        for (index, container) in containers.iter().enumerate() {
            if profile.has_container(&container.name) {
                continue;
            }
            let path = format!("{path}/{index}/env");
            let is_unset = |item: &&Item| {
                let mut set = container.env.iter().flatten();
                !set.any(|name| *name == item.name)
            };
            let unset: Vec<_> = profile.env.iter().filter(is_unset).collect();
            match &container.env {
                Some(_) => self.append(&path, &unset)?,
                None => self.add_list(&path, &unset)?,
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return None;
        }
        self.0.push(b']');
        Some(self.0)
    }
}

/// What a pod is told that has everything.
const INJECTED: &str = "injected";
/// `/` in a key is `~1` in a JSON Pointer (RFC 6901).
const STATUS_PATH: &str = "/metadata/annotations/s3seal.io~1status";
/// The largest container or volume that is compared, in bytes: as a tree it takes thirty times that.
const MAX_COMPARED: usize = 256 * 1024;
/// The largest patch, in bytes: twice what etcd stores of an object by default.
const MAX_PATCH: usize = 3 << 20;

#[cfg(test)]
mod tests;
