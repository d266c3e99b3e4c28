//! Numbers as JSON has them: no NaN, no infinity.

/// The value, or null where it is not known.
pub(crate) fn known(value: f32) -> Option<f32> {
    value.is_finite().then_some(value)
}
