//! Bringing frames to connections: to one, or as a wave to the members of rooms.
//!
//! A wave that finds nothing else to be written goes straight into the members' sockets, one after the other, over several turns. As soon as
//! something else has to be done that could touch its members, what is left of it is appended to their pending output like everything
//! else, so that a burst is written in one piece to each.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    BYTES_PER_TURN, Delivery, Key, Shard, Target, Turn, WRITES_PER_TURN,
    entry::{Entry, Flow},
};
use crate::protocol::Frame;

/// How many connections are looked at together before they are written to.
const WARMED: usize = 16;

/// A broadcast on its way.
#[derive(Debug)]
pub(super) struct Wave {
    delivery: Arc<Delivery>,
    /// The target that it has come to, and the place in that room.
    target: usize,
    member: usize,
}

impl Shard {
    /// Begins a broadcast.
    pub(super) fn broadcast(&mut self, delivery: Arc<Delivery>, turn: &mut Turn) {
        self.settle(turn);
        self.stamp += 1;
        let mut except = Wave {
            delivery,
            target: 0,
            member: 0,
        };
        // Those who must not get it count as reached.
        while self
            .next(&mut except, |delivery| &delivery.except)
            .is_some()
        {}
        let wave = Wave {
            delivery: except.delivery,
            target: 0,
            member: 0,
        };
        if self.dirty.is_empty() {
            self.wave = Some(wave);
        } else {
            self.append_rest(wave, turn);
        }
    }

    /// Appends what is left of the wave, so that its order against what follows is that of the queue.
    pub(super) fn settle(&mut self, turn: &mut Turn) {
        if let Some(wave) = self.wave.take() {
            self.append_rest(wave, turn);
        }
    }

    fn append_rest(&mut self, mut wave: Wave, turn: &mut Turn) {
        while let Some(slot) = self.next(&mut wave, |delivery| &delivery.to) {
            self.append_to(slot, &wave.delivery.frame, wave.delivery.volatile, turn);
        }
    }

    /// One frame for one connection, behind the wave if that is still to come to it.
    pub(super) fn append(&mut self, key: Key, frame: &Arc<Frame>, volatile: bool, turn: &mut Turn) {
        self.reach(key, turn);
        if self.entry(key).is_some() {
            self.append_to(key.slot, frame, volatile, turn);
        }
    }

    /// Brings the wave to a connection before its turn.
    pub(super) fn reach(&mut self, key: Key, turn: &mut Turn) {
        let Some(wave) = &self.wave else { return };
        let (delivery, stamp) = (Arc::clone(&wave.delivery), self.stamp);
        let Some(entry) = self.entry(key) else { return };
        let is_meant = |target: &Target| match *target {
            Target::Room(room) => entry.rooms().iter().any(|(r, _)| *r == room),
            Target::One(one) => one == key,
        };
        if delivery.to.iter().any(is_meant) && entry.stamp_once(stamp) {
            self.append_to(key.slot, &delivery.frame, delivery.volatile, turn);
        }
    }

    fn append_to(&mut self, slot: u32, frame: &Arc<Frame>, volatile: bool, turn: &mut Turn) {
        let Some(Some(entry)) = self.connections.get_mut(slot as usize) else {
            return;
        };
        let flow = entry.append(frame, volatile, self.budget);
        turn.full |= entry.collected() > BYTES_PER_TURN;
        turn.appended += usize::from(flow == Flow::Appended);
        self.came_to(slot, flow);
    }

    /// Writes a bounded number of those that have something pending.
    pub(super) fn write_dirty(&mut self) {
        for _ in 0..WRITES_PER_TURN / WARMED {
            let count = WARMED.min(self.dirty.len());
            let slots: SmallVec<[u32; WARMED]> = self.dirty.drain(..count).collect();
            self.warm(&slots);
            for slot in slots {
                if let Some(Some(entry)) = self.connections.get_mut(slot as usize) {
                    entry.write_dirty(&self.queue);
                }
            }
        }
    }

    /// Goes on with the wave for a bounded number of writes.
    pub(super) fn write_wave(&mut self) {
        let Some(mut wave) = self.wave.take() else {
            return;
        };
        let (mut delivered, mut is_over) = (0, false);
        for _ in 0..WRITES_PER_TURN / WARMED {
            let mut slots: SmallVec<[u32; WARMED]> = SmallVec::new();
            while slots.len() < WARMED && !is_over {
                match self.next(&mut wave, |delivery| &delivery.to) {
                    Some(slot) => slots.push(slot),
                    None => is_over = true,
                }
            }
            self.warm(&slots);
            for slot in slots {
                delivered += usize::from(self.write_to(slot, &wave.delivery));
            }
        }
        self.stats.add_deliveries(delivered);
        if !is_over {
            self.wave = Some(wave);
        }
    }

    /// Brings what the next writes need into the cache, all at once: one after the other, each would wait for memory by itself.
    fn warm(&self, slots: &[u32]) {
        for slot in slots {
            if let Some(Some(entry)) = self.connections.get(*slot as usize) {
                entry.warm();
            }
        }
    }

    /// Says whether the frame was taken.
    fn write_to(&mut self, slot: u32, delivery: &Delivery) -> bool {
        let Some(Some(entry)) = self.connections.get_mut(slot as usize) else {
            return false;
        };
        let flow = entry.deliver(&delivery.frame, delivery.volatile, self.budget, &self.queue);
        self.came_to(slot, flow);
        matches!(flow, Flow::Written | Flow::Appended)
    }

    fn came_to(&mut self, slot: u32, flow: Flow) {
        match flow {
            Flow::Appended => self.touch(slot),
            Flow::Dropped => self.stats.add_volatile_dropped(),
            Flow::TooSlow => self.stats.add_slow_consumer(),
            Flow::Written | Flow::Dead => {}
        }
    }

    /// The wave's next connection that it has not reached, which counts as reached now.
    fn next(&mut self, wave: &mut Wave, targets: fn(&Delivery) -> &[Target]) -> Option<u32> {
        loop {
            let slot = match *targets(&wave.delivery).get(wave.target)? {
                Target::Room(room) => {
                    let members = self.rooms.get(room as usize);
                    match members.and_then(|members| members.get(wave.member)) {
                        Some(slot) => {
                            wave.member += 1;
                            Some(*slot)
                        }
                        None => None,
                    }
                }
                Target::One(key) => {
                    let is_here = wave.member == 0 && key.shard == self.index;
                    wave.member = 1;
                    (is_here && self.entry(key).is_some()).then_some(key.slot)
                }
            };
            let Some(slot) = slot else {
                wave.target += 1;
                wave.member = 0;
                continue;
            };
            let entry = self.connections.get_mut(slot as usize);
            let entry: Option<&mut Entry> = entry.and_then(Option::as_mut);
            if entry.is_some_and(|entry| entry.stamp_once(self.stamp)) {
                return Some(slot);
            }
        }
    }
}
