//! Shard groups and the control group on openraft, and the transport between nodes.
