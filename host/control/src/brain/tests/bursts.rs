use super::*;
use crate::RecordedSteps;
use crate::decision::ForecastInput;
use isobar_model::DecisionRecord;

const TICK_MS: u64 = 10_000;
const TICKS_A_STEP: u64 = STEP_MS / TICK_MS;

/// Ticks of ten seconds; the first shard's load is given, the others rest.
fn tick(brain: &mut Brain, number: u64, load: f32) -> Tick {
    let still: [(&[u64], f32); 3] = [(&[1, 2, 3], load), (&[2, 3, 4], 40.0), (&[3, 4, 1], 40.0)];
    let now = InstantMs(START + number * TICK_MS);
    brain.tick(&Observation { now, span_ms: TICK_MS, ..observed(0, &still) }, &rules(Mode::Auto))
}

/// What a placer sees of the first shard: its load now, and the median and the upper quantile of its steps.
fn seen(brain: &Brain) -> (f32, Vec<f32>, Vec<f32>) {
    let view = brain.last_view().unwrap();
    let steps = view.steps as usize;
    let path = |q: usize| view.shards.predicted[q * steps..(q + 1) * steps].to_vec();
    (view.shards.leader_load[0], path(1), path(2))
}

fn began(tick: &Tick) -> bool {
    tick.events.iter().any(|event| matches!(event, BrainEvent::BurstBegan { shard: ShardId(1), .. }))
}

fn ended(tick: &Tick) -> bool {
    tick.events.iter().any(|event| matches!(event, BrainEvent::BurstEnded { shard: ShardId(1), lasting: false, .. }))
}

fn inputs(tick: &Tick) -> ForecastInput {
    let DecisionRecord { evaluations, .. } = &tick.record;
    let digest = evaluations.iter().find(|e| e.role == Role::Forecast).unwrap().input;
    postcard::from_bytes(&tick.inputs.iter().find(|(named, _)| *named == digest).unwrap().1).unwrap()
}

/// Between two forecasts, and long before the step in which it lies is closed.
#[test]
fn a_burst_is_seen_by_placers_within_two_ticks_and_gone_when_it_is_over() {
    let mut brain = brain(&FakeHost::new(Script::default()));
    let quiet_until = 2 * TICKS_A_STEP + 5;
    (1..=quiet_until).for_each(|number| drop(tick(&mut brain, number, 30.0)));
    assert_eq!(seen(&brain), (30.0, vec![30.0; 4], vec![30.0; 4]));

    assert!(!began(&tick(&mut brain, quiet_until + 1, 80.0)));
    let second = tick(&mut brain, quiet_until + 2, 80.0);
    assert!(began(&second) && second.closed.is_none());
    assert!(second.record.notes[0].contains("shard 1 is in a burst"), "{:?}", second.record.notes);
    assert_eq!(second.record.evaluations.len(), 1, "no forecast was made for it");
    // A median life of 21 minutes: all four steps begin before it is over.
    assert_eq!(seen(&brain), (80.0, vec![80.0; 4], vec![80.0; 4]));
    let forecast = brain.forecast_of_all();
    assert_eq!((forecast.shards[0].answerer, forecast.shards[0].peaks[2]), (ForecastAnswerer::Burst, 80.0));
    assert_eq!(forecast.shards[1].answerer, ForecastAnswerer::Policy);
    assert_operators_see_what_placers_see(&brain);

    let calm: Vec<Tick> = (3..=8).map(|more| tick(&mut brain, quiet_until + more, 30.0)).collect();
    assert_eq!(calm.iter().filter(|tick| ended(tick)).count(), 1);
    assert_eq!(seen(&brain), (30.0, vec![30.0; 4], vec![30.0; 4]));
    assert_operators_see_what_placers_see(&brain);
}

fn assert_operators_see_what_placers_see(brain: &Brain) {
    let (_, median, upper) = seen(brain);
    let forecast = &brain.forecast(&[ShardId(1)]).shards[0];
    assert_eq!((&forecast.paths[1], &forecast.paths[2]), (&median, &upper));
    let shortest_column_ms = 0;
    let heat =
        brain.heat_map(HeatMapSpec { past_steps: 1, future_steps: 4, max_rows: 9, max_columns: 9, shortest_column_ms });
    let row = heat.shards.iter().position(|shard| *shard == ShardId(1)).unwrap();
    assert_eq!(heat.values[row * heat.columns..][heat.past_columns..heat.columns], median);
    let ranked = brain.ranking(3).into_iter().find(|ranked| ranked.shard == ShardId(1)).unwrap();
    assert_eq!(ranked.peak.feared, upper.iter().copied().fold(0.0, f32::max));
}

/// Who forecasts that all goes on as it is would be to blame for what nobody could foresee.
#[test]
fn a_burst_does_not_decide_who_forecasts_better() {
    let scored = |loud: std::ops::Range<u64>| {
        let mut brain = brain(&FakeHost::new(Script::default()));
        for number in 1..=6 * TICKS_A_STEP {
            tick(&mut brain, number, if loud.contains(&number) { 300.0 } else { 30.0 });
        }
        brain.forecast_scores(Some(ShardId(1))).native.unwrap()
    };
    // From within the third step to its end, and from then on as ever.
    let loud = scored(2 * TICKS_A_STEP + 3..3 * TICKS_A_STEP);
    let quiet = scored(0..0);
    assert_eq!((loud.wape(), quiet.wape()), (Some(0.0), Some(0.0)));
    assert_eq!((loud.horizons[0].steps, quiet.horizons[0].steps), (4, 5), "it was not judged at all");
}

#[test]
fn forecasters_do_not_see_a_burst_and_the_history_keeps_it() {
    let mut brain = brain(&FakeHost::new(Script::default()));
    let last = 4 * TICKS_A_STEP;
    let loud = 2 * TICKS_A_STEP + 3..3 * TICKS_A_STEP - 3;
    let load = |number: u64| if loud.contains(&number) { 300.0 } else { 30.0 };
    let ticks: Vec<Tick> = (1..=last).map(|number| tick(&mut brain, number, load(number))).collect();
    assert!(began(&ticks[loud.start as usize - 1]), "an enormous one is recognised at its first tick");
    let closed: Vec<&Tick> = ticks.iter().filter(|tick| tick.closed.is_some()).collect();
    assert_eq!(closed.len(), 4);
    assert!(closed[2].closed.as_ref().unwrap().values[0] > 200.0, "what is stored is the truth");
    // What was observed is recorded: replays show the same.
    let observed: Vec<f32> = closed[1..].iter().map(|tick| inputs(tick).observed[0].values[0]).collect();
    assert!(observed[0] == 30.0 && observed[1].is_nan() && observed[2] == 30.0, "{observed:?}");
    // One who has it of the stored history is told what not to see.
    brain.builtin_forecaster.start_over();
    brain.stale = true;
    let again = inputs(&tick(&mut brain, last + 1, 30.0)).reopened.unwrap();
    assert_eq!(again.shown.withheld, [(ShardId(1), InstantMs(START + 2 * STEP_MS))]);
    assert_eq!(seen(&brain).1, [30.0; 4]);
}

#[test]
fn the_next_leader_withholds_what_was_withheld() {
    let mut old = brain(&FakeHost::new(Script::default()));
    let loud = 2 * TICKS_A_STEP + 3..3 * TICKS_A_STEP - 3;
    let mut blobs = Vec::new();
    for number in 1..=4 * TICKS_A_STEP {
        let Tick { closed, withheld, .. } = tick(&mut old, number, if loud.contains(&number) { 300.0 } else { 30.0 });
        assert!(closed.is_some() || withheld.is_empty());
        let recorded = RecordedSteps { batches: closed.into_iter().collect(), withheld };
        blobs.push(postcard::to_allocvec(&recorded).unwrap());
    }
    let mut new = brain(&FakeHost::new(Script::default()));
    for blob in &blobs {
        let recorded: RecordedSteps = postcard::from_bytes(blob).unwrap();
        recorded.batches.iter().for_each(|batch| new.import_history(batch).unwrap());
        new.withhold(&recorded.withheld);
    }
    let withheld: Vec<_> = new.history().withheld(0).collect();
    assert_eq!(withheld, [(ShardId(1), new.history().step_at(InstantMs(START + 2 * STEP_MS)))]);
    let shown = |brain: &Brain| format!("{:?}", brain.history().batches(brain.history().shards(), 0, usize::MAX));
    assert_eq!(shown(&new), shown(&old));
}

/// Promise 7.
#[test]
fn a_static_load_is_never_a_burst() {
    let mut brain = brain(&FakeHost::new(Script::default()));
    for number in 1..10 * TICKS_A_STEP {
        let tick = tick(&mut brain, number, 30.0);
        assert_eq!((tick.events, tick.record.moves, tick.record.notes), (vec![], vec![], vec![]));
    }
    assert_eq!(brain.history().withheld(0).count(), 0);
}
