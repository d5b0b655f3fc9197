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
/// The same for the bytes of the frames that wait.
const CONGESTED_BYTES: usize = 64 * 1024 * 1024;

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    /// Jobs that were taken and not applied yet, and those in the queue.
    waiting: AtomicUsize,
    /// The bytes of their frames.
    waiting_bytes: AtomicUsize,
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
            let (before, mut bytes) = (inner.jobs.len(), 0);
            inner
                .jobs
                .extend(jobs.into_iter().inspect(|job| bytes += job.bytes()));
            self.waiting
                .fetch_add(inner.jobs.len() - before, Ordering::Relaxed);
            self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
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

    /// Notes that all but `left` of the taken jobs have been applied, and how many bytes those had.
    pub(super) fn applied(&self, left: usize, bytes: usize) {
        let readers = {
            let mut inner = lock(&self.inner);
            let waiting = left + inner.jobs.len();
            self.waiting.store(waiting, Ordering::Relaxed);
            let waiting_bytes = self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed) - bytes;
            let is_long = waiting > CONGESTED / 2 || waiting_bytes > CONGESTED_BYTES / 2;
            if is_long || inner.readers.is_empty() {
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
        if !self.is_long() {
            return false;
        }
        let mut inner = lock(&self.inner);
        // Counted anew under the lock, or the waker could be left behind by a shard that is done.
        if !self.is_long() {
            return false;
        }
        if *waits != Some(inner.releases) {
            *waits = Some(inner.releases);
            inner.readers.push(waker.clone());
        }
        true
    }

    fn is_long(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= CONGESTED
            || self.waiting_bytes.load(Ordering::Relaxed) >= CONGESTED_BYTES
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::protocol::Frame;

    const KEY: Key = Key {
        shard: 0,
        slot: 0,
        generation: 0,
    };

    fn is_congested(queue: &Queue) -> bool {
        queue.is_congested(Waker::noop(), &mut None)
    }

    /// Takes everything and notes half of it as applied, then the rest.
    fn apply(queue: &Queue) {
        let (mut jobs, mut writable) = (VecDeque::new(), Vec::new());
        queue.take(&mut jobs, &mut writable);
        let half = jobs.len() / 2;
        let bytes = |jobs: &mut dyn Iterator<Item = Job>| jobs.map(|job| job.bytes()).sum();
        let applied = bytes(&mut jobs.drain(half..));
        queue.applied(half, applied);
        let applied = bytes(&mut jobs.drain(..));
        queue.applied(0, applied);
    }

    #[test]
    fn too_many_jobs_are_congestion_until_they_have_been_applied() {
        let queue = Queue::default();
        queue.push((1..CONGESTED).map(|_| Job::Leave { key: KEY, room: 0 }));
        assert!(!is_congested(&queue));
        queue.push([Job::Leave { key: KEY, room: 0 }]);
        assert!(is_congested(&queue));
        apply(&queue);
        assert!(!is_congested(&queue));
    }

    #[test]
    fn too_many_bytes_are_congestion_until_they_have_been_applied() {
        let queue = Queue::default();
        let frame = Arc::new(Frame::binary(&[7; 1024 * 1024]));
        let send = |_| Job::Send {
            key: KEY,
            frame: Arc::clone(&frame),
            volatile: false,
        };
        queue.push((0..63).map(send));
        assert!(!is_congested(&queue));
        queue.push((0..2).map(send));
        assert!(is_congested(&queue));
        apply(&queue);
        assert!(!is_congested(&queue));
        assert_eq!(queue.waiting_bytes.load(Ordering::Relaxed), 0);
    }
}
