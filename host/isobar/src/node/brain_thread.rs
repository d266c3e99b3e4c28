//! A thread of its own for the brain: policies never run where requests are served.

use isobar_control::Brain;
use std::io;
use tokio::sync::{mpsc, oneshot};

/// Calls waiting for the brain. Each is an operator's request or a tick; more wait at the sender.
const QUEUE: usize = 64;
/// Niceness of threads that run policies: serving data comes first.
const POLICY_NICENESS: i32 = 10;

type Call = Box<dyn FnOnce(&mut Brain) + Send>;

/// The brain, reached by calls that it takes one after the other.
#[derive(Clone, Debug)]
pub(crate) struct BrainThread {
    calls: mpsc::Sender<Call>,
}

/// The brain's thread is gone, as this node no longer leads.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the control loop of this node has stopped")]
pub(crate) struct Stopped;

impl BrainThread {
    /// Starts the thread; it ends when the last handle is dropped.
    pub(crate) fn start(mut brain: Brain) -> io::Result<Self> {
        let (calls, mut waiting) = mpsc::channel::<Call>(QUEUE);
        std::thread::Builder::new().name("brain".into()).spawn(move || {
            lower_priority();
            while let Some(call) = waiting.blocking_recv() {
                call(&mut brain);
            }
        })?;
        Ok(Self { calls })
    }

    /// Has `work` done with the brain and gives what it gives.
    pub(crate) async fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Brain) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        let (answer, answered) = oneshot::channel();
        let call: Call = Box::new(move |brain| {
            // Nobody waits for the answer any more: no harm.
            let _ = answer.send(work(brain));
        });
        self.calls.send(call).await.map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }
}

/// Makes the current thread give way to those that serve data. Failing to is no reason to stop.
pub(crate) fn lower_priority() {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: takes numbers, touches no memory of ours; on Linux it concerns the calling thread alone.
        let done = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, POLICY_NICENESS) };
        if done != 0 {
            tracing::debug!("the priority of a policy thread could not be lowered");
        }
    }
}
