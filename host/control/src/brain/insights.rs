//! What drives what: a search begun each hour, done a little at a time between ticks.

use super::Brain;
use isobar_analyzer::{DriverColumn, InsightsSpec, Search};
use isobar_model::{Insights, Relations};
use std::sync::Arc;

/// Steps closed between two searches: an hour of 5-minute steps. Who leads whom changes with deployments, not with minutes.
const EVERY_STEPS: u64 = 12;

/// The search under way, and what the last one found.
#[derive(Default)]
pub(super) struct Seeker {
    search: Option<Search>,
    /// First step not closed when the last search began.
    begun: Option<u64>,
    found: Option<Arc<Insights>>,
    /// Whether the serving forecaster knows the relations that were found.
    told: bool,
}

impl Seeker {
    /// The relations that the serving forecaster has not been told of; `anew`: it knows nothing.
    pub(super) fn news_for(&mut self, anew: bool) -> Option<Relations> {
        let found = self.found.as_ref()?;
        let knew = std::mem::replace(&mut self.told, true);
        (anew || !knew).then(|| found.relations())
    }

    /// As if a search had just ended.
    #[cfg(test)]
    pub(super) fn find(&mut self, insights: Insights) {
        (self.found, self.told) = (Some(Arc::new(insights)), false);
    }

    /// Another forecaster serves.
    pub(super) fn forget_told(&mut self) {
        self.told = false;
    }
}

impl Brain {
    /// Goes on with the search for insights by up to `units` of work (one is some 2 µs, a piece of work at most some 2 000), or begins the next
    /// one an hour's steps after the last. Says whether there is more to do now. Not part of a tick: whoever drives the brain calls it
    /// when there is time, as often as it likes; what is found does not depend on how the work is cut. A search that begins is given
    /// `drivers`: what shards' queries were like, in steps as long as the brain's.
    pub fn look_for_insights(&mut self, units: u64, drivers: impl FnOnce() -> Vec<DriverColumn>) -> bool {
        let Seeker { search, begun, found, told } = &mut self.seeker;
        let end = self.history.end();
        if search.is_none() && end > 0 && begun.is_none_or(|begun| end >= begun + EVERY_STEPS) {
            *begun = Some(end);
            *search = Some(Search::begin(&self.history, drivers(), InsightsSpec::default()));
        }
        if let Some(insights) = search.as_mut().and_then(|search| search.work(&self.history, units)) {
            tracing::debug!(links = insights.links.len(), compared = insights.compared, "insights found");
            // The same again is no news.
            *told &= found.as_ref().is_some_and(|before| before.relations() == insights.relations());
            *found = Some(Arc::new(insights));
            *search = None;
        }
        search.is_some()
    }

    /// What drives what, as the last search that ended found it.
    #[must_use]
    pub fn insights(&self) -> Option<Arc<Insights>> {
        self.seeker.found.clone()
    }
}
