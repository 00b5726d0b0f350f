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

/// The place a redirect names: never a downgrade from https, and never a host that has nothing to do
/// with the configured one. What is sent there is signed, and may be plaintext where a rule says so.
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
            if !is_related(settings.endpoint.authority(), bucket, authority) {
                return None;
            }
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
    if region.is_empty() || !region.bytes().all(is_region) || !port.is_empty() {
        return endpoint.clone();
    }
    let Some(service) = AWS_SUFFIXES
        .iter()
        .find_map(|suffix| Some((host.strip_suffix(suffix)?, suffix)))
    else {
        return endpoint.clone();
    };
    let (labels, suffix) = service;
    let old: Vec<&str> = labels.split('.').collect();
    let labels: Vec<&str> = match old.as_slice() {
        // The global endpoint, which is us-east-1's.
        ["s3"] => vec!["s3", region],
        ["s3", old] if *old == settings.region => vec!["s3", region],
        ["s3", "dualstack", old] if *old == settings.region => vec!["s3", "dualstack", region],
        // Not every region has what these name: FIPS endpoints, private ones.
        _ => return endpoint.clone(),
    };
    endpoint.with_authority(
        &format!("{}{suffix}", labels.join(".")),
        endpoint.addressing(),
    )
}

/// Whether a redirect from the configured server may lead to this one: to the same host, a name below
/// it, or from S3's host in one region of AWS to that in another.
fn is_related(configured: &str, bucket: &str, authority: &str) -> bool {
    if authority.contains('@') {
        return false;
    }
    let host_of = |authority: &str| {
        let host = authority
            .rsplit_once(':')
            .map_or(authority, |(host, port)| {
                let is_port = !host.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
                if is_port { host } else { authority }
            });
        host.to_ascii_lowercase()
    };
    let (configured, host) = (host_of(configured), host_of(authority));
    let below = format!(".{configured}");
    if host == configured || host.ends_with(&below) {
        return true;
    }
    let of_bucket = host.strip_prefix(&format!("{}.", bucket.to_ascii_lowercase()));
    is_s3_of_aws(&configured) && is_s3_of_aws(of_bucket.unwrap_or(&host))
}

/// Whether a host is one of S3 itself: others below `amazonaws.com` are anybody's.
fn is_s3_of_aws(host: &str) -> bool {
    let is_region = |label: &str| {
        let is_part =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphabetic());
        let parts: Vec<&str> = label.split('-').collect();
        match parts.as_slice() {
            [first @ .., number] => {
                first.len() >= 2
                    && first.iter().all(|part| is_part(part))
                    && !number.is_empty()
                    && number.bytes().all(|b| b.is_ascii_digit())
            }
            [] => false,
        }
    };
    let Some(labels) = AWS_SUFFIXES
        .iter()
        .find_map(|suffix| host.strip_suffix(suffix))
    else {
        return false;
    };
    match labels.split('.').collect::<Vec<_>>().as_slice() {
        ["s3"] => true,
        ["s3" | "s3-fips", region] | ["s3" | "s3-fips", "dualstack", region] => is_region(region),
        [old] => old.strip_prefix("s3-").is_some_and(is_region),
        _ => false,
    }
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
            traces: None,
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
                // Only some regions have one.
                "s3-fips.us-west-2.amazonaws.com",
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
    fn only_related_hosts_are_followed_to() {
        let aws = "s3.us-west-2.amazonaws.com";
        for (configured, authority) in [
            ("s3.example.test:9000", "s3.example.test:9001"),
            ("s3.example.test", "b.s3.example.test"),
            ("s3.example.test", "eu.S3.example.test:443"),
            ("127.0.0.1:8333", "127.0.0.1:8334"),
            ("[::1]:8333", "[::1]:8334"),
            (aws, "b.s3.eu-west-1.amazonaws.com"),
            (aws, "s3-eu-west-1.amazonaws.com"),
            (aws, "s3.dualstack.ap-southeast-2.amazonaws.com"),
            ("s3.amazonaws.com", "b.s3-us-gov-west-1.amazonaws.com"),
        ] {
            assert!(is_related(configured, "b", authority), "{authority}");
        }
        for (configured, authority) in [
            ("s3.example.test", "example.test"),
            ("s3.example.test", "xs3.example.test"),
            ("s3.example.test", "s3.example.test@evil.test"),
            ("s3.example.test", "169.254.169.254"),
            ("s3.example.test", "evil.test:443"),
            ("127.0.0.1:8333", "127.0.0.2:8333"),
            ("[::1]:8333", "[::2]:8333"),
            (aws, "s3-x-123.us-east-1.elb.amazonaws.com"),
            (aws, "ec2-1-2-3-4.compute-1.amazonaws.com"),
            (aws, "s3.us-east-1.evil.amazonaws.com"),
            (aws, "x.s3.us-east-1.amazonaws.com"),
            ("s3.example.test", "s3.us-east-1.amazonaws.com"),
        ] {
            assert!(!is_related(configured, "b", authority), "{authority}");
        }
    }

    #[test]
    fn what_is_no_region_leads_to_no_host() {
        for region in ["x.evil.test/", "a b", "EU", "x:1", ""] {
            let place = redirected("s3.amazonaws.com", region);
            assert_eq!(place.endpoint.authority(), "s3.amazonaws.com");
        }
    }
}
