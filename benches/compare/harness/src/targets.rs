//! What slimy-rt is to reach, and whether it does.

use crate::{
    contender::Contender,
    results::{Metric, Mode, Results},
};

/// One line of the targets.
pub(crate) struct Target {
    pub(crate) what: &'static str,
    value: Value,
    bound: Bound,
    pub(crate) target: f64,
    pub(crate) stretch: f64,
}

#[derive(Clone, Copy)]
enum Bound {
    AtMost,
    AtLeast,
}

/// How a contender's value is found.
#[derive(Clone, Copy)]
enum Value {
    /// As it was measured.
    Plain(Mode, Metric),
    /// Against the limit program's, round by round.
    TimesLimit(Mode, Metric),
    /// Beyond the limit program's.
    AboveLimit(Mode, Metric),
    /// Against socket.io's, round by round.
    TimesSocketIo(Mode, Metric),
}

pub(crate) const TARGETS: [Target; 16] = [
    at_most(
        "window 1, 1,000 clients: CPU per delivery, × limit",
        Value::TimesLimit(Mode::Window1, Metric::Cpu),
        1.15,
        1.07,
    ),
    at_most(
        "window 1, 5,000 clients: CPU per delivery, × limit",
        Value::TimesLimit(Mode::Window1Large, Metric::Cpu),
        1.15,
        1.07,
    ),
    at_most(
        "window 1: user-space µs per delivery, above the limit's",
        Value::AboveLimit(Mode::Window1, Metric::User),
        0.35,
        0.2,
    ),
    at_most(
        "window 16: CPU per delivery, × limit",
        Value::TimesLimit(Mode::Window16, Metric::Cpu),
        1.35,
        1.1,
    ),
    at_most(
        "window 16: sends per delivery",
        Value::Plain(Mode::Window16, Metric::Sends),
        0.15,
        0.08,
    ),
    at_most(
        "fixed rate: p99 latency, × limit",
        Value::TimesLimit(Mode::Rate, Metric::P99),
        1.2,
        1.1,
    ),
    at_most(
        "idle, in three rooms: resident KiB per client",
        Value::Plain(Mode::Idle, Metric::Memory),
        6.0,
        4.5,
    ),
    at_most(
        "idle, 8,000 clients: CPU µs per client and second",
        Value::Plain(Mode::Idle, Metric::IdleCpu),
        1.1,
        0.5,
    ),
    at_most(
        "idle, 15,000 clients: CPU µs per client and second",
        Value::Plain(Mode::IdleLarge, Metric::IdleCpu),
        1.1,
        0.5,
    ),
    at_most(
        "8,000 handshakes with JWT, × limit's time",
        Value::TimesLimit(Mode::Handshakes, Metric::Handshakes),
        1.6,
        1.2,
    ),
    at_most(
        "1,000 rooms of 10: CPU per delivery, × one room of 10,000",
        Value::Plain(Mode::Rooms, Metric::AgainstOneRoom),
        1.3,
        1.1,
    ),
    at_least(
        "5% of clients never read: throughput of the others",
        Value::Plain(Mode::Stalled, Metric::Kept),
        0.95,
        0.99,
    ),
    at_least(
        "two nodes and Redis, saturated: messages per second, × socket.io's",
        Value::TimesSocketIo(Mode::ClusterSaturated, Metric::Messages),
        3.0,
        6.0,
    ),
    at_most(
        "two nodes and Redis, fixed rate: p99 latency, × socket.io's",
        Value::TimesSocketIo(Mode::ClusterRate, Metric::P99),
        0.5,
        0.25,
    ),
    at_least(
        "one node with Redis, window 1: throughput, × without",
        Value::Plain(Mode::BrokerWindow1, Metric::Kept),
        0.9,
        0.98,
    ),
    at_least(
        "one node with Redis, window 16: throughput, × without",
        Value::Plain(Mode::BrokerWindow16, Metric::Kept),
        0.9,
        0.98,
    ),
];

const fn at_least(what: &'static str, value: Value, target: f64, stretch: f64) -> Target {
    Target {
        what,
        value,
        bound: Bound::AtLeast,
        target,
        stretch,
    }
}

const fn at_most(what: &'static str, value: Value, target: f64, stretch: f64) -> Target {
    Target {
        what,
        value,
        bound: Bound::AtMost,
        target,
        stretch,
    }
}

impl Target {
    /// A contender's value, if it was measured.
    pub(crate) fn of(&self, results: &Results, contender: Contender) -> Option<f64> {
        match self.value {
            Value::Plain(mode, metric) => results.median(mode, contender, metric),
            Value::TimesLimit(mode, metric) => {
                results.ratio(mode, contender, Contender::Limit, metric)
            }
            Value::TimesSocketIo(mode, metric) => {
                results.ratio(mode, contender, Contender::SocketIo, metric)
            }
            Value::AboveLimit(mode, metric) => {
                let limit = results.median(mode, Contender::Limit, metric)?;
                Some(results.median(mode, contender, metric)? - limit)
            }
        }
    }

    /// The bound as it is written.
    pub(crate) fn sign(&self) -> &'static str {
        match self.bound {
            Bound::AtMost => "≤",
            Bound::AtLeast => "≥",
        }
    }

    /// In one word, how `value` does.
    pub(crate) fn verdict(&self, value: f64) -> &'static str {
        let holds = |bound: f64| match self.bound {
            Bound::AtMost => value <= bound,
            Bound::AtLeast => value >= bound,
        };
        match (holds(self.stretch), holds(self.target)) {
            (true, _) => "stretch",
            (false, true) => "holds",
            (false, false) => "missed",
        }
    }
}
