//! Digests of sets of rows that are kept up to date row by row.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// The sum modulo 2^128 of the XXH3-128 of each row: the same for the same set of rows, in whatever order they came and went.
///
/// It tells accident from equality (a lost write, a torn copy), not malice: whoever can choose rows can make sums meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RowsDigest(pub u128);

impl RowsDigest {
    /// Takes a row in.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        self.0 = self.0.wrapping_add(row_hash(key, value));
    }

    /// Takes a row out.
    pub fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.0 = self.0.wrapping_sub(row_hash(key, value));
    }
}

/// The length of the key goes first, so that no byte can wander from the key to the value unseen.
fn row_hash(key: &[u8], value: &[u8]) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&(key.len() as u64).to_le_bytes());
    hash.update(key);
    hash.update(value);
    hash.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn of<'a>(rows: impl IntoIterator<Item = (&'a Vec<u8>, &'a Vec<u8>)>) -> RowsDigest {
        let mut digest = RowsDigest::default();
        rows.into_iter().for_each(|(key, value)| digest.add(key, value));
        digest
    }

    proptest! {
        #[test]
        fn order_does_not_matter(rows: BTreeMap<Vec<u8>, Vec<u8>>) {
            prop_assert_eq!(of(rows.iter()), of(rows.iter().rev()));
        }

        #[test]
        fn removing_undoes_adding(rows: BTreeMap<Vec<u8>, Vec<u8>>, key: Vec<u8>, value: Vec<u8>) {
            let before = of(rows.iter());
            let mut digest = before;
            digest.add(&key, &value);
            prop_assert_ne!(digest, before);
            digest.remove(&key, &value);
            prop_assert_eq!(digest, before);
        }
    }

    #[test]
    fn key_and_value_are_told_apart() {
        let of = |key: &[u8], value: &[u8]| {
            let mut digest = RowsDigest::default();
            digest.add(key, value);
            digest
        };
        assert_ne!(of(b"ab", b"c"), of(b"a", b"bc"));
        assert_ne!(of(b"a", b""), of(b"", b"a"));
    }
}
