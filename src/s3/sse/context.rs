//! A client's encryption context: non-secret pairs that a wrap is bound to.

use std::fmt;

use data_encoding::BASE64;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::SseError;

/// The longest context in bytes of its canonical form (format.md, key envelope).
pub const CONTEXT_LEN_MAX: usize = 1024;

/// Pairs of strings with different names, sorted as RFC 8785 sorts them; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionContext {
    pairs: Vec<(String, String)>,
    canonical: String,
}

impl EncryptionContext {
    /// Reads the header's value: base64 of a JSON object. `None` for the empty object, which
    /// binds to nothing.
    pub fn parse(value: &str) -> Result<Option<Self>, SseError> {
        // Whitespace and escapes can make the text longer than its canonical form, though not
        // without bound.
        if value.len() > HEADER_LEN_MAX {
            return Err(SseError::ContextTooLong { len: value.len() });
        }
        let json = BASE64
            .decode(value.as_bytes())
            .map_err(|_| SseError::Context)?;
        let Pairs(pairs) = serde_json::from_slice(&json).map_err(|_| SseError::Context)?;
        Self::new(pairs)
    }

    /// Takes pairs in any order. `None` if there are none.
    pub fn new(mut pairs: Vec<(String, String)>) -> Result<Option<Self>, SseError> {
        if let Some((name, _)) = pairs.iter().find(|(name, _)| is_reserved(name)) {
            return Err(SseError::ContextName { name: name.clone() });
        }
        pairs.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        if pairs
            .windows(2)
            .any(|pair| matches!(pair, [(a, _), (b, _)] if a == b))
        {
            return Err(SseError::Context);
        }
        let canonical = canonical(&pairs);
        match canonical.len() {
            _ if pairs.is_empty() => Ok(None),
            0..=CONTEXT_LEN_MAX => Ok(Some(Self { pairs, canonical })),
            len => Err(SseError::ContextTooLong { len }),
        }
    }

    /// The pairs, sorted by name.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// The JSON of RFC 8785: what the key envelope stores and every wrap is bound to.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

/// Names that a provider binds itself; in any case, since not every provider tells cases apart.
fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|prefix| {
        let start = name.as_bytes().get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    })
}

/// RFC 8785 of sorted string pairs. Its string escapes are those that `serde_json` writes: the
/// two-character ones, lower-case `\u00xx` for other controls, and nothing else.
fn canonical(pairs: &[(String, String)]) -> String {
    let string = |text: &str| serde_json::Value::from(text).to_string();
    let members: Vec<_> = pairs
        .iter()
        .map(|(name, value)| format!("{}:{}", string(name), string(value)))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// A JSON object of strings that keeps repeated names, so that they can be refused: two readers
/// of such an object need not agree on its meaning.
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

const RESERVED: [&str; 2] = ["aws:", "s3seal:"];

/// HTTP servers take headers of 8 KiB; AWS KMS takes contexts of as much.
const HEADER_LEN_MAX: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(json: &str) -> Result<Option<EncryptionContext>, SseError> {
        EncryptionContext::parse(&BASE64.encode(json.as_bytes()))
    }

    #[test]
    fn contexts_are_canonical_json() {
        let cases = [
            (r#"{ "b": "2", "a" : "1" }"#, r#"{"a":"1","b":"2"}"#),
            (r#"{"a":"\u00fc\/\u0041"}"#, r#"{"a":"ü/A"}"#),
            (
                r#"{"a":"\u0008\u001f\u007f\""}"#,
                "{\"a\":\"\\b\\u001f\u{7f}\\\"\"}",
            ),
            // RFC 8785 sorts by UTF-16: the surrogates of U+1F600 come before U+FB33.
            (
                r#"{"\ufb33":"1","\ud83d\ude00":"2"}"#,
                "{\"\u{1f600}\":\"2\",\"\u{fb33}\":\"1\"}",
            ),
            (r#"{"":""}"#, r#"{"":""}"#),
        ];
        for (json, canonical) in cases {
            assert_eq!(parse(json).unwrap().unwrap().canonical(), canonical);
        }
        assert_eq!(parse("{}"), Ok(None));
    }

    #[test]
    fn everything_else_is_refused() {
        for json in [
            "",
            "[]",
            "null",
            "\"a\"",
            "{\"a\":1}",
            "{\"a\":null}",
            "{\"a\":{}}",
            "{\"a\":\"b\"}x",
            "{\"a\":\"b\",}",
            "{\"a\":\"b\",\"a\":\"b\"}",
            "{\"a\":\"b\",\"\\u0061\":\"c\"}",
            "{\"\\ud800\":\"\"}",
        ] {
            assert_eq!(parse(json), Err(SseError::Context), "{json}");
        }
        for value in ["e30", "e30=\n", "*", "_w=="] {
            assert_eq!(
                EncryptionContext::parse(value),
                Err(SseError::Context),
                "{value}"
            );
        }
        assert_eq!(EncryptionContext::parse("/w=="), Err(SseError::Context));
        for name in ["aws:s3:arn", "AWS:x", "s3seal:context", "s3seal:"] {
            let error = parse(&format!("{{\"{name}\":\"\"}}")).unwrap_err();
            assert_eq!(
                error,
                SseError::ContextName {
                    name: name.to_owned()
                }
            );
        }
        assert!(parse("{\"aws\":\"\",\"xaws:\":\"\"}").is_ok());
    }

    #[test]
    fn contexts_are_1024_bytes_at_most() {
        let json = |len: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(len - 8));
        assert!(parse(&json(1024)).is_ok());
        assert_eq!(
            parse(&json(1025)),
            Err(SseError::ContextTooLong { len: 1025 })
        );
        assert!(matches!(
            parse(&json(9000)),
            Err(SseError::ContextTooLong { .. })
        ));
    }

    proptest! {
        /// Canonical form is a fixed point, and says the same as the pairs.
        #[test]
        fn canonical_form_reads_back(pairs in proptest::collection::btree_map(".{0,8}", ".{0,8}", 1..5)) {
            let pairs: Vec<_> = pairs.into_iter().collect();
            if let Ok(Some(context)) = EncryptionContext::new(pairs) {
                prop_assert_eq!(parse(context.canonical()), Ok(Some(context)));
            }
        }
    }
}
