//! Bursts of more than may wait for a client: those who read get them in full, and nobody is closed. What becomes of those who do not
//! read is told by `never-reader`.

use std::time::{Duration, Instant};

use crate::{
    Outcome, Scale, ensure, mib,
    server::{FOR_BURSTS, Server},
    traffic::{Talk, everyone_hears, join_all},
};

const SENDERS: usize = 32;
/// The longest text that the chat takes, of characters of three bytes: 11,700 bytes.
const CHARS: usize = 3_900;
/// What one sender sends at once: 2 MiB come from all, twice what may wait for a client.
const EACH: u32 = 6;
const BUDGET: u64 = 1 << 20;
/// How long a burst may take to reach everyone.
const BOUND: Duration = Duration::from_secs(30);

pub(crate) async fn run(scale: Scale) -> Outcome {
    let (count, rounds) = scale.pick((50, 20), (200, 100));
    let server = Server::start(count, &FOR_BURSTS)?;
    let mut clients = join_all(&server, 0, count).await?;
    let mut slowest = Duration::ZERO;
    let started = Instant::now();
    for _ in 0..rounds {
        let padding = "€".repeat(CHARS);
        let burst = Talk::new(SENDERS, EACH).window(EACH).padding(padding);
        let heard = everyone_hears(clients, burst.within(BOUND)).await?;
        clients = heard.clients;
        slowest = slowest.max(heard.slowest);
    }
    let taken = started.elapsed().as_secs_f64();
    ensure(server.too_slow() == 0, || {
        format!("{} that read were too slow", server.too_slow())
    })?;
    let size = SENDERS as u64 * u64::from(EACH) * CHARS as u64 * 3;
    ensure(size > 2 * BUDGET, || "the bursts are none".into())?;
    Ok(format!(
        "{rounds} bursts of {} to {count} clients in {taken:.1} s, the slowest delivery after {slowest:.0?}: all arrived, nobody was closed, \
         the server holds {}",
        mib(size),
        mib(server.memory()?)
    ))
}
