//! Every way from closed to open and back, by a clock of our own.

use proptest::prelude::*;

use super::*;

const TIMEOUT: Verdict = Verdict::Away(Outage::Timeout);
const UNREACHABLE: Verdict = Verdict::Away(Outage::Unreachable);

/// A breaker with a clock.
struct Bench {
    breaker: Breaker,
    now: Instant,
    jitter: u8,
}

impl Bench {
    fn new() -> Self {
        Self {
            breaker: Breaker::default(),
            now: Instant::now(),
            jitter: 0,
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.now,
            jitter: self.jitter,
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn admit(&mut self) -> Result<Pass, Outage> {
        self.breaker.admit(self.moment())
    }

    fn settle(&mut self, pass: Pass, verdict: Verdict) -> Option<Change> {
        self.breaker.settle(pass, verdict, self.moment())
    }

    fn call(&mut self, verdict: Verdict) -> Option<Change> {
        let pass = self.admit().unwrap();
        self.settle(pass, verdict)
    }

    fn opened() -> Self {
        let mut bench = Self::new();
        assert_eq!(bench.call(UNREACHABLE), None);
        assert_eq!(bench.call(UNREACHABLE), None);
        assert_eq!(bench.call(TIMEOUT), Some(Change::Opened));
        bench
    }
}

#[test]
fn three_outages_in_a_row_open_it_and_it_tells_the_last() {
    let mut bench = Bench::opened();
    assert_eq!(bench.admit(), Err(Outage::Timeout));
    assert!(bench.breaker.is_open());
    assert_eq!(bench.breaker.refusal(bench.now), Some(Outage::Timeout));
}

#[test]
fn an_answer_in_between_keeps_it_closed() {
    let mut bench = Bench::new();
    for _ in 0..10 {
        assert_eq!(bench.call(TIMEOUT), None);
        assert_eq!(bench.call(TIMEOUT), None);
        assert_eq!(bench.call(Verdict::Answered), None);
    }
}

#[test]
fn throttling_alone_never_opens_it_and_excuses_no_outage() {
    let mut bench = Bench::new();
    for _ in 0..100 {
        assert_eq!(bench.call(Verdict::Busy), None);
        assert_eq!(bench.call(Verdict::Unclear), None);
    }
    bench.call(TIMEOUT);
    bench.call(Verdict::Busy);
    bench.call(TIMEOUT);
    bench.call(Verdict::Unclear);
    assert_eq!(bench.call(TIMEOUT), Some(Change::Opened));
}

#[test]
fn one_call_is_let_through_at_a_time_and_the_time_doubles_up_to_its_bound() {
    let mut bench = Bench::opened();
    let mut seconds = Vec::new();
    for _ in 0..7 {
        let mut waited = 0;
        while bench.admit().is_err() {
            bench.wait(500);
            waited += 500;
        }
        // The call that was let through is not over yet.
        assert_eq!(bench.admit(), Err(Outage::Timeout));
        seconds.push(waited / 1000);
    }
    assert_eq!(seconds, [1, 2, 4, 8, 15, 15, 15]);
}

#[test]
fn an_answer_closes_it_and_forgets_the_growth() {
    for verdict in [Verdict::Answered, Verdict::Busy] {
        let mut bench = Bench::opened();
        bench.wait(1000);
        bench.call(TIMEOUT);
        bench.wait(2000);
        assert_eq!(bench.call(verdict), Some(Change::Closed));
        assert!(!bench.breaker.is_open());
        for _ in 0..2 {
            bench.call(UNREACHABLE);
        }
        assert_eq!(bench.call(UNREACHABLE), Some(Change::Opened));
        bench.wait(1000);
        assert!(bench.admit().is_ok());
    }
}

#[test]
fn a_call_that_was_let_through_and_vanished_does_not_stop_the_next() {
    let mut bench = Bench::opened();
    bench.wait(1000);
    bench.admit().unwrap();
    bench.wait(1999);
    assert!(bench.admit().is_err());
    bench.wait(1);
    assert!(bench.admit().is_ok());
}

#[test]
fn late_news_count_for_good_only() {
    let mut bench = Bench::new();
    let early: Vec<_> = (0..6).map(|_| bench.admit().unwrap()).collect();
    for pass in &early[..3] {
        bench.settle(*pass, TIMEOUT);
    }
    // While open, they neither open it again nor prolong anything.
    assert_eq!(bench.settle(early[3], UNREACHABLE), None);
    assert_eq!(bench.admit(), Err(Outage::Unreachable));
    // An answer is an answer, whenever its call began.
    assert_eq!(
        bench.settle(early[4], Verdict::Answered),
        Some(Change::Closed)
    );
    for _ in 0..5 {
        assert_eq!(bench.settle(early[5], TIMEOUT), None);
    }
    assert!(bench.admit().is_ok());
}

#[test]
fn only_a_provider_that_does_not_answer_is_away() {
    let verdict = |error: KeyError| Verdict::of::<()>(&Err(error));
    assert_eq!(Verdict::of(&Ok(())), Verdict::Answered);
    assert_eq!(verdict(Outage::Timeout.into()), TIMEOUT);
    assert_eq!(verdict(Outage::Unreachable.into()), UNREACHABLE);
    assert_eq!(verdict(KeyError::Throttled), Verdict::Busy);
    for answer in [
        KeyError::ContextMismatch,
        KeyError::Denied,
        KeyError::Destroyed,
        KeyError::Disabled,
        KeyError::Malformed,
        KeyError::NotFound,
        Outage::Answer.into(),
        Outage::Login.into(),
        Outage::Superseded.into(),
    ] {
        assert_eq!(verdict(answer), Verdict::Answered, "{answer:?}");
    }
    for own in [Outage::Entropy, Outage::Registry] {
        assert_eq!(verdict(own.into()), Verdict::Unclear);
    }
}

proptest! {
    #[test]
    fn open_times_are_within_half_of_their_length_and_bounded(trials: u32, jitter: u8) {
        let time = open_time(trials, jitter);
        prop_assert!(time <= OPEN_MAX);
        prop_assert!(time >= OPEN_MIN / 2);
        prop_assert!(time > open_time(trials, 0) / 2);
    }

    /// Whatever happens, a provider that answers is called again within the longest open time.
    #[test]
    fn it_never_stays_open_longer_than_its_bound(
        steps in proptest::collection::vec((0_u64..20_000, 0_u8..5, any::<u8>()), 1..200),
    ) {
        let mut bench = Bench::new();
        let mut passes = Vec::new();
        for (millis, what, jitter) in steps {
            bench.wait(millis);
            bench.jitter = jitter;
            if let Ok(pass) = bench.admit() {
                passes.push(pass);
            }
            let verdict = match what {
                0 => Verdict::Answered,
                1 => Verdict::Busy,
                2 => Verdict::Unclear,
                _ => TIMEOUT,
            };
            if let Some(pass) = passes.pop() {
                bench.settle(pass, verdict);
            }
        }
        bench.wait(15_000);
        let pass = bench.admit();
        prop_assert!(pass.is_ok());
        bench.settle(pass.unwrap(), Verdict::Answered);
        prop_assert!(!bench.breaker.is_open());
    }
}
