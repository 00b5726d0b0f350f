//! The manual's promises, held against the tests: every number of semantics.md is named by a test,
//! and those that nothing else proves are proven here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use data_encoding::HEXLOWER;
use md5::{Digest, Md5};

use crate::support::chaos::Chaos;
use crate::support::client::{Answer, Client};
use crate::support::http1::{Ending, Wire};
use crate::support::upstream::Embedded;
use crate::support::{Options, Proxy, UPSTREAM};

const SEMANTICS: &str = include_str!("../../src/manual/semantics.md");

/// Numbers whose test does not carry them in its name: number, file, test. Many have more tests.
const NAMED_ELSEWHERE: &[(&str, &str, &str)] = &[
    ("P1", "tests/it/objects.rs", "objects_come_back_bit_exact"),
    (
        "P2",
        "tests/it/faults/privacy.rs",
        "no_payload_mode_lets_plaintext_or_its_hashes_through",
    ),
    (
        "P3",
        "tests/it/faults/stored.rs",
        "a_flipped_bit_anywhere_in_the_body_never_gives_wrong_plaintext",
    ),
    (
        "P4",
        "tests/it/faults/stored.rs",
        "a_change_behind_the_first_chunk_resets_the_connection",
    ),
    (
        "P4",
        "src/server/tests/tls.rs",
        "http2_body_errors_and_panics_reset_the_stream_only",
    ),
    (
        "P5",
        "tests/it/faults/stored.rs",
        "truncated_and_extended_objects_cannot_be_read_not_even_one_byte",
    ),
    (
        "P7",
        "tests/it/faults/stored.rs",
        "an_object_moved_to_another_key_or_bucket_is_refused",
    ),
    (
        "P9",
        "tests/it/faults/stored.rs",
        "a_plaintext_object_is_refused_and_counted",
    ),
    (
        "P10",
        "tests/it/faults/stored.rs",
        "metadata_that_is_missing_doubled_or_broken_is_refused",
    ),
    (
        "P11",
        "tests/it/faults/stored.rs",
        "an_empty_object_without_metadata_is_refused_unless_it_is_a_folder",
    ),
    (
        "P13",
        "tests/it/faults/stored.rs",
        "an_envelope_that_names_another_key_never_reaches_a_provider",
    ),
    (
        "P14",
        "tests/it/faults/stored.rs",
        "every_changed_byte_of_header_and_envelope_is_refused",
    ),
    (
        "P14",
        "tests/it/faults/stored.rs",
        "a_binding_weaker_than_the_rule_is_refused",
    ),
    (
        "P15",
        "tests/it/faults/stored.rs",
        "metadata_of_one_object_does_not_open_the_body_of_another",
    ),
    (
        "P26",
        "tests/it/faults/retries.rs",
        "a_small_put_is_repeated_with_the_same_ciphertext",
    ),
    (
        "P26",
        "tests/it/faults/retries.rs",
        "a_streamed_put_is_sent_once",
    ),
    (
        "P27",
        "tests/it/faults/uploads.rs",
        "a_client_that_leaves_an_upload_ends_the_upstream_request",
    ),
    (
        "P27",
        "tests/it/faults/reads.rs",
        "a_client_that_leaves_a_download_ends_the_upstream_request",
    ),
    ("P28", "bench/load/memory.rs", "watch"),
    ("P28", "src/s3/xml/list/tests.rs", "memory_is_bounded"),
    (
        "P29",
        "tests/it/transparency/listings.rs",
        "listing_sizes_equal_plaintext_sizes",
    ),
    (
        "P30",
        "tests/it/transparency/conditions.rs",
        "conditional_get_304_412_pass",
    ),
    (
        "P31",
        "tests/it/transparency/conditions.rs",
        "of_32_writers_that_want_to_be_first_exactly_one_is",
    ),
    ("P34", "src/s3/xml/list/tests.rs", "odd_markup_stays"),
    (
        "P35",
        "tests/it/transparency/objects.rs",
        "user_metadata_and_content_headers_come_back_as_sent",
    ),
    (
        "P35",
        "tests/it/transparency/objects.rs",
        "response_overrides_work",
    ),
    (
        "P37",
        "tests/it/transparency/keys.rs",
        "odd_keys_come_back_byte_by_byte",
    ),
    (
        "P44",
        "tests/it/faults/privacy.rs",
        "what_belongs_to_the_client_stays_with_the_proxy",
    ),
    ("P47", "tests/it/transparency/objects.rs", "tags_pass"),
    (
        "P52",
        "tests/it/faults/drain.rs",
        "a_stopped_proxy_finishes_uploads_and_downloads_in_flight",
    ),
    (
        "P53",
        "src/format/tests/interop.rs",
        "interop_with_the_reference_model",
    ),
    (
        "P54",
        "tests/it/multipart.rs",
        "an_upload_goes_on_over_replicas_that_share_nothing",
    ),
    (
        "P54",
        "tests/it/multipart.rs",
        "upload_ids_of_other_places_are_not_found",
    ),
    (
        "P55",
        "tests/it/multipart.rs",
        "a_part_that_is_sent_twice_is_sealed_under_two_keys",
    ),
    (
        "P56",
        "tests/it/transparency/multipart.rs",
        "ranges_and_parts_of_multipart_objects_equal_slices",
    ),
    (
        "P56",
        "tests/it/multipart.rs",
        "stored_parts_that_were_tampered_with_are_refused",
    ),
    (
        "P57",
        "tests/it/transparency/multipart.rs",
        "completions_that_cannot_be_right_are_refused",
    ),
    (
        "P58",
        "tests/it/transparency/multipart.rs",
        "lists_of_parts_show_plaintext",
    ),
    (
        "P56",
        "tests/it/transparency/multipart.rs",
        "parts_that_only_look_equal_are_found",
    ),
    (
        "P57",
        "tests/it/multipart.rs",
        "a_part_with_another_checksum_than_was_announced_is_refused",
    ),
    (
        "P67",
        "tests/it/uploads.rs",
        "an_upload_that_was_found_goes_on_on_any_replica",
    ),
    (
        "P67",
        "tests/it/uploads.rs",
        "a_state_that_was_tampered_with_opens_nothing",
    ),
    (
        "P67",
        "tests/it/uploads.rs",
        "the_state_bucket_is_out_of_reach",
    ),
    (
        "P68",
        "tests/it/faults/completions.rs",
        "an_error_behind_a_200_is_an_error",
    ),
    (
        "P70",
        "tests/conformance/test_encrypt.py",
        "test_a_bucket_is_adopted",
    ),
    (
        "P70",
        "tests/conformance/test_encrypt.py",
        "test_what_is_written_meanwhile_is_not_lost",
    ),
    (
        "P70",
        "tests/it/faults/in_place.rs",
        "an_object_that_cannot_be_written_back_stays_as_it_is",
    ),
    (
        "D40",
        "tests/it/faults/in_place.rs",
        "an_upstream_that_ignores_if_match_on_writes_is_found_out",
    ),
    (
        "P69",
        "tests/it/faults/copies.rs",
        "a_copy_of_an_object_that_is_replaced_meanwhile_is_made_of_one_of_both",
    ),
    (
        "P69",
        "tests/it/faults/copies.rs",
        "what_the_upstream_makes_of_conditions_is_found_out_once",
    ),
    (
        "P68",
        "tests/it/faults/copies.rs",
        "p68_an_error_behind_the_200_of_a_copy_is_an_error",
    ),
    (
        "P12",
        "src/config/tests.rs",
        "nothing_is_encrypted_on_request_where_everything_else_is_not",
    ),
    (
        "D21",
        "tests/it/transparency/multipart.rs",
        "completions_that_cannot_be_right_are_refused",
    ),
    (
        "D22",
        "tests/it/multipart.rs",
        "upload_ids_of_other_places_are_not_found",
    ),
    (
        "D23",
        "tests/it/multipart.rs",
        "upload_ids_of_other_places_are_not_found",
    ),
    (
        "D24",
        "tests/it/multipart.rs",
        "stored_parts_that_were_tampered_with_are_refused",
    ),
    (
        "D25",
        "tests/conformance/test_multipart.py",
        "test_checksums_of_parts_and_object",
    ),
    (
        "D26",
        "tests/it/multipart.rs",
        "a_part_that_is_too_large_is_refused_before_it_is_read",
    ),
    ("P61", "tests/it/transparency/copies.rs", "tags_are_copied"),
    (
        "P61",
        "src/ops/patience.rs",
        "what_takes_long_is_answered_in_the_document",
    ),
    (
        "D27",
        "tests/it/transparency/copies.rs",
        "multipart_objects_are_copied",
    ),
    (
        "D28",
        "src/ops/patience.rs",
        "what_takes_long_is_answered_in_the_document",
    ),
    (
        "D5",
        "tests/conformance/test_boto3.py",
        "test_large_object_is_read_without_a_checksum",
    ),
    (
        "D8",
        "tests/conformance/test_no_plaintext.py",
        "test_no_file_of_the_upstream_holds_plaintext",
    ),
    (
        "D9",
        "tests/it/faults/privacy.rs",
        "what_belongs_to_the_client_stays_with_the_proxy",
    ),
    (
        "D11",
        "src/s3/xml/list/tests.rs",
        "sizes_that_cannot_be_ours_stay_and_are_counted",
    ),
    ("D12", "tests/it/objects.rs", "objects_come_back_bit_exact"),
    (
        "D14",
        "tests/conformance/test_odd_keys.py",
        "test_trailing_slash_with_a_body",
    ),
    (
        "D15",
        "tests/it/faults/errors.rs",
        "a_denied_prefix_is_not_reached_through_its_bucket",
    ),
    (
        "D16",
        "tests/it/refusals/access.rs",
        "the_encryption_of_a_bucket_is_not_a_clients_to_change",
    ),
    (
        "D17",
        "tests/it/faults/errors.rs",
        "anonymous_callers_read_list_and_put_and_nothing_else",
    ),
    (
        "D18",
        "src/s3/headers/tests.rs",
        "response_headers_are_treated_as_listed",
    ),
    (
        "D19",
        "src/s3/target/tests.rs",
        "a_bucket_name_cannot_choose_a_host",
    ),
];

#[test]
fn every_promise_is_named_by_a_test() {
    let promised = promised();
    assert!(promised.len() > 60, "{promised:?}");
    let mut named: BTreeSet<String> = NAMED_ELSEWHERE
        .iter()
        .map(|(number, ..)| (*number).to_owned())
        .collect();
    for file in ["tests/it", "tests/conformance"] {
        collect_names(&root().join(file), &mut named);
    }
    let missing: Vec<&String> = promised.difference(&named).collect();
    assert!(missing.is_empty(), "no test names {missing:?}");
    let unknown: Vec<&String> = named.difference(&promised).collect();
    assert!(
        unknown.is_empty(),
        "tests name {unknown:?}, which are not in semantics.md"
    );
}

#[test]
fn tests_that_are_named_elsewhere_exist() {
    for (number, file, test) in NAMED_ELSEWHERE {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let found = [format!("fn {test}("), format!("def {test}(")];
        let found = found.iter().any(|head| text.contains(head));
        assert!(found, "{number}: {file} has no {test}");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `- **P1** ...`: every number once.
fn promised() -> BTreeSet<String> {
    let mut numbers = BTreeSet::new();
    for line in SEMANTICS.lines() {
        let number = line
            .strip_prefix("- **")
            .and_then(|rest| rest.split_once("** "));
        if let Some((number, _)) = number {
            assert!(is_number(&number.to_lowercase()), "{line}");
            assert!(numbers.insert(number.to_owned()), "{number} twice");
        }
    }
    numbers
}

/// Leading numbers of test names: `fn p3_p5_open...`, `def test_p2_...`.
fn collect_names(path: &Path, named: &mut BTreeSet<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect_names(&entry.unwrap().path(), named);
        }
        return;
    }
    let is_test = path
        .extension()
        .is_some_and(|extension| extension == "rs" || extension == "py");
    if !is_test {
        return;
    }
    for line in fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(str::trim_start)
    {
        let heads = ["async fn ", "fn ", "def test_"];
        let Some(name) = heads.iter().find_map(|head| line.strip_prefix(head)) else {
            continue;
        };
        let numbers = name.split('_').take_while(|part| is_number(part));
        named.extend(numbers.map(str::to_uppercase));
    }
}

fn is_number(part: &str) -> bool {
    let digits = part.strip_prefix(['p', 'd']).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

const OBJECT: &str = "/bucket/object";
const SSE: &str = "x-amz-server-side-encryption";
const KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const CONTEXT: &str = "x-amz-server-side-encryption-context";

async fn start(options: Options) -> (Embedded, Proxy, Client) {
    let upstream = Embedded::start().await;
    let proxy = Proxy::start(upstream.address, options).await;
    let client = proxy.client();
    (upstream, proxy, client)
}

fn plaintext(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index % 249) as u8).collect()
}

#[tokio::test]
async fn p6_the_last_chunk_waits_for_the_trailer() {
    const CHUNK: usize = 65_536;
    let (upstream, proxy, client) = start(Options::default()).await;
    let plaintext = plaintext(3 * CHUNK + 100);
    client.put(OBJECT, plaintext.clone()).await;
    let file = upstream.file("object");
    let mut stored = fs::read(&file).unwrap();
    let last = stored.len() - 1;
    stored[last] ^= 1;
    fs::write(&file, stored).unwrap();
    let mut wire = Wire::connect(proxy.address).await;
    wire.send_head(&client.draft("GET", OBJECT).build()).await;
    assert_eq!(wire.head().await.unwrap().status(), 200);
    let (body, ending) = wire.rest().await;
    assert!(body.len() <= 3 * CHUNK, "{} bytes", body.len());
    assert!(plaintext.starts_with(&body), "wrong plaintext");
    assert_ne!(ending, Ending::StillOpen);
    proxy.stop().await;
}

#[tokio::test]
async fn p8_equal_bytes_have_nothing_stored_in_common() {
    let (upstream, proxy, client) = start(Options::default()).await;
    let body = plaintext(200_000);
    let mut blocks = BTreeSet::new();
    let mut values = BTreeSet::new();
    // The second write of a key is an overwrite.
    for key in ["a", "b", "a"] {
        let target = format!("/bucket/{key}");
        assert_eq!(client.put(&target, body.clone()).await.status, 200);
        let stored = fs::read(upstream.file(key)).unwrap();
        for block in stored.chunks(16) {
            assert!(blocks.insert(block.to_vec()), "a block is there twice");
        }
        let direct = Client::new(upstream.address, UPSTREAM);
        let head = direct.draft("HEAD", &target).send().await;
        for name in ["x-amz-meta-s3seal-header", "x-amz-meta-s3seal-key"] {
            assert!(
                values.insert(head.header(name).unwrap().to_owned()),
                "{name} is there twice"
            );
        }
    }
    proxy.stop().await;
}

#[tokio::test]
async fn p12_off_relays_and_still_opens() {
    let tables = "[[rules]]\nbuckets = [\"*\"]\nprefix = \"plain/\"\nencryption = \"off\"\nkey = \"default\"\n\
                  accept_keys = [\"default\", \"managed\"]\nbinding = \"none\"\n";
    let rule = "binding = \"none\"".to_owned();
    let options = Options {
        tables: tables.to_owned(),
        rule,
        ..Options::default()
    };
    let (upstream, proxy, client) = start(options).await;
    let body = plaintext(100_000);
    assert_eq!(
        client.put("/bucket/plain/new", body.clone()).await.status,
        200
    );
    assert_eq!(fs::read(upstream.file("plain/new")).unwrap(), body);
    let get = client.get("/bucket/plain/new").await;
    assert_eq!(
        (get.body, get.headers.get(SSE)),
        (body.clone().into(), None)
    );

    // One that was encrypted under another rule.
    client.put(OBJECT, body.clone()).await;
    let direct = Client::new(upstream.address, UPSTREAM);
    let mut copy = direct
        .draft("PUT", "/bucket/plain/old")
        .body(fs::read(upstream.file("object")).unwrap());
    let head = direct.draft("HEAD", OBJECT).send().await;
    for name in ["x-amz-meta-s3seal-header", "x-amz-meta-s3seal-key"] {
        copy = copy.header(name, head.header(name).unwrap());
    }
    assert_eq!(copy.send().await.status, 200);
    let get = client.get("/bucket/plain/old").await;
    assert_eq!(get.status, 200, "{get:?}");
    assert_eq!(get.body, body);
    assert_eq!(get.header(SSE), Some("aws:kms"));
    proxy.stop().await;
}

#[tokio::test]
async fn p20_the_mode_shown_is_the_mode_used() {
    let (_upstream, proxy, client) = start(Options::default()).await;
    let context = "eyJhIjoiYiJ9";
    for (asked, mode, key) in [
        (&[][..], "aws:kms", Some("default")),
        (&[(SSE, "AES256")], "AES256", None),
        (&[(SSE, "aws:kms")], "aws:kms", Some("default")),
        (
            &[
                (SSE, "aws:kms"),
                (KEY_ID, "alias/default"),
                (CONTEXT, context),
            ],
            "aws:kms",
            Some("default"),
        ),
    ] {
        let put = client.draft("PUT", OBJECT).body("contents");
        let put = asked
            .iter()
            .fold(put, |put, (name, value)| put.header(name, value))
            .send()
            .await;
        let get = client.get(OBJECT).await;
        let head = client.draft("HEAD", OBJECT).send().await;
        for (what, answer) in [("PUT", &put), ("GET", &get), ("HEAD", &head)] {
            assert_eq!(answer.status, 200, "{what} {asked:?}: {answer:?}");
            assert_eq!(answer.header(SSE), Some(mode), "{what} {asked:?}");
            assert_eq!(answer.header(KEY_ID), key, "{what} {asked:?}");
        }
        let has_context = asked.iter().any(|(name, _)| *name == CONTEXT);
        assert_eq!(put.header(CONTEXT), has_context.then_some(context));
        assert_eq!((get.header(CONTEXT), head.header(CONTEXT)), (None, None));
    }
    proxy.stop().await;
}

#[tokio::test]
async fn p21_a_named_key_object_needs_a_signature() {
    let rule = "anonymous = \"allow\"".to_owned();
    let (_upstream, proxy, client) = start(Options {
        rule,
        ..Options::default()
    })
    .await;
    client.put("/bucket/named", "contents").await;
    client
        .draft("PUT", "/bucket/managed")
        .header(SSE, "AES256")
        .body("contents")
        .send()
        .await;
    let refused = client.unsigned("GET", "/bucket/named").send().await;
    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (400, "InvalidArgument")
    );
    let head = client.unsigned("HEAD", "/bucket/named").send().await;
    assert_eq!(head.status, 400);
    let served = client.unsigned("GET", "/bucket/managed").send().await;
    assert_eq!(
        (served.status.as_u16(), served.body.as_ref()),
        (200, &b"contents"[..])
    );
    proxy.stop().await;
}

#[tokio::test]
async fn p25_d5_a_sent_checksum_comes_back_where_there_is_room() {
    const NAME: &str = "x-amz-checksum-crc32";
    let (_upstream, proxy, client) = start(Options::default()).await;
    // The largest object whose stored form is 1 MiB or less, and the next.
    let limit = (1 << 20) - 16 * 16 - 128;
    for (len, is_shown) in [(0, true), (9, true), (limit, true), (limit + 1, false)] {
        let body = plaintext(len);
        let value = crate::support::chunked::crc32(&body);
        let put = client
            .draft("PUT", OBJECT)
            .header(NAME, &value)
            .body(body.clone())
            .send()
            .await;
        assert_eq!(put.header(NAME), Some(value.as_str()), "{len}: {put:?}");
        assert_eq!(put.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
        let read = |method: &str| client.draft(method, OBJECT);
        let asking = |method: &str| read(method).header("x-amz-checksum-mode", "ENABLED");
        let head = asking("HEAD").send().await;
        assert_eq!(head.header(NAME), Some(value.as_str()), "{len}: {head:?}");
        let get = asking("GET").send().await;
        assert_eq!(
            get.header(NAME),
            is_shown.then_some(value.as_str()),
            "{len}: {:?}",
            get.headers
        );
        assert_eq!(get.body, body);
        let without: [Answer; 2] = [read("GET").send().await, read("HEAD").send().await];
        for answer in without {
            let shown = answer
                .headers
                .keys()
                .find(|name| name.as_str().starts_with("x-amz-checksum-"));
            assert_eq!(shown, None, "{len}");
        }
    }
    let range = client
        .draft("GET", OBJECT)
        .header("x-amz-checksum-mode", "ENABLED");
    let range = range.header("range", "bytes=0-9").send().await;
    assert_eq!((range.status.as_u16(), range.header(NAME)), (206, None));
    proxy.stop().await;
}

#[tokio::test]
async fn p29_p30_d1_one_size_and_one_etag_that_is_no_md5() {
    let (_upstream, proxy, client) = start(Options::default()).await;
    for len in [0, 1, 65_536, 200_001] {
        let body = plaintext(len);
        let md5 = HEXLOWER.encode(&Md5::digest(&body));
        let put = client.put(OBJECT, body).await;
        let etag = put.header("etag").unwrap().to_owned();
        let hex = etag.trim_matches('"').strip_suffix("-0").unwrap();
        assert_eq!((hex.len(), hex == md5), (32, false), "{etag}");
        let head = client.draft("HEAD", OBJECT).send().await;
        let get = client.get(OBJECT).await;
        for answer in [&head, &get] {
            assert_eq!(answer.header("etag"), Some(etag.as_str()));
            assert_eq!(
                answer.header("content-length"),
                Some(len.to_string().as_str())
            );
        }
        for listing in ["/bucket", "/bucket?list-type=2"] {
            let list = client.get(listing).await;
            assert_eq!(list.element("Size"), len.to_string(), "{list:?}");
            // s3s-fs lists no ETags; the comparison over other servers has them.
            let listed = list.element("ETag").replace("&quot;", "\"");
            assert!(listed.is_empty() || listed == etag, "{listed}");
        }
    }
    proxy.stop().await;

    let upstream_style = "etag = \"upstream\"".to_owned();
    let (_upstream, proxy, client) = start(Options {
        upstream: upstream_style,
        ..Options::default()
    })
    .await;
    let put = client.put(OBJECT, "contents").await;
    assert!(!put.header("etag").unwrap().contains('-'), "{put:?}");
    proxy.stop().await;
}

#[tokio::test]
async fn d20_an_object_without_a_type_gets_the_default_of_s3() {
    let upstream = Chaos::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    for (sent, stored) in [
        (None, "binary/octet-stream"),
        (Some("text/plain"), "text/plain"),
    ] {
        upstream.forget();
        let mut put = proxy.client().draft("PUT", OBJECT).body("contents");
        if let Some(sent) = sent {
            put = put.header("content-type", sent);
        }
        assert_eq!(put.send().await.status, 200);
        let asked = upstream.only();
        assert_eq!(asked.head.header("content-type"), Some(stored));
    }
}

#[tokio::test]
async fn p30_d7_conditions_are_the_upstreams_to_decide() {
    const HEX: &str = "00112233445566778899aabbccddeeff";
    let upstream = Chaos::start().await;
    let proxy = Proxy::start(upstream.address, Options::default()).await;
    let client = proxy.client();
    client.put(OBJECT, "contents").await;
    for (sent, seen) in [
        (format!("\"{HEX}-0\""), format!("\"{HEX}\"")),
        // An MD5 of the client's own goes up as it is, and matches nothing there.
        (format!("\"{HEX}\""), format!("\"{HEX}\"")),
        (format!("\"{HEX}-7\""), format!("\"{HEX}-7\"")),
        (
            format!("\"{HEX}-0\", \"{HEX}-2\""),
            format!("\"{HEX}\", \"{HEX}-2\""),
        ),
        ("*".to_owned(), "*".to_owned()),
    ] {
        for method in ["GET", "HEAD", "DELETE", "PUT"] {
            for name in ["if-match", "if-none-match"] {
                upstream.forget();
                client
                    .draft(method, OBJECT)
                    .header(name, &sent)
                    .send()
                    .await;
                let asked = upstream.only();
                assert_eq!(
                    asked.head.header(name),
                    Some(seen.as_str()),
                    "{method} {name}: {sent}"
                );
            }
        }
    }
    proxy.stop().await;
}

#[tokio::test]
async fn p38_both_styles_of_address_mean_the_same_object() {
    let listen = "domains = [\"s3.example.test\"]".to_owned();
    let (_upstream, proxy, client) = start(Options {
        listen,
        ..Options::default()
    })
    .await;
    let key = "a//b/../c%20d";
    assert_eq!(
        client
            .put(&format!("/bucket/{key}"), "by path")
            .await
            .status,
        200
    );
    let by_host = client
        .draft("GET", &format!("/{key}"))
        .host("bucket.s3.example.test");
    assert_eq!(by_host.send().await.body, "by path");
    for host in ["s3.example.test", "bucket.other.example.test"] {
        let by_path = client.draft("GET", &format!("/bucket/{key}")).host(host);
        assert_eq!(by_path.send().await.body, "by path", "{host}");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn p50_admin_paths_are_buckets_to_clients() {
    let (_upstream, proxy, client) = start(Options::default()).await;
    for path in ["/metrics", "/healthz", "/readyz"] {
        let unsigned = client.unsigned("GET", path).send().await;
        assert_eq!(
            (unsigned.status.as_u16(), unsigned.code().as_str()),
            (403, "AccessDenied")
        );
        let signed = client.get(path).await;
        assert_eq!(signed.status, 404, "{path}: {signed:?}");
    }
    assert!(proxy.metrics().await.contains("s3seal_"));
    let admin = Client::new(proxy.admin, crate::support::APP);
    assert_eq!(admin.get("/bucket?list-type=2").await.status, 404);
    proxy.stop().await;
}

#[tokio::test]
async fn d10_urls_presigned_for_another_host_do_not_verify() {
    let (upstream, proxy, client) = start(Options::default()).await;
    client.put(OBJECT, "contents").await;
    let presigned = |host: &str| {
        client
            .draft("GET", OBJECT)
            .presign(Duration::from_mins(5))
            .host(host)
    };
    let here = presigned(&proxy.address.to_string()).send().await;
    assert_eq!(here.status, 200, "{here:?}");
    let mut there = presigned(&upstream.address.to_string()).build();
    let host = proxy.address.to_string().parse().unwrap();
    there.headers_mut().insert("host", host);
    let there = client.send(there).await;
    assert_eq!(there.code(), "SignatureDoesNotMatch");
    proxy.stop().await;
}
