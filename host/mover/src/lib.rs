//! Adaptive data mover: migrations as a pure state machine, and the driver that performs them.
