//! Thousands of clients that come at once, each with a token to be checked.

use std::time::Instant;

use crate::{
    Failure, Setup,
    contender::{self, Place, Server},
    results::{Metric, Mode, Results},
    swarm::Swarm,
};

const CLIENTS: usize = 8_000;

pub(crate) fn run(setup: &Setup, results: &mut Results) -> Result<(), Failure> {
    let cookies = contender::cookies(CLIENTS)?;
    let guilds = vec![vec![contender::guild(0)]; CLIENTS];
    for _ in 0..setup.scale.repeats() {
        for contender in setup.contenders.iter().copied() {
            let server = Server::start(contender, &guilds, setup.frame_bytes, Place::ALONE)?;
            let mut swarm = Swarm::new(server.addr)?;
            let (before, began) = (server.cpu()?, Instant::now());
            swarm.join(&cookies)?;
            let (seconds, cpu) = (began.elapsed().as_secs_f64(), server.cpu()?.since(before));
            results.add(Mode::Handshakes, contender, Metric::Handshakes, seconds);
            let each = cpu.total.as_secs_f64() * 1e6 / CLIENTS as f64;
            results.add(Mode::Handshakes, contender, Metric::HandshakeCpu, each);
        }
    }
    Ok(())
}
