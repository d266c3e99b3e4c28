//! The native built-in policies, so that a tick always has an answer.

use crate::native::{native_forecaster, native_placer};
use isobar_ports::{Forecaster, Placer, PolicyFailure};

/// `seasonal-naive` with its default configuration.
#[must_use]
pub fn builtin_forecaster() -> Box<dyn Forecaster> {
    always(native_forecaster("seasonal-naive", "{}"))
}

/// `reactive` with its default configuration.
#[must_use]
pub fn builtin_placer() -> Box<dyn Placer> {
    always(native_placer("reactive", "{}"))
}

fn always<T>(made: Result<Option<T>, PolicyFailure>) -> T {
    match made {
        Ok(Some(policy)) => policy,
        Ok(None) => unreachable!("the built-in policies are compiled in"),
        Err(failure) => unreachable!("the default configuration is refused: {failure}"),
    }
}
