//! How long requests take on a busy node.
//!
//! A node is taken for a queue M/M/c: requests come at random (Poisson), each works one of `c` workers for an exponential time of mean `s`, and
//! they are served in order of arrival. With utilisation ρ = λ·s/c below 1 the chance that a request must wait is Erlang's C, and the time from
//! arrival to answer is known in closed form (A. K. Erlang 1917; L. Kleinrock, *Queueing Systems*, vol. 1, 1975, section 3.5):
//!
//! `P(T > t) = (1 − C)·e^(−μt) + C·((c·μ − λ)·e^(−μt) − μ·e^(−(c·μ − λ)t)) / ((c − 1)·μ − λ)`, with μ = 1/s.
//!
//! Its mean at c = 1, `s / (1 − ρ)`, is that of M/G/1 with processor sharing, too, whatever the distribution of work (L. Kleinrock, vol. 2, 1976,
//! section 4.4). At ρ ≥ 1 no steady state exists: a backlog grows by the excess and shrinks by what is free, as a fluid (G. F. Newell,
//! *Applications of Queueing Theory*, 1971, chapter 2), and a request waits for what is before it. Clients give up after a timeout; a backlog is
//! therefore never longer than that.

/// Most workers reckoned with: Erlang's recursion takes so many steps, and a thousand workers differ little from more.
const MOST_WORKERS: f64 = 1_024.0;
/// A request's place in a backlog that grows or shrinks within a stretch is looked at this often.
const WAITS: usize = 8;

/// What is assumed of nodes and clients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueueSpec {
    /// Mean time that a node works on a request, seconds. A node of a given capacity has as many workers as make up for it.
    pub service_s: f64,
    /// Clients give up after this time, seconds.
    pub timeout_s: f64,
}

impl Default for QueueSpec {
    /// A millisecond, and the ten seconds after which a client of Isobar gives up.
    fn default() -> Self {
        Self { service_s: 0.001, timeout_s: 10.0 }
    }
}

/// One node as a queue M/M/c.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Queue {
    workers: u32,
    /// Requests per second that one worker serves.
    rate: f64,
}

impl Queue {
    /// A queue of so many workers, each serving `rate` requests per second.
    #[must_use]
    pub fn new(workers: u32, rate: f64) -> Self {
        Self { workers: workers.max(1), rate }
    }

    /// The node that serves `ops_per_s` at most, each request taking `service_s` on average: the nearest whole number of workers, each as fast as
    /// makes up the rate.
    #[must_use]
    pub fn of_capacity(ops_per_s: f64, service_s: f64) -> Self {
        let workers = (ops_per_s * service_s).round().clamp(1.0, MOST_WORKERS);
        Self { workers: workers as u32, rate: ops_per_s / workers }
    }

    /// The chance that a request must wait (Erlang C), at a utilisation below 1; 1 from there on.
    #[must_use]
    pub fn waits(&self, utilisation: f64) -> f64 {
        if utilisation >= 1.0 {
            return 1.0;
        }
        let offered = utilisation.max(0.0) * f64::from(self.workers);
        // Erlang B by recursion over the workers: stable, where factorials would overflow.
        let blocked = (1..=self.workers).fold(1.0, |b, k| offered * b / (f64::from(k) + offered * b));
        blocked / (1.0 - utilisation.max(0.0) * (1.0 - blocked))
    }

    /// Mean time from arrival to answer in seconds; infinite from a utilisation of 1 on.
    #[must_use]
    pub fn mean_s(&self, utilisation: f64) -> f64 {
        let spare = (1.0 - utilisation) * f64::from(self.workers) * self.rate;
        if spare > 0.0 { 1.0 / self.rate + self.waits(utilisation) / spare } else { f64::INFINITY }
    }

    /// The chance that a request takes longer than `t_s`, at a utilisation below 1, `waits` being its [`Queue::waits`].
    #[must_use]
    pub fn longer(&self, utilisation: f64, waits: f64, t_s: f64) -> f64 {
        let t = t_s.max(0.0);
        let spare = (1.0 - utilisation) * f64::from(self.workers) * self.rate;
        let (work, drain) = ((-self.rate * t).exp(), (-spare * t).exp());
        let apart = spare - self.rate;
        // Where both rates meet, the difference quotient becomes the derivative.
        let waited = if apart.abs() < 1e-9 * self.rate {
            work * (1.0 + self.rate * t)
        } else {
            (spare * work - self.rate * drain) / apart
        };
        ((1.0 - waits) * work + waits * waited).clamp(0.0, 1.0)
    }
}

/// Work that waits before a node, as a fluid, in seconds of all the node can do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Backlog {
    seconds: f64,
}

/// What a stretch of time means to those who wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waiting {
    /// The part of the stretch's requests that find a backlog.
    pub part: f64,
    /// What the first of them waits, seconds.
    pub from_s: f64,
    /// What the last of them waits, seconds.
    pub to_s: f64,
    /// The part of the stretch's requests that are given up.
    pub given_up: f64,
}

impl Waiting {
    /// Waits, each standing for the same number of requests.
    pub fn waits_s(self) -> impl Iterator<Item = f64> {
        (0..WAITS).map(move |i| self.from_s + (self.to_s - self.from_s) * (i as f64 + 0.5) / WAITS as f64)
    }
}

impl Backlog {
    /// Lets `seconds` pass at a utilisation (above 1: overload). What would wait longer than `timeout_s` is given up.
    pub fn pass(&mut self, utilisation: f64, seconds: f64, timeout_s: f64) -> Waiting {
        let from_s = self.seconds;
        let growth = utilisation - 1.0;
        if growth >= 0.0 {
            let grown = from_s + growth * seconds;
            self.seconds = grown.min(timeout_s);
            // Work arrives at `utilisation`, what is over the timeout is given up.
            let given_up = ((grown - timeout_s).max(0.0) / (utilisation * seconds)).min(1.0);
            let reached = if growth > 0.0 { ((timeout_s - from_s) / growth / seconds).clamp(0.0, 1.0) } else { 1.0 };
            // From when the backlog is full on, all wait as long as can be; the mean of both parts lies on a line to here.
            let to_s = if reached < 1.0 { timeout_s } else { self.seconds };
            return Waiting { part: 1.0, from_s: from_s + (to_s - from_s) * (1.0 - reached), to_s, given_up };
        }
        self.seconds = (from_s + growth * seconds).max(0.0);
        let part = (from_s / -growth / seconds).clamp(0.0, 1.0);
        Waiting { part, from_s, to_s: self.seconds, given_up: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Tabulated: Erlang C of 1, 2, 5 and 10 workers; the mean number waiting at ρ = 0.8 with two is 2.844 (Gross and Harris).
    #[test]
    fn the_chance_to_wait_is_erlangs() {
        for (workers, utilisation, want) in
            [(1, 0.7, 0.7), (2, 0.8, 0.711_1), (5, 0.8, 0.554_1), (10, 0.9, 0.668_7), (2, 0.5, 0.333_3)]
        {
            let waits = Queue::new(workers, 1.0).waits(utilisation);
            assert!((waits - want).abs() < 1e-3, "{workers} workers at {utilisation}: {waits}");
        }
        let queue = Queue::new(2, 1.0);
        let waiting = 1.6 * (queue.mean_s(0.8) - 1.0);
        assert!((waiting - 2.844).abs() < 1e-3, "{waiting}");
    }

    #[test]
    fn one_worker_is_m_m_1() {
        let queue = Queue::of_capacity(100.0, 0.01);
        for utilisation in [0.0, 0.3, 0.5, 0.9, 0.99] {
            let mean = 0.01 / (1.0 - utilisation);
            assert!((queue.mean_s(utilisation) - mean).abs() < 1e-9);
            // Sojourn times of M/M/1 are exponential.
            let p99 = mean * 100.0_f64.ln();
            assert!((queue.longer(utilisation, queue.waits(utilisation), p99) - 0.01).abs() < 1e-9);
        }
        assert_eq!((queue.mean_s(1.0), queue.waits(1.2)), (f64::INFINITY, 1.0));
    }

    proptest! {
        #[test]
        fn times_are_a_distribution_with_the_mean_of_the_formula(workers in 1_u32..64, utilisation in 0.0..0.97_f64) {
            let queue = Queue::new(workers, 100.0);
            let waits = queue.waits(utilisation);
            let mean = queue.mean_s(utilisation);
            // The mean is the integral of the chance to take longer.
            let (step, mut integral, mut last) = (mean / 400.0, 0.0, 1.0);
            for i in 0..12_000 {
                let longer = queue.longer(utilisation, waits, f64::from(i) * step);
                prop_assert!(longer <= last + 1e-12);
                last = longer;
                integral += step * (longer + queue.longer(utilisation, waits, f64::from(i + 1) * step)) / 2.0;
            }
            prop_assert!((integral / mean - 1.0).abs() < 1e-3, "{} {}", integral, mean);
        }

        #[test]
        fn busier_is_slower_and_more_workers_wait_less(workers in 1_u32..64, low in 0.0..0.9_f64, more in 0.001..0.09_f64) {
            let queue = Queue::new(workers, 10.0);
            // With many idle workers the difference is beyond what a sum with the work itself can hold.
            prop_assert!(queue.waits(low + more) > queue.waits(low) && queue.mean_s(low + more) >= queue.mean_s(low));
            prop_assert!(Queue::new(workers + 1, 10.0).waits(low + more) < queue.waits(low + more));
        }
    }

    #[test]
    fn a_backlog_grows_by_the_excess_and_shrinks_by_what_is_free() {
        let mut backlog = Backlog::default();
        assert_eq!(backlog.pass(0.5, 300.0, 10.0), Waiting { part: 0.0, from_s: 0.0, to_s: 0.0, given_up: 0.0 });
        // 2 % over for 100 s: two seconds of work.
        let waiting = backlog.pass(1.02, 100.0, 10.0);
        assert!((waiting.to_s - 2.0).abs() < 1e-9 && waiting.part == 1.0 && waiting.given_up == 0.0, "{waiting:?}");
        // Half is free: gone after four seconds of forty.
        let waiting = backlog.pass(0.5, 40.0, 10.0);
        assert!((waiting.part - 0.1).abs() < 1e-9 && waiting.to_s == 0.0, "{waiting:?}");
    }

    #[test]
    fn nobody_waits_longer_than_the_timeout_and_the_rest_is_given_up() {
        let mut backlog = Backlog::default();
        let waiting = backlog.pass(2.0, 100.0, 10.0);
        // Of 200 seconds of work 100 were done, and ten wait.
        assert!((waiting.given_up - 0.45).abs() < 1e-9, "{waiting:?}");
        assert!(waiting.waits_s().all(|wait| wait <= 10.0) && waiting.to_s == 10.0);
        assert!(waiting.waits_s().sum::<f64>() / 8.0 > 9.0, "{waiting:?}");
    }
}
