//! Brings states to the broker and away from it, behind whatever the server does: one operation per client at a time, the last one wins.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::state::State;
use crate::{
    Pid,
    broker::{BrokerError, RoomBroker},
    server::{cluster::chain, lock},
};

/// How many clients may wait for something to be done with their state. Beyond it nothing more is kept, and they come back as new ones.
const MAX_WAITING_STATES: usize = 100_000;
/// How many operations are under way at once.
const CONCURRENT: usize = 64;
/// How long one may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait after one has failed.
const RETRY: Duration = Duration::from_millis(500);

/// What is to be done with a client's state.
#[derive(Debug)]
pub(super) enum Operation {
    /// Keep it for so long.
    Keep(State, Duration),
    /// It was cut off: keep its last state until then.
    KeepLast(State, Instant),
    /// It does not come back.
    Forget,
}

#[derive(Debug)]
pub(super) struct Keeper {
    broker: Arc<dyn RoomBroker>,
    waiting: Mutex<HashMap<Pid, Operation>>,
    /// How many operations wait or are under way.
    open: watch::Sender<usize>,
    has_failed: AtomicBool,
}

impl Keeper {
    pub(super) fn new(broker: Arc<dyn RoomBroker>) -> Self {
        Self {
            broker,
            waiting: Mutex::default(),
            open: watch::Sender::new(0),
            has_failed: AtomicBool::new(false),
        }
    }

    /// Has something done, in place of what waits to be done for the same client.
    pub(super) fn push(&self, pid: Pid, operation: Operation) {
        let mut waiting = lock(&self.waiting);
        if waiting.len() >= MAX_WAITING_STATES && !waiting.contains_key(&pid) {
            return;
        }
        if waiting.insert(pid, operation).is_none() {
            self.open.send_modify(|open| *open += 1);
        }
    }

    /// A client's last state, if it has not been brought away yet.
    pub(super) fn take(&self, pid: &Pid) -> Option<State> {
        let mut waiting = lock(&self.waiting);
        if !matches!(waiting.get(pid), Some(Operation::KeepLast(..))) {
            return None;
        }
        let taken = waiting.remove(pid);
        self.open.send_modify(|open| *open -= 1);
        match taken {
            Some(Operation::KeepLast(state, _)) => Some(state),
            _ => None,
        }
    }

    /// Waits until everything has been done. Says whether there was anything to wait for.
    pub(super) async fn idle(&self) -> bool {
        let mut open = self.open.subscribe();
        let waits = *open.borrow() > 0;
        // The sender is this.
        let _ = open.wait_for(|open| *open == 0).await;
        waits
    }

    /// Does what waits, for ever.
    pub(super) async fn run(&self) {
        let mut open = self.open.subscribe();
        loop {
            // The sender is this.
            let _ = open.wait_for(|open| *open > 0).await;
            let operations = std::mem::take(&mut *lock(&self.waiting));
            let failed = AtomicBool::new(false);
            futures_util::stream::iter(operations)
                .for_each_concurrent(CONCURRENT, async |(pid, operation)| {
                    if !self.perform(pid, operation).await {
                        failed.store(true, Ordering::Relaxed);
                    }
                })
                .await;
            if failed.into_inner() {
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Says whether it was done, or is not worth another attempt.
    async fn perform(&self, pid: Pid, operation: Operation) -> bool {
        let done = timeout(TIMEOUT, self.attempt(&pid, &operation)).await;
        let error = match done {
            Ok(Ok(())) => {
                self.has_failed.store(false, Ordering::Relaxed);
                self.open.send_modify(|open| *open -= 1);
                return true;
            }
            Ok(Err(error)) => error,
            Err(elapsed) => BrokerError::Unavailable(elapsed.into()),
        };
        if !self.has_failed.swap(true, Ordering::Relaxed) {
            tracing::warn!(error = %chain(&error), "states for connection state recovery are not kept now");
        }
        // A living client's state is kept again soon anyway.
        let is_last =
            matches!(&operation, Operation::KeepLast(_, until) if Instant::now() < *until);
        if is_last && error.is_retryable() {
            let mut waiting = lock(&self.waiting);
            if let Entry::Vacant(entry) = waiting.entry(pid) {
                entry.insert(operation);
                return false;
            }
        }
        self.open.send_modify(|open| *open -= 1);
        !error.is_retryable()
    }

    async fn attempt(&self, pid: &Pid, operation: &Operation) -> Result<(), BrokerError> {
        let (state, time) = match operation {
            Operation::Forget => {
                self.broker.take_recovery(pid.as_str()).await?;
                return Ok(());
            }
            Operation::Keep(state, time) => (state, *time),
            Operation::KeepLast(state, until) => {
                (state, until.saturating_duration_since(Instant::now()))
            }
        };
        let state = serde_json::to_vec(state).map_err(|e| BrokerError::Backend(e.into()))?;
        self.broker.save_recovery(pid.as_str(), &state, time).await
    }
}
