//! Clients that never read: closed at their budget, and nobody else notices.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    Failure, Outcome, Scale,
    client::Client,
    ensure, eventually, mib,
    server::{Server, memory_of},
    traffic::{Account, everyone_hears, join_all},
    within,
};

const SENDERS: usize = 4;
/// The longest text that the chat takes, of characters of three bytes: 12,000 bytes.
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
const BOUND: Duration = Duration::from_secs(120);

pub(crate) async fn run(scale: Scale) -> Outcome {
    let readers = scale.pick(100, 500);
    let twentieth = readers / 20;
    let server = Server::start(
        readers + twentieth,
        &[
            "--chat-rate",
            "off",
            "--packet-rate",
            "0",
            "--max-payload",
            "100000",
        ],
    )?;
    let mut clients = join_all(&server, 0, readers).await?;
    let mut lines = Vec::new();
    for blocked in [1, twentieth] {
        let line;
        (clients, line) = phase(&server, clients, readers, blocked).await?;
        lines.push(line);
    }
    Ok(format!("{readers} readers; {}", lines.join("; ")))
}

async fn phase(
    server: &Server,
    clients: Vec<Client>,
    first: usize,
    blocked: usize,
) -> Result<(Vec<Client>, String), Failure> {
    let descriptors = server.descriptors();
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
    let heard = everyone_hears(clients, SENDERS, EACH, &"€".repeat(CHARS), BOUND).await;
    sampling.abort();
    let (clients, slowest) = heard?;
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
        "{blocked} never read: closed, memory grew by {}, slowest delivery {slowest:.0?}",
        mib(growth)
    );
    Ok((clients, line))
}
