//! The objects of a prefix, page by page: current ones (ListObjectsV2), or every version of them
//! (ListObjectVersions).

use http::{HeaderMap, Method, StatusCode};
use thiserror::Error;

use super::refusal::refusal_code;
use super::request::UpstreamRequest;
use super::{Upstream, UpstreamError};
use crate::body::{BodyError, collect};
use crate::s3::query::version_query;
use crate::s3::uri;
use crate::s3::xml::document::{Document, Node};

/// The objects behind the last key that was seen.
pub struct Walk<'a> {
    upstream: &'a Upstream,
    bucket: &'a str,
    prefix: &'a str,
    which: Which,
    after: Option<Place>,
    is_done: bool,
}

/// What is walked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// The current version of every object that has one.
    #[default]
    Current,
    /// Every version. Delete markers are none.
    Versions,
}

/// Something that is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Decoded.
    pub key: String,
    /// Which version; the current one where `None`.
    pub version: Option<String>,
}

/// Some objects in the order of the listing.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// What is there.
    pub objects: Vec<Listed>,
    /// The last key all of which has been listed, if there is one: where another walk can go on.
    pub last: Option<String>,
}

/// Where the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    key: String,
    version: Option<String>,
}

/// Why there is no next page.
#[derive(Debug, Error)]
pub enum WalkError {
    /// No answer.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The answer broke off.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The upstream says no.
    #[error("the upstream answers {0}")]
    Refused(String),
    /// No listing, or one that goes in circles.
    #[error("the upstream's listing cannot be read")]
    Unreadable,
}

impl<'a> Walk<'a> {
    /// Begins behind the key `after`, or with the first.
    pub fn new(
        upstream: &'a Upstream,
        bucket: &'a str,
        prefix: &'a str,
        which: Which,
        after: Option<String>,
    ) -> Self {
        Self {
            upstream,
            bucket,
            prefix,
            which,
            after: after.map(|key| Place { key, version: None }),
            is_done: false,
        }
    }

    /// `None` at the end.
    ///
    /// # Errors
    ///
    /// See [`WalkError`].
    pub async fn next_page(&mut self) -> Result<Option<Page>, WalkError> {
        if self.is_done {
            return Ok(None);
        }
        let mut request = UpstreamRequest::new(Method::GET, Some(self.bucket), None);
        request.operation = self.which.operation();
        request.query = self.query();
        let response = self.upstream.send(request).await?;
        if response.status() != StatusCode::OK {
            return Err(WalkError::Refused(refusal_code(response).await?));
        }
        let document = collect(response.into_body(), PAGE_LEN_MAX).await?;
        let (page, next) = self.which.parse(&document).ok_or(WalkError::Unreadable)?;
        if next.is_some() && next == self.after {
            return Err(WalkError::Unreadable);
        }
        self.is_done = next.is_none();
        self.after = next;
        Ok(Some(page))
    }

    /// By the last key and not by a token: that is what a checkpoint can hold.
    fn query(&self) -> String {
        let mut query = match self.which {
            Which::Current => "encoding-type=url&list-type=2",
            Which::Versions => "encoding-type=url&versions=",
        }
        .to_owned();
        let mut add = |name: &str, text: &str| {
            query.push_str(name);
            query.push_str(&uri::encode_component(text.as_bytes()));
        };
        if !self.prefix.is_empty() {
            add("&prefix=", self.prefix);
        }
        if let Some(Place { key, version }) = &self.after {
            match self.which {
                Which::Current => add("&start-after=", key),
                Which::Versions => add("&key-marker=", key),
            }
            if let Some(version) = version {
                add("&version-id-marker=", version);
            }
        }
        query
    }
}

impl Listed {
    /// The query that names the version, if one has to be named.
    pub fn version_query(&self) -> String {
        version_query(self.version.as_deref().map(str::as_bytes))
    }

    /// Whether an answer with these headers can be about this version. The null version is not always
    /// named.
    pub fn is_shown_by(&self, headers: &HeaderMap) -> bool {
        let wanted = self.version.as_deref().filter(|id| *id != "null");
        wanted.is_none_or(|id| {
            headers
                .get("x-amz-version-id")
                .is_some_and(|shown| shown == id)
        })
    }
}

impl Which {
    /// Every version, or not.
    pub fn of(versions: bool) -> Self {
        if versions {
            Self::Versions
        } else {
            Self::Current
        }
    }

    /// What a command is called in checkpoints.
    pub fn command(self, name: &str) -> String {
        match self {
            Self::Current => name.to_owned(),
            Self::Versions => format!("{name} of versions"),
        }
    }

    fn operation(self) -> &'static str {
        match self {
            Self::Current => "ListObjectsV2",
            Self::Versions => "ListObjectVersions",
        }
    }

    /// A page, and where the next one begins. `None`: it is no listing, or one without an end.
    fn parse(self, document: &[u8]) -> Option<(Page, Option<Place>)> {
        let document = Document::parse(document)?;
        let root = document.root();
        let (name, entry) = match self {
            Self::Current => ("ListBucketResult", "Contents"),
            Self::Versions => ("ListVersionsResult", "Version"),
        };
        if root.name() != name {
            return None;
        }
        let is_encoded = root.child_text("EncodingType").as_deref() == Some("url");
        let entries = root.children().filter(|child| child.name() == entry);
        let objects = entries.map(|entry| {
            let version = match self {
                Self::Current => None,
                Self::Versions => Some(entry.child_text("VersionId")?),
            };
            let key = decoded(entry, "Key", is_encoded)?;
            Some(Listed { key, version })
        });
        let objects = objects.collect::<Option<Vec<_>>>()?;
        if root.child_text("IsTruncated").as_deref() != Some("true") {
            let last = objects.last().map(|last| last.key.clone());
            return Some((Page { objects, last }, None));
        }
        let next = match self {
            Self::Current => Place {
                key: objects.last()?.key.clone(),
                version: None,
            },
            Self::Versions => Place {
                key: decoded(root, "NextKeyMarker", is_encoded)?,
                version: root.child_text("NextVersionIdMarker"),
            },
        };
        // Of the last key there may be more versions on the next page.
        let is_whole = |object: &&Listed| self == Self::Current || object.key != next.key;
        let last = objects.iter().rev().find(is_whole);
        let last = last.map(|last| last.key.clone());
        Some((Page { objects, last }, Some(next)))
    }
}

fn decoded(element: Node<'_>, name: &str, is_encoded: bool) -> Option<String> {
    let text = element.child_text(name)?;
    if !is_encoded {
        return Some(text);
    }
    let decoded = uri::decode(&text.replace('+', " ")).into_owned();
    String::from_utf8(decoded).ok()
}

/// 1,000 keys of 1,024 bytes, escaped.
const PAGE_LEN_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded_and_the_last_is_known() {
        let document = "<ListBucketResult><EncodingType>url</EncodingType>\
            <IsTruncated>true</IsTruncated><Contents><Key>a+b%2Bc</Key></Contents>\
            <Contents><Key>%C3%A9%20</Key></Contents></ListBucketResult>";
        let parse = |document: &str| Which::Current.parse(document.as_bytes());
        let (page, next) = parse(document).unwrap();
        let keys: Vec<_> = page.objects.iter().map(|object| &*object.key).collect();
        assert_eq!(keys, ["a b+c", "\u{e9} "]);
        assert_eq!(page.last.as_deref(), Some("\u{e9} "));
        assert_eq!(next.unwrap().key, "\u{e9} ");
        let raw = document.replace("<EncodingType>url</EncodingType>", "");
        assert_eq!(parse(&raw).unwrap().0.objects[0].key, "a+b%2Bc");
        let empty = parse("<ListBucketResult/>").unwrap();
        assert_eq!((empty.0.last, empty.1), (None, None));
        for broken in [
            "",
            "<Error/>",
            "<ListVersionsResult/>",
            "<ListBucketResult><Contents/></ListBucketResult>",
            "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        ] {
            assert!(parse(broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn of_versions_the_last_whole_key_is_where_another_walk_can_go_on() {
        let version = |key: &str, id: &str| {
            format!("<Version><Key>{key}</Key><VersionId>{id}</VersionId></Version>")
        };
        let marker = "<DeleteMarker><Key>b</Key><VersionId>9</VersionId></DeleteMarker>";
        let versions = [version("a", "1"), version("b", "3"), version("b", "2")].concat();
        let page = |rest: &str| {
            let document =
                format!("<ListVersionsResult>{rest}{marker}{versions}</ListVersionsResult>");
            Which::Versions.parse(document.as_bytes())
        };
        let (whole, next) = page("").unwrap();
        assert_eq!((whole.objects.len(), whole.last.as_deref()), (3, Some("b")));
        assert_eq!(whole.objects[1].version.as_deref(), Some("3"));
        assert_eq!(next, None);
        let next = "<IsTruncated>true</IsTruncated><NextKeyMarker>b</NextKeyMarker>\
            <NextVersionIdMarker>2</NextVersionIdMarker>";
        let (cut, next) = page(next).unwrap();
        assert_eq!((cut.objects.len(), cut.last.as_deref()), (3, Some("a")));
        let next = next.unwrap();
        assert_eq!((&*next.key, next.version.as_deref()), ("b", Some("2")));
        assert!(
            page("<IsTruncated>true</IsTruncated>").is_none(),
            "no way on"
        );
    }
}
