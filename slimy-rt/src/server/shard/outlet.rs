//! Where one connection's output goes, and what of it is pending.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;
use smallvec::SmallVec;
use tokio::net::tcp::OwnedWriteHalf;

use super::{
    super::{
        link::{Command, Key, LinkRef},
        lock,
    },
    Queue, RoomKey,
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

/// Frames for a writer that is not the shard.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    inner: Mutex<Letters>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Letters {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    sealed: bool,
    aborted: bool,
    /// How much of what was pushed since the last `take_control` is the reader's own.
    control: usize,
}

impl Mailbox {
    /// Takes the next frame.
    pub(crate) fn pop(&self) -> Option<Arc<Frame>> {
        let mut inner = lock(&self.inner);
        let frame = inner.frames.pop_front()?;
        inner.bytes -= frame.len();
        Some(frame)
    }

    /// Takes the next frame, but not the one that was sealed in.
    pub(crate) fn pop_before_last(&self) -> Option<Arc<Frame>> {
        let mut inner = lock(&self.inner);
        if inner.sealed && inner.frames.len() == 1 {
            return None;
        }
        let frame = inner.frames.pop_front()?;
        inner.bytes -= frame.len();
        Some(frame)
    }

    /// Whether nothing more will come.
    pub(crate) fn is_done(&self) -> bool {
        let inner = lock(&self.inner);
        inner.sealed && inner.frames.is_empty()
    }

    /// Whether the last frame is in.
    pub(crate) fn is_sealed(&self) -> bool {
        lock(&self.inner).sealed
    }

    /// Control bytes that have been taken, once no frame is left.
    pub(crate) fn take_control(&self) -> usize {
        let mut inner = lock(&self.inner);
        if inner.frames.is_empty() {
            std::mem::take(&mut inner.control)
        } else {
            0
        }
    }

    /// Adds what the reader itself answers; the reader bounds it.
    pub(super) fn push_control(&self, frame: Arc<Frame>) {
        {
            let mut inner = lock(&self.inner);
            inner.control += frame.len();
            if !inner.sealed {
                inner.bytes += frame.len();
                inner.frames.push_back(frame);
            }
        }
        self.waker.wake();
    }

    /// Whether there is nothing to take.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.inner).frames.is_empty()
    }

    /// Whom to wake when a frame or the end comes.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Whether nobody wants the frames any more.
    pub(crate) fn is_aborted(&self) -> bool {
        lock(&self.inner).aborted
    }

    /// Drops the frames and ends the writer.
    pub(crate) fn abort(&self) {
        {
            let mut inner = lock(&self.inner);
            *inner = Letters {
                sealed: true,
                aborted: true,
                ..Letters::default()
            };
        }
        self.waker.wake();
    }

    /// Adds a frame unless that would exceed `budget`.
    pub(crate) fn push(&self, frame: &Arc<Frame>, budget: usize) -> bool {
        {
            let mut inner = lock(&self.inner);
            if inner.bytes + frame.len() > budget {
                return false;
            }
            if inner.sealed {
                return true;
            }
            inner.bytes += frame.len();
            inner.frames.push_back(Arc::clone(frame));
        }
        self.waker.wake();
        true
    }

    fn seal(&self, last: Option<Arc<Frame>>) {
        {
            let mut inner = lock(&self.inner);
            if !inner.sealed {
                inner.bytes += last.as_ref().map_or(0, |f| f.len());
                inner.frames.extend(last);
            }
            inner.sealed = true;
        }
        self.waker.wake();
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Appended,
    /// A volatile frame for a connection whose budget is used up.
    Dropped,
    /// An ordered one: the connection is closed.
    TooSlow,
    /// The connection takes nothing any more.
    Dead,
}

/// One connection in a shard.
#[derive(Debug)]
pub(super) struct Entry {
    key: Key,
    pub(super) stamp: u64,
    outlet: Outlet,
    pending: VecDeque<Arc<Frame>>,
    /// Bytes of `pending` that are not written.
    unwritten: usize,
    /// Bytes of the first pending frame that are written.
    written_of_first: usize,
    dirty: bool,
    /// The socket took no more; only then does the budget count.
    blocked: bool,
    closing: bool,
    /// The room's number, and this connection's place in its list.
    pub(super) rooms: SmallVec<[(RoomKey, u32); 4]>,
    link: LinkRef,
    /// Made when the socket blocks for the first time.
    writable: Option<Waker>,
    /// Control bytes at the end of `pending`, given back to the reader when written.
    control: usize,
}

impl Entry {
    pub(super) fn new(key: Key, link: LinkRef, outlet: Outlet) -> Self {
        Self {
            key,
            stamp: 0,
            outlet,
            pending: VecDeque::new(),
            unwritten: 0,
            written_of_first: 0,
            dirty: false,
            blocked: false,
            closing: false,
            rooms: SmallVec::new(),
            link,
            writable: None,
            control: 0,
        }
    }

    pub(super) fn generation(&self) -> u32 {
        self.key.generation
    }

    pub(super) fn unwritten(&self) -> usize {
        self.unwritten
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub(super) fn mark_dirty(&mut self) -> bool {
        !std::mem::replace(&mut self.dirty, true)
    }

    pub(super) fn unblock(&mut self) {
        self.blocked = false;
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
            Outlet::Tcp(_) => !self.blocked || self.unwritten + frame.len() <= budget,
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
                self.control += frame.len();
                self.push(frame);
            }
            Outlet::Mailbox(mailbox) => mailbox.push_control(frame),
            Outlet::Tcp(_) | Outlet::Nowhere => self.link.release_control(frame.len()),
        }
    }

    fn push(&mut self, frame: Arc<Frame>) {
        self.unwritten += frame.len();
        self.pending.push_back(frame);
    }

    /// Sends what is left in the old mailbox, and everything later, to the new outlet.
    pub(super) fn switch(&mut self, outlet: Outlet) {
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
            Outlet::Nowhere => self.link.set_flushed(),
        }
    }

    /// Writes until nothing is pending or the socket takes no more.
    pub(super) fn write(&mut self, queue: &Arc<Queue>) {
        self.dirty = false;
        if self.blocked {
            return;
        }
        loop {
            let Outlet::Tcp(socket) = &self.outlet else {
                return;
            };
            if self.pending.is_empty() {
                return self.drained();
            }
            match write_some(socket, &self.pending, self.written_of_first) {
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
        let key = self.key;
        let waker = self.writable.get_or_insert_with(|| {
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
                false
            }
        }
    }

    fn advance(&mut self, mut written: usize) {
        self.unwritten -= written;
        while let Some(first) = self.pending.front() {
            let left = first.len() - self.written_of_first;
            if written < left {
                self.written_of_first += written;
                return;
            }
            written -= left;
            self.written_of_first = 0;
            self.pending.pop_front();
        }
    }

    fn drained(&mut self) {
        // A burst's room is given back, or every connection would keep its largest.
        if self.pending.capacity() > MAX_SLICES {
            self.pending = VecDeque::new();
        }
        if self.control > 0 {
            self.link.release_control(std::mem::take(&mut self.control));
        }
        if self.closing {
            // Dropping the half shuts the writing side down.
            self.outlet = Outlet::Nowhere;
            self.link.set_flushed();
        }
    }

    fn fail(&mut self, slow: bool) {
        if let Outlet::Mailbox(mailbox) = &self.outlet {
            mailbox.abort();
        }
        self.outlet = Outlet::Nowhere;
        self.pending = VecDeque::new();
        self.unwritten = 0;
        self.written_of_first = 0;
        self.link.send(Command::WriteFailed { slow });
        self.link.set_flushed();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Outlet::Mailbox(mailbox) = &self.outlet {
            mailbox.abort();
        }
    }
}

fn write_some(
    socket: &OwnedWriteHalf,
    pending: &VecDeque<Arc<Frame>>,
    written_of_first: usize,
) -> io::Result<usize> {
    if let [frame] = pending.as_slices().0
        && pending.len() == 1
    {
        return socket.try_write(&frame.websocket()[written_of_first..]);
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
