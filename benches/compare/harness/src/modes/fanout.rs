//! Broadcasts: one room with a window of 1 and of 16, at a fixed rate, in many rooms, and beside clients that never read.

use std::time::Duration;

use crate::{
    Failure, Setup,
    contender::{self, Contender, Place},
    field::{Field, Figures, Load, Plan},
    process,
    results::{Metric, Mode, Results, median},
};

pub(super) const CLIENTS: usize = 1_000;
const CLIENTS_LARGE: usize = 5_000;
/// Messages per second at the fixed rate: with 1,000 clients, half of what the slowest of the peers can do.
const RATE: f64 = 50.0;
const ROOMS: usize = 1_000;
const MEMBERS: usize = 10;
/// How many rooms have a message on its way at a time.
const ROOMS_AT_ONCE: usize = 100;
/// One client of so many never reads.
const STALLED_ONE_IN: usize = 20;
/// The receive buffer of one that does not read: small, so that it is full soon.
const STALLED_BUFFER: usize = 4 * 1024;

/// How many clients of servers that take turns there are at a time.
const CLIENTS_AT_ONCE: usize = 18_000;

/// Before anything is measured.
pub(super) const WARM_UP: Duration = Duration::from_millis(300);

pub(super) const ONE: Load = Load::Closed {
    window: 1,
    rooms: 1,
};
pub(super) const SIXTEEN: Load = Load::Closed {
    window: 16,
    rooms: 1,
};

/// How long a broadcast of slimy-rt is: the limit program sends as much.
pub(crate) fn frame_bytes() -> Result<usize, Failure> {
    Field::start(Contender::SlimyRt, &Plan::new(vec![0], 0))?.frame_bytes()
}

/// One room of 1,000 clients: all servers run at the same time and take turns, so that what drifts on the machine drifts for all.
pub(crate) fn one_room(setup: &Setup, results: &mut Results) -> Result<(), Failure> {
    let loads = [
        (Mode::Window1, ONE),
        (Mode::Window16, SIXTEEN),
        (Mode::Rate, Load::Rate(RATE)),
    ];
    interleaved(vec![0; CLIENTS], &loads, setup, results)
}

/// One room of 5,000.
pub(crate) fn large_room(setup: &Setup, results: &mut Results) -> Result<(), Failure> {
    interleaved(
        vec![0; CLIENTS_LARGE],
        &[(Mode::Window1Large, ONE)],
        setup,
        results,
    )
}

/// 1,000 rooms of 10, and the same clients in one room: in the kernel, more clients cost more each. The limit program has no rooms.
pub(crate) fn many_rooms(setup: &Setup, results: &mut Results) -> Result<(), Failure> {
    let clients = ROOMS * MEMBERS;
    let room_of: Vec<u32> = (0..clients).map(|c| (c / MEMBERS) as u32).collect();
    let load = Load::Closed {
        window: 1,
        rooms: ROOMS_AT_ONCE,
    };
    let has_rooms = |contender: &Contender| *contender != Contender::Limit;
    for contender in setup.contenders.iter().copied().filter(has_rooms) {
        // One after the other: both at a time would be more clients than many systems allow a process.
        for _ in 0..setup.scale.repeats() {
            let start = |rooms| Field::start(contender, &Plan::new(rooms, setup.frame_bytes));
            let many = measured(&mut start(room_of.clone())?, load, setup)?;
            let one = measured(&mut start(vec![0; clients])?, ONE, setup)?;
            let ratio = median(many.iter().map(each)) / median(one.iter().map(each));
            for figures in &many {
                add(Mode::Rooms, contender, figures, results);
            }
            results.add(Mode::Rooms, contender, Metric::AgainstOneRoom, ratio);
        }
    }
    Ok(())
}

/// Three rounds of a load.
pub(super) fn measured(
    field: &mut Field,
    load: Load,
    setup: &Setup,
) -> Result<Vec<Figures>, Failure> {
    field.run(load, WARM_UP)?;
    (0..3)
        .map(|_| field.run(load, setup.scale.round()))
        .collect()
}

/// Window 16 with all clients reading, then with 5% that have stopped.
pub(crate) fn stalled(setup: &Setup, results: &mut Results) -> Result<(), Failure> {
    let stalled = CLIENTS / STALLED_ONE_IN;
    let readers = CLIENTS - stalled;
    for contender in setup.contenders.iter().copied() {
        let mut plan = Plan::new(vec![0; readers], setup.frame_bytes);
        let mut alone = Field::start(contender, &plan)?;
        plan.further = stalled;
        let mut beside = Field::start(contender, &plan)?;
        beside.stall(&contender::cookies(CLIENTS)?[readers..], STALLED_BUFFER)?;
        for _ in 0..setup.scale.repeats() {
            let usual = alone.run(SIXTEEN, setup.scale.round())?;
            let figures = beside.run(SIXTEEN, setup.scale.round())?;
            let kept = per_second(&figures) / per_second(&usual);
            results.add(Mode::Stalled, contender, Metric::Kept, kept);
            results.add(
                Mode::Stalled,
                contender,
                Metric::Deliveries,
                per_second(&figures),
            );
            results.add(Mode::Stalled, contender, Metric::P99, figures.latencies[1]);
        }
    }
    Ok(())
}

/// One room of slimy-rt with one worker and with two, on as many processors; needs a third one for the clients.
pub(crate) fn two_workers(setup: &Setup, results: &mut Results) -> Result<(), Failure> {
    let cores = process::cores_of_machine();
    if cores < 3 {
        results.remark(format!(
            "Two workers beside one: not measured, since it needs three processors and this machine has {cores}."
        ));
        return Ok(());
    }
    let start = |cores, workers| {
        let plan = Plan {
            place: Place {
                cores,
                workers,
                ..Place::ALONE
            },
            ..Plan::new(vec![0; CLIENTS], setup.frame_bytes)
        };
        Field::start(Contender::SlimyRt, &plan)
    };
    let (mut one, mut two) = (start("0", 1)?, start("0,2", 2)?);
    for _ in 0..setup.scale.rounds() {
        let alone = per_second(&one.run(SIXTEEN, setup.scale.round())?);
        let both = per_second(&two.run(SIXTEEN, setup.scale.round())?);
        results.add(
            Mode::TwoWorkers,
            Contender::SlimyRt,
            Metric::Kept,
            both / alone,
        );
    }
    Ok(())
}

fn interleaved(
    room_of: Vec<u32>,
    loads: &[(Mode, Load)],
    setup: &Setup,
    results: &mut Results,
) -> Result<(), Failure> {
    let plan = Plan::new(room_of, setup.frame_bytes);
    // All at a time, unless that would be more clients than many systems allow a process.
    let at_once = (CLIENTS_AT_ONCE / plan.room_of.len()).max(1);
    for contenders in setup.contenders.chunks(at_once) {
        let start = |contender: &Contender| Field::start(*contender, &plan);
        let mut fields = contenders
            .iter()
            .map(start)
            .collect::<Result<Vec<_>, _>>()?;
        let mut fields: Vec<&mut Field> = fields.iter_mut().collect();
        rounds(&mut fields, loads, setup, results)?;
    }
    Ok(())
}

fn rounds(
    fields: &mut [&mut Field],
    loads: &[(Mode, Load)],
    setup: &Setup,
    results: &mut Results,
) -> Result<(), Failure> {
    for (mode, load) in loads {
        for field in fields.iter_mut() {
            field.run(*load, WARM_UP)?;
        }
        let mut user = vec![(0.0, 0); fields.len()];
        for _ in 0..setup.scale.rounds() {
            for (field, user) in fields.iter_mut().zip(&mut user) {
                let figures = field.run(*load, setup.scale.round())?;
                add(*mode, field.contender, &figures, results);
                user.0 += micros(figures.cpu.user);
                user.1 += figures.deliveries;
            }
        }
        for (field, (micros, deliveries)) in fields.iter().zip(user) {
            results.add(
                *mode,
                field.contender,
                Metric::User,
                micros / deliveries as f64,
            );
        }
    }
    Ok(())
}

fn add(mode: Mode, contender: Contender, figures: &Figures, results: &mut Results) {
    let deliveries = figures.deliveries as f64;
    if figures.clients_were_busy {
        results.remark(format!(
            "{mode:?}: with {} the clients were nearly as busy as the server; they may be what limited its deliveries per second.",
            contender.name()
        ));
    }
    let [p50, p99, p999] = figures.latencies;
    for (metric, value) in [
        (Metric::Deliveries, per_second(figures)),
        (Metric::Cpu, each(figures)),
        (Metric::Sends, figures.segments as f64 / deliveries),
        (Metric::P50, p50),
        (Metric::P99, p99),
        (Metric::P999, p999),
    ] {
        results.add(mode, contender, metric, value);
    }
}

/// Processor time per delivery in µs.
pub(super) fn each(figures: &Figures) -> f64 {
    micros(figures.cpu.total) / figures.deliveries as f64
}

pub(super) fn per_second(figures: &Figures) -> f64 {
    figures.deliveries as f64 / figures.seconds
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
