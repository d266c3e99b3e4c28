//! How far reading is: bytes, lines a second, time left.

use crate::cli::output::{Output, bytes};
use isobar_intake::Progress;
use std::time::{Duration, Instant};

/// Between two pictures: often enough to look alive, seldom enough to cost nothing.
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// Shows progress in place, a few times a second.
pub(in crate::cli) struct Meter<'a> {
    output: &'a Output,
    what: &'static str,
    began: Instant,
    shown: Option<Instant>,
}

impl<'a> Meter<'a> {
    pub(in crate::cli) fn new(output: &'a Output, what: &'static str) -> Self {
        Self { output, what, began: Instant::now(), shown: None }
    }

    pub(in crate::cli) fn show(&mut self, progress: Progress) {
        let now = Instant::now();
        if self.shown.is_some_and(|shown| now - shown < SHOW_EVERY) {
            return;
        }
        self.shown = Some(now);
        self.output.progress(&line(progress, self.what, now - self.began));
    }

    pub(in crate::cli) fn done(&self) {
        self.output.progress_done();
    }
}

fn line(progress: Progress, what: &str, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(1e-3);
    let done = progress.bytes as f64 / progress.total_bytes.max(1) as f64;
    let left = if done > 0.0 {
        format!("{:.0} s left", seconds * (1.0 - done).max(0.0) / done)
    } else {
        "time left not known yet".to_owned()
    };
    format!(
        "{} of {} ({:.0} %), {} {what}, {:.0} a second, {left}",
        bytes(progress.bytes),
        bytes(progress.total_bytes),
        done * 100.0,
        progress.lines,
        progress.lines as f64 / seconds,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_goes_by_what_is_done() {
        let progress = Progress { bytes: 1 << 20, total_bytes: 4 << 20, lines: 30_000 };
        assert_eq!(
            line(progress, "lines", Duration::from_secs(10)),
            "1.0 MiB of 4.0 MiB (25 %), 30000 lines, 3000 a second, 30 s left"
        );
        let none = Progress { bytes: 0, total_bytes: 0, lines: 0 };
        assert!(line(none, "lines", Duration::ZERO).ends_with("not known yet"));
    }
}
