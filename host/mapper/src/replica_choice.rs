//! Which replica serves a stale read: power of two choices by peak-EWMA latency (as in Twitter's Finagle), so that a slow or loaded
//! replica sheds reads within a round trip and gets them back over seconds.

use isobar_model::NodeId;
use std::collections::HashMap;

/// Time in which an old latency loses 63 % of its weight: long against a request, short against an operator's patience.
const DECAY_US: f64 = 10_000_000.0;
/// What a node that was never measured but already has requests under way counts as: more than any measured one.
const UNMEASURED_PENALTY_US: f64 = 1e12;

#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    latency_us: f64,
    at_us: u64,
    pending: u32,
}

/// Latencies and requests under way, by node. Bounded by the number of nodes.
#[derive(Clone, Debug, Default)]
pub struct ReplicaChoice {
    nodes: HashMap<NodeId, Measured>,
}

impl ReplicaChoice {
    /// Picks one of `replicas` with a 64-bit draw of chance: of two different ones drawn, the cheaper; the first drawn where they cost the
    /// same. None without replicas. A single replica is itself.
    #[must_use]
    pub fn choose(&self, replicas: &[NodeId], draw: u64, now_us: u64) -> Option<NodeId> {
        let n = replicas.len() as u64;
        let (high, low) = (draw >> 32, draw & 0xffff_ffff);
        let first = high.checked_rem(n)?;
        if n == 1 {
            return Some(replicas[0]);
        }
        let second = (first + 1 + low % (n - 1)) % n;
        let (first, second) = (replicas[first as usize], replicas[second as usize]);
        Some(if self.cost(second, now_us) < self.cost(first, now_us) { second } else { first })
    }

    /// A request to `node` begins.
    pub fn begin(&mut self, node: NodeId) {
        let measured = self.nodes.entry(node).or_default();
        measured.pending = measured.pending.saturating_add(1);
    }

    /// A request to `node` is over after `latency_us`. A failed one should give its deadline as latency.
    pub fn end(&mut self, node: NodeId, latency_us: u64, now_us: u64) {
        let latency = latency_us as f64;
        let measured = self.nodes.entry(node).or_default();
        measured.pending = measured.pending.saturating_sub(1);
        if latency >= measured.latency_us {
            // The peak of it: worse news counts at once.
            measured.latency_us = latency;
        } else {
            let old = weight(measured.at_us, now_us);
            measured.latency_us = measured.latency_us * old + latency * (1.0 - old);
        }
        measured.at_us = now_us;
    }

    /// Drops what is known of nodes that are not in `known`.
    pub fn retain(&mut self, known: &[NodeId]) {
        self.nodes.retain(|node, _| known.contains(node));
    }

    /// Expected microseconds of waiting: the latency, less the longer it is since measured, times the requests in the queue with ours.
    fn cost(&self, node: NodeId, now_us: u64) -> f64 {
        let Some(measured) = self.nodes.get(&node) else { return 0.0 };
        if measured.latency_us == 0.0 && measured.pending > 0 {
            return UNMEASURED_PENALTY_US + f64::from(measured.pending);
        }
        measured.latency_us * weight(measured.at_us, now_us) * (f64::from(measured.pending) + 1.0)
    }
}

/// What is left of a measurement's weight.
fn weight(at_us: u64, now_us: u64) -> f64 {
    (-(now_us.saturating_sub(at_us) as f64) / DECAY_US).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);
    const C: NodeId = NodeId(3);

    fn share_of(choice: &ReplicaChoice, node: NodeId, now_us: u64) -> usize {
        let draw = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..3000).filter(|&i| choice.choose(&[A, B, C], draw(i), now_us) == Some(node)).count()
    }

    #[test]
    fn equal_replicas_share_the_reads() {
        let choice = ReplicaChoice::default();
        for node in [A, B, C] {
            let share = share_of(&choice, node, 0);
            assert!((850..1150).contains(&share), "{share}");
        }
        assert_eq!(choice.choose(&[], 7, 0), None);
        assert_eq!(choice.choose(&[B], 7, 0), Some(B));
    }

    #[test]
    fn a_slow_replica_sheds_reads_at_once_and_gets_them_back_in_time() {
        let mut choice = ReplicaChoice::default();
        for node in [A, B, C] {
            choice.begin(node);
            choice.end(node, if node == B { 50_000 } else { 1_000 }, 1_000_000);
        }
        assert_eq!(share_of(&choice, B, 1_000_000), 0);
        for node in [A, C] {
            choice.begin(node);
            choice.end(node, 1_000, 60_000_000);
        }
        assert!(share_of(&choice, B, 60_000_000) > 1_000);
    }

    #[test]
    fn requests_under_way_count() {
        let mut choice = ReplicaChoice::default();
        for node in [A, B, C] {
            choice.begin(node);
            choice.end(node, 1_000, 1_000);
        }
        (0..3).for_each(|_| choice.begin(A));
        assert_eq!(share_of(&choice, A, 1_000), 0);
    }

    #[test]
    fn a_node_never_measured_is_not_flooded() {
        let mut choice = ReplicaChoice::default();
        choice.begin(A);
        choice.end(A, 1_000, 1);
        choice.begin(B);
        assert_eq!(choice.choose(&[A, B], 0, 1), Some(A));
        choice.retain(&[A]);
        assert_eq!(choice.choose(&[A, B], 0, 1), Some(B));
    }
}
