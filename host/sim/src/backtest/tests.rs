use super::*;
use isobar_analyzer::track::{TrackScore, score};
use isobar_ports::Usage;

const SHARD: ShardId = ShardId(3);
const DAY: usize = 24;

/// Forecasts the value of a day before, plus `off` from step `from` on; notes all it was shown.
struct Yesterday {
    seen: Vec<f32>,
    off: f32,
    from: usize,
    fails_at: Option<usize>,
}

impl Yesterday {
    fn off_by(off: f32) -> Self {
        Self { seen: Vec::new(), off, from: 0, fails_at: None }
    }
}

impl Forecaster for Yesterday {
    fn observe(&mut self, batch: &LoadBatch) -> Result<(), PolicyFailure> {
        assert_eq!(batch.start.0, 3_600_000 * self.seen.len() as u64, "steps are shown in order, once each");
        self.seen.extend(&batch.values);
        match self.fails_at {
            Some(step) if self.seen.len() > step => Err(PolicyFailure::Trapped("here".into())),
            Some(_) | None => Ok(()),
        }
    }

    fn predict(&mut self, request: &ForecastRequest) -> Result<ForecastBatch, PolicyFailure> {
        let now = self.seen.len();
        let off = if now < self.from { 0.0 } else { self.off };
        let path: Vec<f32> =
            (0..request.horizon as usize).map(|step| self.seen[now - DAY + step % DAY] + off).collect();
        let peak = path[..request.peak_steps as usize].iter().copied().fold(0.0, f32::max);
        Ok(ForecastBatch { values: path.repeat(LEVELS.len()), peaks: vec![peak; LEVELS.len()] })
    }

    fn forget(&mut self, _: &[ShardId]) -> Result<(), PolicyFailure> {
        Ok(())
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Ok(Vec::new())
    }

    fn usage(&self) -> Usage {
        Usage { wall_us: 1_500, ..Usage::default() }
    }
}

/// Three weeks of hours: a wave, and a little of another period.
fn series() -> Series {
    let y = (0..21 * DAY)
        .map(|step| 50.0 + 30.0 * (step as f64 / DAY as f64 * std::f64::consts::TAU).sin() + (step % 7) as f64 * 0.7);
    Series {
        id: "s".into(),
        group: String::new(),
        start_s: 0,
        step_s: 3_600,
        day_steps: DAY,
        horizons: vec![6, 24],
        origins: vec![15 * DAY + 5, 18 * DAY],
        y: y.collect(),
    }
}

fn spl(series: &Series, forecasts: &[TrackForecast]) -> f64 {
    let track = std::slice::from_ref(series);
    TrackScore::of(&score(track, forecasts, |_, _| true), forecasts).horizons[&24].spl
}

#[test]
fn at_an_origin_it_has_seen_what_came_before_and_nothing_else() {
    let series = series();
    let mut policy = Yesterday::off_by(0.0);
    let done = backtest(&series, SHARD, &mut policy, None);
    assert_eq!(policy.seen.len(), 18 * DAY);
    assert_eq!((done.raw.len(), done.guarded.len(), done.gated, done.failures.len()), (2, 0, 0, 0));
    for forecast in &done.raw {
        let expected: Vec<f64> = (0..24).map(|step| written(series.y[forecast.origin - DAY + step] as f32)).collect();
        assert!(forecast.paths.iter().all(|path| *path == expected));
        let peak = |steps: usize| expected[..steps].iter().copied().fold(0.0, f64::max);
        assert_eq!(forecast.peaks, BTreeMap::from([(6, peak(6)), (24, peak(24))]));
        assert_eq!(forecast.lower_peaks, forecast.peaks);
        assert_eq!(forecast.ms, Some(1.5));
    }
}

#[test]
fn a_gate_looking_on_does_not_change_what_the_policy_says() {
    let series = series();
    let alone = backtest(&series, SHARD, &mut Yesterday::off_by(1.0), None);
    let guarded = backtest(&series, SHARD, &mut Yesterday::off_by(1.0), Some(&mut Yesterday::off_by(0.0)));
    assert_eq!(alone.raw, guarded.raw);
}

#[test]
fn a_policy_that_was_worse_before_the_origin_is_replaced_there() {
    let series = series();
    let mut gate = Yesterday::off_by(0.0);
    let done = backtest(&series, SHARD, &mut Yesterday::off_by(40.0), Some(&mut gate));
    assert_eq!(done.gated, 4);
    let gate_alone = backtest(&series, SHARD, &mut Yesterday::off_by(0.0), None);
    assert_eq!(spl(&series, &done.guarded), spl(&series, &gate_alone.raw));
    assert!(spl(&series, &done.raw) > spl(&series, &done.guarded));

    // One that is bad from the first origin on can't have been known as bad there; three days later it is.
    let mut turned = Yesterday { from: 15 * DAY + 5, ..Yesterday::off_by(40.0) };
    let done = backtest(&series, SHARD, &mut turned, Some(&mut Yesterday::off_by(0.0)));
    assert_eq!(done.guarded[0], done.raw[0]);
    assert_ne!(done.guarded[1], done.raw[1]);
}

#[test]
fn a_policy_that_fails_is_said_to_and_the_gate_answers() {
    let series = series();
    let mut failing = Yesterday { fails_at: Some(16 * DAY), ..Yesterday::off_by(0.0) };
    let done = backtest(&series, SHARD, &mut failing, Some(&mut Yesterday::off_by(0.0)));
    assert_eq!((done.raw.len(), done.guarded.len()), (1, 2));
    assert_eq!(done.failures, [(18 * DAY, PolicyFailure::Trapped("here".into()))]);
}
