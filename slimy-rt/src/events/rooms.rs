//! The rooms of one socket.

use std::{
    mem,
    ops::{Deref, DerefMut},
};

use crate::{Room, server::sequencer::Received};

/// Their names, and since when it has been in those that it joined later: its client is not owed what was said there before.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    names: Vec<Room>,
    /// Of rooms that were joined after the socket had come in: what had been said by then.
    later: Vec<(Room, Received)>,
}

impl Rooms {
    /// It has just joined that room, of which this has been said.
    pub(crate) fn joined_after(&mut self, room: Room, said: Received) {
        self.later.push((room, said));
    }

    /// Takes out the room at that place.
    pub(crate) fn take_out(&mut self, at: usize) {
        let room = self.names.swap_remove(at);
        self.later.retain(|(later, _)| *later != room);
    }

    /// Takes out all.
    pub(crate) fn take_all(&mut self) -> Vec<Room> {
        self.later = Vec::new();
        mem::take(&mut self.names)
    }

    /// Of each room that was joined later, what had been said by then.
    pub(crate) fn later(&self) -> &[(Room, Received)] {
        &self.later
    }

    /// Its client is back, and was in `restored`, some of which it had joined `later`; in all other rooms it is from now on, when this has been `said`.
    pub(crate) fn come_back(
        &mut self,
        restored: &[Room],
        later: &[(Room, Received)],
        said: Option<&Received>,
    ) {
        let names = &self.names;
        let known = later.iter().filter(|(room, _)| names.contains(room));
        let new = names.iter().filter(|room| !restored.contains(room));
        let new = new.zip(said.into_iter().cycle());
        self.later = known
            .cloned()
            .chain(new.map(|(room, said)| (room.clone(), said.clone())))
            .collect();
    }
}

impl Deref for Rooms {
    type Target = Vec<Room>;

    fn deref(&self) -> &Vec<Room> {
        &self.names
    }
}

impl DerefMut for Rooms {
    fn deref_mut(&mut self) -> &mut Vec<Room> {
        &mut self.names
    }
}
