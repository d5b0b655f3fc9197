//! Frames for a writer that is not the shard: a polling client's next GET, or the task that owns a TLS stream.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    task::Waker,
};

use futures_util::task::AtomicWaker;

use super::super::lock;
use crate::protocol::Frame;

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

    /// Bytes that wait to be taken.
    pub(crate) fn bytes(&self) -> usize {
        lock(&self.inner).bytes
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

    pub(super) fn seal(&self, last: Option<Arc<Frame>>) {
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
