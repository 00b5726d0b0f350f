//! When a certificate ends: the one fact of it that a metric tells.
//!
//! Reads just enough DER (X.690) to get to `validity` of RFC 5280, section 4.1. Whether the certificate is
//! any good is for TLS to say.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::{Date, Month, OffsetDateTime, Time};

/// The unix time at which the first certificate of a PEM file ends: the leaf's, of a chain.
///
/// `None` if there is none, or it cannot be read.
pub fn not_after_of_file(pem: &Path) -> Option<i64> {
    not_after(&CertificateDer::from_pem_file(pem).ok()?)
}

/// The unix time at which a certificate in DER ends. `None` if it cannot be read.
pub fn not_after(certificate: &[u8]) -> Option<i64> {
    let (outer, _) = take(certificate, SEQUENCE)?;
    let (mut fields, _) = take(outer, SEQUENCE)?;
    if let Some((_version, rest)) = take(fields, EXPLICIT_0) {
        fields = rest;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        // Serial number, algorithm of the signature, issuer.
        (_, fields) = take(fields, tag)?;
    }
    let (validity, _) = take(fields, SEQUENCE)?;
    let (_, not_after) = moment(validity)?;
    let (ends, _) = moment(not_after)?;
    Some(ends.unix_timestamp())
}

/// A time, and what follows it: `YYMMDDHHMMSSZ` of this century or the last, or `YYYYMMDDHHMMSSZ`.
fn moment(der: &[u8]) -> Option<(OffsetDateTime, &[u8])> {
    let (text, rest) = take(der, UTC_TIME).or_else(|| take(der, GENERALIZED_TIME))?;
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let pairs: Vec<u8> = digits.chunks_exact(2).map(number).collect();
    let (year, pairs) = match *pairs.as_slice() {
        [year, ref pairs @ ..] if digits.len() == 12 => {
            (i32::from(year) + if year < 50 { 2000 } else { 1900 }, pairs)
        }
        [century, year, ref pairs @ ..] if digits.len() == 14 => {
            (i32::from(century) * 100 + i32::from(year), pairs)
        }
        _ => return None,
    };
    let &[month, day, hour, minute, second] = pairs else {
        return None;
    };
    let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?;
    let time = Time::from_hms(hour, minute, second).ok()?;
    Some((OffsetDateTime::new_utc(date, time), rest))
}

/// Two digits.
fn number(pair: &[u8]) -> u8 {
    pair.iter().fold(0, |sum, digit| sum * 10 + (digit - b'0'))
}

/// The contents of the DER element with this tag, and what follows it. `None` if another one, or none,
/// stands there.
pub fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = der.strip_prefix(&[tag])?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // Longer lengths than four bytes are of no certificate.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let add = |sum: usize, byte: &u8| sum << 8 | usize::from(*byte);
            (bytes.iter().fold(0, add), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(len)
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const EXPLICIT_0: u8 = 0xa0;

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn made(ends: OffsetDateTime) -> rcgen::Certificate {
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        parameters.not_after = ends;
        parameters
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
    }

    #[test]
    fn both_forms_of_a_time_are_read() {
        // From 2050 on a certificate has the longer form.
        for (year, month, day) in [
            (1999, 1, 31),
            (2026, 2, 28),
            (2049, 12, 31),
            (2050, 1, 1),
            (9999, 12, 31),
        ] {
            let ends = date_time_ymd(year, month, day);
            assert_eq!(
                not_after(made(ends).der()),
                Some(ends.unix_timestamp()),
                "{ends}"
            );
        }
    }

    #[test]
    fn the_leaf_of_a_chain_counts() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("chain.pem");
        let (leaf, authority) = (date_time_ymd(2030, 5, 6), date_time_ymd(2040, 5, 6));
        std::fs::write(&path, made(leaf).pem() + &made(authority).pem()).unwrap();
        assert_eq!(not_after_of_file(&path), Some(leaf.unix_timestamp()));
        std::fs::write(&path, "no certificate").unwrap();
        assert_eq!(not_after_of_file(&path), None);
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        let made = made(date_time_ymd(2030, 1, 1));
        let der: &[u8] = made.der();
        for len in 0..der.len() {
            assert_eq!(not_after(&der[..len]), None, "cut to {len}");
        }
        // Whatever becomes of a byte, nothing panics.
        let mut changed = der.to_vec();
        for at in 0..changed.len() {
            for value in [0x00, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                changed[at] = value;
                let _ = not_after(&changed);
            }
            changed[at] = der[at];
        }
    }

    #[test]
    fn times_that_are_none_are_refused() {
        let read = |tag: u8, text: &str| {
            let der = [&[tag, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
            moment(&der).map(|(time, _)| time.unix_timestamp())
        };
        assert_eq!(read(UTC_TIME, "700101000001Z"), Some(1));
        assert_eq!(read(GENERALIZED_TIME, "19700101000100Z"), Some(60));
        for wrong in [
            "",
            "Z",
            "700101000000",
            "7001010000Z",
            "701301000000Z",
            "700132000000Z",
            "7001010000+1Z",
            "700101250000Z",
        ] {
            assert_eq!(read(UTC_TIME, wrong), None, "{wrong}");
        }
    }
}
