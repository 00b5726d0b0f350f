//! XML of S3: edits that leave every byte alone that they do not have to change. Listings stream
//! ([`list`]); everything else is small ([`document`]).

pub mod attributes;
pub mod bucket_encryption;
pub mod buckets;
pub mod copy;
pub mod delete;
pub mod destinations;
pub mod document;
pub mod error;
pub mod list;
pub mod multipart;
pub mod object_encryption;
pub mod post;
pub mod restore;

use std::borrow::Cow;

/// Escapes a text for an element. Characters that XML 1.0 cannot hold, which keys may contain,
/// become U+FFFD: a document that a client cannot read would hide the error it reports.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(needs_escape) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // A parser would turn a bare carriage return into a line feed.
            '\r' => escaped.push_str("&#13;"),
            c if is_illegal(c) => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

fn needs_escape(c: char) -> bool {
    matches!(c, '&' | '<' | '>' | '"' | '\'' | '\r') || is_illegal(c)
}

/// Not a `Char` of XML 1.0 (section 2.2).
fn is_illegal(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_markup_means_and_replaces_what_xml_cannot_hold() {
        assert_eq!(escape("a/b ü"), Cow::Borrowed("a/b ü"));
        assert_eq!(escape("<a&b>\"'\r\n"), "&lt;a&amp;b&gt;&quot;&apos;&#13;\n");
        assert_eq!(escape("a\0b\u{1f}\u{ffff}"), "a\u{fffd}b\u{fffd}\u{fffd}");
    }
}
