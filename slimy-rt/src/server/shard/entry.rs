//! One connection in a shard: where its output goes, and what of it is pending.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use smallvec::SmallVec;
use tokio::net::tcp::OwnedWriteHalf;

use super::{
    super::link::{Command, Key, LinkRef},
    Mailbox, Queue, RoomKey,
};
use crate::protocol::Frame;

/// How many frames one system call writes at the most.
const MAX_SLICES: usize = 64;

/// Where a connection's output goes.
#[derive(Debug)]
pub(crate) enum Outlet {
    /// Straight into the socket, as WebSocket frames.
    Tcp(OwnedWriteHalf),
    /// To whoever writes for this connection: a polling client's next GET, or the task that owns a TLS stream.
    Mailbox(Arc<Mailbox>),
    /// Nowhere: the connection is broken, or closed for writing.
    Nowhere,
}

impl Outlet {
    fn mailbox(&self) -> Option<Arc<Mailbox>> {
        match self {
            Self::Mailbox(mailbox) => Some(Arc::clone(mailbox)),
            Self::Tcp(_) | Self::Nowhere => None,
        }
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// It waits for its turn.
    Appended,
    /// A volatile frame for a connection whose budget is used up.
    Dropped,
    /// An ordered one: the connection is closed.
    TooSlow,
    /// The connection takes nothing any more.
    Dead,
}

/// One connection in a shard.
///
/// A broadcast touches this of each member and nothing else, as long as the sockets take everything at once: it is kept small, since
/// between two members the kernel has used the cache for itself.
#[derive(Debug)]
pub(super) struct Entry {
    outlet: Outlet,
    /// The last delivery that has reached this connection, or must not.
    stamp: u64,
    generation: u32,
    /// Something is pending: what comes next has to wait behind it.
    behind: bool,
    /// It is on the list of those to write.
    dirty: bool,
    /// The socket took no more; only then does the budget count.
    blocked: bool,
    /// The link has been told of bytes that are not written.
    was_blocked: bool,
    closing: bool,
    rest: Box<Rest>,
}

/// What is needed less often.
#[derive(Debug)]
struct Rest {
    key: Key,
    link: LinkRef,
    /// The room's number, and this connection's place in its list.
    rooms: SmallVec<[(RoomKey, u32); 4]>,
    pending: VecDeque<Arc<Frame>>,
    /// Bytes of `pending` that are not written.
    unwritten: usize,
    /// Bytes of the first pending frame that are written.
    written_of_first: usize,
    /// Control bytes at the end of `pending`, given back to the reader when written.
    control: usize,
    /// Made when the socket blocks for the first time.
    writable: Option<Waker>,
}

impl Entry {
    pub(super) fn new(key: Key, link: LinkRef, outlet: Outlet) -> Self {
        link.set_mailbox(outlet.mailbox());
        Self {
            outlet,
            stamp: 0,
            generation: key.generation,
            behind: false,
            dirty: false,
            blocked: false,
            was_blocked: false,
            closing: false,
            rest: Box::new(Rest {
                key,
                link,
                rooms: SmallVec::new(),
                pending: VecDeque::new(),
                unwritten: 0,
                written_of_first: 0,
                control: 0,
                writable: None,
            }),
        }
    }

    pub(super) fn key(&self) -> Key {
        self.rest.key
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    pub(super) fn rooms(&self) -> &[(RoomKey, u32)] {
        &self.rest.rooms
    }

    pub(super) fn rooms_mut(&mut self) -> &mut SmallVec<[(RoomKey, u32); 4]> {
        &mut self.rest.rooms
    }

    /// Bytes that wait although the socket may take them.
    pub(super) fn collected(&self) -> usize {
        if self.blocked { 0 } else { self.rest.unwritten }
    }

    pub(super) fn mark_dirty(&mut self) -> bool {
        !std::mem::replace(&mut self.dirty, true)
    }

    /// Marks it as reached by a delivery; says whether it was not yet.
    pub(super) fn stamp_once(&mut self, stamp: u64) -> bool {
        std::mem::replace(&mut self.stamp, stamp) != stamp
    }

    pub(super) fn unblock(&mut self) {
        self.blocked = false;
    }

    /// Has what a write needs brought into the cache. It looks at nothing that has to be right.
    pub(super) fn warm(&self) {
        if let Outlet::Tcp(socket) = &self.outlet {
            std::hint::black_box(descriptor(socket));
        }
        if self.behind {
            std::hint::black_box(self.rest.pending.front().map(Arc::as_ptr));
        }
    }

    /// Whether a frame may go straight into the socket: nothing is before it.
    pub(super) fn is_ready(&self) -> bool {
        !self.behind && !self.closing && matches!(self.outlet, Outlet::Tcp(_))
    }

    /// Writes to one that is [ready](Self::is_ready). `bytes` are those of the frames, of which only what the socket does not take becomes
    /// pending.
    pub(super) fn write_now(&mut self, frames: &[Arc<Frame>], bytes: &[u8], queue: &Arc<Queue>) {
        let Outlet::Tcp(socket) = &self.outlet else {
            return;
        };
        // Whatever the error is, writing again finds it.
        let written = send(socket, bytes).unwrap_or(0);
        if written < bytes.len() {
            for frame in frames {
                self.push(Arc::clone(frame));
            }
            self.advance(written);
            self.write(queue);
        }
    }

    pub(super) fn append(&mut self, frame: &Arc<Frame>, volatile: bool, budget: usize) -> Flow {
        if self.closing {
            return Flow::Dead;
        }
        let fits = match &self.outlet {
            Outlet::Nowhere => return Flow::Dead,
            Outlet::Mailbox(mailbox) => {
                if mailbox.push(frame, budget) {
                    return Flow::Appended;
                }
                false
            }
            Outlet::Tcp(_) => !self.blocked || self.rest.unwritten + frame.len() <= budget,
        };
        if fits {
            self.push(Arc::clone(frame));
            Flow::Appended
        } else if volatile {
            Flow::Dropped
        } else {
            self.fail(true);
            Flow::TooSlow
        }
    }

    /// Appends what the reader itself answers; the reader bounds it.
    pub(super) fn push_control(&mut self, frame: Arc<Frame>) {
        match &self.outlet {
            Outlet::Tcp(_) if !self.closing => {
                self.rest.control += frame.len();
                self.push(frame);
            }
            Outlet::Mailbox(mailbox) => mailbox.push_control(frame),
            Outlet::Tcp(_) | Outlet::Nowhere => self.rest.link.release_control(frame.len()),
        }
    }

    /// Appends a heartbeat's ping, whatever is pending.
    pub(super) fn push_ping(&mut self, frame: Arc<Frame>) {
        match &self.outlet {
            Outlet::Tcp(_) if !self.closing => self.push(frame),
            Outlet::Mailbox(mailbox) => {
                mailbox.push(&frame, usize::MAX);
            }
            Outlet::Tcp(_) | Outlet::Nowhere => {}
        }
    }

    fn push(&mut self, frame: Arc<Frame>) {
        self.behind = true;
        self.rest.unwritten += frame.len();
        self.rest.pending.push_back(frame);
        if self.blocked {
            self.rest.link.set_unwritten(self.rest.unwritten);
        }
    }

    /// Sends what is left in the old mailbox, and everything later, to the new outlet.
    pub(super) fn switch(&mut self, outlet: Outlet) {
        if matches!(self.outlet, Outlet::Nowhere) {
            // Given up, and its task is told: what it still got would come behind a gap.
            if let Outlet::Mailbox(new) = &outlet {
                new.abort();
            }
            return;
        }
        self.rest.link.set_mailbox(outlet.mailbox());
        let old = std::mem::replace(&mut self.outlet, outlet);
        let Outlet::Mailbox(old) = old else { return };
        while let Some(frame) = old.pop() {
            match &self.outlet {
                Outlet::Mailbox(new) => {
                    new.push(&frame, usize::MAX);
                }
                Outlet::Tcp(_) => self.push(frame),
                Outlet::Nowhere => {}
            }
        }
        if self.closing {
            self.closing = false;
            self.close(None);
        }
    }

    pub(super) fn close(&mut self, last: Option<Arc<Frame>>) {
        if std::mem::replace(&mut self.closing, true) {
            return;
        }
        match &self.outlet {
            Outlet::Tcp(_) => {
                if let Some(last) = last {
                    self.push(last);
                }
            }
            Outlet::Mailbox(mailbox) => mailbox.seal(last),
            Outlet::Nowhere => self.rest.link.set_flushed(),
        }
    }

    /// Writes what is pending for one that is on the list of those to write.
    pub(super) fn write_dirty(&mut self, queue: &Arc<Queue>) {
        self.dirty = false;
        if !self.blocked {
            self.write(queue);
        }
    }

    /// Writes until nothing is pending or the socket takes no more.
    fn write(&mut self, queue: &Arc<Queue>) {
        loop {
            let Outlet::Tcp(socket) = &self.outlet else {
                return;
            };
            if self.rest.pending.is_empty() {
                return self.drained();
            }
            match write_some(socket, &self.rest.pending, self.rest.written_of_first) {
                Ok(0) => return self.fail(false),
                Ok(written) => self.advance(written),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if !self.register(queue) {
                        return;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.fail(false),
            }
        }
    }

    /// Asks to be told when the socket takes bytes again; `true` when it does already.
    fn register(&mut self, queue: &Arc<Queue>) -> bool {
        let Outlet::Tcp(socket) = &self.outlet else {
            return false;
        };
        let key = self.rest.key;
        let waker = self.rest.writable.get_or_insert_with(|| {
            Arc::new(Writable {
                queue: Arc::clone(queue),
                key,
            })
            .into()
        });
        match socket
            .as_ref()
            .poll_write_ready(&mut Context::from_waker(waker))
        {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(_)) => {
                self.fail(false);
                false
            }
            Poll::Pending => {
                self.blocked = true;
                self.was_blocked = true;
                self.rest.link.set_unwritten(self.rest.unwritten);
                false
            }
        }
    }

    fn advance(&mut self, mut written: usize) {
        let rest = &mut *self.rest;
        rest.unwritten -= written;
        while let Some(first) = rest.pending.front() {
            let left = first.len() - rest.written_of_first;
            if written < left {
                rest.written_of_first += written;
                return;
            }
            written -= left;
            rest.written_of_first = 0;
            rest.pending.pop_front();
        }
    }

    fn drained(&mut self) {
        self.behind = false;
        if std::mem::take(&mut self.was_blocked) {
            self.rest.link.set_unwritten(0);
        }
        let rest = &mut *self.rest;
        // A burst's room is given back, or every connection would keep its largest.
        if rest.pending.capacity() > MAX_SLICES {
            rest.pending = VecDeque::new();
        }
        if rest.control > 0 {
            rest.link.release_control(std::mem::take(&mut rest.control));
        }
        if self.closing {
            // Dropping the half shuts the writing side down.
            self.outlet = Outlet::Nowhere;
            self.rest.link.set_flushed();
        }
    }

    fn fail(&mut self, slow: bool) {
        if let Outlet::Mailbox(mailbox) = &self.outlet {
            mailbox.abort();
        }
        self.outlet = Outlet::Nowhere;
        self.behind = false;
        let rest = &mut *self.rest;
        rest.pending = VecDeque::new();
        rest.unwritten = 0;
        rest.written_of_first = 0;
        rest.link.set_unwritten(0);
        rest.link.set_mailbox(None);
        rest.link.send(Command::WriteFailed { slow });
        rest.link.set_flushed();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Outlet::Mailbox(mailbox) = &self.outlet {
            mailbox.abort();
        }
    }
}

#[cfg(unix)]
fn descriptor(socket: &OwnedWriteHalf) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(socket.as_ref())
}

#[cfg(not(unix))]
fn descriptor(_: &OwnedWriteHalf) {}

/// Sends without a look at tokio's own note of whether the socket takes bytes: that note is another place in memory for each connection,
/// and nearly every socket does.
#[cfg(target_os = "linux")]
fn send(socket: &OwnedWriteHalf, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(
        socket.as_ref(),
        bytes,
        rustix::net::SendFlags::NOSIGNAL,
    )?)
}

#[cfg(not(target_os = "linux"))]
fn send(socket: &OwnedWriteHalf, bytes: &[u8]) -> io::Result<usize> {
    socket.try_write(bytes)
}

fn write_some(
    socket: &OwnedWriteHalf,
    pending: &VecDeque<Arc<Frame>>,
    written_of_first: usize,
) -> io::Result<usize> {
    if let [frame] = pending.as_slices().0
        && pending.len() == 1
    {
        let bytes = &frame.websocket()[written_of_first..];
        return match send(socket, bytes) {
            // Once more in tokio's eyes, which has to know before it can tell when that is over.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => socket.try_write(bytes),
            sent => sent,
        };
    }
    let mut slices: SmallVec<[IoSlice<'_>; MAX_SLICES]> = pending
        .iter()
        .take(MAX_SLICES)
        .map(|frame| IoSlice::new(frame.websocket()))
        .collect();
    if let Some(first) = slices.first_mut() {
        first.advance(written_of_first);
    }
    socket.try_write_vectored(&slices)
}

/// Puts a connection whose socket takes bytes again into its shard's queue.
struct Writable {
    queue: Arc<Queue>,
    key: Key,
}

impl Wake for Writable {
    fn wake(self: Arc<Self>) {
        self.queue.push_writable(self.key);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.queue.push_writable(self.key);
    }
}
