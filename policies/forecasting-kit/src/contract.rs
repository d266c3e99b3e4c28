//! What the contract asks of questions and answers, whatever the policy.

use crate::failure::Failure;
use isobar_model::ids::MAX_ID;
use isobar_model::{ForecastRequest, LoadBatch};
use serde::de::DeserializeOwned;

/// Larger loads are taken for this one: far past any machine, and its square is still an f32.
pub const MAX_LOAD: f32 = 1e15;
/// The furthest step ahead that may be asked for: four weeks of 5-minute steps.
pub const MAX_HORIZON_STEPS: u32 = 8064;
/// The contract's limit of a saved state.
pub const MAX_SAVE_BYTES: usize = 64 << 20;
/// A gap longer than this empties a series: nothing from before it would be near enough to use.
pub const MAX_GAP_DAYS: u64 = 28;
/// The most quantiles that may be asked for.
const MAX_QUANTILES: usize = 64;

/// The configuration in `text`, JSON; empty text stands for `{}`.
///
/// # Errors
/// [`Failure::Config`], naming the field.
pub fn read_config<C: DeserializeOwned>(text: &str) -> Result<C, Failure> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    if !text.trim_start().starts_with('{') {
        // A list would do for serde, its entries taken for the fields in turn.
        return Err(Failure::Config("the configuration is to be a JSON object".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| Failure::Config(error.to_string()))
}

/// The number of the batch's first step, counted from the Unix epoch in lengths of a step. `step_ms`: of the batches before; 0: none.
///
/// # Errors
/// [`Failure::Other`] where the batch contradicts itself or those before.
pub fn first_step(batch: &LoadBatch, step_ms: u32) -> Result<u64, Failure> {
    if !batch.is_well_formed() {
        return Err(Failure::Other(format!(
            "{} values do not fit {} shards of {} steps",
            batch.values.len(),
            batch.shards.len(),
            batch.steps
        )));
    }
    if batch.step_ms == 0 {
        return Err(Failure::Other("a step of 0 ms".to_owned()));
    }
    if batch.start.0 >= MAX_ID {
        return Err(Failure::Other(format!("an instant of {} ms, past what the contract allows", batch.start)));
    }
    if step_ms != 0 && step_ms != batch.step_ms {
        return Err(Failure::Other(format!(
            "steps of {} ms after steps of {step_ms} ms: open a new instance for another step",
            batch.step_ms
        )));
    }
    // To the nearest step: a tick that comes a little early or late is the same tick.
    Ok((batch.start.0 + u64::from(batch.step_ms) / 2) / u64::from(batch.step_ms))
}

/// A load as models take it: what is not finite is missing, what is negative is 0.
#[must_use]
pub fn observed(value: f32) -> f32 {
    if value.is_finite() { value.clamp(0.0, MAX_LOAD) } else { f32::NAN }
}

/// Refuses a request outside the contract.
pub(crate) fn check_request(request: &ForecastRequest) -> Result<(), Failure> {
    if request.horizon > MAX_HORIZON_STEPS || request.peak_steps > MAX_HORIZON_STEPS {
        return Err(Failure::Other(format!("forecasts reach at most {MAX_HORIZON_STEPS} steps ahead")));
    }
    if request.quantiles.len() > MAX_QUANTILES {
        return Err(Failure::Other(format!("at most {MAX_QUANTILES} quantiles")));
    }
    let within = request.quantiles.iter().all(|level| (0.0..=1.0).contains(level));
    if !within || !request.quantiles.is_sorted() {
        return Err(Failure::Other("quantiles must ascend and lie within 0 to 1".to_owned()));
    }
    Ok(())
}
