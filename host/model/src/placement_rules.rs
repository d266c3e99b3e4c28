//! Where replicas of a keyspace may live: on which nodes, by their labels, and beside whom.

use crate::ids::KeyspaceId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// Labels of one node: a disk's kind, a region, a rack and some more.
pub const MAX_LABELS: usize = 32;
/// Entries of each part of a keyspace's rules: rules that people can still overlook.
pub const MAX_RULE_ENTRIES: usize = 32;
/// Longest key or value of a label, in bytes, as of a DNS label.
const MAX_WORD_BYTES: usize = 63;

/// What a node says of itself: `key=value`, each 1 to 63 of `A-Z a-z 0-9 - _ . /`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label {
    key: String,
    value: String,
}

/// A text that is no label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLabel(String);

impl fmt::Display for BadLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no label: write key=value, each 1 to {MAX_WORD_BYTES} of A-Z a-z 0-9 - _ . /", self.0)
    }
}

impl std::error::Error for BadLabel {}

impl FromStr for Label {
    type Err = BadLabel;

    fn from_str(text: &str) -> Result<Self, BadLabel> {
        let is_word = |word: &str| {
            (1..=MAX_WORD_BYTES).contains(&word.len())
                && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        };
        match text.split_once('=') {
            Some((key, value)) if is_word(key) && is_word(value) => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            Some(_) | None => Err(BadLabel(text.chars().take(2 * MAX_WORD_BYTES).collect())),
        }
    }
}

impl TryFrom<String> for Label {
    type Error = BadLabel;

    fn try_from(text: String) -> Result<Self, BadLabel> {
        text.parse()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.to_string()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// What a keyspace asks of the nodes that its replicas live on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementRules {
    /// Of each key named here, a node has one of the values named.
    pub require: BTreeSet<Label>,
    /// A node has none of these.
    pub forbid: BTreeSet<Label>,
    /// No node holds replicas of this keyspace and of one of these (anti-affinity). It holds whichever of the two asks for it.
    pub apart: BTreeSet<KeyspaceId>,
    /// Every node that holds replicas of this keyspace holds some of each of these (affinity).
    pub together: BTreeSet<KeyspaceId>,
}

impl PlacementRules {
    /// Whether anything is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.require.is_empty() && self.forbid.is_empty() && self.apart.is_empty() && self.together.is_empty()
    }

    /// Whether a node with these labels may hold replicas.
    #[must_use]
    pub fn fits(&self, labels: &BTreeSet<Label>) -> bool {
        let mut wanted: BTreeMap<&str, bool> = BTreeMap::new();
        for label in &self.require {
            *wanted.entry(&label.key).or_default() |= labels.contains(label);
        }
        wanted.values().all(|has_one| *has_one) && self.forbid.is_disjoint(labels)
    }

    /// What can't be asked, in words.
    ///
    /// # Errors
    /// More entries than there may be, a keyspace asked to be apart from or together with itself, or both with another.
    pub fn check(&self, own: KeyspaceId) -> Result<(), String> {
        let longest = [self.require.len(), self.forbid.len(), self.apart.len(), self.together.len()];
        if longest.iter().any(|entries| *entries > MAX_RULE_ENTRIES) {
            return Err(format!("each part of placement rules has at most {MAX_RULE_ENTRIES} entries"));
        }
        if let Some(both) = self.require.intersection(&self.forbid).next() {
            return Err(format!("label {both} is both required and forbidden"));
        }
        if self.apart.contains(&own) || self.together.contains(&own) {
            return Err("a keyspace is named beside itself: name others".to_owned());
        }
        match self.apart.intersection(&self.together).next() {
            Some(both) => Err(format!("keyspace {both} is to be both apart and together")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(texts: &[&str]) -> BTreeSet<Label> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn labels_are_read_and_written_as_they_are() {
        let label: Label = "disk=nvme-2.0".parse().unwrap();
        assert_eq!(label.to_string(), "disk=nvme-2.0");
        for bad in ["", "disk", "=x", "disk=", "a b=c", "a=b=c", &format!("{}=x", "k".repeat(64))] {
            let message = bad.parse::<Label>().unwrap_err().to_string();
            assert!(message.contains("key=value"), "{bad}: {message}");
        }
    }

    #[test]
    fn of_one_key_any_value_will_do_of_several_keys_each_must() {
        let rules = PlacementRules { require: labels(&["region=eu", "region=us", "disk=ssd"]), ..Default::default() };
        assert!(rules.fits(&labels(&["region=us", "disk=ssd", "rack=7"])));
        assert!(!rules.fits(&labels(&["region=us", "disk=hdd"])));
        assert!(!rules.fits(&labels(&["region=ap", "disk=ssd"])));
        assert!(!rules.fits(&labels(&[])));
        let forbids = PlacementRules { forbid: labels(&["disk=hdd"]), ..Default::default() };
        assert!(forbids.fits(&labels(&[])) && !forbids.fits(&labels(&["disk=hdd"])));
        assert!(PlacementRules::default().fits(&labels(&["a=b"])));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let own = KeyspaceId(1);
        let both = PlacementRules { require: labels(&["a=b"]), forbid: labels(&["a=b"]), ..Default::default() };
        assert!(both.check(own).unwrap_err().contains("a=b"));
        let itself = PlacementRules { apart: [own].into(), ..Default::default() };
        assert!(itself.check(own).is_err() && itself.check(KeyspaceId(2)).is_ok());
        let other = [KeyspaceId(2)];
        let torn = PlacementRules { apart: other.into(), together: other.into(), ..Default::default() };
        assert!(torn.check(own).unwrap_err().contains("apart and together"));
        let many = PlacementRules { apart: (2..40).map(KeyspaceId).collect(), ..Default::default() };
        assert!(many.check(own).is_err());
    }
}
