//! Whether a target may be trusted: digests of replicas at one log index.

use isobar_model::NodeId;
use isobar_ports::ReplicaDigest;
use std::collections::{BTreeMap, BTreeSet};

/// What the digests say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The target holds what a majority of the voters holds.
    Equal,
    /// Too few answered at one index: ask again.
    Incomplete(String),
    /// Somebody holds something else.
    Differs(String),
}

/// Judges: the target and a majority of the voters must have answered at one index, and all that answered must agree. A voter that is down
/// does not stop a move, since moving away from it may be the purpose.
pub(crate) fn judge(digests: &BTreeMap<NodeId, ReplicaDigest>, voters: &BTreeSet<NodeId>, target: NodeId) -> Judgement {
    let Some(theirs) = digests.get(&target) else {
        return Judgement::Incomplete(format!("node {target} has recorded no digest yet"));
    };
    let answered = voters.iter().filter(|voter| digests.contains_key(voter)).count();
    if answered * 2 <= voters.len() {
        return Judgement::Incomplete(format!("{answered} of {} voters have recorded a digest", voters.len()));
    }
    for (node, digest) in digests {
        if digest.index != theirs.index {
            return Judgement::Incomplete(format!(
                "node {node} recorded its digest at index {}, node {target} at index {}",
                digest.index, theirs.index
            ));
        }
        if (digest.digest, digest.rows) != (theirs.digest, theirs.rows) {
            return Judgement::Differs(format!(
                "at index {} node {target} holds {} rows of digest {:032x}, node {node} {} rows of digest {:032x}",
                theirs.index, theirs.rows, theirs.digest, digest.rows, digest.digest
            ));
        }
    }
    Judgement::Equal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_digests_of_a_majority_at_one_index_will_do() {
        let voters: BTreeSet<_> = [1, 2, 3].map(NodeId).into();
        let verdict = |rows: &[(u64, u64, u128)]| {
            let digests = rows.iter().map(|&(n, index, digest)| (NodeId(n), ReplicaDigest { index, digest, rows: 5 }));
            match judge(&digests.collect(), &voters, NodeId(4)) {
                Judgement::Equal => "equal",
                Judgement::Incomplete(_) => "incomplete",
                Judgement::Differs(_) => "differs",
            }
        };
        assert_eq!(verdict(&[(1, 7, 9), (2, 7, 9), (3, 7, 9), (4, 7, 9)]), "equal");
        assert_eq!(verdict(&[(1, 7, 9), (2, 7, 9), (4, 7, 9)]), "equal");
        assert_eq!(verdict(&[(1, 7, 9), (4, 7, 9)]), "incomplete");
        assert_eq!(verdict(&[(1, 7, 9), (2, 7, 9), (3, 7, 9)]), "incomplete");
        assert_eq!(verdict(&[(1, 7, 9), (2, 8, 9), (4, 7, 9)]), "incomplete");
        assert_eq!(verdict(&[(1, 7, 9), (2, 7, 9), (4, 7, 8)]), "differs");
        assert_eq!(verdict(&[(1, 7, 8), (2, 7, 9), (3, 7, 9), (4, 7, 9)]), "differs");
        assert_eq!(verdict(&[]), "incomplete");
    }
}
