//! How long moves take, and what they cost meanwhile.

use isobar_control::MovePace;

/// Times of moves, from the decision to the effect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MoveTimes {
    /// Of a move of data: always so many steps; or by its bytes, the bandwidth being that of one node's end for all copies there together.
    pub data: MovePace,
    /// Of a leader transfer, in steps.
    pub leader_steps: f32,
    /// The part of a node's capacity that copying at its whole bandwidth takes, at either end.
    pub copy_share: f32,
}

impl Default for MoveTimes {
    /// Six steps for data, one for leadership, no cost beside the time.
    fn default() -> Self {
        Self { data: MovePace::Steps(6.0), leader_steps: 1.0, copy_share: 0.0 }
    }
}

impl MoveTimes {
    /// Bytes per second that a node's end of all its copies passes; none where moves take a time whatever their bytes.
    #[must_use]
    pub fn bandwidth(&self) -> Option<f64> {
        match self.data {
            MovePace::Steps(_) => None,
            MovePace::Bytes { bytes_per_s, .. } => Some(bytes_per_s.max(1) as f64),
        }
    }

    /// Load units times seconds that copying a MiB costs a node of this capacity, at either end.
    #[must_use]
    pub fn copy_cost_per_mib(&self, capacity: f32) -> f32 {
        let mib_s = self.bandwidth().map_or(0.0, |bytes_per_s| f64::from(1 << 20) / bytes_per_s);
        (f64::from(self.copy_share) * f64::from(capacity) * mib_s) as f32
    }
}
