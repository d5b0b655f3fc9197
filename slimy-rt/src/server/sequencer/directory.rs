//! Who is in which namespace and room, and where everything has its number: what the sequencer's lock guards.

use std::{collections::HashMap, sync::Arc};

use super::{
    super::shard::{RoomKey, Target},
    MAX_SHARDS,
    place::Place,
    recent::Recent,
    withheld::Withheld,
};
use crate::{Room, SocketId, broker::Audience, events::Socket};

#[derive(Debug)]
pub(super) struct Directory {
    pub(super) slots: Box<[Slots]>,
    pub(super) room_keys: RoomKeys,
    pub(super) namespaces: HashMap<Arc<str>, Namespace>,
    /// How many of them are there for their sockets only.
    pub(super) dynamic: usize,
    /// For connection state recovery, if there is any.
    pub(super) place: Option<Place>,
    pub(super) recent: Recent,
    /// How often the log was lost, or had a gap.
    pub(super) restarts: u64,
    pub(super) withheld: Withheld,
}

impl Directory {
    /// A socket's namespace, and where its new rooms get their numbers.
    pub(super) fn of(&mut self, socket: &Socket) -> Option<(&mut Namespace, &mut RoomKeys)> {
        let namespace = self.namespaces.get_mut(socket.namespace())?;
        Some((namespace, &mut self.room_keys))
    }

    /// Whether a socket has been let into its namespace and has not left it.
    pub(super) fn has(&self, socket: &Socket) -> bool {
        let namespace = self.namespaces.get(socket.namespace());
        namespace.is_some_and(|namespace| namespace.sockets.get(socket.id()) == Some(socket))
    }

    /// The namespace of that name, which is made if there is room for another one.
    pub(super) fn enter(
        &mut self,
        name: &Arc<str>,
        max_dynamic: usize,
    ) -> Option<(&mut Namespace, &mut RoomKeys)> {
        if !self.namespaces.contains_key(name) {
            if self.dynamic >= max_dynamic {
                return None;
            }
            self.dynamic += 1;
            let namespace = Namespace::new(self.room_keys.take(), false);
            self.namespaces.insert(Arc::clone(name), namespace);
        }
        let namespace = self.namespaces.get_mut(name)?;
        Some((namespace, &mut self.room_keys))
    }

    /// Forgets a namespace that is there for its sockets only when it has none, and none is on its way.
    pub(super) fn leave(&mut self, name: &str) {
        let is_over = |namespace: &Namespace| {
            !namespace.fixed && namespace.sockets.is_empty() && namespace.guests == 0
        };
        if let Some(namespace) = self.namespaces.get(name)
            && is_over(namespace)
        {
            self.room_keys.free.push(namespace.everyone.key);
            self.dynamic -= 1;
            self.namespaces.remove(name);
        }
    }

    pub(super) fn select(&self, namespace: &str, audience: &Audience) -> Vec<Socket> {
        let namespace = self.namespaces.get(namespace);
        namespace.map_or_else(Vec::new, |namespace| namespace.select(audience))
    }
}

#[derive(Debug)]
pub(super) struct Namespace {
    /// It is there without sockets too.
    pub(super) fixed: bool,
    pub(super) everyone: Members,
    pub(super) rooms: HashMap<Room, Members>,
    pub(super) sockets: HashMap<SocketId, Socket>,
    /// How many clients are on their way back to it.
    pub(super) guests: u32,
}

impl Namespace {
    pub(super) fn new(everyone: RoomKey, fixed: bool) -> Self {
        Self {
            fixed,
            everyone: Members::new(everyone),
            rooms: HashMap::new(),
            sockets: HashMap::new(),
            guests: 0,
        }
    }

    /// Where a room's members are. A socket's own id is the room of that socket, and of whoever else joined it.
    pub(super) fn targets(
        &self,
        room: &Room,
        shards: &mut u16,
    ) -> impl Iterator<Item = Target> + use<> {
        let members = self.rooms.get(room);
        // Most names cannot be a socket's, and looking them up is not free.
        let may_be_socket = room.as_str().len() == SocketId::LEN;
        let socket = may_be_socket.then(|| self.sockets.get(room.as_str()));
        let socket = socket.flatten().map(Socket::key);
        *shards |= members.map_or(0, Members::shards);
        *shards |= socket.map_or(0, |key| 1 << key.shard);
        let members = members.map(|members| Target::Room(members.key));
        members.into_iter().chain(socket.map(Target::One))
    }

    pub(super) fn select(&self, Audience { rooms, except }: &Audience) -> Vec<Socket> {
        let is_in = |socket: &Socket, rooms: &[Room]| {
            let mine = socket.rooms_mut();
            rooms
                .iter()
                .any(|room| mine.contains(room) || room.as_str() == socket.id().as_str())
        };
        let is_excepted = |socket: &&Socket| !except.is_empty() && is_in(socket, except);
        if !rooms.is_empty() && rooms.iter().all(|room| !self.rooms.contains_key(room)) {
            // Sockets by their ids: no need to look at all others.
            let first = |(at, room): &(usize, &Room)| !rooms[..*at].contains(room);
            let named = rooms.iter().enumerate().filter(first);
            let sockets = named.filter_map(|(_, room)| self.sockets.get(room.as_str()));
            return sockets.filter(|s| !is_excepted(s)).cloned().collect();
        }
        let wanted =
            |socket: &&Socket| (rooms.is_empty() || is_in(socket, rooms)) && !is_excepted(socket);
        self.sockets.values().filter(wanted).cloned().collect()
    }
}

/// How many members a room has in each shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Members {
    pub(super) key: RoomKey,
    pub(super) counts: [u32; MAX_SHARDS],
    /// How many clients are on their way back to it.
    pub(super) guests: u32,
}

impl Members {
    pub(super) fn new(key: RoomKey) -> Self {
        Self {
            key,
            counts: [0; MAX_SHARDS],
            guests: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.guests == 0 && self.counts.iter().all(|count| *count == 0)
    }

    pub(super) fn shards(&self) -> u16 {
        let has = |(index, count): (usize, &u32)| u16::from(*count > 0) << index;
        self.counts.iter().enumerate().map(has).sum()
    }
}

/// One shard's slots.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pub(super) used: u32,
    pub(super) next: u32,
    /// With the generation that the slot's next use gets.
    pub(super) free: Vec<(u32, u32)>,
}

/// Numbers for rooms, used again when a room is empty.
#[derive(Debug, Default)]
pub(super) struct RoomKeys {
    pub(super) next: RoomKey,
    pub(super) free: Vec<RoomKey>,
}

impl RoomKeys {
    pub(super) fn take(&mut self) -> RoomKey {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }
}
