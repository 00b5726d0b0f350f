//! Entity tags: the upstream's and the dashed form that clients are shown.
//!
//! A plain upstream entity tag (32 hex digits) is the MD5 of ciphertext. Clients that find such an entity tag
//! take it for the MD5 of what they sent, so they are shown `<hex>-0` instead: a suffix that S3
//! never issues, which makes the mapping a bijection that needs no state and keeps conditional
//! requests atomic upstream. Multipart entity tags (`<hex>-N`) and foreign forms are the same on both
//! sides.

use std::borrow::Cow;

/// How entity tags are shown to clients (`[upstream] etag`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ETagStyle {
    /// Plain entity tags get the suffix `-0`.
    #[default]
    Dashed,
    /// As the upstream sends them.
    Upstream,
}

/// One entity tag as it stands in a header or an XML text: bare, quoted (`"` or `&quot;`), weak.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag(String);

impl ETag {
    /// Takes the text as it is: every entity tag of another server is allowed to look as it likes.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, with whatever quotes it came with.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What clients see for this upstream entity tag.
    #[must_use]
    pub fn shown(&self, style: ETagStyle) -> Self {
        Self(shown(&self.0, style).into_owned())
    }

    /// What the upstream knows a shown entity tag as.
    #[must_use]
    pub fn upstream(&self) -> Self {
        Self(upstream(&self.0).into_owned())
    }

    /// The number of parts of a multipart object, 1 to 10,000; `None` for every other form.
    pub fn parts(&self) -> Option<u32> {
        parts(self.0.as_bytes())
    }
}

/// [`ETag::shown`] on a text.
pub fn shown(text: &str, style: ETagStyle) -> Cow<'_, str> {
    match style {
        ETagStyle::Upstream => Cow::Borrowed(text),
        ETagStyle::Dashed => {
            match dash_position(text.as_bytes()).and_then(|at| text.split_at_checked(at)) {
                Some((head, tail)) => Cow::Owned([head, SUFFIX, tail].concat()),
                None => Cow::Borrowed(text),
            }
        }
    }
}

/// With its quotes, which some servers leave out in documents.
pub fn quoted(text: &str) -> Cow<'_, str> {
    if text.starts_with('"') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("\"{text}\""))
}

/// [`ETag::upstream`] on a text. Strips `-0` in either style, since an upstream never issues it
/// and a client may come back with an entity tag from before a change of style.
pub fn upstream(text: &str) -> Cow<'_, str> {
    let parsed = Parsed::new(text.as_bytes());
    let (Some(at), SUFFIX_BYTES) = (parsed.hash_end, parsed.suffix) else {
        return Cow::Borrowed(text);
    };
    match (text.get(..at), text.get(at + SUFFIX.len()..)) {
        (Some(head), Some(tail)) => Cow::Owned([head, tail].concat()),
        _ => Cow::Borrowed(text),
    }
}

/// [`ETag::parts`] on the bytes of a text.
pub fn parts(text: &[u8]) -> Option<u32> {
    let digits = Parsed::new(text).suffix.strip_prefix(b"-")?;
    let well_formed = digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit);
    if !well_formed || digits.first().is_none_or(|first| *first == b'0') {
        return None;
    }
    let count: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (count <= MAX_PARTS).then_some(count)
}

/// Where `-0` goes into an upstream entity tag to make its shown form; `None` where it stays as it is.
pub fn dash_position(text: &[u8]) -> Option<usize> {
    let parsed = Parsed::new(text);
    parsed.hash_end.filter(|_| parsed.suffix.is_empty())
}

/// An entity tag text cut at its joints: `[W/] [quote] <32 hex> suffix [quote]`.
struct Parsed<'a> {
    /// Offset behind the 32 hex digits; `None` where the entity tag has another form.
    hash_end: Option<usize>,
    /// Between the digits and the closing quote; empty where `hash_end` is `None`.
    suffix: &'a [u8],
}

impl<'a> Parsed<'a> {
    fn new(text: &'a [u8]) -> Self {
        let none = Self {
            hash_end: None,
            suffix: b"",
        };
        let strong = text.strip_prefix(b"W/").unwrap_or(text);
        let opened = QUOTES.iter().find_map(|quote| strong.strip_prefix(*quote));
        let Some((hash, rest)) = opened.unwrap_or(strong).split_at_checked(HASH_LEN) else {
            return none;
        };
        if !hash.iter().all(u8::is_ascii_hexdigit) {
            return none;
        }
        let closed = QUOTES.iter().find_map(|quote| rest.strip_suffix(*quote));
        if opened.is_some() != closed.is_some() {
            return none;
        }
        Self {
            hash_end: Some(text.len() - rest.len()),
            suffix: closed.unwrap_or(rest),
        }
    }
}

/// The quotes as they stand in headers, and the ways XML texts write them.
const QUOTES: [&[u8]; 3] = [b"\"", b"&quot;", b"&#34;"];

/// Hex digits of an MD5.
const HASH_LEN: usize = 32;

/// S3 never issues it: part counts begin at 1.
const SUFFIX: &str = "-0";
const SUFFIX_BYTES: &[u8] = SUFFIX.as_bytes();

/// S3's limit of parts in an upload.
const MAX_PARTS: u32 = 10_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

    #[test]
    fn plain_etags_are_dashed_in_every_spelling() {
        for (open, close) in [
            ("", ""),
            ("\"", "\""),
            ("&quot;", "&quot;"),
            ("W/\"", "\""),
            ("&#34;", "&#34;"),
        ] {
            let plain = format!("{open}{MD5}{close}");
            let dashed = format!("{open}{MD5}-0{close}");
            assert_eq!(shown(&plain, ETagStyle::Dashed), dashed);
            assert_eq!(shown(&plain, ETagStyle::Upstream), plain);
            assert_eq!(upstream(&dashed), plain);
        }
    }

    #[test]
    fn other_forms_are_left_alone() {
        for text in [
            format!("\"{MD5}-3\""),
            format!("\"{MD5}"),
            format!("{MD5}\""),
            format!("\"{MD5}-x\""),
            "\"0x8DC\"".to_owned(),
            "*".to_owned(),
            String::new(),
            "\"\"".to_owned(),
        ] {
            assert_eq!(shown(&text, ETagStyle::Dashed), text);
            assert_eq!(upstream(&text), text);
        }
    }

    #[test]
    fn part_counts_are_read_strictly() {
        let count = |suffix: &str| ETag::new(format!("\"{MD5}{suffix}\"")).parts();
        assert_eq!(count("-1"), Some(1));
        assert_eq!(count("-10000"), Some(10_000));
        for suffix in [
            "",
            "-0",
            "-",
            "-01",
            "-10001",
            "-4294967297",
            "--1",
            "-+1",
            "-1-1",
        ] {
            assert_eq!(count(suffix), None, "{suffix}");
        }
        assert_eq!(
            parts(b"&quot;d41d8cd98f00b204e9800998ecf8427e-7&quot;"),
            Some(7)
        );
        assert_eq!(parts(b"etag-7"), None);
    }

    proptest! {
        /// What clients hold maps back to what the upstream issued, for everything it can issue.
        #[test]
        fn shown_is_a_bijection(
            hash in "[0-9a-fA-F]{31,33}",
            suffix in prop_oneof![Just(String::new()), (1u32..20_000).prop_map(|n| format!("-{n}"))],
            quote in prop_oneof![Just(""), Just("\""), Just("&quot;")],
        ) {
            let issued = ETag::new(format!("{quote}{hash}{suffix}{quote}"));
            prop_assert_eq!(issued.shown(ETagStyle::Dashed).upstream(), issued.clone());
            prop_assert_eq!(issued.upstream(), issued);
        }

        #[test]
        fn any_text_is_survived(text in ".*") {
            let shown = ETag::new(text.as_str()).shown(ETagStyle::Dashed);
            if !text.contains("-0") {
                prop_assert_eq!(shown.upstream(), ETag::new(text));
            }
        }
    }
}
