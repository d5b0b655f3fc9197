//! The rooms of clients that are on their way back. A node hears of a room while somebody is in it, and they are not in it yet.

use std::sync::{Arc, Weak};

use super::Sequencer;
use crate::{Room, server::lock};

/// Has rooms heard, whoever is in them, until this is dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    sequencer: Weak<Sequencer>,
    namespace: Arc<str>,
    rooms: Vec<Room>,
}

impl Sequencer {
    /// Has these rooms heard. `None`: there are too many namespaces.
    pub(crate) fn invite(self: &Arc<Self>, namespace: &Arc<str>, rooms: &[Room]) -> Option<Guest> {
        let mut directory = lock(&self.directory);
        let (entry, room_keys) = directory.enter(namespace, self.max_dynamic_namespaces)?;
        entry.guests += 1;
        for room in rooms {
            self.members(entry, room_keys, namespace, room).guests += 1;
        }
        Some(Guest {
            sequencer: Arc::downgrade(self),
            namespace: Arc::clone(namespace),
            rooms: rooms.to_vec(),
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let Some(sequencer) = self.sequencer.upgrade() else {
            return;
        };
        let mut directory = lock(&sequencer.directory);
        // It is there as long as its guests are.
        let directory = &mut *directory;
        if let Some(namespace) = directory.namespaces.get_mut(&self.namespace) {
            namespace.guests -= 1;
            for room in &self.rooms {
                if let Some(members) = namespace.rooms.get_mut(room) {
                    members.guests -= 1;
                }
                let room_keys = &mut directory.room_keys;
                sequencer.forget_if_empty(namespace, room_keys, &self.namespace, room);
            }
        }
        directory.leave(&self.namespace);
    }
}
