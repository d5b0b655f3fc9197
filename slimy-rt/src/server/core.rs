//! What every part of a running server shares.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Config,
    admission::Admission,
    authorization::Authorization,
    cluster::Cluster,
    engine_app::EngineApp,
    forwarded::TrustedProxies,
    link::{Link, LinkRef},
    lock,
    origin::Origins,
    recovery::Recovery,
    sequencer::Sequencer,
    stats::{EventReport, Stats},
    wheel::Wheel,
};
use crate::{
    EngineId,
    events::{Handlers, Pattern, States},
    protocol::{DisconnectReason, Frame},
};

/// What runs over the sessions.
#[derive(Debug)]
pub(crate) enum Program {
    SocketIo(Namespaces),
    Engine(Arc<dyn EngineApp>),
}

impl Program {
    pub(crate) fn events(&self) -> Vec<EventReport> {
        let Self::SocketIo(Namespaces { fixed, dynamic }) = self else {
            return Vec::new();
        };
        let mut fixed: Vec<_> = fixed
            .iter()
            .map(|(name, handlers)| (Arc::clone(name), handlers))
            .collect();
        fixed.sort_by(|(a, _), (b, _)| a.cmp(b));
        let dynamic = dynamic
            .iter()
            .map(|(pattern, handlers)| (pattern.to_string().into(), handlers));
        let namespaces = fixed.into_iter().chain(dynamic);
        let report = |(namespace, handlers): (Arc<str>, &Arc<Handlers>)| {
            let events = handlers.latencies().into_iter();
            let report = events.map(|(event, handled)| EventReport {
                namespace: Arc::clone(&namespace),
                event: event.into(),
                handled,
            });
            report.collect::<Vec<_>>()
        };
        namespaces.flat_map(report).collect()
    }
}

/// The namespaces that a program has: those that are always there, and patterns of those that come and go.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    pub(super) fixed: HashMap<Arc<str>, Arc<Handlers>>,
    pub(super) dynamic: Vec<(Pattern, Arc<Handlers>)>,
}

/// The shared state.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) origins: Origins,
    pub(crate) proxies: TrustedProxies,
    pub(crate) program: Program,
    pub(crate) states: States,
    pub(crate) sequencer: Arc<Sequencer>,
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) recovery: Option<Arc<Recovery>>,
    pub(crate) authorization: Arc<Authorization>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) wheel: Arc<Wheel<Link>>,
    pub(crate) stats: Arc<Stats>,
    /// Every connection's task.
    pub(crate) tasks: TaskTracker,
    pub(crate) background: TaskTracker,
    /// Ends the background tasks.
    pub(crate) stop: CancellationToken,
    /// The one ping that everybody is sent.
    pub(crate) ping: Arc<Frame>,
    pub(super) sessions: Mutex<HashMap<EngineId, LinkRef>>,
    pub(super) closing: AtomicBool,
    /// When a shutdown wants all output to be written.
    pub(super) flush_by: OnceLock<Instant>,
}

impl Namespaces {
    fn matching(&self, name: &str) -> Option<&(Pattern, Arc<Handlers>)> {
        let mut dynamic = self.dynamic.iter();
        dynamic.find(|(pattern, _)| pattern.matches(name))
    }
}

impl Core {
    /// What handles a namespace, and its name as all its sockets share it.
    pub(crate) fn namespace(&self, name: &str) -> Option<(Arc<str>, &Arc<Handlers>)> {
        let Program::SocketIo(namespaces) = &self.program else {
            return None;
        };
        if let Some((name, handlers)) = namespaces.fixed.get_key_value(name) {
            return Some((Arc::clone(name), handlers));
        }
        let (_, handlers) = namespaces.matching(name)?;
        Some((self.sequencer.namespace_name(name), handlers))
    }

    /// The pattern by which a namespace came to be.
    pub(crate) fn pattern(&self, name: &str) -> Option<&Pattern> {
        match &self.program {
            Program::SocketIo(namespaces) if !namespaces.fixed.contains_key(name) => {
                namespaces.matching(name).map(|(pattern, _)| pattern)
            }
            _ => None,
        }
    }

    /// How large a message may be before the client has joined a namespace.
    pub(crate) fn first_payload_bound(&self) -> usize {
        match &self.program {
            Program::SocketIo(_) => self
                .config
                .max_payload
                .min(self.config.max_payload_before_connect),
            Program::Engine(_) => self.config.max_payload,
        }
    }

    pub(crate) fn insert_session(&self, id: EngineId, link: LinkRef) {
        lock(&self.sessions).insert(id, link);
    }

    pub(crate) fn remove_session(&self, id: &EngineId) {
        lock(&self.sessions).remove(id);
    }

    pub(crate) fn session(&self, id: &str) -> Option<LinkRef> {
        lock(&self.sessions).get(id).cloned()
    }

    /// Bytes of output that wait for clients.
    pub(crate) fn pending_bytes(&self) -> usize {
        let sessions = lock(&self.sessions);
        sessions.values().map(|link| link.pending_bytes()).sum()
    }

    /// Whether more bytes of output wait for some client.
    pub(crate) fn is_anyone_behind(&self, bytes: usize) -> bool {
        let sessions = lock(&self.sessions);
        sessions.values().any(|link| link.pending_bytes() > bytes)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Until when a connection may take to write what is pending. A shutdown gives it most of its own time.
    pub(crate) fn closing_until(&self, reason: DisconnectReason, now: Instant) -> Instant {
        let until = now + self.config.close_timeout;
        match self.flush_by.get() {
            Some(by) if reason == DisconnectReason::ServerShuttingDown => *by.max(&until),
            _ => until,
        }
    }
}
