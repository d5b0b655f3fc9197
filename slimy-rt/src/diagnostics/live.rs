//! Figures as they change: taken all the time, so that whoever comes sees the last minutes, and sent to those who follow them.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Diagnostics, Running,
    admin::{Administrator, may_administer},
    collector::Collected,
    figures::{
        CpuFigures, Figures, LatencyFigures, Live, LoadFigures, NodeFigures, megabytes,
        milliseconds, rounded,
    },
    process,
};
use crate::{
    Latencies, Room, SocketId,
    api::Seen,
    chat::MessageCount,
    events::{Answer, Emitter, JoinError, Namespace, Rejection, Socket},
    metrics::{MetricsSource, ProcessMetrics},
    protocol::EventData,
    server::lock,
};

/// How often figures are taken.
pub const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(2);
/// For how long they are kept.
pub const HISTORY: Duration = Duration::from_secs(15 * 60);
/// How many that are.
const MAX_HISTORY: usize = (HISTORY.as_secs() / SNAPSHOT_INTERVAL.as_secs()) as usize;
/// Of how many intervals the requests are told: they are few, since the page asks for figures twice a minute.
const REQUEST_INTERVALS: usize = 5;
/// How long other nodes may take to tell theirs.
const NODES_TIMEOUT: Duration = Duration::from_secs(1);

/// The room of those who follow the figures.
const ROOM: &str = "diag";
/// By which nodes ask each other for their figures.
const NODE: &str = "diag:node";

/// The figures of the last minutes.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Without what nobody asks of the past.
    past: VecDeque<Arc<Figures>>,
    live: Option<Live>,
}

impl History {
    fn push(&mut self, mut past: Figures) {
        if self.past.len() >= MAX_HISTORY {
            self.past.pop_front();
        }
        self.live.clone_from(&past.live);
        past.nodes.clear();
        past.requests.status_codes.clear();
        if let Some(live) = &mut past.live {
            live.subsystems = None;
        }
        self.past.push_back(Arc::new(past));
    }
}

#[derive(Serialize)]
struct Subscribed {
    ok: bool,
    snapshot: Figures,
    history: Vec<Arc<Figures>>,
}

pub(super) fn install(diagnostics: &Diagnostics, namespace: Namespace) -> Namespace {
    let with = || diagnostics.clone();
    let (subscribe, unsubscribe, node) = (with(), with(), with());
    namespace
        .on("diag:subscribe", move |admin: Administrator| {
            let diagnostics = subscribe.clone();
            async move { diagnostics.subscribe(admin).await }
        })
        .on(
            "diag:unsubscribe",
            move |Administrator(socket): Administrator| {
                lock(&unsubscribe.0.followers).leave(&socket);
                async { Answer(json!({"ok": true})) }
            },
        )
        .on_server_side(NODE, move || {
            let diagnostics = node.clone();
            async move {
                let running = diagnostics.running().ok();
                running.map(|running| Answer(diagnostics.node(&running)))
            }
        })
}

/// Takes figures until `stop`.
pub(super) async fn run(diagnostics: &Diagnostics, stop: &CancellationToken) {
    let mut ticks = interval(SNAPSHOT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let Ok(running) = diagnostics.running() else {
        return;
    };
    let mut past = Past::default();
    past.push(Counters::read(&running));
    let mut collected = Arc::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let followed = {
            let mut followers = lock(&diagnostics.0.followers);
            followers.look(running.emitter.as_ref());
            !followers.0.is_empty()
        };
        diagnostics.look_at_sources(&mut collected, followed);
        let now = Counters::read(&running);
        let mut figures = diagnostics.now(&running, &collected).await;
        figures.live = Some(Live {
            pending_bytes: running.api.server().pending_bytes(),
            ..past.until(&now)
        });
        past.push(now);
        if followed {
            diagnostics
                .complete(&running, &collected, &mut figures)
                .await;
        }
        // Kept before it is sent, so that whoever comes between the two misses nothing.
        lock(&diagnostics.0.history).push(figures.clone());
        if followed {
            lock(&diagnostics.0.followers).send(&figures);
        }
    }
}

/// Those who follow the figures.
#[derive(Debug, Default)]
pub(super) struct Followers(HashMap<SocketId, Socket>);

impl Followers {
    fn join(&mut self, socket: &Socket) -> Result<(), JoinError> {
        socket.join(ROOM)?;
        self.0.insert(socket.id().clone(), socket.clone());
        Ok(())
    }

    fn leave(&mut self, socket: &Socket) {
        socket.leave(ROOM);
        self.0.remove(socket.id());
    }

    /// Who has left, or is no administrator any more, follows them no longer; who has come back to the room as the same socket goes on.
    fn look(&mut self, emitter: Option<&Emitter>) {
        self.0.retain(|_, socket| stays(socket));
        let Some((emitter, room)) = emitter.zip(Room::parse(ROOM).ok()) else {
            return;
        };
        if emitter.member_count(&room) <= self.0.len() {
            return;
        }
        for socket in emitter.to(&room).here() {
            if stays(&socket) {
                self.0.insert(socket.id().clone(), socket);
            }
        }
    }

    fn send(&self, figures: &Figures) {
        let event = match EventData::new("diag:snapshot", figures) {
            Ok(event) => event,
            Err(error) => return tracing::error!(%error, "figures cannot be sent"),
        };
        // Their rights may have changed since.
        for socket in self.0.values().filter(|socket| may_administer(socket)) {
            // One that has just left needs nothing.
            let _ = socket.volatile().emit_data(&event);
        }
    }
}

/// Whether a socket goes on following; one that may not leaves the room as well.
fn stays(socket: &Socket) -> bool {
    let stays = may_administer(socket);
    if !stays {
        socket.leave(ROOM);
    }
    stays && socket.is_connected()
}

impl Diagnostics {
    async fn subscribe(
        &self,
        Administrator(socket): Administrator,
    ) -> Result<Answer<impl Serialize + use<>>, Rejection> {
        let running = self.running()?;
        // Slow sources are in one of the next.
        let collected = timeout(NODES_TIMEOUT, self.0.collector.collect()).await;
        let collected = collected.unwrap_or_default();
        let mut snapshot = self.now(&running, &collected).await;
        // Rates need a time, which is the last one that was taken.
        snapshot.live = lock(&self.0.history).live.clone();
        self.complete(&running, &collected, &mut snapshot).await;
        lock(&self.0.followers).join(&socket)?;
        let history = lock(&self.0.history).past.iter().cloned().collect();
        Ok(Answer(Subscribed {
            ok: true,
            snapshot,
            history,
        }))
    }

    /// Has the sources asked when somebody wants to know and what they said is too old, and goes on with that until they answer.
    fn look_at_sources(&self, collected: &mut Arc<Collected>, wanted: bool) {
        let peeked = self.0.collector.peek();
        let is_young = peeked.as_ref().is_some_and(|(_, is_young)| *is_young);
        if let Some((last, _)) = peeked {
            *collected = last;
        }
        if wanted && !is_young {
            let diagnostics = self.clone();
            tokio::spawn(async move { diagnostics.0.collector.collect().await });
        }
    }

    /// This node's figures of now, without rates.
    async fn now(&self, running: &Running, collected: &Collected) -> Figures {
        let mut figures = self.0.figures(&running.api, collected);
        if let Ok(sample) = ProcessMetrics::new().sample().await {
            figures.memory = sample.memory.map(Into::into);
        }
        figures.nodes = vec![self.node(running)];
        figures
    }

    /// Adds what others have to be asked for.
    async fn complete(&self, running: &Running, collected: &Collected, figures: &mut Figures) {
        let seen = Seen::beside(running.api.server(), collected.degraded.is_empty());
        let (others, subsystems) = tokio::join!(self.other_nodes(running), seen);
        figures.nodes.extend(others);
        if let Some(live) = &mut figures.live {
            live.subsystems = Some(subsystems);
        }
    }

    /// This node.
    pub(super) fn node(&self, running: &Running) -> NodeFigures {
        NodeFigures {
            id: self.0.node.clone(),
            connections: running.api.server().report().connections,
            uptime_sec: running.api.started().elapsed().as_secs(),
            messages: self.0.messages.as_ref().map(MessageCount::current),
            resident: crate::metrics::resident().map(megabytes),
            is_self: true,
        }
    }

    /// The others, as far as they answer.
    pub(super) async fn other_nodes(&self, running: &Running) -> Vec<NodeFigures> {
        let Some(emitter) = &running.emitter else {
            return Vec::new();
        };
        let asked = emitter.server_side_emit_with_ack(NODE, &(), NODES_TIMEOUT);
        let answers = match asked.await {
            Ok(answers) => answers.answers,
            Err(error) => {
                tracing::debug!(%error, "other nodes cannot be asked for their figures");
                return Vec::new();
            }
        };
        let figures = answers.into_iter().filter_map(|(id, answer)| {
            let figures: NodeFigures = answer.parse(0).ok()?;
            Some(NodeFigures {
                id,
                is_self: false,
                ..figures
            })
        });
        let mut nodes: Vec<_> = figures.collect();
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        nodes
    }
}

pub(super) fn not_running() -> Rejection {
    Rejection::new("unavailable", "The diagnostics are not running.")
}

/// What only grows, at one moment.
struct Counters {
    at: Instant,
    cpu: Option<Duration>,
    deliveries: u64,
    handled: Latencies,
    requests: Latencies,
}

/// The counters of the last intervals, oldest first; never empty.
#[derive(Default)]
struct Past(VecDeque<Counters>);

impl Counters {
    fn read(running: &Running) -> Self {
        let server = running.api.server();
        let events = server.events().into_iter();
        Self {
            at: Instant::now(),
            cpu: process::cpu_time(),
            deliveries: server.report().deliveries,
            handled: events.fold(Latencies::default(), |all, event| all.with(&event.handled)),
            requests: running.api.requests().took,
        }
    }
}

impl Past {
    fn push(&mut self, now: Counters) {
        if self.0.len() >= REQUEST_INTERVALS {
            self.0.pop_front();
        }
        self.0.push_back(now);
    }

    /// What happened up to now.
    fn until(&self, now: &Counters) -> Live {
        let before = self.0.back().unwrap_or(now);
        let oldest = self.0.front().unwrap_or(now);
        let seconds = now.at.duration_since(before.at).as_secs_f64().max(1e-3);
        let handled = now.handled.clone().since(&before.handled);
        let requests = now.requests.clone().since(&oldest.requests);
        let rate = |count: u64| rounded(count as f64 / seconds, 10.0);
        let cpu = now.cpu.zip(before.cpu);
        Live {
            cpu: cpu.map(|(now, before)| CpuFigures {
                percent: rounded(
                    now.saturating_sub(before).as_secs_f64() / seconds * 100.0,
                    10.0,
                ),
            }),
            load: LoadFigures {
                events_per_second: rate(handled.count()),
                deliveries_per_second: rate(now.deliveries.saturating_sub(before.deliveries)),
            },
            latency: LatencyFigures {
                handler_p50_ms: milliseconds(handled.quantile(0.5)),
                handler_p99_ms: milliseconds(handled.quantile(0.99)),
                request_p95_ms: (requests.count() > 0)
                    .then(|| milliseconds(requests.quantile(0.95))),
            },
            pending_bytes: 0,
            subsystems: None,
        }
    }
}
