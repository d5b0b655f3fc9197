//! Clients that connect, join, leave and disconnect, beside a broadcast at a fixed rate.

use std::time::Instant;

use crate::{
    Failure, Setup, contender,
    field::{Field, Joining, Plan},
    results::{Metric, Mode, Results},
    swarm::PATIENCE,
};

/// Those that stay.
const MEMBERS: usize = 1_000;
/// How many come and go at a time.
const CHURNING: usize = 32;
/// Broadcasts per second.
const RATE: f64 = 20.0;

pub(crate) fn run(setup: &Setup, results: &mut Results) -> Result<(), Failure> {
    for contender in setup.contenders.iter().copied() {
        let plan = Plan {
            further: CHURNING,
            ..Plan::new(vec![0; MEMBERS], setup.frame_bytes)
        };
        let mut field = Field::start(contender, &plan)?;
        let cookies = contender::cookies(MEMBERS + CHURNING)?;
        for _ in 0..setup.scale.repeats() {
            churn(&mut field, &cookies[MEMBERS..], setup, results)?;
        }
    }
    Ok(())
}

fn churn(
    field: &mut Field,
    cookies: &[String],
    setup: &Setup,
    results: &mut Results,
) -> Result<(), Failure> {
    while field.swarm.turn(&mut field.waves)? > 0 {}
    field.waves.reset();
    let began = Instant::now();
    let until = began + setup.scale.round() * 2;
    let (mut cycles, mut last) = (0_u64, began);
    let mut due = began;
    for (slot, cookie) in cookies.iter().enumerate() {
        field.swarm.connect(MEMBERS + slot, cookie, None)?;
    }
    while Instant::now() < until {
        if Instant::now() >= due {
            field.send(0, 1, due)?;
            due += std::time::Duration::from_secs_f64(1.0 / RATE);
        }
        let mut watch = Joining {
            waves: &mut field.waves,
            joined: Vec::new(),
            closed: Vec::new(),
        };
        field.swarm.turn(&mut watch)?;
        let (joined, closed) = (watch.joined, watch.closed);
        for client in joined {
            field.swarm.send(client, b"41")?;
            field.swarm.half_close(client)?;
        }
        for client in closed {
            last = Instant::now();
            cycles += 1;
            field
                .swarm
                .connect(client, &cookies[client - MEMBERS], None)?;
        }
        if last.elapsed() > PATIENCE {
            return Err(format!("{:?}: nobody can join any more", field.contender));
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    (0..cookies.len()).for_each(|slot| field.swarm.close(MEMBERS + slot));
    field.drain()?;
    if cycles == 0 || field.waves.deliveries == 0 {
        return Err(format!(
            "{:?}: nobody came and went, or nothing was delivered",
            field.contender
        ));
    }
    let latency = |share| field.waves.latencies.quantile(share).as_secs_f64() * 1e3;
    results.add(
        Mode::Churn,
        field.contender,
        Metric::Cycles,
        cycles as f64 / seconds,
    );
    for (metric, share) in [
        (Metric::P50, 0.5),
        (Metric::P99, 0.99),
        (Metric::P999, 0.999),
    ] {
        results.add(Mode::Churn, field.contender, metric, latency(share));
    }
    let resident = field.server.resident_kib()? / 1024.0;
    results.add(Mode::Churn, field.contender, Metric::Resident, resident);
    Ok(())
}
