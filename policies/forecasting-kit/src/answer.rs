use crate::contract::{MAX_LOAD, check_request};
use crate::failure::Failure;
use isobar_model::{ForecastBatch, ForecastRequest, ShardId};

/// Answers a request shard by shard: `forecast` writes quantiles of one shard's load to come and of its maximum, as
/// [`SeriesModel::forecast`](crate::SeriesModel::forecast) does, or says that it never saw a value of it; that one is expected to stay at 0.
///
/// # Errors
/// [`Failure::NotReady`] where no value of any was seen; [`Failure::Other`] for a request outside the contract.
pub fn answer(
    request: &ForecastRequest,
    mut forecast: impl FnMut(ShardId, &mut [f32], &mut [f32]) -> bool,
) -> Result<ForecastBatch, Failure> {
    check_request(request)?;
    let (horizon, levels) = (request.horizon as usize, request.quantiles.len());
    let peaks = if request.peak_steps > 0 { levels } else { 0 };
    let mut out = ForecastBatch {
        values: vec![0.0; request.shards.len() * levels * horizon],
        peaks: vec![0.0; request.shards.len() * peaks],
    };
    let mut any = request.shards.is_empty();
    for (row, shard) in request.shards.iter().enumerate() {
        let values = &mut out.values[row * levels * horizon..(row + 1) * levels * horizon];
        let peaks = &mut out.peaks[row * peaks..(row + 1) * peaks];
        if forecast(*shard, values, peaks) {
            any = true;
            mend(values, horizon);
            raise_to_paths(peaks, values, horizon, request.peak_steps as usize);
            mend(peaks, 1);
        }
    }
    if any { Ok(out) } else { Err(Failure::NotReady("none of these shards has been observed yet".to_owned())) }
}

/// Makes quantiles of one series what the contract asks for: finite, not negative, and of one step not falling.
fn mend(values: &mut [f32], horizon: usize) {
    let mut rows = values.chunks_exact_mut(horizon.max(1));
    let Some(mut below) = rows.next() else { return };
    below.iter_mut().for_each(|value| *value = bounded(*value));
    for row in rows {
        for (value, below) in row.iter_mut().zip(&*below) {
            let load = bounded(*value);
            *value = if load < *below { *below } else { load };
        }
        below = row;
    }
}

/// The maximum is never below a step of it, and so are its quantiles.
fn raise_to_paths(peaks: &mut [f32], paths: &[f32], horizon: usize, peak_steps: usize) {
    for (peak, path) in peaks.iter_mut().zip(paths.chunks_exact(horizon.max(1))) {
        // Eight running maxima, which don't wait for one another. No comparison with NaN holds: it is passed over.
        let mut highest = [*peak; 8];
        let raise = |highest: &mut f32, value: &f32| *highest = if *value > *highest { *value } else { *highest };
        let (eights, rest) = path[..peak_steps.min(path.len())].as_chunks::<8>();
        for eight in eights {
            highest.iter_mut().zip(eight).for_each(|(highest, value)| raise(highest, value));
        }
        highest.iter_mut().zip(rest).for_each(|(highest, value)| raise(highest, value));
        *peak = highest.into_iter().fold(*peak, f32::max);
    }
}

/// A load: finite and not negative.
fn bounded(load: f32) -> f32 {
    // Written so that NaN becomes 0, and without a branch.
    let capped = if load < MAX_LOAD { load } else { MAX_LOAD };
    if load > 0.0 { capped } else { 0.0 }
}
