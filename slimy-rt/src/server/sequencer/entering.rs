//! How a socket comes into its namespace: new, or back with what it missed.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;

use super::{Cut, Guest, Received, Sequencer, directory::Directory};
use crate::{
    Room,
    events::Socket,
    protocol::{EventData, Frame},
    server::{lock, shard::Job},
};

/// The event that gives a new client its first offset, which it needs to come back. It has no argument but that.
const STARTED: &str = "session:started";

/// A client that comes back.
#[derive(Debug)]
pub(crate) struct Return {
    /// The rooms that it was in, as far as its user may see them now.
    pub(crate) rooms: Vec<Room>,
    /// Of those that it joined after it had come in, what had been said by then.
    pub(crate) later: Vec<(Room, Received)>,
    /// What it missed up to the cut.
    pub(crate) missed: Vec<Arc<Frame>>,
    pub(crate) cut: Cut,
    /// Has its rooms heard until it is in them.
    pub(crate) _guest: Guest,
    pub(crate) received: Received,
    /// How long another node may take to publish what the client has received there.
    pub(crate) window: Duration,
}

/// What became of a socket that was to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// It is in.
    Yes,
    /// There are too many namespaces.
    TooManyNamespaces,
    /// Too much came while it was on its way back: it can only come in as a new one.
    TooLate,
}

impl Sequencer {
    /// Lets a socket into its namespace and the rooms of what it may see, right behind `welcome`; one that comes `back` gets what it missed before
    /// that, and one whose session is `recoverable` its first offset after it.
    pub(crate) fn enter(
        &self,
        socket: &Socket,
        welcome: Arc<Frame>,
        back: Option<&Return>,
        recoverable: bool,
    ) -> Entered {
        let key = socket.key();
        let send = |frame| Job::Send {
            key,
            frame,
            volatile: false,
        };
        let mut directory = lock(&self.directory);
        let mut jobs: SmallVec<[Job; 8]> = SmallVec::new();
        if let Some(back) = back {
            let Some(owed) = directory.owed(socket, back, self.max_owed) else {
                return Entered::TooLate;
            };
            jobs.extend(back.missed.iter().cloned().chain(owed).map(send));
        }
        let said = directory.moment();
        let name = socket.shared_namespace();
        let Some((namespace, room_keys)) = directory.enter(name, self.max_dynamic_namespaces)
        else {
            return Entered::TooManyNamespaces;
        };
        namespace.everyone.counts[key.shard as usize] += 1;
        namespace
            .sockets
            .insert(socket.id().clone(), socket.clone());
        let everyone = namespace.everyone.key;
        let early = socket.rooms_mut().take_all();
        let restored = back.map(|back| back.rooms.clone()).unwrap_or_default();
        jobs.push(send(welcome));
        jobs.push(Job::Join {
            key,
            room: everyone,
        });
        // Looked up under the lock: whoever changes it meanwhile finds the socket in its namespace, or has changed it before.
        for room in socket
            .access()
            .rooms()
            .into_iter()
            .chain(early)
            .chain(restored)
        {
            jobs.extend(self.join_locked(namespace, room_keys, socket, &room));
        }
        match back {
            Some(back) => {
                let Directory {
                    place, withheld, ..
                } = &mut *directory;
                let heard = place.as_ref().and_then(|place| place.position());
                withheld.add(key, &back.received, heard, back.window);
                socket
                    .rooms_mut()
                    .come_back(&back.rooms, &back.later, said.as_ref());
            }
            None if recoverable => jobs.extend(directory.started(socket.namespace()).map(send)),
            None => {}
        }
        self.push(key, jobs);
        // Behind the welcome: from now on it may be sent to, by whoever has had it since before.
        socket.set_connected(true);
        Entered::Yes
    }
}

impl Directory {
    /// What was delivered since a client's cut and is for it; `None` when that is too much, or is not known any more, or when something was not heard.
    fn owed(&self, socket: &Socket, back: &Return, max_bytes: usize) -> Option<Vec<Arc<Frame>>> {
        if self.restarts != back.cut.restarts {
            return None;
        }
        let own = Room::of_socket(socket.id());
        let is_in = |rooms: &[Room]| {
            let is_its = |room: &Room| *room == own || back.rooms.contains(room);
            rooms.iter().any(is_its)
        };
        let mut bytes: usize = back.missed.iter().map(|frame| frame.len()).sum();
        let mut owed = Vec::new();
        for delivered in self.recent.since(back.cut.number)? {
            let audience = &delivered.audience;
            let is_meant = *delivered.namespace == *socket.namespace()
                && (audience.rooms.is_empty() || is_in(&audience.rooms))
                && !is_in(&audience.except);
            let (position, id) = (delivered.position.as_ref(), delivered.id.as_ref());
            if is_meant && !back.received.covers(position, id) {
                bytes += delivered.frame.len();
                owed.push(Arc::clone(&delivered.frame));
            }
        }
        (bytes <= max_bytes).then_some(owed)
    }

    fn started(&mut self, namespace: &str) -> Option<Arc<Frame>> {
        let offset = self.place.as_mut()?.offset()?;
        let event = EventData::empty(STARTED).ok()?;
        Some(Arc::new(Frame::event_with_offset(
            namespace, &event, offset,
        )))
    }
}
