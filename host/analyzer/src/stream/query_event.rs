//! One query, as a log or a live stream tells it.

use isobar_model::{InstantMs, LoadWeights};
use xxhash_rust::xxh3::xxh3_64;

/// What a query did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Read one key.
    Get,
    /// Read keys in order.
    Scan,
    /// Write one key.
    Put,
    /// Remove one key.
    Delete,
    /// Write one key if it holds what is expected.
    CompareAndSwap,
    /// Write several keys.
    Batch,
}

impl Operation {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::Get, Self::Scan, Self::Put, Self::Delete, Self::CompareAndSwap, Self::Batch];

    /// Its number, from 0.
    #[must_use]
    pub fn number(self) -> usize {
        self as usize
    }

    /// Whether it goes through the shard's log.
    #[must_use]
    pub fn is_write(self) -> bool {
        match self {
            Self::Get | Self::Scan => false,
            Self::Put | Self::Delete | Self::CompareAndSwap | Self::Batch => true,
        }
    }

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Scan => "scan",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::CompareAndSwap => "compare-and-swap",
            Self::Batch => "batch",
        }
    }
}

/// One query. Borrowed from the line or request it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryEvent<'a> {
    /// When it began.
    pub at: InstantMs,
    /// What it did.
    pub operation: Operation,
    /// The client's key.
    pub key: &'a [u8],
    /// Bytes read or written.
    pub bytes: u64,
    /// How long it took, where known.
    pub latency_us: Option<u64>,
}

/// The hash that spreads keys over slots: XXH3-64, of which a hashed keyspace takes the low 16 bits as the slot.
#[must_use]
pub fn key_hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// What a query costs its shard's leader, in thousandths of a load unit: whole numbers, so that sums don't depend on their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadMilli {
    read: u64,
    write: u64,
}

impl LoadMilli {
    /// The weights in thousandths; what is no weight counts as nothing.
    #[must_use]
    pub fn new(weights: &LoadWeights) -> Self {
        // A cast saturates, and makes 0 of NaN and of what is negative. A million units a query is far beyond any sensible weight.
        let milli = |weight: f32| ((f64::from(weight) * 1000.0).round() as u64).min(1_000_000_000);
        Self { read: milli(weights.leader(1.0, 0.0)), write: milli(weights.leader(0.0, 1.0)) }
    }

    /// Cost of one operation.
    #[must_use]
    pub fn of(self, operation: Operation) -> u64 {
        if operation.is_write() { self.write } else { self.read }
    }
}
