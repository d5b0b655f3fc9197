//! How the cost of a delivery grows with the clients, the rooms and the size of the messages.

use crate::{
    Failure, Setup,
    contender::Contender,
    field::{Field, Load, Plan},
    results::{Growth, Results, median},
};

use super::fanout::{ONE, each, measured, per_second};

const CLIENTS: [usize; 5] = [10, 100, 1_000, 5_000, 10_000];
/// Characters of a message's text; the chat allows 4,000.
const TEXTS: [usize; 4] = [20, 250, 1_000, 4_000];
const TEXT_CLIENTS: usize = 1_000;
const ROOMS: [usize; 4] = [1, 10, 100, 1_000];
const ROOM_CLIENTS: usize = 10_000;
/// How many copies are on their way at a time, about, when there are many rooms.
const IN_FLIGHT: usize = 1_000;

pub(crate) fn run(setup: &Setup, results: &mut Results) -> Result<(), Failure> {
    if setup.scale.is_quick() {
        return Ok(());
    }
    for clients in CLIENTS {
        let plan = Plan::new(vec![0; clients], setup.frame_bytes);
        both(&format!("{clients} clients"), &plan, setup, results)?;
    }
    for text_len in TEXTS {
        let mut plan = Plan::new(vec![0], 0);
        plan.text_len = text_len;
        plan.frame_bytes = Field::start(Contender::SlimyRt, &plan)?.frame_bytes()?;
        plan.room_of = vec![0; TEXT_CLIENTS];
        let what = format!("{TEXT_CLIENTS} clients, {} bytes", plan.frame_bytes);
        both(&what, &plan, setup, results)?;
    }
    for rooms in ROOMS {
        let members = ROOM_CLIENTS / rooms;
        let room_of = (0..ROOM_CLIENTS).map(|c| (c / members) as u32).collect();
        let plan = Plan::new(room_of, setup.frame_bytes);
        let at_once = IN_FLIGHT.div_ceil(members).min(rooms);
        let load = Load::Closed {
            window: 1,
            rooms: at_once,
        };
        let what = format!("{rooms} rooms of {members}, {at_once} at a time");
        measure(Contender::SlimyRt, &what, &plan, load, setup, results)?;
    }
    Ok(())
}

/// Slimy-rt, and the limit program beside it.
fn both(what: &str, plan: &Plan<'_>, setup: &Setup, results: &mut Results) -> Result<(), Failure> {
    for contender in [Contender::Limit, Contender::SlimyRt] {
        measure(contender, what, plan, ONE, setup, results)?;
    }
    Ok(())
}

fn measure(
    contender: Contender,
    what: &str,
    plan: &Plan<'_>,
    load: Load,
    setup: &Setup,
    results: &mut Results,
) -> Result<(), Failure> {
    let rounds = measured(&mut Field::start(contender, plan)?, load, setup)?;
    results.growth.push(Growth {
        what: what.to_owned(),
        contender,
        cpu: median(rounds.iter().map(each)),
        deliveries: median(rounds.iter().map(per_second)),
    });
    Ok(())
}
