//! The differential suite: hundreds of generated requests, each sent to a server directly and through
//! the proxy. Status, headers, body and document must be equal but for what `allowed.rs` and
//! `known.rs` list, each with its reason; an entry that no request needs is an error.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};

use super::known::KNOWN;
use super::multipart::Upload;
use super::pair::{Pair, Way, plaintext};
use crate::support::chunked;
use crate::support::client::Draft;

/// One request, the same on both ways but for what stands in braces.
#[derive(Clone, Debug)]
struct Case {
    /// Says what is asked, for `known.rs` and for people.
    name: String,
    method: &'static str,
    /// Behind the name of the bucket.
    rest: String,
    /// `{etag}` is the entity tag of the object on that way, `{bare}` without its quotes.
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

/// Objects that are there before anything is asked.
const OBJECTS: &[(&str, usize)] = &[
    ("empty", 0),
    ("one", 1),
    ("chunk-less-one", 65_535),
    ("chunk", 65_536),
    ("chunk-and-one", 65_537),
    ("many", 200_000),
];

const MULTIPART: &str = "parts";

/// Fewer would be a loss.
const CASES_LEAST: usize = 500;

const AT_ONCE: usize = 16;

const OTHER: &str = "\"00000000000000000000000000000000\"";
const PAST: &str = "Sat, 01 Jan 2000 00:00:00 GMT";
const FUTURE: &str = "Thu, 01 Dec 2033 16:00:00 GMT";

/// See the module.
pub async fn every_request_is_answered_alike(pair: &Pair) {
    let etags = fill(pair).await;
    let reads = [
        ranges(),
        conditions(),
        reads(),
        listings(),
        missing(),
        refusals(),
    ]
    .concat();
    let writes = [
        puts(),
        checksums(),
        tags(),
        deletions(),
        uploads(),
        copies(),
    ]
    .concat();
    let names: BTreeSet<&String> = reads.iter().chain(&writes).map(|case| &case.name).collect();
    assert_eq!(
        names.len(),
        reads.len() + writes.len(),
        "a name stands twice"
    );
    assert!(names.len() >= CASES_LEAST, "only {} cases", names.len());
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let asked = stream::iter(&reads).map(|case| ask(pair, &etags, case));
    let mut asked = asked.buffer_unordered(AT_ONCE);
    while let Some((name, differences)) = asked.next().await {
        found.insert(name, differences);
    }
    // One after the other: they are about what the one before has written.
    for case in &writes {
        let (name, differences) = ask(pair, &etags, case).await;
        found.insert(name, differences);
    }
    judge(pair.name, &found);
}

/// Every difference is known, and everything known is different.
fn judge(server: &str, found: &BTreeMap<String, Vec<String>>) {
    let mut needed = BTreeSet::new();
    let mut report = Vec::new();
    for (name, differences) in found {
        for difference in differences {
            let mut entries = KNOWN.iter().enumerate().filter(|(_, known)| {
                known.server == server
                    && wildmatch::WildMatch::new(known.case).matches(name)
                    && wildmatch::WildMatch::new(known.difference).matches(difference)
            });
            match entries.next() {
                Some((index, _)) => drop(needed.insert(index)),
                None => report.push(format!("{name}: {difference}")),
            }
        }
    }
    for (index, known) in KNOWN.iter().enumerate() {
        assert!(!known.reason.is_empty(), "{known:?}");
        if known.server == server && !needed.contains(&index) {
            report.push(format!("no longer needed: {known:?}"));
        }
    }
    assert!(
        report.is_empty(),
        "{server}: {} of {} requests:\n{}",
        report.len(),
        found.len(),
        report.join("\n")
    );
}

async fn ask(pair: &Pair, etags: &Etags, case: &Case) -> (String, Vec<String>) {
    let draft = |way: &Way| {
        let own = etags.of(pair, way, &case.rest);
        case.headers.iter().fold(
            way.draft(case.method, &case.rest).body(case.body.clone()),
            |draft: Draft, (name, value)| {
                let value = value
                    .replace("{etag}", own)
                    .replace("{bare}", own.trim_matches('"'));
                draft.header(name, &value.replace("{bucket}", &way.bucket))
            },
        )
    };
    let answers = pair.both(draft).await;
    let mut differences = pair.differences(&answers.direct, &answers.proxied);
    let (direct, proxied) = (answers.direct.status, answers.proxied.status);
    if direct != proxied {
        let codes = (answers.direct.code(), answers.proxied.code());
        differences = vec![format!(
            "status {} {} and {} {}",
            direct.as_u16(),
            codes.0,
            proxied.as_u16(),
            codes.1
        )];
    }
    (case.name.clone(), differences)
}

/// The entity tags of the objects on both ways.
struct Etags(BTreeMap<String, (String, String)>);

impl Etags {
    fn of(&self, pair: &Pair, way: &Way, rest: &str) -> &str {
        let key = rest.split('?').next().unwrap_or_default();
        match self.0.get(key.trim_start_matches('/')) {
            Some((direct, _)) if std::ptr::eq(way, &raw const pair.direct) => direct,
            Some((_, proxied)) => proxied,
            None => OTHER,
        }
    }
}

async fn fill(pair: &Pair) -> Etags {
    let mut etags = BTreeMap::new();
    for (key, len) in OBJECTS {
        let put = |way: &Way| {
            way.draft("PUT", &format!("/{key}"))
                .header("content-type", "text/x-case; charset=utf-8")
                .header("cache-control", "max-age=60")
                .header("x-amz-meta-colour", "blue")
                .body(plaintext(*len))
        };
        let stored = pair.same_success(key, put).await;
        let etag =
            |answer: &crate::support::client::Answer| answer.header("etag").unwrap().to_owned();
        etags.insert(
            (*key).to_owned(),
            (etag(&stored.direct), etag(&stored.proxied)),
        );
    }
    let mut of_parts = Vec::new();
    for way in [&pair.direct, &pair.proxied] {
        let upload = Upload::create(way, "/parts").await;
        let body = plaintext((5 << 20) + 100_000);
        let first = upload.put(1, body.slice(..5 << 20)).await;
        let second = upload.put(2, body.slice(5 << 20..)).await;
        let done = upload.complete(&[(1, first), (2, second)]).await;
        assert_eq!(done.status, 200, "{done:?}");
        let head = way.draft("HEAD", "/parts").send().await;
        of_parts.push(head.header("etag").unwrap().to_owned());
    }
    let [direct, proxied] = <[String; 2]>::try_from(of_parts).unwrap();
    etags.insert(MULTIPART.to_owned(), (direct, proxied));
    Etags(etags)
}

fn case(name: impl Into<String>, method: &'static str, rest: impl Into<String>) -> Case {
    Case {
        name: name.into(),
        method,
        rest: rest.into(),
        headers: Vec::new(),
        body: Bytes::new(),
    }
}

impl Case {
    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// With the MD5 that operations on documents ask for.
    fn document(self, document: &str) -> Self {
        let md5 = chunked::md5(document.as_bytes());
        self.header("content-md5", md5)
            .header("content-type", "application/xml")
            .body(document.to_owned())
    }
}

/// Every shape of a range, of every object.
fn ranges() -> Vec<Case> {
    let mut cases = Vec::new();
    let objects = OBJECTS
        .iter()
        .copied()
        .chain([(MULTIPART, (5 << 20) + 100_000)]);
    for (key, len) in objects {
        let last = len.saturating_sub(1);
        let shapes = [
            "bytes=0-0".to_owned(),
            "bytes=0-".to_owned(),
            format!("bytes=0-{last}"),
            format!("bytes=0-{}", len + 1000),
            format!("bytes={last}-"),
            format!("bytes={}-", len / 2),
            format!("bytes={}-{}", len / 3, len / 2),
            "bytes=-1".to_owned(),
            "bytes=-1000".to_owned(),
            format!("bytes=-{}", len + 1000),
            format!("bytes={len}-"),
            format!("bytes={}-{}", len + 10, len + 20),
            "bytes=-0".to_owned(),
            "bytes=5-2".to_owned(),
            "bytes=".to_owned(),
            "bytes=a-b".to_owned(),
            "bytes=-".to_owned(),
            "octets=0-1".to_owned(),
            "bytes=0-0,2-3".to_owned(),
            "bytes=0-18446744073709551615".to_owned(),
        ];
        // Of short objects some are the same.
        for range in BTreeSet::from(shapes) {
            for method in ["GET", "HEAD"] {
                let name = format!("range {method} {key} {range}");
                cases.push(case(name, method, format!("/{key}")).header("range", range.clone()));
            }
        }
    }
    cases
}

/// Every condition, alone and together, on an object and on none.
fn conditions() -> Vec<Case> {
    let conditions: &[&[(&'static str, &str)]] = &[
        &[("if-match", "{etag}")],
        &[("if-match", "{bare}")],
        &[("if-match", OTHER)],
        &[("if-match", "*")],
        &[("if-none-match", "{etag}")],
        &[("if-none-match", "{bare}")],
        &[("if-none-match", OTHER)],
        &[("if-none-match", "*")],
        &[("if-none-match", "W/{etag}")],
        &[("if-modified-since", PAST)],
        &[("if-modified-since", FUTURE)],
        &[("if-modified-since", "yesterday")],
        &[("if-unmodified-since", PAST)],
        &[("if-unmodified-since", FUTURE)],
        &[("if-unmodified-since", "yesterday")],
        &[("if-match", "{etag}"), ("if-unmodified-since", PAST)],
        &[("if-match", OTHER), ("if-unmodified-since", FUTURE)],
        &[("if-none-match", OTHER), ("if-modified-since", FUTURE)],
        &[("if-none-match", "{etag}"), ("if-modified-since", PAST)],
        &[("if-match", "{etag}"), ("if-none-match", "{etag}")],
    ];
    let mut cases = Vec::new();
    for key in ["many", "empty", MULTIPART, "missing"] {
        for method in ["GET", "HEAD"] {
            for condition in conditions {
                let words: Vec<String> = condition
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}"))
                    .collect();
                let name = format!("condition {method} {key} {}", words.join(" "));
                let mut case = case(name, method, format!("/{key}"));
                for (name, value) in *condition {
                    case = case.header(name, *value);
                }
                cases.push(case);
            }
        }
    }
    cases
}

/// Reads with parameters.
fn reads() -> Vec<Case> {
    let mut cases = Vec::new();
    for key in ["many", "empty", MULTIPART] {
        for query in [
            "response-content-type=text%2Fplain",
            "response-cache-control=no-cache",
            "response-content-disposition=attachment%3B%20filename%3D%22x%22",
            "response-content-encoding=identity",
            "response-content-language=fr",
            "response-expires=Thu%2C%2001%20Dec%202033%2016%3A00%3A00%20GMT",
            "partNumber=1",
            "partNumber=0",
            "partNumber=x",
            "versionId=null",
            "x-id=GetObject",
            "tagging",
            "acl",
            "attributes",
            "legal-hold",
            "retention",
            "torrent-not",
        ] {
            for method in ["GET", "HEAD"] {
                if method == "HEAD" && !query.contains('=') {
                    continue;
                }
                let name = format!("read {method} {key}?{query}");
                cases.push(case(name, method, format!("/{key}?{query}")));
            }
        }
    }
    cases
}

/// All three listings with all parameters.
fn listings() -> Vec<Case> {
    let mut cases = Vec::new();
    for list in ["", "list-type=2", "versions"] {
        for query in [
            "",
            "prefix=m",
            "prefix=nothing",
            "delimiter=-",
            "delimiter=-&prefix=chunk",
            "max-keys=0",
            "max-keys=1",
            "max-keys=3",
            "max-keys=1000",
            "max-keys=2000",
            "max-keys=-1",
            "max-keys=x",
            "encoding-type=url",
            "encoding-type=none",
            "encoding-type=url&prefix=o",
            "marker=many",
            "start-after=many",
            "key-marker=many",
            "fetch-owner=true",
            "delimiter=-&max-keys=2",
            "continuation-token=",
        ] {
            let joined = [list, query]
                .iter()
                .filter(|it| !it.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .join("&");
            let name = format!("list ?{joined} of {list:?}");
            cases.push(case(name, "GET", format!("?{joined}")));
        }
    }
    for query in [
        "uploads",
        "location",
        "versioning",
        "cors",
        "policy",
        "lifecycle",
        "tagging",
        "acl",
        "notification",
        "logging",
        "website",
        "replication",
        "object-lock",
        "policyStatus",
        "ownershipControls",
        "publicAccessBlock",
        "requestPayment",
        "accelerate",
        "uploads&prefix=x",
        "uploads&max-uploads=1",
        "uploads&max-uploads=x",
    ] {
        cases.push(case(
            format!("bucket GET ?{query}"),
            "GET",
            format!("?{query}"),
        ));
    }
    cases.push(case("bucket HEAD", "HEAD", ""));
    cases
}

/// Keys and buckets that are not there.
fn missing() -> Vec<Case> {
    let mut cases = Vec::new();
    for method in ["GET", "HEAD", "DELETE"] {
        for query in ["", "?tagging", "?acl", "?partNumber=1", "?versionId=null"] {
            let rest = format!("/missing{query}");
            if method != "GET" && query == "?acl" {
                continue;
            }
            cases.push(case(format!("missing key {method} {query}"), method, rest));
        }
        // The rest of the bucket's name.
        for rest in ["-none", "-none/key", "-none/a/b"] {
            cases.push(case(
                format!("missing bucket {method} {rest}"),
                method,
                rest,
            ));
        }
    }
    for query in [
        "?list-type=2",
        "?versions",
        "?uploads",
        "?location",
        "?policy",
        "?tagging",
    ] {
        cases.push(case(
            format!("missing bucket list {query}"),
            "GET",
            format!("-none{query}"),
        ));
    }
    // SeaweedFS makes a bucket of it.
    cases.push(case("missing bucket PUT", "PUT", "-void/key").body("x"));
    cases.push(case("missing upload GET", "GET", "/many?uploadId=none"));
    cases.push(case(
        "missing upload DELETE",
        "DELETE",
        "/many?uploadId=none",
    ));
    cases
}

/// What no server should do.
fn refusals() -> Vec<Case> {
    let long = "k".repeat(1025);
    vec![
        case("refused key of 1,025 bytes GET", "GET", format!("/{long}")),
        case(
            "refused key of 1,025 bytes HEAD",
            "HEAD",
            format!("/{long}"),
        ),
        case("refused MD5 that is none", "PUT", "/refused")
            .header("content-md5", "nonsense")
            .body("x"),
        case("refused MD5 of other bytes", "PUT", "/refused")
            .header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")
            .body("x"),
        case("refused storage class", "PUT", "/refused")
            .header("x-amz-storage-class", "GOLD")
            .body("x"),
        case("refused acl", "PUT", "/refused")
            .header("x-amz-acl", "everything")
            .body("x"),
        case("refused deletion without MD5", "POST", "?delete").body("<Delete/>"),
        case("refused deletion that is none", "POST", "?delete").document("<Delete"),
        case(
            "refused completion that is none",
            "POST",
            "/many?uploadId=none",
        )
        .document("<x/>"),
        case(
            "refused upload part without id",
            "PUT",
            "/many?partNumber=1&uploadId=none",
        )
        .body("x"),
    ]
}

/// Objects with every kind of header, and what comes back.
fn puts() -> Vec<Case> {
    let variants: &[(&str, &[(&'static str, &str)])] = &[
        ("plain", &[("content-type", "text/plain")]),
        (
            "cached",
            &[("content-type", "a/b"), ("cache-control", "no-store")],
        ),
        (
            "encoded",
            &[("content-type", "a/b"), ("content-encoding", "gzip")],
        ),
        (
            "disposed",
            &[
                ("content-type", "a/b"),
                ("content-disposition", "inline; filename=\"x y\""),
            ],
        ),
        (
            "in-french",
            &[("content-type", "a/b"), ("content-language", "fr, de")],
        ),
        ("expiring", &[("content-type", "a/b"), ("expires", FUTURE)]),
        (
            "expiring-badly",
            &[("content-type", "a/b"), ("expires", "0")],
        ),
        (
            "described",
            &[
                ("content-type", "a/b"),
                ("x-amz-meta-a", "1"),
                ("x-amz-meta-b-c", "x y z"),
            ],
        ),
        (
            "described-in-unicode",
            &[
                ("content-type", "a/b"),
                ("x-amz-meta-u", "=?UTF-8?Q?=C3=A9?="),
            ],
        ),
        (
            "described-by-nothing",
            &[("content-type", "a/b"), ("x-amz-meta-e", "")],
        ),
        (
            "tagged",
            &[("content-type", "a/b"), ("x-amz-tagging", "a=1&b=2")],
        ),
        (
            "private",
            &[("content-type", "a/b"), ("x-amz-acl", "private")],
        ),
        (
            "standard",
            &[("content-type", "a/b"), ("x-amz-storage-class", "STANDARD")],
        ),
        ("first", &[("content-type", "a/b"), ("if-none-match", "*")]),
    ];
    let mut cases = Vec::new();
    for (key, headers) in variants {
        for (kind, len) in [("short", 10), ("long", 100_000)] {
            let rest = format!("/put-{key}-{kind}");
            let mut put =
                case(format!("put {key} {kind}"), "PUT", rest.clone()).body(plaintext(len));
            for (name, value) in *headers {
                put = put.header(name, *value);
            }
            cases.push(put);
            for method in ["GET", "HEAD"] {
                cases.push(case(
                    format!("put {key} {kind} {method}"),
                    method,
                    rest.clone(),
                ));
            }
        }
    }
    for (index, key) in [
        "a%20b",
        "a%2Bb",
        "%C3%A9",
        "a//b",
        "a%3Fb",
        "a%26b%3Dc",
        "a%23b",
        "~tilde",
        "a%25b",
        "%2A%21%27%28%29",
        "a%3Bb%3Ac%40d%2Ce%24f",
        "a/./b",
    ]
    .into_iter()
    .enumerate()
    {
        let rest = format!("/odd-{index}-{key}");
        let put = case(format!("odd key {key} PUT"), "PUT", rest.clone());
        cases.push(put.header("content-type", "a/b").body("odd"));
        for method in ["GET", "HEAD", "DELETE"] {
            cases.push(case(
                format!("odd key {key} {method}"),
                method,
                rest.clone(),
            ));
        }
    }
    cases
}

/// Checksums that hold, that do not, and that are none.
fn checksums() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, right) in [
        ("x-amz-checksum-crc32", "DUoRhQ=="),
        ("x-amz-checksum-crc32c", "yZRlqg=="),
        ("x-amz-checksum-crc64nvme", "jSnVw/bqjr4="),
        ("x-amz-checksum-sha1", "Kq5sNclPz7QV2+lfQIuc6R7oRu0="),
        (
            "x-amz-checksum-sha256",
            "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=",
        ),
    ] {
        for (what, value) in [("right", right), ("short", "AA=="), ("none", "?")] {
            let put = case(format!("checksum {name} {what}"), "PUT", format!("/{name}"));
            cases.push(
                put.header("content-type", "a/b")
                    .header(name, value)
                    .body("hello world"),
            );
        }
        let read = case(format!("checksum {name} GET"), "GET", format!("/{name}"));
        cases.push(read.header("x-amz-checksum-mode", "ENABLED"));
    }
    cases
}

fn tags() -> Vec<Case> {
    let tags = |pairs: &[(&str, &str)]| {
        let pairs = pairs
            .iter()
            .map(|(key, value)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>"));
        format!(
            "<Tagging><TagSet>{}</TagSet></Tagging>",
            pairs.collect::<String>()
        )
    };
    let mut cases = Vec::new();
    for rest in ["/one?tagging", "?tagging"] {
        for (what, document) in [
            ("one", tags(&[("a", "1")])),
            ("two", tags(&[("a", "1"), ("b", "x y")])),
            ("none", tags(&[])),
            ("broken", "<Tagging><TagSet>".to_owned()),
        ] {
            cases.push(case(format!("tags PUT {rest} {what}"), "PUT", rest).document(&document));
            cases.push(case(format!("tags GET {rest} {what}"), "GET", rest));
        }
        cases.push(case(format!("tags DELETE {rest}"), "DELETE", rest));
        cases.push(case(format!("tags GET {rest} after"), "GET", rest));
    }
    cases
}

fn deletions() -> Vec<Case> {
    let object = |key: &str| format!("<Object><Key>{key}</Key></Object>");
    let mut cases = Vec::new();
    for (what, inner) in [
        ("one", object("put-plain-short")),
        ("one that is missing", object("never-there")),
        ("another", object("put-cached-short")),
        (
            "quietly",
            format!("<Quiet>true</Quiet>{}", object("put-encoded-short")),
        ),
        ("a key with signs", object("a&amp;b &lt;c&gt;")),
        ("nothing", String::new()),
    ] {
        let document = format!("<Delete>{inner}</Delete>");
        cases.push(case(format!("delete {what}"), "POST", "?delete").document(&document));
    }
    for key in [
        "put-plain-short",
        "put-cached-long",
        "put-encoded-short",
        "put-encoded-long",
    ] {
        cases.push(case(format!("deleted {key}"), "HEAD", format!("/{key}")));
        cases.push(case(format!("delete {key}"), "DELETE", format!("/{key}")));
    }
    cases
}

/// Calls about uploads of nobody: what they make is compared elsewhere.
fn uploads() -> Vec<Case> {
    let part =
        |number: u32| format!("<Part><PartNumber>{number}</PartNumber><ETag>{OTHER}</ETag></Part>");
    let complete =
        |inner: String| format!("<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>");
    vec![
        case("upload complete of nobody", "POST", "/u?uploadId=none").document(&complete(part(1))),
        case("upload complete of nothing", "POST", "/u?uploadId=none")
            .document(&complete(String::new())),
        case("upload part 0", "PUT", "/u?partNumber=0&uploadId=none").body("x"),
        case(
            "upload part 10001",
            "PUT",
            "/u?partNumber=10001&uploadId=none",
        )
        .body("x"),
        case("upload part x", "PUT", "/u?partNumber=x&uploadId=none").body("x"),
        case(
            "upload part of nobody",
            "PUT",
            "/u?partNumber=1&uploadId=none",
        )
        .body("x"),
        case("upload list of nobody", "GET", "/u?uploadId=none"),
        case("upload abort of nobody", "DELETE", "/u?uploadId=none"),
    ]
}

fn copies() -> Vec<Case> {
    let copy = |name: &str, source: &str| {
        let name = format!("copy {name}");
        let to = format!("/{}", name.replace(' ', "-"));
        case(name, "PUT", to).header("x-amz-copy-source", source)
    };
    let read = |name: &str| {
        let of = format!("/copy-{}", name.replace(' ', "-"));
        case(format!("copied {name}"), "GET", of)
    };
    let of_many = "/{bucket}/many";
    vec![
        copy("plain", of_many),
        read("plain"),
        copy("without a slash", "{bucket}/many"),
        read("without a slash"),
        copy("empty", "/{bucket}/empty"),
        read("empty"),
        copy("replaced", of_many)
            .header("x-amz-metadata-directive", "REPLACE")
            .header("content-type", "new/type")
            .header("x-amz-meta-colour", "red"),
        read("replaced"),
        copy("with tags", of_many)
            .header("x-amz-tagging-directive", "REPLACE")
            .header("x-amz-tagging", "a=1"),
        read("with tags"),
        copy("of parts", "/{bucket}/parts"),
        read("of parts"),
        copy("missing", "/{bucket}/missing"),
        copy("of no bucket", "/{bucket}-none/many"),
        copy("of nothing", "/"),
        copy("if match other", of_many).header("x-amz-copy-source-if-match", OTHER),
        copy("if none match other", of_many).header("x-amz-copy-source-if-none-match", OTHER),
        copy("if modified since past", of_many).header("x-amz-copy-source-if-modified-since", PAST),
        copy("if unmodified since past", of_many)
            .header("x-amz-copy-source-if-unmodified-since", PAST),
        copy("if unmodified since future", of_many)
            .header("x-amz-copy-source-if-unmodified-since", FUTURE),
        copy("badly directed", of_many).header("x-amz-metadata-directive", "SOMETIMES"),
        case("copy onto itself", "PUT", "/many").header("x-amz-copy-source", of_many),
        case("copy onto itself replaced", "PUT", "/many")
            .header("x-amz-copy-source", of_many)
            .header("x-amz-metadata-directive", "REPLACE")
            .header("content-type", "new/type"),
        case("copied onto itself", "GET", "/many"),
    ]
}
