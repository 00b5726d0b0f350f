//! Derived signing keys, remembered: deriving one costs four HMACs, a look-up none.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use subtle::ConstantTimeEq;

use super::timestamp::Timestamp;
use crate::secret::Secret;

/// A `SigV4` signing key: one secret, one date, our region, service `s3`.
pub(super) struct SigningKey(Secret<[u8; SIGNING_KEY_LEN]>);

impl SigningKey {
    /// Derives the key (AWS, "Create a signed request", step 4).
    pub(super) fn derive(secret: &str, at: &Timestamp, region: &str) -> Self {
        let derived = generate_signing_key(secret, SystemTime::from(at.at()), region, SERVICE);
        let mut key = [0; SIGNING_KEY_LEN];
        for (slot, byte) in key.iter_mut().zip(derived.as_ref()) {
            *slot = *byte;
        }
        Self(Secret::new(key))
    }

    /// Whether `claimed` is the lower-case hex signature of a string to sign, in constant time.
    pub(super) fn verify(&self, string_to_sign: &[u8], claimed: &[u8]) -> bool {
        let signature = calculate_signature(self.0.expose(), string_to_sign);
        signature.as_bytes().ct_eq(claimed).into()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey([redacted])")
    }
}

/// The signing keys in use, per date and access key id, for one region.
///
/// A key is found only for the very secret it was derived from, so nothing has to be purged when
/// a client's secret changes. Bounded: [`MAX_DATES`] dates of [`MAX_PER_DATE`] keys.
#[derive(Debug)]
pub(super) struct SigningKeys {
    region: String,
    by_date: RwLock<BTreeMap<String, HashMap<String, Entry>>>,
}

impl SigningKeys {
    pub(super) fn new(region: String) -> Self {
        Self {
            region,
            by_date: RwLock::default(),
        }
    }

    /// The key of a client for the date of a request, derived if need be.
    pub(super) fn key(&self, id: &str, secret: &Secret<String>, at: &Timestamp) -> Arc<SigningKey> {
        if let Some(key) = self.find(id, secret, at.date()) {
            return key;
        }
        let key = Arc::new(SigningKey::derive(secret.expose(), at, &self.region));
        self.remember(id, secret, at.date(), &key);
        key
    }

    fn find(&self, id: &str, secret: &Secret<String>, date: &str) -> Option<Arc<SigningKey>> {
        let by_date = self.by_date.read().unwrap_or_else(PoisonError::into_inner);
        let entry = by_date.get(date)?.get(id)?;
        entry
            .secret
            .ct_eq(secret.expose().as_bytes())
            .then(|| Arc::clone(&entry.key))
    }

    fn remember(&self, id: &str, secret: &Secret<String>, date: &str, key: &Arc<SigningKey>) {
        let entry = Entry {
            secret: Secret::new(secret.expose().clone()),
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
        of_date.insert(id.to_owned(), entry);
    }
}

#[derive(Debug)]
struct Entry {
    secret: Secret<String>,
    key: Arc<SigningKey>,
}

/// The service in every credential scope.
pub(super) const SERVICE: &str = "s3";

const SIGNING_KEY_LEN: usize = 32;

/// A presigned request may be a week old and clocks differ: nine dates are in use at most.
const MAX_DATES: usize = 16;

/// Clients are configured, so there are few; past this many the date starts over.
const MAX_PER_DATE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    #[test]
    fn a_key_is_found_for_its_secret_only_and_dates_are_bounded() {
        let keys = SigningKeys::new("us-east-1".to_owned());
        let secret = Secret::new(SECRET.to_owned());
        let at = Timestamp::parse_basic("20130524T000000Z").unwrap();
        let first = keys.key("A", &secret, &at);
        assert!(Arc::ptr_eq(&first, &keys.key("A", &secret, &at)));
        let other = Secret::new("other".to_owned());
        assert!(!Arc::ptr_eq(&first, &keys.key("A", &other, &at)));
        for day in 1..=28 {
            let at = Timestamp::parse_basic(&format!("201306{day:02}T000000Z")).unwrap();
            keys.key("A", &secret, &at);
        }
        assert_eq!(keys.by_date.read().unwrap().len(), MAX_DATES);
    }

    #[test]
    fn nothing_secret_is_printed() {
        let keys = SigningKeys::new("us-east-1".to_owned());
        let secret = Secret::new(SECRET.to_owned());
        let at = Timestamp::parse_basic("20130524T000000Z").unwrap();
        let key = keys.key("A", &secret, &at);
        assert!(!format!("{keys:?} {key:?}").contains("EXAMPLEKEY"));
    }
}
