//! `Authorization` values and queries: nothing panics, nobody gets in.
#![no_main]
use libfuzzer_sys::fuzz_target;
use s3seal::{auth::{AuthSettings, Authenticator, ClientSecrets}, secret::Secret};

struct Nobody;
impl ClientSecrets for Nobody { fn secret(&self, _: &str) -> Option<&Secret<String>> { None } }

fuzz_target!(|input: (&[u8], &str)| {
    let request = http::Request::get(format!("/k?{}", input.1)).header("authorization", input.0);
    let Ok(request) = request.header("x-amz-date", "20130524T000000Z").body(()) else { return };
    let auth = Authenticator::new(AuthSettings { region: "r".into() });
    assert!(auth.authenticate(&request.into_parts().0, &Nobody, time::OffsetDateTime::UNIX_EPOCH).is_err());
});
