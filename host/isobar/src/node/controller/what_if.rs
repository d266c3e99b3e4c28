//! What would be planned if things were otherwise.

use super::Controller;
use super::rounds::rules;
use super::swaps::unfit;
use isobar_api::backend::BackendError;
use isobar_api::{WhatIfAsk, WhatIfInfo, WhatIfNode};
use isobar_control::{Bound, Supposed, SupposedNode, Supposition};
use isobar_model::Role;

impl Controller {
    /// Plans as supposed; nothing is carried out.
    pub(crate) async fn what_if(&self, ask: WhatIfAsk) -> Result<WhatIfInfo, BackendError> {
        let state = self.here.state();
        let WhatIfAsk { down, draining, added, load, placer } = ask;
        let placer = match placer {
            Some(Some((digest, config))) => {
                let name = self.bindable(&state, Role::Place, digest)?;
                self.compile(digest).await?;
                Some(Some(Bound { digest, name, config }))
            }
            Some(None) => Some(None),
            None => None,
        };
        let supposed = Supposition { down, draining, added_nodes: added, load, placer };
        let observation = self.observation(&state, self.here.clock().now(), 0);
        let rules = rules(&state);
        let found = self.brain.call(move |brain| brain.what_if(&observation, &rules, &supposed)).await?;
        Ok(info(found.map_err(unfit)?, state.settings().step_ms))
    }
}

fn info(found: Supposed, step_ms: u32) -> WhatIfInfo {
    let node = |node: SupposedNode| WhatIfNode {
        node: node.node,
        added: node.is_added,
        state: node.state,
        as_it_is: node.as_it_is,
        unmoved: node.unmoved,
        planned: node.planned,
        feared: node.feared,
    };
    WhatIfInfo {
        policy: found.policy,
        fallback: found.fallback,
        nodes: found.nodes.into_iter().map(node).collect(),
        moves: found.moves.into_iter().map(Into::into).collect(),
        refused: found.refused.into_iter().map(Into::into).collect(),
        data_moves: found.data_moves,
        leader_transfers: found.leader_transfers,
        bytes: found.bytes,
        takes_ms: (f64::from(found.steps) * f64::from(step_ms)) as u64,
        cut: found.is_cut,
        notes: found.notes,
    }
}
