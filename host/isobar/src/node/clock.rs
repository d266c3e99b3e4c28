//! Control clocks: wall time for real clusters, sped up for the demo.

use isobar_model::InstantMs;
use isobar_ports::Clock;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> InstantMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        InstantMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn wall_ms(&self, control_ms: u64) -> u64 {
        control_ms
    }
}

/// Stands still at `origin` until started, then runs `speed` times as fast as wall time.
#[derive(Debug)]
pub(crate) struct ScaledClock {
    origin: InstantMs,
    speed: f64,
    started: OnceLock<Instant>,
}

impl ScaledClock {
    /// A clock that stands at `origin`; `speed` is control seconds per wall second, above 0.
    pub(crate) fn new(origin: InstantMs, speed: f64) -> Self {
        Self { origin, speed: speed.max(f64::MIN_POSITIVE), started: OnceLock::new() }
    }

    /// Lets it run; gives the wall instant at which it began. A second call changes nothing.
    pub(crate) fn start(&self) -> Instant {
        *self.started.get_or_init(Instant::now)
    }
}

impl Clock for ScaledClock {
    fn now(&self) -> InstantMs {
        match self.started.get() {
            Some(started) => self.origin.plus_ms((started.elapsed().as_secs_f64() * self.speed * 1000.0) as u64),
            None => self.origin,
        }
    }

    fn wall_ms(&self, control_ms: u64) -> u64 {
        (control_ms as f64 / self.speed).ceil() as u64
    }
}
