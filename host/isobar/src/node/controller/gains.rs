//! The gain ledger: kept by the brain, saved as a blob, told to operators.

use super::{Controller, Surroundings};
use bytes::Bytes;
use isobar_api::backend::{BackendError, Figure, FigureKind};
use isobar_api::{GainInfo, GainStanding, GainsInfo, WorldInfo};
use isobar_control::{Brain, ControlCommand, ControlState};
use isobar_model::{KeyspaceId, Mode};
use isobar_planner::{Gain, GainReport, GainSpec, Standing, Tally, WorldName};
use std::collections::BTreeMap;

/// Goes on with the books that the last leader saved. Without them they begin from nothing: nothing that is served depends on them.
pub(super) async fn restore(here: &Surroundings, state: &ControlState, brain: &mut Brain) {
    let Some(digest) = state.saved_gains() else { return };
    match here.blobs.get(digest).await {
        Ok(bytes) => {
            if let Err(error) = brain.restore_gains(&bytes) {
                tracing::warn!(%digest, error, "the gain ledger begins from nothing");
            }
        }
        Err(error) => tracing::warn!(%digest, %error, "the saved gain ledger can't be had, it begins from nothing"),
    }
}

impl Controller {
    /// The books, by keyspace.
    pub(crate) async fn gains(&self) -> Result<Vec<GainsInfo>, BackendError> {
        let reports = self.brain.call(|brain| brain.gains()).await?;
        let state = self.here.state();
        Ok(reports.into_iter().filter_map(|report| info(&state, report)).collect())
    }

    /// Begins a book from nothing.
    pub(crate) async fn reset_gains(&self, keyspace: KeyspaceId) -> Result<(), BackendError> {
        self.brain.call(move |brain| brain.reset_gains(keyspace)).await?;
        Ok(())
    }

    /// Stores the books, where the tick gave them, and looks at them for the figures.
    pub(super) async fn keep_gains(&self, saved: Option<&Vec<u8>>, step_closed: bool) -> anyhow::Result<()> {
        if let Some(bytes) = saved {
            let blob = self.here.blobs.put(Bytes::from(bytes.clone())).await?;
            self.here.control.command(ControlCommand::SaveGains { blob }).await?;
        }
        if step_closed {
            let told = self.gains().await.map_err(|error| anyhow::anyhow!("{error}"))?;
            *self.last_gains.lock() = told;
        }
        Ok(())
    }

    /// What an event tells of a keyspace whose standing changed.
    pub(super) fn gain_text(&self, keyspace: KeyspaceId) -> String {
        let told = self.last_gains.lock();
        match told.iter().find(|book| book.id == keyspace) {
            Some(book) => format!("keyspace {}: {}", book.keyspace, book.summary),
            None => format!("keyspace {keyspace}: its gain ledger came to another standing, see /v1/gains"),
        }
    }

    /// The gain of each keyspace as of the last step.
    pub(crate) fn gain_figures(&self) -> Vec<Figure> {
        let told = self.last_gains.lock();
        let figure = |name, help, value: &dyn Fn(&GainInfo) -> f64| {
            let known = told.iter().filter_map(|book| Some((book, book.gain.as_ref()?)));
            let samples = known.map(|(book, gain)| (vec![("keyspace", book.keyspace.clone())], value(gain)));
            Figure { name, help, kind: FigureKind::Gauge, samples: samples.collect() }
        };
        let abstaining =
            told.iter().map(|book| (vec![("keyspace", book.keyspace.clone())], f64::from(u8::from(book.abstaining))));
        vec![
            figure(
                "gain_node_seconds",
                "Overload that moves by forecast saved over the best placement without, moves paid for, over the blocks kept",
                &|gain| gain.node_s,
            ),
            figure("gain_lower_node_seconds", "The same is above this with 95 % of confidence", &|gain| {
                gain.lower_node_s
            }),
            Figure {
                name: "gain_abstaining",
                help: "1 where moves by forecast are held since they have not been shown to pay",
                kind: FigureKind::Gauge,
                samples: abstaining.collect(),
            },
        ]
    }
}

/// What operators are told; none: the keyspace is gone.
pub(super) fn info(state: &ControlState, report: GainReport) -> Option<GainsInfo> {
    let keyspace = state.map().keyspaces.get(&report.keyspace)?;
    let spec = GainSpec::default();
    let abstain = !state.unheeded_gains().contains(&keyspace.id);
    let automatic = keyspace.mode == Mode::Auto && !state.is_halted();
    let mut told = GainsInfo {
        id: keyspace.id,
        keyspace: keyspace.name.clone(),
        summary: String::new(),
        standing: standing(report.standing),
        abstain,
        abstaining: automatic && abstain && !report.live && report.standing.speaks_against(),
        live: report.live,
        anchored: report.anchored,
        since: report.since,
        blocks: report.blocks as u64,
        least_blocks: report.least_blocks as u64,
        block_ms: report.block_ms,
        seen_s: report.seen_s,
        placements: worlds(&spec, &report.tallies),
        under_way: worlds(&spec, &report.open),
        gain: report.gain.map(gain),
    };
    told.summarise();
    Some(told)
}

fn worlds(spec: &GainSpec, tallies: &BTreeMap<WorldName, Tally>) -> Vec<WorldInfo> {
    let world = |(world, tally): (&WorldName, &Tally)| WorldInfo {
        placement: name(*world).to_owned(),
        overload_node_s: tally.overload_node_s,
        leader_transfers: tally.transfers,
        data_moves: tally.data_moves,
        cost_node_s: tally.cost_node_s(spec),
    };
    tallies.iter().map(world).collect()
}

fn gain(gain: Gain) -> GainInfo {
    GainInfo {
        against: name(gain.against).to_owned(),
        node_s: gain.node_s,
        lower_node_s: gain.lower_node_s,
        upper_node_s: gain.upper_node_s,
        share: gain.share(gain.node_s),
        lower_share: gain.share(gain.lower_node_s),
    }
}

fn name(world: WorldName) -> &'static str {
    match world {
        WorldName::Static => "static",
        WorldName::Packed => "packed",
        WorldName::Reactive => "reactive",
        WorldName::Predictive => "predictive",
        WorldName::Actual => "actual",
    }
}

fn standing(standing: Standing) -> GainStanding {
    match standing {
        Standing::Learning => GainStanding::Learning,
        Standing::Pays => GainStanding::Pays,
        Standing::NothingToGain => GainStanding::NothingToGain,
        Standing::Unproven => GainStanding::Unproven,
        Standing::Loses => GainStanding::Loses,
    }
}
