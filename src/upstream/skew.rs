//! How far our clock is off the upstream's: it refuses requests that are signed at another time.

use std::sync::atomic::{AtomicI64, Ordering};

use http::header::DATE;
use http::{Response, StatusCode};
use time::format_description::well_known::Rfc2822;
use time::{Duration, OffsetDateTime};

/// What the upstream's clock is ahead of ours, as far as a refusal has taught.
#[derive(Debug, Default)]
pub struct ClockSkew {
    seconds: AtomicI64,
}

impl ClockSkew {
    /// The upstream's time at a moment of ours.
    pub fn apply(&self, now: OffsetDateTime) -> OffsetDateTime {
        now.saturating_add(Duration::seconds(self.seconds.load(Ordering::Relaxed)))
    }

    /// Whether the request, signed at `signed_at` when our clock showed `now`, is worth signing
    /// again: it was refused, by a server whose clock is further away than S3 tolerates. Answers
    /// carry the server's `Date`; the error's name is in a body that answers to HEAD do not have.
    ///
    /// What is remembered does not depend on what was known before: of many requests that are
    /// refused together, each learns the same.
    pub fn learn<B>(
        &self,
        response: &Response<B>,
        signed_at: OffsetDateTime,
        now: OffsetDateTime,
    ) -> bool {
        if response.status() != StatusCode::FORBIDDEN {
            return false;
        }
        let date = response.headers().get(DATE);
        let Some(date) = date
            .and_then(|date| date.to_str().ok())
            .and_then(|date| OffsetDateTime::parse(date, &Rfc2822).ok())
        else {
            return false;
        };
        if (date - signed_at).abs() <= TOLERATED {
            return false;
        }
        let seconds = (date - now).whole_seconds();
        self.seconds.store(seconds, Ordering::Relaxed);
        tracing::warn!(seconds, "the upstream's clock is not ours: signing by it");
        true
    }
}

/// S3 refuses at 15 minutes; below that, a 403 has another cause.
const TOLERATED: Duration = Duration::minutes(14);

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, date: &str) -> Response<()> {
        let answer = Response::builder().status(status).header(DATE, date);
        answer.body(()).unwrap()
    }

    #[test]
    fn only_a_refusal_by_a_clock_far_away_is_learnt_from() {
        let skew = ClockSkew::default();
        let at = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let near = "Fri, 15 Jan 2027 08:05:00 GMT";
        let far = "Fri, 15 Jan 2027 09:00:00 GMT";
        assert!(!skew.learn(&answer(403, near), at, at));
        assert!(!skew.learn(&answer(200, far), at, at));
        assert!(!skew.learn(&answer(403, "soon"), at, at));
        assert_eq!(skew.apply(at), at);
        // Two requests that were under way together.
        for _ in 0..2 {
            assert!(skew.learn(&answer(403, far), at, at));
            assert_eq!(skew.apply(at) - at, Duration::hours(1));
        }
        assert!(!skew.learn(&answer(403, far), skew.apply(at), at));
    }
}
