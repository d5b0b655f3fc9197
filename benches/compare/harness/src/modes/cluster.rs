//! Two nodes with a Redis between them, and what a Redis costs one node.

use std::{env, time::Duration};

use crate::{
    Failure, Setup,
    contender::{Contender, Place},
    field::{Field, Load, Plan},
    nodes::{Figures, Nodes},
    redis::Redis,
    results::{Metric, Mode, Results},
    swarm::Pause,
};

use super::fanout::{CLIENTS, ONE, SIXTEEN, WARM_UP, each, per_second};

/// How many senders there are, each with a receiver on the other node.
const TALKS: usize = 64;
/// Few messages on their way, from few senders.
const SPARSE: Load = Load::Closed {
    window: 1,
    rooms: 16,
};
/// As many as keep any contender busy.
const SATURATED: Load = Load::Closed {
    window: 16,
    rooms: TALKS,
};
/// Messages per second at the fixed rate: every contender can do several times as many.
const RATE: f64 = 1_000.0;
/// The peers have none unless they are told to.
const NO_RECOVERY: &str = "--recovery off";

pub(crate) fn run(setup: &Setup, results: &mut Results) -> Result<(), Failure> {
    let versions = env::var("REDIS_VERSIONS").map_err(|_| "REDIS_VERSIONS is not set")?;
    results.remark(format!("Two nodes: {versions}."));
    two_nodes(setup, results)?;
    if setup.contenders.contains(&Contender::SlimyRt) {
        with_recovery(setup, results)?;
        one_node(setup, results)?;
    }
    Ok(())
}

fn two_nodes(setup: &Setup, results: &mut Results) -> Result<(), Failure> {
    let talks = |contender: &Contender| *contender != Contender::Limit;
    let contenders = setup.contenders.iter().copied().filter(talks);
    let mut all = contenders
        .map(|contender| Nodes::start(contender, TALKS, NO_RECOVERY))
        .collect::<Result<Vec<_>, _>>()?;
    for (mode, load) in [
        (Mode::ClusterWindow1, SPARSE),
        (Mode::ClusterSaturated, SATURATED),
        (Mode::ClusterRate, Load::Rate(RATE)),
    ] {
        rounds(&mut all, mode, |_| Some(load), setup, results)?;
    }
    let halves: Vec<_> = all
        .iter()
        .map(|nodes| {
            let contender = nodes.contender;
            let most = results.median(Mode::ClusterSaturated, contender, Metric::Messages);
            (contender, most.map(|most| Load::Rate(most / 2.0)))
        })
        .collect();
    let half = |contender| halves.iter().find(|(c, _)| *c == contender)?.1;
    rounds(&mut all, Mode::ClusterHalf, half, setup, results)
}

fn with_recovery(setup: &Setup, results: &mut Results) -> Result<(), Failure> {
    // It is what admin-server does by itself.
    let mut nodes = vec![Nodes::start(Contender::SlimyRt, TALKS, "")?];
    let mode = Mode::ClusterRecovery;
    rounds(&mut nodes, mode, |_| Some(SATURATED), setup, results)
}

/// A warm-up, and rounds that count. A peer that loses, doubles or reorders a message is out of it from then on, and the report says so.
fn rounds(
    all: &mut Vec<Nodes>,
    mode: Mode,
    load: impl Fn(Contender) -> Option<Load>,
    setup: &Setup,
    results: &mut Results,
) -> Result<(), Failure> {
    for round in 0..=setup.scale.cluster_rounds() {
        let time = if round == 0 {
            WARM_UP
        } else {
            setup.scale.round()
        };
        let mut at = 0;
        while let Some(nodes) = all.get_mut(at) {
            let contender = nodes.contender;
            let load = load(contender).ok_or("half of nothing")?;
            match nodes.run(load, time) {
                Ok(figures) if round > 0 => add(mode, contender, &figures, results),
                Ok(_) => {}
                Err(failure) if contender == Contender::SlimyRt => return Err(failure),
                Err(failure) => {
                    results.remark(format!(
                        "Two nodes: {} is out of it from here on: {failure}.",
                        contender.name()
                    ));
                    all.remove(at);
                    continue;
                }
            }
            at += 1;
        }
    }
    Ok(())
}

fn add(mode: Mode, contender: Contender, figures: &Figures, results: &mut Results) {
    if mode == Mode::ClusterSaturated && figures.nodes_had_time {
        results.remark(format!(
            "Two nodes, saturated: {} left a part of the nodes' processor unused; the other one, with Redis and the clients, may be what limited its messages per second, or another program that ran.",
            contender.name()
        ));
    }
    let messages = figures.messages as f64;
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / messages;
    let [p50, p99, p999] = figures.latencies;
    for (metric, value) in [
        (Metric::Messages, messages / figures.seconds),
        (Metric::NodesCpu, each(figures.nodes_cpu)),
        (Metric::RedisCpu, each(figures.redis_cpu)),
        (Metric::P50, p50),
        (Metric::P99, p99),
        (Metric::P999, p999),
    ] {
        results.add(mode, contender, metric, value);
    }
}

/// One room of slimy-rt's on a node with a Redis, and on one without.
fn one_node(setup: &Setup, results: &mut Results) -> Result<(), Failure> {
    let redis = Redis::start()?;
    let start = |redis| {
        let plan = Plan {
            place: Place {
                redis,
                ..Place::ALONE
            },
            pause: Pause::Yield,
            ..Plan::new(vec![0; CLIENTS], setup.frame_bytes)
        };
        Field::start(Contender::SlimyRt, &plan)
    };
    let (mut without, mut with) = (start(None)?, start(Some(redis.addr))?);
    for (mode, load) in [(Mode::BrokerWindow1, ONE), (Mode::BrokerWindow16, SIXTEEN)] {
        without.run(load, WARM_UP)?;
        with.run(load, WARM_UP)?;
        for _ in 0..setup.scale.cluster_rounds() {
            let usual = without.run(load, setup.scale.round())?;
            let figures = with.run(load, setup.scale.round())?;
            if figures.clients_were_busy {
                results.remark(format!(
                    "{mode:?}: the clients were nearly as busy as the server; they may be what limited."
                ));
            }
            for (metric, value) in [
                (Metric::Deliveries, per_second(&figures)),
                (Metric::Cpu, each(&figures)),
                (Metric::Kept, per_second(&figures) / per_second(&usual)),
                (Metric::AgainstNoBroker, each(&figures) / each(&usual)),
            ] {
                results.add(mode, Contender::SlimyRt, metric, value);
            }
        }
    }
    Ok(())
}
