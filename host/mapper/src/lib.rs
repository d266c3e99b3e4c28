//! Dynamic shard mapper: route table and replica choice.
