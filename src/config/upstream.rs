//! The real S3: endpoint, addressing, credentials, timeouts and pool.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, Uri};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

use super::problem::{Bounds, Check};
use super::secret::SecretSource;
use crate::secret::Secret;

/// How the real S3 is reached.
#[derive(Debug)]
pub struct Upstream {
    /// Scheme, host and port.
    pub endpoint: Endpoint,
    /// Region that requests are signed for.
    pub region: String,
    /// Where the bucket name goes.
    pub addressing: Addressing,
    /// Whose name requests are signed in.
    pub credentials: Arc<Credentials>,
    /// PEM file of certificate authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// The certificate that the proxy shows, if one is asked for.
    pub client: Option<ClientPair>,
    /// Whether all parts of an upload but the last must have the same size (Cloudflare R2).
    pub equal_parts: bool,
    /// Checksum trailer over the ciphertext.
    pub checksum: UpstreamChecksum,
    /// Which `ETag`s clients see.
    pub etag: EtagStyle,
    /// Where listings take plaintext sizes from.
    pub list_sizes: ListSizes,
    /// For a connection, TLS included, to be made.
    pub connect_timeout: Duration,
    /// For the response head, from the end of the request's body.
    pub response_header_timeout: Duration,
    /// For the next bytes of a body to move, in either direction.
    pub idle_timeout: Duration,
    /// How long an unused connection is kept.
    pub pool_idle: Duration,
    /// Unused connections kept per host.
    pub pool_max_idle: usize,
}

/// PEM files of a TLS client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPair {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Its private key: PKCS#8, PKCS#1 or SEC1.
    pub private_key: PathBuf,
}

/// Scheme and authority of an S3 endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it speaks TLS.
    pub is_https: bool,
    /// Host and, where it is not the scheme's own, port.
    pub authority: Authority,
}

/// Where the bucket name goes in upstream requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// `http://host/bucket/key`
    Path,
    /// `http://bucket.host/key`
    VirtualHost,
}

/// Whose name upstream requests are signed in.
#[derive(Debug)]
pub enum Credentials {
    /// The AWS default chain: environment, profile, web identity, container, instance.
    DefaultChain,
    /// Those that STS gives for a role.
    Role(Role),
    /// A pair from the configuration.
    Static(StaticCredentials),
}

/// A role of AWS IAM, or of what speaks like STS.
#[derive(Debug)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// What its trust policy asks for, if that is so.
    pub external_id: Option<String>,
    /// By which its sessions are known in logs of AWS.
    pub session_name: String,
    /// Where STS is; the region's where `None`.
    pub sts_endpoint: Option<String>,
    /// Who assumes it; who the default chain says where `None`.
    pub assumed_by: Option<StaticCredentials>,
}

impl Credentials {
    /// Whether they come from the same place, or are the same.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::DefaultChain, Self::DefaultChain) => true,
            (Self::Role(own), Self::Role(other)) => own.parts() == other.parts(),
            (Self::Static(own), Self::Static(other)) => own.parts() == other.parts(),
            (Self::DefaultChain | Self::Role(_) | Self::Static(_), _) => false,
        }
    }
}

impl Role {
    fn parts(&self) -> impl PartialEq {
        (
            (&self.arn, &self.external_id, &self.session_name),
            &self.sts_endpoint,
            self.assumed_by.as_ref().map(StaticCredentials::parts),
        )
    }
}

impl StaticCredentials {
    /// Access key id, secret, and token.
    pub fn parts(&self) -> (&str, &str, Option<&str>) {
        let token = self.session_token.as_ref();
        (
            &self.access_key_id,
            self.secret_access_key.expose(),
            token.map(|token| token.expose().as_str()),
        )
    }
}

/// An access key pair.
#[derive(Debug)]
pub struct StaticCredentials {
    /// Access key id; not a secret.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Secret<String>,
    /// Token of temporary credentials.
    pub session_token: Option<Secret<String>>,
}

/// Checksum trailer that uploads carry upstream, over the ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamChecksum {
    /// `x-amz-checksum-crc64nvme`
    Crc64Nvme,
    /// None, for servers that know no `x-amz-checksum-*`.
    None,
}

/// Which `ETag`s clients see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EtagStyle {
    /// The upstream's with a dash, so that nobody takes it for the plaintext's MD5.
    Dashed,
    /// The upstream's unchanged.
    Upstream,
}

/// Where listings take plaintext sizes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListSizes {
    /// From the stored size.
    Formula,
    /// From a HEAD of each object.
    Head,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamTable {
    endpoint: String,
    region: Option<String>,
    addressing: Option<Addressing>,
    credentials: CredentialsTable,
    tls: Option<TlsTable>,
    equal_parts: Option<bool>,
    checksum: Option<UpstreamChecksum>,
    etag: Option<EtagStyle>,
    list_sizes: Option<ListSizes>,
    connect_timeout_seconds: Option<u64>,
    response_header_timeout_seconds: Option<u64>,
    idle_timeout_seconds: Option<u64>,
    pool_idle_seconds: Option<u64>,
    pool_max_idle: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsTable {
    ca: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_private_key: Option<PathBuf>,
}

/// `"default-chain"` or a table.
pub(super) enum CredentialsTable {
    DefaultChain,
    Own(Box<OwnTable>),
}

/// A pair, or a role and perhaps the pair that assumes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnTable {
    access_key_id: Option<String>,
    secret_access_key: Option<SecretSource>,
    session_token: Option<SecretSource>,
    role_arn: Option<String>,
    external_id: Option<String>,
    session_name: Option<String>,
    sts_endpoint: Option<String>,
}

pub(super) fn check(table: UpstreamTable, check: &mut Check<'_>) -> Option<Upstream> {
    let endpoint = endpoint(&table.endpoint, check);
    let credentials = table.credentials.check("upstream.credentials", check);
    let region = table.region.unwrap_or_else(|| "us-east-1".to_owned());
    if region.is_empty() || region.contains(|c: char| c == '/' || c.is_whitespace()) {
        check.problem("upstream.region", "must be a region name");
    }
    let has_tls = table.tls.is_some();
    let (ca, client) = table.tls.map_or((None, None), |tls| tls_files(tls, check));
    if has_tls && endpoint.as_ref().is_some_and(|endpoint| !endpoint.is_https) {
        check.problem("upstream.tls", "has no use: the endpoint is not https");
    }
    let list_sizes = table.list_sizes.unwrap_or(ListSizes::Formula);
    let equal_parts = table.equal_parts.unwrap_or(false);
    if equal_parts {
        check.unavailable("upstream.equal_parts", "equal_parts = true");
    }
    let mut seconds =
        |name, value, bounds| check.seconds(&format!("upstream.{name}"), value, bounds);
    let connect_timeout = seconds(
        "connect_timeout_seconds",
        table.connect_timeout_seconds,
        &CONNECT_SECONDS,
    );
    let response_header_timeout = seconds(
        "response_header_timeout_seconds",
        table.response_header_timeout_seconds,
        &RESPONSE_HEADER_SECONDS,
    );
    let idle_timeout = seconds(
        "idle_timeout_seconds",
        table.idle_timeout_seconds,
        &IDLE_SECONDS,
    );
    let pool_idle = seconds(
        "pool_idle_seconds",
        table.pool_idle_seconds,
        &POOL_IDLE_SECONDS,
    );
    let pool_max_idle = check.count(
        "upstream.pool_max_idle",
        table.pool_max_idle,
        &POOL_MAX_IDLE,
    );
    Some(Upstream {
        endpoint: endpoint?,
        region,
        addressing: table.addressing.unwrap_or(Addressing::Path),
        credentials: Arc::new(credentials?),
        ca,
        client,
        equal_parts,
        checksum: table.checksum.unwrap_or(UpstreamChecksum::Crc64Nvme),
        etag: table.etag.unwrap_or(EtagStyle::Dashed),
        list_sizes,
        connect_timeout,
        response_header_timeout,
        idle_timeout,
        pool_idle,
        pool_max_idle,
    })
}

fn tls_files(table: TlsTable, check: &mut Check<'_>) -> (Option<PathBuf>, Option<ClientPair>) {
    let ca = table.ca.map(|ca| check.watched(&ca));
    let client = match (table.client_certificate, table.client_private_key) {
        (Some(certificate), Some(private_key)) => Some(ClientPair {
            certificate: check.watched(&certificate),
            private_key: check.watched(&private_key),
        }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            check.problem(
                "upstream.tls",
                "needs both client_certificate and client_private_key, or neither",
            );
            None
        }
    };
    (ca, client)
}

impl CredentialsTable {
    pub(super) fn check(self, key: &str, check: &mut Check<'_>) -> Option<Credentials> {
        match self {
            Self::DefaultChain => Some(Credentials::DefaultChain),
            Self::Own(table) => table.check(key, check),
        }
    }
}

impl OwnTable {
    fn check(self, key: &str, check: &mut Check<'_>) -> Option<Credentials> {
        let role = [&self.external_id, &self.session_name, &self.sts_endpoint];
        if self.role_arn.is_none() && role.iter().any(|it| it.is_some()) {
            check.problem(format!("{key}.role_arn"), "missing: which role is it?");
            return None;
        }
        let pair = [&self.secret_access_key, &self.session_token];
        let has_pair = self.access_key_id.is_some() || pair.iter().any(|it| it.is_some());
        let own = if has_pair || self.role_arn.is_none() {
            Some(check_pair(
                key,
                (
                    self.access_key_id,
                    self.secret_access_key,
                    self.session_token,
                ),
                check,
            )?)
        } else {
            None
        };
        let Some(arn) = self.role_arn else {
            return own.map(Credentials::Static);
        };
        if !arn.starts_with("arn:") {
            check.problem(format!("{key}.role_arn"), "must be the ARN of a role");
        }
        if let Some(endpoint) = &self.sts_endpoint {
            check_sts(&format!("{key}.sts_endpoint"), endpoint, check);
        }
        if let Some(name) = &self.session_name
            && !is_session_name(name)
        {
            check.problem(
                format!("{key}.session_name"),
                "must be 2 to 64 letters, digits or of _+=,.@-",
            );
        }
        Some(Credentials::Role(Role {
            arn,
            external_id: self.external_id,
            session_name: self.session_name.unwrap_or_else(|| "s3seal".to_owned()),
            sts_endpoint: self.sts_endpoint,
            assumed_by: own,
        }))
    }
}

/// STS answers with secrets.
fn check_sts(key: &str, endpoint: &str, check: &mut Check<'_>) {
    let Some(parsed) = parse_endpoint(endpoint) else {
        check.problem(key, ENDPOINT);
        return;
    };
    let host = parsed.authority.host().trim_matches(['[', ']']);
    let is_loopback = |ip: IpAddr| ip.is_loopback();
    if !parsed.is_https && host != "localhost" && !host.parse().is_ok_and(is_loopback) {
        check.problem(key, "must be https: the answers hold secrets");
    }
}

/// As STS has it for `RoleSessionName`.
fn is_session_name(name: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    (2..=64).contains(&name.len()) && name.chars().all(is_fine)
}

fn check_pair(
    key: &str,
    (id, secret, token): (Option<String>, Option<SecretSource>, Option<SecretSource>),
    check: &mut Check<'_>,
) -> Option<StaticCredentials> {
    let (id_key, secret_key) = (
        format!("{key}.access_key_id"),
        format!("{key}.secret_access_key"),
    );
    let Some(id) = id else {
        check.problem(id_key, "missing");
        return None;
    };
    access_key_id(&id_key, &id, check);
    let Some(secret) = secret else {
        check.problem(secret_key, "missing");
        return None;
    };
    let session_token = match token {
        Some(token) => Some(token.fetch(&format!("{key}.session_token"), check)?),
        None => None,
    };
    Some(StaticCredentials {
        access_key_id: id,
        secret_access_key: secret.fetch(&secret_key, check)?,
        session_token,
    })
}

/// An access key id stands inside signatures' scopes: no separators of theirs, no blanks.
pub(super) fn access_key_id(key: &str, id: &str, check: &mut Check<'_>) {
    let is_fine = |byte: u8| byte.is_ascii_graphic() && !b"/,=&".contains(&byte);
    if !(1..=128).contains(&id.len()) || !id.bytes().all(is_fine) {
        check.problem(
            key,
            "must be 1 to 128 visible ASCII characters without / , = &",
        );
    }
}

impl<'de> Deserialize<'de> for CredentialsTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CredentialsVisitor)
    }
}

struct CredentialsVisitor;

impl<'de> Visitor<'de> for CredentialsVisitor {
    type Value = CredentialsTable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "\"default-chain\" or a table with access_key_id and secret_access_key, or role_arn",
        )
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<CredentialsTable, E> {
        if text == "default-chain" {
            return Ok(CredentialsTable::DefaultChain);
        }
        Err(E::invalid_value(
            serde::de::Unexpected::Other("string"),
            &self,
        ))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CredentialsTable, A::Error> {
        let table = OwnTable::deserialize(MapAccessDeserializer::new(map))?;
        Ok(CredentialsTable::Own(Box::new(table)))
    }
}

fn endpoint(text: &str, check: &mut Check<'_>) -> Option<Endpoint> {
    let parsed = parse_endpoint(text);
    if parsed.is_none() {
        check.problem("upstream.endpoint", ENDPOINT);
    }
    parsed
}

fn parse_endpoint(text: &str) -> Option<Endpoint> {
    let uri: Uri = text.parse().ok()?;
    let is_https = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let authority = uri.authority()?.clone();
    let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    let has_user = authority.as_str().contains('@');
    (is_bare && !has_user && !authority.host().is_empty()).then_some(Endpoint {
        is_https,
        authority,
    })
}

const ENDPOINT: &str = "must be http:// or https://, a host and perhaps a port";

const CONNECT_SECONDS: Bounds = Bounds {
    min: 1,
    max: 300,
    default: 10,
};
/// Servers answer a long server-side copy late.
const RESPONSE_HEADER_SECONDS: Bounds = Bounds {
    min: 1,
    max: 3_600,
    default: 120,
};
const IDLE_SECONDS: Bounds = Bounds {
    min: 1,
    max: 3_600,
    default: 60,
};
/// Shorter than servers keep idle connections, so that a request rarely meets one just closed.
const POOL_IDLE_SECONDS: Bounds = Bounds {
    min: 1,
    max: 3_600,
    default: 20,
};
const POOL_MAX_IDLE: Bounds = Bounds {
    min: 0,
    max: 100_000,
    default: 256,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_a_scheme_a_host_and_perhaps_a_port() {
        for text in [
            "http://127.0.0.1:8333",
            "https://s3.eu-central-1.amazonaws.com/",
            "http://[::1]:1",
        ] {
            assert!(parse_endpoint(text).is_some(), "{text}");
        }
        for text in [
            "",
            "127.0.0.1:8333",
            "ftp://host",
            "http://",
            "http://host/path",
            "http://host?x",
            "http://user@host",
            "http://ho st",
        ] {
            assert!(parse_endpoint(text).is_none(), "{text}");
        }
    }
}
