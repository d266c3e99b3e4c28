//! A fleet in virtual time, load traces, and the arms a policy is judged against.
