//! Clients that come and go, politely and not, over both transports: afterwards nothing of them is left.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    Failure, Outcome, Scale,
    client::Client,
    ensure, eventually, mib,
    polling::{Abandoned, Polling},
    server::Server,
};

const AT_ONCE: usize = 64;
/// How long the server may keep a session without a sign of life: `--ping-interval-ms` and `--ping-timeout-ms`, and its timer's grain.
const ABANDONED_FOR: Duration = Duration::from_millis(2_500);
/// How soon descriptors are given back.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// Rounds until the allocator has what it needs.
const WARM_UP: usize = 2;
/// How much memory may grow from the warm rounds to the last: a constant, and so little for each client that a leak of any object would show.
const MAX_GROWTH: u64 = 4 << 20;
const MAX_GROWTH_PER_CLIENT: u64 = 64;

pub(crate) async fn run(scale: Scale) -> Outcome {
    let (rounds, each) = scale.pick((5, 400), (10, 2_000));
    let server = Server::start(
        each,
        &["--ping-interval-ms", "1000", "--ping-timeout-ms", "1000"],
    )?;
    let started = Instant::now();
    // The first connection makes the server open what it keeps.
    round(&server, 1).await?;
    let descriptors = server.descriptors();
    let mut memory = Vec::new();
    for _ in 0..rounds {
        let abandoned = round(&server, each).await?;
        eventually(
            CLOSED_WITHIN,
            || server.descriptors() <= descriptors,
            || format!("{} descriptors, {descriptors} before", server.descriptors()),
        )
        .await?;
        tokio::time::sleep(ABANDONED_FOR).await;
        for session in abandoned {
            ensure(session.forgotten().await?, || {
                "an abandoned session is still there".into()
            })?;
        }
        memory.push(server.memory()?);
    }
    let (warm, last) = (memory[WARM_UP - 1], memory[rounds - 1]);
    let clients = ((rounds - WARM_UP) * each) as u64;
    let shown: Vec<String> = memory.iter().map(|&bytes| mib(bytes)).collect();
    ensure(
        last <= warm + MAX_GROWTH + clients * MAX_GROWTH_PER_CLIENT,
        || format!("memory keeps growing: {}", shown.join(", ")),
    )?;
    Ok(format!(
        "{} clients came and went in {:.1} s: all descriptors back, memory after each round {}",
        rounds * each,
        started.elapsed().as_secs_f64(),
        shown.join(", ")
    ))
}

/// Each user once, a quarter in each manner. Gives some of the abandoned sessions.
async fn round(server: &Server, count: usize) -> Result<Vec<Abandoned>, Failure> {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut visits = JoinSet::new();
    for user in 0..count {
        let (addr, cookie, permits) = (server.addr, server.cookie(user)?, Arc::clone(&permits));
        visits.spawn(async move {
            let _permit = permits.acquire().await;
            visit(addr, cookie, user % 4).await
        });
    }
    let mut abandoned = Vec::new();
    while let Some(visit) = visits.join_next().await {
        abandoned.extend(visit.map_err(|error| error.to_string())??);
    }
    abandoned.truncate(8);
    Ok(abandoned)
}

async fn visit(
    addr: SocketAddr,
    cookie: String,
    manner: usize,
) -> Result<Option<Abandoned>, Failure> {
    match manner {
        0 => Client::join(addr, &cookie, None).await?.leave().await?,
        1 => Client::join(addr, &cookie, None).await?.cut()?,
        2 => Polling::join(addr, cookie).await?.leave().await?,
        _ => return Polling::join(addr, cookie).await?.cut().await.map(Some),
    }
    Ok(None)
}
