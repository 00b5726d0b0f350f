//! UploadPart: each attempt is one segment under a key of its own.

use http::Method;
use hyper::Response;

use super::{Upload, cannot_seal, upstream_query};
use crate::auth::PayloadVerifier;
use crate::body::Body;
use crate::error::Error;
use crate::format::{MAX_SEGMENT_LEN, PartNumber, SegmentSealer};
use crate::keys::KeyError;
use crate::keys::entropy::random_bytes;
use crate::ops::context::{Cx, S3Request};
use crate::ops::encryption::{self, ShowContext};
use crate::ops::outgoing::{self, BodyHeaders};
use crate::ops::read;
use crate::ops::store::{self, seal_failed, too_large};
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::headers::X_AMZ_CHECKSUM_TYPE;

/// See the module.
pub async fn upload_part(cx: &Cx, mut request: S3Request) -> Result<Response<Body>, Error> {
    let rule = request.rule(cx)?;
    encryption::check_read(&request)?;
    let part = read::part_number(&request)?.and_then(PartNumber::new);
    let part = part.ok_or_else(|| S3Error::new(ErrorCode::InvalidArgument))?;
    let verifier = request.payload_verifier()?;
    let len = verifier.plaintext_len();
    if len > MAX_SEGMENT_LEN {
        return Err(too_large(len, MAX_SEGMENT_LEN).into());
    }
    let upload = Upload::find(cx, &request, rule).await?;
    check_algorithm(&upload, &verifier)?;
    let mut upstream = request.upstream(Method::PUT);
    upstream.headers = outgoing::headers(&request, BodyHeaders::Drop);
    upstream.query = upstream_query(&request, upload.upstream_id());
    let body = request.claimed_body(cx, verifier)?;
    let mut response = match &upload {
        Upload::Plain { .. } => store::send_plain(cx, upstream, body, len).await?,
        Upload::Unknown { .. } => return Err(cannot_seal(&request)),
        Upload::Sealed(upload) => {
            let salt = random_bytes().map_err(KeyError::from)?;
            let cipher = cx.settings.cipher;
            let sealer = SegmentSealer::new(cipher, &upload.key, part, len, *salt);
            let sealer = sealer.map_err(seal_failed)?;
            store::send_sealed(cx, request.brake.quota(), upstream, body, sealer).await?
        }
    };
    // Of a part it says nothing.
    response.headers_mut().remove(X_AMZ_CHECKSUM_TYPE);
    if let Upload::Sealed(upload) = &upload
        && response.status().is_success()
    {
        let envelope = &upload.fields.envelope;
        encryption::show(
            cx,
            response.headers_mut(),
            envelope,
            ShowContext::No,
            &request,
        )
        .await;
    }
    Ok(response)
}

/// A part has the checksum that its upload was created with, or none.
fn check_algorithm(upload: &Upload, verifier: &PayloadVerifier) -> Result<(), Error> {
    let (Some(expected), Some(actual)) = (upload.checksum(), verifier.algorithm()) else {
        return Ok(());
    };
    if expected == actual {
        return Ok(());
    }
    let message = format!(
        "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
        expected.name().to_ascii_lowercase(),
        actual.name().to_ascii_lowercase(),
    );
    Err(S3Error::with_message(ErrorCode::InvalidRequest, message).into())
}
