//! What the peer network promises, over real sockets.

use async_trait::async_trait;
use bytes::Bytes;
use isobar_model::NodeId;
use isobar_raft::transport::{AddressBook, Lane, PeerError, PeerHandler, PeerIdentity, PeerNetwork, TcpPeers};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

const DEADLINE: Duration = Duration::from_secs(20);
const ECHO: u8 = 16;
const GATED: u8 = 17;

struct Echo;

#[async_trait]
impl PeerHandler for Echo {
    async fn handle(&self, from: NodeId, request: Bytes) -> Bytes {
        [from.to_string().as_bytes(), b":", &request].concat().into()
    }
}

/// Answers only once the gate has a permit, and counts those inside.
struct Gated {
    gate: Semaphore,
    inside: AtomicUsize,
}

#[async_trait]
impl PeerHandler for Gated {
    async fn handle(&self, _from: NodeId, request: Bytes) -> Bytes {
        self.inside.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        request
    }
}

async fn peers(cluster: &str, node: u64, book: &AddressBook) -> Arc<TcpPeers> {
    let identity = PeerIdentity { cluster: cluster.to_owned(), node: NodeId(node) };
    let peers = TcpPeers::bind(identity, "127.0.0.1:0", book.clone()).await.unwrap();
    peers.register(ECHO, Arc::new(Echo));
    book.set(NodeId(node), &peers.local_addr().to_string());
    peers
}

#[tokio::test]
async fn a_call_is_answered_by_the_peer_on_either_lane_and_by_this_node_itself() {
    let book = AddressBook::new();
    let (one, _two) = (peers("c", 1, &book).await, peers("c", 2, &book).await);
    for (lane, to) in [(Lane::Main, 2), (Lane::Bulk, 2), (Lane::Main, 1)] {
        let answer = one.call_on(lane, NodeId(to), ECHO, Bytes::from_static(b"hi"), DEADLINE).await.unwrap();
        assert_eq!(&answer[..], b"1:hi");
    }
}

#[tokio::test]
async fn many_calls_share_a_connection_and_each_gets_its_own_answer() {
    let book = AddressBook::new();
    let (one, _two) = (peers("c", 1, &book).await, peers("c", 2, &book).await);
    let mut calls = tokio::task::JoinSet::new();
    for i in 0..1000u32 {
        let one = Arc::clone(&one);
        calls.spawn(async move {
            let text = format!("{i}{}", "x".repeat(i as usize * 7));
            let answer = one.call(NodeId(2), ECHO, text.clone().into(), DEADLINE).await.unwrap();
            assert_eq!(answer, format!("1:{text}"));
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
}

#[tokio::test]
async fn a_stranger_is_refused() {
    let (book, other_book) = (AddressBook::new(), AddressBook::new());
    let (home, stranger) = (peers("home", 1, &book).await, peers("elsewhere", 2, &other_book).await);
    other_book.set(NodeId(1), &home.local_addr().to_string());
    let refused = stranger.call(NodeId(1), ECHO, Bytes::new(), DEADLINE).await.unwrap_err();
    assert!(
        matches!(&refused, PeerError::Unreachable { reason, .. } if reason.contains("belongs to cluster")),
        "{refused}"
    );
    // So is one who looks for another node at this address.
    book.set(NodeId(3), &home.local_addr().to_string());
    let lost = peers("home", 4, &book).await;
    let refused = lost.call(NodeId(3), ECHO, Bytes::new(), DEADLINE).await.unwrap_err();
    assert!(
        matches!(&refused, PeerError::Unreachable { reason, .. } if reason.contains("this is node 1")),
        "{refused}"
    );
}

#[tokio::test]
async fn errors_say_what_is_wrong() {
    let book = AddressBook::new();
    let (one, _two) = (peers("c", 1, &book).await, peers("c", 2, &book).await);
    assert_eq!(one.call(NodeId(9), ECHO, Bytes::new(), DEADLINE).await, Err(PeerError::UnknownPeer(NodeId(9))));
    assert_eq!(
        one.call(NodeId(2), 99, Bytes::new(), DEADLINE).await,
        Err(PeerError::NoSuchService { peer: NodeId(2), service: 99 })
    );
    let huge = Bytes::from(vec![0; 17 << 20]);
    assert!(matches!(one.call(NodeId(2), ECHO, huge, DEADLINE).await, Err(PeerError::TooLarge { .. })));
}

#[tokio::test]
async fn a_call_without_an_answer_ends_at_its_deadline() {
    let book = AddressBook::new();
    let (one, two) = (peers("c", 1, &book).await, peers("c", 2, &book).await);
    two.register(GATED, Arc::new(Gated { gate: Semaphore::new(0), inside: AtomicUsize::new(0) }));
    assert_eq!(
        one.call(NodeId(2), GATED, Bytes::new(), Duration::from_millis(50)).await,
        Err(PeerError::DeadlineExceeded(NodeId(2)))
    );
}

/// Promise 8: a full queue is an error the caller sees.
#[tokio::test]
async fn a_node_with_too_much_to_do_says_so() {
    let book = AddressBook::new();
    let (one, two) = (peers("c", 1, &book).await, peers("c", 2, &book).await);
    let gated = Arc::new(Gated { gate: Semaphore::new(0), inside: AtomicUsize::new(0) });
    two.register(GATED, Arc::clone(&gated) as Arc<dyn PeerHandler>);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..4096 {
        let one = Arc::clone(&one);
        calls.spawn(async move { one.call(NodeId(2), GATED, Bytes::new(), DEADLINE).await });
    }
    tokio::time::timeout(DEADLINE, async {
        while gated.inside.load(Ordering::SeqCst) < 4096 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(one.call(NodeId(2), ECHO, Bytes::new(), DEADLINE).await, Err(PeerError::Busy(NodeId(2))));
    gated.gate.add_permits(4096);
    while let Some(call) = calls.join_next().await {
        call.unwrap().unwrap();
    }
    assert!(one.call(NodeId(2), ECHO, Bytes::new(), DEADLINE).await.is_ok());
}

#[tokio::test]
async fn a_peer_that_comes_back_elsewhere_is_found_again() {
    let book = AddressBook::new();
    let (one, two) = (peers("c", 1, &book).await, peers("c", 2, &book).await);
    one.call(NodeId(2), ECHO, Bytes::new(), DEADLINE).await.unwrap();
    two.shutdown();
    drop(two);
    let _two_again = peers("c", 2, &book).await;
    tokio::time::timeout(DEADLINE, async {
        while one.call(NodeId(2), ECHO, Bytes::new(), DEADLINE).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_connection_broken_on_purpose_is_dialled_anew() {
    let book = AddressBook::new();
    let (one, two) = (peers("c", 1, &book).await, peers("c", 2, &book).await);
    two.register(GATED, Arc::new(Gated { gate: Semaphore::new(0), inside: AtomicUsize::new(0) }));
    let waiting = tokio::spawn({
        let one = Arc::clone(&one);
        async move { one.call(NodeId(2), GATED, Bytes::new(), DEADLINE).await }
    });
    one.call(NodeId(2), ECHO, Bytes::new(), DEADLINE).await.unwrap();
    one.disconnect(NodeId(2));
    // Either it was on its way, and is told that the connection broke, or it dialled anew and waits for the gate.
    waiting.abort();
    one.call(NodeId(2), ECHO, Bytes::new(), DEADLINE).await.unwrap();
}
