//! What metrics tell from the start: counters at 0, so that an alert sees the first event, and when
//! certificates end.

use std::path::Path;

use crate::auth::AuthError;
use crate::config::keys::{Keys, Provider};
use crate::error::StoredError;
use crate::keys::KeyError;
use crate::keys::types::ProviderKind;
use crate::telemetry::certificate;
use crate::telemetry::metrics::{KnownLabels, Metrics};
use crate::upstream::UpstreamError;

/// Lets every counter with labels of a closed set begin at 0; of key providers those that are
/// configured.
pub(super) fn begin(metrics: &Metrics, keys: &Keys) {
    let kind = |provider: &Provider| match provider {
        Provider::AwsKms(_) => ProviderKind::AwsKms,
        Provider::Local(_) => ProviderKind::Local,
        Provider::Pkcs11(_) => ProviderKind::Pkcs11,
        Provider::Transit(_) => ProviderKind::Transit,
    };
    let providers = keys.providers.iter().map(|provider| kind(provider).name());
    metrics.begin_at_zero(&KnownLabels {
        auth_reasons: &AuthError::REASONS,
        integrity_kinds: &StoredError::KINDS,
        upstream_kinds: &[&UpstreamError::KINDS[..], &[BODY]].concat(),
        providers: &providers.collect::<Vec<_>>(),
        key_calls: &KEY_CALLS,
        key_outcomes: &[&KeyError::OUTCOMES[..], &["ok"]].concat(),
    });
}

/// The unix time at which a certificate ends that TLS takes. One that ends at no time we can read is a
/// curiosity, and no reason not to serve.
pub(super) fn end_of(file: &Path) -> Option<i64> {
    let ends = certificate::not_after_of_file(file);
    if ends.is_none() {
        tracing::warn!(file = %file.display(), "cannot tell when the certificate ends");
    }
    ends
}

/// What a body of the upstream that ends early is counted as.
const BODY: &str = "body";

/// What key providers are asked for.
const KEY_CALLS: [&str; 6] = ["describe", "generate", "probe", "rewrap", "unwrap", "wrap"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The texts in quotation marks in a function, as rustfmt writes it.
    fn literals<'a>(source: &'a str, signature: &str) -> BTreeSet<&'a str> {
        let (_, body) = source.split_once(signature).unwrap();
        let (body, _) = body.split_once("\n    }\n").unwrap();
        body.split('"').skip(1).step_by(2).collect()
    }

    /// The first text in quotation marks behind each of these beginnings.
    fn arguments<'a>(source: &'a str, beginning: &str) -> BTreeSet<&'a str> {
        let calls = source.split(beginning).skip(1);
        calls.filter_map(|rest| rest.split('"').next()).collect()
    }

    /// A label that is missing in its list begins with its first event, and no alert sees that.
    #[test]
    fn the_lists_are_complete() {
        let kind = "pub fn kind(&self) -> &'static str {";
        let auth = include_str!("../auth/error.rs");
        let reasons = literals(auth, "pub fn reason(&self) -> &'static str {");
        assert_eq!(reasons, BTreeSet::from(AuthError::REASONS));
        let stored = literals(include_str!("../error/mod.rs"), kind);
        assert_eq!(stored, BTreeSet::from(StoredError::KINDS));
        let upstream = literals(include_str!("../upstream/mod.rs"), kind);
        assert_eq!(upstream, BTreeSet::from(UpstreamError::KINDS));
        let keys = include_str!("../keys/provider.rs");
        let outcomes = literals(keys, "pub fn outcome(self) -> &'static str {");
        assert_eq!(outcomes, BTreeSet::from(KeyError::OUTCOMES));

        let read = include_str!("../ops/read.rs");
        assert_eq!(arguments(read, "upstream_error(\""), BTreeSet::from([BODY]));
        for kind in arguments(read, "integrity_failure(\"") {
            assert!(StoredError::KINDS.contains(&kind), "{kind}");
        }
        let service = [
            include_str!("../keys/service.rs"),
            include_str!("../keys/service/bucket_keys.rs"),
            include_str!("../keys/service/foreign.rs"),
            include_str!("../keys/service/line.rs"),
        ];
        let calls = service.iter().flat_map(|source| {
            let calls = arguments(source, ".call(\"");
            calls.into_iter().chain(arguments(source, ".ask(\""))
        });
        assert_eq!(calls.collect::<BTreeSet<_>>(), BTreeSet::from(KEY_CALLS));
    }
}
