//! A query string as received: order, spelling and repetitions are kept.

use std::borrow::Cow;

use super::uri;

/// A view of the raw query of a request; an absent query is an empty one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'a> {
    raw: &'a str,
}

impl<'a> Query<'a> {
    /// Wraps the bytes behind the `?`.
    pub fn new(raw: Option<&'a str>) -> Self {
        Self {
            raw: raw.unwrap_or_default(),
        }
    }

    /// The bytes as received.
    pub fn raw(self) -> &'a str {
        self.raw
    }

    /// Name and value of every parameter as received, still encoded; `?acl` has no value.
    pub fn pairs(self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        self.raw
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| match pair.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (pair, None),
            })
    }

    /// Whether a parameter of this name is there, with or without a value.
    pub fn has(self, name: &str) -> bool {
        self.pairs()
            .any(|(raw, _)| uri::decode(raw).as_ref() == name.as_bytes())
    }

    /// The decoded value of the first parameter of this name; empty where it has none.
    pub fn get(self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.pairs()
            .find(|(raw, _)| uri::decode(raw).as_ref() == name.as_bytes())
            .map(|(_, value)| uri::decode(value.unwrap_or_default()))
    }

    /// How often a parameter of this name occurs.
    pub fn count(self, name: &str) -> usize {
        self.pairs()
            .filter(|(raw, _)| uri::decode(raw).as_ref() == name.as_bytes())
            .count()
    }
}

/// The query that names a version of an object; empty for the current one.
pub fn version_query(version: Option<&[u8]>) -> String {
    version.map_or_else(String::new, |version| {
        format!("versionId={}", uri::encode_component(version))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_parameters_whatever_their_spelling() {
        let query = Query::new(Some("acl&prefix=a%2Fb&&x=1&x=2&%61b=c"));
        assert!(query.has("acl"));
        assert_eq!(query.get("acl").as_deref(), Some(b"".as_slice()));
        assert_eq!(query.get("prefix").as_deref(), Some(b"a/b".as_slice()));
        assert_eq!(query.get("ab").as_deref(), Some(b"c".as_slice()));
        assert_eq!(query.count("x"), 2);
        assert_eq!(query.get("missing"), None);
        assert_eq!(Query::new(None).pairs().count(), 0);
    }
}
