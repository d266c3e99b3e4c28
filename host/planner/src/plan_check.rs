//! The host has the last word: each move of a plan is judged by named rules, in order, as if those before it were done.
//!
//! Two pictures are kept: what will be (moves accepted), and what would be (moves held for a keyspace's mode, too), so that a plan that is
//! only shown is judged as a whole without holding back one that is carried out.

mod gauge;
mod picture;
mod round;

pub use round::{CheckSettings, KeyspaceRule, Origin, RoundInput};

use crate::budget::Spent;
use isobar_model::ids::MAX_ID;
use isobar_model::{
    Action, CheckedMove, ClusterView, KeyspaceId, KeyspacePlacement, Mode, Move, NodeId, NodeState, Rule, ShardId,
    Verdict,
};
use picture::Picture;
use std::collections::BTreeSet;

/// Most moves of one plan that are judged: the contract's bound.
pub const MAX_JUDGED_MOVES: usize = 10_000;
/// Longest reason a move may give, bytes: the contract's bound.
const MAX_REASON_BYTES: usize = 512;

/// The judge of one round. Its view holds every shard, those that policies do not see among them (`observe`), since drains and operators may
/// move these, too.
#[derive(Debug)]
pub struct PlanCheck<'a> {
    view: &'a ClusterView,
    input: RoundInput<'a>,
    /// Keyspaces in which policies' moves are shown only: forecasting has not been shown to pay.
    abstaining: BTreeSet<KeyspaceId>,
    /// Distinct zones with a node that is up.
    zones_up: usize,
    /// As it will be.
    accepted: Picture,
    /// As it would be with the held moves done as well; made when the first is held.
    shown: Option<Picture>,
    spent: Spent,
}

/// A rule broken, with the figures in words.
type Broken = (Rule, String);

impl<'a> PlanCheck<'a> {
    /// A judge who has accepted nothing yet.
    #[must_use]
    pub fn new(view: &'a ClusterView, input: RoundInput<'a>) -> Self {
        let up = view.nodes.zones.iter().zip(&view.nodes.states).filter(|(_, state)| **state == NodeState::Up);
        let zones_up = up.map(|(zone, _)| zone).collect::<BTreeSet<_>>().len();
        let accepted = Picture::new(view, input.expected);
        Self { view, input, abstaining: BTreeSet::new(), zones_up, accepted, shown: None, spent: Spent::default() }
    }

    /// The same, who holds back what policies propose in these keyspaces.
    #[must_use]
    pub fn abstaining_in(self, abstaining: BTreeSet<KeyspaceId>) -> Self {
        Self { abstaining, ..self }
    }

    /// Judges one move and, where it is accepted, takes it as done for those after it.
    pub fn judge(&mut self, proposed: Move, origin: Origin) -> CheckedMove {
        let verdict = self.verdict(&proposed, origin);
        match &verdict {
            Verdict::Accepted => self.accept(&proposed, origin),
            Verdict::Held { .. } => {
                if let Some(shard) = self.accepted.index(self.view, proposed.shard) {
                    let picture = self.shown.get_or_insert_with(|| self.accepted.clone());
                    picture.apply(self.view, self.input.expected, shard, proposed.action);
                    picture.count_move();
                }
            }
            Verdict::Refused { .. } => {}
        }
        CheckedMove { proposed, verdict }
    }

    /// Judges a whole plan, first things first. Moves over the bound are dropped; the second value says how many.
    pub fn judge_plan(&mut self, moves: Vec<Move>, origin: Origin) -> (Vec<CheckedMove>, usize) {
        let dropped = moves.len().saturating_sub(MAX_JUDGED_MOVES);
        (moves.into_iter().take(MAX_JUDGED_MOVES).map(|m| self.judge(m, origin)).collect(), dropped)
    }

    /// What the moves accepted so far spend of the policies' budgets.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// The verdict on a move, without taking it as done.
    #[must_use]
    pub fn verdict(&self, proposed: &Move, origin: Origin) -> Verdict {
        let held = self.held_by(proposed.shard, origin);
        let picture = match (&held, &self.shown) {
            (Some(_), Some(shown)) => shown,
            (Some(_) | None, _) => &self.accepted,
        };
        match (self.check(picture, proposed, origin), held) {
            (Err((rule, detail)), _) => Verdict::Refused { rule, detail },
            (Ok(()), Some(rule)) => Verdict::Held { rule },
            (Ok(()), None) => Verdict::Accepted,
        }
    }

    pub(crate) fn view(&self) -> &'a ClusterView {
        self.view
    }

    pub(crate) fn picture(&self) -> &Picture {
        &self.accepted
    }

    fn accept(&mut self, proposed: &Move, origin: Origin) {
        let Some(shard) = self.accepted.index(self.view, proposed.shard) else { return };
        for picture in [Some(&mut self.accepted), self.shown.as_mut()].into_iter().flatten() {
            picture.apply(self.view, self.input.expected, shard, proposed.action);
        }
        match origin {
            Origin::Policy | Origin::Reactive | Origin::Released => {
                self.accepted.count_move();
                if let Some(shown) = &mut self.shown {
                    shown.count_move();
                }
                self.spent.moves = self.spent.moves.saturating_add(1);
                if matches!(proposed.action, Action::MoveReplica { .. }) {
                    self.spent.bytes = self.spent.bytes.saturating_add(self.view.shards.bytes[shard]);
                }
            }
            Origin::Drain | Origin::Operator => {}
        }
    }

    /// The rule by which a move is shown but not carried out.
    fn held_by(&self, shard: ShardId, origin: Origin) -> Option<Rule> {
        match origin {
            Origin::Operator => None,
            Origin::Policy | Origin::Reactive | Origin::Released | Origin::Drain if self.input.halted => {
                Some(Rule::Halted)
            }
            Origin::Released | Origin::Drain => None,
            Origin::Policy | Origin::Reactive => {
                let shard = self.accepted.index(self.view, shard)?;
                let abstains =
                    || origin == Origin::Policy && self.abstaining.contains(&self.view.shards.keyspaces[shard]);
                match self.mode(shard) {
                    Mode::Auto => abstains().then_some(Rule::GainUnproven),
                    Mode::Observe | Mode::Advise | Mode::Approve => Some(Rule::Mode),
                }
            }
        }
    }

    /// Every rule, from what makes a move meaningless to what makes it unwise.
    fn check(&self, picture: &Picture, proposed: &Move, origin: Origin) -> Result<(), Broken> {
        well_formed(proposed)?;
        let shard = picture
            .index(self.view, proposed.shard)
            .filter(|&shard| !matches!(origin, Origin::Policy | Origin::Reactive) || self.mode(shard) != Mode::Observe)
            .ok_or_else(|| (Rule::UnknownShard, format!("no shard {} in the policy's scope", proposed.shard)))?;
        match proposed.action {
            Action::MoveReplica { source, target } => {
                let (from, to) = (self.node(source)?, self.node(target)?);
                self.relocation(picture, shard, from, to, origin)?;
                self.unhurried(picture, shard, proposed, origin, self.input.settings.min_gain_replica)?;
                self.headroom(picture, shard, proposed.action, from, to, origin)?;
                self.budgets(picture, self.view.shards.bytes[shard], origin)
            }
            Action::TransferLeader(target) => {
                let to = self.node(target)?;
                let from = self.transfer(picture, shard, to)?;
                self.unhurried(picture, shard, proposed, origin, self.input.settings.min_gain_leader)?;
                self.headroom(picture, shard, proposed.action, from, to, origin)?;
                self.budgets(picture, 0, origin)
            }
            Action::RemoveReplica(node) => {
                let node = self.node(node)?;
                self.holds(picture, shard, node)?;
                let (have, need) = (picture.replicas(self.view, shard).len() as u32, self.factor(shard));
                if have <= need {
                    return Err((Rule::ReplicationFactor, format!("{have} replicas of {need} needed")));
                }
                Err(unsupported("removing replicas"))
            }
            Action::AddReplica(node) => {
                self.node(node)?;
                Err(unsupported("adding replicas"))
            }
            Action::Split => Err(unsupported("splitting")),
            Action::MergeWith(_) => Err(unsupported("merging")),
        }
    }

    /// What keeps the data safe when a replica moves.
    fn relocation(
        &self,
        picture: &Picture,
        shard: usize,
        from: usize,
        to: usize,
        origin: Origin,
    ) -> Result<(), Broken> {
        let nodes = &self.view.nodes;
        self.holds(picture, shard, from)?;
        if from == to {
            return Err((Rule::NoChange, format!("source and target are both node {}", nodes.ids[to])));
        }
        let replicas = picture.replicas(self.view, shard);
        if replicas.contains(&(to as u32)) {
            return Err((Rule::DistinctNodes, format!("node {} holds a replica already", nodes.ids[to])));
        }
        self.not_moving(picture, shard)?;
        self.ready(to)?;

        self.at_home(picture, shard, from, to, origin)?;

        let zone = |node: u32| nodes.zones[node as usize];
        let others = || replicas.iter().copied().filter(|&node| node as usize != from);
        let before = replicas.iter().map(|&n| zone(n)).collect::<BTreeSet<_>>().len();
        let after = others().chain([to as u32]).map(zone).collect::<BTreeSet<_>>().len();
        // A move is not to blame for zones that were shared before it.
        if after < self.zones_up.min(replicas.len()) && after < before {
            let detail = format!("zone {} holds another replica", nodes.zones[to]);
            return Err((Rule::DistinctZones, detail));
        }

        let (have, need) = (replicas.len() as u32, self.factor(shard));
        if have < need {
            return Err((Rule::ReplicationFactor, format!("{have} replicas of {need} needed")));
        }
        // While voters change, a replica that is away already stands between the shard and its quorum.
        if let Some(away) = others().find(|&node| !is_serving(nodes.states[node as usize])) {
            let detail = format!("another replica is on node {}, which does not answer", nodes.ids[away as usize]);
            return Err((Rule::ReplicationFactor, detail));
        }

        let (used, bytes, room) = (picture.used_bytes(to), self.view.shards.bytes[shard], nodes.capacity_bytes[to]);
        if used.saturating_add(bytes) > room {
            let detail = format!("{bytes} bytes to come, {used} of {room} used on node {}", nodes.ids[to]);
            return Err((Rule::DiskSpace, detail));
        }
        for node in [from, to] {
            let (now, most) = (picture.in_flight(node), self.view.limits.moves_per_node);
            if now >= most {
                let detail = format!("{now} moves of data on node {}, {most} allowed", nodes.ids[node]);
                return Err((Rule::InFlightPerNode, detail));
            }
        }
        Ok(())
    }

    /// What the keyspace asks of the nodes that its replicas live on. Of moves under way the worst is taken: for who is to be apart, that
    /// replicas are at both ends; for who is to be together, that they are at neither.
    fn at_home(&self, picture: &Picture, shard: usize, from: usize, to: usize, origin: Origin) -> Result<(), Broken> {
        let (view, keyspace) = (self.view, self.view.shards.keyspaces[shard]);
        if let Some((rule, detail)) = unfit(view, picture, keyspace, to, Standing::Comes) {
            return Err((rule, detail));
        }
        if !is_policy(origin) || picture.least_held(from, keyspace) != 1 {
            return Ok(());
        }
        let needs = |p: &&KeyspacePlacement| p.together.contains(&keyspace) && picture.most_held(from, p.keyspace) > 0;
        match view.placement.iter().find(needs) {
            Some(left) => {
                let (node, other) = (view.nodes.ids[from], left.keyspace);
                let detail = format!("node {node} would hold replicas of keyspace {other} without any of {keyspace}");
                Err((Rule::KeyspacesTogether, detail))
            }
            None => Ok(()),
        }
    }

    /// Whether leadership can go to `to`; from where it would go.
    fn transfer(&self, picture: &Picture, shard: usize, to: usize) -> Result<usize, Broken> {
        self.holds(picture, shard, to)?;
        let from = picture.replicas(self.view, shard)[0] as usize;
        if from == to {
            return Err((Rule::NoChange, format!("node {} leads already", self.view.nodes.ids[to])));
        }
        self.not_moving(picture, shard)?;
        self.ready(to)?;
        Ok(from)
    }

    /// Cool-down, and gain over cost.
    fn unhurried(
        &self,
        picture: &Picture,
        shard: usize,
        proposed: &Move,
        origin: Origin,
        least: f32,
    ) -> Result<(), Broken> {
        if !is_policy(origin) {
            return Ok(());
        }
        let (last, cool_down) = (picture.last_moved(self.view, shard), self.view.limits.cool_down_ms);
        let since = self.view.now.since_ms(last);
        if last.0 != 0 && since < cool_down {
            return Err((Rule::CoolDown, format!("moved {since} ms ago, {cool_down} ms asked")));
        }
        if proposed.gain <= least {
            return Err((Rule::GainBelowCost, format!("gain {}, more than {least} asked", proposed.gain)));
        }
        Ok(())
    }

    /// A destination over its headroom, and worse off than the source, by the present load as well as by the load expected once the
    /// move is done. By both, since a policy may know either: one that plans ahead moves to nodes that are busy now. The same for each resource
    /// that the destination declares a capacity of.
    fn headroom(
        &self,
        picture: &Picture,
        shard: usize,
        action: Action,
        from: usize,
        to: usize,
        origin: Origin,
    ) -> Result<(), Broken> {
        if !is_policy(origin) {
            return Ok(());
        }
        let most = self.view.limits.max_utilisation;
        let over = |(source, target): (f32, f32)| target > most && target > source;
        let mut after = picture.utilisation_after(self.view, self.input.expected, shard, action, from, to);
        let Some(after) = after.find(|after| over(after.now) && over(after.later)) else { return Ok(()) };
        let (rule, what) = match after.resource {
            None => (Rule::CapacityHeadroom, String::new()),
            Some(at) => (Rule::ResourceHeadroom, format!(" of its {}", self.view.resources[at].metric.name())),
        };
        let detail = format!(
            "node {} would be at {:.0} %{what} now and {:.0} % later, {:.0} % allowed",
            self.view.nodes.ids[to],
            after.now.1 * 100.0,
            after.later.1 * 100.0,
            most * 100.0
        );
        Err((rule, detail))
    }

    fn budgets(&self, picture: &Picture, bytes: u64, origin: Origin) -> Result<(), Broken> {
        if !is_policy(origin) {
            return Ok(());
        }
        let (round, most) = (picture.moves(), self.view.limits.moves_per_round);
        if round >= most {
            return Err((Rule::MoveBudget, format!("{round} moves this round, {most} allowed")));
        }
        let (settings, hour) = (&self.input.settings, &self.input.spent);
        let moves = hour.moves.saturating_add(u64::from(round));
        if moves >= settings.moves_per_hour {
            return Err((Rule::MoveBudget, format!("{moves} moves this hour, {} allowed", settings.moves_per_hour)));
        }
        let sum = hour.bytes.saturating_add(picture.moved_bytes()).saturating_add(bytes);
        if bytes > 0 && sum > settings.bytes_per_hour {
            return Err((Rule::ByteBudget, format!("{sum} bytes this hour, {} allowed", settings.bytes_per_hour)));
        }
        Ok(())
    }

    fn node(&self, id: NodeId) -> Result<usize, Broken> {
        self.view.nodes.ids.binary_search(&id).map_err(|_| (Rule::UnknownNode, format!("no node {id}")))
    }

    fn holds(&self, picture: &Picture, shard: usize, node: usize) -> Result<(), Broken> {
        if picture.replicas(self.view, shard).contains(&(node as u32)) {
            return Ok(());
        }
        let (shard, node) = (self.view.shards.ids[shard], self.view.nodes.ids[node]);
        Err((Rule::NotAReplica, format!("node {node} holds no replica of shard {shard}")))
    }

    fn not_moving(&self, picture: &Picture, shard: usize) -> Result<(), Broken> {
        let id = self.view.shards.ids[shard];
        if picture.is_moving(id) { Err((Rule::AlreadyMoving, format!("shard {id} is moving"))) } else { Ok(()) }
    }

    fn ready(&self, node: usize) -> Result<(), Broken> {
        let (id, state) = (self.view.nodes.ids[node], self.view.nodes.states[node]);
        let word = match state {
            NodeState::Up => return Ok(()),
            NodeState::Draining => "draining",
            NodeState::Suspect => "suspect",
            NodeState::Down => "down",
        };
        Err((Rule::NodeNotReady, format!("node {id} is {word}")))
    }

    fn mode(&self, shard: usize) -> Mode {
        self.input.keyspaces.get(&self.view.shards.keyspaces[shard]).map_or(Mode::Advise, |rule| rule.mode)
    }

    fn factor(&self, shard: usize) -> u32 {
        let rule = self.input.keyspaces.get(&self.view.shards.keyspaces[shard]);
        rule.map_or(self.view.shards.replicas_of(shard).len() as u32, |rule| rule.replication_factor)
    }
}

/// Whether a replica is to come to a node or is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Comes,
    /// Of two keyspaces that are to be apart the younger one gives way: if both did, neither would gain by it.
    IsThere,
}

/// Why a node is no place for replicas of a keyspace, by the keyspace's rules.
pub(crate) fn unfit(
    view: &ClusterView,
    picture: &Picture,
    keyspace: KeyspaceId,
    node: usize,
    standing: Standing,
) -> Option<Broken> {
    let at = view.placement.binary_search_by_key(&keyspace, |placement| placement.keyspace).ok()?;
    let (rules, id) = (&view.placement[at], view.nodes.ids[node]);
    if rules.nodes.binary_search(&(node as u32)).is_err() {
        let detail = format!("node {id} has not the labels that keyspace {keyspace} asks for");
        return Some((Rule::NodeLabels, detail));
    }
    let gives_way = |other: KeyspaceId| standing == Standing::Comes || other < keyspace;
    let beside = |other: &&KeyspaceId| gives_way(**other) && picture.most_held(node, **other) > 0;
    if let Some(other) = rules.apart.iter().find(beside) {
        let detail = format!("node {id} holds replicas of keyspace {other}, apart from which {keyspace} is to be");
        return Some((Rule::KeyspacesApart, detail));
    }
    let other = rules.together.iter().find(|&&other| picture.least_held(node, other) == 0)?;
    let detail = format!("node {id} holds no replica of keyspace {other}, together with which {keyspace} is to be");
    Some((Rule::KeyspacesTogether, detail))
}

fn is_policy(origin: Origin) -> bool {
    match origin {
        Origin::Policy | Origin::Reactive | Origin::Released => true,
        Origin::Drain | Origin::Operator => false,
    }
}

fn is_serving(state: NodeState) -> bool {
    match state {
        NodeState::Up | NodeState::Draining => true,
        NodeState::Suspect | NodeState::Down => false,
    }
}

fn unsupported(what: &str) -> Broken {
    (Rule::Unsupported, format!("{what} is not carried out in this build"))
}

fn well_formed(proposed: &Move) -> Result<(), Broken> {
    let cause = if !(0.0..=1.0).contains(&proposed.urgency) {
        format!("urgency {} is not within 0 to 1", proposed.urgency)
    } else if !proposed.gain.is_finite() {
        format!("gain {} is not finite", proposed.gain)
    } else if proposed.start_by.0 >= MAX_ID {
        format!("latest start {} is not below 2^53", proposed.start_by)
    } else if proposed.reason.len() > MAX_REASON_BYTES {
        format!("a reason of {} bytes, {MAX_REASON_BYTES} allowed", proposed.reason.len())
    } else {
        return Ok(());
    };
    Err((Rule::Malformed, cause))
}

#[cfg(test)]
mod tests;
