//! Bringing frames to connections: to a few by appending, to many as a wave.
//!
//! What is appended waits in each connection's pending output until the connection's turn to be written. A wave goes straight into its
//! members' sockets, one after the other, over several turns, and leaves nothing pending where the socket takes it. Broadcasts to the same
//! members that come before a wave has begun become part of it: one write brings a member all of them.
//!
//! A wave that another comes behind before it has begun is appended instead: the members that they share get both in one write.
//!
//! Nothing waits for a wave but another wave and what was said after it: what goes to few connections overtakes it, except for those that
//! both are for.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    BYTES_PER_TURN, Delivery, Key, RoomKey, Shard, Target, Turn, WRITES_PER_TURN,
    entry::{Entry, Flow},
};
use crate::protocol::Frame;

/// How many connections are looked at together before they are written to.
const WARMED: usize = 16;
/// How many are few.
const FEW: usize = 64;
/// How many frames a wave brings at the most.
const WAVE_FRAMES: usize = 64;
/// How many bytes it brings at the most, unless its first frame has more.
const WAVE_BYTES: usize = 64 * 1024;

/// Broadcasts on their way, all to the same members.
#[derive(Debug)]
pub(super) struct Wave {
    delivery: Arc<Delivery>,
    frames: SmallVec<[Arc<Frame>; 1]>,
    /// The frames one after the other, when there are several.
    joined: Vec<u8>,
    /// The target that it has come to, and the place in that room.
    target: usize,
    member: usize,
    /// Somebody was written to: it brings nothing more.
    has_begun: bool,
    /// Whom it was brought to before it has begun.
    early: SmallVec<[u32; 4]>,
}

impl Wave {
    fn new(delivery: Arc<Delivery>) -> Self {
        let frames = SmallVec::from_iter([Arc::clone(&delivery.frame)]);
        Self {
            delivery,
            frames,
            joined: Vec::new(),
            target: 0,
            member: 0,
            has_begun: false,
            early: SmallVec::new(),
        }
    }

    /// Whether this may become a part of it.
    fn takes(&self, other: &Delivery) -> bool {
        let Delivery {
            to,
            except,
            frame,
            volatile,
        } = &*self.delivery;
        let bytes = self.joined.len().max(frame.len()) + other.frame.len();
        !self.has_begun
            && self.frames.len() < WAVE_FRAMES
            && bytes <= WAVE_BYTES
            && self.early.len() < FEW
            && (to, except, volatile) == (&other.to, &other.except, &other.volatile)
    }

    fn push(&mut self, frame: &Arc<Frame>) {
        if self.joined.is_empty() {
            self.joined.extend_from_slice(self.frames[0].websocket());
        }
        self.joined.extend_from_slice(frame.websocket());
        self.frames.push(Arc::clone(frame));
    }

    fn bytes(&self) -> &[u8] {
        match &*self.frames {
            [frame] => frame.websocket(),
            _ => &self.joined,
        }
    }
}

impl Shard {
    /// Begins a broadcast, unless it has to wait for one that is on its way: then it is given back.
    pub(super) fn broadcast(
        &mut self,
        delivery: Arc<Delivery>,
        turn: &mut Turn,
    ) -> Option<Arc<Delivery>> {
        if let Some(wave) = &mut self.wave
            && wave.takes(&delivery)
        {
            wave.push(&delivery.frame);
            for slot in wave.early.clone() {
                self.append_to(slot, &delivery.frame, delivery.volatile, turn);
            }
            return None;
        }
        let is_alone = self.wave.is_none() && self.dirty.is_empty();
        if let Some(slots) = (!is_alone).then(|| self.few(&delivery)).flatten() {
            for slot in slots {
                self.reach(slot, turn);
                self.append_to(slot, &delivery.frame, delivery.volatile, turn);
            }
            return None;
        }
        if self.wave.as_ref().is_some_and(|wave| wave.has_begun) {
            return Some(delivery);
        }
        // Two at once that are no one wave: what waits goes out together, or each would cost a write to each member.
        self.settle(turn);
        self.stamp += 1;
        let mut wave = Wave::new(delivery);
        // Those who must not get it count as reached.
        while self.next(&mut wave, |delivery| &delivery.except).is_some() {}
        (wave.target, wave.member) = (0, 0);
        self.wave = Some(wave);
        None
    }

    /// The connections of a delivery, each once, if they are few.
    fn few(&self, delivery: &Delivery) -> Option<SmallVec<[u32; FEW]>> {
        let mut slots = SmallVec::new();
        for target in &delivery.to {
            let more = match target {
                Target::Room(room) => self
                    .rooms
                    .get(*room as usize)
                    .map_or(&[][..], Vec::as_slice),
                Target::One(key) => std::slice::from_ref(&key.slot),
            };
            if slots.len() + more.len() > FEW {
                return None;
            }
            slots.extend_from_slice(more);
        }
        slots.sort_unstable();
        slots.dedup();
        // Also leaves out who is gone, or in another shard.
        slots.retain(|slot| {
            self.entry_at(*slot).is_some_and(|entry| {
                self.is_meant(entry, &delivery.to) && !self.is_meant(entry, &delivery.except)
            })
        });
        Some(slots)
    }

    fn is_meant(&self, entry: &Entry, targets: &[Target]) -> bool {
        targets.iter().any(|target| match *target {
            Target::Room(room) => entry.rooms().iter().any(|(r, _)| *r == room),
            Target::One(key) => key == entry.key(),
        })
    }

    /// Settles the wave if it has to do with this room, whose members are about to change.
    pub(super) fn settle_room(&mut self, room: RoomKey, turn: &mut Turn) {
        let concerns = |wave: &Wave| {
            let Delivery { to, except, .. } = &*wave.delivery;
            to.iter().chain(except).any(|t| *t == Target::Room(room))
        };
        if self.wave.as_ref().is_some_and(concerns) {
            self.settle(turn);
        }
    }

    /// Settles the wave if it is for this connection, which is about to go.
    pub(super) fn settle_member(&mut self, key: Key, turn: &mut Turn) {
        let Some(wave) = &self.wave else { return };
        let is_meant = |entry: &Entry| self.is_meant(entry, &wave.delivery.to);
        if self.entry_at(key.slot).is_some_and(is_meant) {
            self.settle(turn);
        }
    }

    /// Appends what is left of the wave, so that its order against what follows is that of the queue.
    fn settle(&mut self, turn: &mut Turn) {
        let Some(mut wave) = self.wave.take() else {
            return;
        };
        while let Some(slot) = self.next(&mut wave, |delivery| &delivery.to) {
            self.append_all(slot, &wave.frames, wave.delivery.volatile, turn);
        }
    }

    /// One frame for one connection, behind the wave if that is still to come to it.
    pub(super) fn append(&mut self, key: Key, frame: &Arc<Frame>, volatile: bool, turn: &mut Turn) {
        if self.entry(key).is_some() {
            self.reach(key.slot, turn);
            self.append_to(key.slot, frame, volatile, turn);
        }
    }

    /// Brings the wave to a connection before its turn.
    pub(super) fn reach(&mut self, slot: u32, turn: &mut Turn) {
        let Some(wave) = &self.wave else { return };
        let is_meant = |entry| self.is_meant(entry, &wave.delivery.to);
        if !self.entry_at(slot).is_some_and(is_meant) || !self.stamp_once(slot) {
            return;
        }
        let Some(mut wave) = self.wave.take() else {
            return;
        };
        self.append_all(slot, &wave.frames, wave.delivery.volatile, turn);
        if !wave.has_begun {
            wave.early.push(slot);
        }
        self.wave = Some(wave);
    }

    fn append_all(&mut self, slot: u32, frames: &[Arc<Frame>], volatile: bool, turn: &mut Turn) {
        for frame in frames {
            self.append_to(slot, frame, volatile, turn);
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
        wave.has_begun = true;
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
                delivered += self.write_to(slot, &wave);
            }
        }
        self.stats.add_deliveries(delivered);
        if !is_over {
            self.wave = Some(wave);
        }
    }

    /// Brings what the next writes need into the cache, all at once: one after the other, each would wait for memory by itself.
    fn warm(&self, slots: &[u32]) {
        slots
            .iter()
            .filter_map(|slot| self.entry_at(*slot))
            .for_each(Entry::warm);
    }

    /// Brings the wave to a connection; says how many of its frames were taken.
    fn write_to(&mut self, slot: u32, wave: &Wave) -> usize {
        let Some(Some(entry)) = self.connections.get_mut(slot as usize) else {
            return 0;
        };
        if entry.is_ready() {
            entry.write_now(&wave.frames, wave.bytes(), &self.queue);
            return wave.frames.len();
        }
        let mut turn = Turn::default();
        self.append_all(slot, &wave.frames, wave.delivery.volatile, &mut turn);
        turn.appended
    }

    fn came_to(&mut self, slot: u32, flow: Flow) {
        match flow {
            Flow::Appended => self.touch(slot),
            Flow::Dropped => self.stats.add_volatile_dropped(),
            Flow::TooSlow => self.stats.add_slow_consumer(),
            Flow::Dead => {}
        }
    }

    /// The wave's next connection that it has not reached, which counts as reached now.
    fn next(&mut self, wave: &mut Wave, targets: fn(&Delivery) -> &[Target]) -> Option<u32> {
        loop {
            let slot = match *targets(&wave.delivery).get(wave.target)? {
                Target::Room(room) => {
                    let members = self.rooms.get(room as usize);
                    members.and_then(|members| members.get(wave.member).copied())
                }
                Target::One(key) => {
                    let is_here = key.shard == self.index && wave.member == 0;
                    (is_here && self.entry(key).is_some()).then_some(key.slot)
                }
            };
            let Some(slot) = slot else {
                wave.target += 1;
                wave.member = 0;
                continue;
            };
            wave.member += 1;
            if self.stamp_once(slot) {
                return Some(slot);
            }
        }
    }

    /// Marks a connection as reached by the wave; says whether it was not yet.
    fn stamp_once(&mut self, slot: u32) -> bool {
        let stamp = self.stamp;
        let entry = self.connections.get_mut(slot as usize);
        entry.is_some_and(|entry| entry.as_mut().is_some_and(|e| e.stamp_once(stamp)))
    }

    fn entry_at(&self, slot: u32) -> Option<&Entry> {
        self.connections.get(slot as usize)?.as_ref()
    }
}
