use super::*;
use proptest::prelude::*;

const S: u64 = 1000;
const MINUTE: u64 = 60 * S;
const HOUR: u64 = 60 * MINUTE;

fn spec() -> PyramidSpec {
    PyramidSpec {
        levels: vec![
            LevelSpec { step_ms: 10_000, keep_steps: 360, chunk_steps: 30 },
            LevelSpec { step_ms: 60_000, keep_steps: 600, chunk_steps: 60 },
            LevelSpec { step_ms: 3_600_000, keep_steps: 100, chunk_steps: 24 },
        ],
        late_ms: 120_000,
        budget_bytes: 64 << 20,
    }
}

fn tick(pyramid: &mut Pyramid<u64>, now: u64, span_ms: u64, value: f32) {
    pyramid.record(InstantMs(now), [Sample { key: 7, span_ms, value, heat: value }]);
}

fn step(pyramid: &Pyramid<u64>, level: usize, at: u64) -> Step {
    let step = at / u64::from(pyramid.spec().levels[level].step_ms);
    pyramid.read(7, level, step..step + 1).next().unwrap()
}

fn close(a: f32, b: f32) -> bool {
    (a - b).abs() <= b.abs() / 1000.0
}

/// Equal, missing like missing.
fn same(a: Step, b: Step) -> bool {
    (a.coverage == 0.0 && b.coverage == 0.0)
        || (close(a.mean, b.mean) && close(a.peak, b.peak) && (a.coverage - b.coverage).abs() < 0.005)
}

#[test]
fn a_peak_is_not_averaged_away() {
    let mut pyramid = Pyramid::new(spec());
    for i in 1..=360 {
        tick(&mut pyramid, i * 10 * S, 10 * S, if i == 100 { 901.0 } else { 1.0 });
    }
    assert!(same(step(&pyramid, 0, 995 * S), Step { mean: 901.0, peak: 901.0, coverage: 1.0 }));
    assert!(same(step(&pyramid, 1, 995 * S), Step { mean: 151.0, peak: 901.0, coverage: 1.0 }));
    assert!(same(step(&pyramid, 2, 995 * S), Step { mean: 3.5, peak: 901.0, coverage: 1.0 }));
}

#[test]
fn a_gap_stays_one_at_each_level_and_is_told_by_coverage() {
    let mut pyramid = Pyramid::new(spec());
    tick(&mut pyramid, HOUR + 10 * S, 10 * S, 5.0);
    tick(&mut pyramid, HOUR + 20 * S, 10 * S, f32::NAN);
    tick(&mut pyramid, HOUR + 30 * S, 10 * S, 7.0);
    assert_eq!(step(&pyramid, 0, HOUR + 15 * S).coverage, 0.0);
    assert!(step(&pyramid, 0, HOUR + 15 * S).mean.is_nan());
    assert!(same(step(&pyramid, 1, HOUR), Step { mean: 6.0, peak: 7.0, coverage: 1.0 / 3.0 }));
    assert!(step(&pyramid, 2, 0).mean.is_nan(), "the hour before");
}

#[test]
fn a_sample_much_longer_than_a_step_says_nothing_about_that_step() {
    let mut pyramid = Pyramid::new(spec());
    tick(&mut pyramid, 2 * MINUTE, MINUTE, 5.0);
    assert_eq!(step(&pyramid, 0, 90 * S).coverage, 0.0);
    assert!(same(step(&pyramid, 1, 90 * S), Step { mean: 5.0, peak: 5.0, coverage: 1.0 }));
}

#[test]
fn a_late_sample_amends_every_level_within_the_window_and_is_counted_after_it() {
    let mut pyramid = Pyramid::new(spec());
    for i in [1, 2, 5, 6] {
        tick(&mut pyramid, HOUR + i * 10 * S, 10 * S, 1.0);
    }
    assert!(close(step(&pyramid, 1, HOUR).coverage, 4.0 / 6.0));
    pyramid.amend(7, InstantMs(HOUR + 20 * S), InstantMs(HOUR + 40 * S), 4.0);
    // A part of it is known already, and is not counted twice.
    pyramid.amend(7, InstantMs(HOUR), InstantMs(HOUR + 30 * S), 100.0);
    assert!(same(step(&pyramid, 0, HOUR + 30 * S), Step { mean: 4.0, peak: 4.0, coverage: 1.0 }));
    assert!(same(step(&pyramid, 1, HOUR), Step { mean: 2.0, peak: 4.0, coverage: 1.0 }));
    assert!(close(step(&pyramid, 2, HOUR).peak, 4.0));
    assert_eq!(pyramid.dropped().late_samples, 0);

    tick(&mut pyramid, HOUR + 10 * MINUTE, 10 * S, 1.0);
    let before = step(&pyramid, 2, HOUR);
    pyramid.amend(7, InstantMs(HOUR + 5 * MINUTE), InstantMs(HOUR + 5 * MINUTE + 10 * S), 1e6);
    assert_eq!(step(&pyramid, 2, HOUR), before);
    assert_eq!(pyramid.dropped().late_samples, 1);
}

#[test]
fn a_clock_that_goes_back_adds_nothing() {
    let mut pyramid = Pyramid::new(spec());
    tick(&mut pyramid, HOUR + 20 * S, 10 * S, 2.0);
    tick(&mut pyramid, HOUR + 10 * S, 10 * S, 50.0);
    tick(&mut pyramid, HOUR + 20 * S, 10 * S, 50.0);
    assert_eq!(pyramid.dropped().backward_ticks, 2);
    assert!(same(step(&pyramid, 1, HOUR), Step { mean: 2.0, peak: 2.0, coverage: 1.0 / 6.0 }));
}

/// Promise 8.
#[test]
fn each_level_keeps_what_it_says_and_the_stated_bytes_are_the_most() {
    let mut pyramid = Pyramid::new(spec());
    for i in 1..=40_000u64 {
        tick(&mut pyramid, i * 10 * S, 10 * S, (i % 997) as f32);
    }
    let now = 400_000 * S;
    for (level, spec) in spec().levels.iter().enumerate() {
        let oldest = now - spec.span_ms();
        assert!(step(&pyramid, level, oldest).coverage > 0.0, "level {level} reaches back");
        if let Some(long_ago) = oldest.checked_sub(200 * u64::from(spec.step_ms)) {
            assert_eq!(step(&pyramid, level, long_ago).coverage, 0.0, "level {level} forgets");
        }
    }
    assert!(pyramid.bytes() <= spec().bytes_per_series(), "{} <= {}", pyramid.bytes(), spec().bytes_per_series());
    assert!(pyramid.bytes() * 10 > spec().bytes_per_series() * 7, "and no idle figure");
}

#[test]
fn idle_shards_cost_next_to_nothing() {
    let mut pyramid = Pyramid::new(spec());
    for i in 1..=40_000u64 {
        tick(&mut pyramid, i * 10 * S, 10 * S, 0.0);
    }
    assert!(pyramid.bytes() < 4_000, "{} bytes", pyramid.bytes());
    assert!(same(step(&pyramid, 1, 399_000 * S), Step { mean: 0.0, peak: 0.0, coverage: 1.0 }));
}

/// Promise 8.
#[test]
fn over_the_budget_the_coldest_lose_their_finest_level_first_and_get_it_back() {
    let spec = PyramidSpec { budget_bytes: 120_000, ..spec() };
    let mut pyramid = Pyramid::new(spec.clone());
    let mut lost = Vec::new();
    let load = |shard: u64, i: u64| (shard * 1000 + i % 97) as f32;
    let record = |pyramid: &mut Pyramid<u64>, i: u64, shards: Range<u64>| {
        let samples = shards.map(|s| Sample { key: s, span_ms: 10 * S, value: load(s, i), heat: s as f32 });
        pyramid.record(InstantMs(i * 10 * S), samples)
    };
    for i in 1..=2_000 {
        lost.extend(record(&mut pyramid, i, 0..20));
        assert!(pyramid.bytes() <= spec.budget_bytes, "at tick {i}: {}", pyramid.bytes());
    }
    assert_eq!(lost[0], Thinned { key: 0, finest_step_ms: Some(60_000) });
    let last = 2_000 * 10 * S / 60_000 - 1;
    assert!(pyramid.read(0, 0, 1_998..1_999).all(|step| step.coverage == 0.0), "the coldest has no fine steps");
    assert!(pyramid.read(19, 1, last..last + 1).all(|step| step.coverage > 0.0), "the hottest has its minutes");
    // With most shards gone there is room again, and the hottest of the rest is served first.
    pyramid.retain(|shard| shard < 3);
    let back: Vec<_> = (2_001..2_020).flat_map(|i| record(&mut pyramid, i, 0..3)).collect();
    assert!(back.contains(&Thinned { key: 2, finest_step_ms: Some(10_000) }), "{back:?}");
    assert!(pyramid.read(2, 0, 2_018..2_019).all(|step| step.coverage == 1.0));
}

#[test]
fn an_import_fills_its_own_level_and_coarser_ones() {
    let mut pyramid = Pyramid::new(spec());
    let minutes: Vec<f32> = (0..120).map(|i| if i == 30 { f32::NAN } else { (i % 60) as f32 }).collect();
    let reached = pyramid.import(7, InstantMs(10 * HOUR), 60_000, &minutes);
    assert_eq!(reached, [0..0, 600..720, 10..12]);
    assert_eq!(step(&pyramid, 0, 10 * HOUR).coverage, 0.0);
    assert!(same(step(&pyramid, 1, 10 * HOUR + 59 * MINUTE), Step { mean: 59.0, peak: 59.0, coverage: 1.0 }));
    assert!(step(&pyramid, 1, 10 * HOUR + 30 * MINUTE).mean.is_nan());
    assert!(same(step(&pyramid, 2, 10 * HOUR), Step { mean: 1740.0 / 59.0, peak: 59.0, coverage: 59.0 / 60.0 }));
    assert!(same(step(&pyramid, 2, 11 * HOUR), Step { mean: 29.5, peak: 59.0, coverage: 1.0 }));
    // Thirty-minute steps, for the hour alone; they cover more of it.
    pyramid.import(7, InstantMs(10 * HOUR), 1_800_000, &[10.0, 20.0]);
    assert!(same(step(&pyramid, 2, 10 * HOUR), Step { mean: 15.0, peak: 20.0, coverage: 1.0 }));
    assert!(same(step(&pyramid, 1, 10 * HOUR + MINUTE), Step { mean: 1.0, peak: 1.0, coverage: 1.0 }));
}

/// The last step of an import is stored with it, and what is measured next does not wipe it out.
#[test]
fn an_import_that_ends_just_now_is_closed_and_stored_in_full() {
    let mut pyramid = Pyramid::new(spec());
    let reached = pyramid.import(7, InstantMs(10 * HOUR), 60_000, &[6.0; 90]);
    assert_eq!(reached[1], 600..690);
    let mut after = Pyramid::<u64>::new(spec());
    for chunk in pyramid.chunks(1, reached[1].clone(), 10) {
        after.restore(&chunk);
    }
    after.rebuild();
    let last = 11 * HOUR + 29 * MINUTE;
    for pyramid in [&mut pyramid, &mut after] {
        assert!(same(step(pyramid, 1, last), Step { mean: 6.0, peak: 6.0, coverage: 1.0 }));
        assert!(same(step(pyramid, 2, last), Step { mean: 6.0, peak: 6.0, coverage: 0.5 }));
        // A tick that reaches back into imported time, then the hour goes on.
        for i in 1..=360 {
            tick(pyramid, last + MINUTE + i * 10 * S, if i == 1 { 25 * S } else { 10 * S }, 12.0);
        }
        assert!(same(step(pyramid, 1, last), Step { mean: 6.0, peak: 6.0, coverage: 1.0 }));
        assert!(same(step(pyramid, 2, last), Step { mean: 9.0, peak: 12.0, coverage: 1.0 }));
    }
}

#[test]
fn a_damaged_or_newer_chunk_is_refused() {
    let mut pyramid = Pyramid::new(spec());
    for i in 1..=60 {
        tick(&mut pyramid, i * 10 * S, 10 * S, i as f32);
    }
    let chunk = pyramid.chunks(0, pyramid.unsaved(0), 10).remove(0);
    let bytes = chunk.encode();
    assert_eq!(Chunk::decode(&bytes), Ok(chunk));
    let mut damaged = bytes.clone();
    damaged[20] ^= 1;
    assert!(matches!(Chunk::<u64>::decode(&damaged), Err(ChunkError::Checksum { .. })));
    let mut newer = bytes.clone();
    newer[4] = 9;
    assert_eq!(Chunk::<u64>::decode(&newer), Err(ChunkError::Version(9)));
    for cut in 0..bytes.len() {
        assert!(Chunk::<u64>::decode(&bytes[..cut]).is_err());
    }
}

proptest! {
    /// What was stored comes back, at each level, with what coarser levels had not stored made of the finer.
    #[test]
    fn levels_come_back_after_a_restart(values in proptest::collection::vec(0f32..1e6, 400..2_000), every in 30u64..300) {
        let mut before = Pyramid::new(spec());
        let mut stored: Vec<Vec<u8>> = Vec::new();
        for (i, value) in (1u64..).zip(&values) {
            tick(&mut before, i * 10 * S, 10 * S, *value);
            if i % every == 0 {
                for level in 0..3 {
                    let unsaved = before.unsaved(level);
                    if unsaved.end - unsaved.start >= u64::from(before.spec().levels[level].chunk_steps) || level == 0 {
                        stored.extend(before.chunks(level, unsaved.clone(), 1).iter().map(Chunk::encode));
                        before.saved(level, unsaved.end);
                    }
                }
            }
        }
        let mut after = Pyramid::<u64>::new(spec());
        for bytes in &stored {
            after.restore(&Chunk::decode(bytes).unwrap());
        }
        after.rebuild();
        // The finest level is stored up to here; what is later is lost.
        let lost_from = before.unsaved(0).start * 10 * S;
        for (level, spec) in spec().levels.iter().enumerate() {
            let length = u64::from(spec.step_ms);
            for at in before.kept(level).start..lost_from / length {
                let (was, is) = (step(&before, level, at * length), step(&after, level, at * length));
                prop_assert!(same(was, is), "level {}, step {}: {:?} became {:?}", level, at, was, is);
            }
        }
    }

    /// However ticks fall, a constant load is constant, covered time adds up, and no step is covered more than in full.
    #[test]
    fn a_constant_load_is_constant_at_each_level(
        spans in proptest::collection::vec((1u64..25_000, 0u64..30_000), 1..200),
        load in 0.01f32..1e6,
    ) {
        let mut pyramid = Pyramid::new(spec());
        let mut now = 3 * HOUR;
        for (span, late) in spans {
            now += span;
            tick(&mut pyramid, now, span, load);
            pyramid.amend(7, InstantMs(now - late), InstantMs(now), load);
        }
        for level in 0..3 {
            for step in pyramid.read(7, level, pyramid.kept(level)) {
                prop_assert!(step.coverage <= 1.0);
                if step.coverage > 0.0 {
                    prop_assert!(close(step.mean, load) && close(step.peak, load));
                }
            }
        }
    }
}
