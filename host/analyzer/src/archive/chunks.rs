//! What is to be stored of the archive: closed steps of one level, cut into parts.

use super::Family;
use crate::pyramid::{Chunk, Pyramid};
use isobar_model::InstantMs;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ops::Range;

/// Most bytes of cells in one chunk: several travel beside each other while a voter takes other blobs.
const CHUNK_BYTES: usize = 16 << 20;
/// Bytes of a step in a chunk.
const CELL_BYTES: usize = 5;

/// Bytes to be stored: closed steps of one level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveChunk {
    /// Of which family.
    pub family: Family,
    /// Length of its steps.
    pub step_ms: u32,
    /// Start of its first step.
    pub from: InstantMs,
    /// End of its last step.
    pub until: InstantMs,
    /// The bytes, in parts: each is a [`Chunk`].
    pub parts: Vec<Vec<u8>>,
}

pub(super) fn due_of<K: Copy + Ord + Serialize + DeserializeOwned>(
    pyramid: &Pyramid<K>,
    family: Family,
) -> Vec<ArchiveChunk> {
    let levels = pyramid.spec().levels.iter().enumerate();
    let due = levels.filter_map(|(level, spec)| {
        let steps = pyramid.unsaved(level);
        let enough = steps.end.saturating_sub(steps.start) >= u64::from(spec.chunk_steps);
        if enough { chunk_of(pyramid, family, level, steps) } else { None }
    });
    due.collect()
}

pub(super) fn chunk_of<K: Copy + Ord + Serialize + DeserializeOwned>(
    pyramid: &Pyramid<K>,
    family: Family,
    level: usize,
    steps: Range<u64>,
) -> Option<ArchiveChunk> {
    let step_ms = pyramid.spec().levels.get(level)?.step_ms;
    let count = usize::try_from(steps.end.saturating_sub(steps.start)).ok()?.max(1);
    let chunks = pyramid.chunks(level, steps, CHUNK_BYTES / (count * CELL_BYTES));
    let first = chunks.first()?;
    let (from, steps) = (first.start(), u64::from(first.steps()));
    let until = from.plus_ms(steps * u64::from(step_ms));
    Some(ArchiveChunk { family, step_ms, from, until, parts: chunks.iter().map(Chunk::encode).collect() })
}
