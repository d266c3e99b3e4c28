//! A process that writes is killed with SIGKILL: what it acknowledged is there (promise 1, one node's part of it).

use bytes::Bytes;
use isobar_model::NodeId;
use isobar_storage::{FjallLog, GroupId, Identity, LogEngine, LogRecord, NodeDir};
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

/// Not a test of its own: the process to which `a_disk_that_refuses_writes_is_fatal_and_said_so` leaves no room. Does nothing when run by
/// itself.
#[test]
fn child_whose_disk_is_full() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let log = FjallLog::open(directory.as_ref()).unwrap();
    let submit = |index| {
        let (sender, outcome) = mpsc::channel();
        let append = LogRecord::Append { index, entry: entry(0, index) };
        log.submit(GroupId(0), vec![append], Box::new(move |result| sender.send(result).unwrap()));
        outcome.recv().unwrap()
    };
    let (failed, error) = (0..100_000).find_map(|index| submit(index).err().map(|error| (index, error))).unwrap();
    println!("acknowledged 0 {failed}");
    println!("refused {error}");
    println!("refused {}", submit(failed + 1).unwrap_err());
    println!("refused {}", log.remove_group(GroupId(0)).unwrap_err());
}

#[test]
fn a_disk_that_refuses_writes_is_fatal_and_said_so() {
    let directory = tempfile::tempdir().unwrap();
    drop(FjallLog::open(directory.path()).unwrap());
    // A limit on the size of files makes writes fail past it, as a full disk would.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 200; exec \"$0\" --exact crash::child_whose_disk_is_full --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let refused: Vec<&str> = output.lines().filter(|line| line.contains("refused")).collect();
    assert_eq!(refused.len(), 3, "{output}");
    assert!(refused.iter().all(|line| line.contains("Restart the node")), "{output}");
    let failed = output.lines().find_map(|line| line.strip_prefix("acknowledged 0 ")).unwrap().parse::<u64>().unwrap();
    assert!(failed > 0, "{output}");

    let log = FjallLog::open(directory.path()).unwrap();
    let entries = log.entries(GroupId(0), 0..u64::MAX, usize::MAX).unwrap();
    assert!(entries.len() as u64 >= failed, "{} of {failed} acknowledged", entries.len());
    assert!(entries.iter().all(|(index, found)| *found == entry(0, *index)));
}
