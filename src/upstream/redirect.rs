//! Buckets that live elsewhere: S3 answers 301 or 307 with the region or the endpoint, which is
//! followed here and never shown to clients.

use dashmap::DashMap;
use http::header::LOCATION;
use http::{HeaderMap, Response, StatusCode, Uri};

use super::Settings;
use super::endpoint::{Addressing, Endpoint};

/// Redirects followed for one request.
pub const HOPS_MAX: u32 = 2;

/// Buckets remembered; forgotten ones are learnt again.
const PLACES_MAX: usize = 10_000;

/// Where requests for a bucket go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The server.
    pub endpoint: Endpoint,
    /// The region to sign for.
    pub region: String,
}

/// What redirects have taught; lost on restart, at the price of one more hop.
#[derive(Default)]
pub struct Redirects {
    places: DashMap<String, Place>,
}

impl Redirects {
    /// Where the bucket is, as far as is known.
    pub fn place(&self, bucket: Option<&str>, settings: &Settings) -> Place {
        bucket
            .and_then(|bucket| self.places.get(bucket).map(|place| place.clone()))
            .unwrap_or_else(|| Place {
                endpoint: settings.endpoint.clone(),
                region: settings.region.clone(),
            })
    }

    /// If the response is a redirect that can be followed, remembers and returns its place.
    pub fn learn<B>(
        &self,
        bucket: Option<&str>,
        response: &Response<B>,
        settings: &Settings,
    ) -> Option<Place> {
        let bucket = bucket?;
        let redirected = matches!(
            response.status(),
            StatusCode::MOVED_PERMANENTLY | StatusCode::TEMPORARY_REDIRECT
        );
        if !redirected {
            return None;
        }
        let place = target(bucket, response.headers(), settings)?;
        if self.places.len() >= PLACES_MAX {
            self.places.clear();
        }
        self.places.insert(bucket.to_owned(), place.clone());
        Some(place)
    }
}

/// The place a redirect names: never a downgrade from https.
fn target(bucket: &str, headers: &HeaderMap, settings: &Settings) -> Option<Place> {
    let region = headers
        .get("x-amz-bucket-region")
        .and_then(|value| value.to_str().ok());
    let location: Option<Uri> = headers
        .get(LOCATION)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let endpoint = match &location {
        Some(uri) => {
            if uri.scheme_str() != Some(settings.endpoint.scheme()) {
                return None;
            }
            let authority = uri.authority()?.as_str();
            match authority
                .strip_prefix(bucket)
                .and_then(|rest| rest.strip_prefix('.'))
            {
                Some(host) => settings
                    .endpoint
                    .with_authority(host, Addressing::VirtualHost),
                None => settings
                    .endpoint
                    .with_authority(authority, Addressing::Path),
            }
        }
        None => settings.endpoint.clone(),
    };
    (region.is_some() || location.is_some()).then(|| Place {
        endpoint,
        region: region.unwrap_or(&settings.region).to_owned(),
    })
}
