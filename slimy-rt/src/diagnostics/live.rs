//! Figures as they change: taken all the time, so that whoever comes sees the last minutes, and sent to those who follow them.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Diagnostics, Running,
    admin::Administrator,
    collector::Collected,
    figures::{
        CpuFigures, Figures, LatencyFigures, Live, LoadFigures, NodeFigures, megabytes,
        milliseconds, rounded,
    },
    process,
};
use crate::{
    Latencies,
    chat::MessageCount,
    events::{Answer, Emitter, Namespace, Rejection},
    metrics::{MetricsSource, ProcessMetrics},
    server::lock,
};

/// How often figures are taken.
pub const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(2);
/// For how long they are kept.
pub const HISTORY: Duration = Duration::from_secs(15 * 60);
/// How many that are.
const MAX_HISTORY: usize = (HISTORY.as_secs() / SNAPSHOT_INTERVAL.as_secs()) as usize;
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
    let (subscribe, node) = (diagnostics.clone(), diagnostics.clone());
    namespace
        .on("diag:subscribe", move |admin: Administrator| {
            let diagnostics = subscribe.clone();
            async move { diagnostics.subscribe(admin).await }
        })
        .on(
            "diag:unsubscribe",
            async |Administrator(socket): Administrator| {
                socket.leave(ROOM);
                Answer(json!({"ok": true}))
            },
        )
        .on_server_side(NODE, move || {
            let diagnostics = node.clone();
            async move {
                let running = diagnostics.running();
                running.map(|running| Answer(diagnostics.node(&running)))
            }
        })
}

/// Takes figures until `stop`.
pub(super) async fn run(diagnostics: &Diagnostics, stop: &CancellationToken) {
    let mut ticks = interval(SNAPSHOT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let Some(running) = diagnostics.running() else {
        return;
    };
    let mut before = Counters::read(&running);
    let mut collected = Arc::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let followed = running.emitter.as_ref().is_some_and(is_followed);
        diagnostics.look_at_sources(&mut collected, followed);
        let now = Counters::read(&running);
        let mut figures = diagnostics.now(&running, &collected).await;
        figures.live = Some(Live {
            pending_bytes: running.api.server().report().pending_bytes,
            ..now.since(&before)
        });
        before = now;
        if followed {
            diagnostics.complete(&running, &mut figures).await;
        }
        // Kept before it is sent, so that whoever comes between the two misses nothing.
        lock(&diagnostics.0.history).push(figures.clone());
        if let Some(emitter) = running.emitter.as_ref().filter(|_| followed) {
            let follower = emitter.to(ROOM).local().volatile();
            if let Err(error) = follower.emit("diag:snapshot", &figures) {
                tracing::error!(%error, "figures cannot be sent");
            }
        }
    }
}

/// Whether anyone follows the figures here. Whoever is no administrator any more follows them no longer.
fn is_followed(emitter: &Emitter) -> bool {
    let mut followed = false;
    for socket in emitter.to(ROOM).here() {
        if socket.access().is_admin() {
            followed = true;
        } else {
            socket.leave(ROOM);
        }
    }
    followed
}

impl Diagnostics {
    async fn subscribe(
        &self,
        Administrator(socket): Administrator,
    ) -> Result<Answer<impl Serialize + use<>>, Rejection> {
        let running = self.running().ok_or_else(not_running)?;
        // Slow sources are in one of the next.
        let collected = timeout(NODES_TIMEOUT, self.0.collector.collect()).await;
        let collected = collected.unwrap_or_default();
        let mut snapshot = self.now(&running, &collected).await;
        // Rates need a time, which is the last one that was taken.
        snapshot.live = lock(&self.0.history).live.clone();
        self.complete(&running, &mut snapshot).await;
        socket.join(ROOM)?;
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
    async fn complete(&self, running: &Running, figures: &mut Figures) {
        let (others, subsystems) =
            tokio::join!(self.other_nodes(running), running.api.subsystems());
        figures.nodes = vec![self.node(running)];
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

fn not_running() -> Rejection {
    Rejection::new("unavailable", "The diagnostics are not running.")
}

/// What only grows, at one moment.
struct Counters {
    at: Instant,
    cpu: Option<Duration>,
    deliveries: u64,
    handled: Latencies,
}

impl Counters {
    fn read(running: &Running) -> Self {
        let server = running.api.server();
        let events = server.events().into_iter();
        Self {
            at: Instant::now(),
            cpu: process::cpu_time(),
            deliveries: server.report().deliveries,
            handled: events.fold(Latencies::default(), |all, event| all.with(&event.handled)),
        }
    }

    fn since(&self, before: &Self) -> Live {
        let seconds = self.at.duration_since(before.at).as_secs_f64().max(1e-3);
        let handled = self.handled.clone().since(&before.handled);
        let rate = |count: u64| rounded(count as f64 / seconds, 10.0);
        let cpu = self.cpu.zip(before.cpu);
        Live {
            cpu: cpu.map(|(now, before)| CpuFigures {
                percent: rounded(
                    now.saturating_sub(before).as_secs_f64() / seconds * 100.0,
                    10.0,
                ),
            }),
            load: LoadFigures {
                events_per_second: rate(handled.count()),
                deliveries_per_second: rate(self.deliveries.saturating_sub(before.deliveries)),
            },
            latency: LatencyFigures {
                handler_p50_ms: milliseconds(handled.quantile(0.5)),
                handler_p99_ms: milliseconds(handled.quantile(0.99)),
            },
            pending_bytes: 0,
            subsystems: None,
        }
    }
}
