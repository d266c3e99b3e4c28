//! The control loop and the replicated control state.
