//! Which requests are sent again, and how often: only ones whose repetition cannot be seen.

use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use http::{Method, StatusCode};
use hyper::Response;

use super::UpstreamError;
use super::request::Head;
use crate::body::idle::Received;

/// Attempts after the first.
const RETRIES_MAX: usize = 2;

/// Sends until an answer is worth returning.
pub async fn with_retries<F, Fut>(
    request: &Head,
    mut send: F,
) -> Result<Response<Received>, UpstreamError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Response<Received>, UpstreamError>>,
{
    let mut delays = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_millis(500))
        .with_jitter()
        .with_max_times(RETRIES_MAX)
        .build();
    loop {
        let answer = send().await;
        if !worth_repeating(request, &answer) {
            return answer;
        }
        match delays.next() {
            Some(delay) => tokio::time::sleep(delay).await,
            None => return answer,
        }
    }
}

/// Whether a second attempt can help, and cannot do harm.
fn worth_repeating(request: &Head, answer: &Result<Response<Received>, UpstreamError>) -> bool {
    match answer {
        // 503 is the upstream asking for less: the client's back-off decides.
        Ok(response) => {
            is_repeatable(request)
                && matches!(
                    response.status(),
                    StatusCode::INTERNAL_SERVER_ERROR
                        | StatusCode::BAD_GATEWAY
                        | StatusCode::GATEWAY_TIMEOUT
                )
        }
        // Nothing was sent.
        Err(UpstreamError::Connect(_)) => true,
        Err(UpstreamError::Broken(_)) => is_repeatable(request),
        Err(
            UpstreamError::Timeout
            | UpstreamError::Credentials(_)
            | UpstreamError::Sign(_)
            | UpstreamError::Refused(_)
            | UpstreamError::RedirectedUpload
            | UpstreamError::RedirectLoop,
        ) => false,
    }
}

/// Reads, and whole-object writes without a condition. A conditional write that was lost on the way
/// back may have won: sent again, it would be told that somebody else has.
fn is_repeatable(request: &Head) -> bool {
    match request.method {
        Method::GET | Method::HEAD => true,
        Method::PUT => request.key.is_some() && !request.is_conditional(),
        _ => false,
    }
}
