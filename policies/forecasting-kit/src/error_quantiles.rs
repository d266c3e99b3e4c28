use crate::lead_sketches::LeadSketches;
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

/// [`SeriesModel::forecast`] of an [`ExpectingModel`].
pub fn forecast_from_errors<M: ExpectingModel>(
    model: &M,
    ask: &Ask<'_, M>,
    scratch: &mut Scratch,
    values: &mut [f32],
    peaks: &mut [f32],
) {
    let (bands, levels) = (&ask.seasons.bands, ask.levels.len());
    let Scratch { points, sizes, lead_errors, peak_errors } = scratch;
    for (room, length) in [
        (&mut *points, ask.horizon.max(ask.peak_steps)),
        (&mut *sizes, ask.horizon.max(ask.peak_steps)),
        (&mut *lead_errors, bands.leads().len() * levels),
        (&mut *peak_errors, 2 * levels),
    ] {
        room.resize(length, 0.0);
    }
    model.expect(ask, points, sizes);
    let sketches = model.sketches();
    sketches.lead_quantiles(ask.levels, lead_errors);
    let (points_asked, sizes_asked) = (&points[..ask.horizon], &sizes[..ask.horizon]);
    for (level, path) in values.chunks_exact_mut(ask.horizon.max(1)).enumerate() {
        bands.fill_between(ask.first, |band| lead_errors[band * levels + level], path);
        for ((value, point), size) in path.iter_mut().zip(points_asked).zip(sizes_asked) {
            *value = M::to_load(point + size * *value);
        }
    }
    if peaks.is_empty() {
        return;
    }
    let highest = (0..ask.peak_steps).max_by(|a, b| points[*a].total_cmp(&points[*b])).unwrap_or(0);
    let (errors, room) = peak_errors.split_at_mut(levels);
    sketches.peak_quantiles(bands.spot(ask.first - 1 + ask.peak_steps as u64), ask.levels, room, errors);
    for (peak, error) in peaks.iter_mut().zip(errors) {
        *peak = M::to_load(points[highest] + sizes[highest] * *error);
    }
}
