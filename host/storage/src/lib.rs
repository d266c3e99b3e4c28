//! Storage of a node: shared log, extents, digests, blobs.
