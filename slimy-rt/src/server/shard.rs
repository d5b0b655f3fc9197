//! A task that owns its connections' pending output and room members.
//!
//! Everything that changes either is a [`Job`] in the shard's one queue, so what a program says in order happens in order. A turn applies waiting
//! jobs, which append shared frames, and then writes each touched connection once with all that is pending for it. A broadcast that nothing
//! else waits beside is written straight to its members instead.

mod delivery;
mod entry;
mod mailbox;
mod membership;
mod queue;

use std::{collections::VecDeque, sync::Arc};

use smallvec::SmallVec;

use self::{delivery::Wave, entry::Entry};
pub(crate) use self::{entry::Outlet, mailbox::Mailbox, queue::Queue};
use super::{
    link::{Key, LinkRef},
    stats::Stats,
};
use crate::protocol::Frame;

/// How many connections are written before waiting jobs are looked at again and other tasks may run.
const WRITES_PER_TURN: usize = 64;
/// How many frames are appended in one turn before writing begins.
const APPENDS_PER_TURN: usize = 16_384;
/// How many bytes one connection may collect in a turn before writing begins.
const BYTES_PER_TURN: usize = 256 * 1024;

/// A room's number in every shard.
pub(crate) type RoomKey = u32;

/// A change of what a shard owns.
#[derive(Debug)]
pub(crate) enum Job {
    /// A connection came.
    Register {
        key: Key,
        link: LinkRef,
        outlet: Outlet,
    },
    /// A connection's output goes elsewhere from now on: an upgrade.
    Switch { key: Key, outlet: Outlet },
    /// One frame for one connection.
    Send {
        key: Key,
        frame: Arc<Frame>,
        volatile: bool,
    },
    /// A reader's own answer (pong or close), which has a budget of its own.
    Control { key: Key, frame: Arc<Frame> },
    /// A heartbeat's ping, which needs no room in the budget: there is one at a time.
    Ping { key: Key, frame: Arc<Frame> },
    /// One frame for the members of rooms.
    Broadcast(Arc<Delivery>),
    /// A connection joins a room.
    Join { key: Key, room: RoomKey },
    /// A connection leaves a room.
    Leave { key: Key, room: RoomKey },
    /// Write what is pending, then `last`, then shut the writing side down.
    Close { key: Key, last: Option<Arc<Frame>> },
    /// Forget the connection.
    Remove { key: Key },
}

impl Job {
    /// How many bytes it keeps while it waits.
    fn bytes(&self) -> usize {
        match self {
            Self::Send { frame, .. } | Self::Control { frame, .. } => frame.len(),
            Self::Broadcast(delivery) => delivery.frame.len(),
            _ => 0,
        }
    }
}

/// One frame for a set of connections.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) to: SmallVec<[Target; 2]>,
    pub(crate) except: SmallVec<[Target; 1]>,
    pub(crate) frame: Arc<Frame>,
    pub(crate) volatile: bool,
}

/// Some connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The members of a room.
    Room(RoomKey),
    /// One connection.
    One(Key),
}

/// A shard's state, owned by its task.
#[derive(Debug)]
pub(crate) struct Shard {
    index: u16,
    queue: Arc<Queue>,
    stats: Arc<Stats>,
    connections: Vec<Option<Entry>>,
    rooms: Vec<Vec<u32>>,
    dirty: VecDeque<u32>,
    /// A broadcast that is being written.
    wave: Option<Wave>,
    /// Marks connections that a delivery has reached already, or must not reach.
    stamp: u64,
    /// Bytes that a connection may have pending after its socket took no more.
    budget: usize,
}

impl Shard {
    pub(crate) fn new(index: u16, queue: Arc<Queue>, stats: Arc<Stats>, budget: usize) -> Self {
        Self {
            index,
            queue,
            stats,
            connections: Vec::new(),
            rooms: Vec::new(),
            dirty: VecDeque::new(),
            wave: None,
            stamp: 0,
            budget,
        }
    }

    /// Runs until the queue is closed and empty.
    pub(crate) async fn run(mut self) {
        let (mut jobs, mut writable) = (VecDeque::new(), Vec::new());
        while self.queue.wait().await {
            loop {
                self.queue.take(&mut jobs, &mut writable);
                for key in writable.drain(..) {
                    self.became_writable(key);
                }
                self.apply(&mut jobs);
                self.write_dirty();
                self.write_wave();
                if jobs.is_empty() && self.dirty.is_empty() && self.wave.is_none() {
                    break;
                }
                // `try_write` spends no scheduler budget by itself, so that others would starve.
                tokio::task::yield_now().await;
            }
            tokio::task::yield_now().await;
        }
    }

    fn apply(&mut self, jobs: &mut VecDeque<Job>) {
        let mut turn = Turn::default();
        let mut bytes = 0;
        while turn.appended < APPENDS_PER_TURN && !turn.full {
            let Some(job) = jobs.pop_front() else { break };
            let its_bytes = job.bytes();
            if let Some(waiting) = self.apply_one(job, &mut turn) {
                jobs.push_front(waiting);
                break;
            }
            bytes += its_bytes;
        }
        self.queue.applied(jobs.len(), bytes);
        self.stats.add_deliveries(turn.appended);
    }

    /// Gives the job back when it has to wait for the wave.
    fn apply_one(&mut self, job: Job, turn: &mut Turn) -> Option<Job> {
        match job {
            Job::Register { key, link, outlet } => {
                let slot = key.slot as usize;
                if self.connections.len() <= slot {
                    self.connections.resize_with(slot + 1, || None);
                }
                self.connections[slot] = Some(Entry::new(key, link, outlet));
            }
            Job::Switch { key, outlet } => {
                if let Some(entry) = self.entry(key) {
                    entry.switch(outlet);
                    self.touch(key.slot);
                }
            }
            Job::Send {
                key,
                frame,
                volatile,
            } => self.append(key, &frame, volatile, turn),
            Job::Control { key, frame } => {
                if let Some(entry) = self.entry(key) {
                    entry.push_control(frame);
                    self.touch(key.slot);
                }
            }
            Job::Ping { key, frame } => {
                if let Some(entry) = self.entry(key) {
                    entry.push_ping(frame);
                    self.touch(key.slot);
                }
            }
            Job::Broadcast(delivery) => {
                return self.broadcast(delivery, turn).map(Job::Broadcast);
            }
            Job::Join { key, room } => {
                self.settle_room(room, turn);
                self.join(key, room);
            }
            Job::Leave { key, room } => {
                self.settle_room(room, turn);
                self.leave(key, room);
            }
            Job::Close { key, last } => {
                if self.entry(key).is_some() {
                    self.reach(key.slot, turn);
                }
                if let Some(entry) = self.entry(key) {
                    entry.close(last);
                    self.touch(key.slot);
                }
            }
            Job::Remove { key } => {
                self.settle_member(key, turn);
                self.remove(key);
            }
        }
        None
    }

    fn entry(&mut self, key: Key) -> Option<&mut Entry> {
        let entry = self.connections.get_mut(key.slot as usize)?.as_mut()?;
        (entry.generation() == key.generation).then_some(entry)
    }

    /// Puts a connection on the list of those to write, once.
    fn touch(&mut self, slot: u32) {
        if let Some(Some(entry)) = self.connections.get_mut(slot as usize)
            && entry.mark_dirty()
        {
            self.dirty.push_back(slot);
        }
    }

    fn became_writable(&mut self, key: Key) {
        if let Some(entry) = self.entry(key) {
            entry.unblock();
            self.touch(key.slot);
        }
    }
}

/// What a turn has appended so far.
#[derive(Default)]
struct Turn {
    appended: usize,
    full: bool,
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
