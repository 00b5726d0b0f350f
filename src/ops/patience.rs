//! Operations that may take long: the client gets a head and white space while they run, and the
//! error, if it comes to that, in the document (AWS, "CopyObject" and "CompleteMultipartUpload").

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::Response;
use tokio::time::timeout;

use super::incoming::respond;
use super::report;
use crate::body::waiting::WaitingBody;
use crate::body::{Body, BodyError, collect};
use crate::error::{Error, Fault};
use crate::s3::error_code::ErrorCode;
use crate::s3::xml;
use crate::s3::xml::error::ErrorDocument;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::request_id::RequestId;

/// An operation under way.
pub type Work = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

/// Where it is told that the document behind a head is a refusal: an extension of the answer, for
/// whoever writes down how it ended.
#[derive(Clone, Debug, Default)]
pub struct Afterwards(Arc<OnceLock<Refusal>>);

/// A refusal behind a head that says 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the head would have said.
    pub status: u16,
    /// The S3 code, if it is a known one.
    pub code: Option<&'static str>,
    /// Whose fault it is; `None` where the refusal is the upstream's.
    pub fault: Option<Fault>,
}

impl Afterwards {
    /// The refusal, if it has come to that.
    pub fn refusal(&self) -> Option<Refusal> {
        self.0.get().copied()
    }

    fn tell(&self, refusal: Refusal) {
        // There is one outcome.
        let _ = self.0.set(refusal);
    }
}

impl Refusal {
    fn of(error: &Error) -> Self {
        let code = error.to_s3().code;
        Self {
            status: code.status().as_u16(),
            code: Some(code.as_str()),
            fault: Some(error.fault()),
        }
    }

    /// The upstream's.
    fn relayed(status: StatusCode, document: &[u8]) -> Self {
        let document = ErrorDocument::parse(document);
        let code = document.and_then(|document| ErrorCode::from_name(document.code()));
        Self {
            status: status.as_u16(),
            code: code.map(ErrorCode::as_str),
            fault: None,
        }
    }
}

/// Answers as `work` does if that is done soon, and otherwise with a 200 whose document follows.
pub async fn patiently(
    id: RequestId,
    metrics: Arc<Metrics>,
    work: Work,
) -> Result<Response<Body>, Error> {
    answer_within(PATIENCE, id, metrics, work).await
}

async fn answer_within(
    patience: Duration,
    id: RequestId,
    metrics: Arc<Metrics>,
    mut work: Work,
) -> Result<Response<Body>, Error> {
    match timeout(patience, work.as_mut()).await {
        Ok(done) => done,
        Err(_elapsed) => {
            let afterwards = Afterwards::default();
            let (told, span) = (afterwards.clone(), tracing::Span::current());
            let document = async move {
                match work.await {
                    Ok(response) => document_of(response, &told).await,
                    Err(error) => {
                        told.tell(Refusal::of(&error));
                        Ok(span.in_scope(|| refusal(&error, id, &metrics)))
                    }
                }
            };
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
            let body = Body::new(WaitingBody::new(document, patience));
            let mut answer = respond(StatusCode::OK, headers, body);
            answer.extensions_mut().insert(afterwards);
            Ok(answer)
        }
    }
}

/// The document of an answer, a refusal's too, without the declaration that has been sent.
async fn document_of(response: Response<Body>, told: &Afterwards) -> Result<Bytes, BodyError> {
    let status = response.status();
    let body = pin!(response.into_body());
    let document = collect(body, DOCUMENT_LEN_MAX).await?;
    if !status.is_success() {
        told.tell(Refusal::relayed(status, &document));
    }
    let end = document
        .starts_with(b"<?xml")
        .then(|| memchr::memmem::find(&document, b"?>"))
        .flatten();
    Ok(match end {
        Some(end) => document.slice(end + 2..),
        None => document,
    })
}

fn refusal(error: &Error, id: RequestId, metrics: &Metrics) -> Bytes {
    let s3 = error.to_s3();
    report::failure(error, s3.code.status(), metrics);
    let document = xml::error::render(&s3, None, id.as_str());
    let end = document.find("?>").map_or(0, |end| end + 2);
    Bytes::from(document).slice(end..)
}

/// Until the head is sent, and between two spaces: clients wait for a minute or so.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers of this kind are small.
const DOCUMENT_LEN_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::error_code::{ErrorCode, S3Error};
    use crate::telemetry::request_id::RequestIds;

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new(&prometheus::Registry::new(), ["CopyObject"]).unwrap())
    }

    const SHORT: Duration = Duration::from_millis(1);

    /// What a client gets of work that ends when the wait for it has begun to be filled.
    async fn waited_for(
        outcome: Result<Response<Body>, Error>,
    ) -> (StatusCode, String, Option<Refusal>) {
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let work = Box::pin(async move {
            ended.await.expect("it is ended");
            outcome
        });
        let id = RequestIds::new([0; 8]).next();
        let answer = answer_within(SHORT, id, metrics(), work).await.unwrap();
        let status = answer.status();
        let afterwards = answer.extensions().get::<Afterwards>().cloned().unwrap();
        assert_eq!(afterwards.refusal(), None, "nobody knows yet");
        end.send(()).unwrap();
        let document = collect(answer.into_body(), 1 << 20).await.unwrap();
        let text = String::from_utf8(document.to_vec()).unwrap();
        (status, text, afterwards.refusal())
    }

    #[tokio::test]
    async fn what_is_done_soon_is_answered_as_it_is() {
        let refused = S3Error::new(ErrorCode::NoSuchKey);
        let work = Box::pin(async { Err(refused.into()) });
        let id = RequestIds::new([0; 8]).next();
        let answer = answer_within(Duration::from_mins(1), id, metrics(), work).await;
        let error = answer.err().expect("it is refused");
        assert_eq!(error.to_s3().code, ErrorCode::NoSuchKey);
    }

    #[tokio::test]
    async fn what_takes_long_is_answered_in_the_document() {
        let document = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CopyObjectResult/>";
        let done = respond(StatusCode::OK, HeaderMap::new(), Body::full(document));
        let (status, text, refusal) = waited_for(Ok(done)).await;
        assert_eq!((status, refusal), (StatusCode::OK, None));
        assert_eq!(text.matches("<?xml").count(), 1, "{text}");
        assert!(text.starts_with("<?xml") && text.ends_with("<CopyObjectResult/>"));
        let refused = S3Error::new(ErrorCode::SlowDown).into();
        let (status, text, refusal) = waited_for(Err(refused)).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(text.matches("<?xml").count(), 1, "{text}");
        assert!(text.contains("<Error><Code>SlowDown</Code>"), "{text}");
        let expected = Refusal {
            status: 503,
            code: Some("SlowDown"),
            fault: Some(Fault::Proxy),
        };
        assert_eq!(refusal, Some(expected));
        for (code, known) in [("NoSuchKey", Some("NoSuchKey")), ("SomethingNew", None)] {
            let document = format!("<Error><Code>{code}</Code></Error>");
            let body = Body::full(document);
            let relayed = respond(StatusCode::NOT_FOUND, HeaderMap::new(), body);
            let (_, text, refusal) = waited_for(Ok(relayed)).await;
            assert!(text.contains(code), "{text}");
            let expected = Refusal {
                status: 404,
                code: known,
                fault: None,
            };
            assert_eq!(refusal, Some(expected));
        }
    }
}
