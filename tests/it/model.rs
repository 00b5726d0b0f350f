//! Random histories of a bucket through two replicas, held against a model in memory: what is read,
//! listed and refused must be what the model says, whichever replica is asked and however often
//! one of them was restarted.
//!
//! `S3SEAL_TEST_SEQUENCES` says how many histories; a history that failed is kept as a test below.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::client::{Answer, Client, Draft, PayloadHash};
use crate::support::upstream::Server;
use crate::support::{Options, Proxy};

const MIB: usize = 1 << 20;
const PART_LEN_MIN: usize = 5 * MIB;
const KEYS: [&str; 4] = ["a", "d/b", "b%20+%C3%BC", "c-c"];

/// One step; which replica takes it is part of it.
#[derive(Clone, Debug)]
struct Step {
    replica: usize,
    action: Action,
}

#[derive(Clone, Debug)]
enum Action {
    Put {
        key: usize,
        body: Body,
        condition: Condition,
    },
    Get {
        key: usize,
    },
    Range {
        key: usize,
        first: usize,
        len: usize,
    },
    Head {
        key: usize,
    },
    Delete {
        key: usize,
    },
    DeleteMany {
        keys: Vec<usize>,
    },
    Copy {
        from: usize,
        to: usize,
        replace: bool,
    },
    List {
        version_two: bool,
        page: usize,
    },
    /// All parts of an upload, the last one first.
    Upload {
        key: usize,
        parts: Vec<Body>,
    },
    Begin {
        key: usize,
    },
    Part {
        upload: usize,
        number: usize,
        body: Body,
    },
    PartCopy {
        upload: usize,
        number: usize,
        from: usize,
        first: usize,
        len: usize,
    },
    Complete {
        upload: usize,
    },
    Abort {
        upload: usize,
    },
    GetVersion {
        key: usize,
        index: usize,
    },
    ListVersions,
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum Condition {
    None,
    Absent,
    Current,
    Other,
}

/// Bytes that follow from two numbers.
#[derive(Clone, Copy, Debug)]
struct Body {
    len: usize,
    seed: usize,
}

impl Body {
    fn bytes(self) -> Bytes {
        // Blocks that tell where they are: made fast, since there are many of them.
        let mut block: Vec<u8> = (0..1024usize).map(|at| (at ^ (at >> 8)) as u8).collect();
        let mut bytes = Vec::with_capacity(self.len + block.len());
        for index in 0..self.len.div_ceil(block.len()) {
            let place = (index as u64) << 32 | self.seed as u64;
            block[..8].copy_from_slice(&place.to_be_bytes());
            bytes.extend_from_slice(&block);
        }
        bytes.truncate(self.len);
        bytes.into()
    }
}

// --- histories ------------------------------------------------------------------------------------

fn body() -> impl Strategy<Value = Body> {
    let len = prop_oneof![
        4 => 0usize..2_000,
        2 => (65_536usize - 2)..(65_536 + 3),
        2 => 100_000usize..300_000,
    ];
    (len, 1usize..1_000_000).prop_map(|(len, seed)| Body { len, seed })
}

fn part_body() -> impl Strategy<Value = Body> {
    prop_oneof![
        3 => body(),
        1 => (0usize..70_000, 1usize..1_000_000)
            .prop_map(|(more, seed)| Body { len: PART_LEN_MIN + more, seed }),
    ]
}

/// None, one or two that need not be the last.
fn large_parts() -> impl Strategy<Value = Vec<Body>> {
    let body = (0usize..70_000, 1usize..1_000_000).prop_map(|(more, seed)| Body {
        len: PART_LEN_MIN + more,
        seed,
    });
    proptest::collection::vec(body, 0..3)
}

fn action() -> impl Strategy<Value = Action> {
    let key = || 0..KEYS.len();
    let condition = prop_oneof![
        5 => Just(Condition::None),
        1 => Just(Condition::Absent),
        1 => Just(Condition::Current),
        1 => Just(Condition::Other),
    ];
    prop_oneof![
        6 => (key(), body(), condition)
            .prop_map(|(key, body, condition)| Action::Put { key, body, condition }),
        3 => key().prop_map(|key| Action::Get { key }),
        4 => (key(), 0usize..400_000, 1usize..100_000)
            .prop_map(|(key, first, len)| Action::Range { key, first, len }),
        2 => key().prop_map(|key| Action::Head { key }),
        2 => key().prop_map(|key| Action::Delete { key }),
        1 => proptest::collection::vec(key(), 1..4).prop_map(|keys| Action::DeleteMany { keys }),
        4 => (key(), key(), any::<bool>())
            .prop_map(|(from, to, replace)| Action::Copy { from, to, replace }),
        3 => (any::<bool>(), 1usize..5)
            .prop_map(|(version_two, page)| Action::List { version_two, page }),
        4 => (key(), large_parts(), body()).prop_map(|(key, mut parts, last)| {
            parts.push(last);
            Action::Upload { key, parts }
        }),
        4 => key().prop_map(|key| Action::Begin { key }),
        8 => (0usize..3, prop_oneof![3 => Just(1usize), 2 => Just(2usize), 1 => Just(3usize)], part_body())
            .prop_map(|(upload, number, body)| Action::Part { upload, number, body }),
        2 => (0usize..3, 1usize..4, key(), 0usize..100_000, 1usize..200_000).prop_map(
            |(upload, number, from, first, len)| Action::PartCopy { upload, number, from, first, len }
        ),
        4 => (0usize..3).prop_map(|upload| Action::Complete { upload }),
        1 => (0usize..3).prop_map(|upload| Action::Abort { upload }),
        2 => (key(), 0usize..6).prop_map(|(key, index)| Action::GetVersion { key, index }),
        1 => Just(Action::ListVersions),
        1 => Just(Action::Restart),
    ]
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    let step = (0usize..2, action()).prop_map(|(replica, action)| Step { replica, action });
    proptest::collection::vec(step, 5..40)
}

// --- the model ------------------------------------------------------------------------------------

/// What a key held once.
#[derive(Clone)]
struct Version {
    id: Option<String>,
    /// `None` for a delete marker.
    object: Option<Object>,
}

#[derive(Clone)]
struct Object {
    body: Bytes,
    etag: String,
    colour: Option<String>,
}

struct Upload {
    key: usize,
    id: String,
    parts: BTreeMap<usize, (String, Bytes)>,
}

#[derive(Default)]
struct Model {
    /// The newest last.
    keys: BTreeMap<usize, Vec<Version>>,
    uploads: Vec<Upload>,
}

impl Model {
    fn object(&self, key: usize) -> Option<&Object> {
        self.keys.get(&key)?.last()?.object.as_ref()
    }
}

/// Two replicas, a bucket, and a history in it.
struct World {
    proxies: Vec<Proxy>,
    server: Server,
    bucket: String,
    is_versioned: bool,
    prefix: String,
    model: Model,
    /// Steps that were taken, and uploads of one and of more parts that were completed.
    steps: usize,
    completed: [usize; 2],
}

impl World {
    async fn start(server: Server, is_versioned: bool) -> Self {
        let bucket = format!("it-model-{}", unique());
        let direct = Client::new(server.address, server.identity);
        let made = direct.draft("PUT", &format!("/{bucket}")).send().await;
        assert_eq!(made.status, 200, "{made:?}");
        if is_versioned {
            let document = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                            <Status>Enabled</Status></VersioningConfiguration>";
            let target = format!("/{bucket}?versioning");
            let enabled = direct.draft("PUT", &target).body(document).send().await;
            assert_eq!(enabled.status, 200, "{enabled:?}");
        }
        let options = options(&server);
        let first = Proxy::start(server.address, options.clone()).await;
        let second = Proxy::start_beside(&first, server.address, options).await;
        Self {
            proxies: vec![first, second],
            server,
            bucket,
            is_versioned,
            prefix: String::new(),
            model: Model::default(),
            steps: 0,
            completed: [0; 2],
        }
    }

    fn draft(&self, replica: usize, method: &str, rest: &str) -> Draft {
        let target = format!("/{}{rest}", self.bucket);
        self.proxies[replica].client().draft(method, &target)
    }

    fn target(&self, key: usize) -> String {
        format!("/{}{}", self.prefix, KEYS[key])
    }

    async fn restart(&mut self, replica: usize) {
        let options = options(&self.server);
        let other = &self.proxies[1 - replica];
        let fresh = Proxy::start_beside(other, self.server.address, options).await;
        std::mem::replace(&mut self.proxies[replica], fresh)
            .stop()
            .await;
    }

    /// Lives through a history that nothing else in the bucket disturbs.
    async fn live(&mut self, history: &[Step]) {
        self.prefix = format!("{}/", unique());
        self.model = Model::default();
        for step in history {
            self.step(step).await;
            self.steps += 1;
        }
        for key in 0..KEYS.len() {
            self.get(key % 2, key).await;
        }
        self.list(0, true, 1000).await;
    }

    async fn step(&mut self, step: &Step) {
        let replica = step.replica;
        match &step.action {
            Action::Put {
                key,
                body,
                condition,
            } => self.put(replica, *key, *body, *condition).await,
            Action::Get { key } => self.get(replica, *key).await,
            Action::Range { key, first, len } => self.range(replica, *key, *first, *len).await,
            Action::Head { key } => self.head(replica, *key).await,
            Action::Delete { key } => self.delete(replica, *key).await,
            Action::DeleteMany { keys } => self.delete_many(replica, keys).await,
            Action::Copy { from, to, replace } => self.copy(replica, *from, *to, *replace).await,
            Action::List { version_two, page } => self.list(replica, *version_two, *page).await,
            Action::Upload { key, parts } => self.upload(replica, *key, parts).await,
            Action::Begin { key } => self.begin(replica, *key).await,
            Action::Part {
                upload,
                number,
                body,
            } => {
                self.part(replica, self.running(*upload), *number, *body)
                    .await;
            }
            Action::PartCopy {
                upload,
                number,
                from,
                first,
                len,
            } => {
                self.part_copy(
                    replica,
                    (self.running(*upload), *number),
                    *from,
                    (*first, *len),
                )
                .await;
            }
            Action::Complete { upload } => self.complete(replica, self.running(*upload)).await,
            Action::Abort { upload } => self.abort(replica, self.running(*upload)).await,
            Action::GetVersion { key, index } => self.get_version(replica, *key, *index).await,
            Action::ListVersions => self.list_versions(replica).await,
            Action::Restart => self.restart(replica).await,
        }
    }

    // --- single objects ---------------------------------------------------------------------------

    fn store(&mut self, key: usize, object: Object, answer: &Answer) {
        let id = answer.header("x-amz-version-id").map(str::to_owned);
        assert_eq!(id.is_some(), self.is_versioned, "{answer:?}");
        self.push(
            key,
            Version {
                id,
                object: Some(object),
            },
        );
    }

    fn push(&mut self, key: usize, version: Version) {
        let versions = self.model.keys.entry(key).or_default();
        if !self.is_versioned {
            versions.clear();
        }
        versions.push(version);
    }

    async fn put(&mut self, replica: usize, key: usize, body: Body, condition: Condition) {
        let current = self.model.object(key).map(|object| object.etag.clone());
        let colour = body.seed.to_string();
        let mut draft = self
            .draft(replica, "PUT", &self.target(key))
            .header("x-amz-meta-colour", &colour)
            .body(body.bytes());
        let status = match (condition, &current) {
            (Condition::None, _) | (Condition::Absent, None) | (Condition::Current, Some(_)) => 200,
            (Condition::Absent | Condition::Other, Some(_)) => 412,
            (Condition::Current | Condition::Other, None) => 404,
        };
        draft = match (condition, &current) {
            (Condition::None, _) => draft,
            (Condition::Absent, _) => draft.header("if-none-match", "*"),
            (Condition::Current, Some(etag)) => draft.header("if-match", etag),
            (Condition::Current | Condition::Other, _) => {
                draft.header("if-match", "\"00000000000000000000000000000000\"")
            }
        };
        let answer = draft.send().await;
        // S3 says 404 where there is nothing to match, SeaweedFS 412.
        let is_refused = status != 200 && matches!(answer.status.as_u16(), 404 | 412);
        assert!(is_refused || answer.status == status, "{answer:?}");
        if status == 200 {
            let object = Object {
                body: body.bytes(),
                etag: answer.header("etag").unwrap().to_owned(),
                colour: Some(colour),
            };
            self.store(key, object, &answer);
        }
    }

    async fn get(&self, replica: usize, key: usize) {
        let answer = self.draft(replica, "GET", &self.target(key)).send().await;
        match self.model.object(key) {
            Some(object) => holds(&answer, object, 200, &object.body),
            None => assert_eq!(answer.status, 404, "{answer:?}"),
        }
    }

    async fn range(&self, replica: usize, key: usize, first: usize, len: usize) {
        let Some(object) = self.model.object(key) else {
            return;
        };
        let range = format!("bytes={first}-{}", first + len - 1);
        let draft = self.draft(replica, "GET", &self.target(key));
        let answer = draft.header("range", &range).send().await;
        if first >= object.body.len() {
            assert_eq!(answer.status, 416, "{range}: {answer:?}");
            return;
        }
        let end = (first + len).min(object.body.len());
        holds(&answer, object, 206, &object.body.slice(first..end));
        let total = format!("bytes {first}-{}/{}", end - 1, object.body.len());
        assert_eq!(answer.header("content-range"), Some(&*total));
    }

    async fn head(&self, replica: usize, key: usize) {
        let answer = self.draft(replica, "HEAD", &self.target(key)).send().await;
        match self.model.object(key) {
            Some(object) => {
                let len = object.body.len().to_string();
                assert_eq!(answer.header("content-length"), Some(&*len), "{answer:?}");
                holds(&answer, object, 200, &Bytes::new());
            }
            None => assert_eq!(answer.status, 404, "{answer:?}"),
        }
    }

    async fn delete(&mut self, replica: usize, key: usize) {
        let answer = self
            .draft(replica, "DELETE", &self.target(key))
            .send()
            .await;
        assert_eq!(answer.status, 204, "{answer:?}");
        let id = answer.header("x-amz-version-id").map(str::to_owned);
        self.forget(key, id);
    }

    fn forget(&mut self, key: usize, marker: Option<String>) {
        if self.is_versioned {
            self.push(
                key,
                Version {
                    id: marker,
                    object: None,
                },
            );
        } else {
            self.model.keys.remove(&key);
        }
    }

    async fn delete_many(&mut self, replica: usize, keys: &[usize]) {
        let mut document = "<Delete>".to_owned();
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        keys.dedup();
        for key in &keys {
            let name = s3seal::s3::uri::decode(&self.target(*key)[1..]).into_owned();
            let name = String::from_utf8(name).unwrap();
            document.push_str(&format!("<Object><Key>{name}</Key></Object>"));
        }
        document.push_str("</Delete>");
        let md5 = crate::support::chunked::md5(document.as_bytes());
        let draft = self.draft(replica, "POST", "?delete").body(document);
        let answer = draft.header("content-md5", &md5).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.elements("Error").len(), 0, "{answer:?}");
        assert_eq!(answer.elements("Deleted").len(), keys.len(), "{answer:?}");
        for key in keys {
            self.forget(key, None);
        }
    }

    async fn copy(&mut self, replica: usize, from: usize, to: usize, replace: bool) {
        let source = format!("{}{}", self.bucket, self.target(from));
        let mut draft = self
            .draft(replica, "PUT", &self.target(to))
            .header("x-amz-copy-source", &source);
        if replace {
            draft = draft
                .header("x-amz-metadata-directive", "REPLACE")
                .header("x-amz-meta-colour", "replaced");
        }
        let answer = draft.send().await;
        let Some(object) = self.model.object(from).cloned() else {
            assert_eq!(answer.status, 404, "{answer:?}");
            return;
        };
        if from == to && !replace {
            assert_eq!(answer.status, 400, "{answer:?}");
            return;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        let colour = if replace {
            Some("replaced".to_owned())
        } else {
            object.colour
        };
        let object = Object {
            body: object.body,
            etag: quoted(&answer.element("ETag")),
            colour,
        };
        self.store(to, object, &answer);
    }

    // --- listings ---------------------------------------------------------------------------------

    async fn list(&self, replica: usize, version_two: bool, page: usize) {
        let prefix = s3seal::s3::uri::encode_component(self.prefix.as_bytes());
        let mut found = Vec::new();
        let mut from = String::new();
        loop {
            let kind = if version_two { "list-type=2&" } else { "" };
            let rest = format!("?{kind}max-keys={page}&prefix={prefix}{from}");
            let answer = self.draft(replica, "GET", &rest).send().await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let sizes = answer.elements("Size");
            let etags = answer.elements("ETag");
            let keys = answer.elements("Key");
            assert_eq!((keys.len(), sizes.len()), (etags.len(), etags.len()));
            for ((key, size), etag) in keys.iter().zip(sizes).zip(etags) {
                found.push((key.clone(), size, quoted(&etag)));
            }
            if answer.element("IsTruncated") != "true" {
                break;
            }
            let encode =
                |text: &str| s3seal::s3::uri::encode_component(text.as_bytes()).into_owned();
            from = if version_two {
                format!(
                    "&continuation-token={}",
                    encode(&answer.element("NextContinuationToken"))
                )
            } else {
                let next = answer.element("NextMarker");
                let next = if next.is_empty() {
                    keys.last().unwrap().clone()
                } else {
                    next
                };
                format!("&marker={}", encode(&next))
            };
        }
        let mut expected: Vec<_> = (0..KEYS.len())
            .filter_map(|key| {
                let object = self.model.object(key)?;
                let name = s3seal::s3::uri::decode(&self.target(key)[1..]).into_owned();
                let name = String::from_utf8(name).unwrap();
                Some((name, object.body.len().to_string(), object.etag.clone()))
            })
            .collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "v2: {version_two}, pages of {page}");
    }

    async fn list_versions(&self, replica: usize) {
        if !self.is_versioned {
            return;
        }
        let prefix = s3seal::s3::uri::encode_component(self.prefix.as_bytes());
        let rest = format!("?versions&prefix={prefix}");
        let answer = self.draft(replica, "GET", &rest).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut found = answer.elements("Size");
        let versions = self.model.keys.values().flatten();
        let objects = versions.filter_map(|version| version.object.as_ref());
        let mut expected: Vec<_> = objects
            .map(|object| object.body.len().to_string())
            .collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{answer:?}");
    }

    async fn get_version(&self, replica: usize, key: usize, index: usize) {
        let versions = self.model.keys.get(&key).filter(|_| self.is_versioned);
        let Some(version) = versions.and_then(|versions| versions.get(index)) else {
            return;
        };
        let (Some(id), Some(object)) = (&version.id, &version.object) else {
            return;
        };
        let rest = format!("{}?versionId={id}", self.target(key));
        let answer = self.draft(replica, "GET", &rest).send().await;
        holds(&answer, object, 200, &object.body);
    }

    // --- multipart --------------------------------------------------------------------------------

    /// Begins at one replica, and goes on at both.
    async fn upload(&mut self, replica: usize, key: usize, parts: &[Body]) {
        self.begin(replica, key).await;
        let upload = self.model.uploads.len() - 1;
        for (index, body) in parts.iter().enumerate().rev() {
            self.part((replica + index) % 2, upload, index + 1, *body)
                .await;
        }
        self.complete(1 - replica, upload).await;
    }

    async fn begin(&mut self, replica: usize, key: usize) {
        let rest = format!("{}?uploads", self.target(key));
        let answer = self.draft(replica, "POST", &rest).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.model.uploads.push(Upload {
            key,
            id: answer.element("UploadId"),
            parts: BTreeMap::new(),
        });
    }

    /// Which of the running uploads a number stands for.
    fn running(&self, upload: usize) -> usize {
        upload % self.model.uploads.len().max(1)
    }

    fn upload_target(&self, upload: usize, number: Option<usize>) -> Option<String> {
        let upload = self.model.uploads.get(upload)?;
        let id = s3seal::s3::uri::encode_component(upload.id.as_bytes());
        let target = self.target(upload.key);
        Some(match number {
            Some(number) => format!("{target}?partNumber={number}&uploadId={id}"),
            None => format!("{target}?uploadId={id}"),
        })
    }

    async fn part(&mut self, replica: usize, upload: usize, number: usize, body: Body) {
        let Some(rest) = self.upload_target(upload, Some(number)) else {
            return;
        };
        let draft = self.draft(replica, "PUT", &rest).body(body.bytes());
        let answer = draft.payload(PayloadHash::Unsigned).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let etag = answer.header("etag").unwrap().to_owned();
        let parts = &mut self.model.uploads[upload].parts;
        parts.insert(number, (etag, body.bytes()));
    }

    async fn part_copy(
        &mut self,
        replica: usize,
        (upload, number): (usize, usize),
        from: usize,
        (first, len): (usize, usize),
    ) {
        let Some(rest) = self.upload_target(upload, Some(number)) else {
            return;
        };
        let source = format!("{}{}", self.bucket, self.target(from));
        let last = first + len - 1;
        let draft = self
            .draft(replica, "PUT", &rest)
            .header("x-amz-copy-source", &source)
            .header("x-amz-copy-source-range", &format!("bytes={first}-{last}"));
        let answer = draft.send().await;
        match self.model.object(from) {
            None => assert_eq!(answer.status, 404, "{answer:?}"),
            Some(object) if last >= object.body.len() => {
                assert_eq!(answer.status, 400, "{answer:?}");
            }
            Some(object) => {
                assert_eq!(answer.status, 200, "{answer:?}");
                let etag = quoted(&answer.element("ETag"));
                let body = object.body.slice(first..=last);
                let parts = &mut self.model.uploads[upload].parts;
                parts.insert(number, (etag, body));
            }
        }
    }

    async fn complete(&mut self, replica: usize, upload: usize) {
        let Some(rest) = self.upload_target(upload, None) else {
            return;
        };
        let parts = &self.model.uploads[upload].parts;
        if parts.is_empty() {
            return;
        }
        let named = parts.iter().map(|(number, (etag, _))| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        });
        let document = named.collect::<String>();
        let document = format!("<CompleteMultipartUpload>{document}</CompleteMultipartUpload>");
        let has_gap = parts.keys().copied().ne(1..=parts.len());
        let data = parts.values().take(parts.len() - 1);
        let is_too_small = data.clone().any(|(_, body)| body.len() < PART_LEN_MIN);
        let whole: Vec<u8> = parts.values().flat_map(|(_, body)| body.clone()).collect();
        let answer = self
            .draft(replica, "POST", &rest)
            .body(document)
            .send()
            .await;
        if has_gap || is_too_small {
            assert_eq!(answer.status, 400, "{answer:?}");
            let code = answer.code();
            assert!(
                has_gap && code == "InvalidPartOrder" || is_too_small && code == "EntityTooSmall",
                "{answer:?}"
            );
            return;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        let upload = self.model.uploads.remove(upload);
        self.completed[usize::from(upload.parts.len() > 1)] += 1;
        let object = Object {
            body: whole.into(),
            etag: quoted(&answer.element("ETag")),
            colour: None,
        };
        self.store(upload.key, object, &answer);
    }

    async fn abort(&mut self, replica: usize, upload: usize) {
        let Some(rest) = self.upload_target(upload, None) else {
            return;
        };
        let answer = self.draft(replica, "DELETE", &rest).send().await;
        assert_eq!(answer.status, 204, "{answer:?}");
        self.model.uploads.remove(upload);
    }
}

/// The answer shows this object, and these of its bytes.
fn holds(answer: &Answer, object: &Object, status: u16, body: &Bytes) {
    assert_eq!(answer.status, status, "{:?}", answer.headers);
    assert!(
        answer.body == *body,
        "{} bytes: {:?}",
        answer.body.len(),
        answer.headers
    );
    assert_eq!(answer.header("etag"), Some(&*object.etag));
    assert_eq!(answer.header("x-amz-meta-colour"), object.colour.as_deref());
}

/// The text of an element that holds quotes.
fn quoted(text: &str) -> String {
    text.replace("&quot;", "\"").replace("&#34;", "\"")
}

fn options(server: &Server) -> Options {
    Options {
        identity: Some(server.identity),
        ..Options::default()
    }
}

/// A name that no other run uses.
fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{next}", now.as_nanos() % (1 << 60))
}

// --- tests ----------------------------------------------------------------------------------------

/// Lives through as many histories as are asked for.
fn many(is_versioned: bool) {
    let Some(server) = Server::from_environment("S3SEAL_TEST_SEAWEEDFS") else {
        return;
    };
    let asked = std::env::var("S3SEAL_TEST_SEQUENCES").ok();
    let asked: u32 = asked.map_or(150, |asked| asked.parse().expect("a number"));
    let config = Config {
        cases: asked / 2,
        failure_persistence: None,
        max_shrink_iters: 1_000,
        max_shrink_time: 120_000,
        ..Config::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::start(server, is_versioned));
    let world = std::cell::RefCell::new(world);
    let outcome = TestRunner::new(config).run(&history(), |history| {
        runtime.block_on(world.borrow_mut().live(&history));
        Ok(())
    });
    outcome.unwrap();
    let world = world.into_inner();
    assert!(world.steps > 5 * asked as usize / 2);
    let [single, more] = world.completed;
    assert!(
        single > 0 && more > 0,
        "{single} uploads of one part and {more} of more"
    );
}

#[test]
fn histories_of_a_bucket_are_as_the_model_says() {
    many(false);
}

#[test]
fn histories_of_a_versioned_bucket_are_as_the_model_says() {
    many(true);
}
