//! Where the upstream is, and what a bucket and key look like in its URLs.
//!
//! URLs are concatenated bytes: a URL library would resolve `.` and `..` in object keys.

use crate::s3::uri;

/// How buckets are addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// `https://host/bucket/key`.
    Path,
    /// `https://bucket.host/key`.
    VirtualHost,
}

/// Scheme, authority and addressing of an S3 server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    scheme: &'static str,
    authority: String,
    addressing: Addressing,
}

impl Endpoint {
    /// A server by scheme and `host[:port]`.
    pub fn new(is_https: bool, authority: &str, addressing: Addressing) -> Self {
        let scheme = if is_https { "https" } else { "http" };
        Self {
            scheme,
            authority: authority.to_owned(),
            addressing,
        }
    }

    /// The same server under another authority.
    #[must_use]
    pub fn with_authority(&self, authority: &str, addressing: Addressing) -> Self {
        Self {
            scheme: self.scheme,
            authority: authority.to_owned(),
            addressing,
        }
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Host and port apart; the port is the scheme's own where none is given.
    pub fn host_and_port(&self) -> (&str, u16) {
        let default = if self.scheme == "https" { 443 } else { 80 };
        let port = |text: &str| text.parse().ok();
        // The last colon of a bare IPv6 address is before a bracket.
        let split = self.authority.rsplit_once(':');
        let split = split.and_then(|(host, text)| Some((host, port(text)?)));
        split.unwrap_or((&self.authority, default))
    }

    /// How buckets are addressed.
    pub fn addressing(&self) -> Addressing {
        self.addressing
    }

    /// The authority to connect to, and to name in `Host`.
    pub fn host_for(&self, bucket: Option<&str>) -> String {
        match (self.addressing, bucket) {
            (Addressing::VirtualHost, Some(bucket)) => format!("{bucket}.{}", self.authority),
            (Addressing::VirtualHost, None) | (Addressing::Path, _) => self.authority.clone(),
        }
    }

    /// The path, percent-encoded exactly as S3 canonicalises it, so that what is signed is what is
    /// sent. `key` is the decoded object key.
    pub fn path_for(&self, bucket: Option<&str>, key: Option<&str>) -> String {
        let mut path = String::from("/");
        if let (Addressing::Path, Some(bucket)) = (self.addressing, bucket) {
            path.push_str(&uri::encode_component(bucket.as_bytes()));
            if key.is_some() {
                path.push('/');
            }
        }
        if let Some(key) = key {
            path.push_str(&uri::encode_path(key.as_bytes()));
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_keep_every_byte_of_the_key() {
        let path = Endpoint::new(false, "127.0.0.1:8333", Addressing::Path);
        assert_eq!(
            path.path_for(Some("b"), Some("a//../ü +")),
            "/b/a//../%C3%BC%20%2B"
        );
        assert_eq!(path.path_for(Some("b"), Some("/a/")), "/b//a/");
        assert_eq!(path.path_for(Some("b"), None), "/b");
        assert_eq!(path.path_for(None, None), "/");
        let host = Endpoint::new(true, "s3.example.test", Addressing::VirtualHost);
        assert_eq!(host.path_for(Some("b"), Some("k")), "/k");
        assert_eq!(host.host_for(Some("b")), "b.s3.example.test");
    }

    #[test]
    fn ports_are_the_schemes_own_where_none_is_given() {
        for (is_https, authority, host, port) in [
            (true, "s3.example", "s3.example", 443),
            (false, "127.0.0.1", "127.0.0.1", 80),
            (true, "s3.example:8443", "s3.example", 8443),
            (false, "[::1]:9000", "[::1]", 9000),
            (false, "[::1]", "[::1]", 80),
        ] {
            let endpoint = Endpoint::new(is_https, authority, Addressing::Path);
            assert_eq!(endpoint.host_and_port(), (host, port));
        }
    }
}
