//! Places of the proxy's own in the upstream: `s3://bucket/prefix`.

use super::problem::Check;

/// A place of the proxy's own in the upstream. Its bucket is out of every client's reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Place {
    /// The bucket.
    pub bucket: String,
    /// What keys begin with: empty, or ending in `/`.
    pub prefix: String,
}

/// Reads `s3://bucket` or `s3://bucket/prefix`; notes a problem where it is neither.
pub(super) fn s3_place(key: &str, url: &str, check: &mut Check<'_>) -> Option<S3Place> {
    let place = parse(url);
    if place.is_none() {
        check.problem(key, "must be s3://bucket/prefix");
    }
    place
}

fn parse(url: &str) -> Option<S3Place> {
    let place = url.strip_prefix("s3://")?;
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let prefix = prefix.trim_end_matches('/');
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_bucket = (3..=63).contains(&bucket.len()) && bucket.bytes().all(is_fine);
    let is_prefix = prefix.len() <= PREFIX_LEN_MAX && !prefix.contains("//");
    if !is_bucket || !is_prefix || prefix.starts_with('/') {
        return None;
    }
    let slash = if prefix.is_empty() { "" } else { "/" };
    Some(S3Place {
        bucket: bucket.to_owned(),
        prefix: format!("{prefix}{slash}"),
    })
}

/// Leaves room for names in a key of 1,024 bytes.
const PREFIX_LEN_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_buckets_with_a_prefix() {
        for (url, bucket, prefix) in [
            ("s3://ops-bucket", "ops-bucket", ""),
            ("s3://ops-bucket/", "ops-bucket", ""),
            ("s3://ops.b/s3seal/uploads", "ops.b", "s3seal/uploads/"),
            ("s3://ops.b/s3seal/uploads/", "ops.b", "s3seal/uploads/"),
        ] {
            let place = parse(url).unwrap();
            assert_eq!((&*place.bucket, &*place.prefix), (bucket, prefix), "{url}");
        }
        for url in [
            "",
            "ops-bucket",
            "s3://",
            "s3:///p",
            "s3://a b/p",
            "s3://ops//p",
            "file:///p",
        ] {
            assert_eq!(parse(url), None, "{url}");
        }
    }
}
