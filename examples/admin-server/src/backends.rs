//! What the flags `--sessions`, `--broker`, `--authenticator` and `--metrics` name.

use std::{path::PathBuf, sync::Arc, time::Duration};

use slimy_rt::{
    NodeId,
    broker::RoomBroker,
    metrics::{MetricsSource, ProcessMetrics, UploadDirectory},
    session::SessionStore,
};
use slimy_rt_backends::memory::{MemoryBroker, MemorySessionStore};

use crate::{
    config::BackendArgs,
    engines::{Engine, Engines, Named, NamedEngine, Options},
    failure::Failure,
};

/// How old a count of uploads may be: a large directory takes long.
const UPLOADS_MAX_AGE: Duration = Duration::from_secs(30);

/// The four backends. An engine's absence is what the program has without one.
#[derive(Debug)]
pub(crate) struct Backends {
    /// `None`: in memory.
    pub(crate) shared_sessions: Option<Arc<dyn Engine>>,
    /// `None`: this node is alone.
    pub(crate) broker: Option<Arc<dyn Engine>>,
    /// `None`: JWT.
    pub(crate) tokens: Option<Arc<dyn Engine>>,
    pub(crate) metrics: Vec<Source>,
    /// Each engine once.
    pub(crate) engines: Vec<NamedEngine>,
    /// Whether an engine that is away at the start is a reason not to start.
    pub(crate) required: bool,
}

/// A session store, and whether it is this server's own.
pub(crate) enum Sessions {
    Memory(MemorySessionStore),
    Shared(Arc<dyn SessionStore>),
}

impl Sessions {
    pub(crate) fn store(&self) -> Arc<dyn SessionStore> {
        match self {
            Self::Memory(store) => Arc::new(store.clone()),
            Self::Shared(store) => Arc::clone(store),
        }
    }
}

/// Where figures come from.
#[derive(Debug)]
pub(crate) enum Source {
    Process,
    Uploads(PathBuf),
    Engine(Arc<dyn Engine>),
}

impl Backends {
    pub(crate) fn new(args: &BackendArgs) -> Result<Self, Failure> {
        let mut engines = engines(args);
        let sessions = engine(&mut engines, "--sessions", &args.sessions, "memory")?;
        let broker = engine(&mut engines, "--broker", &args.broker, "memory")?;
        let tokens = engine(&mut engines, "--authenticator", &args.authenticator, "jwt")?;
        let metrics = args.metrics.iter().map(|url| source(&mut engines, url));
        Ok(Self {
            shared_sessions: sessions,
            broker,
            tokens,
            metrics: metrics.collect::<Result<_, _>>()?,
            engines: engines.into_named(),
            required: args.require_backends,
        })
    }

    /// What carries messages between nodes; of a node alone, what keeps those that a client may have missed, if that is `wanted`.
    pub(crate) fn room_broker(&self, wanted: bool) -> Option<Arc<dyn RoomBroker>> {
        match &self.broker {
            Some(engine) => Some(engine.broker()),
            None if wanted => Some(Arc::new(MemoryBroker::new())),
            None => None,
        }
    }

    /// Where sessions are kept. Each call in memory is another memory.
    pub(crate) fn sessions(&self) -> Sessions {
        match &self.shared_sessions {
            Some(engine) => Sessions::Shared(engine.sessions()),
            None => Sessions::Memory(MemorySessionStore::new()),
        }
    }

    /// The sources of figures.
    pub(crate) fn sources(&self, node: &NodeId) -> Vec<Arc<dyn MetricsSource>> {
        let source = |source: &Source| -> Arc<dyn MetricsSource> {
            match source {
                Source::Process => Arc::new(ProcessMetrics::new()),
                Source::Uploads(directory) => {
                    Arc::new(UploadDirectory::new(directory).max_age(UPLOADS_MAX_AGE))
                }
                Source::Engine(engine) => engine.metrics(node),
            }
        };
        self.metrics.iter().map(source).collect()
    }
}

/// The engine that `--sessions` names, if any.
pub(crate) fn sessions(args: &BackendArgs) -> Result<Option<Arc<dyn Engine>>, Failure> {
    engine(&mut engines(args), "--sessions", &args.sessions, "memory")
}

/// The engine that `--authenticator` names, if any.
pub(crate) fn tokens(args: &BackendArgs) -> Result<Option<Arc<dyn Engine>>, Failure> {
    engine(
        &mut engines(args),
        "--authenticator",
        &args.authenticator,
        "jwt",
    )
}

fn engines(args: &BackendArgs) -> Engines {
    Engines::new(Options {
        redis_password_file: args.redis_password_file.clone(),
    })
}

fn engine(
    engines: &mut Engines,
    flag: &'static str,
    url: &str,
    own: &'static str,
) -> Result<Option<Arc<dyn Engine>>, Failure> {
    match engines.find(flag, url, &[own])? {
        Named::Engine(engine) => Ok(Some(engine)),
        Named::Own(scheme, rest) => nothing_follows(flag, scheme, &rest).map(|()| None),
    }
}

fn source(engines: &mut Engines, url: &str) -> Result<Source, Failure> {
    const FLAG: &str = "--metrics";
    match engines.find(FLAG, url, &["process", "uploads"])? {
        Named::Engine(engine) => Ok(Source::Engine(engine)),
        Named::Own("uploads", directory) if directory.is_empty() => Err(Failure::config(format!(
            "{FLAG}: name the directory, such as uploads:/srv/uploads"
        ))),
        Named::Own("uploads", directory) => Ok(Source::Uploads(directory.into())),
        Named::Own(scheme, rest) => nothing_follows(FLAG, scheme, &rest).map(|()| Source::Process),
    }
}

fn nothing_follows(flag: &str, scheme: &str, rest: &str) -> Result<(), Failure> {
    match rest {
        "" => Ok(()),
        _ => Err(Failure::config(format!(
            "{flag}: nothing follows `{scheme}:`"
        ))),
    }
}
