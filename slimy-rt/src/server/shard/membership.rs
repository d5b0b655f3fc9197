//! Who is in which room. A member knows its place in the room's list, so that leaving does not look for it.

use super::{Key, RoomKey, Shard};

impl Shard {
    pub(super) fn join(&mut self, key: Key, room: RoomKey) {
        let index = room as usize;
        if self.rooms.len() <= index {
            self.rooms.resize_with(index + 1, Vec::new);
        }
        let position = self.rooms[index].len() as u32;
        let Some(entry) = self.entry(key) else { return };
        entry.rooms_mut().push((room, position));
        self.rooms[index].push(key.slot);
    }

    pub(super) fn leave(&mut self, key: Key, room: RoomKey) {
        let Some(entry) = self.entry(key) else { return };
        let Some(at) = entry.rooms().iter().position(|(r, _)| *r == room) else {
            return;
        };
        let (_, position) = entry.rooms_mut().swap_remove(at);
        self.take_member(room, position);
    }

    /// Takes a member out of a room's list; the last one moves into its place.
    fn take_member(&mut self, room: RoomKey, position: u32) {
        let members = &mut self.rooms[room as usize];
        let last = members.len() as u32 - 1;
        members.swap_remove(position as usize);
        if members.is_empty() {
            *members = Vec::new();
        } else if members.capacity() > 64 && members.len() * 4 < members.capacity() {
            members.shrink_to(members.len() * 2);
        }
        if position == last {
            return;
        }
        let moved = members[position as usize];
        if let Some(Some(entry)) = self.connections.get_mut(moved as usize) {
            let mut places = entry.rooms_mut().iter_mut();
            if let Some(place) = places.find(|place| **place == (room, last)) {
                place.1 = position;
            }
        }
    }

    pub(super) fn remove(&mut self, key: Key) {
        let Some(entry) = self.entry(key) else { return };
        for (room, position) in std::mem::take(entry.rooms_mut()) {
            self.take_member(room, position);
        }
        self.connections[key.slot as usize] = None;
    }
}
