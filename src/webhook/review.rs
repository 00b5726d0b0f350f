//! Reads an `AdmissionReview`, decides, and writes the answer. Pure.

use std::borrow::Cow;

use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use thiserror::Error;

use super::patch::{Clash, patch};
use super::pod::{Annotations, Misshapen, Pod};
use super::profile::Profiles;

/// Why a body is no review that can be answered: the sender's fault.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The fields that tell what it is are not there, or not of their types.
    #[error("not an AdmissionReview: see line {line}, column {column}")]
    Fields {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// Not JSON. What serde says of the syntax quotes nothing.
    #[error("not JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// A pod is created, and not there.
    #[error("request.object is missing")]
    NoObject,
    /// There is nothing to answer.
    #[error("request is missing")]
    NoRequest,
    /// Something else, or another version of it.
    #[error("not an AdmissionReview of admission.k8s.io/v1")]
    NotReview,
    /// A pod that is none.
    #[error("request.object: {0}")]
    Pod(#[from] Misshapen),
    /// The answer could not be told from others.
    #[error("request.uid is missing or longer than {MAX_UID} bytes")]
    Uid,
}

/// What was decided about a request, and about which.
pub struct Decision {
    uid: String,
    /// Of the pod.
    pub namespace: String,
    /// Of the pod, or the beginning of it where the API server is still to choose the rest.
    pub name: String,
    /// The profile that the pod asks for, if it does.
    pub profile: Option<String>,
    /// What was decided.
    pub outcome: Outcome,
}

/// What was decided.
pub enum Outcome {
    /// It has everything that it asks for.
    Complete,
    /// It gets what it lacks: the text of a JSON Patch.
    Injected(Vec<u8>),
    /// It does not ask.
    NotAsked,
    /// Not a pod that is being created.
    NotPod,
    /// It asks for what it cannot have.
    Refused(Refusal),
}

/// Why a pod is refused: without what it asks for it would store plaintext, or find nobody to store.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The pod itself is in the way.
    #[error("s3seal: {0}")]
    Clash(#[from] Clash),
    /// There is no such profile.
    #[error("s3seal: there is no profile {asked:?} (annotation {INJECT}); there are: {there}")]
    Unknown {
        /// What the pod asks for, cut to a readable length.
        asked: String,
        /// The names of the profiles.
        there: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    #[serde(borrow)]
    api_version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    request: Option<Request<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    kind: Resource<'a>,
    #[serde(borrow)]
    sub_resource: Option<Cow<'a, str>>,
    #[serde(borrow)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    operation: Cow<'a, str>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow, default)]
    group: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

/// Decides about the request in a review.
pub fn decide(body: &[u8], profiles: &Profiles) -> Result<Decision, Malformed> {
    let review: Review<'_> = serde_json::from_slice(body).map_err(Malformed::from)?;
    if review.api_version.as_deref() != Some(API_VERSION) || review.kind.as_deref() != Some(KIND) {
        return Err(Malformed::NotReview);
    }
    let request = review.request.ok_or(Malformed::NoRequest)?;
    if request.uid.is_empty() || request.uid.len() > MAX_UID {
        return Err(Malformed::Uid);
    }
    let mut decision = Decision {
        uid: request.uid.clone().into_owned(),
        namespace: shortened(request.namespace.as_deref().unwrap_or_default()),
        name: shortened(request.name.as_deref().unwrap_or_default()),
        profile: None,
        outcome: Outcome::NotPod,
    };
    if request.is_new_pod() {
        let pod = Pod::read(request.object.ok_or(Malformed::NoObject)?)?;
        if decision.name.is_empty() {
            let metadata = &pod.metadata;
            let name = metadata.name.as_deref().filter(|name| !name.is_empty());
            let name = name.or(metadata.generate_name.as_deref());
            decision.name = shortened(name.unwrap_or_default());
        }
        (decision.profile, decision.outcome) = decide_pod(&pod, profiles)?;
    }
    Ok(decision)
}

fn decide_pod(pod: &Pod<'_>, profiles: &Profiles) -> Result<(Option<String>, Outcome), Misshapen> {
    let none = Annotations::default();
    let annotations = pod.metadata.annotations.as_ref().unwrap_or(&none);
    let asked = match annotations.inject.as_deref() {
        None | Some("false") => return Ok((None, Outcome::NotAsked)),
        Some("true") => "default",
        Some(name) => name,
    };
    let outcome = if let Some(profile) = profiles.named(asked) {
        match patch(&pod.spec()?, annotations, profile) {
            Ok(Some(patch)) => Outcome::Injected(patch),
            Ok(None) => Outcome::Complete,
            Err(clash) => Outcome::Refused(clash.into()),
        }
    } else {
        Outcome::Refused(Refusal::Unknown {
            asked: shortened(asked),
            there: profiles.names(),
        })
    };
    Ok((Some(shortened(asked)), outcome))
}

impl Request<'_> {
    /// Ephemeral containers, bindings and evictions are subresources of a pod.
    fn is_new_pod(&self) -> bool {
        let Resource {
            group,
            version,
            kind,
        } = &self.kind;
        group.is_empty()
            && version == "v1"
            && kind == "Pod"
            && self.sub_resource.as_deref().unwrap_or_default().is_empty()
            && self.operation == "CREATE"
    }
}

impl Decision {
    /// The `AdmissionReview` that answers the request.
    pub fn answer(&self) -> Vec<u8> {
        let uid = &self.uid;
        let response = match &self.outcome {
            Outcome::Complete | Outcome::NotAsked | Outcome::NotPod => {
                json!({ "uid": uid, "allowed": true })
            }
            Outcome::Injected(patch) => {
                let patch = BASE64.encode(patch);
                json!({ "uid": uid, "allowed": true, "patchType": "JSONPatch", "patch": patch })
            }
            Outcome::Refused(reason) => {
                let message = reason.to_string();
                let status = json!({ "code": 400, "reason": "BadRequest", "message": message });
                json!({ "uid": uid, "allowed": false, "status": status })
            }
        };
        let review = json!({ "apiVersion": API_VERSION, "kind": KIND, "response": response });
        review.to_string().into_bytes()
    }
}

impl Outcome {
    /// For the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Injected(_) => "injected",
            Self::NotAsked => "not-asked",
            Self::NotPod => "not-pod",
            Self::Refused(_) => "refused",
        }
    }
}

impl From<serde_json::Error> for Malformed {
    fn from(error: serde_json::Error) -> Self {
        // What it says of data quotes them.
        if error.is_data() {
            let (line, column) = (error.line(), error.column());
            Self::Fields { line, column }
        } else {
            Self::Json(error)
        }
    }
}

/// A name as far as names of Kubernetes go: what the log and an answer show of others' texts.
fn shortened(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

/// The annotation that a pod asks by: `"NAME"` of a profile, `"true"` for the one named `default`.
const INJECT: &str = "s3seal.io/inject";
const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";
/// In bytes. The API server sends a UUID.
const MAX_UID: usize = 256;
/// In characters: a DNS subdomain.
const MAX_NAME: usize = 253;

#[cfg(test)]
mod tests;
