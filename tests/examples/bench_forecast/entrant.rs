//! Who takes part, and how each did.

use isobar_analyzer::track::{LEVELS, Series, Tasks, TrackForecast, TrackScore, score};
use std::collections::{BTreeMap, HashSet};

/// A track.
pub(crate) struct Track {
    pub(crate) name: String,
    pub(crate) series: Vec<Series>,
}

impl Track {
    /// All horizons of its series, ascending.
    pub(crate) fn horizons(&self) -> Vec<usize> {
        let all: std::collections::BTreeSet<_> =
            self.series.iter().flat_map(|series| series.horizons.iter().copied()).collect();
        all.into_iter().collect()
    }

    /// Origins of all series.
    pub(crate) fn origins(&self) -> usize {
        self.series.iter().map(|series| series.origins.len()).sum()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A policy as it is.
    Policy,
    /// A policy with the host's fallback.
    Guarded,
    /// Another's forecasts.
    Peer,
}

/// One on one track.
pub(crate) struct Entry {
    pub(crate) tasks: Tasks,
    pub(crate) score: TrackScore,
    pub(crate) forecasts: Vec<TrackForecast>,
    /// Origins forecast. A peer that forecast some is scored on those alone.
    pub(crate) origins: usize,
    /// Share of loads up to the forecast of each of [`LEVELS`], over all steps.
    pub(crate) reached: [f64; LEVELS.len()],
}

pub(crate) struct Entrant {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) by_track: BTreeMap<String, Entry>,
}

impl Entrant {
    pub(crate) fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), kind, by_track: BTreeMap::new() }
    }

    /// What its figures are named by.
    pub(crate) fn key(&self) -> String {
        match self.kind {
            Kind::Policy | Kind::Guarded => self.name.clone(),
            Kind::Peer => format!("peer-{}", self.name),
        }
    }

    pub(crate) fn add(&mut self, track: &Track, forecasts: Vec<TrackForecast>) {
        let given: HashSet<(&str, usize)> = forecasts.iter().map(|f| (f.id.as_str(), f.origin)).collect();
        let is_given = |place: usize, origin: usize| given.contains(&(track.series[place].id.as_str(), origin));
        // Ours are to answer everywhere: what is missing counts as bad.
        let tasks = match self.kind {
            Kind::Policy | Kind::Guarded => score(&track.series, &forecasts, |_, _| true),
            Kind::Peer => score(&track.series, &forecasts, is_given),
        };
        let origins =
            (0..track.series.len()).map(|i| track.series[i].origins.iter().filter(|o| is_given(i, **o)).count()).sum();
        let entry = Entry {
            score: TrackScore::of(&tasks, &forecasts),
            reached: reached(track, &forecasts),
            tasks,
            forecasts,
            origins,
        };
        self.by_track.insert(track.name.clone(), entry);
    }
}

fn reached(track: &Track, forecasts: &[TrackForecast]) -> [f64; LEVELS.len()] {
    let series: BTreeMap<&str, &Series> = track.series.iter().map(|series| (series.id.as_str(), series)).collect();
    let (mut below, mut steps) = ([0u64; LEVELS.len()], 0u64);
    for forecast in forecasts {
        let Some(series) = series.get(forecast.id.as_str()) else { continue };
        for (step, load) in series.y.iter().skip(forecast.origin).take(series.horizon()).enumerate() {
            if load.is_nan() {
                continue;
            }
            steps += 1;
            for (below, path) in below.iter_mut().zip(&forecast.paths) {
                *below += u64::from(path.get(step).is_some_and(|value| load <= value));
            }
        }
    }
    below.map(|below| below as f64 / steps.max(1) as f64)
}
