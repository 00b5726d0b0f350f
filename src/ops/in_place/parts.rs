//! Writes a large object in parts: none of them has to be sent again for the sake of another, and
//! there is no limit of 5 GiB.

use std::sync::atomic::{AtomicBool, Ordering};

use http::header::{ETAG, IF_MATCH};
use http::{HeaderMap, Method, StatusCode};
use hyper::Response;

use super::look::Original;
use super::{Object, Written, write};
use crate::auth::PayloadVerifier;
use crate::body::Body;
use crate::body::claimed::ClaimedBody;
use crate::error::{Error, Fault};
use crate::format::{ContentKey, Layout, PartNumber, SegmentSealer, is_terminal};
use crate::keys::KeyError;
use crate::keys::entropy::random_bytes;
use crate::ops::encryption::SealPlan;
use crate::ops::incoming::{self, Late, insert_text};
use crate::ops::store::{self, seal_failed};
use crate::s3::uri;
use crate::s3::xml::document::Document;
use crate::s3::xml::multipart::{completed_result, initiated, render_completion};
use crate::upstream::request::{Payload, UpstreamRequest};

/// An upload of ours.
struct Upload<'a> {
    object: Object<'a>,
    key: ContentKey,
    /// The upstream's, encoded for a query.
    id: String,
    /// Whether the upstream may have put the object together: aborting such an upload makes some
    /// upstreams remove what the object is made of.
    is_completed: AtomicBool,
}

/// The upstream's entity tag of a part, or what it says instead.
type Stored = Result<String, String>;

impl Object<'_> {
    /// `lens` are the plaintext bytes of the parts, none of them empty but an only one.
    pub(super) async fn write_parts(
        self,
        plan: SealPlan,
        original: &Original<'_>,
        lens: &[u64],
        mut headers: HeaderMap,
    ) -> Result<Written, Error> {
        let rule = &self.rule.rule;
        let sealing = plan
            .start(self.cx, rule, self.bucket, self.key, Layout::Segmented)
            .await?;
        sealing.add_metadata(&mut headers)?;
        if self.cx.settings.upstream_checksum {
            insert_text(&mut headers, "x-amz-checksum-algorithm", "CRC64NVME");
            insert_text(&mut headers, "x-amz-checksum-type", "FULL_OBJECT");
        }
        let mut create = self.request(Method::POST);
        "uploads=".clone_into(&mut create.query);
        create.headers = headers;
        let created = self.cx.upstream.send(create).await?;
        if !created.status().is_success() {
            let (code, _) = incoming::refusal(self.cx, created).await?;
            return Ok(Err(code));
        }
        let document = incoming::document(created.into_body(), CREATED_LEN_MAX).await?;
        let document = Document::parse(&document).ok_or(UNREADABLE)?;
        let (id, _) = initiated(&document).ok_or(UNREADABLE)?;
        let upload = Upload {
            object: self,
            key: ContentKey::from(sealing.content_key),
            id: uri::encode_component(id.as_bytes()).into_owned(),
            is_completed: AtomicBool::new(false),
        };
        let outcome = upload.fill(original, lens).await;
        if !upload.is_completed.load(Ordering::Relaxed) {
            upload.abort().await;
        }
        outcome
    }
}

impl Upload<'_> {
    async fn fill(&self, original: &Original<'_>, lens: &[u64]) -> Result<Written, Error> {
        let mut etags = Vec::new();
        let mut first = 0;
        let mut has_ended = false;
        // An empty last part would look like a seal; an only one is the object.
        let is_part = |(index, len): &(usize, u64)| *index == 0 || *len > 0;
        for (_, len) in lens.iter().copied().enumerate().filter(is_part) {
            let part = next_part(&etags)?;
            match self.part_at_last(original, part, (first, len)).await? {
                Ok(etag) => etags.push(etag),
                Err(refused) => return Ok(Err(refused)),
            }
            first += len;
            has_ended = is_terminal(part, len);
        }
        if first != original.len {
            return Err(Error::UpstreamAnswer("parts that are not all of an object"));
        }
        if !has_ended {
            let end = next_part(&etags)?;
            match self.end(end).await? {
                Ok(etag) => etags.push(etag),
                Err(refused) => return Ok(Err(refused)),
            }
        }
        self.complete(original, &etags).await
    }

    /// Sends a part again when the upstream breaks off: each time it is read and sealed anew.
    async fn part_at_last(
        &self,
        original: &Original<'_>,
        part: PartNumber,
        place: (u64, u64),
    ) -> Result<Stored, Error> {
        for _ in 1..ATTEMPTS {
            match self.part(original, part, place).await {
                Err(error) if error.fault() == Fault::Upstream => {
                    tracing::warn!(%error, key = self.object.key, "a part is sent again");
                }
                stored => return stored,
            }
        }
        self.part(original, part, place).await
    }

    async fn part(
        &self,
        original: &Original<'_>,
        part: PartNumber,
        (first, len): (u64, u64),
    ) -> Result<Stored, Error> {
        let body = match len.checked_sub(1) {
            Some(last) => {
                self.object
                    .read(original, Some((first, first + last)))
                    .await?
            }
            None => Body::empty(),
        };
        let body = ClaimedBody::new(body, PayloadVerifier::of_own(len, None));
        let salt = random_bytes().map_err(KeyError::from)?;
        let cx = self.object.cx;
        let sealer = SegmentSealer::new(cx.settings.cipher, &self.key, part, len, *salt);
        let sealer = sealer.map_err(seal_failed)?;
        let stored = store::send_sealed(cx, None, self.request(part), body, sealer).await?;
        stored_part(stored).await
    }

    /// The segment that ends the object.
    async fn end(&self, part: PartNumber) -> Result<Stored, Error> {
        let cx = self.object.cx;
        let mut request = self.request(part);
        let segment = SegmentSealer::closing(cx.settings.cipher, &self.key, part);
        request.payload = Payload::Buffered {
            bytes: segment.map_err(seal_failed)?,
            checksum: cx.settings.upstream_checksum,
        };
        let response = cx.upstream.send(request).await?;
        let etag = response.headers().get(ETAG).cloned();
        let mut stored = incoming::relay(cx, response).await?;
        if let Some(etag) = etag {
            stored.headers_mut().insert(ETAG, etag);
        }
        stored_part(stored).await
    }

    fn request(&self, part: PartNumber) -> UpstreamRequest {
        let mut request = self.object.request(Method::PUT);
        request.query = format!("partNumber={}&uploadId={}", part.get(), self.id);
        request
    }

    async fn complete(&self, original: &Original<'_>, etags: &[String]) -> Result<Written, Error> {
        let cx = self.object.cx;
        // Some upstreams heed the condition on PutObject only: then at least nothing is lost that
        // was written while the parts were.
        let head = cx.upstream.send(self.object.request(Method::HEAD)).await?;
        match head.status() {
            StatusCode::OK if head.headers().get(ETAG) == Some(&original.etag) => {}
            StatusCode::OK | StatusCode::NOT_FOUND => return Err(Error::Changed),
            _ => return Err(Error::UpstreamAnswer("an object that cannot be looked at")),
        }
        let mut request = self.object.request(Method::POST);
        request.query = format!("uploadId={}", self.id);
        request.headers.insert(IF_MATCH, original.condition());
        let named = (1..).zip(etags.iter().map(|etag| crate::s3::etag::upstream(etag)));
        request.payload = Payload::Buffered {
            bytes: render_completion(named).into(),
            checksum: false,
        };
        self.is_completed.store(true, Ordering::Relaxed);
        let response = cx.upstream.send(request).await?;
        let refused = if response.status().is_success() {
            match incoming::late(cx, response).await? {
                Late::Done(headers, document) => {
                    let document = Document::parse(&document);
                    let result = document.as_ref().and_then(completed_result);
                    let etag = result.ok_or(UNREADABLE)?.etag;
                    let object = self.object;
                    object.ensure_grants(original, &headers, &etag).await?;
                    return Ok(Ok(()));
                }
                Late::Refused(_, refused) => refused,
            }
        } else {
            incoming::relay(cx, response).await?
        };
        // Anything but a clear no may be the answer to a request that was carried out.
        let is_clear = refused.status().is_client_error();
        self.is_completed.store(!is_clear, Ordering::Relaxed);
        write::outcome(refused).await
    }

    async fn abort(&self) {
        let mut request = self.object.request(Method::DELETE);
        request.query = format!("uploadId={}", self.id);
        // What is left behind is for the bucket's lifecycle to remove.
        if let Err(error) = self.object.cx.upstream.send(request).await {
            tracing::warn!(%error, key = self.object.key, "an upload is left behind");
        }
    }
}

fn next_part(etags: &[String]) -> Result<PartNumber, Error> {
    let number = u32::try_from(etags.len() + 1)
        .ok()
        .and_then(PartNumber::new);
    number.ok_or(Error::UpstreamAnswer("an object of too many parts"))
}

async fn stored_part(stored: Response<Body>) -> Result<Stored, Error> {
    if !stored.status().is_success() {
        let refused = write::outcome(stored).await?.err();
        return Ok(Err(refused.unwrap_or_default()));
    }
    let etag = stored
        .headers()
        .get(ETAG)
        .and_then(|etag| etag.to_str().ok());
    let etag = etag.ok_or(Error::UpstreamAnswer("a part without an entity tag"))?;
    Ok(Ok(etag.trim_matches('"').to_owned()))
}

/// Equal parts, of which there may be 9,000: one more ends the object.
pub(super) fn equal_parts(len: u64, single_max: u64) -> Vec<u64> {
    let part = part_len(len, single_max);
    let starts = (0..len).step_by(usize::try_from(part).unwrap_or(usize::MAX));
    starts.map(|first| part.min(len - first)).collect()
}

fn part_len(len: u64, single_max: u64) -> u64 {
    let least = single_max.clamp(PART_LEN_LEAST, PART_LEN_USUAL);
    let fitting = len.div_ceil(PARTS_MAX).next_multiple_of(PART_LEN_STEP);
    fitting.max(least)
}

const UNREADABLE: Error = Error::UpstreamAnswer("the answer to an upload cannot be read");

/// The largest answer to the creation of an upload, in bytes.
const CREATED_LEN_MAX: u64 = 64 << 10;

/// Of a part.
const ATTEMPTS: u32 = 3;

const PARTS_MAX: u64 = 9_000;

/// The smallest part of S3.
const PART_LEN_LEAST: u64 = 5 << 20;

const PART_LEN_USUAL: u64 = 64 << 20;

const PART_LEN_STEP: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::MAX_SINGLE_LEN;

    #[test]
    fn parts_are_few_enough_and_large_enough() {
        let largest = 50_u64 << 40;
        for (len, single_max, expected) in [
            (MAX_SINGLE_LEN + 1, MAX_SINGLE_LEN, 64 << 20),
            (20 << 20, 8 << 20, 8 << 20),
            (20 << 20, 1, 5 << 20),
            (1 << 40, MAX_SINGLE_LEN, 117 << 20),
        ] {
            assert_eq!(part_len(len, single_max), expected, "{len}");
        }
        assert!(largest.div_ceil(part_len(largest, MAX_SINGLE_LEN)) <= PARTS_MAX);
    }
}
