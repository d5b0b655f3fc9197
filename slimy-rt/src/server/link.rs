//! What others hold of a connection: where to find its output, and how to reach its task.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Waker,
};

use futures_util::task::AtomicWaker;

use super::{
    lock,
    polling::Ingress,
    wheel::{Timed, Timer},
};
use crate::{SocketId, protocol::DisconnectReason};

/// A connection's place in its shard. A slot is used again; its generation tells the uses apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) shard: u16,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// What others ask of a connection's task.
#[derive(Debug)]
pub(crate) enum Command {
    /// A request of a polling client, or its upgrade.
    Ingress(Ingress),
    /// Take one socket out of its namespace; `notice` is a `session:ended` event's reason.
    EndSocket {
        socket: SocketId,
        notice: Option<&'static str>,
    },
    /// Close the connection.
    Close(DisconnectReason),
    /// The shard could not write any more: the peer is gone, or reads too slowly.
    WriteFailed { slow: bool },
}

/// Shared between a connection's task, its shard, the wheel and its sockets.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) key: Key,
    commands: Mutex<VecDeque<Command>>,
    waker: AtomicWaker,
    timer: Timer,
    /// Bytes that the WebSocket's reader queued by itself (pongs, closes) and the shard has not written.
    control_bytes: AtomicUsize,
    /// All output has been written and the writing side shut down.
    flushed: AtomicBool,
}

impl Link {
    pub(crate) fn new(key: Key) -> Self {
        Self {
            key,
            commands: Mutex::default(),
            waker: AtomicWaker::new(),
            timer: Timer::new(),
            control_bytes: AtomicUsize::new(0),
            flushed: AtomicBool::new(false),
        }
    }

    pub(crate) fn send(&self, command: Command) {
        lock(&self.commands).push_back(command);
        self.waker.wake();
    }

    /// The next command; for the connection's task only.
    pub(crate) fn receive(&self) -> Option<Command> {
        lock(&self.commands).pop_front()
    }

    /// Whom to wake; for the connection's task only.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Counts control bytes unless `bound` is reached.
    pub(crate) fn reserve_control(&self, bytes: usize, bound: usize) -> bool {
        // Only the connection's task adds, so that check and addition need not be one step.
        let free = self.control_bytes.load(Ordering::Acquire) + bytes <= bound;
        if free {
            self.control_bytes.fetch_add(bytes, Ordering::AcqRel);
        }
        free
    }

    pub(crate) fn release_control(&self, bytes: usize) {
        self.control_bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.waker.wake();
    }

    pub(crate) fn set_flushed(&self) {
        self.flushed.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(crate) fn is_flushed(&self) -> bool {
        self.flushed.load(Ordering::Acquire)
    }
}

impl Timed for Link {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn expired(&self) {
        self.waker.wake();
    }
}

/// A shared reference to a connection.
pub(crate) type LinkRef = Arc<Link>;
