//! Running totals at one moment, and the difference of two: what happened in between.

use std::collections::BTreeMap;

/// What is kept of the metrics over time. As running totals they only grow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Requests of clients, by S3 operation.
    pub operations: BTreeMap<String, Calls>,
    /// Requests to the upstream, all operations together: answered, or failed without an answer.
    pub upstream: Calls,
    /// Failures of the upstream by kind.
    pub upstream_kinds: BTreeMap<String, u64>,
    /// Calls of key providers, by kind of provider. Questions that the proxy asks of itself, whether a provider is
    /// there, are not among them.
    pub keys: BTreeMap<String, Calls>,
    /// Failed calls of key providers: kind of provider to outcome to number.
    pub key_outcomes: BTreeMap<String, BTreeMap<String, u64>>,
    /// Body bytes, by direction.
    pub bytes: BTreeMap<String, u64>,
    /// Look-ups of unwrapped keys.
    pub cache: Lookups,
}

/// Calls of one kind, by how they ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calls {
    /// Went well.
    pub good: u64,
    /// Refused for something that the caller did.
    pub refused: u64,
    /// Failed for another reason.
    pub failed: u64,
    /// How long they took.
    pub seconds: Durations,
}

/// Look-ups in a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookups {
    /// Found.
    pub hits: u64,
    /// Not found.
    pub misses: u64,
    /// Not found in time, and used beyond it. Also among the misses.
    pub stale: u64,
}

/// A histogram: how many durations fell between two bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durations {
    /// Upper bounds in seconds, ascending, each with the durations up to it and above the one before.
    pub buckets: Vec<(f64, u64)>,
    /// Durations above the last bound.
    pub longer: u64,
}

impl Counts {
    /// What was added since `earlier`; nothing is said of what did not happen.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            operations: calls_since(&self.operations, &earlier.operations),
            upstream: self.upstream.since(&earlier.upstream),
            upstream_kinds: since(&self.upstream_kinds, &earlier.upstream_kinds),
            keys: calls_since(&self.keys, &earlier.keys),
            key_outcomes: outcomes_since(&self.key_outcomes, &earlier.key_outcomes),
            bytes: since(&self.bytes, &earlier.bytes),
            cache: Lookups {
                hits: self.cache.hits.saturating_sub(earlier.cache.hits),
                misses: self.cache.misses.saturating_sub(earlier.cache.misses),
                stale: self.cache.stale.saturating_sub(earlier.cache.stale),
            },
        }
    }

    /// The same with at most `max` operations: those with the fewest calls become one, [`OTHER`].
    #[must_use]
    pub fn with_operations(mut self, max: usize) -> Self {
        if self.operations.len() <= max {
            return self;
        }
        let mut by_calls: Vec<_> = std::mem::take(&mut self.operations).into_iter().collect();
        by_calls.sort_by_key(|(_, calls)| std::cmp::Reverse(calls.all()));
        let rest = by_calls.split_off(max.saturating_sub(1));
        let mut other = Calls::default();
        for (_, calls) in &rest {
            other.add(calls);
        }
        self.operations = by_calls.into_iter().collect();
        self.operations.insert(OTHER.to_owned(), other);
        self
    }
}

impl Calls {
    /// However they ended.
    pub fn all(&self) -> u64 {
        self.good + self.refused + self.failed
    }

    /// Adds others to these.
    pub fn add(&mut self, others: &Self) {
        self.good += others.good;
        self.refused += others.refused;
        self.failed += others.failed;
        self.seconds.add(&others.seconds);
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            good: self.good.saturating_sub(earlier.good),
            refused: self.refused.saturating_sub(earlier.refused),
            failed: self.failed.saturating_sub(earlier.failed),
            seconds: self.seconds.since(&earlier.seconds),
        }
    }
}

impl Durations {
    /// The duration that this share of all, from 0 to 1, did not exceed: within its bucket as if they were spread
    /// evenly, and the last bound if it is among the longer ones. `None` without durations.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let all = self.count();
        if all == 0 {
            return None;
        }
        let (rank, mut below, mut lower) = (share * float(all), 0, 0.0);
        for (upper, count) in &self.buckets {
            if *count > 0 && float(below + count) >= rank {
                let within = (rank - float(below)) / float(*count);
                return Some(lower + (upper - lower) * within.max(0.0));
            }
            (below, lower) = (below + count, *upper);
        }
        Some(lower)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum::<u64>() + self.longer
    }

    /// Adds others to these, which have the same bounds or none yet.
    pub fn add(&mut self, others: &Self) {
        if self.buckets.is_empty() {
            self.buckets.clone_from(&others.buckets);
        } else {
            for ((_, count), (_, more)) in self.buckets.iter_mut().zip(&others.buckets) {
                *count += more;
            }
        }
        self.longer += others.longer;
    }

    fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        for ((_, count), (_, before)) in since.buckets.iter_mut().zip(&earlier.buckets) {
            *count = count.saturating_sub(*before);
        }
        since.longer = since.longer.saturating_sub(earlier.longer);
        since
    }
}

type Named<T> = BTreeMap<String, T>;

fn calls_since(now: &Named<Calls>, earlier: &Named<Calls>) -> Named<Calls> {
    let none = Calls::default();
    let since = now.iter().map(|(name, calls)| {
        let before = earlier.get(name).unwrap_or(&none);
        (name.clone(), calls.since(before))
    });
    // A long answer has begun in one step, and ends in another.
    let is_something = |calls: &Calls| calls.all() > 0 || calls.seconds.count() > 0;
    since.filter(|(_, calls)| is_something(calls)).collect()
}

fn outcomes_since(now: &Named<Named<u64>>, earlier: &Named<Named<u64>>) -> Named<Named<u64>> {
    let none = Named::new();
    let since = now.iter().map(|(name, outcomes)| {
        let before = earlier.get(name).unwrap_or(&none);
        (name.clone(), since(outcomes, before))
    });
    since.filter(|(_, outcomes)| !outcomes.is_empty()).collect()
}

fn since(now: &Named<u64>, earlier: &Named<u64>) -> Named<u64> {
    let since = now.iter().map(|(name, count)| {
        let before = earlier.get(name).copied().unwrap_or_default();
        (name.clone(), count.saturating_sub(before))
    });
    since.filter(|(_, count)| *count > 0).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

/// Stands for the operations that there is no room for.
pub const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;

    fn durations(counts: [u64; 3], longer: u64) -> Durations {
        let bounds = [0.1, 0.5, 1.0];
        Durations {
            buckets: bounds.into_iter().zip(counts).collect(),
            longer,
        }
    }

    fn close(found: Option<f64>, wanted: f64) {
        let found = found.unwrap();
        assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let all_in_one = durations([0, 10, 0], 0);
        close(all_in_one.quantile(0.5), 0.3);
        close(all_in_one.quantile(1.0), 0.5);
        close(all_in_one.quantile(0.0), 0.1);
        let spread = durations([50, 45, 4], 1);
        close(spread.quantile(0.5), 0.1);
        close(spread.quantile(0.95), 0.5);
        close(spread.quantile(0.97), 0.75);
        // Nobody knows how long the longest took.
        close(spread.quantile(1.0), 1.0);
        close(durations([0, 0, 0], 3).quantile(0.5), 1.0);
        assert_eq!(durations([0, 0, 0], 0).quantile(0.5), None);
        assert_eq!(Durations::default().quantile(0.5), None);
    }

    fn calls(good: u64) -> Calls {
        Calls {
            good,
            seconds: durations([good, 0, 0], 0),
            ..Calls::default()
        }
    }

    fn of_operations(calls: impl IntoIterator<Item = (&'static str, Calls)>) -> Counts {
        let named = calls
            .into_iter()
            .map(|(name, calls)| (name.to_owned(), calls));
        Counts {
            operations: named.collect(),
            ..Counts::default()
        }
    }

    #[test]
    fn a_difference_has_only_what_happened() {
        let earlier = of_operations([("GetObject", calls(3)), ("PutObject", calls(2))]);
        let now = of_operations([
            ("GetObject", calls(5)),
            ("HeadObject", calls(1)),
            ("PutObject", calls(2)),
        ]);
        let expected = of_operations([("GetObject", calls(2)), ("HeadObject", calls(1))]);
        assert_eq!(now.since(&earlier), expected);
        let mut begun = earlier.clone();
        begun
            .operations
            .entry("GetObject".to_owned())
            .or_default()
            .seconds
            .longer += 1;
        assert_eq!(
            begun.since(&earlier).operations["GetObject"].seconds.longer,
            1
        );
        // A counter that went back is no reason for a number without end.
        assert_eq!(of_operations([]).since(&now), Counts::default());
    }

    #[test]
    fn operations_beyond_the_limit_become_one() {
        let many = of_operations([
            ("a", calls(1)),
            ("b", calls(9)),
            ("c", calls(2)),
            ("d", calls(8)),
        ]);
        let few = many.clone().with_operations(3);
        let expected = of_operations([("b", calls(9)), ("d", calls(8)), (OTHER, calls(3))]);
        assert_eq!(few, expected);
        assert_eq!(many.clone().with_operations(4), many);
    }
}
