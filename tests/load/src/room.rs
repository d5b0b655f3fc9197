//! One busy room: every client gets every message once, and each sender's in order.

use std::time::{Duration, Instant};

use crate::{
    Outcome, Scale, mib,
    server::Server,
    traffic::{Heard, Talk, everyone_hears, join_all},
};

const SENDERS: usize = 20;
/// How long everything may take.
const BOUND: Duration = Duration::from_secs(240);

pub(crate) async fn run(scale: Scale) -> Outcome {
    let (count, each) = scale.pick((300, 10), (2_000, 50));
    let server = Server::start(count, &["--chat-rate", "off", "--packet-rate", "0"])?;
    let clients = join_all(&server, 0, count).await?;
    let cpu = server.cpu()?;
    let started = Instant::now();
    let talk = Talk::new(SENDERS, each).within(BOUND);
    let Heard {
        deliveries,
        slowest,
        ..
    } = everyone_hears(clients, talk).await?;
    let taken = started.elapsed().as_secs_f64();
    Ok(format!(
        "{count} clients, {} messages of {SENDERS} senders: {deliveries} deliveries in {taken:.1} s, {:.0} per second, the slowest after \
         {slowest:.0?}; the server used {:.1} s of processor time and {}",
        SENDERS * each as usize,
        deliveries as f64 / taken,
        server.cpu()?.saturating_sub(cpu).as_secs_f64(),
        mib(server.memory()?)
    ))
}
