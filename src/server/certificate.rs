//! Whose certificate a client has shown: the names in it, once TLS has verified it, and as long as it holds.
//!
//! Reads just enough DER (X.690) to get to the subject and the subject alternative names of RFC 5280,
//! sections 4.1 and 4.2.1.6.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;

use super::tls::Greeting;
use crate::telemetry::certificate::{not_after, take};

/// The certificate that a client has shown at the beginning of a connection.
#[derive(Debug)]
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    names: PeerNames,
    /// Unix seconds; `None` where it cannot be read.
    ends: Option<i64>,
    greeting: Greeting,
    /// The number of the terms that it was verified under.
    verified: AtomicU64,
}

/// The names in a certificate. One that cannot be read has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerNames {
    /// The common name of the subject, if there is exactly one.
    pub subject_cn: Option<String>,
    /// DNS names, in lower case.
    pub dns: Vec<String>,
    /// URIs, as they are.
    pub uris: Vec<String>,
}

impl ClientCertificate {
    /// Of a chain, leaf first, that TLS has verified under the terms of that `number`.
    pub(super) fn new(chain: &[CertificateDer<'_>], greeting: Greeting, number: u64) -> Self {
        let chain: Vec<_> = chain.iter().map(|it| it.clone().into_owned()).collect();
        let leaf = chain.first().map_or(&[][..], |leaf| leaf.as_ref());
        Self {
            names: PeerNames::of(leaf),
            ends: not_after(leaf),
            chain,
            greeting,
            verified: AtomicU64::new(number),
        }
    }

    /// Whose it is, as long as it holds: connections live longer than certificates, and than the
    /// authorities of a listener.
    pub fn names(&self, now: OffsetDateTime) -> Option<&PeerNames> {
        let now = now.unix_timestamp();
        if self.ends.is_none_or(|ends| ends < now) {
            return None;
        }
        if self.greeting.number() != self.verified.load(Ordering::Relaxed) {
            let now = Duration::from_secs(u64::try_from(now).ok()?);
            let now = UnixTime::since_unix_epoch(now);
            let number = self.greeting.verify(&self.chain, now)?;
            self.verified.store(number, Ordering::Relaxed);
        }
        Some(&self.names)
    }
}

impl PeerNames {
    /// The names in a certificate in DER, which has been verified.
    pub fn of(certificate: &[u8]) -> Self {
        read(certificate).unwrap_or_default()
    }
}

fn read(certificate: &[u8]) -> Option<PeerNames> {
    let (outer, _) = take(certificate, SEQUENCE)?;
    let (mut fields, _) = take(outer, SEQUENCE)?;
    if let Some((_version, rest)) = take(fields, EXPLICIT_0) {
        fields = rest;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE] {
        // Serial number, algorithm of the signature, issuer, validity.
        (_, fields) = take(fields, tag)?;
    }
    let (subject, mut fields) = take(fields, SEQUENCE)?;
    let mut names = PeerNames {
        subject_cn: only(common_names(subject)?),
        ..PeerNames::default()
    };
    (_, fields) = take(fields, SEQUENCE)?; // public key
    for tag in [ISSUER_ID, SUBJECT_ID] {
        if let Some((_id, rest)) = take(fields, tag) {
            fields = rest;
        }
    }
    if let Some((extensions, _)) = take(fields, EXPLICIT_3) {
        let (mut extensions, _) = take(extensions, SEQUENCE)?;
        while !extensions.is_empty() {
            let (extension, rest) = take(extensions, SEQUENCE)?;
            extensions = rest;
            let (id, value) = take(extension, OID)?;
            if id == SUBJECT_ALT_NAME {
                alternative_names(value, &mut names)?;
            }
        }
    }
    Some(names)
}

/// The one that there is: a name in an alphabet that is not read is empty, and nobody's.
fn only(names: Vec<String>) -> Option<String> {
    let [only] = <[String; 1]>::try_from(names).ok()?;
    Some(only).filter(|name| !name.is_empty())
}

/// `None` if it is not DER.
fn common_names(mut subject: &[u8]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    while !subject.is_empty() {
        let (mut set, rest) = take(subject, SET)?;
        subject = rest;
        while !set.is_empty() {
            let (attribute, rest) = take(set, SEQUENCE)?;
            set = rest;
            let (id, value) = take(attribute, OID)?;
            if id == COMMON_NAME {
                let texts = [UTF8_STRING, PRINTABLE_STRING, IA5_STRING];
                let known = texts.iter().find_map(|tag| text(take(value, *tag)?.0));
                found.push(known.unwrap_or_default());
            }
        }
    }
    Some(found)
}

fn alternative_names(mut extension: &[u8], names: &mut PeerNames) -> Option<()> {
    if let Some((_critical, rest)) = take(extension, BOOLEAN) {
        extension = rest;
    }
    let (value, _) = take(extension, OCTET_STRING)?;
    let (mut general, _) = take(value, SEQUENCE)?;
    while let Some(&tag) = general.first() {
        let (name, rest) = take(general, tag)?;
        general = rest;
        match tag {
            DNS_NAME => names.dns.push(text(name)?.to_ascii_lowercase()),
            URI => names.uris.push(text(name)?),
            _ => {}
        }
    }
    Some(())
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const ISSUER_ID: u8 = 0x81;
const SUBJECT_ID: u8 = 0x82;
const EXPLICIT_0: u8 = 0xa0;
const EXPLICIT_3: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn made(common_names: &[&str]) -> Vec<u8> {
        let mut parameters = CertificateParams::new(vec!["Host.Example".to_owned()]).unwrap();
        let uri = "spiffe://example/backup".try_into().unwrap();
        parameters.subject_alt_names.push(SanType::URI(uri));
        let address = SanType::IpAddress([127, 0, 0, 1].into());
        parameters.subject_alt_names.push(address);
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters
            .distinguished_name
            .push(DnType::OrganizationName, "org");
        for name in common_names {
            parameters
                .distinguished_name
                .push(DnType::CommonName, *name);
        }
        let key = KeyPair::generate().unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn names_are_found() {
        let names = PeerNames::of(&made(&["backup"]));
        assert_eq!(names.subject_cn.as_deref(), Some("backup"));
        assert_eq!(names.dns, ["host.example"]);
        assert_eq!(names.uris, ["spiffe://example/backup"]);
        assert_eq!(PeerNames::of(&made(&[])).subject_cn, None);
    }

    #[test]
    fn what_is_no_certificate_has_no_names() {
        let made = made(&["backup"]);
        for len in 0..made.len() {
            assert_eq!(
                PeerNames::of(&made[..len]),
                PeerNames::default(),
                "cut to {len}"
            );
        }
        // Whatever becomes of a byte, nothing panics.
        let mut changed = made.clone();
        for at in 0..changed.len() {
            for value in [0x00, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                changed[at] = value;
                let _ = PeerNames::of(&changed);
            }
            changed[at] = made[at];
        }
    }
}
