//! Medians, quartiles, and what may be concluded from them.

use serde::Serialize;

/// The median of some samples and the range in which the middle half of them lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// Lower quartile.
    pub(crate) q1: f64,
    /// Median.
    pub(crate) median: f64,
    /// Upper quartile.
    pub(crate) q3: f64,
}

/// Which side of a limit is the good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// What a spread says about a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// The median is on the good side.
    Met,
    /// The whole interquartile range is on the bad side.
    Missed,
    /// The median is on the bad side, but not the whole interquartile range.
    Unclear,
}

impl Spread {
    /// Quartiles by linear interpolation; none of no samples.
    pub(crate) fn of(samples: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            q1: quantile(&sorted, 1)?,
            median: quantile(&sorted, 2)?,
            q3: quantile(&sorted, 3)?,
        })
    }

    /// Judges against `limit`. Only a range that lies wholly past the limit is a miss: on a shared
    /// machine the median alone moves too much to fail anybody for it.
    pub(crate) fn judge(&self, limit: f64, better: Better) -> Verdict {
        let good = |value: f64| match better {
            Better::Higher => value >= limit,
            Better::Lower => value <= limit,
        };
        let best = match better {
            Better::Higher => self.q3,
            Better::Lower => self.q1,
        };
        match (good(self.median), good(best)) {
            (true, _) => Verdict::Met,
            (false, true) => Verdict::Unclear,
            (false, false) => Verdict::Missed,
        }
    }
}

/// The value a quarter, half or three quarters (`quarter` 1 to 3) of the way up.
fn quantile(sorted: &[f64], quarter: usize) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let (low, rest) = (last * quarter / 4, last * quarter % 4);
    let below = *sorted.get(low)?;
    let above = *sorted.get((low + 1).min(last))?;
    #[expect(clippy::cast_precision_loss, reason = "rest is 0 to 3")]
    let weight = rest as f64 / 4.0;
    Some(below + (above - below) * weight)
}

#[cfg(test)]
#[allow(
    dead_code,
    unused_imports,
    reason = "the runner's target has no test harness"
)]
mod tests {
    use super::*;

    fn spread(q1: f64, median: f64, q3: f64) -> Spread {
        Spread { q1, median, q3 }
    }

    #[test]
    fn quartiles_interpolate() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0]), Some(spread(3.0, 3.0, 3.0)));
        assert_eq!(
            Spread::of([5.0, 1.0, 3.0, 2.0, 4.0]),
            Some(spread(2.0, 3.0, 4.0))
        );
        assert_eq!(
            Spread::of([4.0, 1.0, 2.0, 3.0]),
            Some(spread(1.75, 2.5, 3.25))
        );
    }

    #[test]
    fn only_a_whole_range_past_the_limit_is_a_miss() {
        let measured = spread(0.8, 0.95, 1.1);
        assert_eq!(measured.judge(0.9, Better::Higher), Verdict::Met);
        assert_eq!(measured.judge(1.0, Better::Higher), Verdict::Unclear);
        assert_eq!(measured.judge(1.2, Better::Higher), Verdict::Missed);
        assert_eq!(measured.judge(1.0, Better::Lower), Verdict::Met);
        assert_eq!(measured.judge(0.9, Better::Lower), Verdict::Unclear);
        assert_eq!(measured.judge(0.7, Better::Lower), Verdict::Missed);
    }
}
