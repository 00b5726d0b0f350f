//! POST Object: the file of a form, stored as PutObject stores a body.
//!
//! The length of the plaintext is an input of its key, and a form does not say it. A short form is
//! read to its end first; a long one has the length that the rest of it leaves, if the file is all
//! that follows, and one that turns out to have another is not stored.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::Response;

use super::context::{Cx, S3Request};
use super::encryption;
use super::incoming::{insert_text, respond};
use super::put_object::{self, check_len};
use super::store::slow_down;
use crate::body::claimed::ClaimedBody;
use crate::body::form::FormFile;
use crate::body::{Body, BodyError, collect};
use crate::error::Error;
use crate::s3::form::policy::LengthRange;
use crate::s3::form::success::{Success, redirected};
use crate::s3::form::{FilePart, FormError};
use crate::s3::xml::post::PostResult;

/// What is left of a form when its fields have become headers.
pub struct Form {
    /// Its file, which is being read.
    pub file: FormFile,
    /// What it says of the file.
    pub part: FilePart,
    /// Bytes from the first of the file to the end of the form.
    pub rest: u64,
    /// How many of them end the form if nothing follows the file.
    pub closing: u64,
    /// What the policy says of the file.
    pub lengths: LengthRange,
    /// What is answered.
    pub success: Success,
    /// Where the object can be read.
    pub location: String,
}

/// See the module.
pub async fn post_object(cx: &Cx, mut request: S3Request) -> Result<Response<Body>, Error> {
    let rule = request.rule(cx)?;
    let form = request.form.take().ok_or(BodyError::Aborted)?;
    let plan = encryption::plan(cx, &request, rule).await?;
    // A short form is held until it is stored.
    let held = Some(form.rest).filter(|rest| *rest <= SHORT_LEN_MAX);
    let held = held.and_then(|rest| usize::try_from(rest).ok());
    let quota = request.brake.quota();
    let share = cx.room.to_hold(held.unwrap_or_default(), quota).await;
    let _share = share.ok_or_else(slow_down)?;
    let file = measure(form.file, &form.part, form.rest, form.closing);
    let (file, len) = file.await?;
    form.lengths.check(len)?;
    check_len(len)?;
    request.headers.insert(CONTENT_LENGTH, len.into());
    let body = ClaimedBody::new(file, request.payload_verifier()?);
    let stored = put_object::store(cx, &request, (rule, plan), body, len).await?;
    if !stored.status().is_success() {
        return Ok(stored);
    }
    let (bucket, key) = request.object()?;
    let headers = stored.into_parts().0.headers;
    Ok(answer(
        headers,
        (bucket, key),
        &form.success,
        &form.location,
    ))
}

/// The file, and its length.
async fn measure(
    mut file: FormFile,
    part: &FilePart,
    rest: u64,
    closing: u64,
) -> Result<(Body, u64), Error> {
    if let Some(len) = part.len {
        file.expect_len(len);
    }
    if rest <= SHORT_LEN_MAX {
        let bytes = collect(file, SHORT_LEN_MAX).await?;
        let len = bytes.len() as u64;
        return Ok((Body::full(bytes), len));
    }
    let len = part.len.or_else(|| rest.checked_sub(closing));
    let len = len.filter(|len| *len <= rest);
    let len = len.ok_or(FormError::FileLength)?;
    file.expect_len(len);
    Ok((Body::new(file), len))
}

/// What the form wants to be told.
fn answer(
    mut headers: HeaderMap,
    (bucket, key): (&str, &str),
    success: &Success,
    location: &str,
) -> Response<Body> {
    for name in ["accept-ranges", "content-length", "content-type"] {
        headers.remove(name);
    }
    let etag = headers.get(ETAG).and_then(|etag| etag.to_str().ok());
    let etag = etag.unwrap_or_default().to_owned();
    let (status, document) = match success {
        Success::Redirect(page) => {
            let page = redirected(page, bucket, key, &etag);
            insert_text(&mut headers, LOCATION.as_str(), &page);
            (StatusCode::SEE_OTHER, None)
        }
        Success::Status(status) => {
            insert_text(&mut headers, LOCATION.as_str(), location);
            let result = PostResult {
                location,
                bucket,
                key,
                etag: &etag,
            };
            let is_told = *status == StatusCode::CREATED;
            (*status, is_told.then(|| result.render()))
        }
    };
    if document.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    }
    let document = document.unwrap_or_default();
    if status != StatusCode::NO_CONTENT {
        headers.insert(CONTENT_LENGTH, document.len().into());
    }
    respond(status, headers, Body::full(document))
}

/// How much of a form is held while its end is awaited.
const SHORT_LEN_MAX: u64 = 1 << 20;
