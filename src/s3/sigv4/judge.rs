//! The request signer of `aws-sigv4` with the settings of S3: the judge of ours in tests.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableRequest, SigningInstructions, SigningSettings,
    UriPathNormalizationMode, sign as sign_http,
};
use aws_sigv4::sign::v4::SigningParams;
use time::OffsetDateTime;

use super::SERVICE;

/// What its signer adds to a request: one percent-encoding, no path normalisation, the rest as
/// `settings` say.
pub(crate) fn sign(
    request: SignableRequest<'_>,
    credentials: Credentials,
    (region, at): (&str, OffsetDateTime),
    mut settings: SigningSettings,
) -> SigningInstructions {
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let identity = credentials.into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(SERVICE)
        .time(SystemTime::from(at))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    sign_http(request, &params).unwrap().into_parts().0
}
