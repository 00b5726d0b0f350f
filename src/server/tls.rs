//! TLS of a listener, from PEM files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::listen::{ClientCertificates, TlsFiles};

/// What connections are greeted with: our certificate, and whose certificates clients may show.
#[derive(Clone, Debug)]
pub struct Terms {
    config: Arc<ServerConfig>,
    /// Nobody's where `None`.
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

/// The terms of a listener. They can be replaced while it serves: connections that are there stay as
/// they are, and no session of before is resumed.
#[derive(Clone, Debug)]
pub struct Greeting(Arc<ArcSwap<Numbered>>);

#[derive(Debug)]
struct Numbered {
    terms: Terms,
    number: u64,
}

impl Greeting {
    /// Greets new connections on other terms.
    pub fn replace(&self, terms: Terms) {
        let number = self.number() + 1;
        self.0.store(Arc::new(Numbered { terms, number }));
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0.load().terms.config))
    }

    /// Which of the terms that there have been these are.
    pub(super) fn number(&self) -> u64 {
        self.0.load().number
    }

    /// Whether a client's certificate, leaf first, is one that the terms of now let in; the number of
    /// these terms.
    pub(super) fn verify(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Option<u64> {
        let current = self.0.load();
        let (leaf, rest) = chain.split_first()?;
        let clients = current.terms.clients.as_ref()?;
        clients.verify_client_cert(leaf, rest, now).ok()?;
        Some(current.number)
    }
}

impl From<Terms> for Greeting {
    fn from(terms: Terms) -> Self {
        let first = Numbered { terms, number: 0 };
        Self(Arc::new(ArcSwap::from_pointee(first)))
    }
}

/// Certificate and key cannot be used: the operator's to repair.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate is not one for a server, or the key is of a kind TLS cannot use.
    #[error("{}: certificate or key cannot be used: {source}", .path.display())]
    Invalid {
        /// The certificate file.
        path: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// The key belongs to another certificate.
    #[error("{} is not the private key of {}", .key.display(), .path.display())]
    Mismatch {
        /// The certificate file.
        path: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The file is not PEM.
    #[error("{}: not valid PEM", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
    },
    /// The file holds nothing of the kind that is wanted.
    #[error("{} holds no {wanted}", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
    },
    /// The file cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Reads a certificate chain (leaf first) and its private key (PKCS#8, PKCS#1 or SEC1).
/// Clients are asked for certificates where `files` say so.
///
/// TLS 1.2 and 1.3; HTTP/1.1, as S3 itself speaks, and HTTP/2 for clients that offer nothing else.
pub fn terms(files: &TlsFiles) -> Result<Terms, TlsError> {
    let TlsFiles {
        certificate,
        private_key,
        clients,
    } = files;
    let chain = read_chain(certificate)?;
    let key = read_key(private_key)?;
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let invalid = |source: rustls::Error| {
        let path = certificate.clone();
        if matches!(source, rustls::Error::InconsistentKeys(_)) {
            let key = private_key.clone();
            TlsError::Mismatch { path, key }
        } else {
            TlsError::Invalid { path, source }
        }
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(invalid)?;
    let clients = clients.as_ref().map(|clients| verifier(clients, provider));
    let clients = clients.transpose()?;
    let builder = match &clients {
        Some(clients) => builder.with_client_cert_verifier(Arc::clone(clients)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(invalid)?;
    if clients.is_some() {
        // A session that is resumed brings its certificate along, and nobody looks at that again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    // The server's order decides.
    config.alpn_protocols = vec![HTTP1.to_vec(), HTTP2.to_vec()];
    let config = Arc::new(config);
    Ok(Terms { config, clients })
}

/// Lets in who has a certificate of these authorities, and others where none is required.
fn verifier(
    clients: &ClientCertificates,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let path = &clients.ca;
    let invalid = |source: rustls::Error| TlsError::Invalid {
        path: path.clone(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(path)? {
        roots.add(certificate).map_err(invalid)?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if !clients.are_required {
        builder = builder.allow_unauthenticated();
    }
    let built = builder.build();
    built.map_err(|error| invalid(rustls::Error::General(error.to_string())))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem_error(path, error, CERTIFICATE))?;
    if chain.is_empty() {
        return Err(pem_error(path, pem::Error::NoItemsFound, CERTIFICATE));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| pem_error(path, error, PRIVATE_KEY))
}

/// The errors' own texts may quote the file, which may hold a key: only their kind is told.
fn pem_error(path: &Path, error: pem::Error, wanted: &'static str) -> TlsError {
    let path = path.to_owned();
    if let pem::Error::Io(source) = error {
        TlsError::Read { path, source }
    } else if matches!(error, pem::Error::NoItemsFound) {
        TlsError::Empty { path, wanted }
    } else {
        TlsError::Pem { path }
    }
}

/// ALPN name of HTTP/1.1.
const HTTP1: &[u8] = b"http/1.1";
/// ALPN name of HTTP/2.
pub(super) const HTTP2: &[u8] = b"h2";
const CERTIFICATE: &str = "certificate";
const PRIVATE_KEY: &str = "private key";
