//! A request head in any shape: no panic, and nobody is let in without a signature.
#![no_main]

use http::{Request, header::HeaderName};
use libfuzzer_sys::fuzz_target;
use s3seal::auth::{AuthSettings, Authenticator, ClientSecrets, Scheme};
use s3seal::secret::Secret;
use time::OffsetDateTime;

struct OneClient(Secret<String>);

impl ClientSecrets for OneClient {
    fn secret(&self, access_key_id: &str) -> Option<&Secret<String>> {
        (access_key_id == "APP").then_some(&self.0)
    }
}

// First line: request target; the others: `name: value`.
fuzz_target!(|head: &str| {
    let mut lines = head.split('\n');
    let mut request = Request::builder().method("PUT").uri(lines.next().unwrap_or("/"));
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            request = request.header(name, value);
        }
    }
    let Ok(request) = request.body(()) else { return };
    let (parts, ()) = request.into_parts();
    let authenticator = Authenticator::new(AuthSettings { region: "us-east-1".into() });
    let secrets = OneClient(Secret::new("app-secret".into()));
    let now = OffsetDateTime::from_unix_timestamp(1_369_353_600).unwrap();
    if let Ok(verified) = authenticator.authenticate(&parts, &secrets, now) {
        assert!(verified.scheme() == Scheme::Anonymous && verified.caller().is_none());
        let _ = verified.payload_verifier(&parts.headers);
    }
});
