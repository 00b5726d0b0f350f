//! Spans up to a collector that can be told what to answer.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prometheus::Registry;
use prost::Message;
use tokio::time::{Instant, sleep};

use super::carry::InTrace;
use super::queue::{BATCH_MAX, WAITING_MAX};
use super::span::Ended;
use super::*;

/// What a collector does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Takes,
    RefusesOne,
    IsAway,
    RefusesAll,
    Hangs,
}

#[derive(Clone)]
struct Fake {
    mood: Arc<Mutex<Mood>>,
    messages: Arc<Mutex<Vec<Bytes>>>,
}

impl Fake {
    fn new(mood: Mood) -> Self {
        Self {
            mood: Arc::new(Mutex::new(mood)),
            messages: Arc::default(),
        }
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// How often it was asked.
    fn deliveries(&self) -> usize {
        self.messages.lock().unwrap().len()
    }

    /// The spans of all messages.
    fn spans(&self) -> Vec<Span> {
        let messages = self.messages.lock().unwrap();
        let requests = messages
            .iter()
            .map(|message| ExportTraceServiceRequest::decode(message.clone()).unwrap());
        let resources = requests.flat_map(|request| request.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

#[async_trait]
impl Collector for Fake {
    async fn deliver(&self, message: Bytes) -> Result<Bytes, Undelivered> {
        self.messages.lock().unwrap().push(message);
        let undelivered = |may_repeat| {
            Err(Undelivered {
                reason: "no".to_owned(),
                may_repeat,
            })
        };
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Takes => Ok(Bytes::new()),
            Mood::RefusesOne => {
                let refused = ExportTracePartialSuccess {
                    rejected_spans: 1,
                    error_message: "one too many".to_owned(),
                };
                let answer = ExportTraceServiceResponse {
                    partial_success: Some(refused),
                };
                Ok(answer.encode_to_vec().into())
            }
            Mood::IsAway => undelivered(true),
            Mood::RefusesAll => undelivered(false),
            Mood::Hangs => std::future::pending().await,
        }
    }
}

struct Bench {
    traces: Traces,
    collector: Fake,
    metrics: Arc<Metrics>,
}

impl Bench {
    fn new(mood: Mood, sample_ratio: f64, trusts_parent: bool) -> Self {
        Self::at(PACE, mood, sample_ratio, trusts_parent)
    }

    fn at(pace: Pace, mood: Mood, sample_ratio: f64, trusts_parent: bool) -> Self {
        let config = Config {
            url: http::Uri::from_static("http://127.0.0.1:4318/v1/traces"),
            sample_ratio,
            trusts_parent,
            service_name: "tests".to_owned(),
            headers: Vec::new(),
            ca: None,
        };
        let collector = Fake::new(mood);
        let metrics = Arc::new(Metrics::new(&Registry::new(), []).unwrap());
        let traces = Traces::start_at(pace, &config, collector.clone(), &metrics);
        Self {
            traces,
            collector,
            metrics,
        }
    }

    fn begin(&self, headers: &HeaderMap) -> RequestSpan {
        self.traces.request(Asked {
            operation: "GetObject",
            id: RequestId::from_bytes([1; 8]),
            method: &Method::GET,
            is_tls: false,
            headers,
        })
    }

    fn request(&self) {
        self.begin(&HeaderMap::new()).end(OK);
    }

    fn dropped(&self, reason: &str) -> u64 {
        let line = format!("s3seal_trace_spans_dropped_total{{reason=\"{reason}\"}} ");
        let text = self.metrics.render();
        let value = text.lines().find_map(|other| other.strip_prefix(&line));
        value.unwrap().parse().unwrap()
    }
}

const PACE: Pace = Pace {
    period: Duration::from_millis(50),
    delivery: Duration::from_millis(100),
    flush: Duration::from_millis(500),
};

const OK: Ended = Ended {
    status: 200,
    error: None,
    outcome: "ok",
    bytes_in: 0,
    bytes_out: 11,
};

fn parent(flags: &str) -> HeaderMap {
    let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
    HeaderMap::from_iter([(
        http::HeaderName::from_static("traceparent"),
        parent.parse().unwrap(),
    )])
}

fn attribute<'a>(span: &'a Span, name: &str) -> Option<&'a Value> {
    let found = span.attributes.iter().find(|it| it.key == name)?;
    let AnyValue { value } = found.value.as_ref()?;
    value.as_ref()
}

fn text(value: &str) -> Value {
    Value::StringValue(value.to_owned())
}

#[tokio::test]
async fn a_call_is_under_its_request_and_says_how_it_ended() {
    let bench = Bench::new(Mood::Takes, 1.0, false);
    let request = bench.begin(&parent("00"));
    let mut sent = HeaderMap::new();
    let calling = async {
        let good = bench.traces.call("unwrap", SpanKind::Internal).unwrap();
        good.inject(&mut sent);
        good.end();
        let bad = bench.traces.call("GET", SpanKind::Client).unwrap();
        bad.fail("timeout");
        drop(bench.traces.call("PUT", SpanKind::Client).unwrap());
    };
    InTrace::new(Some(request.trace()), calling).await;
    request.end(Ended {
        status: 503,
        error: Some("SlowDown"),
        outcome: "failed",
        ..OK
    });
    bench.traces.flush().await;
    let spans = bench.collector.spans();
    let [good, bad, cut, request] = spans.as_slice() else {
        panic!("{spans:?}");
    };
    assert_eq!(request.name, "GetObject");
    assert_eq!(
        request.parent_span_id,
        0x00f0_67aa_0ba9_02b7_u64.to_be_bytes()
    );
    assert_eq!(attribute(request, "rpc.method"), Some(&text("GetObject")));
    assert_eq!(attribute(request, "error.type"), Some(&text("SlowDown")));
    assert_eq!(
        attribute(request, "http.response.body.size"),
        Some(&Value::IntValue(11))
    );
    for call in [good, bad, cut] {
        assert_eq!(call.trace_id, request.trace_id);
        assert_eq!(call.parent_span_id, request.span_id);
    }
    let codes = [good, bad, cut, request].map(|span| span.status.as_ref().unwrap().code);
    assert_eq!(codes, [0, 2, 0, 2]);
    assert_eq!(attribute(bad, "error.type"), Some(&text("timeout")));
    assert_eq!(attribute(cut, "s3seal.outcome"), Some(&text("cut")));
    let hex = data_encoding::HEXLOWER.encode(&good.span_id);
    assert_eq!(
        sent["traceparent"],
        format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{hex}-01")
    );
}

#[tokio::test]
async fn what_no_request_needs_has_no_span() {
    let bench = Bench::new(Mood::Takes, 1.0, false);
    assert!(bench.traces.call("probe", SpanKind::Client).is_none());
    let current = InTrace::current(async { bench.traces.call("probe", SpanKind::Client) });
    assert!(current.await.is_none());
}

/// A stranger's flag neither switches tracing on nor off; a trusted caller's does both.
#[tokio::test]
async fn who_decides_what_is_traced() {
    for (ratio, trusts, flags, is_traced) in [
        (0.0, false, "01", false),
        (1.0, false, "00", true),
        (0.0, true, "01", true),
        (1.0, true, "00", false),
    ] {
        let bench = Bench::new(Mood::Takes, ratio, trusts);
        let request = bench.begin(&parent(flags));
        let trace = request.trace_id().to_string();
        assert_eq!(trace, "4bf92f3577b34da6a3ce929d0e0e4736");
        request.end(OK);
        bench.traces.flush().await;
        let spans = bench.collector.spans();
        assert_eq!(
            spans.len(),
            usize::from(is_traced),
            "{ratio} {trusts} {flags}"
        );
    }
}

/// Who is not traced is still part of the trace for those behind us.
#[tokio::test]
async fn the_context_goes_on_without_a_span() {
    let bench = Bench::new(Mood::Takes, 0.0, false);
    let request = bench.begin(&parent("01"));
    let call = InTrace::new(Some(request.trace()), async {
        bench.traces.call("GET", SpanKind::Client).unwrap()
    });
    let call = call.await;
    assert!(!call.is_recording());
    let mut sent = HeaderMap::new();
    call.inject(&mut sent);
    let sent = sent["traceparent"].to_str().unwrap();
    assert!(
        sent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"),
        "{sent}"
    );
    assert!(
        sent.ends_with("-00") && !sent.contains("00f067aa0ba902b7"),
        "{sent}"
    );
}

#[tokio::test]
async fn nobody_waits_and_what_is_too_much_is_counted() {
    let bench = Bench::new(Mood::Hangs, 1.0, false);
    // The exporter has no turn before the first await.
    for _ in 0..WAITING_MAX + 10 {
        bench.request();
    }
    assert_eq!(bench.dropped("queue"), 10);
    let began = Instant::now();
    bench.traces.flush().await;
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// Waits until the collector was asked so often.
async fn deliveries(bench: &Bench, count: usize) {
    for _ in 0..1000 {
        if bench.collector.deliveries() >= count {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("{} of {count} deliveries", bench.collector.deliveries());
}

#[tokio::test]
async fn a_collector_that_comes_back_loses_nothing() {
    let bench = Bench::new(Mood::IsAway, 1.0, false);
    bench.request();
    deliveries(&bench, 1).await;
    bench.collector.set(Mood::Takes);
    deliveries(&bench, 2).await;
    bench.traces.flush().await;
    assert_eq!(bench.dropped("delivery"), 0);
    let spans = bench.collector.spans();
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0], spans[1]);
}

#[tokio::test]
async fn a_collector_that_stays_away_is_asked_three_times() {
    let bench = Bench::new(Mood::IsAway, 1.0, false);
    bench.request();
    deliveries(&bench, 3).await;
    sleep(PACE.period * 4).await;
    assert_eq!(bench.collector.deliveries(), 3);
    assert_eq!(bench.dropped("delivery"), 1);
    // At the end it is asked, and that is that.
    bench.request();
    bench.traces.flush().await;
    assert_eq!(bench.dropped("delivery"), 2);
    let asked = bench.collector.deliveries();
    sleep(PACE.period * 4).await;
    assert_eq!(bench.collector.deliveries(), asked);
}

#[tokio::test]
async fn a_delivery_that_hangs_is_given_up_and_tried_again() {
    let bench = Bench::new(Mood::Hangs, 1.0, false);
    bench.request();
    deliveries(&bench, 3).await;
    sleep(PACE.delivery * 2).await;
    assert_eq!(bench.dropped("delivery"), 1);
}

#[tokio::test]
async fn what_a_collector_refuses_is_not_sent_again() {
    let bench = Bench::new(Mood::RefusesAll, 1.0, false);
    bench.request();
    bench.traces.flush().await;
    assert_eq!(bench.dropped("delivery"), 1);
    bench.collector.set(Mood::RefusesOne);
    bench.request();
    bench.request();
    bench.traces.flush().await;
    assert_eq!(bench.dropped("delivery"), 2);
    assert_eq!(bench.collector.deliveries(), 2);
}

#[tokio::test]
async fn many_spans_do_not_wait_for_their_time() {
    let slow = Pace {
        period: Duration::from_mins(10),
        ..PACE
    };
    let bench = Bench::at(slow, Mood::Takes, 1.0, false);
    // The first tick is at once.
    sleep(Duration::from_millis(50)).await;
    bench.request();
    sleep(Duration::from_millis(50)).await;
    assert_eq!(bench.collector.deliveries(), 0);
    for _ in 1..BATCH_MAX {
        bench.request();
    }
    deliveries(&bench, 1).await;
    assert_eq!(bench.collector.spans().len(), BATCH_MAX);
}
