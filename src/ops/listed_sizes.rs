//! `list_sizes = "head"`: the plaintext size of each listed object by a HEAD of its own, where sizes
//! cannot be computed: entries of buckets that hold plaintext as well, and servers that list
//! multipart objects without their `-N`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::{Method, StatusCode};
use hyper::Response;
use moka::future::Cache;

use super::context::{Cx, S3Request};
use super::head_object;
use crate::body::Body;
use crate::error::Error;
use crate::s3::operation::Operation;
use crate::s3::query::version_query;
use crate::s3::target::{ObjectKey, Target};
use crate::s3::uri;
use crate::s3::xml::document::{Document, Node};
use crate::s3::xml::list::ListRewriter;

/// Sizes that HEADs have told: of an object as it was when it was listed.
#[derive(Clone)]
pub struct KnownSizes(Cache<Listed, u64>);

/// One entry, with what changes when the object does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Listed {
    bucket: Box<str>,
    key: Box<str>,
    version: Option<Box<str>>,
    etag: Box<str>,
    stored_len: u64,
}

impl Default for KnownSizes {
    fn default() -> Self {
        let sizes = Cache::builder()
            .max_capacity(SIZES_MAX)
            .time_to_live(TTL)
            .build();
        Self(sizes)
    }
}

/// Rewrites a listing with the sizes that HEADs give in the name of the same caller.
pub async fn rewrite(cx: &Cx, request: &S3Request, listing: &[u8]) -> Result<Bytes, Error> {
    let listed = entries(request, listing).ok_or(UNREADABLE)?;
    let sizes = stream::iter(listed).map(|listed| async move {
        let size = size(cx, request, &listed).await;
        (listed.stored_len, size)
    });
    let sizes: VecDeque<_> = sizes.buffered(HEADS_AT_ONCE).collect().await;
    let sizes = RefCell::new(sizes);
    // The rewriter asks in the order of the entries, and names the size that it read.
    let plaintext_len = |stored_len, _parts| match sizes.borrow_mut().pop_front() {
        Some((listed_len, size)) if listed_len == stored_len => size,
        _ => None,
    };
    let mut rewriter = ListRewriter::new(cx.settings.etag_style, plaintext_len);
    let mut out = Vec::with_capacity(listing.len());
    rewriter.push(listing, &mut out).map_err(|_| UNREADABLE)?;
    rewriter.finish().map_err(|_| UNREADABLE)?;
    Ok(out.into())
}

/// The entries that have a size.
fn entries(request: &S3Request, listing: &[u8]) -> Option<Vec<Listed>> {
    let document = Document::parse(listing)?;
    let root = document.root();
    let is_encoded = root.child_text("EncodingType").as_deref() == Some("url");
    let bucket = request.bucket()?;
    let entries = root.children().filter(|child| {
        let name = child.name();
        name == "Contents" || name == "Version"
    });
    let listed = entries.filter_map(|entry| listed(bucket, entry, is_encoded));
    Some(listed.collect())
}

fn listed(bucket: &str, entry: Node<'_>, is_encoded: bool) -> Option<Listed> {
    let stored_len = entry.child_text("Size")?.parse().ok()?;
    if stored_len == 0 {
        return None;
    }
    let key = entry.child_text("Key").unwrap_or_default();
    let key = if is_encoded {
        let key = key.replace('+', " ");
        String::from_utf8_lossy(&uri::decode(&key)).into_owned()
    } else {
        key
    };
    Some(Listed {
        bucket: bucket.into(),
        key: key.into(),
        version: entry.child_text("VersionId").map(Into::into),
        etag: entry.child_text("ETag").unwrap_or_default().into(),
        stored_len,
    })
}

/// `None` where the object cannot be looked at: its size stays as the upstream lists it.
async fn size(cx: &Cx, request: &S3Request, listed: &Listed) -> Option<u64> {
    if let Some(size) = cx.sizes.0.get(listed).await {
        return Some(size);
    }
    let mut head = request.own(Operation::HeadObject, Method::HEAD);
    head.target = Target::Object {
        bucket: request.target.bucket()?.clone(),
        key: ObjectKey::parse(&uri::encode_path(listed.key.as_bytes())).ok()?,
    };
    head.query = version_query(listed.version.as_deref().map(str::as_bytes));
    let head = Box::pin(head_object::head_object(cx, head)).await.ok()?;
    let size = plaintext_len(&head)?;
    // Without an entity tag nothing says that the object is still the same.
    if !listed.etag.is_empty() {
        cx.sizes.0.insert(listed.clone(), size).await;
    }
    Some(size)
}

fn plaintext_len(head: &Response<Body>) -> Option<u64> {
    if head.status() != StatusCode::OK {
        return None;
    }
    let len = head.headers().get("content-length")?;
    len.to_str().ok()?.parse().ok()
}

const UNREADABLE: Error = Error::UpstreamAnswer("a listing that cannot be read");

/// The largest listing that is read as a whole, in bytes: 1,000 entries with escaped keys.
pub const LISTING_LEN_MAX: u64 = 16 << 20;

/// HEADs that one listing has under way.
const HEADS_AT_ONCE: usize = 16;

/// Entries whose size is remembered; they take a few hundred bytes each.
const SIZES_MAX: u64 = 100_000;

/// An entity tag may come back with other bytes, but hardly within the hour.
const TTL: Duration = Duration::from_hours(1);
