//! The thread that makes the log durable, and the queue to it.
//!
//! Group commit: whatever was queued while the last batch was being synced goes into the next one, with one `fdatasync` for all of it.
//! With nothing to wait for, a single writer pays one sync; with many, they share it.

use super::fjall_log::{Group, Shared};
use super::tail::Change;
use super::{GroupId, LogDone};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What may wait for the disk, in bytes: some ten syncs' worth at the pace of a good disk. A submission larger than that goes alone.
const QUEUE_BYTES: usize = 16 << 20;
/// How often idle groups are shrunk and markers that nothing carried along are written, in wall time.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// One submission on its way to disk.
pub(super) struct Job {
    pub(super) group: Arc<Group>,
    pub(super) submission: u64,
    pub(super) changes: Vec<Change>,
    pub(super) cost: usize,
    pub(super) done: LogDone,
}

#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    /// Committed markers that ride along with the next jobs; one a group at most.
    committed: HashMap<GroupId, Bytes>,
    /// What is reserved or queued, or being written.
    bytes: usize,
    /// Why the log takes nothing any more.
    failed: Option<String>,
    closing: bool,
}

#[derive(Default)]
struct Gate {
    queue: Mutex<Queue>,
    /// There is a job, or the log closes.
    work: Condvar,
    /// There is room in the queue, or the log failed.
    room: Condvar,
}

/// The caller's end of the queue. Dropped, it waits until everything queued is written.
pub(super) struct Flusher {
    gate: Arc<Gate>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Flusher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let queue = self.gate.queue.lock();
        f.debug_struct("Flusher")
            .field("queued_bytes", &queue.bytes)
            .field("failed", &queue.failed)
            .finish_non_exhaustive()
    }
}

impl Flusher {
    pub(super) fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let gate = Arc::new(Gate::default());
        let thread = thread::Builder::new().name("log-flusher".into()).spawn({
            let gate = Arc::clone(&gate);
            move || {
                let guard = FailOnPanic(&gate);
                run(&shared, &gate);
                drop(guard);
            }
        })?;
        Ok(Self { gate, thread: Some(thread) })
    }

    /// Waits until there is room for `cost` bytes and takes it.
    pub(super) fn reserve(&self, cost: usize) -> io::Result<()> {
        let mut queue = self.gate.queue.lock();
        loop {
            queue.check()?;
            if queue.bytes == 0 || queue.bytes.saturating_add(cost) <= QUEUE_BYTES {
                queue.bytes += cost;
                return Ok(());
            }
            self.gate.room.wait(&mut queue);
        }
    }

    /// Gives back room that is not needed.
    pub(super) fn release(&self, cost: usize) {
        self.gate.queue.lock().bytes -= cost;
        self.gate.room.notify_all();
    }

    /// Queues a job whose room was reserved.
    pub(super) fn push(&self, job: Job) {
        let mut queue = self.gate.queue.lock();
        if let Err(error) = queue.check() {
            queue.bytes -= job.cost;
            drop(queue);
            return (job.done)(Err(error));
        }
        // A marker that still waits is older than one that this job brings, and of no use to a group that it removes.
        if job.changes.iter().any(|change| matches!(change, Change::Committed(_) | Change::Forget(_))) {
            queue.committed.remove(&job.group.id);
        }
        queue.jobs.push(job);
        drop(queue);
        self.gate.work.notify_one();
    }

    /// Has a committed marker ride along with the next job of whichever group; gives the room back.
    pub(super) fn push_committed(&self, group: GroupId, marker: Option<Bytes>, cost: usize) {
        let mut queue = self.gate.queue.lock();
        if let Some(marker) = marker {
            queue.committed.insert(group, marker);
        }
        queue.bytes -= cost;
        drop(queue);
        self.gate.room.notify_all();
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.gate.queue.lock().closing = true;
        self.gate.work.notify_one();
        if let Some(thread) = self.thread.take() {
            // The last owner may be a callback on the flusher's own thread, which can't wait for itself.
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                tracing::error!("the log's thread had panicked");
            }
        }
    }
}

impl Queue {
    fn check(&self) -> io::Result<()> {
        match &self.failed {
            None => Ok(()),
            Some(reason) => Err(failed(reason)),
        }
    }
}

fn failed(reason: &str) -> io::Error {
    io::Error::other(format!("the log could not be written and takes nothing more: {reason}. Restart the node"))
}

impl Gate {
    /// From now on the log takes nothing; whatever waits is told so.
    fn fail(&self, reason: &str, jobs: Vec<Job>) {
        let mut queue = self.queue.lock();
        queue.failed = Some(reason.to_owned());
        queue.bytes = queue.bytes.saturating_sub(jobs.iter().map(|job| job.cost).sum());
        let waiting = std::mem::take(&mut queue.jobs);
        queue.bytes = queue.bytes.saturating_sub(waiting.iter().map(|job| job.cost).sum());
        queue.committed.clear();
        drop(queue);
        self.room.notify_all();
        for job in jobs.into_iter().chain(waiting) {
            (job.done)(Err(failed(reason)));
        }
    }
}

/// Tells callers when the thread dies of a panic, so that none waits for it.
struct FailOnPanic<'a>(&'a Gate);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail("its thread panicked", Vec::new());
        }
    }
}

fn run(shared: &Shared, gate: &Gate) {
    let mut swept = Instant::now();
    loop {
        let (jobs, committed, closing) = {
            let mut queue = gate.queue.lock();
            while queue.jobs.is_empty() && !queue.closing {
                if gate.work.wait_for(&mut queue, SWEEP_EVERY).timed_out() {
                    break;
                }
            }
            (std::mem::take(&mut queue.jobs), std::mem::take(&mut queue.committed), queue.closing)
        };
        if !(jobs.is_empty() && committed.is_empty()) {
            if let Err(error) = shared.write(&jobs, &committed) {
                tracing::error!(%error, "the log could not be written: the node must be restarted");
                gate.fail(&error.to_string(), jobs);
            } else {
                finish(shared, gate, jobs);
            }
        } else if closing {
            return;
        }
        if swept.elapsed() >= SWEEP_EVERY || shared.is_over_bound() {
            shared.sweep();
            swept = Instant::now();
        }
    }
}

/// Tells everyone whose submission is on disk.
fn finish(shared: &Shared, gate: &Gate, jobs: Vec<Job>) {
    let cost: usize = jobs.iter().map(|job| job.cost).sum();
    for job in jobs {
        shared.note_flushed(&job.group, job.submission);
        (job.done)(Ok(()));
    }
    gate.queue.lock().bytes -= cost;
    gate.room.notify_all();
}
