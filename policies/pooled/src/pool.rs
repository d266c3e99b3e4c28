use crate::cluster::{Cluster, Learnt};
use crate::shard::{Around, Shard};
use crate::terms::Terms;
use forecasting_kit::{Asked, Failure, Links, MAX_GAP_DAYS, Ring, Scratch};
use isobar_model::ids::MAX_ID;
use isobar_model::insights::MAX_CLUSTERS;
use isobar_model::{ForecastRequest, Relations, ShardId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All shards, by one metric.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Pool {
    /// The step after the last one observed.
    next: u64,
    shards: BTreeMap<ShardId, Shard>,
    /// Each shard's offsets of the last two days, as others see them.
    offsets: BTreeMap<ShardId, Ring>,
    /// The first one holds the shards that are in none of those told; empty before the first step.
    clusters: Vec<Cluster>,
    told: Told,
}

/// What the host told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Told {
    links: Links,
    /// Clusters told, and which each shard is in, from 1 on.
    clusters: usize,
    homes: BTreeMap<ShardId, usize>,
}

impl Pool {
    /// Makes all shards of a batch ready for its first step.
    pub(crate) fn admit(&mut self, terms: &Terms, shards: &[ShardId], first: u64) {
        if self.clusters.is_empty() {
            self.next = first;
            self.regroup(terms);
        }
        for id in shards {
            let known = self
                .shards
                .get(id)
                .is_some_and(|shard| first.saturating_sub(shard.next()) <= MAX_GAP_DAYS * terms.seasons.day);
            if !known {
                let home = self.told.homes.get(id).copied().unwrap_or(0);
                let models = self.clusters.get(home).map_or(&[][..], Cluster::models);
                self.shards.insert(*id, Shard::new(terms, first, home, models));
                self.offsets.insert(*id, Ring::new(offset_steps(terms), first));
            }
            while self.shards.get(id).is_some_and(|shard| shard.next() < first) {
                self.push(terms, *id, f32::NAN);
            }
        }
    }

    /// Begins a step, if it is a new one: what was learnt until the last one is fitted, one lead a step.
    pub(crate) fn turn_to(&mut self, terms: &Terms, step: u64) {
        let bands = terms.leads.len() as u64;
        for begun in self.next.max((step + 1).saturating_sub(bands))..=step {
            fit(terms, &mut self.clusters, &mut self.shards, (begun % bands) as usize);
        }
        self.clusters.iter_mut().for_each(|cluster| cluster.crowd.turn_to(step));
        self.next = self.next.max(step + 1);
    }

    /// Shows it a value of the step begun, or of an earlier one; one that it has seen is passed over.
    pub(crate) fn observe(&mut self, terms: &Terms, id: ShardId, step: u64, value: f32) {
        if self.shards.get(&id).is_some_and(|shard| shard.next() == step) {
            self.push(terms, id, value);
        }
    }

    fn push(&mut self, terms: &Terms, id: ShardId, value: f32) {
        let Self { shards, offsets, clusters, told, .. } = self;
        let Some(shard) = shards.get_mut(&id) else { return };
        let Some(around) = around(terms, clusters, offsets, told, id, shard.home) else { return };
        let step = shard.next();
        let offset = shard.push(&around, value);
        if let Some(own) = offsets.get_mut(&id) {
            own.push(offset);
        }
        if let Some(cluster) = clusters.get_mut(shard.home) {
            cluster.crowd.add(step, offset);
        }
    }

    /// Takes in what was found of shards together.
    pub(crate) fn relate(&mut self, terms: Option<&Terms>, relations: &Relations) -> Result<(), Failure> {
        let mut told = Told { clusters: relations.clusters.len(), ..Told::default() };
        if told.clusters > MAX_CLUSTERS {
            return Err(Failure::Other(format!("{} clusters, more than {MAX_CLUSTERS}", told.clusters)));
        }
        for (number, shards) in relations.clusters.iter().enumerate() {
            for id in shards {
                if told.homes.insert(*id, number + 1).is_some() {
                    return Err(Failure::Other(format!("shard {id} is in two clusters")));
                }
            }
        }
        told.links.take_in(&relations.links)?;
        let before = std::mem::replace(&mut self.told, told);
        let Some(terms) = terms.filter(|_| !self.clusters.is_empty()) else { return Ok(()) };
        if (before.clusters, &before.homes) != (self.told.clusters, &self.told.homes) {
            self.regroup(terms);
        }
        self.follow(terms, &before.links);
        Ok(())
    }

    /// Puts shards into the clusters told.
    fn regroup(&mut self, terms: &Terms) {
        self.clusters = vec![Cluster::new(terms, self.next); self.told.clusters + 1];
        for (id, shard) in &mut self.shards {
            shard.home = self.told.homes.get(id).copied().unwrap_or(0);
            if let (Some(cluster), Some(own)) = (self.clusters.get_mut(shard.home), self.offsets.get(id)) {
                for step in shard.next().saturating_sub(own.capacity() as u64)..shard.next() {
                    cluster.crowd.add(step, own.at(step));
                }
            }
        }
        (0..terms.leads.len()).for_each(|band| fit(terms, &mut self.clusters, &mut self.shards, band));
    }

    /// Has the shards learn anew that follow others than they did before.
    fn follow(&mut self, terms: &Terms, before: &Links) {
        let Self { shards, offsets, clusters, told, .. } = self;
        let longest = |id: &ShardId| {
            let links = told.links.of(*id).iter().chain(before.of(*id));
            links.map(|link| u64::from(link.lag_steps)).max().unwrap_or(0)
        };
        let changed: Vec<(ShardId, u64)> =
            shards.keys().filter(|id| told.links.of(**id) != before.of(**id)).map(|id| (*id, longest(id))).collect();
        // First all learn, then the models are fitted to that, and errors judged by them.
        for judged in [false, true] {
            for (id, lag) in &changed {
                let Some(shard) = shards.get_mut(id) else { continue };
                let Some(around) = around(terms, clusters, offsets, told, *id, shard.home) else { continue };
                for (band, _) in terms.leads.iter().enumerate().take_while(|(_, lead)| lead.lead <= *lag) {
                    if judged { shard.err_anew(&around, band) } else { shard.learn_anew(&around, band) }
                }
            }
            if !judged && !changed.is_empty() {
                (0..terms.leads.len()).for_each(|band| fit(terms, clusters, shards, band));
            }
        }
    }

    pub(crate) fn forget(&mut self, gone: &[ShardId]) {
        for id in gone {
            self.shards.remove(id);
            self.offsets.remove(id);
            self.told.homes.remove(id);
        }
        self.told.links.forget(gone);
    }

    /// Writes quantiles of a shard's load to come and of its maximum, as the request asks, or says that it never saw a value of it.
    pub(crate) fn forecast(
        &self,
        terms: &Terms,
        id: ShardId,
        request: &ForecastRequest,
        scratch: &mut Scratch,
        values: &mut [f32],
        peaks: &mut [f32],
    ) -> bool {
        let Some(shard) = self.shards.get(&id).filter(|shard| shard.is_ready()) else { return false };
        let Some(around) = around(terms, &self.clusters, &self.offsets, &self.told, id, shard.home) else {
            return false;
        };
        let asked = Asked {
            bands: &terms.seasons.bands,
            // A shard that missed the last batches is looked at from further away.
            first: self.next.saturating_sub(shard.next()) + 1,
            horizon: request.horizon as usize,
            levels: &request.quantiles,
            peak_steps: request.peak_steps as usize,
        };
        shard.forecast(&around, &asked, scratch, values, peaks);
        true
    }

    /// Whether nothing was observed yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.clusters.is_empty() && self.shards.is_empty()
    }

    /// Whether observing could have made it.
    pub(crate) fn is_sound(&self, terms: &Terms) -> bool {
        let homes = self.clusters.len();
        self.next < 2 * MAX_ID
            && homes == self.told.clusters + 1
            && homes <= MAX_CLUSTERS + 1
            && self.clusters.iter().all(|cluster| cluster.is_sound(terms, self.next))
            && self.shards.keys().eq(self.offsets.keys())
            && self.shards.values().zip(self.offsets.values()).all(|(shard, own)| {
                shard.is_sound(terms, homes, self.next) && own.fits(offset_steps(terms), shard.next())
            })
    }
}

/// Steps of offsets kept: from a day ago a lag of up to a day is looked back, and all of that must be there whether a shard has come to the
/// present step yet or not.
fn offset_steps(terms: &Terms) -> usize {
    2 * terms.seasons.day as usize + 1
}

/// Fits the model of a lead: for each cluster, and from there for each shard.
fn fit(terms: &Terms, clusters: &mut [Cluster], shards: &mut BTreeMap<ShardId, Shard>, band: usize) {
    let Some(lead) = terms.leads.get(band) else { return };
    let mut learnt = vec![(Learnt::new(lead), 0); clusters.len()];
    for shard in shards.values() {
        if let (Some((sum, count)), Some(own)) = (learnt.get_mut(shard.home), shard.learnt(band)) {
            sum.add(own);
            *count += 1;
        }
    }
    for (cluster, (learnt, count)) in clusters.iter_mut().zip(learnt) {
        cluster.fit(terms, band, learnt, count);
    }
    for shard in shards.values_mut() {
        if let Some(model) = clusters.get(shard.home).and_then(|cluster| cluster.models().get(band)) {
            shard.fit(lead, band, model);
        }
    }
}

/// What shard `id`, at `home` in one of `clusters`, sees of others.
fn around<'a>(
    terms: &'a Terms,
    clusters: &'a [Cluster],
    offsets: &'a BTreeMap<ShardId, Ring>,
    told: &Told,
    id: ShardId,
    home: usize,
) -> Option<Around<'a>> {
    let links = told.links.of(id).iter().filter(|link| u64::from(link.lag_steps) <= terms.seasons.day);
    let leaders = links.filter_map(|link| Some((*link, offsets.get(&link.leader)?))).collect();
    Some(Around { terms, cluster: clusters.get(home)?, own: offsets.get(&id)?, leaders })
}
