//! `CreateMultipartUpload`: a data key for all parts, wrapped into the metadata of the object to be
//! and into the upload id.

use http::{HeaderMap, HeaderValue, Method};
use hyper::Response;

use super::state::Named;
use crate::body::Body;
use crate::body::seal::sealed_kind;
use crate::error::Error;
use crate::format::{ChecksumType, ContentKey, Layout, SealedChecksum, UploadFields};
use crate::ops::context::{Cx, S3Request};
use crate::ops::encryption::{self, Plan, SealPlan, ShowContext};
use crate::ops::incoming::{self, insert_text};
use crate::ops::outgoing::{self, BodyHeaders};
use crate::ops::policy::ResolvedRule;
use crate::ops::store;
use crate::s3::checksum::ChecksumAlgorithm;
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::headers::{X_AMZ_CHECKSUM_ALGORITHM, X_AMZ_CHECKSUM_TYPE};
use crate::s3::xml::document::Document;
use crate::s3::xml::multipart;
use crate::upstream::request::UpstreamRequest;

/// See the module.
pub async fn create(cx: &Cx, mut request: S3Request) -> Result<Response<Body>, Error> {
    let rule = request.rule(cx)?;
    let asked = AskedChecksum::parse(&request.headers)?;
    let plan = encryption::plan(cx, &request, rule).await?;
    request.document(cx, 0).await?;
    match plan {
        Plan::Plain => {
            let upstream = upstream_create(cx, &request);
            incoming::relay(cx, cx.upstream.send(upstream).await?).await
        }
        Plan::Sealed(plan) => create_sealed(cx, &request, rule, plan, asked).await,
    }
}

async fn create_sealed(
    cx: &Cx,
    request: &S3Request,
    rule: &ResolvedRule,
    plan: SealPlan,
    asked: Option<AskedChecksum>,
) -> Result<Response<Body>, Error> {
    let (bucket, key) = request.object()?;
    let sealing = plan
        .start(cx, &rule.rule, bucket, key, Layout::Segmented)
        .await?;
    let mut upstream = upstream_create(cx, request);
    sealing.add_metadata(&mut upstream.headers)?;
    store::name_type(&mut upstream.headers);
    let response = cx.upstream.send(upstream).await?;
    if !response.status().is_success() {
        return incoming::relay(cx, response).await;
    }
    let (parts, body) = response.into_parts();
    let document = incoming::document(body, DOCUMENT_LEN_MAX).await?;
    let document = Document::parse(&document).ok_or(UNREADABLE)?;
    let (upstream_id, rename) = multipart::initiated(&document).ok_or(UNREADABLE)?;
    let fields = UploadFields {
        created: u64::try_from((cx.settings.clock)().unix_timestamp()).unwrap_or_default(),
        checksum: asked.map(|asked| asked.sealed),
        checksum_type: asked.map(|asked| asked.kind),
        header: sealing.metadata.header,
        envelope: sealing.metadata.envelope,
    };
    let content_key = ContentKey::from(sealing.content_key);
    let logical_bucket = rule.rule.logical_bucket(bucket);
    let id = fields
        .seal(&content_key, &upstream_id, logical_bucket, key)
        .map_err(|_too_long| S3Error::new(ErrorCode::InternalError))?;
    let named = Named {
        bucket,
        key,
        upstream_id: &upstream_id,
    };
    named.keep(cx, &id).await;
    let mut headers = incoming::headers(cx, &parts.headers);
    encryption::show(
        cx,
        &mut headers,
        &fields.envelope,
        ShowContext::Yes,
        request,
    )
    .await;
    if let Some(asked) = asked {
        asked.show(&mut headers);
    }
    Ok(incoming::respond(
        parts.status,
        headers,
        Body::full(rename(&id)),
    ))
}

/// The client's request, but for the checksums: those of its parts end here, and others go up.
fn upstream_create(cx: &Cx, request: &S3Request) -> UpstreamRequest {
    let mut upstream = request.upstream(Method::POST);
    upstream.headers = outgoing::headers(request, BodyHeaders::Drop);
    upstream.query = outgoing::query(request);
    if cx.settings.upstream_checksum {
        // Of stored bytes, for the upstream to check. COMPOSITE would ask for more at completion.
        let headers = &mut upstream.headers;
        insert_text(headers, "x-amz-checksum-algorithm", "CRC64NVME");
        insert_text(headers, "x-amz-checksum-type", "FULL_OBJECT");
    }
    upstream
}

/// The checksum that the client will send with its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AskedChecksum {
    algorithm: ChecksumAlgorithm,
    sealed: SealedChecksum,
    kind: ChecksumType,
}

impl AskedChecksum {
    /// Reads `x-amz-checksum-algorithm` and `x-amz-checksum-type`; the default type is S3's.
    fn parse(headers: &HeaderMap) -> Result<Option<Self>, S3Error> {
        let text = |name| {
            let value: Option<&HeaderValue> = headers.get(name);
            value.map(|value| value.to_str().unwrap_or_default())
        };
        let kind = match text(X_AMZ_CHECKSUM_TYPE) {
            None => None,
            Some("COMPOSITE") => Some(ChecksumType::Composite),
            Some("FULL_OBJECT") => Some(ChecksumType::FullObject),
            Some(_) => return Err(invalid("Value for x-amz-checksum-type header is invalid.")),
        };
        let Some(name) = text(X_AMZ_CHECKSUM_ALGORITHM) else {
            return match kind {
                None => Ok(None),
                Some(_) => Err(invalid(
                    "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
                )),
            };
        };
        let algorithm = ChecksumAlgorithm::from_name(name).ok_or_else(|| {
            invalid(
                "Checksum algorithm provided is unsupported. Please try again with any of the valid \
                 types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
            )
        })?;
        let not_implemented =
            || S3Error::new(ErrorCode::NotImplemented).detail("Header", "x-amz-checksum-algorithm");
        let sealed = sealed_kind(algorithm).ok_or_else(not_implemented)?;
        let only = match algorithm {
            ChecksumAlgorithm::Crc64Nvme => Some(ChecksumType::FullObject),
            ChecksumAlgorithm::Crc32 | ChecksumAlgorithm::Crc32c => None,
            ChecksumAlgorithm::Md5
            | ChecksumAlgorithm::Sha1
            | ChecksumAlgorithm::Sha256
            | ChecksumAlgorithm::Sha512
            | ChecksumAlgorithm::Xxhash3
            | ChecksumAlgorithm::Xxhash64
            | ChecksumAlgorithm::Xxhash128 => Some(ChecksumType::Composite),
        };
        if let (Some(only), Some(kind)) = (only, kind)
            && only != kind
        {
            let message = format!(
                "The {} checksum type cannot be used with the {} checksum algorithm.",
                type_name(kind),
                algorithm.name().to_ascii_lowercase(),
            );
            return Err(S3Error::with_message(ErrorCode::InvalidRequest, message));
        }
        Ok(Some(Self {
            algorithm,
            sealed,
            kind: kind.or(only).unwrap_or(ChecksumType::Composite),
        }))
    }

    fn show(self, headers: &mut HeaderMap) {
        insert_text(headers, "x-amz-checksum-algorithm", self.algorithm.name());
        insert_text(headers, "x-amz-checksum-type", type_name(self.kind));
    }
}

/// The name of a type in headers and documents.
pub fn type_name(kind: ChecksumType) -> &'static str {
    match kind {
        ChecksumType::Composite => "COMPOSITE",
        ChecksumType::FullObject => "FULL_OBJECT",
    }
}

fn invalid(message: &'static str) -> S3Error {
    S3Error::with_message(ErrorCode::InvalidRequest, message)
}

const UNREADABLE: Error = Error::UpstreamAnswer("a new upload without an id");

/// The largest answer that is read, in bytes.
const DOCUMENT_LEN_MAX: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(
        algorithm: Option<&str>,
        kind: Option<&str>,
    ) -> Result<Option<AskedChecksum>, S3Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (X_AMZ_CHECKSUM_ALGORITHM, algorithm),
            (X_AMZ_CHECKSUM_TYPE, kind),
        ] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        AskedChecksum::parse(&headers)
    }

    #[test]
    fn types_follow_the_algorithm_as_on_s3() {
        assert_eq!(parse(None, None), Ok(None));
        for (algorithm, kind, expected) in [
            ("CRC64NVME", None, ChecksumType::FullObject),
            ("crc32", None, ChecksumType::Composite),
            ("CRC32C", Some("FULL_OBJECT"), ChecksumType::FullObject),
            ("SHA256", Some("COMPOSITE"), ChecksumType::Composite),
        ] {
            let asked = parse(Some(algorithm), kind).unwrap().unwrap();
            assert_eq!(asked.kind, expected, "{algorithm}");
        }
        for (algorithm, kind, code) in [
            (
                Some("CRC64NVME"),
                Some("COMPOSITE"),
                ErrorCode::InvalidRequest,
            ),
            (Some("SHA1"), Some("FULL_OBJECT"), ErrorCode::InvalidRequest),
            (Some("CRC16"), None, ErrorCode::InvalidRequest),
            (Some("CRC32"), Some("OTHER"), ErrorCode::InvalidRequest),
            (None, Some("COMPOSITE"), ErrorCode::InvalidRequest),
            (Some("XXHASH3"), None, ErrorCode::NotImplemented),
        ] {
            assert_eq!(
                parse(algorithm, kind).unwrap_err().code,
                code,
                "{algorithm:?}"
            );
        }
    }
}
