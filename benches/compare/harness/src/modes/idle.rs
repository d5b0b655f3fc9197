//! Clients that only stay: authenticated, in three rooms, with heartbeats.

use std::time::{Duration, Instant};

use crate::{
    Failure, Setup,
    contender::{self, Contender, Place, Server},
    results::{Metric, Mode, Results},
    swarm::{Nothing, Swarm},
};

const CLIENTS: usize = 8_000;
const CLIENTS_LARGE: usize = 15_000;
/// How many rooms each is in.
const ROOMS: usize = 3;
/// How many users share a room.
const SHARED_BY: usize = 50;
/// After the last has joined, until the server has come to rest.
const SETTLE: Duration = Duration::from_secs(2);
/// One heartbeat of everybody.
const HEARTBEAT: Duration = Duration::from_secs(25);

pub(crate) fn run(setup: &Setup, results: &mut Results) -> Result<(), Failure> {
    for contender in setup.contenders.iter().copied() {
        measure(Mode::Idle, contender, CLIENTS, setup, results)?;
    }
    if !setup.scale.is_quick() {
        for _ in 0..setup.scale.repeats() {
            let (mode, contender) = (Mode::IdleLarge, Contender::SlimyRt);
            measure(mode, contender, CLIENTS_LARGE, setup, results)?;
        }
    }
    Ok(())
}

fn measure(
    mode: Mode,
    contender: Contender,
    clients: usize,
    setup: &Setup,
    results: &mut Results,
) -> Result<(), Failure> {
    let rooms = |user: usize| {
        (0..ROOMS)
            .map(|room| contender::guild(user / SHARED_BY * ROOMS + room))
            .collect()
    };
    let guilds: Vec<_> = (0..clients).map(rooms).collect();
    let server = Server::start(contender, &guilds, setup.frame_bytes, Place::ALONE)?;
    let cookies = contender::cookies(clients)?;
    let mut swarm = Swarm::new(server.addr)?;
    // What the first client brings with it is not a client's.
    swarm.join(&cookies[..1])?;
    let before = server.resident_kib()?;
    swarm.join(&cookies[1..])?;
    stay(&mut swarm, SETTLE)?;
    let memory = (server.resident_kib()? - before) / (clients - 1) as f64;
    let (cpu, began) = (server.cpu()?, Instant::now());
    stay(&mut swarm, HEARTBEAT)?;
    let (cpu, seconds) = (server.cpu()?.since(cpu), began.elapsed().as_secs_f64());
    results.add(mode, contender, Metric::Memory, memory);
    let each = cpu.total.as_secs_f64() * 1e6 / clients as f64 / seconds;
    results.add(mode, contender, Metric::IdleCpu, each);
    Ok(())
}

fn stay(swarm: &mut Swarm, duration: Duration) -> Result<(), Failure> {
    let until = Instant::now() + duration;
    while Instant::now() < until {
        swarm.turn(&mut Nothing)?;
    }
    Ok(())
}
