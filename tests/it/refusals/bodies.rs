//! Bodies that are not what their head claims: each is refused as S3
//! refuses it, the object it was for does not appear, and one that was there stays.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use super::assert_refused;
use crate::support::client::{Client, Draft, PayloadHash};
use crate::support::framing::{ChunkSigner, sha256, unsigned};
use crate::support::upstream::Embedded;
use crate::support::{APP, Options, Proxy, wire};

/// The input that every checksum algorithm publishes a check value for.
const CHECK_INPUT: &[u8] = b"123456789";

/// Published check values (CRC catalogue of G. Cook; the rest by coreutils), in base64.
const CHECK_VALUES: [(&str, &str); 7] = [
    ("x-amz-checksum-crc32", "y/Q5Jg=="),
    ("x-amz-checksum-crc32c", "4waSgw=="),
    ("x-amz-checksum-crc64nvme", "rosUhgp5mIg="),
    ("x-amz-checksum-md5", "JfnnlDI7RTiF9RgfG2JNCw=="),
    ("x-amz-checksum-sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="),
    (
        "x-amz-checksum-sha256",
        "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
    ),
    (
        "x-amz-checksum-sha512",
        "2eZ2LdHI6vbWGzxhkvxAjU1tXxF20MKRabwk5xw/J0rSf81YEbMT1oH35V7ALXPUmclUVba1u1A6z1dPuo/+hQ==",
    ),
];

const CONTENT_MD5: &str = "JfnnlDI7RTiF9RgfG2JNCw==";

const UNSIGNED_CHUNKS: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const SIGNED_CHUNKS: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const SIGNED_CHUNKS_AND_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";

/// A proxy in front of a bucket with one object.
struct Vault {
    upstream: Embedded,
    proxy: Proxy,
    client: Client,
    /// Stored bytes of the object that is there.
    old: Vec<u8>,
}

impl Vault {
    async fn start() -> Self {
        let upstream = Embedded::start().await;
        let proxy = Proxy::start(upstream.address, Options::default()).await;
        let client = proxy.client();
        assert_eq!(client.put("/bucket/old", "old contents").await.status, 200);
        let old = std::fs::read(upstream.file("old")).unwrap();
        Self {
            upstream,
            proxy,
            client,
            old,
        }
    }

    /// Sends a body that must be refused, for a new object and for the one that is there.
    async fn refuses(
        &self,
        what: &str,
        request: impl Fn(Draft) -> Request<Full<Bytes>>,
        (status, code): (u16, &str),
    ) {
        for target in ["/bucket/new", "/bucket/old"] {
            let request = request(self.client.draft("PUT", target));
            let answer = self.client.send(request).await;
            assert_refused(what, &answer, status, code);
            self.nothing_changed(what);
        }
    }

    fn nothing_changed(&self, what: &str) {
        assert!(!self.upstream.file("new").exists(), "{what}: stored");
        let stored = std::fs::read(self.upstream.file("old")).unwrap();
        assert_eq!(stored, self.old, "{what}: replaced");
    }

    /// Sends a body that must be stored, so that its refused variants are refused for one reason.
    async fn accepts(
        &self,
        what: &str,
        request: impl Fn(Draft) -> Request<Full<Bytes>>,
        body: &[u8],
    ) {
        let request = request(self.client.draft("PUT", "/bucket/accepted"));
        let answer = self.client.send(request).await;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        assert_eq!(
            self.client.get("/bucket/accepted").await.body,
            body,
            "{what}"
        );
    }

    async fn stop(self) {
        let answer = self.client.get("/bucket/old").await;
        assert_eq!(answer.body, "old contents");
        self.proxy.stop().await;
    }
}

/// One that is gathered, and one that is streamed: they take different ways upstream.
fn bodies() -> [Bytes; 2] {
    let long: Vec<u8> = (0..300_000_u32).map(|index| (index % 251) as u8).collect();
    [Bytes::from_static(CHECK_INPUT), long.into()]
}

fn wrong(value: &str) -> String {
    data_encoding::BASE64.encode(&vec![
        0;
        data_encoding::BASE64
            .decode(value.as_bytes())
            .unwrap()
            .len()
    ])
}

/// A request for `body` in aws-chunked form, without the body.
fn chunked_head(draft: Draft, mode: &str, plaintext_len: usize, trailer: &str) -> Draft {
    let draft = draft
        .payload(PayloadHash::Text(mode.to_owned()))
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", &plaintext_len.to_string());
    if trailer.is_empty() {
        draft
    } else {
        draft.header("x-amz-trailer", trailer)
    }
}

fn unsigned_chunks(draft: Draft, data: &[u8], trailer: &str, value: &str) -> Request<Full<Bytes>> {
    let half = data.len() / 2;
    let lines = format!("{trailer}:{value}\r\n");
    let wire = unsigned(&[&data[..half], &data[half..]], &lines);
    chunked_head(draft, UNSIGNED_CHUNKS, data.len(), trailer)
        .body(wire)
        .build()
}

/// Signs the head alone, then the chunks one after the other.
fn signed_chunks(
    draft: Draft,
    mode: &str,
    data: &[u8],
    trailer: Option<(&str, &str)>,
) -> Request<Full<Bytes>> {
    let name = trailer.map_or("", |(name, _)| name);
    let head = chunked_head(draft, mode, data.len(), name).build();
    let signer = ChunkSigner::new(APP.secret, &head);
    let half = data.len() / 2;
    let chunks = [&data[..half], &data[half..]];
    let wire = match trailer {
        None => signer.body(&chunks),
        Some((name, value)) => signer.body_with_trailer(&chunks, name, value),
    };
    with_body(head, wire)
}

fn with_body(mut head: Request<Full<Bytes>>, wire: Vec<u8>) -> Request<Full<Bytes>> {
    head.headers_mut().remove("content-length");
    head.map(|_empty| Full::new(wire.into()))
}

#[tokio::test]
async fn p22_p23_the_payload_hash_is_held_to() {
    let vault = Vault::start().await;
    for body in bodies() {
        let other = PayloadHash::Text(sha256(b"other"));
        let put = |draft: Draft| draft.payload(other.clone()).body(body.clone()).build();
        vault
            .refuses("sha256", put, (400, "XAmzContentSHA256Mismatch"))
            .await;
        let answer = vault
            .client
            .send(put(vault.client.draft("PUT", "/bucket/new")))
            .await;
        assert_eq!(
            answer.element("ClientComputedContentSHA256"),
            sha256(b"other")
        );
        assert_eq!(answer.element("S3ComputedContentSHA256"), sha256(&body));
    }
    vault.stop().await;
}

#[tokio::test]
async fn p22_p23_content_md5_is_held_to() {
    let vault = Vault::start().await;
    for body in bodies() {
        let put = |value: &'static str| {
            let body = body.clone();
            move |draft: Draft| {
                draft
                    .header("content-md5", value)
                    .body(body.clone())
                    .build()
            }
        };
        vault
            .refuses("md5", put("AAAAAAAAAAAAAAAAAAAAAA=="), (400, "BadDigest"))
            .await;
    }
    let put = |value: &'static str| {
        move |draft: Draft| draft.header("content-md5", value).body(CHECK_INPUT).build()
    };
    vault.accepts("md5", put(CONTENT_MD5), CHECK_INPUT).await;
    for value in [
        "",
        "AAAA",
        "25f9e794323b453885f5181f1b624d0b",
        "JfnnlDI7RTiF9RgfG2JNCw",
    ] {
        vault
            .refuses(value, put(value), (400, "InvalidDigest"))
            .await;
    }
    let put = put("AAAAAAAAAAAAAAAAAAAAAA==");
    let answer = vault
        .client
        .send(put(vault.client.draft("PUT", "/bucket/new")))
        .await;
    assert_eq!(answer.element("CalculatedDigest"), CONTENT_MD5);
    assert_eq!(answer.element("ExpectedDigest"), "AAAAAAAAAAAAAAAAAAAAAA==");
    vault.stop().await;
}

#[tokio::test]
async fn p22_p23_p25_checksum_headers_are_held_to() {
    let vault = Vault::start().await;
    for (name, value) in CHECK_VALUES {
        let put = |value: String, body: Bytes| {
            move |draft: Draft| draft.header(name, &value).body(body.clone()).build()
        };
        let input = Bytes::from_static(CHECK_INPUT);
        vault
            .accepts(name, put(value.to_owned(), input.clone()), CHECK_INPUT)
            .await;
        for body in bodies() {
            vault
                .refuses(name, put(wrong(value), body), (400, "BadDigest"))
                .await;
        }
        for invalid in ["", "AA==", "!!!!", value.trim_end_matches('=')] {
            if invalid != value {
                let put = put(invalid.to_owned(), input.clone());
                vault.refuses(name, put, (400, "InvalidRequest")).await;
            }
        }
    }
    for name in [
        "x-amz-checksum-xxhash3",
        "x-amz-checksum-xxhash64",
        "x-amz-checksum-xxhash128",
    ] {
        let value = if name.ends_with("128") {
            "AAAAAAAAAAAAAAAAAAAAAA=="
        } else {
            "AAAAAAAAAAA="
        };
        let put = |draft: Draft| draft.header(name, value).body(CHECK_INPUT).build();
        vault.refuses(name, put, (501, "NotImplemented")).await;
    }
    vault.stop().await;
}

#[tokio::test]
async fn p22_p23_checksums_that_contradict_each_other() {
    let vault = Vault::start().await;
    let [(crc32, crc32_value), (crc32c, crc32c_value), ..] = CHECK_VALUES;
    let table: [(&str, &[(&str, &str)]); 5] = [
        (
            "two checksums",
            &[(crc32, crc32_value), (crc32c, crc32c_value)],
        ),
        (
            "another algorithm",
            &[
                (crc32, crc32_value),
                ("x-amz-sdk-checksum-algorithm", "SHA256"),
            ],
        ),
        ("no checksum", &[("x-amz-sdk-checksum-algorithm", "CRC32")]),
        ("trailer of a raw body", &[("x-amz-trailer", crc32)]),
        (
            "framing of a raw body",
            &[("content-encoding", "gzip, aws-chunked")],
        ),
    ];
    for (what, headers) in table {
        let put = |draft: Draft| {
            let draft = headers
                .iter()
                .fold(draft, |draft, (name, value)| draft.header(name, value));
            draft.body(CHECK_INPUT).build()
        };
        vault.refuses(what, put, (400, "InvalidRequest")).await;
    }
    vault.stop().await;
}

#[tokio::test]
async fn p22_p23_p39_unsigned_trailers_are_held_to() {
    let vault = Vault::start().await;
    for (name, value) in CHECK_VALUES {
        let put = |value: String, body: Bytes| {
            move |draft: Draft| unsigned_chunks(draft, &body, name, &value)
        };
        let input = Bytes::from_static(CHECK_INPUT);
        vault
            .accepts(name, put(value.to_owned(), input.clone()), CHECK_INPUT)
            .await;
        for body in bodies() {
            vault
                .refuses(name, put(wrong(value), body), (400, "BadDigest"))
                .await;
        }
        vault
            .refuses(name, put("AA==".to_owned(), input), (400, "InvalidRequest"))
            .await;
    }
    vault.stop().await;
}

#[tokio::test]
async fn p22_p23_p39_signed_chunks_are_held_to() {
    let vault = Vault::start().await;
    for body in bodies() {
        let put = |draft: Draft| signed_chunks(draft, SIGNED_CHUNKS, &body, None);
        vault.accepts("signed chunks", put, &body).await;
        for (what, change) in tampering(body.len()) {
            let put = |draft: Draft| {
                let head = chunked_head(draft, SIGNED_CHUNKS, body.len(), "").build();
                let mut wire = ChunkSigner::new(APP.secret, &head).body(&halves(&body));
                change(&mut wire);
                with_body(head, wire)
            };
            vault
                .refuses(what, put, (403, "SignatureDoesNotMatch"))
                .await;
        }
        let put = |draft: Draft| {
            let head = chunked_head(draft, SIGNED_CHUNKS, body.len(), "").build();
            let wire = ChunkSigner::new("another-secret", &head).body(&halves(&body));
            with_body(head, wire)
        };
        vault
            .refuses("another secret", put, (403, "SignatureDoesNotMatch"))
            .await;
    }
    vault.stop().await;
}

#[tokio::test]
async fn p22_p23_p39_signed_trailers_are_held_to() {
    let vault = Vault::start().await;
    for (name, value) in CHECK_VALUES {
        let put = |value: String, body: Bytes| {
            move |draft: Draft| {
                signed_chunks(
                    draft,
                    SIGNED_CHUNKS_AND_TRAILER,
                    &body,
                    Some((name, &value)),
                )
            }
        };
        let input = Bytes::from_static(CHECK_INPUT);
        vault
            .accepts(name, put(value.to_owned(), input.clone()), CHECK_INPUT)
            .await;
        for body in bodies() {
            vault
                .refuses(name, put(wrong(value), body), (400, "BadDigest"))
                .await;
        }
        vault
            .refuses(name, put("AA==".to_owned(), input), (400, "InvalidRequest"))
            .await;
    }
    let (name, value) = CHECK_VALUES[0];
    let put = |draft: Draft| {
        // The trailer is right, its signature is of another value.
        let head = chunked_head(draft, SIGNED_CHUNKS_AND_TRAILER, CHECK_INPUT.len(), name).build();
        let signer = ChunkSigner::new(APP.secret, &head);
        let wire = signer.body_with_trailer(&[CHECK_INPUT], name, "AAAAAA==");
        let wire = String::from_utf8(wire).unwrap().replace("AAAAAA==", value);
        with_body(head, wire.into_bytes())
    };
    vault
        .refuses("trailer's signature", put, (403, "SignatureDoesNotMatch"))
        .await;
    vault.stop().await;
}

/// Framing that ends early, late or never.
#[tokio::test]
async fn p23_broken_framing_is_refused() {
    let vault = Vault::start().await;
    let (name, value) = CHECK_VALUES[0];
    let trailer = format!("{name}:{value}\r\n");
    let table: [(&str, Vec<u8>, &str); 11] = [
        (
            "too short",
            unsigned(&[b"12345678"], &trailer),
            "IncompleteBody",
        ),
        (
            "too long",
            unsigned(&[b"1234567890"], &trailer),
            "IncompleteBody",
        ),
        ("nothing", Vec::new(), "IncompleteBody"),
        (
            "no last chunk",
            b"9\r\n123456789\r\n".to_vec(),
            "IncompleteBody",
        ),
        ("no line end", b"9\r\n123456789".to_vec(), "IncompleteBody"),
        (
            "no size",
            b"x\r\n123456789\r\n0\r\n\r\n".to_vec(),
            "IncompleteBody",
        ),
        (
            "bare lf",
            b"9\n123456789\r\n0\r\n\r\n".to_vec(),
            "IncompleteBody",
        ),
        ("raw", CHECK_INPUT.to_vec(), "IncompleteBody"),
        (
            "no trailer",
            unsigned(&[CHECK_INPUT], ""),
            "MalformedTrailerError",
        ),
        (
            "other trailer",
            unsigned(&[CHECK_INPUT], "x-amz-meta-a:b\r\n"),
            "MalformedTrailerError",
        ),
        (
            "twice",
            unsigned(&[CHECK_INPUT], &[&*trailer, &*trailer].concat()),
            "MalformedTrailerError",
        ),
    ];
    for (what, wire, code) in table {
        let put = |draft: Draft| {
            let head = chunked_head(draft, UNSIGNED_CHUNKS, CHECK_INPUT.len(), name);
            head.body(wire.clone()).build()
        };
        vault.refuses(what, put, (400, code)).await;
    }
    let head = |mode: &'static str, trailer: &'static str| {
        move |draft: Draft| chunked_head(draft, mode, 0, trailer).build()
    };
    for (what, mode, trailer) in [
        ("trailer not announced", UNSIGNED_CHUNKS, ""),
        (
            "signed trailer not announced",
            SIGNED_CHUNKS_AND_TRAILER,
            "",
        ),
        (
            "trailer announced in vain",
            SIGNED_CHUNKS,
            "x-amz-checksum-crc32",
        ),
        (
            "trailer that is no checksum",
            UNSIGNED_CHUNKS,
            "x-amz-meta-a",
        ),
        (
            "two trailers",
            UNSIGNED_CHUNKS,
            "x-amz-checksum-crc32,x-amz-checksum-sha1",
        ),
    ] {
        vault
            .refuses(what, head(mode, trailer), (400, "InvalidRequest"))
            .await;
    }
    let unknown = head(UNSIGNED_CHUNKS, "x-amz-checksum-xxhash64");
    vault
        .refuses(
            "trailer that cannot be computed",
            unknown,
            (501, "NotImplemented"),
        )
        .await;
    vault.stop().await;
}

/// A client that stops halfway stores nothing, whatever it announced.
#[tokio::test]
async fn p22_p23_a_body_that_ends_early_stores_nothing() {
    let vault = Vault::start().await;
    let body = &bodies()[1];
    for len in [1, 65_536, 200_000, body.len() - 1] {
        for target in ["/bucket/new", "/bucket/old"] {
            let draft = vault
                .client
                .draft("PUT", target)
                .payload(PayloadHash::Unsigned);
            let request = draft
                .header("content-length", &body.len().to_string())
                .build();
            wire::hang_up(vault.proxy.address, &request, &body[..len]).await;
            vault.nothing_changed(target);
        }
    }
    vault.stop().await;
}

fn halves(body: &[u8]) -> [&[u8]; 2] {
    let (first, second) = body.split_at(body.len() / 2);
    [first, second]
}

type Change = fn(&mut Vec<u8>);

/// Changes of a body of two signed chunks that leave its framing alone.
fn tampering(len: usize) -> Vec<(&'static str, Change)> {
    assert!(len > 2);
    vec![
        ("data of the first chunk", |wire| {
            let at = find(wire, b"\r\n") + 2;
            wire[at] ^= 1;
        }),
        ("data of the last chunk", |wire| {
            let last = rfind(wire, b"\r\n0;");
            wire[last - 1] ^= 1;
        }),
        ("signature of the first chunk", |wire| {
            let at = find(wire, b"chunk-signature=") + 16;
            wire[at] = if wire[at] == b'0' { b'1' } else { b'0' };
        }),
        ("signature of the empty chunk", |wire| {
            let at = rfind(wire, b"chunk-signature=") + 16;
            wire[at] = if wire[at] == b'0' { b'1' } else { b'0' };
        }),
    ]
}

fn find(wire: &[u8], what: &[u8]) -> usize {
    wire.windows(what.len())
        .position(|window| window == what)
        .unwrap()
}

fn rfind(wire: &[u8], what: &[u8]) -> usize {
    wire.windows(what.len())
        .rposition(|window| window == what)
        .unwrap()
}
