//! What something cost this process.

use std::time::Instant;

/// CPU seconds of this process so far, all its threads together.
fn cpu_s() -> f64 {
    // SAFETY: `usage` is a plain struct of integers, for which zeros are valid, and the call only writes to it.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// The most memory this process has held so far, GiB.
pub(crate) fn peak_rss_gib() -> f64 {
    // SAFETY: as above.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    // Kibibytes, but bytes on macOS.
    let unit = if cfg!(target_os = "macos") { 1.0 } else { 1024.0 };
    usage.ru_maxrss as f64 * unit / f64::from(1 << 30)
}

/// CPU and wall seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) cpu_s: f64,
    pub(crate) wall_s: f64,
}

/// Runs something and says what it cost.
pub(crate) fn costed<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let (cpu, started) = (cpu_s(), Instant::now());
    let done = work();
    (done, Cost { cpu_s: cpu_s() - cpu, wall_s: started.elapsed().as_secs_f64() })
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
