//! The server from its parts: what an integrator would write, and what to exchange for other parts.

use std::sync::Arc;

use axum::{Router, middleware};
use slimy_rt::{
    NodeId,
    api::{self, ApiState},
    auth::Authenticator,
    chat::Chat,
    diagnostics::{Diagnostics, Logs},
    events::Namespace,
    server::Server,
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{
    backends::Sessions,
    demo,
    failure::{Failure, chain},
    monitor, pages,
    reload::Reload,
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

/// Builds the server, inside of the runtime that it will run on. `stop` ends what still waits for the bot or looks after engines.
pub(crate) fn assemble(
    settings: Settings,
    logs: Logs,
    stop: CancellationToken,
) -> Result<App, Failure> {
    let backends = &settings.backends;
    let node = NodeId::random();
    let mut chat = Chat::new(settings.chat).stop_on(stop.clone());
    if let Some(bot) = settings.bot {
        chat = chat.bot(bot);
    }
    let sessions = backends.sessions();
    if let Sessions::Shared(store) = &sessions {
        // Nodes agree on whose a message id is. Of ids in its own memory the chat itself knows as much.
        chat = chat.sessions(Arc::clone(store));
    }
    let sources = backends.sources(&node);
    let mut diagnostics = Diagnostics::builder()
        .node(node.clone())
        .max_age(settings.diagnostics_cache)
        .messages(chat.message_count())
        .sessions(sessions.store())
        .logs(logs);
    for source in &sources {
        diagnostics = diagnostics.source(Arc::clone(source));
    }
    if let Some(token) = &settings.metrics_token {
        diagnostics = diagnostics.metrics_token(token.reveal());
    }
    let diagnostics = diagnostics.build();

    let (authenticator, demo): (Arc<dyn Authenticator>, _) = match settings.login {
        Login::Demo(jwt) => {
            load_demo(&sessions)?;
            let jwt = Arc::new(jwt);
            (Arc::clone(&jwt) as _, Some(jwt))
        }
        Login::Jwt(jwt) => (Arc::new(jwt), None),
        Login::Tokens(tokens) => (tokens, None),
    };

    let mut server = Server::builder(authenticator)
        .node(node.clone())
        .sessions(sessions.store())
        .origins(settings.origins)
        .proxies(settings.proxies)
        .namespace(diagnostics.install(chat.install(Namespace::new("/"))));
    if let Some(broker) = backends.room_broker(settings.server.recovery.is_some()) {
        server = server.broker(broker);
    }
    let server = server.config(settings.server).build();
    let server = server.map_err(|error| Failure::config(chain(&error)))?;

    let api = ApiState::new(server.clone(), settings.cookie)
        .version(env!("CARGO_PKG_VERSION"))
        .metrics(sources)
        .development(settings.development);
    let is_demo = demo.is_some();
    tokio::spawn(diagnostics.clone().run(api.clone(), stop.clone()));
    let mut routes = api::routes(&api)
        .merge(diagnostics.routes(&api))
        .merge(pages::routes(is_demo));
    if let Some(jwt) = demo {
        routes = routes.merge(demo::routes(api.clone(), jwt));
    }
    let mut router = api::manners(routes, &api).route_service("/socket.io/", server.service());
    if is_demo {
        router = router.layer(middleware::from_fn(demo::guard));
    }

    let (reload, loaded) = Reload::start(sessions, settings.sessions_file, settings.tls)?;
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

fn load_demo(sessions: &Sessions) -> Result<(), Failure> {
    let Sessions::Memory(store) = sessions else {
        return Err(Failure::start("the demo keeps its users in memory"));
    };
    let demo = demo::sessions().map_err(|error| Failure::start(chain(&error)))?;
    let loaded = store.replace_all(demo);
    loaded.map_err(|error| Failure::start(chain(&error)))?;
    tracing::info!("this is a demo, for this machine only: set JWT_SECRET for more");
    Ok(())
}
