//! What is stored under a key, and what of it has to be kept.

use http::header::{CONTENT_LENGTH, ETAG, IF_MATCH, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::{Object, Outcome};
use crate::body::Body;
use crate::body::idle::Received;
use crate::error::{Error, StoredError};
use crate::format::Metadata;
use crate::ops::acl::Grants;
use crate::ops::copy::tags::Tags;
use crate::ops::copy::{MISSING_META, Source};
use crate::ops::incoming::{self, insert_text};
use crate::ops::kept::{condition, is_archived, kept};
use crate::ops::read::content_length;
use crate::ops::s3ec;
use crate::ops::store;
use crate::s3::checksum::ChecksumAlgorithm;
use crate::s3::range::ResolvedRange;
use crate::upstream::request::UpstreamRequest;

/// What a look finds.
pub(super) enum Looked {
    /// An object that is not sealed, and may be read.
    Plaintext(Box<Original<'static>>),
    /// One that stays as it is.
    Settled(Outcome),
}

/// An object that is written anew, as the upstream describes it.
pub(super) struct Original<'a> {
    /// Bytes of its plaintext.
    pub(super) len: u64,
    /// The upstream's entity tag: what is read and replaced is this object.
    pub(super) etag: HeaderValue,
    /// What is shown of its checksum, and has to be sealed again.
    pub(super) checksum: Option<ChecksumAlgorithm>,
    /// Who may do what with it.
    pub(super) grants: Grants,
    headers: HeaderMap,
    /// How to read it, if it is sealed.
    sealed: Option<&'a Source<'a>>,
}

impl<'a> Original<'a> {
    /// An object that is sealed already.
    pub(super) fn sealed(
        source: &'a Source<'a>,
        checksum: Option<ChecksumAlgorithm>,
    ) -> Result<Self, Error> {
        Ok(Self {
            len: source.size,
            etag: source.etag().cloned().ok_or(NO_ETAG)?,
            checksum,
            grants: Grants::default(),
            headers: source.headers.clone(),
            sealed: Some(source),
        })
    }

    /// The value of `If-Match` for writing over this object.
    pub(super) fn condition(&self) -> HeaderValue {
        condition(&self.headers, &self.etag)
    }
}

impl Object<'_> {
    pub(super) fn request(self, method: Method) -> UpstreamRequest {
        let mut request = UpstreamRequest::new(method, Some(self.bucket), Some(self.key));
        request.operation = "Encrypt";
        request
    }

    pub(super) async fn look(self) -> Result<Looked, Error> {
        let head = self.cx.upstream.send(self.request(Method::HEAD)).await?;
        match head.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(Looked::Settled(Outcome::Gone)),
            status => return Ok(Looked::Settled(Outcome::Refused(status.to_string()))),
        }
        let headers = head.into_parts().0.headers;
        let len = content_length(&headers)?;
        if is_sealed(&headers)? {
            return Ok(Looked::Settled(Outcome::AlreadySealed));
        }
        // Sealed as it is, it would be encrypted twice and read by nobody.
        if self.rule.rule.s3_encryption_client.is_some() && s3ec::has_metadata(&headers) {
            return Ok(Looked::Settled(Outcome::Refused(
                CLIENT_ENCRYPTED.to_owned(),
            )));
        }
        if len == 0 && self.key.ends_with('/') && self.rule.rule.directory_markers.is_allowed() {
            return Ok(Looked::Settled(Outcome::Exempt));
        }
        if is_archived(&headers) {
            return Ok(Looked::Settled(Outcome::Archived));
        }
        // What the upstream cannot show cannot be written back.
        if headers.contains_key(MISSING_META) {
            return Ok(Looked::Settled(Outcome::Refused(MISSING_META.to_owned())));
        }
        let etag = headers.get(ETAG).cloned();
        Ok(Looked::Plaintext(Box::new(Original {
            len,
            etag: etag.ok_or(NO_ETAG)?,
            checksum: None,
            grants: Grants::default(),
            headers,
            sealed: None,
        })))
    }

    /// The headers to write the object with: what S3 keeps of an object, without a body of its own.
    /// What stands in the way comes back as a sentence.
    pub(super) async fn kept(
        self,
        original: &mut Original<'_>,
    ) -> Result<Result<HeaderMap, String>, Error> {
        let mut headers = kept(&original.headers, (self.cx.settings.clock)());
        let mut tagging = self.request(Method::GET);
        "tagging=".clone_into(&mut tagging.query);
        let tags = Tags::of(self.cx, tagging).await?;
        if let Some(tags) = tags.named()? {
            insert_text(&mut headers, "x-amz-tagging", tags);
        }
        store::name_type(&mut headers);
        match Grants::of(self.cx, self.request(Method::GET)).await? {
            Ok(grants) => original.grants = grants,
            Err(reason) => return Ok(Err(reason)),
        }
        original.grants.add_to(&mut headers);
        Ok(Ok(headers))
    }

    /// The plaintext of the object that was looked at, and of no other.
    pub(super) async fn read(
        self,
        original: &Original<'_>,
        range: Option<(u64, u64)>,
    ) -> Result<Body, Error> {
        let Some(source) = original.sealed else {
            return Ok(Body::new(self.read_plain(original, range).await?));
        };
        let range = range.and_then(|(first, last)| ResolvedRange::new(first, last));
        Ok(source.plaintext(self.cx, range).await?.into_body())
    }

    async fn read_plain(
        self,
        original: &Original<'_>,
        range: Option<(u64, u64)>,
    ) -> Result<Received, Error> {
        let mut request = self.request(Method::GET);
        request.headers.insert(IF_MATCH, original.etag.clone());
        if let Some((first, last)) = range {
            insert_text(
                &mut request.headers,
                RANGE.as_str(),
                &format!("bytes={first}-{last}"),
            );
        }
        let response = self.cx.upstream.send(request).await?;
        let (status, expected) = match range {
            Some((first, last)) => (StatusCode::PARTIAL_CONTENT, last - first + 1),
            None => (StatusCode::OK, original.len),
        };
        match response.status() {
            StatusCode::PRECONDITION_FAILED | StatusCode::NOT_FOUND => return Err(Error::Changed),
            found if found == status => {}
            _ => {
                let (code, _) = incoming::refusal(self.cx, response).await?;
                tracing::warn!(code, key = self.key, "an object cannot be read");
                return Err(Error::UpstreamAnswer("an object that cannot be read"));
            }
        }
        let headers = response.headers();
        let len = headers
            .get(CONTENT_LENGTH)
            .and_then(|len| len.to_str().ok()?.parse().ok());
        if headers.get(ETAG) != Some(&original.etag) || len != Some(expected) || is_sealed(headers)?
        {
            return Err(Error::Changed);
        }
        Ok(response.into_body())
    }
}

fn is_sealed(headers: &HeaderMap) -> Result<bool, Error> {
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    Ok(Metadata::parse(pairs).map_err(StoredError::from)?.is_some())
}

const NO_ETAG: Error = Error::UpstreamAnswer("an object without an entity tag");

/// What is said of an object of the S3 Encryption Client: a copy onto itself moves it.
const CLIENT_ENCRYPTED: &str = "encrypted by the S3 Encryption Client: copy it onto itself";
