//! The shared log against a model of it.

use bytes::Bytes;
use isobar_storage::{FjallLog, GroupId, GroupLog, LogEngine, LogRecord, MemoryLog};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc;

const EVERYTHING: usize = usize::MAX;

/// A group's log as it should be: the plainest thing that could work.
#[derive(Clone, Debug, Default)]
struct Model {
    vote: Option<Bytes>,
    committed: Option<Bytes>,
    purged: Option<(u64, Bytes)>,
    entries: BTreeMap<u64, Bytes>,
}

impl Model {
    fn next(&self) -> u64 {
        let purged = self.purged.as_ref().map_or(0, |(upto, _)| upto + 1);
        self.entries.last_key_value().map_or(purged, |(last, _)| last + 1)
    }

    fn take(&mut self, record: &LogRecord) {
        match record {
            LogRecord::Append { index, entry } => {
                self.entries.insert(*index, entry.clone());
            }
            LogRecord::Vote(vote) => self.vote = Some(vote.clone()),
            LogRecord::Committed(marker) => self.committed = Some(marker.clone()),
            LogRecord::TruncateAfter(after) => {
                self.entries.retain(|index, _| after.is_some_and(|after| *index <= after))
            }
            LogRecord::Purge { upto, marker } => {
                self.entries.retain(|index, _| index > upto);
                if self.purged.as_ref().is_none_or(|(before, _)| before < upto) {
                    self.purged = Some((*upto, marker.clone()));
                }
            }
        }
    }

    fn log(&self) -> GroupLog {
        GroupLog {
            vote: self.vote.clone(),
            committed: self.committed.clone(),
            purged: self.purged.clone(),
            last: self.entries.last_key_value().map(|(index, entry)| (*index, entry.clone())),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        group: u64,
        entries: Vec<u16>,
    },
    Vote {
        group: u64,
        vote: u8,
    },
    Commit {
        group: u64,
        marker: u8,
    },
    /// Back from the end.
    Truncate {
        group: u64,
        back: u64,
    },
    /// On from the last purge, perhaps past the end.
    Purge {
        group: u64,
        on: u64,
    },
    /// A truncation and what replaces it, in one submission.
    Replace {
        group: u64,
        back: u64,
        entries: Vec<u16>,
    },
    RemoveGroup {
        group: u64,
    },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let group = 0..3u64;
    let entries = || prop::collection::vec(any::<u16>(), 1..6);
    let step = prop_oneof![
        8 => (group.clone(), entries()).prop_map(|(group, entries)| Step::Append { group, entries }),
        1 => (group.clone(), any::<u8>()).prop_map(|(group, vote)| Step::Vote { group, vote }),
        1 => (group.clone(), any::<u8>()).prop_map(|(group, marker)| Step::Commit { group, marker }),
        2 => (group.clone(), 0..8u64).prop_map(|(group, back)| Step::Truncate { group, back }),
        2 => (group.clone(), 0..8u64).prop_map(|(group, on)| Step::Purge { group, on }),
        2 => (group.clone(), 0..8u64, entries()).prop_map(|(group, back, entries)| Step::Replace { group, back, entries }),
        1 => group.prop_map(|group| Step::RemoveGroup { group }),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

/// An entry of up to 64 KiB, so that tails are cut in some cases.
fn entry(seed: u16) -> Bytes {
    vec![(seed % 251) as u8; usize::from(seed)].into()
}

fn submit(log: &dyn LogEngine, group: GroupId, records: Vec<LogRecord>) -> mpsc::Receiver<io::Result<()>> {
    let (sender, receiver) = mpsc::channel();
    log.submit(group, records, Box::new(move |outcome| sender.send(outcome).unwrap()));
    receiver
}

fn records(step: &Step, model: &Model) -> Vec<LogRecord> {
    let append = |entries: &[u16], from: u64| -> Vec<LogRecord> {
        let entries = entries.iter().zip(from..);
        entries.map(|(seed, index)| LogRecord::Append { index, entry: entry(*seed) }).collect()
    };
    let truncate = |back: u64| {
        // Raft never truncates what was purged.
        let floor = model.purged.as_ref().map_or(0, |(upto, _)| upto + 1);
        let keep = model.next().saturating_sub(back).max(floor);
        (keep, LogRecord::TruncateAfter(keep.checked_sub(1)))
    };
    match step {
        Step::Append { entries, .. } => append(entries, model.next()),
        Step::Vote { vote, .. } => vec![LogRecord::Vote(Bytes::copy_from_slice(&[*vote]))],
        Step::Commit { marker, .. } => vec![LogRecord::Committed(Bytes::copy_from_slice(&[*marker]))],
        Step::Truncate { back, .. } => vec![truncate(*back).1],
        Step::Purge { on, .. } => {
            let upto = model.purged.as_ref().map_or(0, |(upto, _)| *upto) + on;
            vec![LogRecord::Purge { upto, marker: upto.to_string().into() }]
        }
        Step::Replace { back, entries, .. } => {
            let (keep, record) = truncate(*back);
            let mut records = vec![record];
            records.extend(append(entries, keep));
            records
        }
        Step::RemoveGroup { .. } | Step::Reopen => Vec::new(),
    }
}

fn check(log: &dyn LogEngine, group: GroupId, model: &Model) {
    assert_eq!(log.open_group(group).unwrap(), model.log());
    let all: Vec<(u64, Bytes)> = model.entries.iter().map(|(index, entry)| (*index, entry.clone())).collect();
    assert_eq!(log.entries(group, 0..u64::MAX, EVERYTHING).unwrap(), all);
    let middle = all.get(all.len() / 2).map_or(0, |(index, _)| *index);
    let part: Vec<_> = all.iter().filter(|(index, _)| (middle..middle + 3).contains(index)).cloned().collect();
    assert_eq!(log.entries(group, middle..middle + 3, EVERYTHING).unwrap(), part);
    let bounded = log.entries(group, 0..u64::MAX, 100_000).unwrap();
    let bytes: usize = bounded.iter().map(|(_, entry)| entry.len()).sum();
    assert!(bytes <= 100_000);
    assert_eq!(bounded[..], all[..bounded.len()]);
    assert!(bounded.len() == all.len() || bytes + all[bounded.len()].1.len() > 100_000);
}

fn follow(
    steps: &[Step],
    mut log: Arc<dyn LogEngine>,
    mut reopen: impl FnMut(Arc<dyn LogEngine>) -> Arc<dyn LogEngine>,
) {
    let mut models = vec![Model::default(); 3];
    let mut outcomes = Vec::new();
    for step in steps {
        match step {
            Step::Append { group, .. }
            | Step::Vote { group, .. }
            | Step::Commit { group, .. }
            | Step::Truncate { group, .. }
            | Step::Purge { group, .. }
            | Step::Replace { group, .. } => {
                let model = &mut models[*group as usize];
                let records = records(step, model);
                records.iter().for_each(|record| model.take(record));
                outcomes.push(submit(&*log, GroupId(*group), records));
                check(&*log, GroupId(*group), model);
            }
            Step::RemoveGroup { group } => {
                log.remove_group(GroupId(*group)).unwrap();
                models[*group as usize] = Model::default();
            }
            Step::Reopen => log = reopen(log),
        }
    }
    log = reopen(log);
    for outcome in outcomes {
        outcome.recv().expect("every submission is answered, also when the log closes").unwrap();
    }
    for (group, model) in models.iter().enumerate() {
        check(&*log, GroupId(group as u64), model);
    }
    let alive: Vec<GroupId> =
        (0..3).filter(|&group| models[group].log() != GroupLog::default()).map(|g| GroupId(g as u64)).collect();
    assert_eq!(log.groups().unwrap(), alive);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_on_disk_is_what_was_submitted(steps in steps()) {
        let directory = tempfile::tempdir().unwrap();
        let open = || Arc::new(FjallLog::open(directory.path()).unwrap());
        follow(&steps, open(), |log| {
            drop(log);
            open()
        });
    }

    #[test]
    fn the_log_in_memory_is_what_was_submitted(steps in steps()) {
        follow(&steps, Arc::new(MemoryLog::new()), |log| log);
    }
}

#[test]
fn an_entry_that_does_not_follow_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let logs: [Arc<dyn LogEngine>; 2] =
        [Arc::new(MemoryLog::new()), Arc::new(FjallLog::open(directory.path()).unwrap())];
    for log in logs {
        let append = |index: u64| LogRecord::Append { index, entry: Bytes::from_static(b"e") };
        submit(&*log, GroupId(7), vec![append(4), append(5)]).recv().unwrap().unwrap();
        for bad in [vec![append(7)], vec![append(5)], vec![LogRecord::Vote(Bytes::new()), append(6), append(8)]] {
            let error = submit(&*log, GroupId(7), bad).recv().unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        }
        assert_eq!(log.open_group(GroupId(7)).unwrap().vote, None);
        submit(&*log, GroupId(7), vec![append(6)]).recv().unwrap().unwrap();
        assert_eq!(log.entries(GroupId(7), 0..100, EVERYTHING).unwrap().len(), 3);
    }
}

/// Promise 8: far more than the queue holds, from many groups at once, arrives whole.
#[test]
fn a_full_queue_holds_writers_back_and_loses_nothing() {
    const GROUPS: u64 = 4;
    const ENTRIES: u64 = 150;
    let directory = tempfile::tempdir().unwrap();
    let log = FjallLog::open(directory.path()).unwrap();
    std::thread::scope(|scope| {
        for group in 0..GROUPS {
            let log = &log;
            scope.spawn(move || {
                let entry = Bytes::from(vec![group as u8; 64 << 10]);
                let append = |index| vec![LogRecord::Append { index, entry: entry.clone() }];
                let outcomes: Vec<_> = (0..ENTRIES).map(|index| submit(log, GroupId(group), append(index))).collect();
                outcomes.into_iter().for_each(|outcome| outcome.recv().unwrap().unwrap());
            });
        }
    });
    drop(log);
    let log = FjallLog::open(directory.path()).unwrap();
    for group in 0..GROUPS {
        let entries = log.entries(GroupId(group), 0..u64::MAX, EVERYTHING).unwrap();
        assert_eq!(entries.iter().map(|(index, _)| *index).collect::<Vec<_>>(), (0..ENTRIES).collect::<Vec<_>>());
        assert!(entries.iter().all(|(_, entry)| entry.iter().all(|byte| u64::from(*byte) == group)));
    }
}

#[test]
fn a_lone_committed_marker_is_there_after_a_close() {
    let directory = tempfile::tempdir().unwrap();
    let log = FjallLog::open(directory.path()).unwrap();
    let marker = |byte: u8| Bytes::copy_from_slice(&[byte]);
    submit(&log, GroupId(1), vec![LogRecord::Committed(marker(1))]).recv().unwrap().unwrap();
    submit(&log, GroupId(1), vec![LogRecord::Committed(marker(2)), LogRecord::Vote(marker(9))])
        .recv()
        .unwrap()
        .unwrap();
    assert_eq!(log.open_group(GroupId(1)).unwrap().committed, Some(marker(2)));
    submit(&log, GroupId(1), vec![LogRecord::Committed(marker(3))]).recv().unwrap().unwrap();
    drop(log);
    let log = FjallLog::open(directory.path()).unwrap();
    assert_eq!(log.open_group(GroupId(1)).unwrap().committed, Some(marker(3)));
}
