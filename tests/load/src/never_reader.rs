//! Clients that never read: closed at their budget with a word about why, and nobody else notices.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    Failure, Outcome, Scale,
    account::Account,
    client::Client,
    ensure, eventually, mib,
    server::{FOR_BURSTS, Server, memory_of},
    traffic::{Heard, Talk, everyone_hears, join_all},
    within,
};

const SENDERS: usize = 4;
/// The longest text that the chat takes, of characters of three bytes: 11,700 bytes.
const CHARS: usize = 3_900;
/// More than a client's budget (1 MiB) and what the system buffers for it.
const EACH: u32 = 160;
/// The smallest that the system allows.
const TINY_BUFFER: u32 = 1;
/// How long a message to those who read may take, however many do not.
const MAX_DELAY: Duration = Duration::from_secs(2);
/// How much those who do not read may cost together.
const MAX_GROWTH: u64 = 16 << 20;
/// How long those who do not read may stay past their budget.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// How much of their throughput the others must keep. A healthy server keeps nearly all of it, but a busy machine varies by a third by itself.
const MIN_THROUGHPUT: f64 = 0.5;
const BOUND: Duration = Duration::from_secs(120);

pub(crate) async fn run(scale: Scale) -> Outcome {
    let readers = scale.pick(100, 500);
    let twentieth = readers / 20;
    let server = Server::start(readers + twentieth, &FOR_BURSTS)?;
    let mut clients = join_all(&server, 0, readers).await?;
    let mut lines = Vec::new();
    let mut rates = Vec::new();
    for blocked in [0, 1, twentieth, 0] {
        let phase = phase(&server, clients, readers, blocked).await?;
        clients = phase.clients;
        lines.push(phase.line);
        rates.push(phase.rate);
    }
    let ratio = rates[2] / ((rates[0] + rates[3]) / 2.0);
    ensure(ratio >= MIN_THROUGHPUT, || {
        format!(
            "with {twentieth} that never read, the others' throughput was {ratio:.2} of what it is without"
        )
    })?;
    Ok(format!(
        "{readers} readers; {}; the others' throughput with {twentieth}: {ratio:.2} of that with none",
        lines.join("; ")
    ))
}

struct Phase {
    clients: Vec<Client>,
    /// Deliveries per second to those who read.
    rate: f64,
    line: String,
}

async fn phase(
    server: &Server,
    clients: Vec<Client>,
    first: usize,
    blocked: usize,
) -> Result<Phase, Failure> {
    let (descriptors, too_slow) = (server.descriptors(), server.too_slow());
    let before = server.memory()?;
    let mut silent = Vec::new();
    for user in first..first + blocked {
        silent.push(Client::join(server.addr, &server.cookie(user)?, Some(TINY_BUFFER)).await?);
    }

    let peak = Arc::new(AtomicU64::new(before));
    let sampling = tokio::spawn({
        let (peak, process) = (Arc::clone(&peak), server.id());
        async move {
            while let Ok(memory) = memory_of(process) {
                peak.fetch_max(memory, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let talk = Talk::new(SENDERS, EACH).padding("€".repeat(CHARS));
    let started = Instant::now();
    let heard = everyone_hears(clients, talk.within(BOUND)).await;
    let taken = started.elapsed().as_secs_f64();
    sampling.abort();
    let Heard {
        clients,
        deliveries,
        slowest,
    } = heard?;
    let rate = deliveries as f64 / taken;
    let growth = peak.load(Ordering::Relaxed).saturating_sub(before);
    ensure(slowest <= MAX_DELAY, || {
        format!("with {blocked} that never read, a message took {slowest:?}")
    })?;
    ensure(growth <= MAX_GROWTH, || {
        format!("{blocked} that never read cost {}", mib(growth))
    })?;

    let open = || server.descriptors();
    eventually(
        CLOSED_WITHIN,
        || open() <= descriptors,
        || {
            format!(
                "of {blocked} that never read, {} are not closed",
                open() - descriptors
            )
        },
    )
    .await?;
    let named = || server.too_slow() - too_slow;
    eventually(
        CLOSED_WITHIN,
        || named() == blocked,
        || format!("of {blocked} that never read, {} were named", named()),
    )
    .await?;
    // Now they read: what they were sent in order, and then the end.
    for mut client in silent {
        let mut account = Account::new(SENDERS);
        while let Ok(Some(packet)) = within(CLOSED_WITHIN, "the end", client.message()).await? {
            account.enter(&packet)?;
        }
        ensure(!account.is_complete(EACH), || {
            "one that never read got everything".into()
        })?;
    }
    let line = format!(
        "{blocked} never read: {rate:.0} deliveries per second, the slowest after {slowest:.0?}, memory grew by {}",
        mib(growth)
    );
    Ok(Phase {
        clients,
        rate,
        line,
    })
}
