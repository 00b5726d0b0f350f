//! Seals and opens objects by size with both ciphers, and copies as many bytes beside it.
#![expect(clippy::unwrap_used, reason = "a bench that fails may panic")]

use std::hint::black_box;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use s3seal::format::{
    BulkCipher, ContentHeader, HeaderPrefix, Opener, Sealer, SingleSealer, Trailer,
};
use s3seal::keys::types::DataKey;

const SIZES: [(usize, &str); 5] = [
    (1 << 10, "1 KiB"),
    (16 << 10, "16 KiB"),
    (64 << 10, "64 KiB"),
    (1 << 20, "1 MiB"),
    (16 << 20, "16 MiB"),
];

const CIPHERS: [(BulkCipher, &str); 2] = [
    (BulkCipher::AwsLc, "aws-lc"),
    (BulkCipher::AesGcm, "aes-gcm"),
];

/// Keys and sealing in place, as one PutObject costs them.
fn seal_in_place(cipher: BulkCipher, body: &mut [u8]) -> Bytes {
    let (_, key) = ContentHeader::new(HeaderPrefix::single([1; 32]), &DataKey::new([2; 32]));
    let mut sealer = SingleSealer::new(cipher, key, body.len() as u64).unwrap();
    let mut left = body;
    while let Some(length) = sealer.next_chunk_len() {
        let (chunk, rest) = left.split_at_mut(length);
        let _ = black_box(sealer.seal_chunk(chunk).unwrap());
        left = rest;
    }
    sealer.finish(&Trailer::EMPTY).unwrap()
}

fn stored_object(len: usize) -> (ContentHeader, Vec<u8>) {
    let (header, key) = ContentHeader::new(HeaderPrefix::single([1; 32]), &DataKey::new([2; 32]));
    let mut sealer = SingleSealer::new(BulkCipher::AwsLc, key, len as u64).unwrap();
    let mut stored = Vec::new();
    while let Some(length) = sealer.next_chunk_len() {
        let start = stored.len();
        stored.resize(start + length, 0);
        let tag = sealer.seal_chunk(stored.get_mut(start..).unwrap()).unwrap();
        stored.extend_from_slice(tag.as_ref());
    }
    stored.extend_from_slice(&sealer.finish(&Trailer::EMPTY).unwrap());
    (header, stored)
}

/// Keys and opening in place, as one GetObject costs them.
fn open_in_place(cipher: BulkCipher, header: &ContentHeader, mut stored: BytesMut) -> u64 {
    let key = header.verify(&DataKey::new([2; 32])).unwrap();
    let mut opener = Opener::single(cipher, &key, stored.len() as u64).unwrap();
    opener
        .push(&mut stored, &mut |chunk| drop(black_box(chunk)))
        .unwrap();
    opener.finish().unwrap().plaintext_len()
}

fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seal");
    for (size, label) in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let mut body = vec![0; size];
        for (cipher, name) in CIPHERS {
            group.bench_function(BenchmarkId::new(name, label), |bencher| {
                bencher.iter(|| seal_in_place(cipher, &mut body));
            });
        }
        let source = vec![1; size];
        group.bench_function(BenchmarkId::new("memcpy", label), |bencher| {
            bencher.iter(|| black_box(body.as_mut_slice()).copy_from_slice(black_box(&source)));
        });
    }
}

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    for (size, label) in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let (header, stored) = stored_object(size);
        for (cipher, name) in CIPHERS {
            group.bench_function(BenchmarkId::new(name, label), |bencher| {
                bencher.iter_batched(
                    || BytesMut::from(stored.as_slice()),
                    |stored| open_in_place(cipher, &header, stored),
                    BatchSize::PerIteration,
                );
            });
        }
    }
}

criterion_group! {
    name = format;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = seal, open
}
criterion_main!(format);
