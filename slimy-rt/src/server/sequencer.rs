//! Gives publications, joins and leaves their order.
//!
//! One short lock: under it, a publication's rooms are looked up and one job goes to each shard that has members. What two threads
//! publish reaches every recipient in the same order, since every shard's queue was filled under that lock. Nothing is written and
//! nothing awaited while it is held.

mod directory;
mod entering;
mod guests;
mod place;
mod publish;
mod recent;
mod withheld;

use std::sync::{Arc, Mutex, atomic::AtomicU32};

use smallvec::SmallVec;

use self::{
    directory::{Directory, Members, Namespace, RoomKeys, Slots},
    place::Place,
    recent::Recent,
    withheld::Withheld,
};
pub(crate) use self::{
    entering::{Entered, Return},
    guests::Guest,
    recent::Cut,
    withheld::Received,
};
use super::{
    Bound, Config,
    cluster::Cluster,
    link::{Key, LinkRef},
    lock,
    shard::{Job, Outlet, Queue},
    stats::Stats,
};
use crate::{
    Room, SocketId,
    broker::{Audience, Interest},
    events::{JoinError, PendingAcks, Socket},
    protocol::Frame,
};

/// The most shards that are of use: a room's counts are kept for each.
pub(crate) const MAX_SHARDS: usize = 8;

/// The sequencer.
#[derive(Debug)]
pub(crate) struct Sequencer {
    directory: Mutex<Directory>,
    queues: Box<[Arc<Queue>]>,
    cluster: Option<Arc<Cluster>>,
    stats: Arc<Stats>,
    max_rooms_per_socket: usize,
    max_dynamic_namespaces: usize,
    /// Bytes that a client which comes back may be owed.
    max_owed: usize,
    /// Whether events carry offsets, once there is a place in the log.
    recovers: bool,
    /// The number of the next event that many sockets are to answer.
    questions: AtomicU32,
}

/// How an event is to be delivered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// May be dropped for a connection that is behind.
    pub(crate) volatile: bool,
    /// Only for this node's sockets.
    pub(crate) local: bool,
}

impl Sequencer {
    pub(crate) fn new(
        namespaces: impl Iterator<Item = Arc<str>>,
        queues: Box<[Arc<Queue>]>,
        cluster: Option<Arc<Cluster>>,
        stats: Arc<Stats>,
        config: &Config,
    ) -> Self {
        let mut room_keys = RoomKeys::default();
        let namespaces = namespaces.map(|name| {
            let namespace = Namespace::new(room_keys.take(), true);
            (name, namespace)
        });
        let namespaces = namespaces.collect();
        let slots = queues.iter().map(|_| Slots::default()).collect();
        let directory = Mutex::new(Directory {
            slots,
            room_keys,
            namespaces,
            dynamic: 0,
            place: cluster
                .as_ref()
                .filter(|_| config.recovery.is_some())
                .map(|cluster| Place::new(cluster.node().clone())),
            recent: Recent::default(),
            restarts: 0,
            withheld: Withheld::default(),
        });
        Self {
            directory,
            queues,
            cluster,
            stats,
            max_rooms_per_socket: config.max_rooms_per_socket,
            max_dynamic_namespaces: config.max_dynamic_namespaces,
            max_owed: config.pending_budget() / 2,
            recovers: config.recovery.is_some(),
            questions: AtomicU32::new(PendingAcks::first()),
        }
    }

    /// Gives a new connection its place, in the shard with the fewest.
    pub(crate) fn register(&self, make: impl FnOnce(Key) -> (LinkRef, Outlet)) -> LinkRef {
        let mut directory = lock(&self.directory);
        let (shard, slots) = directory
            .slots
            .iter_mut()
            .enumerate()
            .min_by_key(|(_, slots)| slots.used)
            .expect("a server has at least one shard");
        slots.used += 1;
        let (slot, generation) = slots.free.pop().unwrap_or_else(|| {
            slots.next += 1;
            (slots.next - 1, 0)
        });
        let key = Key {
            shard: shard as u16,
            slot,
            generation,
        };
        let (link, outlet) = make(key);
        self.push(
            key,
            [Job::Register {
                key,
                link: Arc::clone(&link),
                outlet,
            }],
        );
        link
    }

    /// Forgets a connection; its sockets have left before.
    pub(crate) fn remove(&self, key: Key) {
        let mut directory = lock(&self.directory);
        let slots = &mut directory.slots[key.shard as usize];
        slots.used -= 1;
        slots.free.push((key.slot, key.generation.wrapping_add(1)));
        self.push(key, [Job::Remove { key }]);
    }

    /// Sends `frame` to one connection, in order with everything that this thread has said before.
    pub(crate) fn send(&self, key: Key, frame: Arc<Frame>, volatile: bool) {
        self.push(
            key,
            [Job::Send {
                key,
                frame,
                volatile,
            }],
        );
    }

    /// Hands a job to a connection's shard.
    pub(crate) fn push(&self, key: Key, jobs: impl IntoIterator<Item = Job>) {
        self.queues[key.shard as usize].push(jobs);
    }

    pub(crate) fn queue(&self, key: Key) -> &Arc<Queue> {
        &self.queues[key.shard as usize]
    }

    /// Ends the shards once their queues are empty.
    pub(crate) fn close(&self) {
        self.queues.iter().for_each(|queue| queue.close());
    }

    /// The name of a namespace, shared with its sockets when it has some.
    pub(crate) fn namespace_name(&self, name: &str) -> Arc<str> {
        let directory = lock(&self.directory);
        let known = directory.namespaces.get_key_value(name);
        known.map_or_else(|| name.into(), |(name, _)| Arc::clone(name))
    }

    /// Takes a socket out of its rooms and its namespace, right behind `farewell`. Says whether it was in it.
    pub(crate) fn exit(
        &self,
        socket: &Socket,
        farewell: impl IntoIterator<Item = Arc<Frame>>,
    ) -> bool {
        let key = socket.key();
        let mut directory = lock(&self.directory);
        let Some((namespace, room_keys)) = directory.of(socket) else {
            return false;
        };
        // Its client may be back, as another socket of the same id.
        if namespace.sockets.get(socket.id()) != Some(socket) {
            return false;
        }
        namespace.sockets.remove(socket.id());
        let mut jobs: SmallVec<[Job; 8]> = farewell
            .into_iter()
            .map(|frame| Job::Send {
                key,
                frame,
                volatile: false,
            })
            .collect();
        let rooms = socket.rooms_mut().take_all();
        for room in rooms {
            jobs.extend(self.leave_locked(namespace, room_keys, socket, &room));
        }
        namespace.everyone.counts[key.shard as usize] -= 1;
        jobs.push(Job::Leave {
            key,
            room: namespace.everyone.key,
        });
        directory.leave(socket.namespace());
        self.push(key, jobs);
        true
    }

    /// Joins a socket to a room; does nothing when it is in it. One that is still being let in joins when it is. The rooms of what the user
    /// may see do not count against the bound.
    pub(crate) fn join(&self, socket: &Socket, room: &Room) -> Result<(), JoinError> {
        let bound = self.max_rooms_per_socket + socket.access().room_count();
        self.join_within(socket, room, bound)
    }

    /// Joins a socket to a room of what its user may see.
    pub(crate) fn join_access(&self, socket: &Socket, room: &Room) {
        // There is no bound that it could be beyond, and one that has left needs no room.
        let _ = self.join_within(socket, room, usize::MAX);
    }

    fn join_within(&self, socket: &Socket, room: &Room, bound: usize) -> Result<(), JoinError> {
        let mut directory = lock(&self.directory);
        let is_in = directory.has(socket);
        if !is_in && socket.has_left() {
            return Err(JoinError::NotConnected);
        }
        if socket.rooms_mut().contains(room) {
            return Ok(());
        }
        if socket.rooms_mut().len() >= bound {
            self.stats.reached(Bound::MaxRoomsPerSocket);
            return Err(JoinError::TooManyRooms {
                limit: self.max_rooms_per_socket,
            });
        }
        let said = directory.moment();
        let Some((namespace, room_keys)) = directory.of(socket).filter(|_| is_in) else {
            // It joins as it is let in.
            socket.rooms_mut().push(room.clone());
            return Ok(());
        };
        let job = self.join_locked(namespace, room_keys, socket, room);
        self.push(socket.key(), job);
        if let Some(said) = said {
            socket.rooms_mut().joined_after(room.clone(), said);
        }
        Ok(())
    }

    /// Takes a socket out of a room; does nothing when it is not in it.
    pub(crate) fn leave(&self, socket: &Socket, room: &Room) {
        let mut directory = lock(&self.directory);
        let is_in = directory.has(socket);
        {
            let mut rooms = socket.rooms_mut();
            let Some(at) = rooms.iter().position(|r| r == room) else {
                return;
            };
            rooms.take_out(at);
        }
        let Some((namespace, room_keys)) = directory.of(socket).filter(|_| is_in) else {
            return;
        };
        let job = self.leave_locked(namespace, room_keys, socket, room);
        self.push(socket.key(), job);
    }

    fn join_locked(
        &self,
        namespace: &mut Namespace,
        room_keys: &mut RoomKeys,
        socket: &Socket,
        room: &Room,
    ) -> Option<Job> {
        if socket.rooms_mut().contains(room) {
            return None;
        }
        let key = socket.key();
        // The directory's own copy of the name is kept, so that members share one.
        let shared = namespace
            .rooms
            .get_key_value(room)
            .map_or(room, |(name, _)| name)
            .clone();
        let members = self.members(namespace, room_keys, socket.namespace(), &shared);
        members.counts[key.shard as usize] += 1;
        socket.rooms_mut().push(shared);
        Some(Job::Join {
            key,
            room: members.key,
        })
    }

    /// A room's members, which the other nodes hear of when they are the first.
    fn members<'a>(
        &self,
        namespace: &'a mut Namespace,
        room_keys: &mut RoomKeys,
        name: &str,
        room: &Room,
    ) -> &'a mut Members {
        namespace.rooms.entry(room.clone()).or_insert_with(|| {
            self.interest(Interest::Began {
                namespace: name,
                room,
            });
            Members::new(room_keys.take())
        })
    }

    fn forget_if_empty(
        &self,
        namespace: &mut Namespace,
        room_keys: &mut RoomKeys,
        name: &str,
        room: &Room,
    ) {
        let Some(members) = namespace.rooms.get(room).filter(|m| m.is_empty()) else {
            return;
        };
        room_keys.free.push(members.key);
        namespace.rooms.remove(room);
        self.interest(Interest::Ceased {
            namespace: name,
            room,
        });
    }

    fn leave_locked(
        &self,
        namespace: &mut Namespace,
        room_keys: &mut RoomKeys,
        socket: &Socket,
        room: &Room,
    ) -> Option<Job> {
        let key = socket.key();
        let members = namespace.rooms.get_mut(room)?;
        members.counts[key.shard as usize] -= 1;
        let job = Job::Leave {
            key,
            room: members.key,
        };
        self.forget_if_empty(namespace, room_keys, socket.namespace(), room);
        Some(job)
    }

    fn interest(&self, change: Interest<'_>) {
        if let Some(cluster) = &self.cluster {
            cluster.interest(change);
        }
    }

    /// The connected sockets of an audience, at this moment.
    pub(crate) fn select(&self, namespace: &str, audience: &Audience) -> Vec<Socket> {
        lock(&self.directory).select(namespace, audience)
    }

    /// The socket of that id, in whichever namespace.
    pub(crate) fn socket(&self, id: &SocketId) -> Option<Socket> {
        let directory = lock(&self.directory);
        directory
            .namespaces
            .values()
            .find_map(|namespace| namespace.sockets.get(id))
            .cloned()
    }

    /// How many members a room has.
    #[cfg(feature = "diagnostics")]
    pub(crate) fn member_count(&self, namespace: &str, room: &Room) -> usize {
        let directory = lock(&self.directory);
        let namespace = directory.namespaces.get(namespace);
        let members = namespace.and_then(|namespace| namespace.rooms.get(room));
        members.map_or(0, |members| {
            members.counts.iter().map(|n| *n as usize).sum()
        })
    }

    /// How many rooms have members.
    pub(crate) fn room_count(&self) -> usize {
        lock(&self.directory)
            .namespaces
            .values()
            .map(|namespace| namespace.rooms.len())
            .sum()
    }
}
