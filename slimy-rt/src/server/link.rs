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
    shard::Mailbox,
    wheel::{Timed, Timer},
};
use crate::{
    SocketId,
    protocol::{DisconnectReason, session::Transport},
};

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
    /// What the socket's user may see is another now.
    AccessChanged(SocketId),
    /// Close the connection.
    Close(DisconnectReason),
    /// The shard could not write any more: the peer is gone, or reads too slowly.
    WriteFailed { slow: bool },
}

#[derive(Debug, Default)]
struct Commands {
    waiting: VecDeque<Command>,
    /// The task has ended: nobody would look at another.
    closed: bool,
}

/// Shared between a connection's task, its shard, the wheel and its sockets.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) key: Key,
    commands: Mutex<Commands>,
    waker: AtomicWaker,
    timer: Timer,
    /// Bytes that the WebSocket's reader queued by itself (pongs, closes) and the shard has not written.
    control_bytes: AtomicUsize,
    /// All output has been written and the writing side shut down.
    flushed: AtomicBool,
    payload_bound: AtomicUsize,
    /// Bytes that the socket did not take; what waits in a mailbox is counted there.
    unwritten: AtomicUsize,
    mailbox: Mutex<Option<Arc<Mailbox>>>,
    is_websocket: AtomicBool,
}

impl Link {
    pub(crate) fn new(key: Key, payload_bound: usize) -> Self {
        Self {
            key,
            commands: Mutex::default(),
            waker: AtomicWaker::new(),
            timer: Timer::new(),
            control_bytes: AtomicUsize::new(0),
            flushed: AtomicBool::new(false),
            payload_bound: AtomicUsize::new(payload_bound),
            unwritten: AtomicUsize::new(0),
            mailbox: Mutex::default(),
            is_websocket: AtomicBool::new(false),
        }
    }

    /// Hands a command over; `false` when the connection's task has ended. A command that is not looked at any more is dropped, and so is
    /// whatever answers it.
    pub(crate) fn send(&self, command: Command) -> bool {
        {
            let mut commands = lock(&self.commands);
            if commands.closed {
                return false;
            }
            commands.waiting.push_back(command);
        }
        self.waker.wake();
        true
    }

    /// The next command; for the connection's task only.
    pub(crate) fn receive(&self) -> Option<Command> {
        lock(&self.commands).waiting.pop_front()
    }

    /// Takes no more commands, and drops those that wait. They may hold this very link, so it must not be left to its own end.
    pub(crate) fn close(&self) {
        let waiting = {
            let mut commands = lock(&self.commands);
            commands.closed = true;
            std::mem::take(&mut commands.waiting)
        };
        drop(waiting);
    }

    /// How large a polling client's payload may be now.
    pub(crate) fn payload_bound(&self) -> usize {
        self.payload_bound.load(Ordering::Relaxed)
    }

    pub(crate) fn set_payload_bound(&self, bytes: usize) {
        self.payload_bound.store(bytes, Ordering::Relaxed);
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

    /// Bytes of output that wait for the client.
    pub(crate) fn pending_bytes(&self) -> usize {
        let mailbox = lock(&self.mailbox);
        let waiting = mailbox.as_ref().map_or(0, |mailbox| mailbox.bytes());
        self.unwritten.load(Ordering::Relaxed) + waiting
    }

    pub(crate) fn set_unwritten(&self, bytes: usize) {
        self.unwritten.store(bytes, Ordering::Relaxed);
    }

    /// Where output waits that the shard does not write.
    pub(crate) fn set_mailbox(&self, mailbox: Option<Arc<Mailbox>>) {
        *lock(&self.mailbox) = mailbox;
    }

    pub(crate) fn transport(&self) -> Transport {
        match self.is_websocket.load(Ordering::Relaxed) {
            true => Transport::WebSocket,
            false => Transport::Polling,
        }
    }

    pub(crate) fn set_transport(&self, transport: Transport) {
        let is_websocket = transport == Transport::WebSocket;
        self.is_websocket.store(is_websocket, Ordering::Relaxed);
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
