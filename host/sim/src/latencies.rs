//! A histogram of latencies, weighted by requests.

/// Upper edge of the first bucket, seconds.
const FIRST_S: f64 = 1e-5;
/// Each bucket's upper edge over the one's before: quantiles are right within 2.5 %.
const RATIO: f64 = 1.05;
/// Buckets: up to 10 µs × 1.05^320, a minute. What is beyond counts as there.
const BUCKETS: usize = 320;

/// Counts of requests by latency.
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies {
    counts: Vec<f64>,
    total: f64,
    /// The longest that any can have taken, seconds.
    most_s: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: vec![0.0; BUCKETS], total: 0.0, most_s: 0.0 }
    }
}

impl Latencies {
    /// Adds so many requests, each taking longer than `t` seconds by the chance `longer(t)`, and none longer than `most_s`.
    pub fn add(&mut self, requests: f64, most_s: f64, longer: impl Fn(f64) -> f64) {
        if requests <= 0.0 {
            return;
        }
        self.total += requests;
        self.most_s = self.most_s.max(most_s);
        let mut left = 1.0;
        let mut edge = FIRST_S;
        for count in &mut self.counts[..BUCKETS - 1] {
            let next = if edge >= most_s { 0.0 } else { longer(edge) };
            *count += requests * (left - next);
            left = next;
            if left <= 1e-12 {
                return;
            }
            edge *= RATIO;
        }
        self.counts[BUCKETS - 1] += requests * left;
    }

    /// Adds another histogram's requests.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, other)| *count += other);
        self.total += other.total;
        self.most_s = self.most_s.max(other.most_s);
    }

    /// Requests in it.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.total
    }

    /// The latency in milliseconds that a share `q` of the requests stay below; none where there are no requests.
    #[must_use]
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        if self.total <= 0.0 {
            return None;
        }
        let (mut below, mut edge) = (0.0, FIRST_S);
        for &count in &self.counts {
            if below + count >= q * self.total && count > 0.0 {
                // Linear in the logarithm within the bucket.
                let part = ((q * self.total - below) / count).clamp(0.0, 1.0);
                edge *= RATIO.powf(part - 1.0);
                break;
            }
            below += count;
            edge *= RATIO;
        }
        Some(edge.min(self.most_s) * 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_added() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile_ms(0.5), None);
        latencies.add(1_000.0, 10.0, |t| (-t / 0.002).exp());
        for q in [0.5, 0.9, 0.99] {
            let want = -2.0 * (1.0_f64 - q).ln();
            let got = latencies.quantile_ms(q).unwrap();
            assert!((got / want - 1.0).abs() < 0.025, "{q}: {got} {want}");
        }
    }

    #[test]
    fn requests_are_weighed_by_their_number_and_capped() {
        let mut latencies = Latencies::default();
        latencies.add(985.0, 10.0, |t| if t < 0.001 { 1.0 } else { 0.0 });
        let mut slow = Latencies::default();
        slow.add(15.0, 10.0, |_| 1.0);
        latencies.merge(&slow);
        assert_eq!(latencies.total(), 1_000.0);
        let within = |q, want: f64| (latencies.quantile_ms(q).unwrap() / want - 1.0).abs() < 0.06;
        assert!(within(0.5, 1.0) && within(0.98, 1.0) && within(0.99, 10_000.0), "{:?}", latencies.quantile_ms(0.99));
        assert_eq!(latencies.quantile_ms(1.0), Some(10_000.0), "nobody waits longer");
    }
}
