//! Multipart uploads: whatever the order, the sizes and the replica, what comes out is what went in.

use bytes::Bytes;

use super::pair::{Pair, Way, plaintext};
use crate::support::client::Answer;

const MIB: usize = 1 << 20;

/// A running upload on one way.
pub struct Upload<'a> {
    way: &'a Way,
    key: &'a str,
    pub id: String,
}

impl<'a> Upload<'a> {
    pub async fn create(way: &'a Way, key: &'a str) -> Self {
        let created = way.draft("POST", &format!("{key}?uploads")).send().await;
        assert_eq!(created.status, 200, "{created:?}");
        let id = created.element("UploadId");
        assert!(!id.is_empty());
        Self { way, key, id }
    }

    fn query(&self) -> String {
        format!(
            "uploadId={}",
            s3seal::s3::uri::encode_component(self.id.as_bytes())
        )
    }

    /// What a part is put to, within the bucket.
    pub fn part_target(&self, number: usize) -> String {
        format!("{}?partNumber={number}&{}", self.key, self.query())
    }

    pub async fn part(&self, number: usize, body: impl Into<Bytes>) -> Answer {
        let rest = self.part_target(number);
        self.way.draft("PUT", &rest).body(body).send().await
    }

    /// Uploads a part and returns its entity tag.
    pub async fn put(&self, number: usize, body: impl Into<Bytes>) -> String {
        let answer = self.part(number, body).await;
        assert_eq!(answer.status, 200, "part {number}: {answer:?}");
        answer.header("etag").unwrap().to_owned()
    }

    pub async fn list(&self) -> Answer {
        let rest = format!("{}?{}", self.key, self.query());
        self.way.draft("GET", &rest).send().await
    }

    pub async fn complete(&self, parts: &[(usize, String)]) -> Answer {
        let named = parts.iter().map(|(number, etag)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        });
        let named: String = named.collect();
        let document = format!("<CompleteMultipartUpload>{named}</CompleteMultipartUpload>");
        let rest = format!("{}?{}", self.key, self.query());
        self.way.draft("POST", &rest).body(document).send().await
    }

    pub async fn abort(&self) -> Answer {
        let rest = format!("{}?{}", self.key, self.query());
        self.way.draft("DELETE", &rest).send().await
    }

    /// Parts of these lengths, the last one first, and the whole.
    pub async fn whole(&self, lens: &[usize]) -> Bytes {
        let body = plaintext(lens.iter().sum());
        let mut parts = Vec::new();
        let mut end = body.len();
        for (index, len) in lens.iter().enumerate().rev() {
            let part = body.slice(end - len..end);
            parts.push((index + 1, self.put(index + 1, part).await));
            end -= len;
        }
        parts.reverse();
        let done = self.complete(&parts).await;
        assert_eq!(done.status, 200, "{done:?}");
        assert!(!done.element("ETag").is_empty(), "{done:?}");
        body
    }
}

pub async fn parts_in_any_order_make_one_object(pair: &Pair) {
    let way = &pair.proxied;
    for (key, lens) in [
        ("/one", vec![70_000]),
        ("/one-large", vec![6 * MIB]),
        ("/empty", vec![0]),
        ("/equal", vec![5 * MIB, 5 * MIB, 5 * MIB]),
        ("/short-last", vec![5 * MIB, 5 * MIB, 1]),
        (
            "/odd",
            vec![5 * MIB + 1, 7 * MIB, 5 * MIB + 65_537, 100_000],
        ),
    ] {
        let upload = Upload::create(way, key).await;
        let body = upload.whole(&lens).await;
        let get = way.draft("GET", key).send().await;
        assert_eq!(get.status, 200, "{key}: {:?}", get.headers);
        assert!(get.body == body, "{key}");
        let head = way.draft("HEAD", key).send().await;
        assert_eq!(
            head.header("content-length"),
            Some(&*body.len().to_string()),
            "{key}"
        );
        assert_eq!(head.header("etag"), get.header("etag"), "{key}");
        assert_eq!(head.header("x-amz-server-side-encryption"), Some("aws:kms"));
    }
}

pub async fn ranges_and_parts_of_multipart_objects_equal_slices(pair: &Pair) {
    let way = &pair.proxied;
    for (key, lens) in [
        ("/equal", vec![5 * MIB, 5 * MIB, 3 * MIB]),
        ("/odd", vec![5 * MIB + 1, 6 * MIB, 100_000]),
        ("/sealed", vec![5 * MIB, 5 * MIB]),
    ] {
        let body = Upload::create(way, key).await.whole(&lens).await;
        let len = body.len();
        for (first, last) in [
            (0, 0),
            (0, len - 1),
            (1, 100),
            (5 * MIB - 1, 5 * MIB),
            (5 * MIB + 20_000, 5 * MIB + 20_001),
            (3 * MIB, len - 2),
            (len - 1, len - 1),
            (len - 10, len + 1000),
        ] {
            let range = format!("bytes={first}-{last}");
            let slice = body.slice(first..len.min(last + 1));
            // Cold, then by the layout that is known.
            for _ in 0..2 {
                let get = way.draft("GET", key).header("range", &range).send().await;
                assert_eq!(get.status, 206, "{key} {range}: {:?}", get.headers);
                let shown = format!("bytes {first}-{}/{len}", first + slice.len() - 1);
                assert_eq!(get.header("content-range"), Some(&*shown));
                assert!(get.body == slice, "{key} {range}");
                let head = way.draft("HEAD", key).header("range", &range).send().await;
                assert_eq!(head.header("content-range"), Some(&*shown), "{key} {range}");
            }
        }
        for (range, start) in [
            ("bytes=-70000", len - 70_000),
            ("bytes=9000000-", 9_000_000),
        ] {
            let get = way.draft("GET", key).header("range", range).send().await;
            assert!(get.body == body.slice(start..), "{key} {range}");
        }
        let beyond = way
            .draft("GET", key)
            .header("range", &format!("bytes={len}-"))
            .send()
            .await;
        assert_eq!(
            (beyond.status.as_u16(), beyond.code()),
            (416, "InvalidRange".to_owned())
        );
        assert_eq!(beyond.element("ActualObjectSize"), len.to_string());
        let mut start = 0;
        for (index, part) in lens.iter().enumerate() {
            let rest = format!("{key}?partNumber={}", index + 1);
            for method in ["GET", "HEAD"] {
                let get = way.draft(method, &rest).send().await;
                assert_eq!(get.status, 206, "{rest}: {:?}", get.headers);
                assert_eq!(
                    get.header("x-amz-mp-parts-count"),
                    Some(&*lens.len().to_string())
                );
                let shown = format!("bytes {start}-{}/{len}", start + part - 1);
                assert_eq!(
                    get.header("content-range"),
                    Some(&*shown),
                    "{method} {rest}"
                );
                assert!(
                    method == "HEAD" || get.body == body.slice(start..start + part),
                    "{rest}"
                );
            }
            start += part;
        }
        let rest = format!("{key}?partNumber={}", lens.len() + 1);
        let none = way.draft("GET", &rest).send().await;
        assert_eq!(
            (none.status.as_u16(), none.code()),
            (416, "InvalidPartNumber".to_owned())
        );
    }
}

/// The last part begins where it would if all were as large as the first.
pub async fn parts_that_only_look_equal_are_found(pair: &Pair) {
    let way = &pair.proxied;
    let lens = [6 * MIB, 7 * MIB, 5 * MIB, 100_000];
    let starts = [0, 6 * MIB, 13 * MIB, 18 * MIB];
    let get = async |key: &str, first: usize, last: usize, body: &Bytes| {
        let range = format!("bytes={first}-{last}");
        let got = way.draft("GET", key).header("range", &range).send().await;
        assert_eq!(got.status, 206, "{key} {range}: {:?}", got.headers);
        assert!(got.body == body.slice(first..=last), "{key} {range}");
    };
    // What is asked for first, of an object that nothing is known of.
    let cold = Upload::create(way, "/inside").await.whole(&lens).await;
    get("/inside", 13 * MIB + 70_000, 13 * MIB + 80_000, &cold).await;
    get("/inside", 6 * MIB, 18 * MIB + 1000, &cold).await;
    let cold = Upload::create(way, "/across").await.whole(&lens).await;
    get("/across", 12 * MIB, 13 * MIB, &cold).await;
    get("/across", 5 * MIB, 18_950_000, &cold).await;
    Upload::create(way, "/part").await.whole(&lens).await;
    for (index, (start, len)) in starts.into_iter().zip(lens).enumerate().rev() {
        for method in ["HEAD", "GET"] {
            let rest = format!("/part?partNumber={}", index + 1);
            let got = way.draft(method, &rest).send().await;
            assert_eq!(got.status, 206, "{method} {rest}: {:?}", got.headers);
            let last = start + len - 1;
            let shown = format!("bytes {start}-{last}/{}", cold.len());
            assert_eq!(
                got.header("content-range"),
                Some(&*shown),
                "{method} {rest}"
            );
            assert!(method == "HEAD" || got.body == cold.slice(start..=last));
        }
    }
}

pub async fn lists_of_parts_show_plaintext(pair: &Pair) {
    let way = &pair.proxied;
    let upload = Upload::create(way, "/listed").await;
    let second = upload.put(2, plaintext(1234)).await;
    let first = upload.put(1, plaintext(5 * MIB)).await;
    let listed = upload.list().await;
    assert_eq!(listed.status, 200, "{listed:?}");
    assert_eq!(listed.elements("PartNumber"), ["1", "2"]);
    assert_eq!(
        listed.elements("Size"),
        [(5 * MIB).to_string(), "1234".to_owned()]
    );
    let bare = |etag: &String| etag.trim_matches('"').to_owned();
    let etags: Vec<String> = listed
        .elements("ETag")
        .iter()
        .map(|etag| {
            etag.replace("&quot;", "")
                .replace("&#34;", "")
                .trim_matches('"')
                .to_owned()
        })
        .collect();
    assert_eq!(etags, [bare(&first), bare(&second)]);
    assert_eq!(listed.element("UploadId"), upload.id);
    assert!(listed.element("ChecksumAlgorithm").is_empty());
    let uploads = way.draft("GET", "?uploads").send().await;
    assert_eq!(
        uploads.elements("UploadId"),
        std::slice::from_ref(&upload.id),
        "{uploads:?}"
    );
    assert_eq!(upload.abort().await.status, 204);
    let gone = upload.part(1, plaintext(10)).await;
    assert_eq!(
        (gone.status.as_u16(), gone.code()),
        (404, "NoSuchUpload".to_owned())
    );
}

pub async fn completions_that_cannot_be_right_are_refused(pair: &Pair) {
    let way = &pair.proxied;
    let upload = Upload::create(way, "/refused").await;
    let small = upload.put(1, plaintext(1000)).await;
    let second = upload.put(2, plaintext(5 * MIB)).await;
    let third = upload.put(3, plaintext(2000)).await;
    let hash = "0123456789abcdef0123456789abcdef".to_owned();
    for (parts, code) in [
        (
            vec![(2, second.clone()), (1, small.clone())],
            "InvalidPartOrder",
        ),
        (
            vec![(2, second.clone()), (3, third.clone())],
            "InvalidPartOrder",
        ),
        (
            vec![(1, small.clone()), (1, small.clone())],
            "InvalidPartOrder",
        ),
        (
            vec![(1, small.clone()), (2, second.clone())],
            "EntityTooSmall",
        ),
        (vec![(1, hash.clone())], "InvalidPart"),
        (
            vec![
                (1, small.clone()),
                (2, second.clone()),
                (3, third.clone()),
                (4, hash.clone()),
            ],
            "EntityTooSmall",
        ),
        (vec![], "MalformedXML"),
    ] {
        let refused = upload.complete(&parts).await;
        assert_eq!(
            (refused.status.as_u16(), &*refused.code()),
            (400, code),
            "{parts:?}"
        );
    }
    let missing = way.draft("HEAD", "/refused").send().await;
    assert_eq!(missing.status, 404);
    // What was refused can still be put right.
    let first = upload.put(1, plaintext(5 * MIB)).await;
    let done = upload
        .complete(&[(1, first.clone()), (2, second.clone()), (3, third.clone())])
        .await;
    assert_eq!(done.status, 200, "{done:?}");
    let again = upload
        .complete(&[(1, first), (2, second), (3, third)])
        .await;
    assert_eq!(again.status, 200, "a repeated completion: {again:?}");
    assert_eq!(upload.list().await.status, 404);
    let size = (10 * MIB + 2000).to_string();
    let head = way.draft("HEAD", "/refused").send().await;
    assert_eq!(head.header("content-length"), Some(&*size));
}

pub async fn listed_sizes_of_multipart_objects_are_plaintext_sizes(pair: &Pair) {
    let way = &pair.proxied;
    let body = Upload::create(way, "/a")
        .await
        .whole(&[5 * MIB, 5 * MIB])
        .await;
    let odd = Upload::create(way, "/b")
        .await
        .whole(&[5 * MIB + 77, 99])
        .await;
    let listed = way.draft("GET", "?list-type=2").send().await;
    let sizes = [body.len().to_string(), odd.len().to_string()];
    assert_eq!(listed.elements("Size"), sizes);
}
