use super::*;
use crate::insights::DriverColumn;
use isobar_model::history::{HistoryQuery, Resolution, Window};
use isobar_model::{DriverKind, Metric};

const TICK: u64 = 10_000;
const HOUR: u64 = 3_600_000;
/// Late enough for every level to look back.
const BEGIN: u64 = 10_000 * HOUR;

fn shard(shard: u64, load: f32) -> ShardLoad {
    ShardLoad {
        shard: ShardId(shard),
        span_ms: TICK,
        load,
        reads: load * 0.8,
        writes: load * 0.1,
        read_bytes: load * 100.0,
        write_bytes: load * 10.0,
        key_skew: load / 100.0,
    }
}

/// An archive of so many ticks from `BEGIN` on.
fn archive(ticks: u64, shards: u64, load: impl Fn(u64, u64) -> f32) -> Archive {
    let mut archive = Archive::default();
    for i in 1..=ticks {
        let loads: Vec<_> = (0..shards).map(|s| shard(s, load(s, i))).collect();
        let used = NodeLoad { node: NodeId(1), span_ms: TICK, values: vec![(NodeMetric::CpuMillicores, i as f32)] };
        assert_eq!(archive.record(InstantMs(BEGIN + i * TICK), &loads, &[used]), Vec::<String>::new());
    }
    archive
}

fn query(resolution: Resolution) -> HistoryQuery {
    HistoryQuery {
        metric: Metric::Load,
        window: Window { resolution, from: None, to: None },
        shards: Vec::new(),
        after: None,
        max_steps: 1_000_000,
    }
}

#[test]
fn the_stated_bytes_are_those_of_the_specs() {
    let each: Vec<usize> = Family::ALL.iter().map(|family| family.spec().bytes_per_series()).collect();
    assert_eq!(each.iter().map(|bytes| bytes / 100).collect::<Vec<_>>(), [1270, 121, 1144, 121]);
    assert!(1_000 * each[0] < LOAD_BUDGET_BYTES, "a thousand busy shards fit");
    assert!(1_000 * 4 * each[1] < OPERATIONS_BUDGET_BYTES);
    assert!(30 * 6 * each[2] < NODES_BUDGET_BYTES, "and thirty nodes");
    assert!(1_000 * each[3] < KEYS_BUDGET_BYTES);
}

#[test]
fn auto_takes_the_finest_level_that_reaches_back_and_fits_a_screen() {
    let archive = archive(2 * 360, 1, |_, i| i as f32);
    let step_of = |back_ms: u64| {
        let now = BEGIN + 2 * 360 * TICK;
        let window = Window { from: Some(InstantMs(now - back_ms)), ..Window::default() };
        archive.history(&HistoryQuery { window, ..query(Resolution::Auto) }).unwrap().step_ms
    };
    assert_eq!([HOUR, 5 * HOUR, 7 * HOUR, 72 * HOUR].map(step_of), [10_000, 10_000, 60_000, 300_000]);
}

#[test]
fn pages_follow_one_another_and_hold_no_more_than_asked() {
    let archive = archive(60, 7, |shard, _| shard as f32);
    let mut query = HistoryQuery { max_steps: 130, ..query(Resolution::TenSeconds) };
    query.window.from = Some(InstantMs(BEGIN));
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let page = archive.history(&query).unwrap();
        assert_eq!((page.start, page.steps), (InstantMs(BEGIN), 60));
        assert!(page.rows.len() <= 2);
        seen.extend(page.rows.iter().map(|row| (row.key.0, row.steps[59].mean.round() as u64)));
        pages += 1;
        query.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!((pages, seen), (4, (0..7).map(|s| (s, s)).collect()));
}

#[test]
fn what_is_not_kept_is_said() {
    let archive = archive(10, 1, |_, _| 1.0);
    let refused =
        |metric, resolution| archive.history(&HistoryQuery { metric, ..query(resolution) }).unwrap_err().to_string();
    assert!(refused(Metric::ReadOps, Resolution::TenSeconds).contains("ask for 5m, 1h, or for auto"));
    assert!(refused(Metric::CpuMillicores, Resolution::Auto).contains("no metric of shards"));
    let window = Window { from: Some(InstantMs(5)), to: Some(InstantMs(5)), ..Window::default() };
    assert!(archive.history(&HistoryQuery { window, ..query(Resolution::Auto) }).is_err());
    // Long ago: nothing, and no error.
    let window = Window { resolution: Resolution::Hour, from: None, to: Some(InstantMs(5)) };
    assert_eq!(archive.history(&HistoryQuery { window, ..query(Resolution::Hour) }).unwrap().steps, 0);
}

#[test]
fn all_families_come_back_from_what_was_due() {
    let mut before = Archive::default();
    let mut stored: Vec<ArchiveChunk> = Vec::new();
    for i in 1..=1_500u64 {
        let loads: Vec<_> = (0..3).map(|s| shard(s, (s + i % 50) as f32)).collect();
        let used = NodeLoad { node: NodeId(1), span_ms: TICK, values: vec![(NodeMetric::CpuMillicores, i as f32)] };
        before.record(InstantMs(HOUR + i * TICK), &loads, &[used]);
        for chunk in before.due() {
            before.saved(chunk.family, chunk.step_ms, chunk.until);
            stored.push(chunk);
        }
    }
    assert!(before.due().is_empty());
    let mut after = Archive::default();
    for chunk in &stored {
        chunk.parts.iter().for_each(|part| after.restore(chunk.family, part).unwrap());
    }
    after.rebuild();
    let window = |resolution, to| Window { resolution, from: Some(InstantMs(HOUR)), to: Some(InstantMs(to)) };
    // The last five minutes, and the two in which samples may be late, were not stored.
    let to = HOUR + 1_500 * TICK - 420_000 - 600_000;
    for (metric, resolution) in [
        (Metric::Load, Resolution::TenSeconds),
        (Metric::Load, Resolution::Minute),
        (Metric::Load, Resolution::FiveMinutes),
        (Metric::ReadBytes, Resolution::Hour),
    ] {
        // Operations are stored an hour at a time.
        let to = if metric == Metric::Load { to } else { 3 * HOUR };
        let ask = HistoryQuery { metric, window: window(resolution, to), ..query(resolution) };
        let (was, is) = (before.history(&ask).unwrap(), after.history(&ask).unwrap());
        assert_eq!((was.start, was.steps, was.rows.len()), (is.start, is.steps, is.rows.len()));
        for (was, is) in was.rows.iter().zip(&is.rows).flat_map(|(was, is)| was.steps.iter().zip(&is.steps)) {
            assert!((was.mean - is.mean).abs() <= was.mean / 1_000.0, "{metric:?} {resolution}: {was:?} became {is:?}");
            assert!((was.peak - is.peak).abs() <= was.peak / 1_000.0);
        }
    }
    let ask = window(Resolution::Minute, to);
    let (was, is) = (before.node_history(NodeId(1), ask).unwrap(), after.node_history(NodeId(1), ask).unwrap());
    assert_eq!(was.rows[0].steps[5], is.rows[0].steps[5]);
    assert!(was.rows[0].steps[5].coverage > 0.99);
    let skew = |archive: &Archive| {
        let columns = archive.drivers(ShardId(2), 300_000);
        let column = columns.into_iter().find(|column| column.kind == DriverKind::KeySkew).unwrap();
        // The hours that were stored; before there was anything, nothing is known.
        let from = HOUR / 300_000 - column.first_step;
        column.values.into_iter().skip(from as usize).take(24).collect::<Vec<f32>>()
    };
    let (was, is) = (skew(&before), skew(&after));
    assert_eq!(was.len(), 24);
    for (was, is) in was.iter().zip(&is) {
        assert!(*was > 0.0 && (was - is).abs() <= was / 1_000.0, "{was} became {is}");
    }
}

#[test]
fn an_import_is_read_back_and_stored_at_once() {
    let batch = LoadBatch {
        metric: Metric::WriteOps,
        start: InstantMs(100 * HOUR),
        step_ms: 600_000,
        steps: 12,
        shards: vec![ShardId(3)],
        values: (0..12).map(|i| i as f32).collect(),
    };
    let mut archive = Archive::default();
    archive.import(&LoadBatch { metric: Metric::Load, ..batch.clone() }).unwrap();
    let chunks = archive.import(&batch).unwrap();
    let levels: Vec<_> = chunks.iter().map(|chunk| (chunk.family, chunk.step_ms)).collect();
    assert_eq!(levels, [(Family::Operations, 300_000), (Family::Operations, 3_600_000)]);
    let page = archive.history(&HistoryQuery { metric: Metric::WriteOps, ..query(Resolution::Hour) }).unwrap();
    let last = page.rows[0].steps.last().unwrap();
    assert_eq!((last.mean, last.peak), (8.5, 11.0));
    let cpu = LoadBatch { metric: Metric::CpuMillicores, ..batch.clone() };
    assert_eq!(archive.import(&cpu), Err(BadImport::Metric(Metric::CpuMillicores)));
    assert!(matches!(archive.import(&LoadBatch { steps: 13, ..batch.clone() }), Err(BadImport::Shape { .. })));
    assert!(matches!(archive.import(&LoadBatch { step_ms: u32::MAX, ..batch }), Err(BadImport::StepMs { .. })));
}

#[test]
fn a_heat_map_shows_any_metric_of_what_was_measured() {
    use crate::HeatMapSpec;
    // A little over two hours; the third of three shards grows.
    let archive = archive(2 * 360 + 10, 3, |shard, tick| if shard == 2 { tick as f32 } else { 10.0 });
    let spec = HeatMapSpec { past_steps: 24, future_steps: 0, max_rows: 2, max_columns: 100, shortest_column_ms: 0 };
    let reads = archive.heat_map(Metric::ReadOps, spec).unwrap();
    assert_eq!((reads.start, reads.column_ms, reads.columns), (InstantMs(BEGIN), 300_000, 24));
    assert_eq!((&reads.shards[..], reads.omitted), (&[ShardId(0), ShardId(2)][..], 1));
    assert!((reads.values[0] - 8.0).abs() < 0.1, "{}", reads.values[0]);
    let hours = archive.heat_map(Metric::WriteBytes, HeatMapSpec { shortest_column_ms: HOUR, ..spec }).unwrap();
    assert_eq!((hours.start, hours.column_ms), (InstantMs(BEGIN - 22 * HOUR), HOUR));
    // The mean of the second hour of what grows by ten bytes a tick.
    let last = *hours.values.last().unwrap();
    assert!((last - 5_405.0).abs() < 60.0, "{last}");
    assert!(matches!(archive.heat_map(Metric::MemoryBytes, spec), Err(BadQuery::Metric(Metric::MemoryBytes))));
}

#[test]
fn drivers_are_what_operations_were_like() {
    let archive = archive(90, 2, |shard, i| {
        if shard == 0 {
            10.0
        } else if i <= 60 {
            0.0
        } else {
            7.0
        }
    });
    let five_minutes = 300_000;
    assert_eq!(archive.shards(), [ShardId(0), ShardId(1)]);
    let columns = archive.drivers(ShardId(0), five_minutes);
    let kinds = [DriverKind::WriteShare, DriverKind::BytesPerOp, DriverKind::KeySkew];
    assert_eq!(columns.iter().map(|c| c.kind).collect::<Vec<_>>(), kinds);
    let at = |column: &DriverColumn, step: u64| {
        column.values[(BEGIN / u64::from(five_minutes) + step - column.first_step) as usize]
    };
    for step in 0..3 {
        assert!((at(&columns[0], step) - 0.1 / 0.9).abs() < 1e-3, "{columns:?}");
        assert!((at(&columns[1], step) / (110.0 / 0.9) - 1.0).abs() < 1e-2);
        assert!((at(&columns[2], step) - 0.1).abs() < 1e-3);
    }
    // No operations, no mix.
    let idle = archive.drivers(ShardId(1), five_minutes);
    assert!(at(&idle[0], 0).is_nan() && at(&idle[0], 1).is_nan() && at(&idle[0], 2) > 0.1);
    assert!(archive.drivers(ShardId(9), five_minutes).is_empty());
    assert!(archive.drivers(ShardId(0), 60_000).is_empty(), "operations are not kept by the minute");
}
