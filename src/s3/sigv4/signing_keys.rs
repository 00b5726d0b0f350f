//! Derived signing keys, remembered: deriving one costs four HMACs, a look-up none.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use aws_lc_rs::hmac;
use aws_sigv4::sign::v4::generate_signing_key;
use data_encoding::HEXLOWER;
use subtle::ConstantTimeEq;

use super::timestamp::Timestamp;
use crate::secret::Secret;

/// A `SigV4` signing key: one secret, one date, one region, service `s3`.
///
/// Kept as a prepared HMAC: both its pads are hashed once for all signatures.
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// Derives the key (AWS, "Create a signed request", step 4).
    pub fn derive(secret: &str, at: &Timestamp, region: &str) -> Self {
        let derived = generate_signing_key(secret, SystemTime::from(at.at()), region, SERVICE);
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// The lower-case hex signature of a string to sign.
    pub fn sign(&self, string_to_sign: &[u8]) -> String {
        HEXLOWER.encode(hmac::sign(&self.0, string_to_sign).as_ref())
    }

    /// Whether `claimed` is the signature of a string to sign, in constant time.
    pub fn verify(&self, string_to_sign: &[u8], claimed: &[u8]) -> bool {
        self.sign(string_to_sign).as_bytes().ct_eq(claimed).into()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey([redacted])")
    }
}

/// The signing keys in use, per date and access key id.
///
/// A key is found only for the very secret and region it was derived from, so nothing has to be
/// purged when a secret changes. Bounded: 16 dates of 4,096 ids, of which few use two regions.
#[derive(Debug, Default)]
pub struct SigningKeys {
    by_date: RwLock<BTreeMap<String, HashMap<String, Vec<Entry>>>>,
}

/// Who signs, and for which region.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// Access key id.
    pub id: &'a str,
    /// Secret access key.
    pub secret: &'a str,
    /// The region in the credential scope.
    pub region: &'a str,
}

impl SigningKeys {
    /// The key of a signer for the date of a request, derived if need be.
    pub fn key(&self, signer: Signer<'_>, at: &Timestamp) -> Arc<SigningKey> {
        if let Some(key) = self.find(signer, at.date()) {
            return key;
        }
        let key = Arc::new(SigningKey::derive(signer.secret, at, signer.region));
        self.remember(signer, at.date(), &key);
        key
    }

    fn find(&self, signer: Signer<'_>, date: &str) -> Option<Arc<SigningKey>> {
        let by_date = self.by_date.read().unwrap_or_else(PoisonError::into_inner);
        let entries = by_date.get(date)?.get(signer.id)?;
        let entry = entries.iter().find(|entry| entry.region == signer.region)?;
        let is_of_signer = entry.secret.ct_eq(signer.secret.as_bytes());
        is_of_signer.then(|| Arc::clone(&entry.key))
    }

    fn remember(&self, signer: Signer<'_>, date: &str, key: &Arc<SigningKey>) {
        let entry = Entry {
            secret: Secret::new(signer.secret.to_owned()),
            region: signer.region.to_owned(),
            key: Arc::clone(key),
        };
        let mut by_date = self.by_date.write().unwrap_or_else(PoisonError::into_inner);
        if !by_date.contains_key(date) && by_date.len() >= MAX_DATES {
            by_date.pop_first();
        }
        let of_date = by_date.entry(date.to_owned()).or_default();
        if of_date.len() >= MAX_PER_DATE {
            of_date.clear();
        }
        let entries = of_date.entry(signer.id.to_owned()).or_default();
        entries.retain(|other| other.region != entry.region);
        if entries.len() >= MAX_REGIONS {
            entries.clear();
        }
        entries.push(entry);
    }
}

#[derive(Debug)]
struct Entry {
    secret: Secret<String>,
    region: String,
    key: Arc<SigningKey>,
}

/// The service in every credential scope.
pub const SERVICE: &str = "s3";

/// A presigned request may be a week old and clocks differ: nine dates are in use at most.
const MAX_DATES: usize = 16;

/// Buckets may live in several regions.
const MAX_REGIONS: usize = 32;

/// Clients are configured, so there are few; past this many the date starts over.
const MAX_PER_DATE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn signer<'a>(secret: &'a str, region: &'a str) -> Signer<'a> {
        Signer {
            id: "A",
            secret,
            region,
        }
    }

    #[test]
    fn a_key_is_found_for_its_secret_and_region_only_and_dates_are_bounded() {
        let keys = SigningKeys::default();
        let at = Timestamp::parse_basic("20130524T000000Z").unwrap();
        let own = signer(SECRET, "us-east-1");
        let first = keys.key(own, &at);
        assert!(Arc::ptr_eq(&first, &keys.key(own, &at)));
        for other in [signer("other", "us-east-1"), signer(SECRET, "eu-west-1")] {
            assert!(!Arc::ptr_eq(&keys.key(own, &at), &keys.key(other, &at)));
        }
        let far = keys.key(signer(SECRET, "eu-west-1"), &at);
        keys.key(own, &at);
        assert!(Arc::ptr_eq(
            &far,
            &keys.key(signer(SECRET, "eu-west-1"), &at)
        ));
        for day in 1..=28 {
            let at = Timestamp::parse_basic(&format!("201306{day:02}T000000Z")).unwrap();
            keys.key(own, &at);
        }
        assert_eq!(keys.by_date.read().unwrap().len(), MAX_DATES);
    }

    #[test]
    fn nothing_secret_is_printed() {
        let keys = SigningKeys::default();
        let at = Timestamp::parse_basic("20130524T000000Z").unwrap();
        let key = keys.key(signer(SECRET, "us-east-1"), &at);
        assert!(!format!("{keys:?} {key:?}").contains("EXAMPLEKEY"));
    }
}
