use super::*;

const QUANTILES: [f32; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];
const NODE: NodeId = NodeId(1);

/// Numbers from 0 to 1 that look like chance: a linear congruence.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Nearly normal, of mean 0 and spread 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.roll()).sum::<f64>() - 6.0
    }
}

/// Millicores of a node: 40 idle, 0.8 a unit led, 0.3 a unit followed, spread 3.
fn cpu(dice: &mut Dice, led: f64, followed: f64) -> f32 {
    (40.0 + 0.8 * led + 0.3 * followed + 3.0 * dice.normal()) as f32
}

fn learned(ticks: usize) -> NodeForecaster {
    let (mut forecaster, mut dice) = (NodeForecaster::default(), Dice(7));
    for tick in 0..ticks {
        let tide = (tick as f64 / 500.0).sin();
        let (led, followed) = (300.0 + 200.0 * tide + 30.0 * dice.normal(), 150.0 + 60.0 * dice.roll());
        let figures = vec![
            (NodeMetric::CpuMillicores, cpu(&mut dice, led, followed)),
            (NodeMetric::MemoryBytes, 5e8),
            (NodeMetric::StorageIops, (2.0 * followed) as f32),
        ];
        forecaster.observe(&[NodeSeen { node: NODE, led: led as f32, followed: followed as f32, figures }]);
    }
    forecaster
}

/// Paths of a shard whose load is normal.
fn normal_paths(mean: f64, spread: f64) -> Vec<Vec<f32>> {
    QUANTILES.iter().map(|&q| vec![(mean + spread * normal_quantile(f64::from(q))) as f32; 4]).collect()
}

fn path(forecast: &NodeForecast, metric: NodeMetric) -> &NodePath {
    forecast.paths.iter().find(|path| path.metric == metric).unwrap()
}

fn forecast(forecaster: &NodeForecaster, parts: &[ShardPart<'_>]) -> NodeForecast {
    forecaster.forecast(NODE, (InstantMs(0), 300_000), &QUANTILES, parts)
}

#[test]
fn costs_that_are_known_are_recovered() {
    let forecaster = learned(5_000);
    let forecast = forecast(&forecaster, &[]);
    let cpu = path(&forecast, NodeMetric::CpuMillicores);
    assert!((cpu.per_led - 0.8).abs() < 0.01, "{cpu:?}");
    assert!((cpu.per_followed - 0.3).abs() < 0.02, "{cpu:?}");
    assert!((cpu.idle - 40.0).abs() < 4.0, "{cpu:?}");
    let iops = path(&forecast, NodeMetric::StorageIops);
    assert!(iops.per_led < 0.01 && (iops.per_followed - 2.0).abs() < 0.05, "{iops:?}");
}

#[test]
fn the_forecast_covers_what_then_occurs() {
    let forecaster = learned(5_000);
    let (led, followed) = (normal_paths(50.0, 12.0), normal_paths(40.0, 8.0));
    let parts: Vec<ShardPart<'_>> = (0..16)
        .map(|i| ShardPart { leads: i < 8, follower_share: 0.5, paths: if i < 8 { &led } else { &followed } })
        .collect();
    let forecast = forecast(&forecaster, &parts);
    let cpu_path = path(&forecast, NodeMetric::CpuMillicores);
    let (low, middle, high) = (cpu_path.paths[0][0], cpu_path.paths[2][0], cpu_path.paths[4][0]);
    assert!((middle - 408.0).abs() < 6.0, "40 idle, 320 led, 48 followed: {middle}");
    let mut dice = Dice(99);
    let inside = (0..4_000)
        .filter(|_| {
            let led: f64 = (0..8).map(|_| 50.0 + 12.0 * dice.normal()).sum();
            let followed: f64 = (0..8).map(|_| 0.5 * (40.0 + 8.0 * dice.normal())).sum();
            (low..=high).contains(&cpu(&mut dice, led, followed))
        })
        .count();
    assert!((3_480..=3_720).contains(&inside), "{inside} of 4 000 in a 90 % interval");
}

#[test]
fn a_change_of_placement_shifts_the_forecast() {
    let forecaster = learned(5_000);
    let paths = normal_paths(100.0, 10.0);
    let part = |leads| ShardPart { leads, follower_share: 0.5, paths: &paths };
    let middle = |parts: &[ShardPart<'_>]| path(&forecast(&forecaster, parts), NodeMetric::CpuMillicores).paths[2][0];
    let (two_led, one_led, given_away) =
        (middle(&[part(true), part(true)]), middle(&[part(true), part(false)]), middle(&[part(true)]));
    assert!((two_led - one_led - (80.0 - 15.0)).abs() < 3.0, "leadership: {two_led}, {one_led}");
    assert!((one_led - given_away - 15.0).abs() < 3.0, "the replica: {one_led}, {given_away}");
}

#[test]
fn shards_that_err_together_make_a_wider_sum() {
    let (mut alone, mut together) = (learned(2_000), learned(2_000));
    let mut dice = Dice(3);
    for _ in 0..500 {
        let common = dice.normal();
        alone.observe_errors((0..20).map(|_| dice.normal() as f32));
        together.observe_errors((0..20).map(|_| (0.8f64.sqrt() * common + 0.2f64.sqrt() * dice.normal()) as f32));
    }
    assert!(alone.correlation() < 0.05, "{}", alone.correlation());
    assert!((together.correlation() - 0.8).abs() < 0.1, "{}", together.correlation());
    let paths = normal_paths(50.0, 12.0);
    let parts = vec![ShardPart { leads: true, follower_share: 0.5, paths: &paths }; 20];
    let width = |forecaster: &NodeForecaster| {
        let forecast = forecast(forecaster, &parts);
        let cpu = path(&forecast, NodeMetric::CpuMillicores);
        cpu.paths[4][0] - cpu.paths[0][0]
    };
    assert!(width(&together) > 3.0 * width(&alone), "{} against {}", width(&together), width(&alone));
}

#[test]
fn levels_stay_and_what_is_unknown_is_left_out() {
    let forecaster = learned(100);
    let paths = normal_paths(50.0, 12.0);
    let forecast = forecast(&forecaster, &[ShardPart { leads: true, follower_share: 0.5, paths: &paths }]);
    assert_eq!(path(&forecast, NodeMetric::MemoryBytes).paths[4], [5e8; 4]);
    assert!(!forecast.paths.iter().any(|path| path.metric == NodeMetric::NetworkBytes));
    let nothing = NodeForecaster::default().forecast(NODE, (InstantMs(0), 1), &QUANTILES, &[]);
    assert!(nothing.paths.is_empty());
}

/// No input is to cost more than an odd figure.
#[test]
fn odd_input_gives_finite_figures_in_order() {
    let mut forecaster = NodeForecaster::default();
    for value in [0.0, f32::NAN, 1e30, -5.0, f32::INFINITY, 0.0, 3.0] {
        let figures = NodeMetric::ALL.map(|metric| (metric, value)).to_vec();
        forecaster.observe(&[NodeSeen { node: NODE, led: value, followed: 0.0, figures }]);
        forecaster.observe_errors([value; 5]);
    }
    let odd = vec![vec![f32::NAN; 3]; 5];
    let huge = vec![vec![1e30; 3]; 5];
    let parts = [&odd, &huge].map(|paths| ShardPart { leads: true, follower_share: f32::NAN, paths });
    let forecast = forecast(&forecaster, &parts);
    for path in &forecast.paths {
        for step in 0..3 {
            let values: Vec<f32> = path.paths.iter().map(|path| path[step]).collect();
            assert!(values.iter().all(|v| !v.is_nan()) && values.is_sorted(), "{values:?}");
        }
    }
}

/// A node that has seen one load only leans on what the others have learned.
#[test]
fn a_new_node_leans_on_the_others() {
    let mut forecaster = learned(3_000);
    for _ in 0..20 {
        let figures = vec![(NodeMetric::CpuMillicores, 40.0 + 0.8 * 100.0 + 0.3 * 50.0)];
        forecaster.observe(&[NodeSeen { node: NodeId(2), led: 100.0, followed: 50.0, figures }]);
    }
    let forecast = forecaster.forecast(NodeId(2), (InstantMs(0), 1), &QUANTILES, &[]);
    let cpu = path(&forecast, NodeMetric::CpuMillicores);
    assert!((cpu.per_led - 0.8).abs() < 0.1 && (cpu.idle - 40.0).abs() < 10.0, "{cpu:?}");
}
