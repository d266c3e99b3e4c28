//! One instance of a policy, on a thread of its own, behind four stops: fuel, the epoch deadline, a cap on memory and on what the host
//! allocates for it, and a timeout around the call.
//!
//! After a trap, a stop or an answer outside the contract the store is thrown away, and the instance answers with that failure for ever.

use crate::epoch_clock::{EPOCH, EpochClock};
use crate::limits::{
    Effective, GRACE, MAX_INSTANCES, MAX_LOG_BYTES, MAX_LOG_MESSAGES, MAX_TABLE_ELEMENTS, MAX_TEXT_BYTES,
    WASM_STACK_BYTES,
};
use isobar_ports::{PolicyFailure, Usage};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use wasmtime::{Config, Engine, ResourceLimiter, Store, Trap};

/// How much lower than the threads that serve data a policy's thread ranks (POSIX nice).
const NICE: i32 = 5;

/// The engine all policies share, with everything off that would make them differ from run to run or from machine to machine.
pub(crate) fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        // The one part of SIMD whose results depend on the machine.
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        // Component-model async and threads, garbage collection and shared memories are not even compiled in.
        .concurrency_support(false);
    // NaN canonicalisation stays off: it made a Holt loop 3.5 times slower, and no NaN gets past `check`.
    Engine::new(&config)
}

/// What a store knows of its guest.
#[derive(Debug)]
pub(crate) struct Tenant {
    policy: Arc<str>,
    memory_bytes: usize,
    memory_cap_bytes: usize,
    /// What the growth in progress adds; taken back if it fails.
    growing_bytes: usize,
    memory_refused: bool,
    log_messages: u32,
}

impl Tenant {
    fn new(policy: Arc<str>) -> Self {
        Self { policy, memory_bytes: 0, memory_cap_bytes: 0, growing_bytes: 0, memory_refused: false, log_messages: 0 }
    }

    /// Passes a guest's line on to the host's log, within bounds.
    pub(crate) fn log(&mut self, level: tracing::Level, message: &str) {
        self.log_messages = self.log_messages.saturating_add(1);
        if self.log_messages > MAX_LOG_MESSAGES {
            return;
        }
        let policy = &*self.policy;
        let message = one_line(cut(message, MAX_LOG_BYTES));
        match level {
            tracing::Level::ERROR => tracing::error!(target: "isobar::guest", policy, "{message}"),
            tracing::Level::WARN => tracing::warn!(target: "isobar::guest", policy, "{message}"),
            tracing::Level::INFO => tracing::info!(target: "isobar::guest", policy, "{message}"),
            _ => tracing::debug!(target: "isobar::guest", policy, "{message}"),
        }
    }
}

impl ResourceLimiter for Tenant {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        // Over all memories of the component together.
        let more = desired.saturating_sub(current);
        let granted = self.memory_bytes.checked_add(more).is_some_and(|sum| sum <= self.memory_cap_bytes);
        if granted {
            self.memory_bytes += more;
            self.growing_bytes = more;
        } else {
            self.growing_bytes = 0;
            self.memory_refused = true;
        }
        Ok(granted)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_bytes -= std::mem::take(&mut self.growing_bytes);
        Ok(())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_INSTANCES
    }

    fn memories(&self) -> usize {
        MAX_INSTANCES
    }
}

/// At most `bytes` of `text`, cut between characters.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// `text` without line breaks and other control characters, which could forge lines of a log.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A guest's store with its typed exports.
pub(crate) struct Cell<B> {
    pub(crate) store: Store<Tenant>,
    pub(crate) exports: B,
}

/// What one call came to, as its thread reports it.
struct Outcome<T> {
    result: Result<T, PolicyFailure>,
    usage: Usage,
}

type Job<B> = Box<dyn FnOnce(&mut Cell<B>) + Send>;

/// Opens a cell: instantiates a component in a store.
pub(crate) type Opener<B> = Box<dyn FnOnce(&mut Store<Tenant>) -> wasmtime::Result<B> + Send>;

/// One instance of a policy.
pub(crate) struct Sandbox<B: 'static> {
    policy: Arc<str>,
    clock: Arc<EpochClock>,
    /// None once the instance is dead: its thread then ends and drops the store.
    jobs: Option<SyncSender<Job<B>>>,
    death: Option<PolicyFailure>,
    usage: Usage,
}

impl<B: 'static> Sandbox<B> {
    /// Starts the instance's thread and instantiates there: even that runs code of the guest's.
    pub(crate) fn start(
        engine: &Engine,
        clock: &Arc<EpochClock>,
        policy: &str,
        limits: Effective,
        open: Opener<B>,
    ) -> Result<Self, PolicyFailure> {
        let policy: Arc<str> = policy.into();
        let (jobs, queue) = sync_channel::<Job<B>>(1);
        let (reply, opened) = sync_channel(1);
        let (engine, held, tenant) = (engine.clone(), Arc::clone(clock), Tenant::new(Arc::clone(&policy)));
        std::thread::Builder::new()
            .name("policy".into())
            .stack_size(WASM_STACK_BYTES + (2 << 20))
            .spawn(move || {
                rank_low();
                let mut store = Store::new(&engine, tenant);
                store.limiter(|tenant| tenant);
                let outcome = metered(&held, &mut store, limits, |store| open(store).map(Ok));
                let (result, exports) = match outcome.result {
                    Ok(exports) => (Ok(()), Some(exports)),
                    Err(failure) => (Err(failure), None),
                };
                let told = reply.send(Outcome { result, usage: outcome.usage });
                if let (Ok(()), Some(exports)) = (told, exports) {
                    let mut cell = Cell { store, exports };
                    for job in queue {
                        job(&mut cell);
                    }
                }
            })
            .map_err(|error| PolicyFailure::Unavailable(format!("no thread for the policy: {error}")))?;
        let mut sandbox =
            Self { policy, clock: Arc::clone(clock), jobs: Some(jobs), death: None, usage: Usage::default() };
        sandbox.await_outcome(&opened, limits)?;
        Ok(sandbox)
    }

    /// Calls the guest within `limits`. `call` gives wasmtime's word on the call, around the guest's own.
    pub(crate) fn call<T: Send + 'static>(
        &mut self,
        limits: Effective,
        call: impl FnOnce(&B, &mut Store<Tenant>) -> wasmtime::Result<Result<T, PolicyFailure>> + Send + 'static,
    ) -> Result<T, PolicyFailure> {
        if let Some(death) = &self.death {
            return Err(death.clone());
        }
        let clock = Arc::clone(&self.clock);
        let (reply, outcome) = sync_channel(1);
        let job: Job<B> = Box::new(move |cell| {
            let Cell { store, exports } = cell;
            let done = metered(&clock, store, limits, |store| call(exports, store));
            // Whoever asked may have given up; then nobody wants to know.
            let _ = reply.send(done);
        });
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            return Err(self.kill(PolicyFailure::Trapped("its thread is gone".into())));
        }
        self.await_outcome(&outcome, limits)
    }

    fn await_outcome<T>(&mut self, outcome: &Receiver<Outcome<T>>, limits: Effective) -> Result<T, PolicyFailure> {
        let wall = Duration::from_millis(limits.wall_ms);
        let result = match outcome.recv_timeout(wall + GRACE) {
            Ok(Outcome { result, usage }) => {
                self.usage = usage;
                result
            }
            Err(RecvTimeoutError::Timeout) => Err(PolicyFailure::Deadline { limit_ms: limits.wall_ms }),
            Err(RecvTimeoutError::Disconnected) => Err(PolicyFailure::Trapped("its thread died; see the log".into())),
        };
        result.map_err(|failure| if is_fatal(&failure) { self.kill(failure) } else { failure })
    }

    /// Throws the instance away; `failure` is its answer from now on.
    pub(crate) fn kill(&mut self, failure: PolicyFailure) -> PolicyFailure {
        tracing::warn!(policy = &*self.policy, %failure, "a policy instance was stopped");
        self.jobs = None;
        self.death = Some(failure.clone());
        failure
    }

    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }
}

/// Whether nothing can be asked of an instance after `failure`.
fn is_fatal(failure: &PolicyFailure) -> bool {
    match failure {
        PolicyFailure::Trapped(_)
        | PolicyFailure::Deadline { .. }
        | PolicyFailure::OutOfFuel { .. }
        | PolicyFailure::Invalid(_) => true,
        PolicyFailure::Config(_)
        | PolicyFailure::NotReady(_)
        | PolicyFailure::Policy(_)
        | PolicyFailure::Unavailable(_) => false,
    }
}

/// Runs `call` with its limits set, and says what it cost.
fn metered<T>(
    clock: &EpochClock,
    store: &mut Store<Tenant>,
    limits: Effective,
    call: impl FnOnce(&mut Store<Tenant>) -> wasmtime::Result<Result<T, PolicyFailure>>,
) -> Outcome<T> {
    let running = clock.run();
    let started = Instant::now();
    let tenant = store.data_mut();
    tenant.log_messages = 0;
    tenant.memory_refused = false;
    // Memory once granted can't be taken back, so a smaller call does not lower the cap.
    tenant.memory_cap_bytes = tenant.memory_cap_bytes.max(limits.memory_bytes);
    store.set_hostcall_fuel(limits.answer_bytes);
    // One epoch may be over at once, and one is lost to rounding.
    store.set_epoch_deadline(limits.wall_ms / EPOCH.as_millis() as u64 + 2);
    let answer = store.set_fuel(limits.fuel).and_then(|()| call(store));
    drop(running);
    let wall_us = started.elapsed().as_micros() as u64;
    let fuel = limits.fuel - store.get_fuel().unwrap_or(0).min(limits.fuel);
    let tenant = store.data_mut();
    if tenant.log_messages > MAX_LOG_MESSAGES {
        let dropped = tenant.log_messages - MAX_LOG_MESSAGES;
        tracing::warn!(policy = &*tenant.policy, dropped, "a policy logged more than it may in one call");
    }
    let usage = Usage { fuel, wall_us, memory_bytes: tenant.memory_bytes as u64 };
    let result = answer.unwrap_or_else(|error| Err(cause_of(&error, store.data(), limits)));
    Outcome { result, usage }
}

/// Names what stopped a guest.
fn cause_of(error: &wasmtime::Error, tenant: &Tenant, limits: Effective) -> PolicyFailure {
    let out_of_memory = || {
        format!(
            "it asked for more memory than its {} MiB (it had {} MiB)",
            tenant.memory_cap_bytes >> 20,
            tenant.memory_bytes >> 20
        )
    };
    let Some(trap) = error.downcast_ref::<Trap>() else {
        let text = cut(&one_line(&format!("{error:#}")), MAX_TEXT_BYTES).to_owned();
        if text.contains("fuel allocated for hostcalls") {
            return PolicyFailure::Invalid(format!(
                "it is larger than this call may give ({} KiB)",
                limits.answer_bytes >> 10
            ));
        }
        return if tenant.memory_refused {
            PolicyFailure::Trapped(out_of_memory())
        } else {
            PolicyFailure::Invalid(text)
        };
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "wasmtime may name more traps in any release; each has a text")]
    match trap {
        Trap::OutOfFuel => PolicyFailure::OutOfFuel { limit: limits.fuel },
        Trap::Interrupt => PolicyFailure::Deadline { limit_ms: limits.wall_ms },
        Trap::StackOverflow => PolicyFailure::Trapped(format!(
            "call stack exhausted ({} KiB): it recursed too deep",
            WASM_STACK_BYTES >> 10
        )),
        _ if tenant.memory_refused => PolicyFailure::Trapped(out_of_memory()),
        Trap::MemoryOutOfBounds => PolicyFailure::Trapped(
            "memory access out of bounds: it recursed past its own stack, or followed a wild pointer".into(),
        ),
        Trap::UnreachableCodeReached => PolicyFailure::Trapped(
            "unreachable code: it panicked or aborted (its own words, if any, are in the log)".into(),
        ),
        other => PolicyFailure::Trapped(other.to_string()),
    }
}

/// Lets the threads that serve data go first; threads started from here inherit it. Best effort: a policy that ranks as high as they do
/// is still stopped in time.
pub(crate) fn rank_low() {
    // On Linux the nice value belongs to a thread, and 0 means the calling one; elsewhere it is the whole process's, so it is left alone.
    #[cfg(target_os = "linux")]
    // SAFETY: a system call on plain integers.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = NICE;
}
