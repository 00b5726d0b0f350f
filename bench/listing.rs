//! Rewriting a listing of 1,000 keys: the proxy may add 3 ms, and should add 1.

#![expect(clippy::expect_used, reason = "a broken bench may panic")]

use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use s3seal::s3::etag::ETagStyle;
use s3seal::s3::xml::list::ListRewriter;

fn listing(c: &mut Criterion) {
    let document = document(1000);
    let mut group = c.benchmark_group("listing");
    group.throughput(Throughput::Bytes(document.len() as u64));
    for (name, piece) in [("whole", document.len()), ("8 KiB pieces", 8 * 1024)] {
        group.bench_function(name, |b| {
            b.iter(|| rewrite(black_box(document.as_bytes()), piece));
        });
    }
    // What moving the bytes costs without looking at them.
    group.bench_function("copy", |b| {
        b.iter(|| black_box(document.as_bytes()).to_vec());
    });
    group.finish();
}

fn rewrite(document: &[u8], piece: usize) -> Vec<u8> {
    let plaintext_len = |stored: u64, parts: Option<u32>| {
        stored.checked_sub(parts.map_or(128, |parts| 16_640 * u64::from(parts)))
    };
    let mut rewriter = ListRewriter::new(ETagStyle::Dashed, plaintext_len);
    let mut out = Vec::new();
    for piece in document.chunks(piece) {
        rewriter.push(piece, &mut out).expect("a listing");
    }
    rewriter.finish().expect("a complete listing");
    out
}

/// As AWS answers `ListObjectsV2` with `fetch-owner`.
fn document(keys: u32) -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult \
         xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name><Prefix/>\
         <KeyCount>1000</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated>",
    );
    for key in 0..keys {
        write!(
            xml,
            "<Contents><Key>year=2026/month=08/part-{key:08}-a&amp;b.parquet</Key>\
             <LastModified>2026-08-23T17:50:30.000Z</LastModified>\
             <ETag>&quot;{:032x}{}&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>\
             <ChecksumType>FULL_OBJECT</ChecksumType><Size>{}</Size><Owner><ID>75aa57f09aa0c8ca</ID>\
             </Owner><StorageClass>STANDARD</StorageClass></Contents>",
            u128::from(key) * 0x9E37_79B9_7F4A_7C15,
            if key % 3 == 0 { "-2" } else { "" },
            100_000 + key,
        )
        .expect("writing to a string");
    }
    xml + "</ListBucketResult>"
}

criterion_group!(benches, listing);
criterion_main!(benches);
