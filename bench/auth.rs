//! What a request costs before its body flows, and what aws-chunked costs per byte.

#![expect(clippy::expect_used, reason = "a broken bench may panic")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{Request, request::Parts};
use s3seal::{
    auth::{AuthSettings, Authenticator, ClientSecrets},
    s3::chunked::{ChunkedError, Decoder, Event, Framing},
    secret::Secret,
};
use time::OffsetDateTime;

struct OneClient(Secret<String>);

impl ClientSecrets for OneClient {
    fn secret(&self, access_key_id: &str) -> Option<&Secret<String>> {
        (access_key_id == "AKIAIOSFODNN7EXAMPLE").then_some(&self.0)
    }
}

/// "Example: GET Object" of the S3 documentation.
fn published_get() -> Parts {
    let (parts, ()) = Request::get("/test.txt")
        .header("host", "examplebucket.s3.amazonaws.com")
        .header("range", "bytes=0-9")
        .header(
            "x-amz-content-sha256",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        )
        .header("x-amz-date", "20130524T000000Z")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 \
             Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        )
        .body(())
        .expect("a valid request")
        .into_parts();
    parts
}

fn authenticate(c: &mut Criterion) {
    let parts = published_get();
    let client = OneClient(Secret::new(
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
    ));
    let now = OffsetDateTime::from_unix_timestamp(1_369_353_600).expect("2013-05-24");
    let settings = AuthSettings {
        region: "us-east-1".to_owned(),
    };
    let warm = Authenticator::new(settings.clone());
    c.bench_function("authenticate/get/key_remembered", |b| {
        b.iter(|| warm.authenticate(black_box(&parts), &client, now).is_ok());
    });
    c.bench_function("authenticate/get/key_derived", |b| {
        b.iter(|| {
            let cold = Authenticator::new(settings.clone());
            cold.authenticate(black_box(&parts), &client, now).is_ok()
        });
    });
}

fn chunked_decode(c: &mut Criterion) {
    let framing = Framing {
        signed: false,
        trailers: true,
    };
    for chunk in [8 * 1024, 64 * 1024, 1024 * 1024] {
        let mut wire = Vec::new();
        for _ in 0..(4 << 20) / chunk {
            wire.extend_from_slice(format!("{chunk:x}\r\n").as_bytes());
            wire.resize(wire.len() + chunk, 0);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        let wire = Bytes::from(wire);
        let mut group = c.benchmark_group("chunked_decode");
        group.throughput(Throughput::Bytes(4 << 20));
        group.bench_function(format!("{chunk}"), |b| {
            b.iter(|| {
                let mut decoder = Decoder::new(framing);
                let mut seen = 0;
                let mut frames = wire.clone();
                while !frames.is_empty() {
                    let frame = frames.split_to(frames.len().min(256 * 1024));
                    let pushed = decoder.push::<ChunkedError>(frame, &mut |event| {
                        if let Event::Data(data) = event {
                            seen += data.len();
                        }
                        Ok(())
                    });
                    assert!(pushed.is_ok());
                }
                black_box(seen)
            });
        });
    }
}

criterion_group!(benches, authenticate, chunked_decode);
criterion_main!(benches);
