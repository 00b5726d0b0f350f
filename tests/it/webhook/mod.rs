//! The admission webhook as an API server meets it: the program, over TLS, with whole reviews.

mod server;

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::server::{Authority, Caller, Certified, Webhook, command, output};
use crate::commands::{code, text};

/// What the API server sends for a pod that a Deployment's controller creates.
const DEPLOYMENT_POD: &str = include_str!("deployment_pod.json");
/// The same for `kubectl run --dry-run=server`.
const BARE_POD: &str = include_str!("bare_pod.json");

/// A profile whose sidecar has this image.
fn profile(image: &str) -> String {
    json!({
        "initContainers": [{
            "name": "s3seal",
            "image": image,
            "args": ["serve", "--config", "/etc/s3seal/s3seal.toml"],
            "restartPolicy": "Always",
            "startupProbe": { "httpGet": { "path": "/readyz", "port": 9001 } },
            "volumeMounts": [{ "name": "s3seal-config", "mountPath": "/etc/s3seal", "readOnly": true }],
        }],
        "volumes": [{ "name": "s3seal-config", "secret": { "secretName": "s3seal" } }],
        "env": [
            { "name": "AWS_ENDPOINT_URL_S3", "value": "http://127.0.0.1:9000" },
            { "name": "AWS_SECRET_ACCESS_KEY", "value": "secret-of-the-template" },
        ],
    })
    .to_string()
}

fn start() -> Webhook {
    Webhook::start(&[
        ("default.json", &profile("s3seal:1")),
        ("batch.json", &profile("s3seal:2")),
    ])
}

fn parse(review: &str) -> Value {
    serde_json::from_str(review).unwrap()
}

/// The pod of a review after the answer, as the API server makes it.
fn patched(review: &Value, response: &Value) -> Value {
    assert_eq!(response["allowed"], true, "{response}");
    assert_eq!(response["patchType"], "JSONPatch", "{response}");
    let patch = BASE64.decode(response["patch"].as_str().unwrap().as_bytes());
    let patch: json_patch::Patch = serde_json::from_slice(&patch.unwrap()).unwrap();
    let mut pod = review["request"]["object"].clone();
    json_patch::patch(&mut pod, &patch).unwrap();
    pod
}

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap();
    list.iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_deployments_pod_gets_the_sidecar_in_front() {
    let webhook = start();
    let mut caller = webhook.connect().await;
    let mut review = parse(DEPLOYMENT_POD);
    let original = review["request"]["object"].clone();
    let response = caller.review(&review).await;
    let mut pod = patched(&review, &response);
    let spec = &pod["spec"];
    assert_eq!(
        names(&spec["initContainers"]),
        ["s3seal", "fetch-catalogue", "migrate"]
    );
    assert_eq!(
        names(&spec["volumes"]),
        [
            "scratch",
            "settings",
            "kube-api-access-x7kq2",
            "s3seal-config"
        ]
    );
    assert!(spec["initContainers"][0].get("env").is_none());
    let both = ["AWS_ENDPOINT_URL_S3", "AWS_SECRET_ACCESS_KEY"];
    assert_eq!(names(&spec["initContainers"][1]["env"]), both);
    assert_eq!(names(&spec["initContainers"][2]["env"])[1..], both);
    assert_eq!(names(&spec["containers"][0]["env"])[2..], both);
    assert_eq!(
        spec["containers"][1]["env"][0]["value"],
        "https://elsewhere.example"
    );
    assert_eq!(names(&spec["containers"][1]["env"]), both);
    assert_eq!(
        pod["metadata"]["annotations"]["s3seal.io/status"],
        "injected"
    );

    // Asked again, as where the policy says IfNeeded: over the same connection.
    review["request"]["object"] = pod.clone();
    let again = caller.review(&review).await;
    assert_eq!(again["allowed"], true);
    assert!(again.get("patch").is_none(), "{again}");

    // Without what was added it is what it was.
    let spec = pod["spec"].as_object_mut().unwrap();
    spec["initContainers"].as_array_mut().unwrap().remove(0);
    spec["volumes"].as_array_mut().unwrap().pop();
    for list in ["initContainers", "containers"] {
        let originals = original["spec"][list].as_array().unwrap();
        for (container, original) in spec[list].as_array_mut().unwrap().iter_mut().zip(originals) {
            let container = container.as_object_mut().unwrap();
            match original["env"].as_array() {
                Some(env) => container["env"].as_array_mut().unwrap().truncate(env.len()),
                None => drop(container.remove("env")),
            }
        }
    }
    let annotations = pod["metadata"]["annotations"].as_object_mut().unwrap();
    annotations.remove("s3seal.io/status");
    assert_eq!(pod, original);
}

#[tokio::test]
async fn a_dry_run_gets_what_the_pod_would_get() {
    let webhook = start();
    let review = parse(BARE_POD);
    let response = webhook.connect().await.review(&review).await;
    let pod = patched(&review, &response);
    assert_eq!(names(&pod["spec"]["initContainers"]), ["s3seal"]);
    assert_eq!(pod["spec"]["initContainers"][0]["image"], "s3seal:2");
    assert_eq!(names(&pod["spec"]["volumes"]), ["s3seal-config"]);
    assert_eq!(names(&pod["spec"]["containers"][0]["env"]).len(), 2);
}

#[tokio::test]
async fn others_pass_and_what_cannot_be_is_refused() {
    let webhook = start();
    let mut caller = webhook.connect().await;
    let with = |pointer: &str, value: Value| {
        let mut review = parse(DEPLOYMENT_POD);
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        review.pointer_mut(parent).unwrap()[key.replace("~1", "/")] = value;
        review
    };
    let ask = "/request/object/metadata/annotations/s3seal.io~1inject";
    for review in [
        with(ask, json!("false")),
        with("/request/operation", json!("UPDATE")),
        with(
            "/request/kind",
            json!({ "group": "apps", "version": "v1", "kind": "Deployment" }),
        ),
        with("/request/subResource", json!("eviction")),
    ] {
        let response = caller.review(&review).await;
        assert_eq!(response["allowed"], true, "{response}");
        assert!(response.get("patch").is_none(), "{response}");
    }
    let clashing = json!([{ "name": "s3seal", "image": "mine" }]);
    for (review, said) in [
        (with(ask, json!("Batch")), "there are: batch, default"),
        (
            with("/request/object/spec/hostNetwork", json!(true)),
            "hostNetwork",
        ),
        (
            with("/request/object/spec/initContainers", clashing),
            "named \"s3seal\" already",
        ),
    ] {
        let response = caller.review(&review).await;
        assert_eq!(response["allowed"], false, "{response}");
        assert_eq!(response["status"]["code"], 400);
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.contains(said), "{message}");
        assert!(response.get("patch").is_none(), "{response}");
    }
    // The last of them, and what was logged of it.
    let line = webhook.logged(|line| {
        line["reason"]
            .as_str()
            .is_some_and(|r| r.contains("already"))
    });
    assert_eq!(line["outcome"], "refused");
    assert_eq!(line["namespace"], "shop");
    assert_eq!(line["name"], "orders-6d4cf56db6-");
    assert_eq!(line["profile"], "default");
    let log = webhook.log();
    let outcomes = log.iter().filter(|line| line["message"] == "review");
    let outcomes: Vec<_> = outcomes
        .map(|line| line["outcome"].as_str().unwrap())
        .collect();
    let expected = [
        "not-asked",
        "not-pod",
        "not-pod",
        "not-pod",
        "refused",
        "refused",
        "refused",
    ];
    assert_eq!(outcomes, expected);
}

#[tokio::test]
async fn nothing_secret_is_logged() {
    let webhook = start();
    let mut caller = webhook.connect().await;
    let mut review = parse(DEPLOYMENT_POD);
    let response = caller.review(&review).await;
    patched(&review, &response);
    review["request"]["object"]["spec"]["volumes"] = "hunter2-of-the-database".into();
    let body = review.to_string();
    caller.begin(body.len()).await;
    caller.send(body).await.unwrap();
    let (status, said) = caller.answer().await.unwrap();
    assert_eq!(status, 400);
    assert_eq!(
        said,
        "request.object: spec of the pod is not what it has to be\n"
    );
    webhook.logged(|line| line["outcome"] == "malformed");
    webhook.logged(|line| line["outcome"] == "injected");
    let log = format!("{:?}", webhook.log());
    for secret in ["hunter2", "secret-of-the-template", "replicaset-controller"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn only_reviews_are_answered() {
    let webhook = start();
    let mut caller = webhook.connect().await;
    assert_eq!(
        caller.ask("GET", "/healthz").await,
        (200, "ok\n".to_owned())
    );
    assert_eq!(caller.ask("POST", "/healthz").await.0, 405);
    assert_eq!(caller.ask("GET", "/mutate").await.0, 405);
    assert_eq!(caller.ask("POST", "/").await.0, 404);
    assert_eq!(caller.ask("POST", "/mutate").await.0, 415);
    for (body, said) in [
        ("", "not JSON: "),
        ("{}", "not an AdmissionReview of admission.k8s.io/v1"),
        (
            r#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"}"#,
            "not an AdmissionReview of admission.k8s.io/v1",
        ),
        (
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#,
            "request is missing",
        ),
    ] {
        caller.begin(body.len()).await;
        caller.send(body).await.unwrap();
        let (status, answer) = caller.answer().await.unwrap();
        assert_eq!(status, 400);
        assert!(answer.starts_with(said), "{answer}");
    }

    let mut plain = TcpStream::connect(webhook.address).await.unwrap();
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.windows(4).any(|part| part == b"HTTP"), "{answer:?}");
}

#[tokio::test]
async fn a_review_has_at_most_3_mib() {
    let webhook = start();
    let mut review = parse(BARE_POD).to_string();
    review.push_str(&" ".repeat((3 << 20) - review.len()));
    let mut caller = webhook.connect().await;
    caller.begin(review.len()).await;
    caller.send(&review).await.unwrap();
    assert_eq!(caller.answer().await.unwrap().0, 200);

    // Refused before any of it is there.
    let mut caller = webhook.connect().await;
    caller.begin(review.len() + 1).await;
    assert_eq!(caller.answer().await.unwrap().0, 413);

    let mut caller = webhook.connect().await;
    let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json; charset=utf-8\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    caller.send(head).await.unwrap();
    let chunk = format!("{:x}\r\n{review} \r\n0\r\n\r\n", review.len() + 1);
    // It may answer, and close, before all of it is sent.
    let _ = caller.send(chunk).await;
    assert_eq!(caller.answer().await.unwrap().0, 413);
}

#[tokio::test]
async fn slow_callers_are_cut_and_hold_up_nobody() {
    let webhook = start();
    // As many as would fill the memory for bodies if what they announce counted.
    let mut slow = Vec::new();
    for _ in 0..24 {
        let mut caller = webhook.connect().await;
        caller.begin(3 << 20).await;
        caller.send("{").await.unwrap();
        slow.push(caller);
    }
    let started = Instant::now();
    let review = parse(BARE_POD);
    let mut caller = webhook.connect().await;
    patched(&review, &caller.review(&review).await);
    assert!(started.elapsed() < Duration::from_secs(5));
    for mut caller in slow {
        let (status, said) = caller.answer().await.unwrap();
        assert_eq!(
            (status, said.as_str()),
            (408, "the body took too long to arrive\n")
        );
    }
    assert!(started.elapsed() > Duration::from_secs(5));
}

#[tokio::test]
async fn a_changed_certificate_greets_new_connections_and_leaves_the_others() {
    let mut webhook = start();
    let address = webhook.address;
    let review = parse(BARE_POD);
    let mut before = webhook.connect().await;
    patched(&review, &before.review(&review).await);

    let next = Authority::new();
    let Certified { certificate, key } = next.sign();
    webhook
        .tls
        .exchange(&[("tls.crt", &certificate), ("tls.key", &key)]);
    let line = webhook.hang_up("changed files taken up");
    assert_eq!(line["what"], "certificate");
    assert!(
        Caller::connect(address, &webhook.authority, None)
            .await
            .is_err()
    );
    let mut after = Caller::connect(address, &next, None).await.unwrap();
    patched(&review, &after.review(&review).await);
    patched(&review, &before.review(&review).await);

    // What cannot be used changes nothing but the log, which shows nothing of the key.
    let other = next.sign();
    let torn = &key[..key.len() / 2];
    for (broken, said) in [
        (&other.key, "tls.key is not the private key of "),
        (&torn.to_owned(), "tls.key: not valid PEM"),
        (&String::new(), "tls.key holds no private key"),
    ] {
        webhook
            .tls
            .exchange(&[("tls.crt", &certificate), ("tls.key", broken)]);
        let line = webhook.hang_up("changed files not taken up: those of before stay");
        let error = line["error"].as_str().unwrap();
        assert!(error.contains(said), "{error}");
        let mut after = Caller::connect(address, &next, None).await.unwrap();
        patched(&review, &after.review(&review).await);
    }
    patched(&review, &before.review(&review).await);
    let secret = key.lines().nth(1).unwrap();
    assert!(!format!("{:?}", webhook.log()).contains(secret));

    webhook
        .tls
        .exchange(&[("tls.crt", &other.certificate), ("tls.key", &other.key)]);
    webhook.hang_up("changed files taken up");
}

/// Nobody sends a signal to a pod whose `ConfigMap` has changed.
#[tokio::test]
async fn changed_files_are_noticed_without_a_signal() {
    let mut webhook = start();
    let review = parse(BARE_POD);
    let image = |response: &Value| {
        let pod = patched(&review, response);
        pod["spec"]["initContainers"][0]["image"].clone()
    };
    let mut caller = webhook.connect().await;
    assert_eq!(image(&caller.review(&review).await), "s3seal:2");
    let started = Instant::now();
    webhook
        .templates
        .exchange(&[("batch.json", &profile("s3seal:3"))]);
    // What is gone leaves a link that leads nowhere until Kubernetes removes it.
    fs::remove_file(webhook.templates.at("default.json")).unwrap();
    webhook
        .logged(|line| line["what"] == "profiles" && line["message"] == "changed files taken up");
    assert!(started.elapsed() < Duration::from_secs(15));
    assert_eq!(image(&caller.review(&review).await), "s3seal:3");
    let response = caller.review(&parse(DEPLOYMENT_POD)).await;
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.ends_with("there are: batch"), "{message}");

    for (broken, said) in [
        ("{\"initContainers\":", "batch.json: not JSON: "),
        (
            r#"{"initContainers":[{"name":"a"}],"env":[{"name":"A","value":4711}]}"#,
            "batch.json: env",
        ),
    ] {
        webhook.templates.exchange(&[("batch.json", broken)]);
        let line = webhook.hang_up("changed files not taken up: those of before stay");
        let error = line["error"].as_str().unwrap();
        assert!(error.contains(said) && !error.contains("4711"), "{error}");
        assert_eq!(image(&caller.review(&review).await), "s3seal:3");
    }
}

#[tokio::test]
async fn clients_need_a_certificate_where_an_authority_is_named() {
    let authority = Authority::new();
    let mut webhook =
        Webhook::start_with(&[("batch.json", &profile("s3seal:1"))], Some(&authority));
    let review = parse(BARE_POD);
    let (address, own) = (webhook.address, authority.sign());
    let mut served = Caller::connect(address, &webhook.authority, Some(&own))
        .await
        .unwrap();
    patched(&review, &served.review(&review).await);
    let refused = async |own: Option<&Certified>, server: &Authority| {
        let Ok(mut caller) = Caller::connect(address, server, own).await else {
            return true;
        };
        let _ = caller
            .send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
        caller.answer().await.is_err()
    };
    assert!(refused(None, &webhook.authority).await);
    let stranger = Authority::new();
    assert!(refused(Some(&stranger.sign()), &webhook.authority).await);

    // The authority is read again, too.
    let Certified { certificate, key } = webhook.authority.sign();
    let ca = stranger.pem();
    webhook.tls.exchange(&[
        ("tls.crt", &certificate),
        ("tls.key", &key),
        ("ca.crt", &ca),
    ]);
    webhook.hang_up("changed files taken up");
    assert!(refused(Some(&own), &webhook.authority).await);
    let own = stranger.sign();
    let mut after = Caller::connect(address, &webhook.authority, Some(&own))
        .await
        .unwrap();
    patched(&review, &after.review(&review).await);
    patched(&review, &served.review(&review).await);
}

#[tokio::test]
async fn a_review_under_way_is_answered_before_the_end() {
    let mut webhook = start();
    let review = parse(BARE_POD).to_string();
    let mut caller = webhook.connect().await;
    caller.begin(review.len()).await;
    caller.send(&review[..100]).await.unwrap();
    // The head has to be there, else the connection is an idle one.
    tokio::time::sleep(Duration::from_millis(300)).await;
    webhook.signal(Signal::TERM);
    webhook.logged(|line| line["message"] == "draining");
    caller.send(&review[100..]).await.unwrap();
    let (status, answer) = caller.answer().await.unwrap();
    assert_eq!(status, 200);
    patched(&parse(BARE_POD), &parse(&answer)["response"]);
    assert_eq!(webhook.ended(), Some(0));
}

#[test]
fn what_cannot_be_used_is_said_at_the_start() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (one, other) = (Authority::new().sign(), Authority::new().sign());
    fs::write(at("tls.crt"), one.certificate).unwrap();
    fs::write(at("tls.key"), one.key).unwrap();
    fs::write(at("other.key"), other.key).unwrap();
    fs::create_dir(at("none")).unwrap();
    fs::create_dir(at("profiles")).unwrap();
    fs::write(at("profiles/default.json"), profile("s3seal:1")).unwrap();
    let run = |certificate: &str, key: &str, templates: &str| {
        command(&at(certificate), &at(key), &at(templates))
    };
    let mut no_authority = run("tls.crt", "tls.key", "profiles");
    no_authority.arg("--client-ca").arg(at("tls.key"));
    let mut no_filter = run("tls.crt", "tls.key", "profiles");
    no_filter.args(["--log-filter", "a=b=c"]);
    for (command, said) in [
        (
            run("tls.crt", "other.key", "profiles"),
            "other.key is not the private key of",
        ),
        (
            run("none.crt", "tls.key", "profiles"),
            "none.crt: No such file",
        ),
        (
            run("tls.crt", "tls.key", "none"),
            "none: holds no NAME.json",
        ),
        (
            run("tls.crt", "tls.key", "nowhere"),
            "nowhere: No such file",
        ),
        (no_authority, "tls.key holds no certificate"),
        (no_filter, "log filter"),
    ] {
        let ended = output(command);
        assert_eq!(code(&ended), 64, "{}", text(&ended.stderr));
        assert!(
            text(&ended.stderr).contains(said),
            "{}",
            text(&ended.stderr)
        );
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut busy = std::process::Command::new(env!("CARGO_BIN_EXE_s3seal"));
    busy.args(["webhook", "--listen", &address, "--certificate"]);
    busy.arg(at("tls.crt"))
        .arg("--private-key")
        .arg(at("tls.key"));
    busy.arg("--templates").arg(at("profiles"));
    let ended = output(busy);
    assert_eq!(code(&ended), 1, "{}", text(&ended.stderr));
    assert!(
        text(&ended.stderr).contains("cannot listen on"),
        "{}",
        text(&ended.stderr)
    );
}
