//! Forecasting where many shards are alike, and on several threads. Equal parts of one unit have the very same load, and so the very same
//! forecast: it is made once. The others are dealt out to instances that know nothing of each other, as forecasts of one shard do not depend on others
//! unless links are told, which none are here.

use crate::arms::MakeForecaster;
use isobar_model::{ForecastBatch, ForecastRequest, InstantMs, LoadBatch, ShardId};
use isobar_ports::{Forecaster, PolicyFailure};
use std::collections::HashMap;

/// Instances, whatever the number of cores: figures must not depend on the machine.
const INSTANCES: usize = 4;

/// Shards that have had the same load at all times.
struct Class {
    /// The first of them, which stands for all.
    shard: ShardId,
    /// When its first step began, and its load since: what one that parts from it is to be shown. As long as the record.
    start: InstantMs,
    values: Vec<f32>,
}

/// A forecaster of shards, of which some are alike.
pub(super) struct Alike {
    instances: Vec<Box<dyn Forecaster>>,
    classes: Vec<Class>,
    class_of: HashMap<ShardId, usize>,
}

fn same(a: &[f32], b: &[f32]) -> bool {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    a.len() == b.len() && bits(a) == bits(b)
}

impl Alike {
    pub(super) fn new(make: &MakeForecaster) -> Result<Self, PolicyFailure> {
        let instances = (0..INSTANCES).map(|_| make()).collect::<Result<_, _>>()?;
        Ok(Self { instances, classes: Vec::new(), class_of: HashMap::new() })
    }

    pub(super) fn observe(&mut self, batch: &LoadBatch) -> Result<(), PolicyFailure> {
        let position: HashMap<ShardId, usize> =
            batch.shards.iter().enumerate().map(|(row, shard)| (*shard, row)).collect();
        let mut shown: Vec<Vec<usize>> = vec![Vec::new(); INSTANCES];
        for (row, shard) in batch.shards.iter().enumerate() {
            let class = match self.class_of.get(shard) {
                Some(&class) if self.classes[class].shard == *shard => class,
                Some(&class) => {
                    let first = position.get(&self.classes[class].shard);
                    if first.is_some_and(|first| same(batch.row(*first), batch.row(row))) {
                        continue;
                    }
                    self.part(*shard, class, batch)?
                }
                None => {
                    let alike = |class: &Class| class.start == batch.start && same(&class.values, batch.row(row));
                    if let Some(class) = self.classes.iter().position(alike) {
                        self.class_of.insert(*shard, class);
                        continue;
                    }
                    self.open(*shard, batch.start, Vec::new())
                }
            };
            self.classes[class].values.extend_from_slice(batch.row(row));
            shown[class % INSTANCES].push(row);
        }
        let batches: Vec<LoadBatch> = shown
            .iter()
            .map(|rows| LoadBatch {
                shards: rows.iter().map(|row| batch.shards[*row]).collect(),
                values: rows.iter().flat_map(|row| batch.row(*row)).copied().collect(),
                ..batch.clone()
            })
            .collect();
        self.each(|instance, at| if batches[at].shards.is_empty() { Ok(()) } else { instance.observe(&batches[at]) })
            .map(drop)
    }

    /// A shard parts from its class: from this batch on it is forecast by itself, by an instance that is shown what both had in common.
    fn part(&mut self, shard: ShardId, class: usize, batch: &LoadBatch) -> Result<usize, PolicyFailure> {
        let class = &self.classes[class];
        let start = class.start;
        let steps = (batch.start.since_ms(start) / u64::from(batch.step_ms)) as usize;
        let Some(values) = class.values.get(..steps).map(<[f32]>::to_vec) else {
            return Err(PolicyFailure::Unavailable(format!("shard {shard} parts from its like after a gap")));
        };
        let own = self.open(shard, start, values.clone());
        let common = LoadBatch { start, steps: steps as u32, shards: vec![shard], values, ..batch.clone() };
        self.instances[own % INSTANCES].observe(&common)?;
        Ok(own)
    }

    fn open(&mut self, shard: ShardId, start: InstantMs, values: Vec<f32>) -> usize {
        self.classes.push(Class { shard, start, values });
        self.class_of.insert(shard, self.classes.len() - 1);
        self.classes.len() - 1
    }

    pub(super) fn predict(&mut self, request: &ForecastRequest) -> Result<ForecastBatch, PolicyFailure> {
        let unknown = |shard: &ShardId| PolicyFailure::NotReady(format!("nothing is known of shard {shard}"));
        let mut asked: Vec<Vec<ShardId>> = vec![Vec::new(); INSTANCES];
        // Of each class: its row among those its instance is asked.
        let mut rows: HashMap<usize, usize> = HashMap::new();
        let mut wanted = Vec::with_capacity(request.shards.len());
        for shard in &request.shards {
            let class = *self.class_of.get(shard).ok_or_else(|| unknown(shard))?;
            let of_instance = &mut asked[class % INSTANCES];
            let row = *rows.entry(class).or_insert_with(|| {
                of_instance.push(self.classes[class].shard);
                of_instance.len() - 1
            });
            wanted.push((class % INSTANCES, row));
        }
        let requests: Vec<ForecastRequest> =
            asked.into_iter().map(|shards| ForecastRequest { shards, ..request.clone() }).collect();
        let answers = self.each(|instance, at| {
            if requests[at].shards.is_empty() { Ok(ForecastBatch::default()) } else { instance.predict(&requests[at]) }
        })?;
        let quantiles = request.quantiles.len();
        let width = quantiles * request.horizon as usize;
        let mut whole = ForecastBatch::default();
        whole.values.reserve_exact(wanted.len() * width);
        for (instance, row) in wanted {
            let answer = &answers[instance];
            whole.values.extend_from_slice(&answer.values[row * width..(row + 1) * width]);
            if request.peak_steps > 0 {
                whole.peaks.extend_from_slice(&answer.peaks[row * quantiles..(row + 1) * quantiles]);
            }
        }
        Ok(whole)
    }

    /// Asks all instances at once; the failure of the first that failed.
    fn each<A: Send>(
        &mut self,
        ask: impl Fn(&mut dyn Forecaster, usize) -> Result<A, PolicyFailure> + Sync,
    ) -> Result<Vec<A>, PolicyFailure> {
        let ask = &ask;
        std::thread::scope(|scope| {
            let asked: Vec<_> = self
                .instances
                .iter_mut()
                .enumerate()
                .map(|(at, instance)| scope.spawn(move || ask(instance.as_mut(), at)))
                .collect();
            let panicked = || Err(PolicyFailure::Trapped("the forecaster panicked".into()));
            asked.into_iter().map(|asked| asked.join().unwrap_or_else(|_| panicked())).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_model::Metric;
    use isobar_ports::Usage;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    /// Forecasts what it saw last; counts the rows it was asked for.
    struct Last(HashMap<ShardId, f32>, Arc<AtomicUsize>);

    impl Forecaster for Last {
        fn observe(&mut self, batch: &LoadBatch) -> Result<(), PolicyFailure> {
            for (row, shard) in batch.shards.iter().enumerate() {
                self.0.insert(*shard, *batch.row(row).last().unwrap());
            }
            Ok(())
        }
        fn predict(&mut self, request: &ForecastRequest) -> Result<ForecastBatch, PolicyFailure> {
            self.1.fetch_add(request.shards.len(), Ordering::Relaxed);
            let each = |shard: &ShardId| std::iter::repeat_n(self.0[shard], request.horizon as usize);
            let values = request.shards.iter().flat_map(each).collect();
            Ok(ForecastBatch { values, peaks: request.shards.iter().map(|shard| self.0[shard]).collect() })
        }
        fn forget(&mut self, _: &[ShardId]) -> Result<(), PolicyFailure> {
            Ok(())
        }
        fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
            Ok(Vec::new())
        }
        fn usage(&self) -> Usage {
            Usage::default()
        }
    }

    fn batch(start: u64, steps: u32, values: &[f32]) -> LoadBatch {
        let shards = (0..values.len() as u64 / u64::from(steps)).map(ShardId).collect();
        LoadBatch {
            metric: Metric::Load,
            start: InstantMs(start * 1_000),
            step_ms: 1_000,
            steps,
            shards,
            values: values.to_vec(),
        }
    }

    fn forecaster() -> (Alike, Arc<AtomicUsize>) {
        let asked: Arc<AtomicUsize> = Arc::default();
        let made = Arc::new(Mutex::new(Arc::clone(&asked)));
        let make: MakeForecaster =
            Arc::new(move || Ok(Box::new(Last(HashMap::new(), Arc::clone(&made.lock().unwrap())))));
        (Alike::new(&make).unwrap(), asked)
    }

    #[test]
    fn shards_of_equal_load_are_forecast_once() {
        let (mut alike, asked) = forecaster();
        alike.observe(&batch(0, 2, &[1.0, 2.0, 1.0, 3.0, 1.0, 2.0, 5.0, 5.0])).unwrap();
        alike.observe(&batch(2, 1, &[7.0, 8.0, 7.0, 9.0])).unwrap();
        let request = ForecastRequest {
            metric: Metric::Load,
            shards: [3, 2, 1, 0].map(ShardId).to_vec(),
            horizon: 2,
            quantiles: vec![0.5],
            peak_steps: 2,
        };
        let answer = alike.predict(&request).unwrap();
        assert_eq!(answer.values, [9.0, 9.0, 7.0, 7.0, 8.0, 8.0, 7.0, 7.0]);
        assert_eq!(answer.peaks, [9.0, 7.0, 8.0, 7.0]);
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn one_that_parts_from_its_like_is_forecast_by_itself() {
        let (mut alike, asked) = forecaster();
        let request = ForecastRequest {
            metric: Metric::Load,
            shards: [0, 1, 2].map(ShardId).to_vec(),
            horizon: 1,
            quantiles: vec![0.5],
            peak_steps: 0,
        };
        alike.observe(&batch(0, 2, &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0])).unwrap();
        alike.predict(&request).unwrap();
        assert_eq!(asked.swap(0, Ordering::Relaxed), 1);
        alike.observe(&batch(2, 1, &[1.0, 2.0, 1.0])).unwrap();
        assert_eq!(alike.predict(&request).unwrap().values, [1.0, 2.0, 1.0]);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
