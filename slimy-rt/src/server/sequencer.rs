//! Gives publications, joins and leaves their order.
//!
//! One short lock: under it, a publication's rooms are looked up and one job goes to each shard that has members. What two threads
//! publish reaches every recipient in the same order, since every shard's queue was filled under that lock. Nothing is written and
//! nothing awaited while it is held.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use smallvec::SmallVec;

use super::{
    Bound,
    cluster::Cluster,
    link::{Key, LinkRef},
    lock,
    shard::{Delivery, Job, Outlet, Queue, RoomKey, Target},
    stats::Stats,
};
use crate::{
    Room, SocketId,
    broker::{Audience, Interest, Publication},
    events::Socket,
    protocol::{EventData, Frame},
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
}

/// How an event is to be delivered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// May be dropped for a connection that is behind.
    pub(crate) volatile: bool,
    /// Only for this node's sockets.
    pub(crate) local: bool,
}

/// A socket is in as many rooms as it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the socket is in {limit} rooms already, as many as `max_rooms_per_socket` allows")]
pub struct TooManyRooms {
    limit: usize,
}

#[derive(Debug)]
struct Directory {
    slots: Box<[Slots]>,
    room_keys: RoomKeys,
    namespaces: HashMap<Arc<str>, Namespace>,
}

#[derive(Debug)]
struct Namespace {
    everyone: Members,
    rooms: HashMap<Room, Members>,
    sockets: HashMap<SocketId, Socket>,
}

/// How many members a room has in each shard.
#[derive(Clone, Copy, Debug)]
struct Members {
    key: RoomKey,
    counts: [u32; MAX_SHARDS],
}

impl Members {
    fn new(key: RoomKey) -> Self {
        Self {
            key,
            counts: [0; MAX_SHARDS],
        }
    }

    fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    fn shards(&self) -> u16 {
        let has = |(index, count): (usize, &u32)| u16::from(*count > 0) << index;
        self.counts.iter().enumerate().map(has).sum()
    }
}

/// One shard's slots.
#[derive(Debug, Default)]
struct Slots {
    used: u32,
    next: u32,
    /// With the generation that the slot's next use gets.
    free: Vec<(u32, u32)>,
}

/// Numbers for rooms, used again when a room is empty.
#[derive(Debug, Default)]
struct RoomKeys {
    next: RoomKey,
    free: Vec<RoomKey>,
}

impl RoomKeys {
    fn take(&mut self) -> RoomKey {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }
}

impl Directory {
    /// A socket's namespace, and where its new rooms get their numbers.
    fn of(&mut self, socket: &Socket) -> Option<(&mut Namespace, &mut RoomKeys)> {
        let namespace = self.namespaces.get_mut(socket.namespace())?;
        Some((namespace, &mut self.room_keys))
    }
}

impl Sequencer {
    pub(crate) fn new(
        namespaces: impl Iterator<Item = Arc<str>>,
        queues: Box<[Arc<Queue>]>,
        cluster: Option<Arc<Cluster>>,
        stats: Arc<Stats>,
        max_rooms_per_socket: usize,
    ) -> Self {
        let mut room_keys = RoomKeys::default();
        let namespaces = namespaces.map(|name| {
            let everyone = Members::new(room_keys.take());
            (
                name,
                Namespace {
                    everyone,
                    rooms: HashMap::new(),
                    sockets: HashMap::new(),
                },
            )
        });
        let namespaces = namespaces.collect();
        let slots = queues.iter().map(|_| Slots::default()).collect();
        let directory = Mutex::new(Directory {
            slots,
            room_keys,
            namespaces,
        });
        Self {
            directory,
            queues,
            cluster,
            stats,
            max_rooms_per_socket,
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

    /// Lets a socket into its namespace and the rooms of what it may see, right behind `welcome`.
    pub(crate) fn enter(&self, socket: &Socket, welcome: Arc<Frame>) {
        let key = socket.key();
        let mut directory = lock(&self.directory);
        let Some((namespace, room_keys)) = directory.of(socket) else {
            return;
        };
        namespace.everyone.counts[key.shard as usize] += 1;
        namespace
            .sockets
            .insert(socket.id().clone(), socket.clone());
        let everyone = namespace.everyone.key;
        let mut jobs: SmallVec<[Job; 8]> = SmallVec::new();
        jobs.push(Job::Send {
            key,
            frame: welcome,
            volatile: false,
        });
        jobs.push(Job::Join {
            key,
            room: everyone,
        });
        // Looked up under the lock: whoever changes it meanwhile finds the socket in its namespace, or has changed it before.
        for room in socket.access().rooms() {
            jobs.extend(self.join_locked(namespace, room_keys, socket, &room));
        }
        self.push(key, jobs);
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
        if namespace.sockets.remove(socket.id()).is_none() {
            return false;
        }
        let mut jobs: SmallVec<[Job; 8]> = farewell
            .into_iter()
            .map(|frame| Job::Send {
                key,
                frame,
                volatile: false,
            })
            .collect();
        for room in std::mem::take(&mut *socket.rooms_mut()) {
            jobs.extend(self.leave_locked(namespace, room_keys, socket, &room));
        }
        namespace.everyone.counts[key.shard as usize] -= 1;
        jobs.push(Job::Leave {
            key,
            room: namespace.everyone.key,
        });
        self.push(key, jobs);
        true
    }

    /// Joins a connected socket to a room; does nothing when it is in it, or no longer connected. The rooms of what the user may see do
    /// not count against the bound.
    pub(crate) fn join(&self, socket: &Socket, room: &Room) -> Result<(), TooManyRooms> {
        let bound = self.max_rooms_per_socket + socket.access().room_count();
        self.join_within(socket, room, bound)
    }

    /// Joins a socket to a room of what its user may see.
    pub(crate) fn join_access(&self, socket: &Socket, room: &Room) {
        // There is no bound that it could be beyond.
        let _ = self.join_within(socket, room, usize::MAX);
    }

    fn join_within(&self, socket: &Socket, room: &Room, bound: usize) -> Result<(), TooManyRooms> {
        let mut directory = lock(&self.directory);
        let Some((namespace, room_keys)) = directory.of(socket) else {
            return Ok(());
        };
        if !namespace.sockets.contains_key(socket.id()) || socket.rooms_mut().contains(room) {
            return Ok(());
        }
        if socket.rooms_mut().len() >= bound {
            self.stats.reached(Bound::MaxRoomsPerSocket);
            return Err(TooManyRooms {
                limit: self.max_rooms_per_socket,
            });
        }
        let job = self.join_locked(namespace, room_keys, socket, room);
        self.push(socket.key(), job);
        Ok(())
    }

    /// Takes a socket out of a room; does nothing when it is not in it.
    pub(crate) fn leave(&self, socket: &Socket, room: &Room) {
        let mut directory = lock(&self.directory);
        let Some((namespace, room_keys)) = directory.of(socket) else {
            return;
        };
        {
            let mut rooms = socket.rooms_mut();
            let Some(at) = rooms.iter().position(|r| r == room) else {
                return;
            };
            rooms.swap_remove(at);
        }
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
        let members = namespace.rooms.entry(shared.clone()).or_insert_with(|| {
            self.interest(Interest::Began {
                namespace: socket.namespace(),
                room,
            });
            Members::new(room_keys.take())
        });
        members.counts[key.shard as usize] += 1;
        socket.rooms_mut().push(shared);
        Some(Job::Join {
            key,
            room: members.key,
        })
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
        if members.is_empty() {
            room_keys.free.push(members.key);
            namespace.rooms.remove(room);
            self.interest(Interest::Ceased {
                namespace: socket.namespace(),
                room,
            });
        }
        Some(job)
    }

    fn interest(&self, change: Interest<'_>) {
        if let Some(cluster) = &self.cluster {
            cluster.interest(change);
        }
    }

    /// Publishes an event to this node's sockets and, unless it is local, to the other nodes.
    pub(crate) fn publish(
        &self,
        namespace: &Arc<str>,
        audience: Audience,
        event: EventData,
        flags: Flags,
    ) {
        self.stats.add_broadcast();
        let frame = Arc::new(Frame::event(namespace, None, &event));
        let directory = lock(&self.directory);
        self.deliver(&directory, namespace, &audience, frame, flags.volatile);
        if let Some(cluster) = self.cluster.as_ref().filter(|_| !flags.local) {
            cluster.enqueue(Arc::clone(namespace), audience, event);
        }
    }

    /// Delivers what another node published.
    pub(crate) fn deliver_remote(&self, publication: &Publication) {
        let frame = Arc::new(Frame::event(
            &publication.namespace,
            None,
            &publication.event,
        ));
        let directory = lock(&self.directory);
        self.deliver(
            &directory,
            &publication.namespace,
            &publication.audience,
            frame,
            false,
        );
    }

    fn deliver(
        &self,
        directory: &Directory,
        namespace: &str,
        audience: &Audience,
        frame: Arc<Frame>,
        volatile: bool,
    ) {
        let Some(namespace) = directory.namespaces.get(namespace) else {
            return;
        };
        let mut shards = 0;
        let to: SmallVec<[Target; 2]> = if audience.rooms.is_empty() {
            shards = namespace.everyone.shards();
            SmallVec::from_slice(&[Target::Room(namespace.everyone.key)])
        } else {
            audience
                .rooms
                .iter()
                .filter_map(|room| namespace.target(room, &mut shards))
                .collect()
        };
        let except = audience
            .except
            .iter()
            .filter_map(|room| namespace.target(room, &mut 0));
        if shards == 0 {
            return;
        }
        let delivery = Arc::new(Delivery {
            to,
            except: except.collect(),
            frame,
            volatile,
        });
        for (index, queue) in self.queues.iter().enumerate() {
            if shards & (1 << index) != 0 {
                queue.push([Job::Broadcast(Arc::clone(&delivery))]);
            }
        }
    }

    /// The connected sockets of an audience, at this moment.
    pub(crate) fn select(&self, namespace: &str, audience: &Audience) -> Vec<Socket> {
        let directory = lock(&self.directory);
        let Some(namespace) = directory.namespaces.get(namespace) else {
            return Vec::new();
        };
        let is_in = |socket: &Socket, rooms: &[Room]| {
            let mine = socket.rooms_mut();
            rooms
                .iter()
                .any(|room| mine.contains(room) || room.as_str() == socket.id().as_str())
        };
        let wanted = |socket: &&Socket| {
            (audience.rooms.is_empty() || is_in(socket, &audience.rooms))
                && !is_in(socket, &audience.except)
        };
        namespace.sockets.values().filter(wanted).cloned().collect()
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

    /// How many rooms have members.
    pub(crate) fn room_count(&self) -> usize {
        lock(&self.directory)
            .namespaces
            .values()
            .map(|namespace| namespace.rooms.len())
            .sum()
    }
}

impl Namespace {
    /// Where a room's members are; a socket's own id is the room of that socket.
    fn target(&self, room: &Room, shards: &mut u16) -> Option<Target> {
        if let Some(members) = self.rooms.get(room) {
            *shards |= members.shards();
            return Some(Target::Room(members.key));
        }
        let socket = self.sockets.get(room.as_str())?;
        *shards |= 1 << socket.key().shard;
        Some(Target::One(socket.key()))
    }
}
