//! The client's encryption context as it is stored: JSON by RFC 8785, string values only.

use thiserror::Error;

/// A client encryption context: its canonical bytes, and the pairs that key providers are given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientContext {
    /// Canonical JSON; empty if the context is absent.
    bytes: Vec<u8>,
    /// Sorted as in the JSON, without duplicates.
    pairs: Vec<(String, String)>,
}

/// A context that cannot be stored. On writing the client is at fault; on reading, whoever wrote
/// the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ClientContextError {
    /// The same name twice.
    #[error("the encryption context has a name twice")]
    Duplicate,
    /// Stored bytes that are not canonical JSON of strings.
    #[error("the encryption context is not canonical json")]
    NotCanonical,
    /// A name that begins with `aws:` or `s3seal:`.
    #[error("the encryption context uses a reserved prefix")]
    Reserved,
    /// More than 1,024 bytes.
    #[error("the encryption context is longer than {MAX_CLIENT_CONTEXT_LEN} bytes")]
    TooLong,
}

/// The longest client context, in bytes of canonical JSON.
pub const MAX_CLIENT_CONTEXT_LEN: usize = 1024;

impl ClientContext {
    /// The context of these pairs, in any order; none at all is an absent context.
    pub fn from_pairs(
        pairs: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ClientContextError> {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        // RFC 8785, 3.2.3: by UTF-16 code units, which is not the order of UTF-8 bytes.
        pairs.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        let bytes = canonical_json(&pairs);
        let mut names = pairs.iter().map(|(name, _)| name);
        if bytes.len() > MAX_CLIENT_CONTEXT_LEN {
            return Err(ClientContextError::TooLong);
        }
        if names
            .clone()
            .zip(names.clone().skip(1))
            .any(|(a, b)| a == b)
        {
            return Err(ClientContextError::Duplicate);
        }
        if names.any(|name| RESERVED.iter().any(|prefix| name.starts_with(prefix))) {
            return Err(ClientContextError::Reserved);
        }
        Ok(Self { bytes, pairs })
    }

    /// Reads stored bytes, which are kept as they are: they must be canonical already.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ClientContextError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        if bytes.len() > MAX_CLIENT_CONTEXT_LEN {
            return Err(ClientContextError::TooLong);
        }
        let pairs = std::str::from_utf8(bytes)
            .ok()
            .and_then(read_object)
            .ok_or(ClientContextError::NotCanonical)?;
        let context = Self::from_pairs(pairs)?;
        if context.bytes == bytes {
            Ok(context)
        } else {
            Err(ClientContextError::NotCanonical)
        }
    }

    /// The canonical JSON; empty if the context is absent, never `{}`.
    pub fn canonical_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The pairs, sorted, without duplicates.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

/// Names that key providers set themselves, or that AWS keeps for itself.
const RESERVED: [&str; 2] = ["aws:", "s3seal:"];

fn canonical_json(pairs: &[(String, String)]) -> Vec<u8> {
    let mut json = String::new();
    for (name, value) in pairs {
        json.push(if json.is_empty() { '{' } else { ',' });
        push_string(&mut json, name);
        json.push(':');
        push_string(&mut json, value);
    }
    if !json.is_empty() {
        json.push('}');
    }
    json.into_bytes()
}

/// RFC 8785, 3.2.2.2: the shortest escapes, and only where JSON needs one.
fn push_string(json: &mut String, text: &str) {
    json.push('"');
    for char in text.chars() {
        match char {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\u{8}' => json.push_str("\\b"),
            '\t' => json.push_str("\\t"),
            '\n' => json.push_str("\\n"),
            '\u{C}' => json.push_str("\\f"),
            '\r' => json.push_str("\\r"),
            '\0'..'\u{20}' => {
                json.push_str("\\u00");
                json.extend(char::from_digit(u32::from(char) / 16, 16));
                json.extend(char::from_digit(u32::from(char) % 16, 16));
            }
            _ => json.push(char),
        }
    }
    json.push('"');
}

/// Reads the JSON that [`canonical_json`] writes. It may take more: the caller writes it again and
/// compares.
fn read_object(json: &str) -> Option<Vec<(String, String)>> {
    let mut chars = json.strip_prefix('{')?.chars();
    let mut pairs = Vec::new();
    loop {
        let name = read_string(&mut chars)?;
        chars.next().filter(|char| *char == ':')?;
        pairs.push((name, read_string(&mut chars)?));
        match chars.next()? {
            ',' => {}
            '}' => break,
            _ => return None,
        }
    }
    chars.next().is_none().then_some(pairs)
}

fn read_string(chars: &mut std::str::Chars<'_>) -> Option<String> {
    chars.next().filter(|char| *char == '"')?;
    let mut text = String::new();
    loop {
        match chars.next()? {
            '"' => return Some(text),
            '\\' => text.push(read_escape(chars)?),
            char => text.push(char),
        }
    }
}

fn read_escape(chars: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match chars.next()? {
        'b' => '\u{8}',
        't' => '\t',
        'n' => '\n',
        'f' => '\u{C}',
        'r' => '\r',
        'u' => {
            let code = chars.as_str().get(..4)?;
            chars.nth(3)?;
            char::from_u32(u32::from_str_radix(code, 16).ok()?)?
        }
        char => char,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn context(pairs: &[(&str, &str)]) -> Result<ClientContext, ClientContextError> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        ClientContext::from_pairs(pairs.iter().map(owned))
    }

    #[test]
    fn writes_canonical_json() {
        let json = |pairs: &[(&str, &str)]| {
            String::from_utf8(context(pairs).unwrap().canonical_bytes().to_vec()).unwrap()
        };
        assert_eq!(json(&[]), "");
        assert_eq!(json(&[("b", "1"), ("a", "ü/")]), r#"{"a":"ü/","b":"1"}"#);
        let escapes = "\u{8}\t\n\u{C}\r\"\\\u{0}\u{1f}\u{7f}\u{2028}";
        let expected = "{\"k\":\"\\b\\t\\n\\f\\r\\\"\\\\\\u0000\\u001f\u{7f}\u{2028}\"}";
        assert_eq!(json(&[("k", escapes)]), expected);
        // RFC 8785, 3.2.3: U+1F600 is a surrogate pair and sorts before U+FB33.
        let sorted = "{\"\u{20ac}\":\"\",\"\u{1f600}\":\"\",\"\u{fb33}\":\"\"}";
        assert_eq!(
            json(&[("\u{fb33}", ""), ("\u{1f600}", ""), ("\u{20ac}", "")]),
            sorted
        );
    }

    #[test]
    fn refuses_what_the_rules_refuse() {
        assert_eq!(
            context(&[("a", "1"), ("a", "2")]),
            Err(ClientContextError::Duplicate)
        );
        assert_eq!(context(&[("aws:x", "")]), Err(ClientContextError::Reserved));
        assert_eq!(
            context(&[("s3seal:context", "")]),
            Err(ClientContextError::Reserved)
        );
        let fits = "x".repeat(MAX_CLIENT_CONTEXT_LEN - r#"{"k":""}"#.len());
        assert!(context(&[("k", &fits)]).is_ok());
        let too_long = format!("{fits}x");
        assert_eq!(
            context(&[("k", &too_long)]),
            Err(ClientContextError::TooLong)
        );
    }

    #[test]
    fn stored_json_must_be_canonical() {
        assert_eq!(ClientContext::parse(b"").unwrap().pairs(), []);
        let read = ClientContext::parse(br#"{"tenant":"blue"}"#).unwrap();
        assert_eq!(read.pairs(), [("tenant".to_owned(), "blue".to_owned())]);
        for json in [
            "{}",
            "{",
            "null",
            "[]",
            " {\"a\":\"b\"}",
            "{\"a\":\"b\"} ",
            "{\"a\": \"b\"}",
            "{\"a\":1}",
            "{\"a\":null}",
            "{\"b\":\"\",\"a\":\"\"}",
            "{\"a\":\"\",}",
            "{\"a\":\"\\u0041\"}",
            "{\"a\":\"\\/\"}",
            "{\"a\":\"\\u000A\"}",
            "{\"a\":\"\\n",
            "{\"a\":\"\t\"}",
            "{\"a\":\"\\u+00a\"}",
            "{\"a\":\"\\u00\"}",
            "{\"a\":{}}",
        ] {
            let result = ClientContext::parse(json.as_bytes());
            assert_eq!(result, Err(ClientContextError::NotCanonical), "{json}");
        }
        assert!(ClientContext::parse(b"{\"a\":\"\xFF\"}").is_err());
        let twice = ClientContext::parse(br#"{"a":"1","a":"2"}"#);
        assert_eq!(twice, Err(ClientContextError::Duplicate));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            pairs in prop::collection::btree_map(".{0,8}", ".{0,8}", 0..5)
        ) {
            if let Ok(context) = ClientContext::from_pairs(pairs) {
                prop_assert_eq!(ClientContext::parse(context.canonical_bytes()), Ok(context));
            }
        }

        #[test]
        fn agrees_with_a_json_library(
            pairs in prop::collection::btree_map("[a-z\\x00-\\x7f]{1,8}", ".{0,8}", 1..5)
        ) {
            // Names are ASCII here: serde_json sorts by bytes, RFC 8785 by UTF-16 units.
            if let Ok(context) = ClientContext::from_pairs(pairs.clone()) {
                let json = serde_json::to_vec(&pairs).unwrap();
                prop_assert_eq!(context.canonical_bytes(), json);
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, text in "\\{\"[\\PC\\\\u\":,]{0,20}") {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                if let Ok(context) = ClientContext::parse(bytes) {
                    prop_assert_eq!(context.canonical_bytes(), bytes);
                }
            }
        }
    }
}
