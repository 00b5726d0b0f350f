//! ListParts: plaintext sizes, and nothing of the proxy's own.

use http::{Method, StatusCode};
use hyper::Response;

use super::create::type_name;
use super::{Upload, shown_id, upstream_query};
use crate::body::Body;
use crate::body::seal::algorithm_of;
use crate::error::Error;
use crate::format::SEGMENT_OVERHEAD;
use crate::ops::context::{Cx, S3Request};
use crate::ops::incoming;
use crate::ops::outgoing::{self, BodyHeaders};
use crate::s3::xml::multipart::{ListedPart, PartsPage, ShownUpload, show_parts};

/// See the module.
pub async fn list_parts(cx: &Cx, request: S3Request) -> Result<Response<Body>, Error> {
    let rule = request.rule(cx)?;
    let upload = Upload::find_any(cx, &request, rule).await?;
    let mut upstream = request.upstream(Method::GET);
    upstream.headers = outgoing::headers(&request, BodyHeaders::Drop);
    upstream.query = upstream_query(&request, upload.upstream_id());
    let response = cx.upstream.send(upstream).await?;
    if response.status() != StatusCode::OK {
        return incoming::relay(cx, response).await;
    }
    let (parts, body) = response.into_parts();
    let document = incoming::document(body, PARTS_PAGE_LEN_MAX).await?;
    let page = PartsPage::parse(&document).ok_or(UNREADABLE)?;
    let seal = seal_of(&page);
    let is_plain = matches!(upload, Upload::Plain { .. });
    let upload_id = shown_id(&request)?;
    let shown = ShownUpload {
        upload_id: &upload_id,
        checksum: checksum_names(&upload),
        etags: cx.settings.etag_style,
    };
    let overhead = if is_plain { 0 } else { SEGMENT_OVERHEAD };
    let plaintext_len = |stored: u64| stored.saturating_sub(overhead);
    let is_hidden = |part: &ListedPart| !is_plain && seal == Some(part.number);
    let document = show_parts(&document, shown, plaintext_len, is_hidden).ok_or(UNREADABLE)?;
    let headers = incoming::headers(cx, &parts.headers);
    Ok(incoming::respond(
        parts.status,
        headers,
        Body::full(document),
    ))
}

/// The number of the part that looks like a seal: an empty one behind all others, which is there
/// when a completion went wrong.
fn seal_of(page: &PartsPage) -> Option<u32> {
    let last = page.parts.last().filter(|_| page.next.is_none())?;
    (last.number > 1 && last.stored_len == SEGMENT_OVERHEAD).then_some(last.number)
}

fn checksum_names(upload: &Upload) -> Option<(&'static str, &'static str)> {
    let Upload::Sealed(upload) = upload else {
        return None;
    };
    let fields = &upload.fields;
    let algorithm = algorithm_of(fields.checksum?).name();
    Some((algorithm, type_name(fields.checksum_type?)))
}

pub(super) const UNREADABLE: Error = Error::UpstreamAnswer("a list of parts that cannot be read");

/// The largest page that is read, in bytes: some servers list all 10,000 parts at once.
pub(super) const PARTS_PAGE_LEN_MAX: u64 = 8 << 20;
