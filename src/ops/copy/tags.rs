//! The tags of a source. They are read here and sent along: not every upstream copies them where
//! metadata is replaced, nor does any to a multipart upload.

use http::{HeaderMap, Method, StatusCode};

use super::Reading;
use crate::error::Error;
use crate::ops::context::{Cx, S3Request};
use crate::ops::incoming;
use crate::ops::outgoing;
use crate::ops::subresource::{put_document, with_version, written_version};
use crate::s3::conditional::same_etag;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::xml::copy::{tag_pairs, tagging_document, tagging_header};
use crate::upstream::request::UpstreamRequest;

/// What is known of the tags of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ops) enum Tags {
    /// It has none, or is not to give any.
    None,
    /// As `x-amz-tagging` holds them.
    Some(String),
    /// The upstream does not let the proxy read them.
    Denied,
}

impl Tags {
    /// Reads the tags of the source.
    pub(super) async fn read(cx: &Cx, reading: &Reading) -> Result<Self, Error> {
        let mut upstream = reading.request.upstream(Method::GET);
        upstream.query = with_version(TAGGING, &reading.request.query);
        outgoing::pass_owner(&reading.request.headers, &mut upstream.headers);
        Self::of(cx, upstream).await
    }

    /// Asks for the tags of an object.
    pub(in crate::ops) async fn of(cx: &Cx, upstream: UpstreamRequest) -> Result<Self, Error> {
        let response = cx.upstream.send(upstream).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::FORBIDDEN => return Ok(Self::Denied),
            StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED => return Ok(Self::None),
            // What is refused for the moment may be there.
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => {
                let (code, _) = incoming::refusal(cx, response).await?;
                return if NONE.contains(&&*code) {
                    Ok(Self::None)
                } else {
                    Err(UNREAD)
                };
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                return Err(S3Error::new(ErrorCode::SlowDown).into());
            }
            _ => return Err(UNREAD),
        }
        let document = incoming::document(response.into_body(), TAGS_LEN_MAX).await?;
        match tagging_header(&document) {
            Some(tags) if tags.is_empty() => Ok(Self::None),
            Some(tags) => Ok(Self::Some(tags)),
            None => Err(Error::UpstreamAnswer("tags that cannot be read")),
        }
    }

    /// The tags, where they have to be named; without them a copy would lose them in silence.
    pub(in crate::ops) fn named(&self) -> Result<Option<&str>, Error> {
        match self {
            Self::None => Ok(None),
            Self::Some(tags) => Ok(Some(tags)),
            Self::Denied => Err(S3Error::with_message(
                ErrorCode::AccessDenied,
                "The tags of the source are to be copied, but the storage behind the proxy does not \
                 let it read them (s3:GetObjectTagging).",
            )
            .into()),
        }
    }
}

/// Makes sure that the copy that `request` asked for has its tags: some servers lose them where
/// metadata is replaced (Ceph 16 does). `done` are the headers of the answer to the copy.
pub(super) async fn ensure_tags(
    cx: &Cx,
    request: &S3Request,
    (done, etag): (&HeaderMap, &str),
    tags: Option<&str>,
) -> Result<(), Error> {
    let tags = tag_pairs(tags.unwrap_or_default());
    if tags.is_empty() {
        return Ok(());
    }
    let version = written_version(done);
    let of_the_copy = |method| {
        let mut upstream = request.upstream(method);
        upstream.query.clone_from(&version);
        outgoing::pass_owner(&request.headers, &mut upstream.headers);
        upstream
    };
    let head = cx.upstream.send(of_the_copy(Method::HEAD)).await?;
    // What is there now may be somebody else's.
    let found = head.headers().get(http::header::ETAG);
    let found = found.and_then(|found| found.to_str().ok());
    if found.is_some_and(|found| !same_etag(found, etag)) {
        return Ok(());
    }
    let count = head.headers().get("x-amz-tagging-count");
    if count.is_some_and(|count| count.as_bytes() == tags.len().to_string().as_bytes()) {
        return Ok(());
    }
    let document = tagging_document(&tags).into();
    if put_document(cx, of_the_copy(Method::PUT), TAGGING, document).await? {
        return Ok(());
    }
    Err(Error::UpstreamAnswer("the tags of the copy are not stored"))
}

/// What upstreams say of an object without tags, or of none, which is found out elsewhere; the last
/// two are those of servers without tags.
const NONE: &[&str] = &[
    "NoSuchTagSet",
    "NoSuchTagSetError",
    "NoSuchKey",
    "NoSuchVersion",
    "NoSuchBucket",
    "MethodNotAllowed",
    "NotImplemented",
];

/// The sub-resource.
const TAGGING: &str = "tagging";

const UNREAD: Error = Error::UpstreamAnswer("the tags of the source are not read");

/// Ten tags of 128 and 256 characters, escaped, with room to spare.
const TAGS_LEN_MAX: u64 = 64 << 10;
