//! The access log: one line for each request, when the last byte of its answer is gone.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use opentelemetry::trace::TraceId;
use percent_encoding::percent_decode_str;

use super::request_id::RequestId;

/// What the access log says about a request. Holds no secret, and nothing that could be used as one.
#[derive(Clone, Copy, Debug)]
pub struct AccessRecord<'a> {
    /// The id that is also in the response.
    pub request_id: RequestId,
    /// S3's name of the operation.
    pub operation: &'static str,
    /// The bucket, where there is one.
    pub bucket: Option<&'a str>,
    /// Path and query as received, the object key within: shown at level debug only, and with the
    /// query of presigned URLs cut.
    pub uri: &'a str,
    /// HTTP status sent.
    pub status: u16,
    /// S3 error code sent.
    pub error: Option<&'a str>,
    /// Body bytes received.
    pub bytes_in: u64,
    /// Body bytes sent.
    pub bytes_out: u64,
    /// From the request's head to the end of the answer.
    pub duration: Duration,
    /// Access key id of the client; `None` if anonymous or not authenticated.
    pub client: Option<&'a str>,
    /// Where it came from.
    pub peer: SocketAddr,
    /// Whether the answer went out to its end.
    pub is_complete: bool,
    /// The trace that it is part of, where there are traces.
    pub trace_id: Option<TraceId>,
}

/// Writes the line. Its target is `s3seal::access`: the filter `info,s3seal::access=off` switches it
/// off at no cost, `s3seal::access=debug` adds path and query.
pub fn log(record: &AccessRecord<'_>) {
    let shows_uri = tracing::enabled!(target: "s3seal::access", tracing::Level::DEBUG);
    let uri = shows_uri.then(|| without_signature(record.uri));
    tracing::info!(
        target: "s3seal::access",
        request_id = record.request_id.as_str(),
        operation = record.operation,
        bucket = record.bucket,
        uri = uri.as_deref(),
        status = record.status,
        error = record.error,
        bytes_in = record.bytes_in,
        bytes_out = record.bytes_out,
        seconds = record.duration.as_secs_f64(),
        client = record.client,
        peer = %record.peer,
        complete = record.is_complete,
        trace_id = record.trace_id.map(tracing::field::display),
        "request"
    );
}

/// Path and query, without the query if it carries a signature: with that, others could repeat the
/// request while it is valid.
pub fn without_signature(uri: &str) -> Cow<'_, str> {
    let Some((path, query)) = uri.split_once('?') else {
        return Cow::Borrowed(uri);
    };
    let is_signed = query.split('&').any(|parameter| {
        let name = parameter.split('=').next().unwrap_or_default();
        let name = percent_decode_str(name)
            .decode_utf8_lossy()
            .to_ascii_lowercase();
        name.starts_with("x-amz-") || name == "signature" || name == "awsaccesskeyid"
    });
    if is_signed {
        Cow::Owned(format!("{path}?[presigned]"))
    } else {
        Cow::Borrowed(uri)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::config::log::{Log, LogFormat};
    use crate::telemetry::dispatch;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let filter = filter.to_owned();
        let dispatch = dispatch(&Log { format, filter }, move || writer.clone()).unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            log(&AccessRecord {
                request_id: RequestId::from_bytes([0xab; 8]),
                operation: "GetObject",
                bucket: Some("photos"),
                uri: "/photos/secret%20plan?X-Amz-Signature=5ca1ab1e&versionId=1",
                status: 404,
                error: Some("NoSuchKey"),
                bytes_in: 0,
                bytes_out: 271,
                duration: Duration::from_millis(1500),
                client: None,
                peer: "192.0.2.1:5".parse().unwrap(),
                is_complete: true,
                trace_id: TraceId::from_hex("0123456789abcdef0123456789abcdef").ok(),
            });
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_request_is_one_line_of_json() {
        let line = logged(LogFormat::Json, "info");
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let mut fields: serde_json::Value = serde_json::from_str(&line).unwrap();
        let timestamp = fields.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(timestamp.as_str().unwrap().ends_with('Z'));
        let expected = serde_json::json!({
            "level": "INFO", "target": "s3seal::access", "message": "request",
            "request_id": "ABABABABABABABAB", "operation": "GetObject", "bucket": "photos",
            "status": 404, "error": "NoSuchKey", "bytes_in": 0, "bytes_out": 271, "seconds": 1.5,
            "peer": "192.0.2.1:5", "complete": true,
            "trace_id": "0123456789abcdef0123456789abcdef",
        });
        assert_eq!(fields, expected);
    }

    #[test]
    fn object_keys_are_shown_at_debug_only_and_signatures_never() {
        assert!(!logged(LogFormat::Text, "info").contains("plan"));
        let line = logged(LogFormat::Text, "info,s3seal::access=debug");
        assert!(line.contains("/photos/secret%20plan?[presigned]"), "{line}");
        assert!(!line.contains("5ca1ab1e"), "{line}");
        assert!(logged(LogFormat::Text, "info,s3seal::access=off").is_empty());
    }

    #[test]
    fn only_signed_queries_are_cut() {
        for (uri, shown) in [
            ("/b/k", "/b/k"),
            ("/b?list-type=2&prefix=a", "/b?list-type=2&prefix=a"),
            (
                "/b/k?partNumber=1&x%2Damz-security-token=t",
                "/b/k?[presigned]",
            ),
            ("/b/k?AWSAccessKeyId=A&Signature=s", "/b/k?[presigned]"),
            ("/b/k?a?X-Amz-Signature=s", "/b/k?a?X-Amz-Signature=s"),
        ] {
            assert_eq!(without_signature(uri), shown);
        }
    }
}
