//! What a certificate that a client has shown makes of its request.

use http::HeaderMap;
use http::header::ORIGIN;

use crate::auth::{Scheme, Verified};
use crate::config::clients::{CertificateName, Client};
use crate::s3::operation::Operation;
use crate::server::certificate::PeerNames;

use super::Callers;

/// An unsigned request over the connection of a client's certificate is that client's.
///
/// Not where a web page may be behind it: a browser shows the certificate that it holds to whatever
/// page asks for it, and a signature, which pages cannot make, is what S3 is safe from them by. Any page
/// can send a form, which is why a form never is; of other requests browsers say that a page sends them
/// (Fetch, sections 3.1 and "Sec-Fetch-Site" of Fetch Metadata).
pub(super) fn identify(
    verified: Verified,
    names: Option<&PeerNames>,
    (operation, headers): (&Operation, &HeaderMap),
    callers: &Callers,
) -> Verified {
    let Some(names) = names else {
        return verified;
    };
    let is_of_page = *operation == Operation::PostObject
        || headers.contains_key(ORIGIN)
        || headers.contains_key(SEC_FETCH_SITE);
    if verified.scheme() != Scheme::Anonymous || is_of_page {
        return verified;
    }
    match callers.holder(names) {
        Some(id) => verified.or_of_certificate(id),
        None => verified,
    }
}

/// Whether a certificate of these names is this client's.
pub(super) fn is_of(client: &Client, names: &PeerNames) -> bool {
    match &client.certificate {
        None => false,
        Some(CertificateName::SubjectCn(name)) => names.subject_cn.as_ref() == Some(name),
        Some(CertificateName::Dns(name)) => names.dns.contains(name),
        Some(CertificateName::Uri(name)) => names.uris.contains(name),
    }
}

/// What browsers say of where a request comes from, over TLS.
const SEC_FETCH_SITE: &str = "sec-fetch-site";
