//! Writes down what a broker reports to a node.

use std::{
    mem::{Discriminant, discriminant},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::super::{
    run::{Verdict, failed},
    support::until,
};
use crate::{
    NodeId,
    broker::{BrokerEvents, Delivered, Health, Position, Publication, Reply, ReplySink, Request},
};

/// One node's notes.
#[derive(Debug)]
pub(super) struct Recorder {
    notes: Mutex<Notes>,
    /// Passes a report on to the notes; closed gates hold it up.
    gate: Semaphore,
    /// Reports of publications that are under way.
    under_way: AtomicUsize,
    /// How many sockets this node says it has.
    pub(super) sockets: usize,
}

#[derive(Debug, Default)]
struct Notes {
    publications: Vec<Delivered>,
    gaps: usize,
    requests: Vec<Request>,
    health: Vec<Health>,
    overlapped: bool,
    /// What requests of this kind are answered.
    prepared: Option<(Discriminant<Request>, Reply)>,
    /// Sinks that are kept without an answer; `None`: they are dropped.
    kept: Option<Vec<ReplySink>>,
}

/// Many: an open gate.
const OPEN: usize = Semaphore::MAX_PERMITS / 2;

impl Recorder {
    pub(super) fn new() -> Arc<Self> {
        Self::with(OPEN, 1)
    }

    /// One that holds up the report of publications until [`open`](Self::open).
    pub(super) fn shut() -> Arc<Self> {
        Self::with(0, 1)
    }

    pub(super) fn with_sockets(sockets: usize) -> Arc<Self> {
        Self::with(OPEN, sockets)
    }

    fn with(permits: usize, sockets: usize) -> Arc<Self> {
        Arc::new(Self {
            notes: Mutex::default(),
            gate: Semaphore::new(permits),
            under_way: AtomicUsize::new(0),
            sockets,
        })
    }

    pub(super) fn open(&self) {
        self.gate.add_permits(OPEN);
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publications(&self) -> Vec<Delivered> {
        self.notes().publications.clone()
    }

    /// The node and number of each publication, in the order in which they were reported.
    pub(super) fn ids(&self) -> Vec<(NodeId, u64)> {
        let notes = self.notes();
        let ids = notes.publications.iter();
        ids.filter_map(|(_, publication)| publication.id.clone())
            .collect()
    }

    /// The same, each only where it was first reported: an id may be put in again.
    pub(super) fn first_ids(&self) -> Vec<(NodeId, u64)> {
        let mut first = Vec::new();
        for id in self.ids() {
            if !first.contains(&id) {
                first.push(id);
            }
        }
        first
    }

    pub(super) fn gaps(&self) -> usize {
        self.notes().gaps
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.notes().requests.clone()
    }

    /// From now on requests of this one's kind get this answer.
    pub(super) fn answer(&self, request: &Request, reply: Reply) {
        self.notes().prepared = Some((discriminant(request), reply));
    }

    /// From now on requests without an answer are left open.
    pub(super) fn keep_sinks(&self) {
        self.notes().kept.get_or_insert_default();
    }

    pub(super) fn last_health(&self) -> Option<Health> {
        self.notes().health.last().copied()
    }

    pub(super) fn overlapped(&self) -> bool {
        self.notes().overlapped
    }

    /// Whether a report of publications is being held up.
    pub(super) fn is_held_up(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0
    }

    /// Waits until this publication is reported, and gives where it is in the log.
    pub(super) async fn wait_for(&self, wanted: &Publication) -> Verdict<Option<Position>> {
        let find = || {
            let notes = self.notes();
            let mut publications = notes.publications.iter();
            let found = publications.find(|(_, publication)| publication.id == wanted.id);
            found.map(|(position, _)| position.clone())
        };
        let what = format!("the report of the publication {:?}", wanted.id);
        until(&what, || async { Ok(find().is_some()) }).await?;
        find().map_or_else(|| failed("a report disappeared"), Ok)
    }
}

#[async_trait]
impl BrokerEvents for Recorder {
    async fn publications(&self, batch: &[Delivered]) {
        let _under_way = UnderWay::begin(self);
        // The gate is never closed for good.
        if let Ok(permit) = self.gate.acquire().await {
            permit.forget();
        }
        self.notes().publications.extend_from_slice(batch);
    }

    fn gap(&self, _: Option<&Position>, _: &Position) {
        self.notes().gaps += 1;
    }

    fn request(&self, request: Request, reply: ReplySink) {
        let mut notes = self.notes();
        let answer = match &notes.prepared {
            Some((kind, reply)) if *kind == discriminant(&request) => Some(reply.clone()),
            _ if matches!(request, Request::Nodes) => Some(Reply::Node {
                id: NodeId::random(),
                sockets: self.sockets,
            }),
            _ => None,
        };
        notes.requests.push(request);
        match (answer, &mut notes.kept) {
            (Some(answer), _) => {
                tokio::spawn(async move { reply.send(answer).await });
            }
            (None, Some(kept)) => kept.push(reply),
            (None, None) => {}
        }
    }

    fn health(&self, health: Health) {
        self.notes().health.push(health);
    }
}

/// Counts a report while it lasts, also one that is dropped.
struct UnderWay<'a>(&'a Recorder);

impl<'a> UnderWay<'a> {
    fn begin(recorder: &'a Recorder) -> Self {
        if recorder.under_way.fetch_add(1, Ordering::Relaxed) > 0 {
            recorder.notes().overlapped = true;
        }
        Self(recorder)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
