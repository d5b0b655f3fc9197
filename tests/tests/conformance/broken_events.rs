//! What a broken broker does to its reports.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use slimy_rt::{
    NodeId,
    broker::{BrokerEvents, Delivered, Health, Position, Publication, Reply, ReplySink, Request},
    protocol::{AckData, EventData},
};
use tokio::sync::watch;

use super::broker_flaws::Flaw;

/// A started node.
#[derive(Debug)]
pub(super) struct Running {
    flaw: Flaw,
    index: usize,
    pub(super) id: NodeId,
    pub(super) events: Arc<dyn BrokerEvents>,
    under_way: AtomicUsize,
    abandoned: AtomicBool,
}

impl Running {
    pub(super) fn new(flaw: Flaw, index: usize, id: NodeId, events: Arc<dyn BrokerEvents>) -> Self {
        Self {
            flaw,
            index,
            id,
            events,
            under_way: AtomicUsize::new(0),
            abandoned: AtomicBool::new(false),
        }
    }
}

/// Between the memory broker and the node.
#[derive(Debug)]
pub(super) struct Forward {
    running: Arc<Running>,
    away: watch::Receiver<bool>,
    /// Whether it passes on publications only.
    deaf: bool,
}

impl Forward {
    pub(super) fn new(running: &Arc<Running>, away: watch::Receiver<bool>) -> Arc<Self> {
        let running = Arc::clone(running);
        Arc::new(Self {
            running,
            away,
            deaf: false,
        })
    }

    pub(super) fn deaf(running: &Arc<Running>, away: watch::Receiver<bool>) -> Arc<Self> {
        let running = Arc::clone(running);
        Arc::new(Self {
            running,
            away,
            deaf: true,
        })
    }

    fn is_shown(&self, publication: &Publication) -> bool {
        let own = publication
            .id
            .as_ref()
            .is_some_and(|(node, _)| *node == self.running.id);
        match self.running.flaw {
            Flaw::HidesOwn | Flaw::OwnFirst => !own,
            Flaw::TellsTwoNodes => own || self.running.index < 2,
            Flaw::HidesEmitters => publication.id.is_some(),
            _ => true,
        }
    }
}

/// The JSON as a parser and a writer would leave it.
fn normalized(publication: &Publication) -> Arc<Publication> {
    let mut publication = publication.clone();
    let json: serde_json::Value =
        serde_json::from_str(publication.event.json()).unwrap_or_default();
    let attachments = publication.event.attachments().to_vec();
    if let Ok(event) = EventData::from_parts(json.to_string().into(), attachments) {
        publication.event = event;
    }
    Arc::new(publication)
}

#[async_trait]
impl BrokerEvents for Forward {
    async fn publications(&self, batch: &[Delivered]) {
        let mut away = self.away.clone();
        // The sender lives as long as the cluster.
        let _ = away.wait_for(|away| !away).await;
        let running = Arc::clone(&self.running);
        let shown = batch
            .iter()
            .filter(|(_, publication)| self.is_shown(publication));
        let mut batch: Vec<Delivered> = shown.cloned().collect();
        match running.flaw {
            Flaw::NormalizesJson => batch
                .iter_mut()
                .for_each(|(_, publication)| *publication = normalized(publication)),
            Flaw::UnorderedPositions => batch
                .iter_mut()
                .filter_map(|(position, _)| position.as_mut())
                .for_each(|position| {
                    *position = Position::new(position.as_str().replace(':', "/"))
                }),
            Flaw::ReportsAtOnce => {
                tokio::spawn(async move { running.events.publications(&batch).await });
                return;
            }
            Flaw::DropsWhenBusy => {
                if running.under_way.load(SeqCst) == 0 {
                    running.under_way.store(1, SeqCst);
                    tokio::spawn(async move {
                        running.events.publications(&batch).await;
                        running.under_way.store(0, SeqCst);
                    });
                }
                return;
            }
            _ => {}
        }
        running.events.publications(&batch).await;
    }

    fn gap(&self, after: Option<&Position>, now: &Position) {
        self.running.events.gap(after, now);
    }

    fn request(&self, request: Request, reply: ReplySink) {
        let running = &self.running;
        if self.deaf || running.abandoned.load(SeqCst) {
            return;
        }
        let request = changed_request(running.flaw, request);
        let reply = match running.flaw {
            Flaw::StopsAtAbandoned => until_abandoned(running, reply),
            _ => reply,
        };
        running.events.request(request, reply);
    }

    fn health(&self, health: Health) {
        self.running.events.health(health);
    }
}

/// A sink that makes the node deaf when nobody takes an answer.
fn until_abandoned(running: &Arc<Running>, reply: ReplySink) -> ReplySink {
    let (sink, mut answers) = ReplySink::channel();
    let running = Arc::clone(running);
    tokio::spawn(async move {
        while let Some(answer) = answers.recv().await {
            let answer: Reply = answer;
            if !reply.send(answer).await {
                running.abandoned.store(true, SeqCst);
            }
        }
    });
    sink
}

fn changed_request(flaw: Flaw, mut request: Request) -> Request {
    match (flaw, &mut request) {
        (Flaw::TurnsClose, Request::Disconnect { close, .. }) => *close = !*close,
        (Flaw::ForgetsVolatile, Request::EmitWithAck { volatile, .. }) => *volatile = false,
        (Flaw::RoundsTimeouts, Request::EmitWithAck { timeout, .. }) => {
            *timeout = Duration::from_millis(timeout.as_millis() as u64);
        }
        (
            Flaw::SwapsAttachments,
            Request::ServerEvent { event, .. }
            | Request::ServerEventWithAck { event, .. }
            | Request::EmitWithAck { event, .. },
        ) => {
            let swapped = event.attachments().iter().rev().cloned().collect();
            *event = EventData::from_parts(event.json().clone(), swapped).unwrap();
        }
        _ => {}
    }
    request
}

fn changed_reply(flaw: Flaw, mut reply: Reply) -> Reply {
    match (flaw, &mut reply) {
        (Flaw::HidesAddresses, Reply::Sockets(sockets)) => {
            sockets.iter_mut().for_each(|s| s.remote_addr = None);
        }
        (Flaw::LosesSilent, Reply::Answers { silent, .. }) => silent.clear(),
        (Flaw::SwapsAnswered, Reply::Answers { answers, .. }) => {
            for (_, answer) in answers {
                let swapped = answer.attachments().iter().rev().cloned().collect();
                *answer = AckData::from_parts(answer.json().clone(), swapped).unwrap();
            }
        }
        (Flaw::NeverRefuses, Reply::Refused { node }) => {
            return Reply::Answers {
                node: node.clone(),
                answers: Vec::new(),
                silent: Vec::new(),
            };
        }
        (Flaw::InventsAnswers, Reply::ServerEvent { answer, .. }) => {
            answer.get_or_insert_with(AckData::empty);
        }
        _ => {}
    }
    reply
}

/// A sink that is dropped when the engine goes away.
pub(super) fn until_away(
    flaw: Flaw,
    mut away: watch::Receiver<bool>,
    replies: ReplySink,
) -> ReplySink {
    let (sink, mut answers) = ReplySink::channel();
    tokio::spawn(async move {
        let pass_on = async {
            while let Some(answer) = answers.recv().await {
                replies.send(changed_reply(flaw, answer)).await;
            }
            if flaw == Flaw::KeepsSinks {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = pass_on => {}
            // The error is that the cluster has ended.
            _ = away.wait_for(|away| *away) => {}
        }
    });
    sink
}
