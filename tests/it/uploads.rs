//! The upload-state bucket: uploads go on under the upstream's ids, on every replica.

use bytes::Bytes;

use crate::multipart::{body, complete, create, put, target};
use crate::support::client::Client;
use crate::support::upstream::Embedded;
use crate::support::{Options, Proxy};

const MIB: usize = 1 << 20;

fn with_state() -> Options {
    Options {
        tables: "[uploads]\nstate = \"s3://ops-bucket/s3seal/uploads\"".to_owned(),
        ..Options::default()
    }
}

fn states(upstream: &Embedded) -> Vec<std::path::PathBuf> {
    let folder = upstream.root().join("ops-bucket/s3seal/uploads");
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let files = entries.map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.file_name().unwrap().len() == 64)
        .collect()
}

/// The ids that `ListMultipartUploads` shows to a replica that has seen none of the uploads.
async fn listed(client: &Client) -> Vec<String> {
    client.get("/bucket?uploads").await.elements("UploadId")
}

fn bare(id: &str) -> &str {
    id.rsplit('.').next().unwrap()
}

#[tokio::test]
async fn an_upload_that_was_found_goes_on_on_any_replica() {
    let upstream = Embedded::start().await;
    std::fs::create_dir(upstream.root().join("ops-bucket")).unwrap();
    let first = Proxy::start(upstream.address, with_state()).await;
    let whole = body(5 * MIB + 7);
    let id = create(&first.client(), "object").await;
    let one = put(&first.client(), "object", &id, 1, whole.slice(..5 * MIB)).await;
    let [state] = <[_; 1]>::try_from(states(&upstream)).unwrap();
    let kept = std::fs::read_to_string(&state).unwrap();
    assert_eq!(kept, id, "the sealed id and nothing else");
    let second = Proxy::start_beside(&first, upstream.address, with_state()).await;
    first.stop().await;
    let client = second.client();
    let found = bare(&id);
    let two = put(&client, "object", found, 2, whole.slice(5 * MIB..)).await;
    let third = Proxy::start_beside(&second, upstream.address, with_state()).await;
    let parts = third.client().get(&target("object", found, None)).await;
    let mut sizes = parts.elements("Size");
    sizes.sort(); // s3s-fs lists them in any order
    assert_eq!(sizes, [(5 * MIB).to_string(), "7".to_owned()]);
    let etags = [one, two];
    for _ in 0..2 {
        let done = complete(&third.client(), "object", found, &etags).await;
        assert_eq!(done.status, 200, "also when the answer was lost: {done:?}");
    }
    assert!(client.get("/bucket/object").await.body == whole);
    assert!(states(&upstream).is_empty());
    second.stop().await;
    third.stop().await;
}

#[tokio::test]
async fn an_upload_that_is_ended_leaves_no_state() {
    let upstream = Embedded::start().await;
    std::fs::create_dir(upstream.root().join("ops-bucket")).unwrap();
    let proxy = Proxy::start(upstream.address, with_state()).await;
    let client = proxy.client();
    let id = create(&client, "object").await;
    assert_eq!(states(&upstream).len(), 1);
    let aborted = client.draft("DELETE", &target("object", bare(&id), None));
    assert_eq!(aborted.send().await.status.as_u16(), 204);
    assert!(states(&upstream).is_empty());
    let gone = client.put(&target("object", bare(&id), Some(1)), "x").await;
    assert!(
        gone.status.is_client_error(),
        "s3s-fs says AccessDenied: {gone:?}"
    );
    proxy.stop().await;
}

/// Whoever can write to the state bucket gets no part into another upload, and no plaintext up.
#[tokio::test]
async fn a_state_that_was_tampered_with_opens_nothing() {
    let upstream = Embedded::start().await;
    std::fs::create_dir(upstream.root().join("ops-bucket")).unwrap();
    let proxy = Proxy::start(upstream.address, with_state()).await;
    let id = create(&proxy.client(), "object").await;
    let [state] = <[_; 1]>::try_from(states(&upstream)).unwrap();
    let other = create(&proxy.client(), "other").await;
    let again = create(&proxy.client(), "object").await;
    let replica = Proxy::start_beside(&proxy, upstream.address, with_state()).await;
    let part = target("object", bare(&id), Some(1));
    for content in [
        other.clone().into_bytes(),
        again.into_bytes(),
        bare(&id).as_bytes().to_vec(),
        Vec::new(),
        vec![0xff; 100],
        vec![b'a'; 100_000],
    ] {
        std::fs::write(&state, content).unwrap();
        let refused = replica.client().put(&part, body(10)).await;
        assert!(matches!(refused.status.as_u16(), 404 | 500), "{refused:?}");
    }
    std::fs::write(&state, &id).unwrap();
    assert_eq!(replica.client().put(&part, body(10)).await.status, 200);
    proxy.stop().await;
    replica.stop().await;
}

#[tokio::test]
async fn the_state_bucket_is_out_of_reach() {
    let upstream = Embedded::start().await;
    std::fs::create_dir(upstream.root().join("ops-bucket")).unwrap();
    let proxy = Proxy::start(upstream.address, with_state()).await;
    let client = proxy.client();
    create(&client, "object").await;
    let name = states(&upstream)[0].file_name().unwrap().to_owned();
    let object = format!("/ops-bucket/s3seal/uploads/{}", name.to_str().unwrap());
    let deletion = "<Delete><Object><Key>x</Key></Object></Delete>";
    for (method, path, body) in [
        ("GET", &*object, ""),
        ("HEAD", &object, ""),
        ("PUT", &object, "x"),
        ("DELETE", &object, ""),
        ("GET", "/ops-bucket", ""),
        ("GET", "/ops-bucket?list-type=2", ""),
        ("GET", "/ops-bucket?uploads", ""),
        ("GET", "/ops-bucket?policy", ""),
        ("DELETE", "/ops-bucket", ""),
        ("POST", "/ops-bucket?delete", deletion),
    ] {
        let refused = client.draft(method, path).body(body).send().await;
        assert_eq!(refused.status.as_u16(), 403, "{method} {path}: {refused:?}");
    }
    let copy = client
        .draft("PUT", "/bucket/copy")
        .header("x-amz-copy-source", &object);
    assert_eq!(copy.send().await.status.as_u16(), 403);
    assert_eq!(states(&upstream).len(), 1);
    proxy.stop().await;
}

/// Uploads need nothing but their id: the state bucket is a convenience.
#[tokio::test]
async fn without_the_state_bucket_uploads_work_all_the_same() {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, with_state()).await;
    let client = proxy.client();
    let id = create(&client, "object").await;
    let etag = put(&client, "object", &id, 1, body(1000)).await;
    assert_eq!(listed(&client).await.len(), 0, "s3s-fs lists none");
    assert_eq!(complete(&client, "object", &id, &[etag]).await.status, 200);
    assert!(client.get("/bucket/object").await.body == body(1000));
    proxy.stop().await;
}

#[tokio::test]
async fn an_upload_that_is_too_old_can_still_be_ended_by_its_bare_id() {
    let upstream = Embedded::start().await;
    let options = Options {
        tables: "[uploads]\nmax_age_seconds = 1".to_owned(),
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.client();
    let id = create(&client, "object").await;
    put(&client, "object", &id, 1, Bytes::from_static(b"part")).await;
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    let late = client.put(&target("object", &id, Some(1)), "x").await;
    assert_eq!(
        (late.status.as_u16(), late.code()),
        (404, "NoSuchUpload".to_owned())
    );
    let ended = client.draft("DELETE", &target("object", &id, None));
    assert_eq!(
        ended.send().await.status.as_u16(),
        404,
        "a sealed id goes nowhere"
    );
    let parts = client.get(&target("object", bare(&id), None)).await;
    assert_eq!(parts.elements("Size"), ["4"]);
    let ended = client.draft("DELETE", &target("object", bare(&id), None));
    assert_eq!(ended.send().await.status.as_u16(), 204);
    proxy.stop().await;
}
