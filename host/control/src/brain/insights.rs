//! What drives what: a search begun each hour, done a little at a time between ticks.

use super::Brain;
use isobar_analyzer::{InsightsSpec, Search};
use isobar_model::Insights;
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
}

impl Brain {
    /// Goes on with the search for insights by up to `units` of work (one is some 2 µs, a piece of work at most some 2 000), or begins the next
    /// one an hour's steps after the last. Says whether there is more to do now. Not part of a tick: whoever drives the brain calls it
    /// when there is time, as often as it likes; what is found does not depend on how the work is cut.
    pub fn look_for_insights(&mut self, units: u64) -> bool {
        let Seeker { search, begun, found } = &mut self.seeker;
        let end = self.history.end();
        if search.is_none() && end > 0 && begun.is_none_or(|begun| end >= begun + EVERY_STEPS) {
            *begun = Some(end);
            *search = Some(Search::begin(&self.history, Vec::new(), InsightsSpec::default()));
        }
        if let Some(insights) = search.as_mut().and_then(|search| search.work(&self.history, units)) {
            tracing::debug!(links = insights.links.len(), compared = insights.compared, "insights found");
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
