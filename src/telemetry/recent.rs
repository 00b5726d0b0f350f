//! The last requests that failed or were refused: two bounded rings in memory, for people to look at.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::request_id::RequestId;

/// A request that did not go well. Holds no object key, no query and no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When its answer ended, in unix seconds.
    pub at: i64,
    /// The id that is also in the response.
    pub request_id: RequestId,
    /// S3's name of the operation.
    pub operation: &'static str,
    /// HTTP status sent, or that of a refusal in the document behind a 200.
    pub status: u16,
    /// S3 error code sent; `None` where the answer is the upstream's.
    pub code: Option<&'static str>,
    /// Who has to do something about it, if that is known.
    pub fault: Option<&'static str>,
    /// The bucket, where there is one.
    pub bucket: Option<String>,
    /// Whether the answer went out to its end.
    pub is_complete: bool,
}

/// The last of them. Refusals are apart, so that a client that is refused all the time hides no
/// failure.
#[derive(Debug, Default)]
pub struct Recent {
    failures: Ring,
    refusals: Ring,
}

impl Failure {
    /// Whether somebody else than the client has to do something about it.
    pub fn is_ours(&self) -> bool {
        !self.is_complete || self.status >= 500 && self.fault != Some("client")
    }
}

impl Recent {
    /// Keeps one, and forgets the oldest of its kind if there are too many.
    pub fn push(&self, failure: Failure) {
        let ring = if failure.is_ours() {
            &self.failures
        } else {
            &self.refusals
        };
        ring.push(failure);
    }

    /// What failed, newest first.
    pub fn failures(&self) -> Vec<Failure> {
        self.failures.newest_first()
    }

    /// What was refused for something the client did, newest first.
    pub fn refusals(&self) -> Vec<Failure> {
        self.refusals.newest_first()
    }
}

/// Locked for a few instructions, and by requests that failed only.
#[derive(Debug, Default)]
struct Ring(Mutex<VecDeque<Failure>>);

impl Ring {
    fn push(&self, failure: Failure) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(failure);
    }

    fn newest_first(&self) -> Vec<Failure> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().cloned().collect()
    }
}

/// Failures kept, and as many refusals: about 10 KiB each.
pub const KEPT_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(at: i64, status: u16) -> Failure {
        Failure {
            at,
            request_id: RequestId::from_bytes([7; 8]),
            operation: "GetObject",
            status,
            code: None,
            fault: None,
            bucket: None,
            is_complete: true,
        }
    }

    #[test]
    fn the_oldest_is_forgotten_and_refusals_hide_no_failure() {
        let recent = Recent::default();
        recent.push(failure(0, 503));
        for at in 1..=1000 {
            recent.push(failure(at, 403));
        }
        assert_eq!(recent.failures(), [failure(0, 503)]);
        let refusals = recent.refusals();
        assert_eq!(refusals.len(), KEPT_MAX);
        assert_eq!(refusals[0].at, 1000);
        assert_eq!(refusals[KEPT_MAX - 1].at, 951);
    }

    #[test]
    fn what_is_no_fault_of_the_client_is_a_failure() {
        let unsupported = Failure {
            fault: Some("client"),
            ..failure(0, 501)
        };
        let broken = Failure {
            is_complete: false,
            ..failure(0, 200)
        };
        assert!(!unsupported.is_ours());
        assert!(broken.is_ours());
        assert!(failure(0, 500).is_ours());
        assert!(!failure(0, 403).is_ours());
    }
}
