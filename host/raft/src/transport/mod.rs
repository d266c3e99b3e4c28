//! How nodes reach each other: own frames on TCP, two connections per peer and direction.
//!
//! ```text
//! caller ──call(to, lane, service, payload, deadline)──▶ peer network ──frame──▶ handler of that service
//! ```
//!
//! The main lane carries Raft messages and node requests of all groups, coalesced into few writes; the bulk lane carries snapshots, so
//! that a chunk of one shard never delays a heartbeat of another. Every queue is bounded; a full one is an error the caller sees.

mod address_book;
mod connection;
mod frame;
mod handlers;
mod handshake;
mod peer_network;
mod tcp_peers;

pub use address_book::AddressBook;
pub use frame::MAX_FRAME_BYTES;
pub use handshake::PROTOCOL_VERSION;
pub use peer_network::{Lane, PeerError, PeerHandler, PeerNetwork, Service};
pub(crate) use peer_network::{RAFT_SERVICE, SHARD_OPS_SERVICE, SNAPSHOT_SERVICE};
pub use tcp_peers::{PeerIdentity, TcpPeers};
