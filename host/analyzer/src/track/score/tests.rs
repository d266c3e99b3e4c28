use super::*;

/// Five series at ten origins, among them a flat one, a forecast that is missing, one too short, one hopelessly high, peaks given and not.
fn fixture() -> (Vec<Series>, Vec<TrackForecast>) {
    let track = include_str!("fixture/track.jsonl").lines().map(|line| Series::parse(line).unwrap());
    let forecasts = include_str!("fixture/forecasts.jsonl").lines().map(|line| TrackForecast::parse(line).unwrap());
    (track.collect(), forecasts.collect())
}

fn everywhere(_: usize, _: usize) -> bool {
    true
}

/// `fixture/expected.json` is what the Python reference gave: `score.py track.jsonl forecasts.jsonl --json expected.json`.
#[test]
fn the_score_is_the_references() {
    let (track, forecasts) = fixture();
    let score = TrackScore::of(&score(&track, &forecasts, everywhere), &forecasts);
    let expected: BTreeMap<String, f64> = serde_json::from_str(include_str!("fixture/expected.json")).unwrap();
    assert_eq!(expected.len(), 16);
    for (name, expected) in expected {
        let (horizon, metric) = name.trim_start_matches("forecasts.h").split_once('.').unwrap();
        let horizon = serde_json::to_value(score.horizons[&horizon.parse::<usize>().unwrap()]).unwrap();
        let ours = horizon[metric].as_f64().unwrap();
        assert!((ours - expected).abs() < 1e-12, "{name} is {ours}, not {expected}");
    }
    assert_eq!((score.missing[&3], score.missing[&12], score.ms), (1, 2, Some(2.5)));
}

#[test]
fn missing_loads_are_left_out_of_every_mean() {
    let (mut track, forecasts) = fixture();
    let task = |track: &[Series]| score(track, &forecasts, |series, origin| (series, origin) == (0, 130));
    let whole = task(&track)[&(0, 130, 12)];
    // The last four steps of twelve.
    track[0].y[138..142].fill(f64::NAN);
    let part = task(&track)[&(0, 130, 12)];
    assert!(part.spl.is_finite() && part.spl != whole.spl);
    track[0].y[130..142].fill(f64::NAN);
    let none = task(&track)[&(0, 130, 12)];
    assert!([none.spl, none.mase, none.cov90, none.miss, none.over].iter().all(|metric| metric.is_nan()));
    assert_eq!(none.bad, 0.0);
    // One that can't be told does not touch the means of the others.
    let tasks = score(&track, &forecasts, everywhere);
    assert!(TrackScore::of(&tasks, &forecasts).horizons[&12].spl.is_finite());
}

#[test]
fn a_perfect_forecast_scores_nought_and_covers_all() {
    let (track, _) = fixture();
    let told = |series: &Series, origin: &usize| TrackForecast {
        id: series.id.clone(),
        origin: *origin,
        paths: LEVELS.map(|_| series.y[*origin..*origin + 12].to_vec()),
        peaks: BTreeMap::new(),
        lower_peaks: BTreeMap::new(),
        ms: None,
    };
    let forecasts: Vec<_> = track.iter().flat_map(|s| s.origins.iter().map(move |o| told(s, o))).collect();
    let score = TrackScore::of(&score(&track, &forecasts, everywhere), &forecasts);
    for task in score.horizons.values() {
        assert_eq!((task.spl, task.mase, task.wql, task.cov90, task.c99), (0.0, 0.0, 0.0, 1.0, 1.0));
        assert_eq!((task.miss, task.over, task.miss90, task.over90, task.bad), (0.0, 1.0, 0.0, 1.0, 0.0));
    }
    assert_eq!(score.ms, None);
}
