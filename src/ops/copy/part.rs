//! `UploadPartCopy`: the source is read and sealed as a part of the destination, always.

use http::header::ETAG;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::Response;

use super::object::now;
use super::{Probed, Reading, Source, probe};
use crate::auth::PayloadVerifier;
use crate::body::Body;
use crate::body::claimed::ClaimedBody;
use crate::error::Error;
use crate::format::{MAX_SEGMENT_LEN, PartNumber, SegmentSealer};
use crate::keys::KeyError;
use crate::keys::entropy::random_bytes;
use crate::ops::context::{Cx, S3Request};
use crate::ops::encryption::{self, ShowContext};
use crate::ops::incoming::{insert_text, respond};
use crate::ops::multipart::{Upload, cannot_seal, upstream_query};
use crate::ops::outgoing::{self, BodyHeaders};
use crate::ops::read::{self, settled};
use crate::ops::store::{self, seal_failed, too_large};
use crate::s3::copy_source::{self, COPY_LEN_MAX, copy_range};
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::etag;
use crate::s3::range::ResolvedRange;
use crate::s3::xml::copy::CopyResult;

/// See the module.
pub async fn upload_part_copy(cx: &Cx, mut request: S3Request) -> Result<Response<Body>, Error> {
    let rule = request.rule(cx)?;
    encryption::check_read(&request)?;
    let part = read::part_number(&request)?.and_then(PartNumber::new);
    let part = part.ok_or_else(|| S3Error::new(ErrorCode::InvalidArgument))?;
    request.document(cx, 0).await?;
    let upload = Upload::find(cx, &request, rule).await?;
    if matches!(upload, Upload::Unknown { .. }) {
        return Err(cannot_seal(&request));
    }
    settled(|| copy(cx, &request, &upload, part)).await
}

async fn copy(
    cx: &Cx,
    request: &S3Request,
    upload: &Upload,
    part: PartNumber,
) -> Result<Response<Body>, Error> {
    let reading = Reading::parse(cx, request)?;
    let source = match probe(cx, &reading).await? {
        Probed::Found(source) => source,
        Probed::Refused(refused) => return Ok(refused),
    };
    let range = copy_range(&request.headers, source.size)?;
    let len = range.map_or(source.size, ResolvedRange::len);
    if len > COPY_LEN_MAX {
        return Err(copy_source::too_large().into());
    }
    if len > MAX_SEGMENT_LEN {
        return Err(too_large(len, MAX_SEGMENT_LEN).into());
    }
    let plaintext = source.plaintext(cx, range).await?.into_body();
    let verifier = PayloadVerifier::of_own(len, upload.checksum());
    let body = ClaimedBody::new(plaintext, verifier);
    let stored = store_part(cx, request, upload, (part, len), body).await?;
    if !stored.status().is_success() {
        return Ok(stored);
    }
    Ok(answer(cx, request, upload, &source, stored.headers().clone()).await)
}

async fn store_part(
    cx: &Cx,
    request: &S3Request,
    upload: &Upload,
    (part, len): (PartNumber, u64),
    body: ClaimedBody<Body>,
) -> Result<Response<Body>, Error> {
    let mut upstream = request.upstream(Method::PUT);
    upstream.headers = outgoing::headers(request, BodyHeaders::Drop);
    upstream.query = upstream_query(request, upload.upstream_id());
    let Upload::Sealed(upload) = upload else {
        return store::send_plain(cx, upstream, body, len).await;
    };
    let salt = random_bytes().map_err(KeyError::from)?;
    let cipher = cx.settings.cipher;
    let sealer = SegmentSealer::new(cipher, &upload.key, part, len, *salt);
    let sealer = sealer.map_err(seal_failed)?;
    store::send_sealed(cx, request.brake.quota(), upstream, body, sealer).await
}

/// What the client is told: `headers` are those of the part that was stored.
async fn answer(
    cx: &Cx,
    request: &S3Request,
    upload: &Upload,
    source: &Source<'_>,
    mut headers: HeaderMap,
) -> Response<Body> {
    let etag = text(headers.remove(ETAG)).unwrap_or_default();
    let checksum = upload.checksum().and_then(|algorithm| {
        let value = text(headers.remove(algorithm.header()))?;
        Some((algorithm.header(), value))
    });
    for name in ["accept-ranges", "content-length", "x-amz-checksum-type"] {
        headers.remove(name);
    }
    if let Upload::Sealed(upload) = upload {
        encryption::show(
            cx,
            &mut headers,
            &upload.fields.envelope,
            ShowContext::No,
            request,
        )
        .await;
    }
    source.show_version(&mut headers);
    insert_text(&mut headers, "content-type", "application/xml");
    let etag = etag::shown(&etag, cx.settings.etag_style);
    let result = CopyResult {
        root: "CopyPartResult",
        etag: &etag::quoted(&etag),
        last_modified: &now(cx),
        checksum: checksum.as_ref().map(|(name, value)| (*name, &**value)),
    };
    respond(StatusCode::OK, headers, Body::full(result.render()))
}

fn text(value: Option<HeaderValue>) -> Option<String> {
    value?.to_str().ok().map(str::to_owned)
}
