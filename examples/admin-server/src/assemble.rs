//! The server from its parts: what an integrator would write, and what to exchange for other parts.

use std::{path::PathBuf, sync::Arc};

use axum::{Router, middleware};
use slimy_rt::{
    NodeId,
    api::{self, ApiState},
    auth::Authenticator,
    chat::Chat,
    events::Namespace,
    server::{Server, tls::TlsConfig},
    session::SessionStore,
};
use slimy_rt_backends::memory::MemorySessionStore;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    demo,
    failure::{Failure, chain},
    monitor, pages, sessions_file,
    settings::{Login, Settings},
};

/// The assembled server.
pub(crate) struct App {
    pub(crate) server: Server,
    pub(crate) router: Router,
    pub(crate) reload: Reload,
    /// Ends when the sessions file has been added to a shared store, or that has failed once.
    pub(crate) loaded: Option<oneshot::Receiver<()>>,
}

/// What SIGHUP reads again.
#[derive(Clone)]
pub(crate) struct Reload {
    sessions: Option<(PathBuf, Target)>,
    tls: Option<TlsConfig>,
}

/// Where the sessions file's sessions go.
#[derive(Clone)]
enum Target {
    /// They are all that there are.
    Memory(MemorySessionStore),
    /// They are added to a store that servers share, by a task of its own.
    Shared(watch::Sender<Arc<sessions_file::Sessions>>),
}

/// Builds the server, inside of the runtime that it will run on. `stop` ends what still waits for the bot or looks after engines.
pub(crate) fn assemble(settings: Settings, stop: CancellationToken) -> Result<App, Failure> {
    let backends = &settings.backends;
    let node = NodeId::random();
    let mut chat = Chat::new(settings.chat).stop_on(stop.clone());
    if let Some(bot) = settings.bot {
        chat = chat.bot(bot);
    }
    let memory = MemorySessionStore::new();
    let shared = backends.sessions.as_ref().map(|engine| engine.sessions());
    let sessions: Arc<dyn SessionStore> = match &shared {
        Some(shared) => {
            // Nodes agree on whose a message id is. Of ids in its own memory the chat itself knows as much.
            chat = chat.sessions(Arc::clone(shared));
            Arc::clone(shared)
        }
        None => Arc::new(memory.clone()),
    };
    let (authenticator, demo): (Arc<dyn Authenticator>, _) = match settings.login {
        Login::Demo(jwt) => {
            load_demo(&memory)?;
            let jwt = Arc::new(jwt);
            (Arc::clone(&jwt) as _, Some(jwt))
        }
        Login::Jwt(jwt) => (Arc::new(jwt), None),
        Login::Tokens(tokens) => (tokens, None),
    };

    let mut server = Server::builder(authenticator)
        .node(node.clone())
        .sessions(sessions)
        .origins(settings.origins)
        .proxies(settings.proxies)
        .namespace(chat.install(Namespace::new("/")));
    if let Some(broker) = backends.room_broker(settings.server.recovery.is_some()) {
        server = server.broker(broker);
    }
    let server = server.config(settings.server).build();
    let server = server.map_err(|error| Failure::config(chain(&error)))?;

    let api = ApiState::new(server.clone(), settings.cookie)
        .version(env!("CARGO_PKG_VERSION"))
        .metrics(backends.sources(&node))
        .development(settings.development);
    let is_demo = demo.is_some();
    let mut routes = api::routes(&api).merge(pages::routes(is_demo));
    if let Some(jwt) = demo {
        routes = routes.merge(demo::routes(api.clone(), jwt));
    }
    let mut router = api::manners(routes, &api).route_service("/socket.io/", server.service());
    if is_demo {
        router = router.layer(middleware::from_fn(demo::guard));
    }

    let mut loaded = None;
    let sessions = match (settings.sessions_file, shared) {
        (Some(file), Some(shared)) => {
            let read = sessions_file::read(&file).map_err(Failure::start)?;
            let (newest, changes) = watch::channel(Arc::new(read));
            let (tried, first) = oneshot::channel();
            tokio::spawn(sessions_file::add_forever(shared, changes, tried));
            loaded = Some(first);
            Some((file, Target::Shared(newest)))
        }
        (Some(file), None) => {
            let read = sessions_file::read(&file).map_err(Failure::start)?;
            let replaced = sessions_file::replace(&memory, read);
            replaced.map_err(|error| Failure::start(chain(&error)))?;
            Some((file, Target::Memory(memory)))
        }
        (None, _) => None,
    };
    let reload = Reload {
        sessions,
        tls: settings.tls,
    };
    for engine in &backends.engines {
        tokio::spawn(monitor::watch(engine.clone(), stop.clone()));
    }
    Ok(App {
        server,
        router,
        reload,
        loaded,
    })
}

fn load_demo(sessions: &MemorySessionStore) -> Result<(), Failure> {
    let demo = demo::sessions().map_err(|error| Failure::start(chain(&error)))?;
    let loaded = sessions.replace_all(demo);
    loaded.map_err(|error| Failure::start(chain(&error)))?;
    tracing::info!("this is a demo, for this machine only: set JWT_SECRET for more");
    Ok(())
}

impl Reload {
    /// Reads the sessions file and the certificate again. What cannot be read stays as it was. Blocks on the file system.
    pub(crate) fn reload(&self) {
        if let Err(error) = self.load_sessions() {
            tracing::error!("{error}; the sessions stay as they were");
        }
        if let Some(tls) = &self.tls {
            match tls.reload() {
                Ok(()) => tracing::info!("certificate loaded"),
                Err(error) => {
                    tracing::error!("{}; the certificate in use stays", chain(&error));
                }
            }
        }
    }

    fn load_sessions(&self) -> Result<(), String> {
        let Some((file, target)) = &self.sessions else {
            return Ok(());
        };
        let sessions = sessions_file::read(file)?;
        match target {
            Target::Memory(store) => {
                sessions_file::replace(store, sessions).map_err(|error| chain(&error))
            }
            Target::Shared(newest) => {
                newest.send_replace(Arc::new(sessions));
                Ok(())
            }
        }
    }
}
