//! Everybody loses the connection at once and comes back at once: all are in again soon, and nobody is refused.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::{
    Failure, Outcome, Scale,
    client::Client,
    ensure,
    server::Server,
    traffic::{Talk, everyone_hears, join_all, join_at_once},
};

/// How soon all are in again after the network was cut.
const CUT_BOUND: Duration = Duration::from_secs(10);
/// How soon all are in again after the server was killed and another has begun to listen.
const RESTART_BOUND: Duration = Duration::from_secs(15);
/// How often a client tries whose server is not there.
const RETRY: Duration = Duration::from_millis(50);
const BROADCAST_BOUND: Duration = Duration::from_secs(10);

pub(crate) async fn run(scale: Scale) -> Outcome {
    let count = scale.pick(500, 2_000);
    let mut server = Server::start(count, &[])?;
    let clients = join_all(&server, 0, count).await?;

    clients.into_iter().try_for_each(Client::cut)?;
    let started = Instant::now();
    let clients = join_at_once(&server, 0, count, count).await?;
    let after_cut = started.elapsed();
    ensure(after_cut <= CUT_BOUND, || {
        format!("after a cut it took {after_cut:?} until all were in")
    })?;
    let clients = everyone_hears(clients, broadcast()).await?.clients;

    let mut returning = JoinSet::new();
    for (user, client) in clients.into_iter().enumerate() {
        returning.spawn(come_back(client, server.addr, server.cookie(user)?));
    }
    server.restart()?;
    let started = Instant::now();
    let mut clients = Vec::with_capacity(count);
    while let Some(client) = returning.join_next().await {
        clients.push(client.map_err(|error| error.to_string())??);
    }
    let after_restart = started.elapsed();
    ensure(after_restart <= RESTART_BOUND, || {
        format!("after a restart it took {after_restart:?} until all were in")
    })?;
    everyone_hears(clients, broadcast()).await?;
    Ok(format!(
        "{count} clients came back: in {after_cut:.1?} after a cut, in {after_restart:.1?} after the server was replaced"
    ))
}

fn broadcast() -> Talk {
    Talk::new(1, 1).within(BROADCAST_BOUND)
}

/// Waits for the connection to end, then tries until there is a server again. Only that nobody listens is no refusal.
async fn come_back(
    mut client: Client,
    addr: std::net::SocketAddr,
    cookie: String,
) -> Result<Client, Failure> {
    // However it ends: by a reset, or in order.
    while let Ok(Some(_)) = client.message().await {}
    loop {
        match Client::join(addr, &cookie, None).await {
            Err(failure) if failure.starts_with("cannot connect") => {
                tokio::time::sleep(RETRY).await
            }
            joined => return joined,
        }
    }
}
