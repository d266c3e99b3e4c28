//! Keeps what is stored beside the control log bounded: recorded steps are merged into days, and blobs that nothing names are deleted.

use crate::node::control::Control;
use isobar_control::{ControlCommand, ControlState, HistoryBlob, RecordedSteps};
use isobar_model::{Digest, LoadBatch, ShardId};
use isobar_ports::BlobStore;
use isobar_raft::ControlGroup;
use isobar_storage::BlobDir;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How often blobs are looked through. A blob that nothing named at two looks in a row goes: one is stored seconds before the entry that names
/// it, so what is still unnamed after this long was given up.
const COLLECT_EVERY: Duration = Duration::from_secs(600);
const DAY_MS: u64 = 86_400_000;

/// Deletes blobs of this voter that the state no longer names.
pub(crate) async fn collect_blobs(group: Arc<ControlGroup<ControlState>>, dir: Arc<BlobDir>) {
    let mut suspects: BTreeSet<Digest> = BTreeSet::new();
    loop {
        tokio::time::sleep(COLLECT_EVERY).await;
        let stored = {
            let dir = Arc::clone(&dir);
            tokio::task::spawn_blocking(move || dir.list()).await
        };
        let Ok(Ok(stored)) = stored else {
            tracing::warn!("the blobs of this node can't be listed");
            continue;
        };
        // Read after the list was made: what became named meanwhile is spared.
        let named = group.read(ControlState::blobs_in_use);
        let unnamed: BTreeSet<Digest> = stored.into_iter().filter(|digest| !named.contains(digest)).collect();
        for digest in unnamed.intersection(&suspects) {
            let (dir, digest) = (Arc::clone(&dir), *digest);
            if let Ok(Err(error)) = tokio::task::spawn_blocking(move || dir.remove(digest)).await {
                tracing::warn!(%digest, %error, "a blob that nothing names could not be deleted");
            }
        }
        suspects = unnamed.difference(&suspects).copied().collect();
    }
}

/// The oldest whole day that lies before the newest blob and is kept in more than one: what can be merged.
fn day_to_merge(history: impl Iterator<Item = HistoryBlob>, step_ms: u32) -> Option<Vec<HistoryBlob>> {
    let mut days: BTreeMap<u64, Vec<HistoryBlob>> = BTreeMap::new();
    let mut newest = 0;
    for blob in history {
        let (first, last) = (blob.first_step_ms.0 / DAY_MS, (blob.end(step_ms).0 - 1) / DAY_MS);
        newest = newest.max(last);
        if first == last {
            days.entry(first).or_default().push(blob);
        }
    }
    days.into_iter().find(|(day, blobs)| *day < newest && blobs.len() > 1).map(|(_, blobs)| blobs)
}

/// Batches of consecutive steps as one; shards that a batch lacks are missing there.
fn merge(batches: &[LoadBatch], first: HistoryBlob, steps: u32) -> Option<LoadBatch> {
    let one = batches.first()?;
    let shards: BTreeSet<ShardId> = batches.iter().flat_map(|batch| batch.shards.iter().copied()).collect();
    let rows: BTreeMap<ShardId, usize> = shards.iter().enumerate().map(|(row, shard)| (*shard, row)).collect();
    let width = steps as usize;
    let mut values = vec![f32::NAN; rows.len() * width];
    for batch in batches {
        let offset = (batch.start.since_ms(first.first_step_ms) / u64::from(one.step_ms)) as usize;
        for (i, shard) in batch.shards.iter().enumerate() {
            let row = rows[shard];
            for (k, value) in batch.row(i).iter().enumerate().take(width.saturating_sub(offset)) {
                values[row * width + offset + k] = *value;
            }
        }
    }
    Some(LoadBatch {
        metric: one.metric,
        start: first.first_step_ms,
        step_ms: one.step_ms,
        steps,
        shards: shards.into_iter().collect(),
        values,
    })
}

/// Merges one day's steps into one blob, where a day is through.
pub(crate) async fn compact_history(control: &Control, blobs: &dyn BlobStore) -> anyhow::Result<()> {
    let Some(group) = &control.group else { return Ok(()) };
    let (history, step_ms) = group.read(|state| (state.history().clone(), state.settings().step_ms));
    let Some(day) = day_to_merge(history.into_iter(), step_ms) else { return Ok(()) };
    let (mut batches, mut withheld) = (Vec::new(), Vec::new());
    for blob in &day {
        match postcard::from_bytes::<RecordedSteps>(&blobs.get(blob.digest).await?) {
            Ok(recorded) => {
                batches.extend(recorded.batches);
                withheld.extend(recorded.withheld);
            }
            // One blob that can't be read does not keep its day from being merged.
            Err(error) => tracing::error!(digest = %blob.digest, %error, "recorded history can't be read"),
        }
    }
    let (Some(first), Some(last)) = (day.first().copied(), day.last()) else { return Ok(()) };
    let steps = u32::try_from(last.end(step_ms).since_ms(first.first_step_ms) / u64::from(step_ms))?;
    let Some(merged) = merge(&batches, first, steps) else { return Ok(()) };
    let digest = blobs.put(postcard::to_allocvec(&RecordedSteps { batches: vec![merged], withheld })?.into()).await?;
    let merged = HistoryBlob { first_step_ms: first.first_step_ms, steps, digest };
    let replaced = day.iter().map(|blob| blob.digest).collect();
    control.command(ControlCommand::CompactHistory { merged, replaced }).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_model::{InstantMs, Metric};

    const STEP_MS: u32 = 300_000;

    fn blob(step: u64, steps: u32) -> HistoryBlob {
        HistoryBlob {
            first_step_ms: InstantMs(step * u64::from(STEP_MS)),
            steps,
            digest: Digest::of(&step.to_le_bytes()),
        }
    }

    #[test]
    fn only_a_day_that_is_through_is_merged_and_once() {
        let steps: Vec<HistoryBlob> = (0..289).map(|step| blob(step, 1)).collect();
        assert_eq!(day_to_merge(steps[..288].iter().copied(), STEP_MS), None, "the day may get more");
        assert_eq!(day_to_merge(steps.iter().copied(), STEP_MS).map(|day| day.len()), Some(288));
        assert_eq!(day_to_merge([blob(0, 288), blob(288, 1)].into_iter(), STEP_MS), None);
        assert_eq!(day_to_merge([blob(0, 600), blob(600, 1)].into_iter(), STEP_MS), None, "an import spans days");
    }

    #[test]
    fn merged_steps_stand_where_they_stood() {
        let batch = |step: u64, shards: &[u64], values: &[f32]| LoadBatch {
            metric: Metric::Load,
            start: InstantMs(step * u64::from(STEP_MS)),
            step_ms: STEP_MS,
            steps: 1,
            shards: shards.iter().map(|s| ShardId(*s)).collect(),
            values: values.to_vec(),
        };
        let merged = merge(&[batch(4, &[2, 1], &[2.0, 1.0]), batch(6, &[1], &[3.0])], blob(4, 1), 3).unwrap();
        assert_eq!(merged.shards, [ShardId(1), ShardId(2)]);
        assert_eq!(merged.row(0)[..1], [1.0]);
        assert!(merged.row(0)[1].is_nan(), "a gap stays one");
        assert_eq!(merged.row(0)[2], 3.0);
        assert!(merged.row(1)[2].is_nan());
    }
}
