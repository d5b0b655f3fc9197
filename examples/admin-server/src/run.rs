//! Runs the server: listens, follows signals, and stops in good order.

use std::{
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

use slimy_rt::{
    diagnostics::Logs,
    server::serve::{ServeConfig, serve},
};
use tokio::{
    net::{TcpListener, TcpSocket},
    runtime,
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{assemble::assemble, failure::Failure, monitor, reload::Reload, settings::Settings};

/// All of the shutdown: an operator's patience.
const SHUTDOWN: Duration = Duration::from_secs(10);
/// How long clients may take to be told and to get what is queued.
const FLUSH: Duration = Duration::from_secs(8);
/// How long requests in flight may take.
const REQUESTS: Duration = Duration::from_secs(5);

/// How long the sessions file may take to get into a shared store before the server listens all the same.
const LOAD: Duration = Duration::from_secs(5);

/// How many connections may wait to be accepted; the system may allow fewer.
const BACKLOG: u32 = 4096;

/// Serves until SIGTERM or Ctrl-C.
pub(crate) fn run(settings: Settings, logs: Logs) -> Result<(), Failure> {
    let mut runtime = runtime::Builder::new_multi_thread();
    if let Some(threads) = settings.worker_threads {
        runtime.worker_threads(threads.get());
    }
    let runtime = runtime.enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::start(format!("cannot start threads: {error}")))?;
    let ended = runtime.block_on(listen(settings, logs));
    // What is still running was given its time.
    runtime.shutdown_background();
    ended
}

async fn listen(settings: Settings, logs: Logs) -> Result<(), Failure> {
    let cannot =
        |error: io::Error| Failure::start(format!("cannot listen on {}: {error}", settings.listen));
    let listener = bind(settings.listen).map_err(cannot)?;
    let addr = listener.local_addr().map_err(cannot)?;
    let config = ServeConfig {
        shutdown_timeout: REQUESTS,
        tls: settings.tls.clone(),
        ..ServeConfig::default()
    };
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    if settings.backends.required {
        monitor::require(&settings.backends.engines).await?;
    }
    let stop = CancellationToken::new();
    let app = assemble(settings, logs, stop.clone())?;
    let signals = Signals::new()
        .map_err(|error| Failure::start(format!("cannot follow signals: {error}")))?;
    if let Some(loaded) = app.loaded {
        // Users who come at once find their guilds. An engine that is away is no reason to wait longer.
        if timeout(LOAD, loaded).await.is_err() {
            tracing::warn!("the sessions file is not in the store yet");
        }
    }
    let serving = tokio::spawn(serve(listener, app.router, config, stop.clone()));
    announce(scheme, addr)
        .map_err(|error| Failure::start(format!("cannot write to stdout: {error}")))?;

    let broken = tokio::select! {
        () = signals.until_stop(app.reload) => false,
        () = app.server.stopped() => true,
    };
    tracing::info!("shutting down");
    // First nobody else gets in, then those who are in are told.
    stop.cancel();
    let stopped = async { tokio::join!(app.server.shutdown(FLUSH), serving) };
    match timeout(SHUTDOWN, stopped).await {
        Ok((true, Ok(()))) => tracing::info!("stopped"),
        Ok((_, Err(error))) => tracing::error!(%error, "serving failed"),
        Ok((false, Ok(()))) | Err(_) => tracing::warn!("not everything ended in time"),
    }
    if broken {
        return Err(Failure::start("the server stopped by itself; see its log"));
    }
    Ok(())
}

/// Listens with room for a storm of reconnecting clients.
fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

fn announce(scheme: &str, addr: SocketAddr) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on {scheme}://{addr}")?;
    stdout.flush()
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Reloads on SIGHUP; ends on SIGTERM and on Ctrl-C.
    async fn until_stop(mut self, reload: Reload) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    let reload = reload.clone();
                    if let Err(error) = tokio::task::spawn_blocking(move || reload.reload()).await {
                        tracing::error!(%error, "the reload failed");
                    }
                }
            }
        }
    }
}
