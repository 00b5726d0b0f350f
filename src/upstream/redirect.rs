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

    /// Forgets where a bucket is: what was learnt led nowhere.
    pub fn forget(&self, bucket: &str) {
        self.places.remove(bucket);
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
        None => region.map_or_else(
            || settings.endpoint.clone(),
            |region| regional(settings, region),
        ),
    };
    (region.is_some() || location.is_some()).then(|| Place {
        endpoint,
        region: region.unwrap_or(&settings.region).to_owned(),
    })
}

/// The configured server's counterpart in another region, for redirects that name only that: AWS
/// names its regions in its hosts. Other servers are taken to serve all regions at one address.
fn regional(settings: &Settings, region: &str) -> Endpoint {
    let endpoint = &settings.endpoint;
    let is_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let authority = endpoint.authority();
    let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
    if !region.bytes().all(is_region) || !port.is_empty() {
        return endpoint.clone();
    }
    let Some(service) = AWS_SUFFIXES
        .iter()
        .find_map(|suffix| Some((host.strip_suffix(suffix)?, suffix)))
    else {
        return endpoint.clone();
    };
    let (labels, suffix) = service;
    let labels: Vec<&str> = match labels {
        // The global endpoint, which is us-east-1's.
        "s3" => vec!["s3", region],
        _ => labels
            .split('.')
            .map(|label| {
                if label == settings.region {
                    region
                } else {
                    label
                }
            })
            .collect(),
    };
    endpoint.with_authority(
        &format!("{}{suffix}", labels.join(".")),
        endpoint.addressing(),
    )
}

/// Hosts of AWS, whose labels are `s3`, `s3.dualstack` and the like, and a region.
const AWS_SUFFIXES: [&str; 2] = [".amazonaws.com", ".amazonaws.com.cn"];

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use prometheus::Registry;
    use time::OffsetDateTime;

    use super::*;
    use crate::telemetry::metrics::Metrics;
    use crate::upstream::Timeouts;

    fn settings(authority: &str) -> Settings {
        Settings {
            endpoint: Endpoint::new(true, authority, Addressing::Path),
            region: "us-west-2".to_owned(),
            timeouts: Timeouts {
                response: Duration::ZERO,
                idle: Duration::ZERO,
            },
            clock: || OffsetDateTime::UNIX_EPOCH,
            metrics: Arc::new(Metrics::new(&Registry::new(), []).unwrap()),
        }
    }

    fn redirected(authority: &str, region: &str) -> Place {
        let response = Response::builder()
            .status(301)
            .header("x-amz-bucket-region", region)
            .body(())
            .unwrap();
        let redirects = Redirects::default();
        let settings = settings(authority);
        let place = redirects.learn(Some("b"), &response, &settings).unwrap();
        assert_eq!(redirects.place(Some("b"), &settings), place);
        redirects.forget("b");
        assert_ne!(redirects.place(Some("b"), &settings).region, place.region);
        place
    }

    #[test]
    fn a_region_alone_leads_to_the_regions_host_where_hosts_have_regions() {
        for (configured, expected) in [
            ("s3.amazonaws.com", "s3.eu-west-1.amazonaws.com"),
            ("s3.us-west-2.amazonaws.com", "s3.eu-west-1.amazonaws.com"),
            (
                "s3.dualstack.us-west-2.amazonaws.com",
                "s3.dualstack.eu-west-1.amazonaws.com",
            ),
            (
                "s3-fips.us-west-2.amazonaws.com",
                "s3-fips.eu-west-1.amazonaws.com",
            ),
            (
                "s3.us-west-2.amazonaws.com.cn",
                "s3.eu-west-1.amazonaws.com.cn",
            ),
            // One address for all regions.
            ("ceph.example.test:7480", "ceph.example.test:7480"),
            ("us-west-2.example.test", "us-west-2.example.test"),
        ] {
            let place = redirected(configured, "eu-west-1");
            assert_eq!(place.endpoint.authority(), expected);
            assert_eq!(place.region, "eu-west-1");
        }
    }

    #[test]
    fn what_is_no_region_leads_to_no_host() {
        for region in ["x.evil.test/", "a b", "EU", "x:1"] {
            let place = redirected("s3.amazonaws.com", region);
            assert_eq!(place.endpoint.authority(), "s3.amazonaws.com");
        }
    }
}
