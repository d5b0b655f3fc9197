//! A shard against a model: whatever the jobs are, and whenever the shard runs, each connection receives what the jobs say, in their order.
//!
//! A case is a list of batches. After each, the shard runs for some turns or not at all, while the peers read. `FEW` and `WRITES_PER_TURN` are
//! 64, so that some cases have more connections than that, and waves that take several turns.

mod peer;

use std::time::{Duration, Instant};

use proptest::{collection::vec, prelude::*, sample::Index, test_runner::TestCaseError};
use tokio::task::yield_now;

use self::peer::Peer;
use super::*;

/// Room 0 has everybody at first, 1 every second one, 2 a few and 3 nearly everybody.
const ROOMS: u32 = 4;

#[derive(Clone, Debug)]
enum Op {
    Join(Index, RoomKey),
    Leave(Index, RoomKey),
    /// Several broadcasts to the same connections.
    Broadcast {
        to: Vec<To>,
        except: Vec<To>,
        volatile: bool,
        sizes: Vec<usize>,
    },
    Send(Index, bool, usize),
    Control(Index),
    /// One that polls goes over to a socket.
    Switch(Index),
    Close(Index, bool),
    /// Or comes again, with its slot's next generation.
    Remove(Index),
}

#[derive(Clone, Debug)]
enum To {
    Room(RoomKey),
    One(Index),
    /// Who had the slot before.
    Stale(Index),
    /// Who has the same slot in another shard.
    Elsewhere(Index),
}

/// What a case is about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    /// Small frames: every socket takes everything at once.
    Free,
    /// Large frames and small buffers: sockets block, and take parts of frames.
    Tight,
    /// The same with a small budget: volatile frames are dropped and slow connections closed.
    Slow,
}

#[derive(Clone, Debug)]
struct Case {
    connections: usize,
    batches: Vec<(Vec<Op>, usize)>,
}

fn op(bytes: usize) -> impl Strategy<Value = Op> {
    let who = any::<Index>;
    let room = || prop_oneof![6 => 0..ROOMS, 1 => Just(ROOMS)];
    let to = || {
        prop_oneof![
            8 => room().prop_map(To::Room),
            2 => who().prop_map(To::One),
            1 => who().prop_map(To::Stale),
            1 => who().prop_map(To::Elsewhere),
        ]
    };
    let size = move || prop_oneof![2 => 0..100_usize, 1 => 0..bytes];
    let except = prop_oneof![2 => vec(to(), 0..1), 1 => vec(to(), 1..3)];
    let broadcast = (vec(to(), 1..4), except, any::<bool>(), vec(size(), 1..4)).prop_map(
        |(to, except, volatile, sizes)| Op::Broadcast {
            to,
            except,
            volatile,
            sizes,
        },
    );
    // The most frequent ones have few forms, so that the same comes again.
    let usual = (0..2_u32, prop::bool::weighted(0.2), vec(size(), 1..3));
    let usual = usual.prop_map(|(room, volatile, sizes)| Op::Broadcast {
        to: vec![To::Room(room)],
        except: Vec::new(),
        volatile,
        sizes,
    });
    prop_oneof![
        12 => usual,
        8 => broadcast,
        6 => (who(), any::<bool>(), size()).prop_map(|(who, volatile, size)| Op::Send(who, volatile, size)),
        2 => (who(), room()).prop_map(|(who, room)| Op::Join(who, room)),
        2 => (who(), room()).prop_map(|(who, room)| Op::Leave(who, room)),
        1 => who().prop_map(Op::Control),
        1 => who().prop_map(Op::Switch),
        1 => (who(), any::<bool>()).prop_map(|(who, last)| Op::Close(who, last)),
        1 => who().prop_map(Op::Remove),
    ]
}

fn case(mode: Mode) -> impl Strategy<Value = Case> {
    let (bytes, batches) = match mode {
        Mode::Free => (2_000, 1..12_usize),
        Mode::Tight | Mode::Slow => (30_000, 1..6),
    };
    let connections = prop_oneof![6 => 2..12_usize, 1 => 60..140_usize];
    let turns = prop_oneof![1 => Just(0), 2 => 1..5_usize];
    (connections, vec((vec(op(bytes), 1..8), turns), batches)).prop_map(|(connections, batches)| {
        Case {
            connections,
            batches,
        }
    })
}

struct Rig {
    mode: Mode,
    queue: Arc<Queue>,
    stats: Arc<Stats>,
    peers: Vec<Peer>,
    gone: Vec<Peer>,
    numbers: usize,
}

impl Rig {
    fn frame(&mut self, size: usize) -> Arc<Frame> {
        self.numbers += 1;
        let text = format!("{:06}{}", self.numbers, "x".repeat(size));
        Arc::new(Frame::message(&text))
    }

    fn targets<A: smallvec::Array<Item = Target>>(&self, targets: &[To]) -> SmallVec<A> {
        let key = |who: &Index| who.get(&self.peers).key;
        let targets = targets.iter().map(|target| match target {
            To::Room(room) => Target::Room(*room),
            To::One(who) => Target::One(key(who)),
            To::Stale(who) => Target::One(Key {
                generation: key(who).generation.wrapping_sub(1),
                ..key(who)
            }),
            To::Elsewhere(who) => Target::One(Key {
                shard: 1,
                ..key(who)
            }),
        });
        targets.collect()
    }

    fn join(&mut self, who: usize, room: RoomKey) -> Option<Job> {
        let peer = &mut self.peers[who];
        let is_new = !std::mem::replace(&mut peer.rooms[room as usize], !peer.removed);
        let key = peer.key;
        is_new.then_some(Job::Join { key, room })
    }

    /// The jobs of an operation, which the model does by the way.
    async fn jobs(&mut self, op: &Op) -> Vec<Job> {
        let at = |who: &Index, rig: &Self| who.index(rig.peers.len());
        match op {
            Op::Join(who, room) => self.join(at(who, self), *room).into_iter().collect(),
            Op::Leave(who, room) => {
                let who = at(who, self);
                let peer = &mut self.peers[who];
                peer.rooms[*room as usize] = false;
                let (key, room) = (peer.key, *room);
                vec![Job::Leave { key, room }]
            }
            Op::Broadcast {
                to,
                except,
                volatile,
                sizes,
            } => {
                let mut jobs = Vec::new();
                for size in sizes {
                    let delivery = Delivery {
                        to: self.targets(to),
                        except: self.targets(except),
                        frame: self.frame(*size),
                        volatile: *volatile,
                    };
                    for peer in &mut self.peers {
                        if peer.is_in(&delivery.to) && !peer.is_in(&delivery.except) {
                            peer.expect(&delivery.frame, *volatile);
                        }
                    }
                    jobs.push(Job::Broadcast(Arc::new(delivery)));
                }
                jobs
            }
            Op::Send(who, volatile, size) => {
                let (who, frame) = (at(who, self), self.frame(*size));
                let (peer, volatile) = (&mut self.peers[who], *volatile);
                peer.expect(&frame, volatile);
                let key = peer.key;
                vec![Job::Send {
                    key,
                    frame,
                    volatile,
                }]
            }
            Op::Control(who) => {
                let who = at(who, self);
                let peer = &mut self.peers[who];
                let is_open = !peer.removed && !peer.closed && peer.writer.is_none();
                is_open.then(|| peer.control()).into_iter().collect()
            }
            Op::Switch(who) => {
                let who = at(who, self);
                self.switch(who).into_iter().collect()
            }
            Op::Close(who, last) => {
                let (who, last) = (at(who, self), last.then(|| self.frame(5)));
                let peer = &mut self.peers[who];
                last.iter().for_each(|last| peer.expect(last, false));
                peer.closed = true;
                let key = peer.key;
                vec![Job::Close { key, last }]
            }
            Op::Remove(who) => {
                let who = at(who, self);
                let peer = &mut self.peers[who];
                let key = peer.key;
                if !std::mem::replace(&mut peer.removed, true) {
                    peer.rooms.fill(false);
                    peer.writer = None;
                    return vec![Job::Remove { key }];
                }
                let generation = key.generation.wrapping_add(1);
                let (register, peer) = Peer::connect(Key { generation, ..key }, self.mode).await;
                self.gone
                    .push(std::mem::replace(&mut self.peers[who], peer));
                vec![register]
            }
        }
    }

    fn switch(&mut self, who: usize) -> Option<Job> {
        let peer = &mut self.peers[who];
        let writer = peer.writer.take().filter(|_| !peer.removed)?;
        let (key, outlet) = (peer.key, Outlet::Tcp(writer));
        Some(Job::Switch { key, outlet })
    }
}

/// Lets the shard run for some turns, and the peers read.
async fn turns(rig: &mut Rig, turns: usize) {
    for _ in 0..turns {
        yield_now().await;
        let most = if rig.mode == Mode::Free { 8 } else { 1 };
        rig.peers.iter_mut().for_each(|peer| peer.read(most));
    }
}

async fn run(case: &Case, mode: Mode) -> Result<(), TestCaseError> {
    let (queue, stats) = (Arc::new(Queue::default()), Arc::new(Stats::default()));
    let budget = match mode {
        Mode::Slow => 50_000,
        Mode::Free | Mode::Tight => usize::MAX / 2,
    };
    let shard = Shard::new(0, Arc::clone(&queue), Arc::clone(&stats), budget);
    let shard = tokio::spawn(shard.run());
    let mut rig = Rig {
        mode,
        queue,
        stats,
        peers: Vec::new(),
        gone: Vec::new(),
        numbers: 0,
    };
    for slot in 0..case.connections {
        let key = Key {
            shard: 0,
            slot: slot as u32,
            generation: 0,
        };
        let (register, peer) = Peer::connect(key, mode).await;
        rig.peers.push(peer);
        let is_in = [true, slot % 2 == 0, slot < 3, slot % 7 != 3];
        let rooms = (0..ROOMS).filter(|room| is_in[*room as usize]);
        let joins: Vec<_> = rooms.filter_map(|room| rig.join(slot, room)).collect();
        rig.queue.push(std::iter::once(register).chain(joins));
    }
    turns(&mut rig, 1).await;
    for (ops, count) in &case.batches {
        let mut jobs = Vec::new();
        for op in ops {
            jobs.extend(rig.jobs(op).await);
        }
        rig.queue.push(jobs);
        turns(&mut rig, *count).await;
    }
    for who in 0..case.connections {
        let switch = rig.switch(who);
        rig.queue.push(switch);
    }
    let by = Instant::now() + Duration::from_secs(10);
    // What is owed has to come without anything else that wakes the shard.
    let lacks = |peer: &Peer| !peer.removed && peer.received.len() < peer.owed;
    while mode != Mode::Slow && rig.peers.iter().any(lacks) && Instant::now() < by {
        turns(&mut rig, 1).await;
    }
    let lacking = rig.peers.iter().filter(|peer| lacks(peer)).count();
    prop_assert!(mode == Mode::Slow || lacking == 0, "{lacking} lack some");
    turns(&mut rig, 6).await;
    let keys = rig.peers.iter().map(|peer| peer.key);
    let closes: Vec<_> = keys.map(|key| Job::Close { key, last: None }).collect();
    rig.queue.push(closes);
    let mut peers = std::mem::take(&mut rig.gone);
    peers.append(&mut rig.peers);
    while peers.iter().any(|peer| !peer.ended) {
        prop_assert!(Instant::now() < by, "somebody is not closed");
        peers.iter_mut().for_each(|peer| peer.read(8));
        yield_now().await;
    }
    rig.queue.close();
    prop_assert!(shard.await.is_ok());
    let mut slow = 0;
    for peer in &peers {
        slow += u64::from(peer.check(mode)?);
    }
    prop_assert_eq!(rig.stats.report(0).slow_consumers, slow);
    Ok(())
}

fn in_runtime(case: &Case, mode: Mode) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(run(case, mode))
}

proptest! {
    #[test]
    fn sockets_that_take_everything(case in case(Mode::Free)) {
        in_runtime(&case, Mode::Free)?;
    }

    #[test]
    fn sockets_that_block(case in case(Mode::Tight)) {
        in_runtime(&case, Mode::Tight)?;
    }

    #[test]
    fn connections_that_are_given_up(case in case(Mode::Slow)) {
        in_runtime(&case, Mode::Slow)?;
    }
}
