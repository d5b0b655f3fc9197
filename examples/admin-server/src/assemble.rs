//! The server from its parts: what an integrator would write, and what to exchange for other parts.

use std::{path::PathBuf, sync::Arc};

use axum::{Router, middleware};
use slimy_rt::{
    api::{self, ApiState},
    chat::Chat,
    events::Namespace,
    server::{Server, tls::TlsConfig},
};
use slimy_rt_backends::memory::MemorySessionStore;
use tokio_util::sync::CancellationToken;

use crate::{
    demo,
    failure::{Failure, chain},
    pages, sessions_file,
    settings::{Settings, Users},
};

/// The assembled server.
pub(crate) struct App {
    pub(crate) server: Server,
    pub(crate) router: Router,
    pub(crate) reload: Reload,
}

/// What SIGHUP reads again.
#[derive(Clone)]
pub(crate) struct Reload {
    sessions: MemorySessionStore,
    sessions_file: Option<PathBuf>,
    tls: Option<TlsConfig>,
}

/// Builds the server, inside of the runtime that it will run on. `stop` ends what still waits for the bot.
pub(crate) fn assemble(settings: Settings, stop: CancellationToken) -> Result<App, Failure> {
    let sessions = MemorySessionStore::new();
    let sessions_file = load_users(&settings.users, &sessions)?;

    // The sessions are this node's alone, and of message ids the chat itself knows as much.
    let mut chat = Chat::new(settings.chat).stop_on(stop);
    if let Some(bot) = settings.bot {
        chat = chat.bot(bot);
    }
    let jwt = Arc::new(settings.jwt);
    // One node has nobody to tell: `memory:` needs no broker beside the server's own rooms.
    let server = Server::builder(Arc::clone(&jwt))
        .sessions(sessions.clone())
        .config(settings.server)
        .origins(settings.origins)
        .proxies(settings.proxies)
        .namespace(chat.install(Namespace::new("/")))
        .build()
        .map_err(|error| Failure::config(chain(&error)))?;

    let api = ApiState::new(server.clone(), settings.cookie)
        .version(env!("CARGO_PKG_VERSION"))
        .development(settings.development);
    let is_demo = settings.users == Users::Demo;
    let mut routes = api::routes(&api).merge(pages::routes(is_demo));
    if is_demo {
        routes = routes.merge(demo::routes(api.clone(), jwt));
    }
    let mut router = api::manners(routes, &api).route_service("/socket.io/", server.service());
    if is_demo {
        router = router.layer(middleware::from_fn(demo::guard));
    }
    let reload = Reload {
        sessions,
        sessions_file,
        tls: settings.tls,
    };
    Ok(App {
        server,
        router,
        reload,
    })
}

fn load_users(users: &Users, sessions: &MemorySessionStore) -> Result<Option<PathBuf>, Failure> {
    match users {
        Users::Demo => {
            let demo = demo::sessions().map_err(|error| Failure::start(chain(&error)))?;
            let loaded = sessions.replace_all(demo);
            loaded.map_err(|error| Failure::start(chain(&error)))?;
            tracing::info!("this is a demo, for this machine only: set JWT_SECRET for more");
            Ok(None)
        }
        Users::Known(None) => Ok(None),
        Users::Known(Some(file)) => {
            sessions_file::load(file, sessions).map_err(Failure::start)?;
            Ok(Some(file.clone()))
        }
    }
}

impl Reload {
    /// Reads the sessions file and the certificate again. What cannot be read stays as it was. Blocks on the file system.
    pub(crate) fn reload(&self) {
        if let Some(file) = &self.sessions_file
            && let Err(error) = sessions_file::load(file, &self.sessions)
        {
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
}
