//! `Authorization` values and queries: nothing panics, and no guess is a signature.
#![no_main]
use libfuzzer_sys::fuzz_target;
use s3seal::auth::{AuthSettings, Authenticator, NoClients};

fuzz_target!(|input: (&[u8], &str)| {
    let request = http::Request::get(format!("/k?{}", input.1)).header("authorization", input.0);
    let Ok(request) = request.header("x-amz-date", "19700101T000000Z").body(()) else {
        return;
    };
    let region = "us-east-1".to_owned();
    let (parts, now) = (request.into_parts().0, time::OffsetDateTime::UNIX_EPOCH);
    let auth = Authenticator::new(AuthSettings { region });
    assert!(auth.authenticate(&parts, &NoClients, now).is_err());
});
