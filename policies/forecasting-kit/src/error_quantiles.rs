use crate::lead_sketches::{Bands, LeadSketches};
use crate::series_model::{Ask, SeriesModel};

/// A model that says what it expects and how large its errors usually are: its quantiles are those of its own past errors, in units of
/// their usual size. No distribution is assumed (the idea of split conformal prediction: Vovk, Gammerman, Shafer 2005).
pub trait ExpectingModel: SeriesModel {
    /// Writes its expectation, and the usual size of its errors, for the `points.len()` steps from lead `ask.first` on.
    fn expect(&self, ask: &Ask<'_, Self>, points: &mut [f32], sizes: &mut [f32]);
    /// Its past errors.
    fn sketches(&self) -> &LeadSketches;
    /// From the scale the model works on back to load. Rising.
    fn to_load(value: f32) -> f32;
}

/// Room for one series' forecast, used again for the next.
#[derive(Debug, Default)]
pub struct Scratch {
    points: Vec<f32>,
    sizes: Vec<f32>,
    lead_errors: Vec<f32>,
    peak_errors: Vec<f32>,
}

/// What is asked of one series, whatever its model.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The leads at which errors are kept.
    pub bands: &'a Bands,
    /// Lead of the first step asked for.
    pub first: u64,
    /// Steps asked for.
    pub horizon: usize,
    /// Levels of the quantiles asked for, ascending within 0 to 1.
    pub levels: &'a [f32],
    /// Also the maximum over the first so many steps; 0: not asked for.
    pub peak_steps: usize,
}

/// [`SeriesModel::forecast`] of an [`ExpectingModel`].
pub fn forecast_from_errors<M: ExpectingModel>(
    model: &M,
    ask: &Ask<'_, M>,
    scratch: &mut Scratch,
    values: &mut [f32],
    peaks: &mut [f32],
) {
    let Ask { first, horizon, levels, peak_steps, .. } = *ask;
    let asked = Asked { bands: &ask.seasons.bands, first, horizon, levels, peak_steps };
    let expect = |points: &mut [f32], sizes: &mut [f32]| model.expect(ask, points, sizes);
    forecast_around(&asked, model.sketches(), expect, M::to_load, scratch, values, peaks);
}

/// Writes quantiles of the load to come and of its maximum, as [`SeriesModel::forecast`] does: those of the past errors in `sketches`, about
/// what `expect` writes as [`ExpectingModel::expect`] does, brought from the model's scale `to_load`.
pub fn forecast_around(
    asked: &Asked<'_>,
    sketches: &LeadSketches,
    expect: impl FnOnce(&mut [f32], &mut [f32]),
    to_load: impl Fn(f32) -> f32,
    scratch: &mut Scratch,
    values: &mut [f32],
    peaks: &mut [f32],
) {
    let Asked { bands, first, horizon, levels, peak_steps } = *asked;
    let Scratch { points, sizes, lead_errors, peak_errors } = scratch;
    for (room, length) in [
        (&mut *points, horizon.max(peak_steps)),
        (&mut *sizes, horizon.max(peak_steps)),
        (&mut *lead_errors, bands.leads().len() * levels.len()),
        (&mut *peak_errors, 2 * levels.len()),
    ] {
        room.resize(length, 0.0);
    }
    expect(points, sizes);
    sketches.lead_quantiles(levels, lead_errors);
    let (points_asked, sizes_asked) = (&points[..horizon], &sizes[..horizon]);
    for (level, path) in values.chunks_exact_mut(horizon.max(1)).enumerate() {
        bands.fill_between(first, |band| lead_errors[band * levels.len() + level], path);
        for ((value, point), size) in path.iter_mut().zip(points_asked).zip(sizes_asked) {
            *value = to_load(point + size * *value);
        }
    }
    if peaks.is_empty() {
        return;
    }
    let highest = (0..peak_steps).max_by(|a, b| points[*a].total_cmp(&points[*b])).unwrap_or(0);
    let (errors, room) = peak_errors.split_at_mut(levels.len());
    sketches.peak_quantiles(bands.spot(first - 1 + peak_steps as u64), levels, room, errors);
    for (peak, error) in peaks.iter_mut().zip(errors) {
        *peak = to_load(points[highest] + sizes[highest] * *error);
    }
}
