//! What goes with load, as the search for insights wants it: how queries were mixed and how unevenly they used the keys, columns of a shard.

use super::Archive;
use crate::insights::DriverColumn;
use isobar_model::{DriverKind, Metric, ShardId};

impl Archive {
    /// Shards of which anything is kept.
    #[must_use]
    pub fn shards(&self) -> Vec<ShardId> {
        self.load.keys().collect()
    }

    /// Share of writes, bytes per operation and key skew of a shard in all steps of this length that are kept and closed; NaN where nothing
    /// was measured or no operation came. None where they are not kept in such steps, or nothing of the shard is known.
    #[must_use]
    pub fn drivers(&self, shard: ShardId, step_ms: u32) -> Vec<DriverColumn> {
        let mut columns = self.query_mix(shard, step_ms);
        columns.extend(self.key_skew(shard, step_ms));
        columns
    }

    fn key_skew(&self, shard: ShardId, step_ms: u32) -> Option<DriverColumn> {
        let level = self.keys.level(step_ms)?;
        let kept = self.keys.kept(level);
        let steps = kept.start..kept.end.min(self.keys.now().0 / u64::from(step_ms));
        let first_step = steps.start;
        let values: Vec<f32> = self.keys.read(shard, level, steps).map(|step| step.mean).collect();
        let is_known = values.iter().any(|skew| skew.is_finite());
        is_known.then_some(DriverColumn { shard, kind: DriverKind::KeySkew, first_step, values })
    }

    fn query_mix(&self, shard: ShardId, step_ms: u32) -> Vec<DriverColumn> {
        let Some(level) = self.operations.level(step_ms) else { return Vec::new() };
        let kept = self.operations.kept(level);
        let steps = kept.start..kept.end.min(self.operations.now().0 / u64::from(step_ms));
        let read = |metric| self.operations.read((shard, metric), level, steps.clone()).map(|step| step.mean);
        let counts: Vec<(f32, f32)> = read(Metric::ReadOps).zip(read(Metric::WriteOps)).collect();
        if counts.iter().all(|(reads, writes)| !(reads + writes).is_finite()) {
            return Vec::new();
        }
        let per_op = |(amount, (reads, writes)): (f32, (f32, f32))| {
            let operations = reads + writes;
            if operations > 0.0 { amount / operations } else { f32::NAN }
        };
        let column = |kind, amounts: &mut dyn Iterator<Item = f32>| DriverColumn {
            shard,
            kind,
            first_step: steps.start,
            values: amounts.zip(counts.iter().copied()).map(per_op).collect(),
        };
        let mut bytes = read(Metric::ReadBytes).zip(read(Metric::WriteBytes)).map(|(read, written)| read + written);
        let write_share = column(DriverKind::WriteShare, &mut counts.iter().map(|&(_, writes)| writes));
        vec![write_share, column(DriverKind::BytesPerOp, &mut bytes)]
    }
}
