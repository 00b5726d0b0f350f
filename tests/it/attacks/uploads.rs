//! Upload ids in other places and other hands, and parts that were moved between uploads.

use std::path::PathBuf;

use bytes::Bytes;

use super::{SECRET, Site, TENANT, TENANTS_TABLE, assert_refused, forgery, rule};
use crate::multipart;
use crate::support::chaos::{Chaos, Reply, Step};
use crate::support::client::{Client, Draft};
use crate::support::{Options, Proxy};

const MIB: usize = 1 << 20;

/// What can be asked for with an upload id.
fn uses(client: &Client, path: &str, id: &str) -> Vec<(&'static str, Draft)> {
    let id = s3seal::s3::uri::encode_component(id.as_bytes());
    let (part, upload) = (
        format!("{path}?partNumber=1&uploadId={id}"),
        format!("{path}?uploadId={id}"),
    );
    let document = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"0\"</ETag>\
                    </Part></CompleteMultipartUpload>";
    let copied = client.draft("PUT", &part);
    vec![
        ("a part", client.draft("PUT", &part).body(SECRET)),
        ("a part copied", copied.header("x-amz-copy-source", path)),
        ("a list of parts", client.draft("GET", &upload)),
        ("a completion", client.draft("POST", &upload).body(document)),
        ("an abortion", client.draft("DELETE", &upload)),
    ]
}

/// Every use is refused, and the upload goes on as if nothing had been.
async fn refuses(site: &Site, client: &Client, path: &str, id: &str, (status, code): (u16, &str)) {
    for (way, draft) in uses(client, path, id) {
        let refused = draft.send().await;
        assert_refused(&refused, status, code, &format!("{way} of {path}"));
    }
    let part = part_file(site, id);
    assert!(!part.exists(), "{path}: something went upstream");
}

async fn goes_on(site: &Site, key: &str, id: &str) {
    let part = Bytes::from(SECRET);
    let etag = multipart::put(&site.client, key, id, 1, part.clone()).await;
    let done = multipart::complete(&site.client, key, id, &[etag]).await;
    assert_eq!(done.status, 200, "{done:?}");
    site.opens_as(&format!("/bucket/{key}"), part).await;
}

/// However little the envelopes of objects are bound to: an id has a mac of its own.
#[tokio::test]
async fn p54_an_upload_id_is_used_for_another_key_or_bucket() {
    for binding in ["bucket-and-key", "key", "none"] {
        let site = Site::start(rule(&format!("binding = \"{binding}\""))).await;
        site.attacker.make_bucket("other").await;
        let id = multipart::create(&site.client, "object").await;
        for path in ["/bucket/other", "/other/object"] {
            // Something for copies to read.
            site.write(path).await;
            refuses(&site, &site.client, path, &id, (404, "NoSuchUpload")).await;
            site.opens(path).await;
        }
        goes_on(&site, "object", &id).await;
        site.stop().await;
    }
}

/// Buckets of one logical name are one, and keys are keys.
#[tokio::test]
async fn p54_an_upload_id_is_used_for_another_key_where_buckets_have_one_name() {
    let site = Site::start(rule("logical_bucket = \"both\"")).await;
    site.attacker.make_bucket("other").await;
    let id = multipart::create(&site.client, "object").await;
    for path in ["/bucket/elsewhere", "/other/elsewhere"] {
        site.write(path).await;
        refuses(&site, &site.client, path, &id, (404, "NoSuchUpload")).await;
        site.opens(path).await;
    }
    goes_on(&site, "object", &id).await;
    site.stop().await;
}

#[tokio::test]
async fn p54_an_upload_id_is_used_by_a_client_that_may_not_use_its_key() {
    let options = Options {
        tables: TENANTS_TABLE.to_owned(),
        rule: "keys = [\"tenant\"]".to_owned(),
        ..Options::default()
    };
    let site = Site::start(options).await;
    let tenant = Client::new(site.proxy.address, TENANT);
    let id = multipart::create(&site.client, "object").await;
    // Its owner has just used it: the key is cached.
    multipart::put(&site.client, "object", &id, 2, SECRET.into()).await;
    refuses(&site, &tenant, "/bucket/object", &id, (403, "AccessDenied")).await;
    goes_on(&site, "object", &id).await;
    site.stop().await;
}

/// An id of the attacker's for the victim's upload: his key would open whatever goes up under it.
#[tokio::test]
async fn p13_p54_an_upload_id_is_forged_under_a_foreign_key() {
    let site = Site::start(rule("")).await;
    site.write("/bucket/object").await;
    let upstream = site.upstream.address;
    let foreign = Proxy::start_beside(&site.proxy, upstream, rule("key = \"tenant\"")).await;
    // Whose key has the name of the victim's.
    let stranger = Proxy::start(upstream, Options::default()).await;
    for (forger, is_asked) in [(foreign, false), (stranger, true)] {
        let id = multipart::create(&forger.client(), "object").await;
        let asked = site.asked().await;
        let refusal = (404, "NoSuchUpload");
        refuses(&site, &site.client, "/bucket/object", &id, refusal).await;
        assert_eq!(site.asked().await != asked, is_asked);
        // It is a good one: its maker goes on with it.
        multipart::put(&forger.client(), "object", &id, 1, forgery()).await;
        forger.stop().await;
    }
    site.opens("/bucket/object").await;
    site.stop().await;
}

/// The stored first part of an upload.
fn part_file(site: &Site, id: &str) -> PathBuf {
    let id = id.rsplit('.').next().unwrap();
    let name = format!(".upload_id-{id}.part-1");
    site.upstream.root().join(name)
}

/// Two uploads of the same key: their parts are under different data keys. This upstream compares no
/// entity tags and lists none, so the upload ends; what it has then does not open.
#[tokio::test]
async fn p56_a_part_of_another_upload_is_copied_into_this_one_upstream() {
    for (len, is_last, what) in [
        (5 * MIB, false, "a part before the last"),
        (5 * MIB, true, "a last part that gets a seal"),
        (1000, true, "a last part"),
    ] {
        let site = Site::start(rule("")).await;
        let part: Bytes = SECRET.bytes().cycle().take(len).collect();
        let own = multipart::create(&site.client, "object").await;
        let other = multipart::create(&site.client, "object").await;
        let mut etags = vec![multipart::put(&site.client, "object", &own, 1, part.clone()).await];
        multipart::put(&site.client, "object", &other, 1, part).await;
        if !is_last {
            etags.push(multipart::put(&site.client, "object", &own, 2, SECRET.into()).await);
        }
        let stolen = Bytes::from(std::fs::read(part_file(&site, &other)).unwrap());
        let upstream_id = own.rsplit('.').next().unwrap();
        let planted = site
            .attacker
            .put_part("/bucket/object", upstream_id, 1, stolen);
        assert_ne!(planted.await, etags[0].replace("-0", ""));
        let done = multipart::complete(&site.client, "object", &own, &etags).await;
        assert_eq!(done.status, 200, "{what}: {done:?}");
        for range in [None, Some("bytes=0-0"), Some("bytes=-1")] {
            site.breaks_off("/bucket/object", range, &[], what).await;
        }
        site.stop().await;
    }
}

/// Where parts are listed with their entity tags, the proxy compares them itself.
#[tokio::test]
async fn p57_a_part_is_exchanged_before_its_upload_is_completed() {
    let chaos = Chaos::start().await;
    let proxy = Proxy::start(chaos.address, Options::default()).await;
    let client = proxy.client();
    let created = "<InitiateMultipartUploadResult><UploadId>up</UploadId>\
                   </InitiateMultipartUploadResult>";
    chaos.script([Step::Answer(Reply::new(200, created))]);
    let id = multipart::create(&client, "object").await;
    let etags = ["1", "2"].map(|digit| digit.repeat(32));
    let size = 5 * MIB + 16_640;
    for exchanged in 0..2 {
        let listed = etags.iter().enumerate().map(|(index, etag)| {
            let foreign = "f".repeat(32);
            let etag = if index == exchanged { &foreign } else { etag };
            let number = index + 1;
            format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag>\
                 <Size>{size}</Size></Part>"
            )
        });
        let listed: String = listed.collect();
        let listed = format!("<ListPartsResult>{listed}</ListPartsResult>");
        chaos.script([Step::Answer(Reply::new(200, listed))]);
        chaos.forget();
        let refused = multipart::complete(&client, "object", &id, &etags).await;
        assert_refused(&refused, 400, "InvalidPart", "another entity tag");
        assert_eq!(chaos.only().head.method, "GET", "nothing but the list");
    }
    proxy.stop().await;
}
