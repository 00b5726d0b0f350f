//! The two listeners: addresses, TLS files, limits and timeouts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::problem::{Bounds, Check};

/// The listener for S3 clients.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Address to bind; port 0 picks a free one.
    pub address: SocketAddr,
    /// Lower-case domains below which a host name's first labels name the bucket.
    pub domains: Vec<String>,
    /// Certificate and key; plain HTTP without.
    pub tls: Option<TlsFiles>,
    /// Connections served at once.
    pub max_connections: usize,
    /// For a TLS handshake to complete.
    pub tls_handshake_timeout: Duration,
    /// For a request's head to arrive, and for the fields of a form; also how long an idle connection is kept.
    pub header_timeout: Duration,
    /// For the next bytes of a body to move, in either direction.
    pub idle_timeout: Duration,
    /// For requests in flight to finish after SIGTERM.
    pub drain: Duration,
    /// After SIGTERM, for load balancers to see that the proxy is not ready, before the listener closes.
    pub drain_notice: Duration,
}

/// PEM files of a TLS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Its private key: PKCS#8, PKCS#1 or SEC1.
    pub private_key: PathBuf,
    /// What is asked of clients; nothing where `None`.
    pub clients: Option<ClientCertificates>,
}

/// Whose certificates clients may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// The authorities that they are issued by.
    pub ca: PathBuf,
    /// Whether there is no connection without one.
    pub are_required: bool,
}

/// The listener for metrics and health. Never carries S3 requests.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Address to bind; port 0 picks a free one.
    pub address: SocketAddr,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListenTable {
    address: Option<SocketAddr>,
    domains: Option<Vec<String>>,
    tls: Option<TlsTable>,
    allow_plain_http: Option<bool>,
    max_connections: Option<u64>,
    tls_handshake_timeout_seconds: Option<u64>,
    header_timeout_seconds: Option<u64>,
    idle_timeout_seconds: Option<u64>,
    drain_seconds: Option<u64>,
    drain_notice_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsTable {
    certificate: PathBuf,
    private_key: PathBuf,
    client_ca: Option<PathBuf>,
    client_certificates: Option<Demand>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Demand {
    Optional,
    Required,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdminTable {
    address: Option<SocketAddr>,
}

pub(super) fn check(table: ListenTable, check: &mut Check<'_>) -> Listen {
    let address = table.address.unwrap_or(LISTEN_ADDRESS);
    let tls = table.tls.map(|table| tls_files(&table, check));
    let may_be_plain = address.ip().is_loopback() || table.allow_plain_http == Some(true);
    if tls.is_none() && !may_be_plain {
        check.problem(
            "listen.tls",
            "missing: a listener that is not on loopback needs TLS, or allow_plain_http = true",
        );
    }
    if tls.is_some() && table.allow_plain_http == Some(true) {
        check.warn("listen.allow_plain_http has no effect: the listener speaks TLS only");
    }
    Listen {
        address,
        domains: domains(table.domains.unwrap_or_default(), check),
        tls,
        max_connections: check.count(
            "listen.max_connections",
            table.max_connections,
            &MAX_CONNECTIONS,
        ),
        tls_handshake_timeout: check.seconds(
            "listen.tls_handshake_timeout_seconds",
            table.tls_handshake_timeout_seconds,
            &TLS_HANDSHAKE_SECONDS,
        ),
        header_timeout: check.seconds(
            "listen.header_timeout_seconds",
            table.header_timeout_seconds,
            &HEADER_SECONDS,
        ),
        idle_timeout: check.seconds(
            "listen.idle_timeout_seconds",
            table.idle_timeout_seconds,
            &IDLE_SECONDS,
        ),
        drain_notice: check.seconds(
            "listen.drain_notice_seconds",
            table.drain_notice_seconds,
            &DRAIN_NOTICE_SECONDS,
        ),
        drain: check.seconds("listen.drain_seconds", table.drain_seconds, &DRAIN_SECONDS),
    }
}

fn tls_files(table: &TlsTable, check: &mut Check<'_>) -> TlsFiles {
    if table.client_certificates.is_some() && table.client_ca.is_none() {
        check.problem(
            "listen.tls.client_ca",
            "missing: whose certificates are those of clients?",
        );
    }
    TlsFiles {
        certificate: check.watched(&table.certificate),
        private_key: check.watched(&table.private_key),
        clients: table.client_ca.as_ref().map(|ca| ClientCertificates {
            ca: check.watched(ca),
            are_required: table.client_certificates != Some(Demand::Optional),
        }),
    }
}

pub(super) fn check_admin(table: &AdminTable) -> Admin {
    let address = table.address.unwrap_or(ADMIN_ADDRESS);
    Admin { address }
}

/// The admin endpoints never share an address with S3: a bucket could be named `metrics`.
pub(super) fn check_apart(listen: &Listen, admin: &Admin, check: &mut Check<'_>) {
    let (s3, admin) = (listen.address, admin.address);
    let overlaps = s3.ip() == admin.ip() || s3.ip().is_unspecified() || admin.ip().is_unspecified();
    if s3.port() == admin.port() && s3.port() != 0 && overlaps {
        check.problem(
            "admin.address",
            "must differ from listen.address: admin endpoints are never on the S3 listener",
        );
    }
}

/// An open listener whose callers cannot be told apart is refused.
pub(super) fn check_exposure(listen: &Listen, has_no_clients: bool, check: &mut Check<'_>) {
    if !has_no_clients {
        return;
    }
    if listen.address.ip().is_loopback() {
        check.warn("no [[clients]]: every signed request will be refused");
    } else {
        check.problem(
            "clients",
            "missing: a listener that is not on loopback needs at least one [[clients]]",
        );
    }
}

fn domains(names: Vec<String>, check: &mut Check<'_>) -> Vec<String> {
    let mut domains = Vec::with_capacity(names.len());
    for (index, name) in names.into_iter().enumerate() {
        let key = format!("listen.domains[{index}]");
        let domain = name.to_ascii_lowercase();
        if !is_domain(&domain) {
            check.problem(
                key,
                "must be a domain name without scheme, port or wildcard",
            );
        } else if domains.contains(&domain) {
            check.problem(key, "given twice");
        } else {
            domains.push(domain);
        }
    }
    domains
}

fn is_domain(name: &str) -> bool {
    name.split('.').all(|label| {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(is_fine)
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

const LISTEN_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9000);
const ADMIN_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9001);

/// A connection costs up to 128 KiB of read buffer while a body streams in.
const MAX_CONNECTIONS: Bounds = Bounds {
    min: 1,
    max: 1_000_000,
    default: 4_096,
};
const TLS_HANDSHAKE_SECONDS: Bounds = Bounds {
    min: 1,
    max: 300,
    default: 10,
};
const HEADER_SECONDS: Bounds = Bounds {
    min: 1,
    max: 3_600,
    default: 60,
};
const IDLE_SECONDS: Bounds = Bounds {
    min: 1,
    max: 3_600,
    default: 60,
};
/// None by default: not everybody is behind a load balancer.
const DRAIN_NOTICE_SECONDS: Bounds = Bounds {
    min: 0,
    max: 3_600,
    default: 0,
};
/// Below the 30 s that Kubernetes grants between SIGTERM and SIGKILL.
const DRAIN_SECONDS: Bounds = Bounds {
    min: 0,
    max: 3_600,
    default: 25,
};
