use super::ScenarioFileError;
use super::tables::within;
use crate::shape::{Calendar, Shape};
use crate::trace::{DAY_STEPS, Regions, Tenant, Trace};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Deserialize;

/// Most tenants of a group.
const MOST_TENANTS: usize = 1_000_000;

/// A group of tenants with one kind of load: generated, or of a trace; and shapes on top of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadTable {
    /// Its tenants' names begin with it; none: `load-1` and so on.
    pub name: Option<String>,
    /// How many tenants there are; of a trace, none: it says itself.
    pub tenants: Option<usize>,
    /// Exponent of the Zipf law of their sizes; 0: all alike.
    pub skew: f64,
    /// The group's part of all operations over the history, relative to the other groups'.
    pub share: f64,
    /// MiB of one replica; none: as `shards.mib`.
    pub mib: Option<f64>,
    /// A trace: `worldwide`, which comes with Isobar, or a file of the same form (gzipped CSV).
    pub trace: Option<String>,
    /// Regions that each series of the trace is read in.
    pub regions: usize,
    /// Hours between one region and the next.
    pub apart_hours: f64,
    /// Day of the trace that the history begins with.
    pub from_day: f64,
    /// What the loads are multiplied by, one after the other.
    pub shapes: Vec<Shape>,
}

impl Default for LoadTable {
    fn default() -> Self {
        Self {
            name: None,
            tenants: None,
            skew: 0.0,
            share: 1.0,
            mib: None,
            trace: None,
            regions: 4,
            apart_hours: 6.0,
            from_day: 0.0,
            shapes: Vec::new(),
        }
    }
}

impl LoadTable {
    pub(super) fn check(&self) -> Result<(), ScenarioFileError> {
        let bad = |problem: &str| Err(ScenarioFileError::BadFigure(problem.to_owned()));
        match (&self.trace, self.tenants) {
            (None, None) => return bad("each [[load]] wants `tenants`, a number, or `trace`"),
            (Some(_), Some(_)) => return bad("a [[load]] has either `tenants` or `trace`: a trace brings its own"),
            (None, Some(tenants)) => within("tenants", tenants as f64, 1.0, MOST_TENANTS as f64)?,
            (Some(_), None) => {}
        }
        within("skew", self.skew, 0.0, 3.0)?;
        within("share", self.share, 1e-6, 1e6)?;
        within("mib", self.mib.unwrap_or(1.0), 0.0, 1e9)?;
        within("regions", self.regions as f64, 1.0, 24.0)?;
        within("apart_hours", self.apart_hours, 0.0, 168.0)?;
        within("from_day", self.from_day, 0.0, 366.0)?;
        self.shapes.iter().try_for_each(Shape::check).map_err(ScenarioFileError::BadFigure)
    }

    /// Steps that a trace gives each tenant.
    pub(super) fn steps_of(&self, trace: &Trace) -> usize {
        let regions = self.regions();
        trace.steps().saturating_sub((regions.count - 1) * regions.apart_steps + self.first_step())
    }

    fn regions(&self) -> Regions {
        Regions { count: self.regions, apart_steps: (self.apart_hours / 24.0 * DAY_STEPS as f64).round() as usize }
    }

    fn first_step(&self) -> usize {
        (self.from_day * DAY_STEPS as f64).round() as usize
    }

    /// The group's tenants; all of them together have the mean load `share` over the history.
    pub(super) fn tenants(&self, number: usize, trace: Option<&Trace>, calendar: &Calendar, seed: u64) -> Vec<Tenant> {
        let group = self.name.clone().unwrap_or_else(|| format!("load-{number}"));
        let (names, mut rows): (Vec<String>, Vec<Vec<f32>>) = match trace {
            Some(trace) => {
                let from = self.first_step();
                let tenants = trace.tenants(self.regions(), from + calendar.window_start);
                tenants.into_iter().map(|t| (t.name, t.load[from..from + calendar.steps].to_vec())).unzip()
            }
            None => (1..=self.tenants.unwrap_or(0))
                .map(|rank| {
                    let size = (rank as f64).powf(-self.skew) as f32;
                    (format!("{group}/{rank}"), vec![size; calendar.steps])
                })
                .unzip(),
        };
        for (place, shape) in self.shapes.iter().enumerate() {
            let mut rng = StdRng::seed_from_u64(mixed(seed, number, place));
            shape.apply(&mut rows, calendar, &mut rng);
        }
        let history = rows.iter().flat_map(|row| &row[..calendar.window_start]).map(|&v| f64::from(v));
        let mean = history.sum::<f64>() / calendar.window_start.max(1) as f64;
        let scale = if mean > 0.0 { self.share / mean } else { 0.0 };
        rows.iter_mut().flatten().for_each(|value| *value = (f64::from(*value) * scale) as f32);
        names.into_iter().zip(rows).map(|(name, load)| Tenant { name, load }).collect()
    }
}

/// One seed for each group and shape (the finaliser of SplitMix64; Steele, Lea and Flood 2014).
fn mixed(seed: u64, group: usize, shape: usize) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(1 + (group as u64) * 1_000 + shape as u64));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
