//! One client and one moment: those of AWS's published examples.

use http::{Request, request::Parts};
use time::{Duration, OffsetDateTime};

use super::{AuthError, AuthSettings, Authenticator, ClientSecrets, Verified};
use crate::secret::Secret;

pub(super) const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub(super) const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
pub(super) const EMPTY_SHA256: &str =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(super) struct OneClient(Secret<String>);

impl OneClient {
    pub(super) fn new() -> Self {
        Self(Secret::new(SECRET_KEY.to_owned()))
    }
}

impl ClientSecrets for OneClient {
    fn secret(&self, access_key_id: &str) -> Option<&Secret<String>> {
        (access_key_id == ACCESS_KEY).then_some(&self.0)
    }
}

/// 2013-05-24T00:00:00Z.
pub(super) fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_369_353_600).unwrap()
}

pub(super) fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

pub(super) fn authenticator() -> Authenticator {
    Authenticator::new(AuthSettings {
        region: "us-east-1".to_owned(),
    })
}

pub(super) fn authenticate(parts: &Parts) -> Result<Verified, AuthError> {
    authenticator().authenticate(parts, &OneClient::new(), now())
}

pub(super) fn authenticate_after(parts: &Parts, seconds: i64) -> Result<Verified, AuthError> {
    let then = now() + Duration::seconds(seconds);
    authenticator().authenticate(parts, &OneClient::new(), then)
}

/// An `Authorization` value under the example client's scope.
pub(super) fn authorization(signed_headers: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20130524/us-east-1/s3/aws4_request,\
         SignedHeaders={signed_headers},Signature={signature}"
    )
}
