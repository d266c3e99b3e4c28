//! A process that writes is killed with SIGKILL: what it acknowledged is there (promise 1, one node's part of it).

use bytes::Bytes;
use isobar_model::NodeId;
use isobar_storage::{GroupId, Identity, LogEngine, LogRecord, NodeDir};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;

/// Where the child works; the same test binary runs again with it set.
const DIRECTORY: &str = "ISOBAR_CRASH_TEST_DIRECTORY";
const GROUPS: u64 = 3;
/// Acknowledgements after which the child is killed.
const ENOUGH: usize = 300;

fn open(path: &std::path::Path) -> NodeDir {
    NodeDir::open(path, Identity { cluster: "crash".into(), node: NodeId(1) }).unwrap()
}

fn entry(group: u64, index: u64) -> Bytes {
    format!("{group}/{index}/").repeat(20).into()
}

/// Not a test of its own: the process that `an_acknowledged_append_survives_sigkill` kills. Does nothing when run by itself.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let node = open(directory.as_ref());
    let store = crate::support::replica(&node.engine, crate::support::everything());
    let (sender, acknowledged) = mpsc::channel();
    for index in 0.. {
        for group in 0..GROUPS {
            let sender = sender.clone();
            let append = LogRecord::Append { index, entry: entry(group, index) };
            node.log.submit(
                GroupId(group),
                vec![append],
                Box::new(move |outcome| sender.send((group, index, outcome.is_ok())).unwrap()),
            );
        }
        crate::support::apply(
            &store,
            index,
            &[crate::support::put(&format!("key-{}", index % 50), &index.to_string())],
        );
        for (group, index, ok) in acknowledged.try_iter() {
            assert!(ok);
            writeln!(std::io::stdout(), "acknowledged {group} {index}").unwrap();
        }
    }
}

#[test]
fn an_acknowledged_append_survives_sigkill() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_that_writes_until_it_is_killed", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let mut words = line.split_whitespace();
        if words.next() != Some("acknowledged") {
            continue;
        }
        // The last line may have been cut by the kill.
        let (Some(Ok(group)), Some(Ok(index))) =
            (words.next().map(str::parse::<u64>), words.next().map(str::parse::<u64>))
        else {
            continue;
        };
        acknowledged.push((group, index));
        if acknowledged.len() == ENOUGH {
            child.kill().unwrap(); // SIGKILL; the loop ends when the pipe is drained
        }
    }
    child.wait().unwrap();
    acknowledged.pop(); // its number may have been cut: "12" of "123"
    assert!(acknowledged.len() >= ENOUGH - 1);

    let node = open(directory.path());
    for (group, index) in acknowledged {
        let found = node.log.entries(GroupId(group), index..index + 1, 0).unwrap();
        assert_eq!(found, [(index, entry(group, index))]);
    }
    assert_eq!(node.log.groups().unwrap(), (0..GROUPS).map(GroupId).collect::<Vec<_>>());
    let store = node.replicas.get(crate::support::SHARD).expect("a replica is durable when it was made");
    crate::support::assert_true_to_its_rows(&store);
    let applied: u64 = std::str::from_utf8(&store.state().applied).unwrap().parse().unwrap();
    let last = store.get(format!("key-{}", applied % 50).as_bytes()).unwrap().unwrap();
    assert_eq!(last, applied.to_string(), "rows and marker are of one batch");
}
