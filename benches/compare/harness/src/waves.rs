//! Messages on their way: who is still to receive which, and how long each took.
//!
//! Every member of a room receives its messages in one order, so that a member's n-th copy is the room's n-th message: nothing needs to be
//! read in it.

use std::{collections::VecDeque, time::Instant};

use crate::{Failure, histogram::Histogram, swarm::Watch};

/// One room's messages.
#[derive(Clone, Debug, Default)]
struct Room {
    members: u32,
    /// The number of the oldest message that someone has not received.
    oldest: u64,
    /// For each message since: when it was sent, and how many copies are missing.
    open: VecDeque<(Instant, u32)>,
}

/// The account of all rooms.
pub(crate) struct Waves {
    rooms: Vec<Room>,
    room_of: Vec<u32>,
    /// How many messages each client has received.
    received: Vec<u64>,
    /// Copies that have come.
    pub(crate) deliveries: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    pub(crate) latencies: Histogram,
    /// Rooms that have had a message completed since this was last looked at.
    completed: VecDeque<usize>,
}

impl Waves {
    /// `room_of` says in which room each client is.
    pub(crate) fn new(room_of: Vec<u32>) -> Self {
        let count = room_of.iter().max().map_or(0, |last| *last as usize + 1);
        let mut rooms = vec![Room::default(); count];
        for room in &room_of {
            rooms[*room as usize].members += 1;
        }
        Self {
            rooms,
            received: vec![0; room_of.len()],
            room_of,
            deliveries: 0,
            bytes: 0,
            latencies: Histogram::new(),
            completed: VecDeque::new(),
        }
    }

    /// Whether this client is in a room here.
    pub(crate) fn counts(&self, client: usize) -> bool {
        client < self.room_of.len()
    }

    pub(crate) fn room_count(&self) -> usize {
        self.rooms.len()
    }

    /// A message to this room was sent, or was due, at `at`.
    pub(crate) fn sent(&mut self, room: usize, at: Instant) {
        let room = &mut self.rooms[room];
        room.open.push_back((at, room.members));
    }

    /// How many copies are missing in all.
    pub(crate) fn missing(&self) -> u64 {
        let missing = |room: &Room| {
            room.open
                .iter()
                .map(|(_, missing)| u64::from(*missing))
                .sum::<u64>()
        };
        self.rooms.iter().map(missing).sum()
    }

    /// A room whose oldest message everybody has received, once for each.
    pub(crate) fn take_completed(&mut self) -> Option<usize> {
        self.completed.pop_front()
    }

    /// Begins the figures anew; what is on its way stays.
    pub(crate) fn reset(&mut self) {
        (self.deliveries, self.bytes) = (0, 0);
        self.latencies = Histogram::new();
    }
}

impl Watch for Waves {
    fn event(&mut self, client: usize, payload: &[u8], now: Instant) -> Result<(), Failure> {
        // Who is in no room here comes and goes; its copies are not counted.
        let Some(&index) = self.room_of.get(client) else {
            return Ok(());
        };
        let index = index as usize;
        let room = &mut self.rooms[index];
        let at = (self.received[client] - room.oldest) as usize;
        let Some((sent, missing)) = room.open.get_mut(at) else {
            return Err(format!(
                "client {client} got a message that nobody sent, or one twice"
            ));
        };
        self.received[client] += 1;
        self.deliveries += 1;
        self.bytes += payload.len() as u64;
        self.latencies.record(now.saturating_duration_since(*sent));
        *missing -= 1;
        while room.open.front().is_some_and(|(_, missing)| *missing == 0) {
            room.open.pop_front();
            room.oldest += 1;
            self.completed.push_back(index);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_complete_when_every_member_of_its_room_has_it() {
        let mut waves = Waves::new(vec![0, 0, 1]);
        let now = Instant::now();
        waves.sent(0, now);
        waves.sent(0, now);
        assert!(waves.event(0, b"x", now).is_ok());
        assert!(waves.event(0, b"x", now).is_ok());
        assert_eq!((waves.take_completed(), waves.missing()), (None, 2));
        assert!(waves.event(1, b"x", now).is_ok());
        assert_eq!((waves.take_completed(), waves.missing()), (Some(0), 1));
        assert!(waves.event(1, b"x", now).is_ok());
        assert_eq!((waves.missing(), waves.deliveries), (0, 4));
        assert!(waves.event(1, b"x", now).is_err(), "twice");
        assert!(waves.event(2, b"x", now).is_err(), "another room's");
    }
}
