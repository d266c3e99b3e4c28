//! Every limit of a policy, with its reason.
//!
//! Limits grow with the work asked for: the same work takes 70 units of fuel a value in a Rust guest, 5 000 in JavaScript and 7 500 in
//! Python (measured on Holt's method, 1 000 shards × 288 steps), and all three are welcome.

use std::time::Duration;

/// Most values that may cross in one call, in or out: a million shards × 64 steps. 256 MiB as `f32`.
pub(crate) const MAX_CELLS: usize = 64 << 20;
/// Most moves in one plan; the contract says so.
pub(crate) const MAX_MOVES: usize = 10_000;
/// Most notes kept of one plan; the contract says so.
pub(crate) const MAX_NOTES: usize = 100;
/// Bytes kept of a reason, a note or an error text: a long sentence.
pub(crate) const MAX_TEXT_BYTES: usize = 512;
/// Bytes kept of one log message; the contract says so.
pub(crate) const MAX_LOG_BYTES: usize = 4 << 10;
/// Log messages kept of one call; the contract says so.
pub(crate) const MAX_LOG_MESSAGES: u32 = 1_000;
/// Bytes of a saved state; the contract says so, and so does the blob store.
pub(crate) const MAX_SAVED_BYTES: usize = isobar_ports::MAX_BLOB_BYTES;
/// Bytes of the configuration schema a policy describes itself with: as many as its configuration may have.
pub(crate) const MAX_SCHEMA_BYTES: usize = isobar_model::policy::MAX_CONFIG_BYTES;
/// Call stack of a guest. Twice wasmtime's default: Python recurses deep. The thread that runs it has 2 MiB more.
pub(crate) const WASM_STACK_BYTES: usize = 1 << 20;
/// Core instances, memories and tables in one component: a Python one has 38 modules.
pub(crate) const MAX_INSTANCES: usize = 128;
/// Entries of one table, which holds a module's functions: ten times those of a large interpreter.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 100_000;
/// Shards whose models may be fitted anew in one call.
const MAX_REFITS: u64 = 32;
/// How long a call may still take after its deadline, for the host's own part (copying an answer out), before its thread is given up.
pub(crate) const GRACE: Duration = Duration::from_secs(2);
/// Bytes that one call may have the host allocate beside the answer it is asked for: texts, log messages.
const SPARE_ANSWER_BYTES: usize = 4 << 20;

/// The limits of all policies of a host, before the work is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fuel of any call, whatever it is asked for: an interpreter's start, and one to two seconds of an endless loop.
    pub fuel: u64,
    /// More fuel for each value that crosses: three times what Python takes.
    pub fuel_per_cell: u64,
    /// More fuel for each shard: bookkeeping.
    pub fuel_per_row: u64,
    /// More fuel for each shard whose model may be fitted anew in one call: choosing an ARIMA model for two weeks of 5-minute steps takes 300 M, some
    /// 10 ms. At most `MAX_REFITS` shards count: history is shown to a new instance that many at a time, and a policy spreads later
    /// fits over ticks.
    pub fuel_per_refit: u64,
    /// Wall time of any call, milliseconds. Longer than the fuel lasts on an idle core, so that it is fuel that stops a loop: a stop by
    /// fuel can be replayed, one by the wall clock can not.
    pub wall_ms: u64,
    /// More wall time for each million values that cross, milliseconds.
    pub wall_ms_per_million_cells: u64,
    /// Most wall time of a call whatever the work, milliseconds: a tick must come round.
    pub max_wall_ms: u64,
    /// Linear memory of an instance, bytes: an interpreter and its heap.
    pub memory_bytes: usize,
    /// More memory for each shard, bytes: the first-party forecasters hold up to 62 KiB of it, and three times that while they save, of which a
    /// saved state may be 64 MiB.
    pub memory_bytes_per_row: usize,
    /// Most memory of an instance whatever the work, bytes.
    pub max_memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 2_000_000_000,
            fuel_per_cell: 20_000,
            fuel_per_row: 2_000_000,
            fuel_per_refit: 300_000_000,
            wall_ms: 10_000,
            wall_ms_per_million_cells: 10_000,
            max_wall_ms: 60_000,
            memory_bytes: 256 << 20,
            memory_bytes_per_row: 128 << 10,
            max_memory_bytes: 2 << 30,
        }
    }
}

/// The size of what a call is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Shards.
    pub rows: usize,
    /// Values that cross, in and out.
    pub cells: usize,
    /// Bytes of the answer asked for.
    pub answer_bytes: usize,
}

/// The limits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Fuel.
    pub fuel: u64,
    /// Wall time, milliseconds.
    pub wall_ms: u64,
    /// Linear memory of the instance, bytes.
    pub memory_bytes: usize,
    /// Bytes that one answer or log call may have the host allocate.
    pub answer_bytes: usize,
}

impl Limits {
    /// The limits of a call that does `work`.
    #[must_use]
    pub fn effective(&self, work: Work) -> Effective {
        let (rows, cells) = (work.rows as u64, work.cells as u64);
        let fuel = self
            .fuel
            .saturating_add(self.fuel_per_cell.saturating_mul(cells))
            .saturating_add(self.fuel_per_row.saturating_mul(rows))
            .saturating_add(self.fuel_per_refit.saturating_mul(rows.min(MAX_REFITS)));
        let wall_ms = self.wall_ms.saturating_add(self.wall_ms_per_million_cells.saturating_mul(cells) / 1_000_000);
        let memory_bytes = self.memory_bytes.saturating_add(self.memory_bytes_per_row.saturating_mul(work.rows));
        Effective {
            fuel,
            wall_ms: wall_ms.min(self.max_wall_ms),
            memory_bytes: memory_bytes.min(self.max_memory_bytes),
            answer_bytes: work.answer_bytes.saturating_add(SPARE_ANSWER_BYTES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_grow_with_the_work_up_to_their_caps() {
        let limits = Limits::default();
        let idle = limits.effective(Work::default());
        let day = limits.effective(Work { rows: 1_000, cells: 288_000, answer_bytes: 0 });
        assert!(day.fuel > 2_100_000_000 * 3, "three times what Python was measured to take: {day:?}");
        assert!(day.fuel > idle.fuel && day.wall_ms > idle.wall_ms && day.memory_bytes > idle.memory_bytes);
        let vast = limits.effective(Work { rows: usize::MAX, cells: usize::MAX, answer_bytes: usize::MAX });
        assert_eq!((vast.wall_ms, vast.memory_bytes), (limits.max_wall_ms, limits.max_memory_bytes));
    }
}
