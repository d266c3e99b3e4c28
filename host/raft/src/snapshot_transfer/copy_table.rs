//! Rates and progress of copies.

use isobar_model::NodeId;
use isobar_storage::GroupId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// The rate and the progress of the copies this node sends or may come to send.
#[derive(Debug, Default)]
pub(crate) struct CopyTable {
    copies: Mutex<HashMap<(GroupId, NodeId), Copy>>,
}

/// How far a copy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copy {
    /// 0: unthrottled.
    rate_bytes_per_s: u64,
    pub(crate) copied_bytes: u64,
    pub(crate) total_bytes: u64,
    sending: bool,
}

/// Marks a copy as being sent until dropped.
pub(crate) struct Copying<'a> {
    table: &'a CopyTable,
    key: (GroupId, NodeId),
}

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        if let Some(copy) = self.table.copies.lock().get_mut(&self.key) {
            copy.sending = false;
        }
    }
}

impl CopyTable {
    /// Paces copies of `group` to `node` from now on, one that runs included.
    pub(crate) fn set_rate(&self, group: GroupId, node: NodeId, rate_bytes_per_s: u64) {
        self.copies.lock().entry((group, node)).or_default().rate_bytes_per_s = rate_bytes_per_s;
    }

    pub(crate) fn begin(&self, group: GroupId, node: NodeId, total_bytes: u64) -> Copying<'_> {
        let key = (group, node);
        let mut copies = self.copies.lock();
        let copy = copies.entry(key).or_default();
        (copy.copied_bytes, copy.total_bytes, copy.sending) = (0, total_bytes, true);
        Copying { table: self, key }
    }

    pub(super) fn advance(&self, group: GroupId, node: NodeId, bytes: u64) {
        if let Some(copy) = self.copies.lock().get_mut(&(group, node)) {
            copy.copied_bytes = (copy.copied_bytes + bytes).min(copy.total_bytes);
        }
    }

    /// Waits as long as `bytes` take at the copy's rate.
    pub(super) async fn pace(&self, group: GroupId, node: NodeId, bytes: u64) {
        let mut left = bytes;
        loop {
            let rate = self.copies.lock().get(&(group, node)).map_or(0, |copy| copy.rate_bytes_per_s);
            let Some((wait, covered)) = next_wait(left, rate) else { return };
            tokio::time::sleep(wait).await;
            left -= covered;
        }
    }

    /// How far the copy of `group` to `node` is.
    pub(crate) fn progress(&self, group: GroupId, node: NodeId) -> Copy {
        self.copies.lock().get(&(group, node)).copied().unwrap_or_default()
    }

    /// Whether any copy of `group` is being sent.
    pub(crate) fn is_sending(&self, group: GroupId) -> bool {
        self.copies.lock().iter().any(|((of, _), copy)| *of == group && copy.sending)
    }

    /// Drops rate and progress of the copy of `group` to `node`.
    pub(crate) fn end(&self, group: GroupId, node: NodeId) {
        self.copies.lock().remove(&(group, node));
    }

    /// Drops all there is of `group`.
    pub(crate) fn forget(&self, group: GroupId) {
        self.copies.lock().retain(|(of, _), _| *of != group);
    }
}

/// A wait is cut into pieces of this length, so that a new rate counts soon.
const SLICE: Duration = Duration::from_millis(250);

/// How long to wait next, and how many of the `left` bytes that makes up for; none once they may go. The bucket starts empty, so that a
/// copy takes its bytes divided by its rate, however many chunks it has.
fn next_wait(left: u64, rate_bytes_per_s: u64) -> Option<(Duration, u64)> {
    if left == 0 || rate_bytes_per_s == 0 {
        return None;
    }
    let micros = u128::from(left) * 1_000_000 / u128::from(rate_bytes_per_s);
    match u64::try_from(micros).map(Duration::from_micros) {
        Ok(wait) if wait <= SLICE => Some((wait, left)),
        Ok(_) | Err(_) => {
            // At the slowest of rates a slice is worth less than a byte: then one byte waits for its whole time.
            let covered = u128::from(rate_bytes_per_s) * SLICE.as_micros() / 1_000_000;
            match u64::try_from(covered) {
                Ok(0) => Some((Duration::from_micros(1_000_000 / rate_bytes_per_s), 1)),
                Ok(covered) => Some((SLICE, covered.min(left))),
                Err(_) => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time_for(mut left: u64, rate: u64) -> f64 {
        let mut waited = Duration::ZERO;
        while let Some((wait, covered)) = next_wait(left, rate) {
            assert!((1..=left).contains(&covered), "{covered} of {left}");
            waited += wait;
            left -= covered;
        }
        waited.as_secs_f64()
    }

    #[test]
    fn a_copy_takes_its_bytes_divided_by_its_rate() {
        for (bytes, rate) in
            [(1, 1), (3, 2), (1_000_000, 100_000), (262_144, 10_000), (100, 1_000_000_000), (1 << 40, 1 << 30)]
        {
            let (took_s, due_s) = (time_for(bytes, rate), bytes as f64 / rate as f64);
            assert!(
                (took_s - due_s).abs() <= 0.001 * due_s + 1e-5,
                "{bytes} bytes at {rate}/s took {took_s} s, not {due_s} s"
            );
        }
    }

    #[test]
    fn a_copy_without_a_rate_does_not_wait() {
        assert_eq!(next_wait(u64::MAX, 0), None);
        assert_eq!(time_for(0, 1), 0.0);
    }

    #[test]
    fn a_copy_is_being_sent_until_its_guard_is_dropped() {
        let (table, group, node) = (CopyTable::default(), GroupId(1), NodeId(2));
        let copying = table.begin(group, node, 1);
        assert!(table.is_sending(group) && !table.is_sending(GroupId(2)));
        drop(copying);
        assert!(!table.is_sending(group));
    }
}
