//! The keys of a prefix, page by page (ListObjectsV2).

use http::{Method, StatusCode};
use thiserror::Error;

use super::refusal::refusal_code;
use super::request::UpstreamRequest;
use super::{Upstream, UpstreamError};
use crate::body::{BodyError, collect};
use crate::s3::uri;
use crate::s3::xml::document::Document;

/// The keys behind the last one that was seen.
pub struct Walk<'a> {
    upstream: &'a Upstream,
    bucket: &'a str,
    prefix: &'a str,
    after: Option<String>,
    is_done: bool,
}

/// Some keys in the order of the listing.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// Decoded.
    pub keys: Vec<String>,
    /// The last of them.
    pub last: Option<String>,
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
        after: Option<String>,
    ) -> Self {
        Self {
            upstream,
            bucket,
            prefix,
            after,
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
        request.operation = "ListObjectsV2";
        request.query = self.query();
        let response = self.upstream.send(request).await?;
        if response.status() != StatusCode::OK {
            return Err(WalkError::Refused(refusal_code(response).await?));
        }
        let document = collect(response.into_body(), PAGE_LEN_MAX).await?;
        let (page, is_truncated) = parse(&document).ok_or(WalkError::Unreadable)?;
        let goes_on = page.last.is_some() && page.last != self.after;
        if is_truncated && !goes_on {
            return Err(WalkError::Unreadable);
        }
        self.after.clone_from(&page.last);
        self.is_done = !is_truncated;
        Ok(Some(page))
    }

    /// By `start-after` and not by a token: that is what a checkpoint can hold.
    fn query(&self) -> String {
        let encode = |text: &str| uri::encode_component(text.as_bytes()).into_owned();
        let mut query = "encoding-type=url&list-type=2".to_owned();
        if !self.prefix.is_empty() {
            query.push_str("&prefix=");
            query.push_str(&encode(self.prefix));
        }
        if let Some(after) = &self.after {
            query.push_str("&start-after=");
            query.push_str(&encode(after));
        }
        query
    }
}

/// A page, and whether more follow. `None`: it is no listing.
fn parse(document: &[u8]) -> Option<(Page, bool)> {
    let document = Document::parse(document)?;
    let root = document.root();
    if root.name() != "ListBucketResult" {
        return None;
    }
    let is_encoded = root.child_text("EncodingType").as_deref() == Some("url");
    let entries = root.children().filter(|child| child.name() == "Contents");
    let keys = entries.map(|entry| {
        let key = entry.child_text("Key")?;
        if is_encoded {
            let decoded = uri::decode(&key.replace('+', " ")).into_owned();
            return String::from_utf8(decoded).ok();
        }
        Some(key)
    });
    let keys = keys.collect::<Option<Vec<_>>>()?;
    let is_truncated = root.child_text("IsTruncated").as_deref() == Some("true");
    let last = keys.last().cloned();
    Some((Page { keys, last }, is_truncated))
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
        let (page, is_truncated) = parse(document.as_bytes()).unwrap();
        assert_eq!(page.keys, ["a b+c", "\u{e9} "]);
        assert_eq!(
            (page.last.as_deref(), is_truncated),
            (Some("\u{e9} "), true)
        );
        let raw = document.replace("<EncodingType>url</EncodingType>", "");
        assert_eq!(parse(raw.as_bytes()).unwrap().0.keys[0], "a+b%2Bc");
        let empty = parse(b"<ListBucketResult/>").unwrap();
        assert_eq!((empty.0.last, empty.1), (None, false));
        for broken in [
            "",
            "<Error/>",
            "<ListBucketResult><Contents/></ListBucketResult>",
        ] {
            assert!(parse(broken.as_bytes()).is_none(), "{broken}");
        }
    }
}
