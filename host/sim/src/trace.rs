//! Load traces: real series of equal steps, and the tenants made of them.

use flate2::read::GzDecoder;
use std::io::Read;

/// Length of a trace's step in milliseconds.
pub const STEP_MS: u32 = 300_000;
/// Steps of a day.
pub const DAY_STEPS: usize = 288;

/// Most steps a trace may have: a year. Most series: a thousand. Both bound what a bad file can make us allocate.
const MAX_STEPS: usize = 366 * DAY_STEPS;
const MAX_SERIES: usize = 1_000;

/// A file that is no trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Not readable as gzip or CSV.
    #[error("can't read the trace: {0}; it must be CSV, gzipped, a header of names, then one row a step")]
    Unreadable(#[from] csv::Error),
    /// A value that is no load.
    #[error("row {row}, column {column}: {text:?} is no load; a number of 0 or more is wanted")]
    NotALoad {
        /// The row, the first after the header being 1.
        row: usize,
        /// The column's name.
        column: String,
        /// What stands there.
        text: String,
    },
    /// Too long or too wide.
    #[error("the trace has more than {MAX_STEPS} steps or {MAX_SERIES} series")]
    TooLarge,
    /// Nothing in it.
    #[error("the trace has no series or no steps")]
    Empty,
}

/// Real load series, one value a 5-minute step, each in a unit of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    names: Vec<String>,
    series: Vec<Vec<f32>>,
}

/// Each series is read in several places, as for a service that is used around the world: the same shape, hours apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regions {
    /// How many.
    pub count: usize,
    /// Steps between one and the next.
    pub apart_steps: usize,
}

impl Default for Regions {
    /// Four regions, six hours apart.
    fn default() -> Self {
        Self { count: 4, apart_steps: DAY_STEPS / 4 }
    }
}

/// One series read in one region, in relative units.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    /// `SERIES@REGION`.
    pub name: String,
    /// Relative load, one value a step; the mean over the history is the tenant's weight.
    pub load: Vec<f32>,
}

impl Trace {
    /// The trace that comes with Isobar: see `examples/traces/README.md`.
    pub fn worldwide() -> Result<Self, TraceError> {
        Self::read(&include_bytes!("../../../examples/traces/worldwide.csv.gz")[..])
    }

    /// Reads gzipped CSV: a header of names, one row a step.
    pub fn read(gzipped: impl Read) -> Result<Self, TraceError> {
        let mut reader = csv::Reader::from_reader(GzDecoder::new(gzipped));
        let names: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
        if names.len() > MAX_SERIES {
            return Err(TraceError::TooLarge);
        }
        let mut series = vec![Vec::new(); names.len()];
        for (row, record) in reader.records().enumerate() {
            if row >= MAX_STEPS {
                return Err(TraceError::TooLarge);
            }
            for ((text, name), values) in record?.iter().zip(&names).zip(&mut series) {
                let load = text.trim().parse::<f32>().ok().filter(|load| load.is_finite() && *load >= 0.0);
                let bad = || TraceError::NotALoad {
                    row: row + 1,
                    column: name.clone(),
                    text: text.chars().take(40).collect(),
                };
                values.push(load.ok_or_else(bad)?);
            }
        }
        if series.first().is_none_or(Vec::is_empty) {
            return Err(TraceError::Empty);
        }
        Ok(Self { names, series })
    }

    /// Names of the series.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The series of the name with this number, in its own unit; empty where there is none.
    #[must_use]
    pub fn series(&self, number: usize) -> &[f32] {
        self.series.get(number).map_or(&[], Vec::as_slice)
    }

    /// Steps of each series.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.series[0].len()
    }

    /// Every series in every region. Each tenant is scaled by its mean over the first `history_steps`, then weighted by
    /// 0.5 + 1.5 · frac(0.61803 · n), n being its number: some are large, some small, the same ones each time.
    #[must_use]
    pub fn tenants(&self, regions: Regions, history_steps: usize) -> Vec<Tenant> {
        let steps = self.steps().saturating_sub(regions.count.saturating_sub(1) * regions.apart_steps);
        let mut tenants = Vec::with_capacity(self.series.len() * regions.count);
        for (name, series) in self.names.iter().zip(&self.series) {
            for region in 0..regions.count {
                let from = region * regions.apart_steps;
                let load = &series[from..from + steps];
                let history = &load[..history_steps.min(steps)];
                let mean = history.iter().map(|&v| f64::from(v)).sum::<f64>() / history.len().max(1) as f64;
                let weight = 0.5 + 1.5 * (tenants.len() as f64 * 0.61803).fract();
                let scale = if mean > 0.0 { (weight / mean) as f32 } else { 0.0 };
                tenants
                    .push(Tenant { name: format!("{name}@{region}"), load: load.iter().map(|v| v * scale).collect() });
            }
        }
        tenants
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_bundled_trace_is_wide_and_long_enough() {
        let trace = Trace::worldwide().unwrap();
        let tenants = trace.tenants(Regions::default(), 14 * DAY_STEPS);
        assert!(tenants.len() >= 56, "{} tenants", tenants.len());
        assert!(tenants[0].load.len() >= 24 * DAY_STEPS + 12);
    }

    #[test]
    fn regions_see_the_same_series_hours_apart() {
        let trace = Trace::read(&gzip("a\n1\n2\n3\n4\n")[..]).unwrap();
        let tenants = trace.tenants(Regions { count: 2, apart_steps: 1 }, 3);
        assert_eq!(tenants.len(), 2);
        assert_eq!(tenants[0].load, [0.25, 0.5, 0.75]); // weight 0.5, mean 2
        assert_eq!(tenants[1].name, "a@1");
        assert!((tenants[1].load[1] / tenants[1].load[0] - 1.5).abs() < 1e-6);
    }

    #[test]
    fn bad_files_are_refused_with_the_cause() {
        let message = |bytes: &[u8]| Trace::read(bytes).unwrap_err().to_string();
        assert!(message(b"a\n1\n").contains("gzipped"));
        assert!(message(&gzip("a,b\n1,2\n3\n")).contains("can't read the trace"));
        assert!(message(&gzip("a,b\n1,2\n3,x\n")).contains("row 2, column b"));
        assert!(message(&gzip("a\n-1\n")).contains("0 or more"));
        assert!(message(&gzip("a\nNaN\n")).contains("no load"));
        assert!(message(&gzip("a\n")).contains("no steps"));
    }
}
