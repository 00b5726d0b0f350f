//! Decisions and their answers.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::webhook::profile::Profile;

fn profiles() -> Profiles {
    let profile = |name: &str| {
        let text = json!({ "initContainers": [{ "name": name }] }).to_string();
        Profile::parse(text.as_bytes()).ok().unwrap()
    };
    let named = ["default", "team-b"].map(|name| (name.to_owned(), profile(name)));
    Profiles::new(BTreeMap::from(named))
}

/// A review of a pod that is created, with these annotations.
fn review(annotations: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "namespace": "ns",
            "operation": "CREATE",
            "object": {
                "metadata": { "generateName": "app-7d9f-", "annotations": annotations },
                "spec": { "containers": [{ "name": "app" }] },
            },
        },
    })
}

fn asking(profile: &str) -> Value {
    review(&json!({ "s3seal.io/inject": profile }))
}

/// The same with another value somewhere; `null` for none.
fn with(pointer: &str, value: Value) -> Value {
    let mut review = asking("true");
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = review.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    parent.insert(key.to_owned(), value);
    parent.retain(|_, value| !value.is_null());
    review
}

fn try_decide(review: &Value) -> Result<Decision, String> {
    decide(review.to_string().as_bytes(), &profiles()).map_err(|error| error.to_string())
}

fn decided(review: &Value) -> (Decision, Value) {
    let decision = try_decide(review).ok().unwrap();
    let answer = serde_json::from_slice(&decision.answer()).unwrap();
    (decision, answer)
}

fn outcome(review: &Value) -> &'static str {
    decided(review).0.outcome.name()
}

#[test]
fn a_pod_gets_the_profile_that_it_asks_for() {
    for (asked, profile) in [
        ("true", "default"),
        ("default", "default"),
        ("team-b", "team-b"),
    ] {
        let (decision, answer) = decided(&asking(asked));
        assert_eq!(decision.profile.as_deref(), Some(profile));
        assert_eq!(
            (decision.namespace.as_str(), decision.name.as_str()),
            ("ns", "app-7d9f-")
        );
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(answer["kind"], "AdmissionReview");
        let response = &answer["response"];
        assert_eq!(response["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
        assert_eq!(response["allowed"], true);
        assert_eq!(response["patchType"], "JSONPatch");
        let patch = BASE64.decode(response["patch"].as_str().unwrap().as_bytes());
        let patch: Value = serde_json::from_slice(&patch.unwrap()).unwrap();
        assert_eq!(patch[0]["value"][0]["name"], profile);
        assert_eq!(patch[1]["path"], "/metadata/annotations/s3seal.io~1status");
    }
}

#[test]
fn who_does_not_ask_is_left_alone() {
    for annotations in [
        json!({ "s3seal.io/inject": "false" }),
        json!({ "s3seal.io/injects": "true" }),
        json!({}),
        Value::Null,
    ] {
        let (decision, answer) = decided(&review(&annotations));
        assert_eq!(decision.outcome.name(), "not-asked");
        let uid = "705ab4f5-6393-11e8-b7cc-42010a800002";
        assert_eq!(answer["response"], json!({ "uid": uid, "allowed": true }));
    }
    // Whatever else it is.
    let strange = json!({ "containers": "none" });
    let mut review = review(&json!({}));
    review["request"]["object"]["spec"] = strange;
    assert_eq!(outcome(&review), "not-asked");
}

#[test]
fn only_pods_that_are_created_are_looked_at() {
    let deployment = json!({ "group": "apps", "version": "v1", "kind": "Deployment" });
    let other_pod = json!({ "group": "example.org", "version": "v1", "kind": "Pod" });
    for (pointer, value) in [
        ("/request/kind", deployment),
        ("/request/kind", other_pod),
        ("/request/operation", json!("UPDATE")),
        ("/request/operation", json!("DELETE")),
        ("/request/subResource", json!("ephemeralcontainers")),
    ] {
        assert_eq!(outcome(&with(pointer, value)), "not-pod", "{pointer}");
    }
    for (pointer, value) in [
        ("/request/subResource", json!("")),
        ("/request/kind/group", Value::Null),
        ("/request/dryRun", json!(true)),
    ] {
        assert_eq!(outcome(&with(pointer, value)), "injected", "{pointer}");
    }
    let mut bare = with("/request/operation", json!("DELETE"));
    bare["request"]["object"] = Value::Null;
    assert_eq!(outcome(&bare), "not-pod");
}

#[test]
fn a_profile_that_is_not_there_is_refused() {
    for asked in ["", "TRUE", "no", "../default", &"x".repeat(70_000)] {
        let (decision, answer) = decided(&asking(asked));
        let response = &answer["response"];
        assert_eq!(response["allowed"], false);
        assert_eq!(response["status"]["code"], 400);
        assert!(response.get("patch").is_none());
        let shown: String = asked.chars().take(253).collect();
        assert_eq!(
            response["status"]["message"],
            format!(
                "s3seal: there is no profile {shown:?} (annotation s3seal.io/inject); there are: default, team-b"
            )
        );
        assert_eq!(decision.profile, Some(shown));
    }
}

#[test]
fn a_pod_in_its_nodes_network_is_refused_in_words() {
    let (_, answer) = decided(&with("/request/object/spec/hostNetwork", json!(true)));
    let message = answer["response"]["status"]["message"].as_str().unwrap();
    assert!(
        message.contains("hostNetwork") && message.contains("127.0.0.1"),
        "{message}"
    );
    assert_eq!(answer["response"]["allowed"], false);
}

#[test]
fn names_are_those_of_the_request_or_the_pod() {
    let name = |review: &Value| decided(review).0.name;
    assert_eq!(name(&with("/request/name", json!("a"))), "a");
    assert_eq!(name(&with("/request/name", json!(""))), "app-7d9f-");
    assert_eq!(
        name(&with("/request/object/metadata/name", json!("b"))),
        "b"
    );
    let long = with("/request/name", json!("x".repeat(100_000)));
    assert_eq!(name(&long).len(), 253);
}

fn refusal(pointer: &str, value: Value) -> String {
    try_decide(&with(pointer, value)).err().unwrap()
}

#[test]
fn what_is_no_review_is_said_to_be_none() {
    const OTHER: &str = "not an AdmissionReview of admission.k8s.io/v1";
    const UID: &str = "request.uid is missing or longer than 256 bytes";
    for (pointer, value, said) in [
        ("/apiVersion", json!("admission.k8s.io/v1beta1"), OTHER),
        ("/apiVersion", Value::Null, OTHER),
        ("/kind", json!("Pod"), OTHER),
        ("/request", Value::Null, "request is missing"),
        ("/request/uid", Value::Null, UID),
        ("/request/uid", json!("x".repeat(257)), UID),
        ("/request/object", Value::Null, "request.object is missing"),
    ] {
        assert_eq!(refusal(pointer, value), said, "{pointer}");
    }
    for text in [
        "",
        "{",
        "[]",
        "hunter2",
        "{\"kind\":{\"hunter2\":1}}",
        &"[".repeat(100_000),
    ] {
        let error = decide(text.as_bytes(), &profiles());
        let error = error.err().unwrap().to_string();
        assert!(error.starts_with("not "), "{error}");
        assert!(error.len() < 100 && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn what_is_no_pod_is_said_without_quoting_it() {
    let numbered = json!([{ "name": "a" }, { "name": 17171 }]);
    let textual = json!([{ "name": "a", "env": "hunter2" }]);
    for (pointer, value, part) in [
        ("", json!("hunter2"), "metadata"),
        (
            "/metadata/annotations",
            json!({ "s3seal.io/inject": true }),
            "metadata",
        ),
        ("/spec", Value::Null, "spec"),
        ("/spec/containers", json!({}), "spec"),
        ("/spec/hostNetwork", json!("hunter2"), "spec"),
        ("/spec/containers", numbered, "spec.containers[1]"),
        ("/spec/initContainers", textual, "spec.initContainers[0]"),
        ("/spec/volumes", json!([{}]), "spec.volumes[0]"),
    ] {
        assert_eq!(
            refusal(&format!("/request/object{pointer}"), value),
            format!("request.object: {part} of the pod is not what it has to be")
        );
    }
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic(text in ".{0,200}", at in 0_usize..600, byte: u8) {
        let _ = decide(text.as_bytes(), &profiles());
        let mut review = asking("true").to_string().into_bytes();
        if let Some(hit) = review.get_mut(at) {
            *hit = byte;
        }
        let _ = decide(&review, &profiles());
    }
}
