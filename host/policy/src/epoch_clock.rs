//! The clock that stops guests: a thread of its own that raises the engine's epoch while calls run, and sleeps while none does.

use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::Engine;

/// Length of an epoch. Deadlines are seconds; this is their precision.
pub(crate) const EPOCH: Duration = Duration::from_millis(10);

#[derive(Default)]
struct Calls {
    running: usize,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    calls: Mutex<Calls>,
    changed: Condvar,
}

/// Ticks as long as a [`Running`] is held; its thread ends when it is dropped.
pub(crate) struct EpochClock {
    shared: Arc<Shared>,
}

/// Held while a call runs.
pub(crate) struct Running {
    shared: Arc<Shared>,
}

impl EpochClock {
    pub(crate) fn start(engine: &Engine) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (watched, engine) = (Arc::clone(&shared), engine.weak());
        std::thread::Builder::new().name("policy-epoch".into()).spawn(move || {
            let mut ticked = Instant::now();
            loop {
                {
                    let mut calls = watched.calls.lock();
                    let was_idle = calls.running == 0;
                    while calls.running == 0 && !calls.closed {
                        watched.changed.wait(&mut calls);
                    }
                    if calls.closed && calls.running == 0 {
                        return;
                    }
                    if was_idle {
                        ticked = Instant::now();
                    }
                }
                std::thread::sleep(EPOCH);
                let Some(engine) = engine.upgrade() else { return };
                // By the clock, not by the number of sleeps: on a busy machine one can take several epochs.
                while ticked.elapsed() >= EPOCH {
                    ticked += EPOCH;
                    engine.increment_epoch();
                }
            }
        })?;
        Ok(Self { shared })
    }

    pub(crate) fn run(&self) -> Running {
        self.shared.calls.lock().running += 1;
        self.shared.changed.notify_one();
        Running { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for EpochClock {
    fn drop(&mut self) {
        self.shared.calls.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.calls.lock().running -= 1;
        self.shared.changed.notify_one();
    }
}
