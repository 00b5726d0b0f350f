//! Which requests are traced.

use opentelemetry::trace::{Link, SpanId, SpanKind, TraceContextExt, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, SamplingDecision, SamplingResult, ShouldSample,
};

/// A call is traced with its request, and a request by chance, or as a trusted caller says.
///
/// The SDK's samplers decide by the trace id, which is the caller's: whoever wanted to could have all of
/// its requests traced.
#[derive(Clone, Debug)]
pub(super) struct Sampler {
    ratio: f64,
    trusts_parent: bool,
}

impl Sampler {
    pub(super) fn new(ratio: f64, trusts_parent: bool) -> Self {
        Self {
            ratio,
            trusts_parent,
        }
    }

    /// True for so many of all calls.
    fn toss(&self) -> bool {
        let id: SpanId = RandomIdGenerator::default().new_span_id();
        let [_, _, _, _, bytes @ ..] = id.to_bytes();
        f64::from(u32::from_be_bytes(bytes)) < self.ratio * (f64::from(u32::MAX) + 1.0)
    }
}

impl ShouldSample for Sampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        _trace_id: TraceId,
        _name: &str,
        _kind: &SpanKind,
        _attributes: &[KeyValue],
        _links: &[Link],
    ) -> SamplingResult {
        let parent = parent.filter(|parent| parent.has_active_span());
        let (is_sampled, trace_state) = match parent {
            None => (self.toss(), TraceState::default()),
            Some(parent) => {
                let span = parent.span();
                let parent = span.span_context();
                let is_decided = !parent.is_remote() || self.trusts_parent;
                let is_sampled = if is_decided {
                    parent.is_sampled()
                } else {
                    self.toss()
                };
                (is_sampled, parent.trace_state().clone())
            }
        };
        SamplingResult {
            decision: if is_sampled {
                SamplingDecision::RecordAndSample
            } else {
                SamplingDecision::Drop
            },
            attributes: Vec::new(),
            trace_state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_follows_the_ratio() {
        let hits = |ratio| {
            let sampler = Sampler::new(ratio, false);
            (0..10_000).filter(|_| sampler.toss()).count()
        };
        assert_eq!(hits(0.0), 0);
        assert_eq!(hits(1.0), 10_000);
        // Ten standard deviations.
        assert!((700..=1300).contains(&hits(0.1)), "{}", hits(0.1));
    }
}
