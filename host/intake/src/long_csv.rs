//! Load as long CSV: `time,shard,metric,value`, a value a line.
//!
//! Times are milliseconds since the epoch; metrics have the names of the API; missing values are left out. What this writes, [`crate::read_csv`] reads.

use isobar_model::{LoadBatch, Metric};
use std::io::{self, Write};

/// The name of a metric, as in the API.
#[must_use]
pub fn metric_name(metric: Metric) -> &'static str {
    metric.name()
}

/// The metric of that name.
#[must_use]
pub fn metric_named(name: &str) -> Option<Metric> {
    Metric::ALL.into_iter().find(|metric| metric.name() == name)
}

/// Writes batches, step by step.
#[derive(Debug)]
pub struct LongCsv<W: Write> {
    out: W,
    values: u64,
}

impl<W: Write> LongCsv<W> {
    /// Begins with the header.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(b"time,shard,metric,value\n")?;
        Ok(Self { out, values: 0 })
    }

    /// Appends a batch.
    pub fn write(&mut self, batch: &LoadBatch) -> io::Result<()> {
        let steps = batch.steps as usize;
        for step in 0..steps {
            let at = batch.start.plus_ms(step as u64 * u64::from(batch.step_ms));
            for (row, shard) in batch.shards.iter().enumerate() {
                let value = batch.values[row * steps + step];
                if !value.is_nan() {
                    writeln!(self.out, "{at},{shard},{},{value}", metric_name(batch.metric))?;
                    self.values += 1;
                }
            }
        }
        Ok(())
    }

    /// Values written.
    pub fn values(&self) -> u64 {
        self.values
    }

    /// Writes out what is buffered, and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_api() {
        for metric in Metric::ALL {
            assert_eq!(serde_json::to_value(metric).unwrap(), metric_name(metric));
            assert_eq!(metric_named(metric_name(metric)), Some(metric));
        }
    }
}
