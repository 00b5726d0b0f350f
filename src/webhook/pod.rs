//! What matters of a pod, read without building the rest of it. Pure.
//!
//! A pod comes from outside and may be as large as a review: what is not looked at stays text.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A pod as the API server sends it.
#[derive(Deserialize)]
pub(super) struct Pod<'a> {
    #[serde(borrow, default)]
    pub(super) metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
}

/// Who it is, and what it asks for.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Cow<'a, str>>,
    /// The beginning of a name that the API server is still to end.
    #[serde(borrow)]
    pub(super) generate_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) annotations: Option<Annotations<'a>>,
}

/// The two annotations that are ours.
#[derive(Default, Deserialize)]
pub(super) struct Annotations<'a> {
    #[serde(borrow, rename = "s3seal.io/inject")]
    pub(super) inject: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "s3seal.io/status")]
    pub(super) status: Option<Cow<'a, str>>,
}

/// The lists that a patch adds to. A list that is `null` is one that is absent.
#[derive(Default)]
pub(super) struct Spec<'a> {
    pub(super) is_in_host_network: bool,
    pub(super) init_containers: Option<Vec<Container<'a>>>,
    pub(super) containers: Vec<Container<'a>>,
    pub(super) volumes: Option<Vec<Volume<'a>>>,
}

pub(super) struct Container<'a> {
    pub(super) name: Cow<'a, str>,
    /// The names of its variables.
    pub(super) env: Option<Vec<Cow<'a, str>>>,
    pub(super) text: &'a str,
}

pub(super) struct Volume<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) text: &'a str,
}

/// A part of a pod that is not what Kubernetes has there. Names the part and quotes nothing of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} of the pod is not what it has to be")]
pub struct Misshapen(String);

impl<'a> Pod<'a> {
    /// Reads a pod up to its `spec`.
    pub(super) fn read(text: &'a RawValue) -> Result<Self, Misshapen> {
        read(text, || "metadata".to_owned())
    }

    /// Reads the rest.
    pub(super) fn spec(&self) -> Result<Spec<'a>, Misshapen> {
        let text = self.spec.ok_or_else(|| Misshapen("spec".to_owned()))?;
        let lists: Lists<'a> = read(text, || "spec".to_owned())?;
        let containers = |list: Vec<&'a RawValue>, name| read_all(&list, name, Container::read);
        Ok(Spec {
            is_in_host_network: lists.host_network.unwrap_or(false),
            init_containers: lists
                .init_containers
                .map(|list| containers(list, "spec.initContainers"))
                .transpose()?,
            containers: containers(lists.containers, "spec.containers")?,
            volumes: lists
                .volumes
                .map(|list| read_all(&list, "spec.volumes", Volume::read))
                .transpose()?,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lists<'a> {
    host_network: Option<bool>,
    #[serde(borrow)]
    init_containers: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    containers: Vec<&'a RawValue>,
    #[serde(borrow)]
    volumes: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    env: Option<Vec<Name<'a>>>,
}

#[derive(Deserialize)]
struct Name<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

impl<'a> Container<'a> {
    fn read(text: &'a RawValue) -> serde_json::Result<Self> {
        let Named { name, env } = serde_json::from_str(text.get())?;
        let env = env.map(|list| list.into_iter().map(|variable| variable.name).collect());
        let text = text.get();
        Ok(Self { name, env, text })
    }
}

impl<'a> Volume<'a> {
    fn read(text: &'a RawValue) -> serde_json::Result<Self> {
        let Name { name } = serde_json::from_str(text.get())?;
        let text = text.get();
        Ok(Self { name, text })
    }
}

fn read<'a, T: Deserialize<'a>>(
    text: &'a RawValue,
    part: impl FnOnce() -> String,
) -> Result<T, Misshapen> {
    serde_json::from_str(text.get()).map_err(|_| Misshapen(part()))
}

fn read_all<'a, T>(
    list: &[&'a RawValue],
    name: &str,
    read: impl Fn(&'a RawValue) -> serde_json::Result<T>,
) -> Result<Vec<T>, Misshapen> {
    let entries = list.iter().enumerate();
    entries
        .map(|(at, text)| read(text).map_err(|_| Misshapen(format!("{name}[{at}]"))))
        .collect()
}
