//! A quiet room beside a saturated one: its messages are not much later for it.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    Failure, Outcome, Scale,
    account::{Account, Seen, chat_message},
    client::Client,
    ensure, eventually,
    server::{GUILD, Server},
    traffic::{Talk, everyone_hears, join_all},
    within,
};

/// The guild of the quiet room.
const QUIET_GUILD: &str = "1176605506912141445";
const QUIET: usize = 20;
/// From one message in the quiet room to the next.
const INTERVAL: Duration = Duration::from_millis(20);
/// Who talks in the busy room, and how much at a time: 64,000 deliveries to 500 clients are under way there at any moment.
const SENDERS: usize = 8;
const WINDOW: u32 = 16;
/// Messages in the busy room after which it counts as saturated.
const SATURATED: u32 = 1_000;
/// How late messages in the quiet room may be beside the busy one. What is under way there is some 20 ms of work; behind all of it, on a machine
/// that has other things to do as well, a message is still earlier than this. One that starves waits for as long as the busy room talks, and
/// that goes on until the last quiet message has come.
const MAX_P50: Duration = Duration::from_millis(250);
const MAX_P99: Duration = Duration::from_secs(1);
/// How long all the messages in the quiet room may take.
const BOUND: Duration = Duration::from_secs(120);

pub(crate) async fn run(scale: Scale) -> Outcome {
    let busy = scale.pick(500, 2_000);
    let (alone, beside) = scale.pick((100, 300), (500, 3_000));
    let server = Arc::new(Server::start_with(
        &[(GUILD, busy), (QUIET_GUILD, QUIET)],
        &["--chat-rate", "off", "--packet-rate", "0"],
    )?);
    let alone = quiet_room(&server, busy, alone).await?;

    let clients = join_all(&server, 0, busy).await?;
    let talk = Arc::new(Talk::new(SENDERS, u32::MAX).window(WINDOW));
    let published = || talk.published().iter().sum::<u32>();
    let mut saturating = pin!(everyone_hears(clients, Arc::clone(&talk)));
    let measuring = async {
        eventually(
            BOUND,
            || published() > SATURATED,
            || "the busy room is not".into(),
        )
        .await?;
        let (before, started) = (published(), Instant::now());
        let latencies = quiet_room(&server, busy, beside).await?;
        let deliveries = f64::from(published() - before) * busy as f64;
        Ok::<_, Failure>((latencies, deliveries / started.elapsed().as_secs_f64()))
    };
    let (beside, rate) = tokio::select! {
        stopped = &mut saturating => return Err(stopped.err().unwrap_or("the busy room fell silent".into())),
        measured = measuring => measured.map_err(|failure| format!("beside a busy room: {failure}"))?,
    };

    ensure(beside.p50() <= MAX_P50 && beside.p99() <= MAX_P99, || {
        format!("beside a busy room, messages took {beside}")
    })?;
    Ok(format!(
        "a quiet room of {QUIET}: {alone} alone, {beside} beside one of {busy} with {rate:.0} deliveries per second"
    ))
}

/// How long deliveries took, in order.
struct Latencies(Vec<Duration>);

impl Latencies {
    fn percentile(&self, percent: usize) -> Duration {
        let last = self.0.len() - 1;
        self.0[last * percent / 100]
    }

    fn p50(&self) -> Duration {
        self.percentile(50)
    }

    fn p99(&self) -> Duration {
        self.percentile(99)
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (p50, p99) = (self.p50(), self.p99());
        write!(f, "p50 {p50:.1?}, p99 {p99:.1?}")
    }
}

/// How long messages take in a room in which somebody says something now and then.
///
/// In a thread of its own: the system sees to it that it is not behind this process's other clients.
async fn quiet_room(
    server: &Arc<Server>,
    first: usize,
    messages: u32,
) -> Result<Latencies, Failure> {
    let server = Arc::clone(server);
    let room = tokio::task::spawn_blocking(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let mut members = JoinSet::new();
            for (index, client) in join_all(&server, first, QUIET)
                .await?
                .into_iter()
                .enumerate()
            {
                let sends = if index == 0 { messages } else { 0 };
                members.spawn(within(
                    BOUND,
                    "the quiet room",
                    member(client, sends, messages),
                ));
            }
            let mut latencies = Vec::new();
            while let Some(member) = members.join_next().await {
                latencies.extend(member.map_err(|error| error.to_string())???);
            }
            latencies.sort_unstable();
            Ok(Latencies(latencies))
        })
    });
    room.await.map_err(|error| error.to_string())?
}

/// Says `sends` things, whether what it said before has come or not, and hears all there is.
async fn member(mut client: Client, sends: u32, messages: u32) -> Result<Vec<Duration>, Failure> {
    let mut account = Account::new(1);
    let mut latencies = Vec::with_capacity(messages as usize);
    let mut ticks = tokio::time::interval(INTERVAL);
    let (mut sent, mut acked) = (0, 0);
    while acked < sends || !account.is_complete(messages) {
        tokio::select! {
            _ = ticks.tick(), if sent < sends => {
                client.send(&chat_message(QUIET_GUILD, 0, sent, "")).await?;
                sent += 1;
            }
            packet = client.message() => {
                let packet = packet?.ok_or("closed by the server")?;
                match account.enter(&packet)? {
                    Seen::Message(taken) => latencies.push(taken),
                    Seen::Ack(_) => acked += 1,
                }
            }
        }
    }
    Ok(latencies)
}
