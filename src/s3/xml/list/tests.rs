//! Listings: what changes, what stays, and that it does not matter how they arrive.

use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::*;

const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// Stands for the formula of the format: 128 bytes less, or 16,640 a part.
fn plaintext_len(stored: u64, parts: Option<u32>) -> Option<u64> {
    stored.checked_sub(parts.map_or(128, |parts| 16_640 * u64::from(parts)))
}

fn rewrite_in(pieces: &[&[u8]], etags: ETagStyle) -> Result<(String, ListSummary), ListError> {
    let mut rewriter = ListRewriter::new(etags, plaintext_len);
    let mut out = Vec::new();
    for piece in pieces {
        rewriter.push(piece, &mut out)?;
    }
    let summary = rewriter.finish()?;
    Ok((String::from_utf8(out).unwrap(), summary))
}

fn rewrite(document: &str) -> Result<String, ListError> {
    rewrite_in(&[document.as_bytes()], ETagStyle::Dashed).map(|(text, _)| text)
}

/// Rewrites `document` whole and byte by byte, and compares with `expected`.
fn check(document: &str, expected: &str) -> ListSummary {
    let (whole, summary) = rewrite_in(&[document.as_bytes()], ETagStyle::Dashed).unwrap();
    assert_eq!(whole, expected);
    let bytes: Vec<_> = document.as_bytes().chunks(1).collect();
    assert_eq!(rewrite_in(&bytes, ETagStyle::Dashed), Ok((whole, summary)));
    summary
}

/// The answer of the AWS documentation, with the elements of 2025, before and after.
#[test]
fn a_listing_of_s3() {
    let document = |size: &str, dash: &str, checksum: &str, parts_size: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name>\
             <Prefix/><KeyCount>205</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>\
             <Contents><Key>my-image.jpg</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified>\
             <ETag>&quot;{MD5}{dash}&quot;</ETag>{checksum}<Size>{size}</Size>\
             <StorageClass>STANDARD</StorageClass><Owner><ID>75aa</ID></Owner></Contents>\
             <Contents><Key>a&amp;b</Key><Size>{parts_size}</Size><ETag>\"{MD5}-2\"</ETag></Contents>\
             <CommonPrefixes><Prefix>photos/</Prefix></CommonPrefixes></ListBucketResult>"
        )
    };
    let checksum =
        "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>";
    let before = document("434362", "", checksum, "10033280");
    let after = document("434234", "-0", "", "10000000");
    assert_eq!(
        check(&before, &after),
        ListSummary {
            entries: 2,
            foreign_sizes: 0
        }
    );

    let (upstream, _) = rewrite_in(&[before.as_bytes()], ETagStyle::Upstream).unwrap();
    assert_eq!(upstream, document("434234", "", "", "10000000"));
}

#[test]
fn versions_and_delete_markers() {
    let document = |size, dash| {
        format!(
            "<ListVersionsResult><Version><Key>k</Key><VersionId>3/L4</VersionId><IsLatest>true</IsLatest>\
             <ETag>\"{MD5}{dash}\"</ETag><Size>{size}</Size></Version>\
             <DeleteMarker><Key>k</Key><VersionId>v</VersionId><ETag>\"{MD5}\"</ETag></DeleteMarker>\
             <Version><Key>dir/</Key><ETag>\"{MD5}{dash}\"</ETag><Size>0</Size></Version>\
             </ListVersionsResult>"
        )
    };
    let summary = check(&document(228, ""), &document(100, "-0"));
    assert_eq!(
        summary,
        ListSummary {
            entries: 2,
            foreign_sizes: 0
        }
    );
}

/// Everything XML can write a listing as, and that must survive.
#[test]
fn odd_markup_stays() {
    let document = |size, dash| {
        format!(
            "\u{feff}<!-- <Contents><Size>1</Size> --><?pi <Contents> ?>\n\
             <s3:R xmlns:s3='a>b' x=\"<Contents>\">\n  <s3:Contents a='</s3:Contents>' >\n\
             \t<s3:Key><![CDATA[<Size>228</Size>]]></s3:Key><!-- </s3:Contents> -->\n\
             \t<s3:Size\n>\n {size} </s3:Size >\n\t<s3:ETag> <![CDATA[ \"{MD5}{dash}\" ]]></s3:ETag>\n\
             \t<Owner><Size>228</Size><Contents/></Owner><Sizes>228</Sizes><size>228</size>\n\
             </s3:Contents><Contents/><Size>228</Size></s3:R>\n\n"
        )
    };
    let summary = check(
        &document("228", ""),
        &document("100", "-0").replace("\n 100 <", "100<"),
    );
    assert_eq!(
        summary,
        ListSummary {
            entries: 1,
            foreign_sizes: 0
        }
    );
}

#[test]
fn checksum_elements_go_however_often_they_come() {
    let checksums = "<ChecksumAlgorithm>SHA256</ChecksumAlgorithm><ChecksumAlgorithm/><x:ChecksumType> a<b/> </x:ChecksumType>";
    let document = |checksums: &str| {
        format!(
            "<R><Contents>{checksums}<Key>k</Key>{checksums}</Contents><ChecksumType>x</ChecksumType></R>"
        )
    };
    check(&document(checksums), &document(""));
}

#[test]
fn sizes_that_cannot_be_ours_stay_and_are_counted() {
    for (etag, size) in [
        (format!("<ETag>\"{MD5}\"</ETag>"), "127"),
        (format!("<ETag>\"{MD5}-2\"</ETag>"), "33279"),
        (format!("<ETag>\"{MD5}\"</ETag>"), "-1"),
        (format!("<ETag>\"{MD5}\"</ETag>"), "99999999999999999999"),
        (format!("<ETag>\"{MD5}\"</ETag>"), "2<!-- -->28"),
        (format!("<ETag>\"{MD5}\"</ETag>"), ""),
        (String::new(), "127"),
    ] {
        let document = format!("<R><Contents>{etag}<Size>{size}</Size></Contents></R>");
        let (text, summary) = rewrite_in(&[document.as_bytes()], ETagStyle::Upstream).unwrap();
        assert_eq!(
            (text, summary),
            (
                document,
                ListSummary {
                    entries: 1,
                    foreign_sizes: 1
                }
            )
        );
    }
    check(
        "<R><Contents><Key>k</Key></Contents></R>",
        "<R><Contents><Key>k</Key></Contents></R>",
    );
}

#[test]
fn what_is_no_listing_is_refused() {
    use ListError::{Malformed, TooDeep, Truncated};
    for (document, error) in [
        ("", Truncated),
        ("<R>", Truncated),
        ("<R><Contents><Size>228</Size>", Truncated),
        ("<R></R", Truncated),
        ("<R></R><!--", Truncated),
        ("no markup", Truncated),
        ("</R>", Malformed),
        ("<R></R><R></R>", Malformed),
        ("<R/><R/>", Malformed),
        ("<R></R/>", Malformed),
        ("<R><></R>", Malformed),
        ("<R>< Contents></R>", Malformed),
        ("<!DOCTYPE R [<!ENTITY a \"b\">]><R></R>", Malformed),
        ("<\0R\0>\0", Malformed),
        (
            "<R><Contents><Size>1</Size><Size>1</Size></Contents></R>",
            Malformed,
        ),
        (
            "<R><Contents><ETag/><ETag>\"a\"</ETag></Contents></R>",
            Malformed,
        ),
        (&"<a>".repeat(DEPTH_MAX + 1), TooDeep),
    ] {
        assert_eq!(rewrite(document), Err(error), "{document}");
    }
    assert_eq!(
        rewrite("<R></R> <!-- --> \n"),
        Ok("<R></R> <!-- --> \n".to_owned())
    );
}

#[test]
fn memory_is_bounded() {
    let key = |len: usize| format!("<R><Contents><Key>{}</Key></Contents></R>", "k".repeat(len));
    let fits = key(ENTRY_LEN_MAX - "<Contents><Key></Key></Contents>".len());
    let comment = |len: usize| format!("<R><!--{}--></R>", "c".repeat(len));
    let attribute = format!("<R><a b='{}'></a></R>", "c".repeat(ENTRY_LEN_MAX));
    for piece in [usize::MAX, 1000, 1] {
        let run = |document: &str| {
            let pieces: Vec<_> = document.as_bytes().chunks(piece).collect();
            rewrite_in(&pieces, ETagStyle::Dashed).map(|_| ())
        };
        assert_eq!(run(&fits), Ok(()));
        assert_eq!(run(&key(ENTRY_LEN_MAX)), Err(ListError::TooLong));
        assert_eq!(run(&comment(ENTRY_LEN_MAX - 7)), Ok(()));
        assert_eq!(run(&comment(ENTRY_LEN_MAX - 6)), Err(ListError::TooLong));
        assert_eq!(run(&attribute), Err(ListError::TooLong));
    }
    // Text outside of entries and the number of entries are not bounded: nothing of them is held.
    let mut rewriter = ListRewriter::new(ETagStyle::Dashed, plaintext_len);
    let mut out = Vec::new();
    rewriter.push(b"<R><Name>", &mut out).unwrap();
    for _ in 0..100 {
        rewriter.push(&[b'n'; 10_000], &mut out).unwrap();
        assert_eq!(rewriter.held.len(), 0);
    }
    assert_eq!(out.len(), 9 + 1_000_000);
}

/// Elements of an entry in any order, with what is expected of them.
fn entry() -> impl Strategy<Value = (String, String)> {
    let key = "[a-z%+/&&[^&]]{1,12}".prop_map(|key| format!("<Key>{key}&amp;&#10;</Key>"));
    let other = prop_oneof![
        Just("<Owner><ID>1</ID><Size>5</Size></Owner>".to_owned()),
        Just("<!-- <Size>1</Size> -->".to_owned()),
        Just("\n  ".to_owned()),
        Just("<Key a='>'><![CDATA[</Contents>]]></Key>".to_owned()),
    ];
    let quote = prop_oneof![Just("\""), Just("&quot;")];
    (
        key,
        other,
        0u64..100_000,
        prop::option::of(1u32..4),
        quote,
        any::<bool>(),
    )
        .prop_flat_map(|(key, other, plain, parts, quote, checksum)| {
            let stored = plain + parts.map_or(128, |parts| 16_640 * u64::from(parts));
            let suffix = parts.map_or(String::new(), |parts| format!("-{parts}"));
            let shown = if suffix.is_empty() { "-0" } else { &suffix };
            let mut elements = vec![
                (key.clone(), key),
                (other.clone(), other),
                (
                    format!("<Size>{stored}</Size>"),
                    format!("<Size>{plain}</Size>"),
                ),
                (
                    format!("<ETag>{quote}{MD5}{suffix}{quote}</ETag>"),
                    format!("<ETag>{quote}{MD5}{shown}{quote}</ETag>"),
                ),
            ];
            if checksum {
                elements.push((
                    "<ChecksumType>FULL_OBJECT</ChecksumType>".to_owned(),
                    String::new(),
                ));
            }
            Just(elements)
                .prop_shuffle()
                .prop_map(|elements| elements.into_iter().unzip())
        })
}

fn listing() -> impl Strategy<Value = (String, String)> {
    prop::collection::vec(entry(), 0..8).prop_map(|entries| {
        let document = |side: fn(&(String, String)) -> &String| {
            let entries: Vec<_> = entries
                .iter()
                .map(|entry| format!("<Contents>{}</Contents>", side(entry)))
                .collect();
            format!(
                "<?xml version=\"1.0\"?>\n<R xmlns='x'><Name>b</Name>{}</R>",
                entries.join("\n")
            )
        };
        (document(|entry| &entry.0), document(|entry| &entry.1))
    })
}

/// The sizes of a document as another XML parser reads them.
fn sizes(document: &str) -> Vec<u64> {
    let mut reader = Reader::from_str(document);
    let (mut depth, mut open, mut sizes) = (0, false, Vec::new());
    loop {
        let event = reader.read_event().unwrap();
        if let Event::Start(start) = &event {
            depth += 1;
            open = depth == 3 && start.local_name().as_ref() == "Size";
        } else if let Event::End(_) = &event {
            depth -= 1;
            open = false;
        } else if let (Event::Text(text), true) = (&event, open) {
            sizes.push(text.xml10_content().parse().unwrap());
        } else if event == Event::Eof {
            return sizes;
        }
    }
}

proptest! {
    #[test]
    fn any_split_gives_the_expected_document(
        (document, expected) in listing(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(document.len() + 1)).collect();
        cuts.extend([0, document.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> =
            cuts.windows(2).map(|cut| &document.as_bytes()[cut[0]..cut[1]]).collect();
        let (text, _) = rewrite_in(&pieces, ETagStyle::Dashed).unwrap();
        prop_assert_eq!(&text, &expected);
        prop_assert_eq!(sizes(&text), sizes(&expected));
    }

    /// Without a size of ours and with the upstream's tags, a listing comes out as it went in.
    #[test]
    fn nothing_else_changes((_, document) in listing()) {
        let mut rewriter = ListRewriter::new(ETagStyle::Upstream, |_, _| None);
        let mut out = Vec::new();
        rewriter.push(document.as_bytes(), &mut out).unwrap();
        prop_assert_eq!(String::from_utf8(out).unwrap(), document);
    }

    /// Any bytes give the same answer whole and in pieces, and never panic.
    #[test]
    fn any_bytes_are_survived(
        parts in prop::collection::vec(
            prop_oneof![
                Just("<R>"), Just("</R>"), Just("<Contents>"), Just("</Contents>"), Just("<Size>"), Just("228"),
                Just("</Size>"), Just("<ETag>"), Just("</ETag>"), Just("<!--"), Just("-->"), Just("<![CDATA["),
                Just("]]>"), Just("<"), Just(">"), Just("'"), Just("\""), Just("/"), Just("<?"), Just("?>"), Just("-"),
            ],
            0..40,
        ),
    ) {
        let document = parts.concat();
        let bytes: Vec<_> = document.as_bytes().chunks(1).collect();
        let whole = rewrite_in(&[document.as_bytes()], ETagStyle::Dashed);
        prop_assert_eq!(rewrite_in(&bytes, ETagStyle::Dashed), whole);
    }
}
