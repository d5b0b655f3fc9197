//! Puts a server together, and refuses what would not work.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, OnceLock, atomic::AtomicBool},
    time::Instant,
};

use futures_util::FutureExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Config, Server,
    admission::Admission,
    authorization::Authorization,
    cluster::Cluster,
    core::{Core, Namespaces, Program},
    engine_app::EngineApp,
    forwarded::TrustedProxies,
    origin::Origins,
    recovery::Recovery,
    sequencer::{MAX_SHARDS, Sequencer},
    shard::{Queue, Shard},
    stats::Stats,
    wheel::Wheel,
};
use crate::{
    NodeId,
    auth::{AuthError, Authenticator, Handshake, Identity},
    broker::RoomBroker,
    events::{Namespace, Pattern, States},
    protocol::Frame,
    session::SessionStore,
};

/// Puts a [`Server`] together.
#[derive(Debug)]
pub struct ServerBuilder {
    authenticator: Arc<dyn Authenticator>,
    sessions: Option<Arc<dyn SessionStore>>,
    broker: Option<Arc<dyn RoomBroker>>,
    node: NodeId,
    config: Config,
    origins: Origins,
    proxies: TrustedProxies,
    namespaces: Vec<Namespace>,
    states: States,
    app: Option<Arc<dyn EngineApp>>,
}

/// Why a server cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is no namespace.
    #[error("there is no namespace: add one, such as `Namespace::new(\"/\")`")]
    NoNamespace,
    /// A namespace's name is malformed.
    #[error(
        "the namespace {0:?} must begin with `/` and contain neither `,` nor `?`; a `{{parameter}}` must be a whole segment with a name of its own"
    )]
    NamespaceName(Box<str>),
    /// A namespace is there twice.
    #[error("the namespace {0:?} is there twice")]
    NamespaceTwice(Box<str>),
    /// Two handlers are for the same.
    #[error("the namespace {namespace:?} has two handlers for {what}")]
    HandlerTwice {
        /// The namespace.
        namespace: Box<str>,
        /// The event, or the method that was called twice.
        what: Box<str>,
    },
    /// A handler takes a state that nobody gave.
    #[error(
        "in the namespace {namespace:?}, {handler} takes a `State<{state}>`: give one with `ServerBuilder::state`"
    )]
    MissingState {
        /// The state's type.
        state: &'static str,
        /// The namespace.
        namespace: Box<str>,
        /// Who takes it.
        handler: Box<str>,
    },
    /// A field of the configuration makes no sense.
    #[error("the configuration makes no sense: {0}")]
    Config(Box<str>),
    /// It is built outside of a Tokio runtime.
    #[error("build the server inside of a Tokio runtime, since its tasks start at once")]
    NoRuntime,
}

impl ServerBuilder {
    pub(super) fn new(authenticator: Arc<dyn Authenticator>) -> Self {
        Self {
            authenticator,
            sessions: None,
            broker: None,
            node: NodeId::random(),
            config: Config::default(),
            origins: Origins::own(),
            proxies: TrustedProxies::none(),
            namespaces: Vec::new(),
            states: States::default(),
            app: None,
        }
    }

    pub(super) fn engine(app: Arc<dyn EngineApp>) -> Self {
        Self {
            app: Some(app),
            ..Self::new(Arc::new(Nobody))
        }
    }

    /// Asks this store what a user may see. Without one, users have no guilds and nobody is refused for having none.
    #[must_use]
    pub fn sessions(mut self, sessions: impl SessionStore) -> Self {
        self.sessions = Some(Arc::new(sessions));
        self
    }

    /// Shares publications with other nodes. Without one, this node is alone.
    #[must_use]
    pub fn broker(mut self, broker: impl RoomBroker) -> Self {
        self.broker = Some(Arc::new(broker));
        self
    }

    /// Names this node; by default the name is random. A restarted program must not use its old name.
    #[must_use]
    pub fn node(mut self, node: NodeId) -> Self {
        self.node = node;
        self
    }

    /// Sets times and bounds.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Says which pages may connect. By default only the server's own.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Says whose forwarding headers are believed. By default nobody's.
    #[must_use]
    pub fn proxies(mut self, proxies: TrustedProxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Adds a namespace. Clients that ask for another are told `Invalid namespace`.
    #[must_use]
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespaces.push(namespace);
        self
    }

    /// Gives handlers a state, which they take as [`State<S>`](crate::events::State). One of the same type is replaced.
    #[must_use]
    pub fn state<S: Clone + Send + Sync + 'static>(mut self, state: S) -> Self {
        self.states.insert(state);
        self
    }

    /// Builds the server and starts its tasks.
    ///
    /// # Errors
    /// [`BuildError`] says what to change.
    pub fn build(self) -> Result<Server, BuildError> {
        self.config
            .check()
            .map_err(|text| BuildError::Config(text.into()))?;
        check_recovery(&self.config, self.broker.as_deref())?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let (stats, stop) = (Arc::new(Stats::default()), CancellationToken::new());
        let program = match self.app {
            Some(app) => Program::Engine(app),
            None => Program::SocketIo(collect(self.namespaces, &self.states)?),
        };

        let workers = runtime.metrics().num_workers();
        let wanted = if self.config.shards == 0 {
            workers
        } else {
            self.config.shards
        };
        let queues: Box<[Arc<Queue>]> = (0..wanted.clamp(1, MAX_SHARDS))
            .map(|_| Arc::default())
            .collect();
        for (index, queue) in queues.iter().enumerate() {
            let (queue, stats) = (Arc::clone(queue), Arc::clone(&stats));
            let budget = self.config.pending_budget();
            let shard = Shard::new(index as u16, queue, stats, budget).run();
            tokio::spawn(vital("a shard", stop.clone(), shard));
        }

        let cluster = self
            .broker
            .map(|broker| Arc::new(Cluster::new(self.node.clone(), broker, Arc::clone(&stats))));
        let names = match &program {
            Program::SocketIo(namespaces) => namespaces.fixed.keys().cloned().collect(),
            Program::Engine(_) => Vec::new(),
        };
        let sequencer = Arc::new(Sequencer::new(
            names.into_iter(),
            queues,
            cluster.clone(),
            Arc::clone(&stats),
            &self.config,
        ));
        let authorization = Arc::new(Authorization::new(self.authenticator, self.sessions));
        let wheel = Arc::new(Wheel::new(self.config.tick()));

        let background = TaskTracker::new();
        let follow = Arc::clone(&authorization).follow(Arc::clone(&sequencer), stop.clone());
        background.spawn(vital("the session store's follower", stop.clone(), follow));
        let (turning, stopped) = (Arc::clone(&wheel), stop.clone());
        let turn = async move { turning.run(stopped).await };
        background.spawn(vital("the timer", stop.clone(), turn));
        background.close();

        let recovery = match (self.config.recovery, &cluster) {
            (Some(window), Some(cluster)) => {
                let (cluster, max_events) = (Arc::clone(cluster), self.config.max_recovered_events);
                Some(Arc::new(Recovery::new(cluster, window, max_events)))
            }
            _ => None,
        };
        if let Some(recovery) = &recovery {
            let run = Arc::clone(recovery).run(stop.clone());
            background.spawn(vital("the keeper of states", stop.clone(), run));
        }

        let core = Arc::new(Core {
            admission: Arc::new(Admission::new(&self.config, Instant::now())),
            config: self.config,
            origins: self.origins,
            proxies: self.proxies,
            program,
            states: self.states,
            sequencer,
            cluster,
            recovery,
            authorization,
            wheel,
            stats,
            tasks: TaskTracker::new(),
            background,
            stop,
            ping: Arc::new(Frame::ping()),
            sessions: Mutex::default(),
            closing: AtomicBool::new(false),
            flush_by: OnceLock::new(),
        });
        if let Some(cluster) = &core.cluster {
            cluster.attach(&core);
            let run = Arc::clone(cluster).run(core.stop.clone());
            let run = vital("the broker's task", core.stop.clone(), run);
            core.background.spawn(run);
        }
        Ok(Server::new(core))
    }
}

fn check_recovery(config: &Config, broker: Option<&dyn RoomBroker>) -> Result<(), BuildError> {
    let can = broker.map(RoomBroker::capabilities).unwrap_or_default();
    if config.recovery.is_some() && !(can.log && can.recovery) {
        let text = "`recovery` needs a broker that keeps a log and states: give one, or set `None`";
        return Err(BuildError::Config(text.into()));
    }
    Ok(())
}

/// Runs what the server cannot do without. A panic in it is logged, and ends the rest rather than leaving half a server.
async fn vital(name: &'static str, stop: CancellationToken, task: impl Future<Output = ()>) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        tracing::error!("{name} panicked: the server is at its end");
        stop.cancel();
    }
}

fn collect(namespaces: Vec<Namespace>, states: &States) -> Result<Namespaces, BuildError> {
    let mut collected = Namespaces::default();
    for namespace in namespaces {
        let (pattern, handlers) = namespace.into_parts();
        if !pattern.is_valid() {
            return Err(BuildError::NamespaceName(pattern.to_string().into()));
        }
        if let Some(missing) = states.missing(&handlers.requirements) {
            return Err(BuildError::MissingState {
                state: missing.name,
                namespace: pattern.to_string().into(),
                handler: missing.handler.clone(),
            });
        }
        if let Some(what) = handlers.twice.clone() {
            let namespace = pattern.to_string().into();
            return Err(BuildError::HandlerTwice { namespace, what });
        }
        let handlers = Arc::new(handlers);
        match pattern {
            Pattern::Exact(name) => {
                if collected
                    .fixed
                    .insert(Arc::clone(&name), handlers)
                    .is_some()
                {
                    return Err(BuildError::NamespaceTwice((*name).into()));
                }
            }
            pattern => collected.dynamic.push((pattern, handlers)),
        }
    }
    if collected.fixed.is_empty() && collected.dynamic.is_empty() {
        return Err(BuildError::NoNamespace);
    }
    Ok(collected)
}

/// Lets nobody in: for a server that has no namespaces.
#[derive(Debug)]
struct Nobody;

#[async_trait::async_trait]
impl Authenticator for Nobody {
    async fn authenticate(&self, _: &Handshake) -> Result<Identity, AuthError> {
        Err(AuthError::Missing)
    }
}
