//! Closed steps as bytes, to be stored: one level, some series, a range of steps.
//!
//! `IsoH`, the version, a postcard head (level, range, keys), five bytes a step (means, peaks, coverage, series by series), and the CRC-32 of
//! all before it, little-endian. Whoever restores applies chunks in the order in which they were made: a later one holds more.

use super::Pyramid;
use super::row::{Cell, Sum};
use isobar_model::InstantMs;
use isobar_model::history::Step;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ops::Range;

const MAGIC: [u8; 4] = *b"IsoH";
const VERSION: u8 = 1;
const CELL_BYTES: usize = 5;
const CRC_BYTES: usize = 4;

#[derive(Serialize, Deserialize)]
struct Head<K> {
    step_ms: u32,
    first_step: u64,
    steps: u32,
    keys: Vec<K>,
}

/// Closed steps of one level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk<K> {
    step_ms: u32,
    first_step: u64,
    steps: u32,
    keys: Vec<K>,
    cells: Vec<Cell>,
}

/// Bytes that are no chunk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Something else, or a chunk cut short.
    #[error("these {0} bytes are no chunk of history, or a part of one")]
    NotAChunk(usize),
    /// Of a later release.
    #[error(
        "the chunk of history has version {0}, this release reads version {VERSION}: run the same release on all nodes"
    )]
    Version(u8),
    /// The bytes changed since they were written.
    #[error("the chunk of history is damaged: its checksum is {found:08x}, not {stated:08x}")]
    Checksum {
        /// As it says.
        stated: u32,
        /// As it is.
        found: u32,
    },
    /// Head and body do not fit each other.
    #[error("the chunk of history holds {bytes} bytes for {series} series of {steps} steps")]
    Shape {
        /// Bytes of the body.
        bytes: usize,
        /// Series named.
        series: usize,
        /// Steps named.
        steps: u32,
    },
}

impl<K: Copy + Ord> Chunk<K> {
    /// Start of its first step.
    #[must_use]
    pub fn start(&self) -> InstantMs {
        InstantMs(self.first_step * u64::from(self.step_ms))
    }

    /// Length of its steps.
    #[must_use]
    pub fn step_ms(&self) -> u32 {
        self.step_ms
    }

    /// Its steps.
    #[must_use]
    pub fn steps(&self) -> u32 {
        self.steps
    }
}

impl<K: Copy + Serialize + DeserializeOwned> Chunk<K> {
    /// The bytes to store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let head =
            Head { step_ms: self.step_ms, first_step: self.first_step, steps: self.steps, keys: self.keys.clone() };
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        let mut bytes = postcard::to_extend(&head, bytes).expect("numbers always encode");
        bytes.reserve(self.cells.len() * CELL_BYTES + CRC_BYTES);
        for cells in self.cells.chunks(self.steps.max(1) as usize) {
            cells.iter().for_each(|cell| bytes.extend(cell.mean.to_le_bytes()));
            cells.iter().for_each(|cell| bytes.extend(cell.peak.to_le_bytes()));
            bytes.extend(cells.iter().map(|cell| cell.cover));
        }
        let crc = crc32fast::hash(&bytes);
        bytes.extend(crc.to_le_bytes());
        bytes
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, ChunkError> {
        let not_a_chunk = || ChunkError::NotAChunk(bytes.len());
        let (content, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or_else(not_a_chunk)?;
        let (&version, rest) = content.strip_prefix(&MAGIC).and_then(<[u8]>::split_first).ok_or_else(not_a_chunk)?;
        if version != VERSION {
            return Err(ChunkError::Version(version));
        }
        let (stated, found) = (u32::from_le_bytes(*crc), crc32fast::hash(content));
        if stated != found {
            return Err(ChunkError::Checksum { stated, found });
        }
        let (Head { step_ms, first_step, steps, keys }, body) =
            postcard::take_from_bytes::<Head<K>>(rest).map_err(|_| not_a_chunk())?;
        let wanted = (steps as usize).checked_mul(keys.len()).and_then(|cells| cells.checked_mul(CELL_BYTES));
        let in_time = first_step.checked_add(u64::from(steps)).and_then(|end| end.checked_mul(u64::from(step_ms)));
        if wanted != Some(body.len()) || in_time.is_none_or(|end| end >= isobar_model::ids::MAX_ID) || step_ms == 0 {
            return Err(ChunkError::Shape { bytes: body.len(), series: keys.len(), steps });
        }
        let steps_each = steps as usize;
        let mut cells = Vec::with_capacity(steps_each * keys.len());
        for series in body.chunks_exact((steps_each * CELL_BYTES).max(1)) {
            let (means, rest) = series.split_at(steps_each * 2);
            let (peaks, covers) = rest.split_at(steps_each * 2);
            let number = |two: &[u8]| u16::from_le_bytes([two[0], two[1]]);
            for ((mean, peak), &cover) in means.chunks_exact(2).zip(peaks.chunks_exact(2)).zip(covers) {
                cells.push(Cell { mean: number(mean), peak: number(peak), cover });
            }
        }
        Ok(Self { step_ms, first_step, steps, keys, cells })
    }
}

impl<K: Copy + Ord> Pyramid<K> {
    /// Steps of a level that are closed and in no chunk yet.
    #[must_use]
    pub fn unsaved(&self, level: usize) -> Range<u64> {
        let Some(&from) = self.unsaved_from.get(level) else { return 0..0 };
        let (from, to) = (from.max(self.kept_from(level)), self.open_from(level));
        // After a long silence there is nothing to store of it.
        let held = self.series.values().filter_map(|series| series.rows[level].next_held(from)).min();
        held.unwrap_or(to).min(to)..to
    }

    /// These closed steps of a level, of at most `max_series` series a chunk. Series that know nothing of them are left out.
    #[must_use]
    pub fn chunks(&self, level: usize, steps: Range<u64>, max_series: usize) -> Vec<Chunk<K>> {
        let Some(spec) = self.spec.levels.get(level) else { return Vec::new() };
        let knows = |series: &super::Series| steps.clone().any(|step| series.rows[level].cell(step).cover > 0);
        let keys: Vec<K> = self.series.iter().filter(|(_, series)| knows(series)).map(|(&key, _)| key).collect();
        let count = steps.end.saturating_sub(steps.start) as u32;
        let cells_of = |key: &K| {
            let row = &self.series[key].rows[level];
            steps.clone().map(|step| row.cell(step))
        };
        keys.chunks(max_series.max(1))
            .map(|keys| Chunk {
                step_ms: spec.step_ms,
                first_step: steps.start,
                steps: count,
                keys: keys.to_vec(),
                cells: keys.iter().flat_map(cells_of).collect(),
            })
            .collect()
    }

    /// Notes that the steps of a level before this one are stored.
    pub fn saved(&mut self, level: usize, before: u64) {
        if let Some(unsaved) = self.unsaved_from.get_mut(level) {
            *unsaved = before;
        }
    }

    /// Takes in a chunk from before a restart. One of a level that is kept no more, or of steps too old, leaves nothing.
    pub fn restore(&mut self, chunk: &Chunk<K>) {
        let Some(level) = self.level(chunk.step_ms) else { return };
        let end = chunk.first_step + u64::from(chunk.steps);
        self.now = self.now.max(end * u64::from(chunk.step_ms));
        let unsaved = self.unsaved_from[level];
        self.unsaved_from[level] = if unsaved == u64::MAX { end } else { unsaved.max(end) };
        let (kept, steps) = (self.kept_from(level), chunk.steps.max(1) as usize);
        for (&key, cells) in chunk.keys.iter().zip(chunk.cells.chunks(steps)) {
            let row = &mut self.entry(key).rows[level];
            for (step, &cell) in (chunk.first_step..).zip(cells) {
                if cell.cover > 0 && step >= kept {
                    row.set(step, cell);
                }
            }
        }
    }

    /// Makes the steps that coarser levels had not stored of those that finer ones had: to be called once all chunks are restored.
    pub fn rebuild(&mut self) {
        for i in 1..self.spec.levels.len() {
            let (finer, level) = (self.spec.levels[i - 1], self.spec.levels[i]);
            let ratio = u64::from(level.step_ms / finer.step_ms);
            let (kept, open) = (self.kept_from(i), self.open_from(i));
            let stored = if self.unsaved_from[i] == u64::MAX { 0 } else { self.unsaved_from[i] };
            let steps = stored.max(kept)..self.now.div_ceil(u64::from(level.step_ms));
            for series in self.series.values_mut() {
                for step in steps.clone() {
                    let mut sum = Sum::default();
                    for fine in step * ratio..(step + 1) * ratio {
                        let fine: Step = series.rows[i - 1].get(fine, finer.step_ms);
                        sum.add_step(fine, finer.step_ms);
                    }
                    if sum.covered_ms > 0 {
                        series.rows[i].put(step, sum, level.step_ms, open);
                    }
                }
            }
            if self.unsaved_from[i] == u64::MAX && self.unsaved_from[i - 1] != u64::MAX {
                self.unsaved_from[i] = steps.start;
            }
        }
        self.settle();
        // More may be stored than fits now.
        let _ = self.hold_budget();
    }
}
