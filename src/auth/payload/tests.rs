use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::{
    auth::{AuthError, Verified, test_support::*},
    s3::chunked::ChunkedError,
};

const HELLO_SHA256: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
const HELLO_MD5: &str = "XUFAKrxLKna5cZ2REBfFkg==";
const HELLO_CRC32: &str = "NhCmhg==";
const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

fn map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    map
}

/// An unsigned request: claims about a body do not need a signature.
fn anonymous(headers: &[(&str, &str)]) -> Result<PayloadVerifier, PayloadError> {
    let request = parts("PUT", "/b/k", headers);
    let verified = authenticate(&request).unwrap();
    verified.payload_verifier(&request.headers)
}

/// Pushes `wire` in pieces; the plaintext that came out and the verdict.
fn run(
    mut verifier: PayloadVerifier,
    wire: &[u8],
    piece: usize,
) -> (Vec<u8>, Result<PayloadProof, PayloadError>) {
    let mut plaintext = Vec::new();
    for piece in wire.chunks(piece) {
        let out = &mut |data: Bytes| plaintext.extend_from_slice(&data);
        if let Err(error) = verifier.push(Bytes::copy_from_slice(piece), out) {
            // Whatever the caller does next, there is no proof.
            assert_eq!(
                verifier.push(Bytes::new(), out),
                Err(PayloadError::AlreadyRefused)
            );
            assert_eq!(verifier.finish().unwrap_err(), PayloadError::AlreadyRefused);
            return (plaintext, Err(error));
        }
    }
    (plaintext, verifier.finish())
}

fn verdict(headers: &[(&str, &str)], wire: &str) -> Result<PayloadProof, PayloadError> {
    for piece in [1, 3] {
        let verifier = anonymous(headers)?;
        let _ = run(verifier, wire.as_bytes(), piece);
    }
    run(anonymous(headers)?, wire.as_bytes(), wire.len().max(1)).1
}

#[test]
fn a_body_without_claims_is_only_counted() {
    let headers = [("content-length", "5")];
    let proof = verdict(&headers, "hello").unwrap();
    assert_eq!(proof.plaintext_len(), 5);
    assert!(proof.checksum().is_none() && proof.content_md5().is_none());
    assert!(anonymous(&headers).unwrap().tally.hashers.is_empty());
    let empty = verdict(&[("content-length", "0")], "").unwrap();
    assert_eq!(empty.plaintext_len(), 0);
    for body in ["hell", "hello!", ""] {
        let error = verdict(&headers, body).unwrap_err();
        assert!(
            matches!(error, PayloadError::IncompleteBody { expected: 5, .. }),
            "{error:?}"
        );
    }
}

#[test]
fn claims_in_headers_are_held() {
    let sha256_base64 = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    let claims: &[&[(&str, &str)]] = &[
        &[("x-amz-content-sha256", HELLO_SHA256)],
        &[("content-md5", HELLO_MD5)],
        &[("x-amz-checksum-crc32", HELLO_CRC32)],
        &[
            ("x-amz-checksum-crc32", HELLO_CRC32),
            ("x-amz-sdk-checksum-algorithm", "CRC32"),
        ],
        &[("x-amz-checksum-crc32c", "mnG7TA==")],
        &[("x-amz-checksum-sha1", "qvTGHdzF6KLavt4PO0gs2a6pQ00=")],
        &[
            ("x-amz-checksum-sha256", sha256_base64),
            ("x-amz-content-sha256", HELLO_SHA256),
        ],
        &[
            ("x-amz-checksum-md5", HELLO_MD5),
            ("content-md5", HELLO_MD5),
        ],
        &[
            ("x-amz-checksum-crc32", HELLO_CRC32),
            ("x-amz-checksum-type", "FULL_OBJECT"),
        ],
    ];
    for claim in claims {
        let mut headers = claim.to_vec();
        headers.push(("content-length", "5"));
        assert!(verdict(&headers, "hello").is_ok(), "{claim:?}");
        let error = verdict(&headers, "hellp").unwrap_err();
        let mismatch = matches!(
            error,
            PayloadError::Sha256Mismatch { .. }
                | PayloadError::BadContentMd5 { .. }
                | PayloadError::BadChecksum { .. }
        );
        assert!(mismatch, "{claim:?}: {error:?}");
    }
    // One algorithm, two claims: one hash.
    let headers = [
        ("x-amz-checksum-sha256", sha256_base64),
        ("x-amz-content-sha256", HELLO_SHA256),
        ("content-length", "5"),
    ];
    assert_eq!(anonymous(&headers).unwrap().tally.hashers.len(), 1);
    let proof = verdict(&headers, "hello").unwrap();
    assert_eq!(proof.checksum().unwrap().to_base64(), sha256_base64);
}

#[test]
fn mismatches_carry_what_the_error_document_shows() {
    let md5 = [("content-md5", HELLO_MD5), ("content-length", "5")];
    let error = verdict(&md5, "hellp").unwrap_err();
    let PayloadError::BadContentMd5 {
        expected,
        calculated,
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(expected, HELLO_MD5);
    assert_eq!(calculated.len(), 24);
    assert_eq!(
        error.message(),
        "The Content-MD5 you specified did not match what we received."
    );

    let sha256 = [
        ("x-amz-content-sha256", HELLO_SHA256),
        ("content-length", "0"),
    ];
    let error = verdict(&sha256, "").unwrap_err();
    let PayloadError::Sha256Mismatch { claimed, computed } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (claimed.as_str(), computed.as_str()),
        (HELLO_SHA256, EMPTY_SHA256)
    );

    let crc = [
        ("x-amz-checksum-crc32", HELLO_CRC32),
        ("content-length", "5"),
    ];
    let error = verdict(&crc, "hellp").unwrap_err();
    assert_eq!(
        error.message(),
        "The CRC32 you specified did not match the calculated checksum."
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn claims_that_cannot_hold_are_refused_before_the_body() {
    let length = ("content-length", "5");
    let chunked = [
        ("x-amz-content-sha256", UNSIGNED_TRAILER),
        ("x-amz-decoded-content-length", "5"),
    ];
    let trailer = ("x-amz-trailer", "x-amz-checksum-crc32");
    let algorithm = ChecksumAlgorithm::Crc32;
    let cases: Vec<(Vec<(&str, &str)>, PayloadError)> = vec![
        (vec![], PayloadError::MissingLength),
        (vec![("content-length", "-1")], PayloadError::InvalidLength),
        (
            vec![("content-length", "99999999999999999999")],
            PayloadError::InvalidLength,
        ),
        (
            vec![length, ("content-md5", "abc")],
            PayloadError::InvalidContentMd5,
        ),
        (
            vec![length, ("content-md5", "AAAA")],
            PayloadError::InvalidContentMd5,
        ),
        (
            vec![
                length,
                ("content-md5", HELLO_MD5),
                ("content-md5", HELLO_MD5),
            ],
            PayloadError::InvalidContentMd5,
        ),
        (
            vec![length, ("x-amz-checksum-crc32", "AAAA")],
            PayloadError::InvalidChecksum { algorithm },
        ),
        (
            vec![
                length,
                ("x-amz-checksum-crc32", HELLO_CRC32),
                ("x-amz-checksum-crc32c", HELLO_CRC32),
            ],
            PayloadError::MultipleChecksums,
        ),
        (
            vec![length, ("x-amz-checksum-xxhash64", "AAAAAAAAAAA=")],
            PayloadError::UnsupportedChecksum,
        ),
        (
            vec![length, ("x-amz-checksum-sha3", "AAAA")],
            PayloadError::UnsupportedChecksum,
        ),
        (
            vec![length, ("x-amz-sdk-checksum-algorithm", "CRC32")],
            PayloadError::SdkAlgorithmWithoutChecksum,
        ),
        (
            vec![
                length,
                ("x-amz-sdk-checksum-algorithm", "SHA1"),
                ("x-amz-checksum-crc32", HELLO_CRC32),
            ],
            PayloadError::InvalidSdkAlgorithm,
        ),
        (
            vec![length, ("x-amz-sdk-checksum-algorithm", "CRC")],
            PayloadError::InvalidSdkAlgorithm,
        ),
        (vec![length, trailer], PayloadError::UnexpectedTrailerHeader),
        (
            vec![length, ("content-encoding", "gzip, aws-chunked")],
            PayloadError::ChunkedWithoutMode,
        ),
        (
            vec![chunked[0], length, trailer],
            PayloadError::MissingLength,
        ),
        (
            vec![chunked[0], ("x-amz-decoded-content-length", "5x"), trailer],
            PayloadError::InvalidLength,
        ),
        (chunked.to_vec(), PayloadError::TrailersNotAnnounced),
        (
            [&chunked[..], &[("x-amz-trailer", "x-amz-meta-a")]].concat(),
            PayloadError::UnsupportedTrailer,
        ),
        (
            [
                &chunked[..],
                &[("x-amz-trailer", "x-amz-checksum-crc32, x-amz-checksum-sha1")],
            ]
            .concat(),
            PayloadError::MultipleChecksums,
        ),
        (
            [
                &chunked[..],
                &[("x-amz-trailer", "x-amz-checksum-crc32,x-amz-meta-a")],
            ]
            .concat(),
            PayloadError::UnsupportedTrailer,
        ),
        (
            [&chunked[..], &[("x-amz-trailer", "x-amz-checksum-xxhash3")]].concat(),
            PayloadError::UnsupportedChecksum,
        ),
        (
            [
                &chunked[..],
                &[trailer, ("x-amz-checksum-crc32", HELLO_CRC32)],
            ]
            .concat(),
            PayloadError::MultipleChecksums,
        ),
        (
            [
                &chunked[..],
                &[trailer, ("x-amz-sdk-checksum-algorithm", "SHA256")],
            ]
            .concat(),
            PayloadError::InvalidSdkAlgorithm,
        ),
        (
            vec![
                ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
                ("x-amz-decoded-content-length", "5"),
            ],
            PayloadError::SignedChunksUnsignedRequest,
        ),
    ];
    for (headers, expected) in cases {
        assert_eq!(anonymous(&headers).unwrap_err(), expected, "{headers:?}");
    }
}

#[test]
fn unsigned_trailers_are_held() {
    let headers = [
        ("x-amz-content-sha256", UNSIGNED_TRAILER),
        ("x-amz-decoded-content-length", "5"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("x-amz-sdk-checksum-algorithm", "CRC32"),
        ("content-encoding", "aws-chunked"),
    ];
    let good = format!("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:{HELLO_CRC32}\r\n\r\n");
    let proof = verdict(&headers, &good).unwrap();
    assert_eq!(proof.checksum().unwrap().to_base64(), HELLO_CRC32);
    assert_eq!(anonymous(&headers).unwrap().plaintext_len(), 5);

    let algorithm = ChecksumAlgorithm::Crc32;
    let malformed = PayloadError::Chunked(ChunkedError::Trailer);
    let trailer = "x-amz-checksum-crc32";
    let cases = [
        (
            good.replace("hello", "hellp"),
            PayloadError::BadChecksum { algorithm },
        ),
        (
            good.replace(HELLO_CRC32, "AAAA"),
            PayloadError::InvalidTrailer { algorithm },
        ),
        (
            "5\r\nhello\r\n0\r\n\r\n".to_owned(),
            PayloadError::MissingTrailer,
        ),
        (
            good.replace(trailer, "x-amz-checksum-crc32c"),
            PayloadError::Chunked(ChunkedError::Trailer),
        ),
        (
            good.replace(trailer, "x-amz-trailer-signature"),
            PayloadError::Chunked(ChunkedError::Trailer),
        ),
        (
            format!("{}{trailer}:{HELLO_CRC32}\r\n\r\n", &good[..good.len() - 2]),
            malformed,
        ),
        (
            good.replace("5\r\nhello", "4\r\nhell"),
            PayloadError::IncompleteBody {
                expected: 5,
                received: 4,
            },
        ),
        (
            good.clone() + "x",
            PayloadError::Chunked(ChunkedError::Truncated),
        ),
        (
            good[..good.len() - 2].to_owned(),
            PayloadError::Chunked(ChunkedError::Truncated),
        ),
        (
            "ffffffffffffffff\r\nh".to_owned(),
            PayloadError::IncompleteBody {
                expected: 5,
                received: u64::MAX,
            },
        ),
    ];
    for (wire, expected) in cases {
        assert_eq!(verdict(&headers, &wire).unwrap_err(), expected, "{wire:?}");
    }
}

/// "Transferring payload in multiple chunks" and "Including trailing headers" of the S3
/// documentation: 65 KiB of 'a' in two chunks.
struct Published {
    mode: &'static str,
    signed_headers: &'static str,
    seed: &'static str,
    chunks: [&'static str; 3],
    trailer: &'static str,
}

const CHUNKS: Published = Published {
    mode: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    signed_headers: "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;\
        x-amz-decoded-content-length;x-amz-storage-class",
    seed: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    chunks: [
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ],
    trailer: "",
};

const TRAILERS: Published = Published {
    mode: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    signed_headers: "content-encoding;host;x-amz-content-sha256;x-amz-date;\
        x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
    seed: "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    chunks: [
        "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    ],
    trailer: "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:\
        d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n",
};

impl Published {
    fn authenticate(&self) -> (Result<Verified, AuthError>, HeaderMap) {
        let authorization = authorization(self.signed_headers, self.seed);
        let mut headers = vec![
            ("host", "s3.amazonaws.com"),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("authorization", authorization.as_str()),
            ("x-amz-content-sha256", self.mode),
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", "66560"),
            ("content-length", "66824"),
        ];
        if !self.trailer.is_empty() {
            headers.push(("x-amz-trailer", "x-amz-checksum-crc32c"));
        }
        let verified = authenticate(&parts("PUT", "/examplebucket/chunkObject.txt", &headers));
        (verified, map(&headers))
    }

    fn verifier(&self) -> PayloadVerifier {
        let (verified, headers) = self.authenticate();
        verified.unwrap().payload_verifier(&headers).unwrap()
    }

    fn wire(&self) -> String {
        let [first, second, last] = self.chunks;
        format!(
            "10000;chunk-signature={first}\r\n{}\r\n400;chunk-signature={second}\r\n{}\r\n\
             0;chunk-signature={last}\r\n{}\r\n",
            "a".repeat(0x10000),
            "a".repeat(0x400),
            self.trailer
        )
    }
}

#[test]
fn published_chunked_examples_verify() {
    for (example, wire_len) in [(CHUNKS, 66_824), (TRAILERS, 66_946)] {
        let wire = example.wire();
        assert_eq!(wire.len(), wire_len);
        for piece in [1, 4096, 65_536, wire.len()] {
            let (plaintext, proof) = run(example.verifier(), wire.as_bytes(), piece);
            assert!(plaintext == vec![b'a'; 66_560], "plaintext differs");
            let proof = proof.unwrap();
            assert_eq!(proof.plaintext_len(), 66_560);
            let checksum = proof.checksum().map(Checksum::to_base64);
            let expected = (!example.trailer.is_empty()).then(|| "sOO8/Q==".to_owned());
            assert_eq!(checksum, expected);
        }
    }
}

/// One widely used client writes the trailer like this (see `s3::chunked`).
#[test]
fn a_blank_line_before_the_trailer_signature_is_read_over() {
    let wire = TRAILERS.wire().replace("sOO8/Q==\r\n", "sOO8/Q==\n\r\n");
    assert!(run(TRAILERS.verifier(), wire.as_bytes(), 1000).1.is_ok());
}

#[test]
fn tampered_chunks_and_trailers_are_refused() {
    let malformed = || PayloadError::Chunked(ChunkedError::Trailer);
    let signature = "x-amz-trailer-signature:";
    let cases = [
        (
            &CHUNKS,
            CHUNKS.wire().replacen("\r\na", "\r\nb", 1),
            PayloadError::ChunkSignature,
        ),
        (
            &CHUNKS,
            CHUNKS.wire().replace("=ad80", "=ad81"),
            PayloadError::ChunkSignature,
        ),
        (
            &CHUNKS,
            CHUNKS.wire().replace("=ad80", "=AD80"),
            PayloadError::ChunkSignature,
        ),
        (
            &CHUNKS,
            CHUNKS.wire().replace("=b6c6", "=b6c7"),
            PayloadError::ChunkSignature,
        ),
        (
            &TRAILERS,
            TRAILERS.wire().replace("=2ca2", "=2ca3"),
            PayloadError::ChunkSignature,
        ),
        (
            &TRAILERS,
            TRAILERS.wire().replace("d81f", "d81e"),
            PayloadError::ChunkSignature,
        ),
        (
            &TRAILERS,
            TRAILERS.wire().replace("sOO8/Q==", "sOO8/g=="),
            PayloadError::ChunkSignature,
        ),
        (
            &TRAILERS,
            TRAILERS.wire().replace(signature, "x-amz-meta-a:"),
            malformed(),
        ),
        (
            &TRAILERS,
            TRAILERS
                .wire()
                .replace("x-amz-checksum-crc32c:sOO8/Q==\r\n", ""),
            PayloadError::ChunkSignature,
        ),
        (
            &TRAILERS,
            format!(
                "{}x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n",
                TRAILERS.wire().trim_end().to_owned() + "\r\n"
            ),
            malformed(),
        ),
    ];
    for (example, wire, expected) in cases {
        let (_, verdict) = run(example.verifier(), wire.as_bytes(), 1000);
        assert_eq!(verdict.unwrap_err(), expected);
    }
    let unsigned = TRAILERS.wire();
    let unsigned = unsigned.split(signature).next().unwrap().to_owned() + "\r\n";
    let (_, verdict) = run(TRAILERS.verifier(), unsigned.as_bytes(), 1000);
    assert_eq!(verdict.unwrap_err(), PayloadError::MissingTrailer);
}

/// CVE-2025-31489: the mode is part of what is signed.
#[test]
fn a_signed_mode_cannot_be_turned_into_an_unsigned_one() {
    let mut example = TRAILERS;
    example.mode = UNSIGNED_TRAILER;
    let error = example.authenticate().0.unwrap_err();
    assert_eq!(error.reason(), "signature");
}

proptest! {
    #[test]
    fn one_flipped_bit_of_a_signed_body_yields_no_proof(
        // As often in the lines around the data as in the data.
        at in prop_oneof![0_usize..100, 0_usize..66_946, 65_620_usize..65_730, 66_700_usize..66_946],
        bit in 0_u8..8,
        piece in 1_usize..2000,
    ) {
        let mut wire = TRAILERS.wire().into_bytes();
        wire[at] ^= 1 << bit;
        let (_, verdict) = run(TRAILERS.verifier(), &wire, piece);
        // Case of a size's hex digit and of the trailer's name is not signed, and blanks around
        // trailers are read over; what is proven is the same either way.
        if let Ok(proof) = verdict {
            prop_assert_eq!(proof.checksum().unwrap().to_base64(), "sOO8/Q==");
            prop_assert!(at > 66_820, "byte {at}");
        }
    }
}

/// aws-sigv4 signs the chunks, we verify them: any sizes, any split.
#[cfg(feature = "proxy")]
mod signer {
    use std::time::SystemTime;

    use aws_credential_types::Credentials;
    use aws_sigv4::sign::v4::{SigningParams, sign_chunk};

    use super::*;

    fn wire(chunks: &[Vec<u8>]) -> Vec<u8> {
        let identity = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("s3")
            .time(SystemTime::from(now()))
            .settings(())
            .build()
            .unwrap();
        let mut previous = CHUNKS.seed.to_owned();
        let mut wire = Vec::new();
        for chunk in chunks.iter().cloned().chain([Vec::new()]) {
            let chunk = Bytes::from(chunk);
            let signed = sign_chunk(&chunk, &previous, &params).unwrap();
            signed.signature().clone_into(&mut previous);
            let header = format!("{:X};chunk-signature={previous}\r\n", chunk.len());
            for part in [header.as_bytes(), &chunk, b"\r\n"] {
                wire.extend_from_slice(part);
            }
        }
        wire
    }

    proptest! {
        #[test]
        fn chunks_signed_elsewhere_verify(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..500), 0..5),
            piece in 1_usize..600,
        ) {
            let plaintext = chunks.concat();
            let (verified, mut headers) = CHUNKS.authenticate();
            headers.insert("x-amz-decoded-content-length", plaintext.len().into());
            let verifier = verified.unwrap().payload_verifier(&headers).unwrap();
            let (decoded, proof) = run(verifier, &wire(&chunks), piece);
            prop_assert!(proof.is_ok());
            prop_assert_eq!(decoded, plaintext);
        }
    }
}
