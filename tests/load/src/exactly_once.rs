//! Many deliveries while others come and go all the time: nothing is lost, doubled or reordered, neither for those who stay nor, from
//! their joining to their leaving, for those who do not.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet};

use crate::{
    Failure, Outcome, Scale,
    account::Account,
    client::Client,
    ensure,
    server::Server,
    traffic::{Heard, Talk, everyone_hears, join_all},
    within,
};

/// Those who stay.
const STEADY: usize = 500;
/// Those who come and go.
const VISITORS: usize = 1_000;
const SENDERS: usize = 20;
/// Messages of a sender under way at a time.
const WINDOW: u32 = 16;
/// How many messages a visitor hears before it goes.
const STAY: u64 = 16;
/// How often a visitor that leaves and joins on one connection does so.
const STAYS: usize = 3;
const MANNERS: usize = 3;
/// How long a visit may take, or the deliveries at the end.
const VISIT_BOUND: Duration = Duration::from_secs(60);

pub(crate) async fn run(scale: Scale) -> Outcome {
    // With those who stay alone: 10⁷ and 10⁸ deliveries.
    let each = scale.pick(1_000, 10_000);
    let target = STEADY as u64 * SENDERS as u64 * u64::from(each);
    let server = Server::start(
        STEADY + VISITORS,
        &["--chat-rate", "off", "--packet-rate", "0"],
    )?;
    let steady = join_all(&server, 0, STEADY).await?;
    let talk = Arc::new(Talk::new(SENDERS, each).window(WINDOW));
    let (over, is_over) = watch::channel(false);
    let mut visitors = JoinSet::new();
    for user in STEADY..STEADY + VISITORS {
        let place = Place {
            addr: server.addr,
            cookie: server.cookie(user)?,
            talk: Arc::clone(&talk),
            over: is_over.clone(),
        };
        visitors.spawn(come_and_go(place, user));
    }

    let started = Instant::now();
    let mut heard = pin!(everyone_hears(steady, Arc::clone(&talk)));
    let heard = tokio::select! {
        heard = &mut heard => heard?,
        Some(visitor) = visitors.join_next() => {
            visitor.map_err(|error| error.to_string())??;
            return Err("a visitor stopped coming".into());
        }
    };
    let taken = started.elapsed().as_secs_f64();
    over.send_replace(true);
    let (mut fewest, mut stays, mut overheard) = (usize::MAX, 0, 0);
    while let Some(visitor) = visitors.join_next().await {
        let visits = visitor.map_err(|error| error.to_string())??;
        fewest = fewest.min(visits.made);
        stays += visits.stays;
        overheard += visits.deliveries;
    }
    ensure(fewest >= MANNERS, || {
        format!("of {MANNERS} visits, a visitor made {fewest}")
    })?;

    let Heard {
        clients,
        deliveries,
        slowest,
    } = heard;
    ensure(deliveries >= target, || {
        format!("{deliveries} deliveries, not {target}")
    })?;
    // Whatever comes twice comes before what is sent now.
    everyone_hears(clients, Talk::new(1, 1).within(VISIT_BOUND)).await?;
    Ok(format!(
        "{deliveries} deliveries to {STEADY} clients that stayed, in {taken:.1} s, the slowest after {slowest:.0?}; meanwhile {VISITORS} others \
         joined and left {stays} times, each in at least {fewest} visits, and got {overheard} more: nothing lost, doubled or reordered"
    ))
}

/// Where visitors come, and until when.
#[derive(Debug)]
struct Place {
    addr: SocketAddr,
    cookie: String,
    talk: Arc<Talk>,
    over: watch::Receiver<bool>,
}

/// What one visitor did.
#[derive(Debug, Default)]
struct Visits {
    made: usize,
    /// From joining the namespace to leaving it.
    stays: usize,
    deliveries: u64,
}

async fn come_and_go(mut place: Place, user: usize) -> Result<Visits, Failure> {
    let mut visits = Visits::default();
    while !*place.over.borrow() {
        let manner = (user + visits.made) % MANNERS;
        let visit = visit(&mut place, manner, &mut visits);
        let visited = within(VISIT_BOUND, "a visit", visit).await?;
        visited.map_err(|failure| format!("a visitor of manner {manner}: {failure}"))?;
        visits.made += 1;
    }
    Ok(visits)
}

async fn visit(place: &mut Place, manner: usize, visits: &mut Visits) -> Result<(), Failure> {
    let mut visitor = Visitor::come(place).await?;
    visitor.stay(place).await?;
    match manner {
        // The connection breaks.
        0 => {
            visitor.catch_up(place).await?;
            visitor.end_stay(visits);
            visitor.client.cut()
        }
        // The WebSocket is closed.
        1 => {
            let published = place.talk.published();
            visitor.client.close().await?;
            while visitor.hear().await? {}
            visitor.ensure_has(&published)?;
            visitor.end_stay(visits);
            Ok(())
        }
        // The namespace is left, and joined again on the same connection.
        _ => {
            for _ in 1..STAYS {
                visitor.come_again(place, visits).await?;
                visitor.stay(place).await?;
            }
            visitor.catch_up(place).await?;
            visitor.end_stay(visits);
            visitor.client.leave().await
        }
    }
}

/// A client that has come, and the account of its stay.
#[derive(Debug)]
struct Visitor {
    client: Client,
    account: Account,
}

impl Visitor {
    async fn come(place: &Place) -> Result<Self, Failure> {
        let published = place.talk.published();
        let client = Client::join(place.addr, &place.cookie, None).await?;
        let account = Account::joined(&published, &place.talk.begun());
        Ok(Self { client, account })
    }

    /// Enters the next message; `false` when the server has closed the connection.
    async fn hear(&mut self) -> Result<bool, Failure> {
        let Some(packet) = self.client.message().await? else {
            return Ok(false);
        };
        self.account.enter(&packet)?;
        Ok(true)
    }

    async fn hear_more(&mut self) -> Result<(), Failure> {
        let open = self.hear().await?;
        ensure(open, || "closed by the server".into())
    }

    /// Hears so much, or as much as there is.
    async fn stay(&mut self, place: &mut Place) -> Result<(), Failure> {
        while self.account.received() < STAY && !*place.over.borrow_and_update() {
            tokio::select! {
                heard = self.hear_more() => heard?,
                _ = place.over.changed() => {}
            }
        }
        Ok(())
    }

    /// Hears all that has been published by now.
    async fn catch_up(&mut self, place: &Place) -> Result<(), Failure> {
        let published = place.talk.published();
        while !self.account.has(&published) {
            self.hear_more().await?;
        }
        Ok(())
    }

    /// Leaves the namespace and joins it again. What comes before the answer belongs to the stay before.
    async fn come_again(&mut self, place: &Place, visits: &mut Visits) -> Result<(), Failure> {
        let published = place.talk.published();
        self.client.send("41").await?;
        self.client.send("40").await?;
        loop {
            let packet = self.client.message().await?.ok_or("closed by the server")?;
            if packet.starts_with(b"40{") {
                break;
            }
            self.account.enter(&packet)?;
        }
        self.client.started().await?;
        self.ensure_has(&published)?;
        self.end_stay(visits);
        self.account = Account::joined(&published, &place.talk.begun());
        Ok(())
    }

    fn ensure_has(&self, published: &[u32]) -> Result<(), Failure> {
        ensure(self.account.has(published), || {
            let account = &self.account;
            format!("of {published:?} messages some are missing at the end: {account:?}")
        })
    }

    fn end_stay(&self, visits: &mut Visits) {
        visits.stays += 1;
        visits.deliveries += self.account.received();
    }
}
