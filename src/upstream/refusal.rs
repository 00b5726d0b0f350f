//! What the upstream says when it says no.

use bytes::Bytes;
use http_body::Body as HttpBody;
use hyper::Response;

use crate::body::{BodyError, collect};
use crate::s3::xml::error::{ERROR_DOCUMENT_LEN_MAX, ErrorDocument};

/// The code of a refusal; where there is no error document, as of a HEAD, the status.
pub async fn refusal_code<B>(refused: Response<B>) -> Result<String, BodyError>
where
    B: HttpBody<Data = Bytes, Error = BodyError>,
{
    let status = refused.status();
    let body = collect(refused.into_body(), ERROR_DOCUMENT_LEN_MAX as u64).await?;
    let code = ErrorDocument::parse(&body).map(|error| error.code().to_owned());
    Ok(code.unwrap_or_else(|| status.to_string()))
}
