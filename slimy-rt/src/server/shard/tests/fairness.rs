//! Who waits for whom, and what counts against the bound of what may wait for a peer.

use std::io::ErrorKind;

use super::*;

/// More than one turn's writes.
const CROWD: usize = 3 * WRITES_PER_TURN;
/// The crowd's room, and that of one peer.
const CROWDED: RoomKey = 0;
const QUIET: RoomKey = 1;

/// A peer whose socket is looked at without waiting, so that no turn of the runtime goes by.
struct Watched {
    client: std::net::TcpStream,
    _peer: (LinkRef, tokio::net::tcp::OwnedReadHalf),
}

impl Watched {
    fn new(peer: Peer) -> Self {
        let client = peer.client.into_std().unwrap();
        Self {
            client,
            _peer: (peer.link, peer._reader),
        }
    }

    fn has_something(&self) -> bool {
        match self.client.peek(&mut [0]) {
            Ok(read) => read > 0,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                false
            }
        }
    }
}

/// A crowd in one room and somebody in another, all of whose sockets are known to take bytes.
async fn crowd(queue: &Queue) -> (Vec<Watched>, Watched) {
    let mut peers = Vec::new();
    for slot in 0..=CROWD {
        let peer = connect(queue, slot as u32).await;
        let room = if slot < CROWD { CROWDED } else { QUIET };
        queue.push([Job::Join {
            key: peer.key,
            room,
        }]);
        peers.push(peer);
    }
    let hello = frame(0, 0);
    queue.push([to_room(CROWDED, &hello), to_room(QUIET, &hello)]);
    for peer in &mut peers {
        expect(peer, std::slice::from_ref(&hello)).await;
    }
    let quiet = peers.pop().map(Watched::new).unwrap();
    (peers.into_iter().map(Watched::new).collect(), quiet)
}

/// On one thread: what the shard does between two looks is what it does before others may run.
#[tokio::test]
async fn a_large_room_is_written_in_turns_between_which_others_run() {
    let (queue, _) = start().await;
    let (members, _quiet) = crowd(&queue).await;
    queue.push([to_room(CROWDED, &frame(1, 0))]);
    let (mut reached, mut turns) = (0, 0);
    while reached < CROWD {
        tokio::task::yield_now().await;
        let now = members.iter().filter(|peer| peer.has_something()).count();
        turns += usize::from(now > reached);
        reached = now;
    }
    assert!(turns > 1, "all {CROWD} in one turn");
}

#[tokio::test]
async fn a_quiet_room_waits_for_a_saturated_one_no_longer_than_until_everyone_had_a_turn() {
    const ROUND: usize = CROWD / WRITES_PER_TURN;
    let (queue, _) = start().await;
    let (_members, quiet) = crowd(&queue).await;
    let crowded = frame(1, 0);
    // What comes in a turn is more than what is written in one, so the room has always something left to write.
    for turn in 0..8 * ROUND {
        queue.push([to_room(CROWDED, &crowded)]);
        if turn == 4 * ROUND {
            queue.push([to_room(QUIET, &frame(2, 0))]);
        }
        tokio::task::yield_now().await;
        if quiet.has_something() {
            let waited = turn - 4 * ROUND;
            assert!(waited <= 2 * ROUND, "it waited for {waited} turns");
            return;
        }
    }
    panic!("it waits still");
}

#[tokio::test]
async fn a_burst_beyond_the_budget_counts_only_when_the_socket_has_refused_it() {
    let (queue, stats) = start().await;
    let mut peer = connect(&queue, 0).await;
    // One turn's, so that all of it is pending before the socket is asked at all.
    let burst: Vec<_> = (0..BYTES_PER_TURN / 8_192 - 1)
        .map(|number| frame(number, 8_000))
        .collect();
    let bytes: usize = burst.iter().map(|frame| frame.len()).sum();
    assert!(bytes > 3 * BUDGET && bytes < BYTES_PER_TURN);
    let key = peer.key;
    queue.push(burst.iter().map(|frame| Job::Send {
        key,
        frame: Arc::clone(frame),
        volatile: false,
    }));
    expect(&mut peer, &burst).await;
    assert_eq!(stats.report(0).slow_consumers, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_answers_of_the_reader_and_the_last_frame_need_no_room_in_the_budget() {
    let (queue, stats) = start().await;
    let mut peer = connect(&queue, 0).await;
    let key = peer.key;
    // Up to the brim: what is dropped leaves less room than itself, and the smallest comes last.
    let ping = Arc::new(Frame::ping());
    for filling in [frame(0, 60_000), frame(0, 1_000), Arc::clone(&ping)] {
        let dropped = stats.report(0).volatile_dropped;
        let filled = async {
            while stats.report(0).volatile_dropped == dropped {
                queue.push([Job::Send {
                    key,
                    frame: Arc::clone(&filling),
                    volatile: true,
                }]);
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), filled)
            .await
            .unwrap();
    }
    let (answer, last) = (frame(1, 1_000), frame(2, 1_000));
    assert!(peer.link.reserve_control(answer.len(), usize::MAX));
    queue.push([
        Job::Ping { key, frame: ping },
        Job::Control { key, frame: answer },
        Job::Close {
            key,
            last: Some(Arc::clone(&last)),
        },
    ]);
    let mut bytes = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), peer.client.read_to_end(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    assert!(bytes.ends_with(last.websocket()), "the last frame is lost");
    assert_eq!(stats.report(0).slow_consumers, 0);
}
