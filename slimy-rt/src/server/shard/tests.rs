//! Shards over real sockets on loopback.

mod fairness;

use std::time::Duration;

use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    protocol::EventData,
    server::link::{Command, Link},
};

const BUDGET: usize = 64 * 1024;

struct Peer {
    key: Key,
    link: LinkRef,
    client: TcpStream,
    /// Kept, or the socket would be shut for reading.
    _reader: tokio::net::tcp::OwnedReadHalf,
}

async fn start() -> (Arc<Queue>, Arc<Stats>) {
    let (queue, stats) = (Arc::new(Queue::default()), Arc::new(Stats::default()));
    tokio::spawn(Shard::new(0, Arc::clone(&queue), Arc::clone(&stats), BUDGET).run());
    (queue, stats)
}

async fn connect(queue: &Queue, slot: u32) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let (reader, writer) = server.into_split();
    let key = Key {
        shard: 0,
        slot,
        generation: 0,
    };
    let link = Arc::new(Link::new(key, 0));
    let outlet = Outlet::Tcp(writer);
    queue.push([Job::Register {
        key,
        link: Arc::clone(&link),
        outlet,
    }]);
    Peer {
        key,
        link,
        client,
        _reader: reader,
    }
}

fn frame(number: usize, size: usize) -> Arc<Frame> {
    let payload = format!("{number:08}{}", "x".repeat(size));
    Arc::new(Frame::event(
        "/",
        None,
        &EventData::new("n", &payload).unwrap(),
    ))
}

fn to_room(room: RoomKey, frame: &Arc<Frame>) -> Job {
    let to = SmallVec::from_slice(&[Target::Room(room)]);
    let frame = Arc::clone(frame);
    Job::Broadcast(Arc::new(Delivery {
        to,
        except: SmallVec::new(),
        frame,
        volatile: false,
    }))
}

async fn expect(peer: &mut Peer, frames: &[Arc<Frame>]) {
    for frame in frames {
        let mut bytes = vec![0; frame.len()];
        let read = peer.client.read_exact(&mut bytes);
        tokio::time::timeout(Duration::from_secs(10), read)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(bytes, frame.websocket()[..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_arrive_in_order_whatever_their_size() {
    let (queue, _) = start().await;
    let mut peer = connect(&queue, 0).await;
    queue.push([Job::Join {
        key: peer.key,
        room: 3,
    }]);
    let frames: Vec<_> = (0..500).map(|n| frame(n, (n * 37) % 3_000)).collect();
    let sender = Arc::clone(&queue);
    let sent = frames.clone();
    tokio::spawn(async move {
        for frame in sent {
            sender.push([to_room(3, &frame)]);
            tokio::time::sleep(Duration::from_micros(50)).await;
        }
    });
    expect(&mut peer, &frames).await;
}

#[tokio::test]
async fn one_copy_for_a_member_of_several_rooms_and_none_for_the_excepted() {
    let (queue, _) = start().await;
    let (mut both, mut out) = (connect(&queue, 0).await, connect(&queue, 1).await);
    for (key, room) in [(both.key, 0), (both.key, 1), (out.key, 1), (out.key, 2)] {
        queue.push([Job::Join { key, room }]);
    }
    let (first, second) = (frame(1, 10), frame(2, 10));
    queue.push([
        Job::Broadcast(Arc::new(Delivery {
            to: SmallVec::from_slice(&[Target::Room(0), Target::Room(1), Target::One(both.key)]),
            except: SmallVec::from_slice(&[Target::Room(2)]),
            frame: Arc::clone(&first),
            volatile: false,
        })),
        to_room(1, &second),
    ]);
    expect(&mut both, &[first, Arc::clone(&second)]).await;
    expect(&mut out, &[second]).await;
}

#[tokio::test]
async fn leaving_keeps_the_others_in_their_places() {
    let (queue, _) = start().await;
    let mut peers = Vec::new();
    for slot in 0..5 {
        let peer = connect(&queue, slot).await;
        queue.push([
            Job::Join {
                key: peer.key,
                room: 0,
            },
            Job::Join {
                key: peer.key,
                room: 1,
            },
        ]);
        peers.push(peer);
    }
    queue.push([
        Job::Leave {
            key: peers[0].key,
            room: 0,
        },
        Job::Leave {
            key: peers[0].key,
            room: 0,
        },
    ]);
    queue.push([
        Job::Leave {
            key: peers[4].key,
            room: 0,
        },
        Job::Remove { key: peers[2].key },
    ]);
    let (to_0, to_1) = (frame(0, 1), frame(1, 1));
    queue.push([to_room(0, &to_0), to_room(1, &to_1)]);
    for (index, expected) in [
        (0, vec![&to_1]),
        (1, vec![&to_0, &to_1]),
        (3, vec![&to_0, &to_1]),
        (4, vec![&to_1]),
    ] {
        let expected: Vec<_> = expected.into_iter().cloned().collect();
        expect(&mut peers[index], &expected).await;
    }
}

#[tokio::test]
async fn a_slot_used_again_gets_nothing_of_its_last_owner() {
    let (queue, _) = start().await;
    let old = connect(&queue, 0).await;
    queue.push([
        Job::Join {
            key: old.key,
            room: 0,
        },
        Job::Remove { key: old.key },
    ]);
    let mut new = connect(&queue, 0).await;
    // The test's `connect` names generation 0 again; a server counts on.
    queue.push([Job::Remove { key: new.key }]);
    let key = Key {
        generation: 1,
        ..new.key
    };
    let (link, listener) = (
        Arc::new(Link::new(key, 0)),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    new.client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (_reader, writer) = listener.accept().await.unwrap().0.into_split();
    queue.push([Job::Register {
        key,
        link,
        outlet: Outlet::Tcp(writer),
    }]);
    let (stale, fresh) = (frame(0, 1), frame(1, 1));
    queue.push([
        Job::Send {
            key: old.key,
            frame: Arc::clone(&stale),
            volatile: false,
        },
        to_room(0, &stale),
        Job::Send {
            key,
            frame: Arc::clone(&fresh),
            volatile: false,
        },
    ]);
    expect(&mut new, &[fresh]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_never_reads_is_given_up_at_its_budget_and_others_are_not() {
    let (queue, stats) = start().await;
    let (slow, mut quick) = (connect(&queue, 0).await, connect(&queue, 1).await);
    queue.push([
        Job::Join {
            key: slow.key,
            room: 0,
        },
        Job::Join {
            key: quick.key,
            room: 0,
        },
    ]);
    let one = frame(7, 60_000);
    for _ in 0..200 {
        queue.push([to_room(0, &one)]);
        expect(&mut quick, std::slice::from_ref(&one)).await;
    }
    assert_eq!(stats.report(0).slow_consumers, 1);
    let failed = std::iter::from_fn(|| slow.link.receive());
    assert!(
        failed
            .into_iter()
            .any(|c| matches!(c, Command::WriteFailed { slow: true }))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn volatile_frames_are_dropped_for_a_peer_that_is_behind() {
    let (queue, stats) = start().await;
    let slow = connect(&queue, 0).await;
    let one = frame(7, 60_000);
    for _ in 0..200 {
        queue.push([Job::Send {
            key: slow.key,
            frame: Arc::clone(&one),
            volatile: true,
        }]);
        tokio::task::yield_now().await;
    }
    let dropped = async {
        while stats.report(0).volatile_dropped == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), dropped)
        .await
        .unwrap();
    assert!(slow.link.receive().is_none(), "it is not closed for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_writes_what_is_pending_first() {
    let (queue, _) = start().await;
    let mut peer = connect(&queue, 0).await;
    let (one, last) = (frame(1, 100_000), frame(2, 10));
    queue.push([
        Job::Send {
            key: peer.key,
            frame: Arc::clone(&one),
            volatile: false,
        },
        Job::Close {
            key: peer.key,
            last: Some(Arc::clone(&last)),
        },
        Job::Send {
            key: peer.key,
            frame: frame(3, 1),
            volatile: false,
        },
    ]);
    expect(&mut peer, &[one, last]).await;
    assert_eq!(
        peer.client.read(&mut [0; 10]).await.unwrap(),
        0,
        "nothing behind the last frame"
    );
    // The peer may see the end before the shard says so.
    let flushed = async {
        while !peer.link.is_flushed() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), flushed)
        .await
        .unwrap();
}
