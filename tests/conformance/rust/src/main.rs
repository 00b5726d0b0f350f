//! The AWS SDK for Rust with its defaults: a full cycle in which every byte is compared. It fails at
//! the first step that is not right.
//!
//! ```text
//! s3seal-rust-client cycle BUCKET PREFIX FILE
//! s3seal-rust-client presign BUCKET KEY
//! ```
//!
//! Endpoint and credentials are in the environment.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier,
};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let client = client()?;
    match *arguments {
        ["cycle", bucket, prefix, file] => {
            let body = std::fs::read(file)?;
            let cycle = Cycle {
                client,
                bucket,
                prefix,
                file: Path::new(file),
                body,
            };
            cycle.run().await
        }
        ["presign", bucket, key] => presign(&client, bucket, key).await,
        _ => Err("usage: see the source".into()),
    }
}

/// A client with the SDK's defaults, but no retries: a retry would hide a failure.
fn client() -> Outcome<Client> {
    let id = env::var("AWS_ACCESS_KEY_ID")?;
    let credentials = Credentials::new(id, env::var("AWS_SECRET_ACCESS_KEY")?, None, None, "tests");
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .retry_config(RetryConfig::disabled())
        .region(Region::new(env::var("AWS_REGION")?))
        .endpoint_url(env::var("AWS_ENDPOINT_URL")?)
        .credentials_provider(credentials)
        .force_path_style(true);
    Ok(Client::from_conf(config.build()))
}

/// Everything that is done to the objects below one prefix.
struct Cycle<'a> {
    client: Client,
    bucket: &'a str,
    prefix: &'a str,
    file: &'a Path,
    body: Vec<u8>,
}

impl Cycle<'_> {
    async fn run(&self) -> Outcome {
        self.objects().await?;
        self.conditions().await?;
        self.multipart().await?;
        self.aborted().await?;
        self.copies().await?;
        self.listings_and_deletions().await
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    fn small(&self) -> &[u8] {
        &self.body[..100_000]
    }

    /// Fails unless the object is what was stored.
    async fn same(&self, name: &str, expected: &[u8]) -> Outcome {
        let get = self
            .client
            .get_object()
            .bucket(self.bucket)
            .key(self.key(name));
        let got = get.send().await?;
        assert_eq!(
            got.content_length(),
            Some(i64::try_from(expected.len())?),
            "{name}"
        );
        let body = got.body.collect().await?.into_bytes();
        assert!(body == expected, "{name} came back changed");
        Ok(())
    }

    async fn objects(&self) -> Outcome {
        let put = self
            .client
            .put_object()
            .bucket(self.bucket)
            .key(self.key("small"));
        let put = put.body(self.small().to_vec().into());
        let put = put.metadata("colour", "blue").content_type("text/x-test");
        let put = put.send().await?;
        assert!(
            put.checksum_crc32().is_some(),
            "the default checksum is shown: {put:?}"
        );
        self.same("small", self.small()).await?;
        let head = self
            .client
            .head_object()
            .bucket(self.bucket)
            .key(self.key("small"));
        let head = head.send().await?;
        assert_eq!(head.e_tag(), put.e_tag());
        assert_eq!(head.content_type(), Some("text/x-test"));
        assert_eq!(
            head.metadata()
                .and_then(|pairs| pairs.get("colour"))
                .unwrap(),
            "blue"
        );
        for (range, expected) in [
            ("bytes=65530-65545", &self.small()[65_530..65_546]),
            ("bytes=99990-", &self.small()[99_990..]),
            ("bytes=-7", &self.small()[99_993..]),
        ] {
            let get = self
                .client
                .get_object()
                .bucket(self.bucket)
                .key(self.key("small"));
            let got = get.range(range).send().await?;
            assert_eq!(got.body.collect().await?.into_bytes(), expected, "{range}");
        }
        // From a file: streamed, with its checksum in a trailer.
        let put = self
            .client
            .put_object()
            .bucket(self.bucket)
            .key(self.key("file"));
        put.body(ByteStream::from_path(self.file).await?)
            .send()
            .await?;
        self.same("file", &self.body).await?;
        let put = self
            .client
            .put_object()
            .bucket(self.bucket)
            .key(self.key("empty"));
        put.send().await?;
        self.same("empty", &[]).await
    }

    async fn conditions(&self) -> Outcome {
        let put = || {
            let put = self
                .client
                .put_object()
                .bucket(self.bucket)
                .key(self.key("condition"));
            put.body(self.small().to_vec().into())
        };
        let first = put().if_none_match("*").send().await?;
        assert_eq!(status(put().if_none_match("*").send().await), 412);
        let etag = first.e_tag().ok_or("no ETag")?;
        let second = put().if_match(etag).send().await?;
        assert_eq!(status(put().if_match(etag).send().await), 412);
        let etag = second.e_tag().ok_or("no ETag")?;
        let get = self
            .client
            .get_object()
            .bucket(self.bucket)
            .key(self.key("condition"));
        assert_eq!(status(get.if_none_match(etag).send().await), 304);
        self.same("condition", self.small()).await
    }

    async fn create(&self, name: &str) -> Outcome<String> {
        let create = self.client.create_multipart_upload().bucket(self.bucket);
        let create = create
            .key(self.key(name))
            .checksum_algorithm(ChecksumAlgorithm::Crc32);
        Ok(create
            .send()
            .await?
            .upload_id()
            .ok_or("no upload id")?
            .to_owned())
    }

    /// In parts that come from the last to the first, each with a checksum.
    async fn multipart(&self) -> Outcome {
        let id = self.create("parts").await?;
        let mut done = BTreeMap::new();
        for (number, part) in (1..)
            .zip(self.body.chunks(PART))
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
        {
            let upload = self
                .client
                .upload_part()
                .bucket(self.bucket)
                .key(self.key("parts"));
            let upload = upload
                .upload_id(&id)
                .part_number(number)
                .body(part.to_vec().into());
            let upload = upload
                .checksum_algorithm(ChecksumAlgorithm::Crc32)
                .send()
                .await?;
            let sum = upload.checksum_crc32().ok_or("no checksum of a part")?;
            let part = CompletedPart::builder()
                .part_number(number)
                .checksum_crc32(sum);
            done.insert(number, part.set_e_tag(upload.e_tag).build());
        }
        let list = self
            .client
            .list_parts()
            .bucket(self.bucket)
            .key(self.key("parts"));
        let listed = list.upload_id(&id).send().await?;
        let sizes: Vec<_> = listed
            .parts()
            .iter()
            .filter_map(|part| part.size())
            .collect();
        let expected: Vec<_> = self
            .body
            .chunks(PART)
            .map(|part| part.len() as i64)
            .collect();
        assert_eq!(sizes, expected);
        let parts = CompletedMultipartUpload::builder();
        let parts = parts.set_parts(Some(done.into_values().collect())).build();
        let complete = self.client.complete_multipart_upload().bucket(self.bucket);
        let complete = complete
            .key(self.key("parts"))
            .upload_id(&id)
            .multipart_upload(parts);
        let complete = complete.send().await?;
        assert!(complete.checksum_crc32().is_some(), "{complete:?}");
        self.same("parts", &self.body).await?;
        let get = self
            .client
            .get_object()
            .bucket(self.bucket)
            .key(self.key("parts"));
        let second = get.part_number(2).send().await?;
        let second = second.body.collect().await?.into_bytes();
        assert!(
            second == self.body[PART..2 * PART],
            "the second part came back changed"
        );
        Ok(())
    }

    async fn aborted(&self) -> Outcome {
        let id = self.create("aborted").await?;
        let upload = || {
            let upload = self
                .client
                .upload_part()
                .bucket(self.bucket)
                .key(self.key("aborted"));
            upload
                .upload_id(&id)
                .part_number(1)
                .body(self.small().to_vec().into())
        };
        upload().send().await?;
        let abort = self.client.abort_multipart_upload().bucket(self.bucket);
        abort.key(self.key("aborted")).upload_id(&id).send().await?;
        assert_eq!(status(upload().send().await), 404);
        Ok(())
    }

    async fn copies(&self) -> Outcome {
        for name in ["small", "parts"] {
            let source = format!("{}/{}", self.bucket, self.key(name));
            let copy = self
                .client
                .copy_object()
                .bucket(self.bucket)
                .copy_source(source);
            copy.key(self.key(&format!("copy-of-{name}")))
                .send()
                .await?;
        }
        self.same("copy-of-small", self.small()).await?;
        self.same("copy-of-parts", &self.body).await
    }

    async fn listings_and_deletions(&self) -> Outcome {
        let list = self
            .client
            .list_objects_v2()
            .bucket(self.bucket)
            .prefix(self.key(""));
        let mut pages = list.into_paginator().page_size(3).send();
        let mut listed = BTreeMap::new();
        while let Some(page) = pages.next().await {
            for object in page?.contents() {
                listed.insert(object.key().unwrap().to_owned(), object.size().unwrap());
            }
        }
        let (large, small) = (self.body.len() as i64, self.small().len() as i64);
        let expected = [
            ("condition", small),
            ("copy-of-parts", large),
            ("copy-of-small", small),
            ("empty", 0),
            ("file", large),
            ("parts", large),
            ("small", small),
        ];
        let expected = expected.map(|(name, size)| (self.key(name), size));
        assert_eq!(listed, BTreeMap::from(expected));
        let delete = self
            .client
            .delete_object()
            .bucket(self.bucket)
            .key(self.key("small"));
        delete.send().await?;
        let ids = listed
            .keys()
            .map(|key| ObjectIdentifier::builder().key(key).build());
        let all = Delete::builder()
            .set_objects(Some(ids.collect::<Result<_, _>>()?))
            .build()?;
        let delete = self.client.delete_objects().bucket(self.bucket).delete(all);
        let deleted = delete.send().await?;
        assert!(deleted.errors().is_empty(), "{deleted:?}");
        let head = self
            .client
            .head_object()
            .bucket(self.bucket)
            .key(self.key("file"));
        let gone = head.send().await.unwrap_err().into_service_error();
        assert!(gone.is_not_found(), "{gone:?}");
        Ok(())
    }
}

/// Prints a request to store an object and one to read it: method, URL and headers, a line each.
async fn presign(client: &Client, bucket: &str, key: &str) -> Outcome {
    let valid = PresigningConfig::expires_in(Duration::from_secs(60))?;
    let put = client
        .put_object()
        .bucket(bucket)
        .key(key)
        .presigned(valid.clone())
        .await?;
    let get = client
        .get_object()
        .bucket(bucket)
        .key(key)
        .presigned(valid)
        .await?;
    for request in [put, get] {
        println!("{} {}", request.method(), request.uri());
        for (name, value) in request.headers() {
            println!("{name}: {value}");
        }
    }
    Ok(())
}

/// The status of a request that must be refused.
fn status<T: Debug, E: Debug>(answer: Result<T, SdkError<E, HttpResponse>>) -> u16 {
    let error = answer.expect_err("a refusal");
    error.raw_response().expect("an answer").status().as_u16()
}

/// The smallest part but the last.
const PART: usize = 5 << 20;
