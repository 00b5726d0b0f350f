//! The context of a trace in headers (W3C, "Trace Context").
//!
//! The SDK's own reader takes shorter ids and signs before digits, so that what it reads is not what
//! others read.

use std::str::FromStr;

use http::header::ToStrError;
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The span that the caller is in, if it says so in a way that can be read. Its vendors' `tracestate` is
/// taken from those only who are trusted: it goes to the collector and upstream as it is.
pub(super) fn caller(headers: &HeaderMap, is_trusted: bool) -> Option<SpanContext> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let parent = parents.next()?;
    if parents.next().is_some() {
        return None;
    }
    let (trace, span, flags) = parse(parent.to_str().ok()?)?;
    let state = if is_trusted {
        state(headers)
    } else {
        TraceState::default()
    };
    Some(SpanContext::new(trace, span, flags, true, state))
}

/// Tells the next one which span this is.
pub(super) fn inject(span: &SpanContext, headers: &mut HeaderMap) {
    if !span.is_valid() {
        return;
    }
    let (trace, id) = (span.trace_id(), span.span_id());
    let flags = span.trace_flags() & TraceFlags::SAMPLED;
    let parent = format!("00-{trace}-{id}-{flags:02x}");
    let state = span.trace_state().header();
    if let Ok(parent) = HeaderValue::try_from(parent) {
        headers.insert(TRACEPARENT, parent);
    }
    if let (false, Ok(state)) = (state.is_empty(), HeaderValue::try_from(state)) {
        headers.insert(TRACESTATE, state);
    }
}

/// `00-<32 digits>-<16 digits>-<2 digits>`; a later version may have more behind it.
fn parse(text: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    let (known, rest) = text.split_at_checked(PARENT_LEN)?;
    let mut fields = known.split('-');
    let mut field = |len: usize| {
        let field = fields.next().filter(|field| field.len() == len)?;
        field.bytes().all(is_digit).then_some(field)
    };
    let (version, trace, span, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    let is_whole = rest.is_empty() || version != "00" && rest.starts_with('-');
    if version == "ff" || !is_whole || text.len() > PARENT_LEN_MAX {
        return None;
    }
    let trace = TraceId::from_hex(trace).ok()?;
    let span = SpanId::from_hex(span).ok()?;
    if trace == TraceId::INVALID || span == SpanId::INVALID {
        return None;
    }
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some((trace, span, TraceFlags::new(flags) & TraceFlags::SAMPLED))
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// All of `tracestate`, or nothing of it.
fn state(headers: &HeaderMap) -> TraceState {
    let values = headers.get_all(TRACESTATE).iter();
    let texts: Result<Vec<&str>, ToStrError> = values.map(HeaderValue::to_str).collect();
    let text = texts.unwrap_or_default().join(",");
    if text.len() > STATE_LEN_MAX {
        return TraceState::default();
    }
    TraceState::from_str(&text).unwrap_or_default()
}

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Of version 00.
const PARENT_LEN: usize = 55;
/// Of any version that we look at.
const PARENT_LEN_MAX: usize = 256;
/// What has to be passed on by everybody who passes it on.
const STATE_LEN_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_parent_is_read_as_the_standard_says() {
        for (text, is_sampled) in [
            (format!("00-{TRACE}-{SPAN}-00"), false),
            (format!("00-{TRACE}-{SPAN}-01"), true),
            (format!("00-{TRACE}-{SPAN}-fe"), false),
            (format!("cc-{TRACE}-{SPAN}-01"), true),
            (format!("cc-{TRACE}-{SPAN}-01-what-comes-later"), true),
        ] {
            let found = caller(&headers(&[("traceparent", &text)]), false).unwrap();
            assert_eq!(found.trace_id().to_string(), TRACE);
            assert_eq!(found.span_id().to_string(), SPAN);
            assert_eq!(found.is_sampled(), is_sampled, "{text}");
            assert!(found.is_remote());
        }
    }

    #[test]
    fn a_parent_that_is_none_is_ignored() {
        let zeros = "0".repeat(32);
        let long = format!("cc-{TRACE}-{SPAN}-01-{}", "x".repeat(300));
        for text in [
            "",
            "00",
            &format!("00-{TRACE}-{SPAN}"),
            &format!("00-{TRACE}-{SPAN}-1"),
            &format!("00-{TRACE}-{SPAN}-01-"),
            &format!("00-{TRACE}-{SPAN}-01-more"),
            &format!("cc-{TRACE}-{SPAN}-01more"),
            &format!("ff-{TRACE}-{SPAN}-01"),
            &format!("0A-{TRACE}-{SPAN}-01"),
            &format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            &format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            &format!("00-{}-{SPAN}0-01", &TRACE[1..]),
            &format!("00-{zeros}-{SPAN}-01"),
            &format!("00-{TRACE}-{}-01", &zeros[..16]),
            &format!("00-{TRACE}_{SPAN}-01"),
            &long,
        ] {
            let headers = headers(&[("traceparent", text)]);
            assert!(caller(&headers, true).is_none(), "{text}");
        }
        let one = format!("00-{TRACE}-{SPAN}-01");
        let twice = headers(&[("traceparent", &one), ("traceparent", &one)]);
        assert!(caller(&twice, true).is_none());
    }

    #[test]
    fn vendors_are_heard_from_those_who_are_trusted() {
        let parent = format!("00-{TRACE}-{SPAN}-01");
        let state_of = |states: &[&str], is_trusted| {
            let mut lines = vec![("traceparent", parent.as_str())];
            lines.extend(states.iter().map(|state| ("tracestate", *state)));
            let found = caller(&headers(&lines), is_trusted).unwrap();
            found.trace_state().header()
        };
        assert_eq!(state_of(&["a=1", "b=2"], true), "a=1,b=2");
        assert_eq!(state_of(&["a=1"], false), "");
        assert_eq!(state_of(&["no state"], true), "");
        let long = format!("a={}", "x".repeat(250));
        assert_eq!(state_of(&[&long, "b=2"], true), format!("{long},b=2"));
        assert_eq!(state_of(&[&long, &long, &long], true), "");
    }

    #[test]
    fn what_is_sent_on_can_be_read() {
        let sent = headers(&[
            ("traceparent", &format!("00-{TRACE}-{SPAN}-01")),
            ("tracestate", "a=1"),
        ]);
        let mut next = HeaderMap::new();
        inject(&caller(&sent, true).unwrap(), &mut next);
        assert_eq!(next, sent);
        let mut none = HeaderMap::new();
        inject(&SpanContext::empty_context(), &mut none);
        assert!(none.is_empty());
    }
}
