//! Patches, applied by somebody else's implementation.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::json;
use serde_json::value::RawValue;

use super::*;
use crate::webhook::pod::Pod;

fn profile() -> Profile {
    let text = json!({
        "initContainers": [
            { "name": "s3seal-keys", "image": "s3seal:1", "args": ["a", "b"] },
            { "name": "s3seal", "image": "s3seal:1", "restartPolicy": "Always", "env": [],
              "volumeMounts": [{ "name": "s3seal-config", "mountPath": "/etc/s3seal" }] },
        ],
        "volumes": [{ "name": "s3seal-config", "configMap": { "name": "s3seal" } }],
        "env": [
            { "name": "AWS_ENDPOINT_URL_S3", "value": "http://127.0.0.1:9000" },
            { "name": "AWS_REGION", "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } } },
        ],
    });
    Profile::parse(text.to_string().as_bytes()).ok().unwrap()
}

/// What the pod gets: `None` if it lacks nothing.
fn try_inject(pod: &Value, profile: &Profile) -> Result<Option<Value>, Clash> {
    let text = RawValue::from_string(pod.to_string()).unwrap();
    let read = Pod::read(&text).unwrap();
    let annotations = read.metadata.annotations.as_ref().unwrap();
    let Some(patch) = patch(&read.spec().unwrap(), annotations, profile)? else {
        return Ok(None);
    };
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &patch).unwrap();
    Ok(Some(patched))
}

fn inject(pod: &Value) -> Value {
    try_inject(pod, &profile()).unwrap().unwrap()
}

fn pod(spec: &Value) -> Value {
    json!({ "metadata": { "annotations": { "s3seal.io/inject": "true" } }, "spec": spec })
}

/// What the API server does between two calls of a webhook, and other webhooks too.
fn meddled_with(mut pod: Value) -> Value {
    let spec = pod["spec"].as_object_mut().unwrap();
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).unwrap().as_array_mut().unwrap() {
            container["image"] = "mirror/s3seal:1".into();
            container["terminationMessagePolicy"] = "File".into();
            let container = container.as_object_mut().unwrap();
            // Empty lists are left out.
            container.retain(|_, value| *value != json!([]));
            let mounts = container.entry("volumeMounts").or_insert(json!([]));
            let token = json!({ "name": "kube-api-access", "mountPath": "/var/run/secrets" });
            mounts.as_array_mut().unwrap().insert(0, token);
        }
    }
    for volume in spec.get_mut("volumes").unwrap().as_array_mut().unwrap() {
        volume["configMap"]["defaultMode"] = 420.into();
    }
    pod
}

fn list(pod: &Value, name: &str) -> Vec<Value> {
    pod["spec"][name].as_array().cloned().unwrap_or_default()
}

/// A container as it was, given that variables are added to its end and to nothing else.
fn before(mut container: Value, original: &Value) -> Value {
    let set = original.get("env").and_then(Value::as_array);
    let names = |env: &[Value]| env.iter().map(|v| v["name"].clone()).collect::<Vec<_>>();
    let env = container["env"].as_array().unwrap().clone();
    let (old, new) = env.split_at(set.map_or(0, Vec::len));
    assert!(names(new).iter().all(|name| !names(old).contains(name)));
    for name in ["AWS_ENDPOINT_URL_S3", "AWS_REGION"] {
        assert!(names(&env).contains(&name.into()), "{name} is not set");
    }
    match original.get("env") {
        Some(Value::Array(_)) => container["env"] = old.into(),
        Some(_) => container["env"] = Value::Null,
        None => drop(container.as_object_mut().unwrap().remove("env")),
    }
    container
}

fn env() -> impl Strategy<Value = Option<Value>> {
    let name = prop_oneof!["[A-C]", Just("AWS_REGION".to_owned())];
    let variable = name.prop_map(|name| json!({ "name": name, "value": "own" }));
    let list = vec(variable, 0..4).prop_map(Value::from);
    option::of(prop_oneof![4 => list, 1 => Just(Value::Null)])
}

fn container() -> impl Strategy<Value = Value> {
    ("[a-d]{1,3}", env(), any::<bool>()).prop_map(|(name, env, is_busy)| {
        let mut container = json!({ "name": name, "image": "app:1" });
        if let Some(env) = env {
            container["env"] = env;
        }
        if is_busy {
            container["lifecycle"] = json!({ "preStop": { "sleep": { "seconds": 1.5 } } });
        }
        container
    })
}

fn volume() -> impl Strategy<Value = Value> {
    "[a-d]{1,3}".prop_map(|name| json!({ "name": name, "emptyDir": {} }))
}

prop_compose! {
    fn any_pod()(
        containers in vec(container(), 0..4),
        init in option::of(vec(container(), 0..4)),
        volumes in option::of(vec(volume(), 0..3)),
        status in option::of("[a-z]{0,8}"),
        nulls in any::<bool>(),
    ) -> Value {
        let mut spec = json!({ "containers": containers, "nodeName": "n" });
        for (name, list) in [("initContainers", init), ("volumes", volumes)] {
            match list {
                Some(list) => spec[name] = list.into(),
                None if nulls => spec[name] = Value::Null,
                None => {}
            }
        }
        let mut pod = pod(&spec);
        pod["metadata"]["annotations"]["a/b~c"] = "kept".into();
        if let Some(status) = status {
            pod["metadata"]["annotations"]["s3seal.io/status"] = status.into();
        }
        pod
    }
}

proptest! {
    #[test]
    fn a_patch_adds_the_sidecar_in_front_and_changes_nothing_else(pod in any_pod()) {
        let (profile, patched) = (profile(), inject(&pod));
        let contents = |items: &[Item]| items.iter().map(|i| i.content.clone()).collect::<Vec<_>>();

        let init = list(&patched, "initContainers");
        let (ours, apps) = init.split_at(2);
        prop_assert_eq!(ours, contents(&profile.init_containers));
        for (patched, original) in [
            (apps.to_vec(), list(&pod, "initContainers")),
            (list(&patched, "containers"), list(&pod, "containers")),
        ] {
            prop_assert_eq!(patched.len(), original.len());
            for (patched, original) in patched.into_iter().zip(original) {
                prop_assert_eq!(before(patched, &original), original);
            }
        }
        let mut volumes = list(&pod, "volumes");
        volumes.extend(contents(&profile.volumes));
        prop_assert_eq!(list(&patched, "volumes"), volumes);

        // Everything that is not a list of these.
        let rest = |mut pod: Value| {
            for name in ["initContainers", "containers", "volumes"] {
                pod["spec"].as_object_mut().unwrap().remove(name);
            }
            pod["metadata"]["annotations"]["s3seal.io/status"] = "injected".into();
            pod
        };
        prop_assert_eq!(rest(patched.clone()), rest(pod));
        prop_assert_eq!(&patched["metadata"]["annotations"]["s3seal.io/status"], "injected");
    }

    #[test]
    fn what_is_patched_lacks_nothing(pod in any_pod()) {
        let patched = inject(&pod);
        prop_assert_eq!(try_inject(&patched, &profile()).unwrap(), None);
        prop_assert_eq!(try_inject(&meddled_with(patched), &profile()).unwrap(), None);
    }
}

#[test]
fn what_others_added_since_gets_its_variables() {
    let mut patched = inject(&pod(&json!({ "containers": [{ "name": "app" }] })));
    let mesh = json!({ "name": "mesh", "env": [{ "name": "AWS_REGION", "value": "own" }] });
    patched["spec"]["initContainers"]
        .as_array_mut()
        .unwrap()
        .insert(0, mesh);
    let again = inject(&patched);
    let mesh = &again["spec"]["initContainers"][0];
    assert_eq!(mesh["name"], "mesh");
    assert_eq!(mesh["env"][0]["value"], "own");
    assert_eq!(mesh["env"][1]["name"], "AWS_ENDPOINT_URL_S3");
    patched["spec"]["initContainers"][0] = again["spec"]["initContainers"][0].clone();
    assert_eq!(again, patched, "nothing else");
}

#[test]
fn a_sidecar_that_somebody_wrote_into_the_pod_is_not_added_twice() {
    let by_hand = |image: &str, mount: &str| {
        let mut injected = inject(&pod(&json!({ "containers": [{ "name": "app" }] })));
        let annotations = injected["metadata"]["annotations"].as_object_mut();
        annotations.unwrap().remove("s3seal.io/status");
        let containers = injected["spec"]["initContainers"].as_array_mut().unwrap();
        containers[1]["image"] = image.into();
        containers[1]["volumeMounts"][0]["mountPath"] = mount.into();
        containers[1]["imagePullPolicy"] = "Always".into();
        containers[1].as_object_mut().unwrap().remove("env");
        injected["spec"]["volumes"][0]["configMap"]["defaultMode"] = 420.into();
        injected
    };
    let same = by_hand("s3seal:1", "/etc/s3seal");
    let mut marked = same.clone();
    marked["metadata"]["annotations"]["s3seal.io/status"] = "injected".into();
    assert_eq!(inject(&same), marked);
    for other in [
        by_hand("s3seal:0", "/etc/s3seal"),
        by_hand("s3seal:1", "/etc"),
    ] {
        let clash = try_inject(&other, &profile()).unwrap_err();
        assert_eq!(clash, Clash::Container("s3seal".to_owned()));
    }
}

/// Anybody can write that into a pod, and who copies one that runs does.
#[test]
fn a_pod_that_says_it_has_the_sidecar_is_not_believed() {
    let saying = |spec: &Value| {
        let mut pod = pod(spec);
        pod["metadata"]["annotations"]["s3seal.io/status"] = "injected".into();
        pod
    };
    let apps = json!([{ "name": "app" }]);
    let injected = inject(&pod(&json!({ "containers": apps })));
    let without = saying(&json!({ "containers": apps }));
    assert_eq!(inject(&without), injected);
    let changed = |change: fn(&mut Value)| {
        let mut pod = injected.clone();
        change(&mut pod["spec"]);
        try_inject(&pod, &profile())
    };
    for change in [
        |spec: &mut Value| spec["initContainers"][1] = json!({ "name": "s3seal" }),
        |spec: &mut Value| spec["initContainers"][1]["image"] = "pause:1".into(),
        |spec: &mut Value| spec["initContainers"][1]["image"] = json!(null),
        |spec: &mut Value| spec["initContainers"][1]["restartPolicy"] = json!(null),
        |spec: &mut Value| spec["initContainers"][1]["command"] = json!(["sleep", "9d"]),
        |spec: &mut Value| spec["initContainers"][1]["volumeMounts"] = json!([]),
        // Variables override the configuration.
        |spec: &mut Value| {
            let rules = json!([{ "name": "S3SEAL_RULES", "value": "[]" }]);
            spec["initContainers"][1]["env"] = rules;
        },
        |spec: &mut Value| {
            let all = json!([{ "secretRef": { "name": "of-the-pod" } }]);
            spec["initContainers"][1]["envFrom"] = all;
        },
    ] {
        assert_eq!(changed(change), Err(Clash::Container("s3seal".to_owned())));
    }
    let args = |spec: &mut Value| spec["initContainers"][0]["args"] = json!(["a"]);
    let clash = Clash::Container("s3seal-keys".to_owned());
    assert_eq!(changed(args), Err(clash));
    let volume = |spec: &mut Value| {
        spec["volumes"][0] = json!({ "name": "s3seal-config", "emptyDir": {} });
    };
    let clash = Clash::Volume("s3seal-config".to_owned());
    assert_eq!(changed(volume), Err(clash));
    // What others do to the images and limits of all containers.
    for image in [
        "mirror:5000/x/s3seal:1",
        "mirror/s3seal@sha256:00",
        "s3seal:1@sha256:00",
    ] {
        let mut pod = injected.clone();
        let sidecar = &mut pod["spec"]["initContainers"][1];
        sidecar["image"] = image.into();
        sidecar["resources"] = json!({ "limits": { "memory": "1Gi" } });
        assert_eq!(try_inject(&pod, &profile()), Ok(None), "{image}");
    }
}

#[test]
fn clashes_are_refused() {
    let apps = json!([{ "name": "app" }]);
    let refused = |spec: Value| try_inject(&pod(&spec), &profile()).unwrap_err();
    for (spec, clash) in [
        (
            json!({ "containers": apps, "hostNetwork": true }),
            Clash::HostNetwork,
        ),
        (
            json!({ "containers": [{ "name": "app" }, { "name": "s3seal" }] }),
            Clash::Container("s3seal".to_owned()),
        ),
        (
            json!({ "containers": apps, "initContainers": [{ "name": "s3seal-keys" }] }),
            Clash::Container("s3seal-keys".to_owned()),
        ),
        (
            json!({ "containers": apps, "volumes": [{ "name": "s3seal-config", "emptyDir": {} }] }),
            Clash::Volume("s3seal-config".to_owned()),
        ),
    ] {
        assert_eq!(refused(spec), clash);
    }
    let free = json!({ "containers": apps, "hostNetwork": false });
    assert!(try_inject(&pod(&free), &profile()).is_ok());
}

#[test]
fn a_patch_that_no_pod_could_take_is_not_made() {
    let text = json!({
        "initContainers": [{ "name": "s3seal" }],
        "env": [{ "name": "A", "value": "x".repeat(1 << 19) }],
    });
    let profile = Profile::parse(text.to_string().as_bytes()).ok().unwrap();
    let with = |count: usize| {
        let apps: Vec<_> = (0..count)
            .map(|n| json!({ "name": n.to_string() }))
            .collect();
        try_inject(&pod(&json!({ "containers": apps })), &profile)
    };
    assert!(with(5).is_ok());
    assert_eq!(with(6).unwrap_err(), Clash::TooLarge);
    assert_eq!(with(10_000).unwrap_err(), Clash::TooLarge);
}

/// Comparing takes memory: a container that is larger than any of ours is not one.
#[test]
fn only_containers_of_a_sensible_size_are_compared() {
    let mut sidecar = profile().init_containers[0].content.clone();
    sidecar["padding"] = "x".repeat(MAX_COMPARED).into();
    let spec = json!({ "containers": [], "initContainers": [sidecar] });
    let clash = try_inject(&pod(&spec), &profile()).unwrap_err();
    assert_eq!(clash, Clash::Container("s3seal-keys".to_owned()));
}
