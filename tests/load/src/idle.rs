//! Clients that do nothing but answer pings: what they cost, and that each is still there in the end.

use std::time::{Duration, Instant};

use tokio::{task::JoinSet, time::Instant as Timer};

use crate::{
    Outcome, Scale,
    client::Client,
    ensure, mib,
    server::Server,
    traffic::{Heard, Talk, everyone_hears, join_all},
};

/// How long the broadcast at the end may take to reach everyone.
const BROADCAST_BOUND: Duration = Duration::from_secs(10);
/// What a client may cost the server at the most.
const MAX_BYTES_PER_CLIENT: u64 = 12 * 1024;

pub(crate) async fn run(scale: Scale) -> Outcome {
    let count = scale.pick(1_500, 15_000);
    let hold = Duration::from_secs(scale.pick(5, 60));
    let (interval, timeout) = (scale.pick("1000", "10000"), "10000");
    let server = Server::start(
        count,
        &["--ping-interval-ms", interval, "--ping-timeout-ms", timeout],
    )?;
    let before = server.memory()?;
    let started = Instant::now();
    let clients = join_all(&server, 0, count).await?;
    let joined_in = started.elapsed();
    let each = server.memory()?.saturating_sub(before) / count as u64;

    let cpu = server.cpu()?;
    let until = Timer::now() + hold;
    let mut holding = JoinSet::new();
    for mut client in clients {
        holding.spawn(async move {
            match tokio::time::timeout_at(until, client.message()).await {
                Err(_) => Ok(client),
                Ok(unexpected) => Err(format!("an idle client got {unexpected:?}")),
            }
        });
    }
    let mut clients: Vec<Client> = Vec::with_capacity(count);
    while let Some(held) = holding.join_next().await {
        clients.push(held.map_err(|error| error.to_string())??);
    }
    let load = (server.cpu()?.saturating_sub(cpu)).as_secs_f64() / hold.as_secs_f64() * 100.0;

    // One ping may be due at this very moment.
    let interval: f64 = interval
        .parse()
        .map_err(|_| "an interval in milliseconds")?;
    let expected = (hold.as_millis() as f64 / (interval * 1.2)) as u32 - 1;
    let fewest = clients
        .iter()
        .map(|client| client.pings)
        .min()
        .unwrap_or_default();
    ensure(fewest >= expected, || {
        format!("a client got {fewest} pings, not {expected}")
    })?;
    ensure(each <= MAX_BYTES_PER_CLIENT, || {
        format!("{each} bytes per client")
    })?;
    // Two, so that one that came twice would show before the second.
    let talk = Talk::new(1, 2).within(BROADCAST_BOUND);
    let Heard {
        clients, slowest, ..
    } = everyone_hears(clients, talk).await?;
    ensure(clients.len() == count, || {
        format!("{} clients are left", clients.len())
    })?;
    Ok(format!(
        "{count} clients joined in {:.1} s and stayed {hold:?} with at least {fewest} pings each: {each} bytes each ({} in all), {load:.1}% of \
         one processor; a broadcast reached all in {slowest:.0?}",
        joined_in.as_secs_f64(),
        mib(server.memory()?)
    ))
}
