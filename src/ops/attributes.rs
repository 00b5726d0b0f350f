//! `GetObjectAttributes`: answered from what HEAD says, since the upstream's own answer is about
//! ciphertext, and not every upstream has one.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::Response;

use super::context::{Cx, S3Request};
use super::encryption;
use super::incoming::{insert_text, respond};
use super::{get_object, head_object};
use crate::body::Body;
use crate::error::Error;
use crate::s3::checksum::ChecksumAlgorithm;
use crate::s3::headers::{X_AMZ_CHECKSUM_MODE, X_AMZ_CHECKSUM_TYPE};
use crate::s3::operation::Operation;
use crate::s3::query::Query;
use crate::s3::xml::attributes::{Asked, Attribute, Attributes};

/// See the module.
pub async fn attributes(cx: &Cx, request: S3Request) -> Result<Response<Body>, Error> {
    encryption::check_read(&request)?;
    let values = request.headers.get_all(ASKED).iter();
    let asked = Asked::parse(values.map(|value| value.to_str().unwrap_or_default()))?;
    let head =
        head_object::head_object(cx, reading(&request, asked.has(Attribute::Checksum), None))
            .await?;
    if head.status() != StatusCode::OK {
        return refusal(cx, &request, head).await;
    }
    let parts = if asked.has(Attribute::Parts) {
        count_parts(cx, &request).await?
    } else {
        None
    };
    let said = head.headers();
    let text = |name: &str| said.get(name).and_then(|value| value.to_str().ok());
    let size = text("content-length").and_then(|len| len.parse().ok());
    let checksum = ChecksumAlgorithm::ALL.into_iter().find_map(|algorithm| {
        let kind = text(X_AMZ_CHECKSUM_TYPE.as_str()).unwrap_or("FULL_OBJECT");
        Some((algorithm, text(algorithm.header())?, kind))
    });
    let attributes = Attributes {
        etag: text("etag").unwrap_or_default(),
        checksum,
        parts: parts.as_deref(),
        storage_class: text("x-amz-storage-class").unwrap_or("STANDARD"),
        size: size.ok_or(Error::UpstreamAnswer("an object without a size"))?,
    };
    let document = attributes.render(&asked);
    Ok(respond(StatusCode::OK, shown(said), Body::full(document)))
}

/// A HEAD of the object, or of one of its parts.
fn reading(request: &S3Request, checksum: bool, part: Option<u32>) -> S3Request {
    let mut reading = request.own(Operation::HeadObject, Method::HEAD);
    for name in KEPT {
        if let Some(value) = request.headers.get(*name) {
            let name = HeaderName::from_static(name);
            reading.headers.insert(name, value.clone());
        }
    }
    if checksum {
        let enabled = HeaderValue::from_static("ENABLED");
        reading.headers.insert(X_AMZ_CHECKSUM_MODE, enabled);
    }
    let pairs = Query::new(Some(&request.query)).pairs();
    let version = pairs.filter(|(name, _)| *name == "versionId");
    let version = version.map(|(name, value)| format!("{name}={}", value.unwrap_or_default()));
    let part = part.map(|part| format!("partNumber={part}"));
    let pairs: Vec<String> = version.chain(part).collect();
    reading.query = pairs.join("&");
    reading
}

/// The number of parts, if the object has parts.
async fn count_parts(cx: &Cx, request: &S3Request) -> Result<Option<String>, Error> {
    let part = head_object::head_object(cx, reading(request, false, Some(1))).await?;
    let count = part.headers().get("x-amz-mp-parts-count");
    Ok(count.and_then(|count| count.to_str().ok().map(str::to_owned)))
}

/// A refusal of HEAD has no document; that of a GET says why.
async fn refusal(
    cx: &Cx,
    request: &S3Request,
    head: Response<Body>,
) -> Result<Response<Body>, Error> {
    let mut reading = reading(request, false, None);
    reading.operation = Operation::GetObject;
    reading.method = Method::GET;
    let refused = get_object::get_object(cx, reading).await?;
    if refused.status().is_success() {
        return Ok(head);
    }
    Ok(refused)
}

fn shown(said: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in SHOWN {
        if let Some(value) = said.get(*name) {
            headers.insert(HeaderName::from_static(name), value.clone());
        }
    }
    insert_text(&mut headers, "content-type", "application/xml");
    headers
}

const ASKED: &str = "x-amz-object-attributes";

/// Headers of the request that the reads are sent with.
const KEPT: &[&str] = &[
    "x-amz-expected-bucket-owner",
    "x-amz-request-payer",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-server-side-encryption-customer-key-md5",
];

/// Headers of the answer (AWS, `GetObjectAttributes`).
const SHOWN: &[&str] = &[
    "last-modified",
    "x-amz-delete-marker",
    "x-amz-request-charged",
    "x-amz-version-id",
];
