//! The figures as flat JSON.

use crate::entrant::{Entrant, Kind, Track};
use crate::speed::Speed;
use isobar_analyzer::track::compare;
use std::collections::BTreeMap;

/// `POLICY.TRACK.hH.spl` and so on; what can't be told is left out.
pub(crate) fn flat(tracks: &[Track], entrants: &[Entrant], speeds: &[Speed]) -> BTreeMap<String, f64> {
    let mut figures = BTreeMap::new();
    let mut put = |name: String, value: f64| {
        if value.is_finite() {
            figures.insert(name, value);
        }
    };
    for (track, entrant) in tracks.iter().flat_map(|track| entrants.iter().map(move |entrant| (track, entrant))) {
        let Some(entry) = entrant.by_track.get(&track.name) else { continue };
        let key = format!("{}.{}", entrant.key(), track.name);
        put(format!("{key}.tasks"), entry.origins as f64);
        for (horizon, task) in &entry.score.horizons {
            let metrics = [
                ("spl", task.spl),
                ("mase", task.mase),
                ("wql", task.wql),
                ("cov90", task.cov90),
                ("c99", task.c99),
                ("peak_miss", task.miss),
                ("peak_over", task.over),
                ("peak90_miss", task.miss90),
                ("peak90_over", task.over90),
                ("missing", entry.score.missing.get(horizon).copied().unwrap_or(0) as f64),
            ];
            metrics.into_iter().for_each(|(metric, value)| put(format!("{key}.h{horizon}.{metric}"), value));
        }
        if entrant.kind == Kind::Peer {
            continue;
        }
        for peer in entrants.iter().filter(|peer| peer.kind == Kind::Peer) {
            let Some(theirs) = peer.by_track.get(&track.name) else { continue };
            for (horizon, difference) in compare(&entry.tasks, &theirs.tasks) {
                let key = format!("{key}.h{horizon}.spl_less_{}", peer.key());
                put(key.clone(), difference.mean);
                put(format!("{key}.low"), difference.low);
                put(format!("{key}.high"), difference.high);
            }
        }
    }
    for speed in speeds {
        put(format!("{}.us_per_shard_predict", speed.policy), speed.predict_us);
        put(format!("{}.us_per_shard_observe", speed.policy), speed.observe_us);
        put(format!("{}.us_per_shard_observe_mean", speed.policy), speed.observe_mean_us);
        put(format!("{}.fuel_per_shard_predict", speed.policy), speed.predict_fuel);
        put(format!("{}.fuel_per_shard_observe", speed.policy), speed.observe_fuel);
    }
    figures
}
