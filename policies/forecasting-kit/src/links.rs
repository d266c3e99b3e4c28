use crate::failure::Failure;
use isobar_model::insights::MAX_LINKS_PER_FOLLOWER;
use isobar_model::{Link, ShardId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which shards follow which, of one metric: of each follower, at most as many links as the contract allows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Links(BTreeMap<ShardId, Vec<Link>>);

impl Links {
    /// Takes in these in place of those before. Of a follower with more links than the contract allows, the first ones count.
    ///
    /// # Errors
    /// [`Failure::Other`] for a link that can't be; nothing has changed then.
    pub fn take_in(&mut self, links: &[Link]) -> Result<(), Failure> {
        let sound = |link: &Link| link.lag_steps > 0 && link.leader != link.follower && link.strength.is_finite();
        if let Some(link) = links.iter().find(|link| !sound(link)) {
            let Link { follower, leader, lag_steps, strength, .. } = link;
            return Err(Failure::Other(format!(
                "no link: shard {follower} after {leader} by {lag_steps} steps, with strength {strength}"
            )));
        }
        self.0.clear();
        for link in links {
            let own = self.0.entry(link.follower).or_default();
            if own.len() < MAX_LINKS_PER_FOLLOWER {
                own.push(*link);
            }
        }
        Ok(())
    }

    /// Those of one follower, as they were told.
    #[must_use]
    pub fn of(&self, follower: ShardId) -> &[Link] {
        self.0.get(&follower).map_or(&[], Vec::as_slice)
    }

    /// Drops followers that are gone for ever.
    pub fn forget(&mut self, followers: &[ShardId]) {
        followers.iter().for_each(|follower| _ = self.0.remove(follower));
    }
}
