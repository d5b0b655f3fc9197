//! A shard's queue of jobs, filled from any thread.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
};

use super::{super::lock, Job, Key};

/// Above this many waiting jobs, connections stop reading. It bounds the queue together with the number of connections, since
/// each has one event in work at a time.
const CONGESTED: usize = 8_192;

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    /// Jobs that were taken and not applied yet, and those in the queue.
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct Inner {
    jobs: VecDeque<Job>,
    writable: Vec<Key>,
    /// The shard's task, when it sleeps.
    shard: Option<Waker>,
    /// Connections that wait for the queue to get shorter, and how often such have been let go on.
    readers: Vec<Waker>,
    releases: u64,
    closed: bool,
}

impl Queue {
    /// Adds jobs, in order.
    pub(crate) fn push(&self, jobs: impl IntoIterator<Item = Job>) {
        let waker = {
            let mut inner = lock(&self.inner);
            let before = inner.jobs.len();
            inner.jobs.extend(jobs);
            self.waiting
                .fetch_add(inner.jobs.len() - before, Ordering::Relaxed);
            inner.shard.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Says that a connection's socket takes bytes again.
    pub(super) fn push_writable(&self, key: Key) {
        let waker = {
            let mut inner = lock(&self.inner);
            inner.writable.push(key);
            inner.shard.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends the shard once the queue is empty.
    pub(crate) fn close(&self) {
        let waker = {
            let mut inner = lock(&self.inner);
            inner.closed = true;
            inner.shard.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until there is something; `false` when there never will be.
    pub(super) async fn wait(&self) -> bool {
        poll_fn(|cx| {
            let mut inner = lock(&self.inner);
            if !inner.jobs.is_empty() || !inner.writable.is_empty() {
                return Poll::Ready(true);
            }
            if inner.closed {
                return Poll::Ready(false);
            }
            inner.shard = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Moves everything behind what `jobs` and `writable` hold already.
    pub(super) fn take(&self, jobs: &mut VecDeque<Job>, writable: &mut Vec<Key>) {
        let mut inner = lock(&self.inner);
        if jobs.is_empty() {
            std::mem::swap(jobs, &mut inner.jobs);
        } else {
            jobs.append(&mut inner.jobs);
        }
        if writable.is_empty() {
            std::mem::swap(writable, &mut inner.writable);
        } else {
            writable.append(&mut inner.writable);
        }
    }

    /// Notes that all but `left` of the taken jobs have been applied.
    pub(super) fn applied(&self, left: usize) {
        let readers = {
            let mut inner = lock(&self.inner);
            let waiting = left + inner.jobs.len();
            self.waiting.store(waiting, Ordering::Relaxed);
            if waiting > CONGESTED / 2 || inner.readers.is_empty() {
                return;
            }
            inner.releases += 1;
            std::mem::take(&mut inner.readers)
        };
        readers.into_iter().for_each(Waker::wake);
    }

    /// Whether a connection should stop reading; if so, `waker` is woken when it may go on. `waits` is the connection's own note, so
    /// that it waits once however often it asks.
    pub(crate) fn is_congested(&self, waker: &Waker, waits: &mut Option<u64>) -> bool {
        if self.waiting.load(Ordering::Relaxed) < CONGESTED {
            return false;
        }
        let mut inner = lock(&self.inner);
        // Counted anew under the lock, or the waker could be left behind by a shard that is done.
        if self.waiting.load(Ordering::Relaxed) < CONGESTED {
            return false;
        }
        if *waits != Some(inner.releases) {
            *waits = Some(inner.releases);
            inner.readers.push(waker.clone());
        }
        true
    }
}
