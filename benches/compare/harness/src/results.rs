//! What was measured: values by mode, contender and metric.

use crate::contender::Contender;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    /// Deliveries per second.
    Deliveries,
    /// Processor time of the server per delivery, in µs.
    Cpu,
    /// The part of it outside of the kernel, over all rounds.
    User,
    /// Segments that the server sent, per delivery.
    Sends,
    P50,
    P99,
    P999,
    /// Resident KiB per client.
    Memory,
    /// Resident MiB of the server at the end.
    Resident,
    /// Processor time per idle client and second, in µs.
    IdleCpu,
    /// Seconds that all handshakes took.
    Handshakes,
    /// Processor time of the server per handshake, in µs.
    HandshakeCpu,
    /// Throughput beside what disturbs, as a share of that without.
    Kept,
    /// Processor time per delivery against that in one room.
    AgainstOneRoom,
    /// Connections that came, left and went per second.
    Cycles,
    /// Messages per second that came to the other node.
    Messages,
    /// Processor time of both nodes per message, in µs.
    NodesCpu,
    /// Processor time of Redis per message, in µs.
    RedisCpu,
    /// Processor time per delivery against that without a broker.
    AgainstNoBroker,
}

impl Metric {
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Deliveries => "deliveries/s",
            Self::Cpu => "CPU µs/delivery",
            Self::User => "of it user",
            Self::Sends => "sends/delivery",
            Self::P50 => "p50 ms",
            Self::P99 => "p99 ms",
            Self::P999 => "p99.9 ms",
            Self::Memory => "KiB/client",
            Self::Resident => "MiB at the end",
            Self::IdleCpu => "CPU µs/client/s",
            Self::Handshakes => "seconds",
            Self::HandshakeCpu => "CPU µs/handshake",
            Self::Kept => "throughput kept",
            Self::AgainstOneRoom => "× one room",
            Self::Cycles => "cycles/s",
            Self::Messages => "messages/s",
            Self::NodesCpu => "nodes' CPU µs/message",
            Self::RedisCpu => "Redis' CPU µs/message",
            Self::AgainstNoBroker => "CPU × without Redis",
        }
    }

    pub(crate) fn format(self, value: f64) -> String {
        match self {
            Self::Deliveries | Self::Cycles | Self::Messages => thousands(value),
            Self::Memory | Self::Resident | Self::NodesCpu | Self::RedisCpu => {
                format!("{value:.1}")
            }
            Self::HandshakeCpu => format!("{value:.0}"),
            _ => format!("{value:.2}"),
        }
    }
}

/// `1234567` as `1,234,567`.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Window1,
    Window1Large,
    Window16,
    Rate,
    Rooms,
    Stalled,
    Churn,
    Idle,
    IdleLarge,
    Handshakes,
    TwoWorkers,
    /// One message at a time from each of a few senders, to the other node.
    ClusterWindow1,
    ClusterSaturated,
    ClusterRate,
    ClusterHalf,
    /// As saturated, with connection state recovery.
    ClusterRecovery,
    /// One node, with and without Redis.
    BrokerWindow1,
    BrokerWindow16,
}

/// What a delivery costs under one circumstance.
#[derive(Debug)]
pub(crate) struct Growth {
    /// The circumstance.
    pub(crate) what: String,
    pub(crate) contender: Contender,
    /// Processor time of the server per delivery, in µs.
    pub(crate) cpu: f64,
    /// Deliveries per second.
    pub(crate) deliveries: f64,
}

/// All values.
#[derive(Debug, Default)]
pub(crate) struct Results {
    values: Vec<(Mode, Contender, Metric, f64)>,
    pub(crate) growth: Vec<Growth>,
    /// What a reader has to know about the figures.
    pub(crate) remarks: Vec<String>,
}

impl Results {
    pub(crate) fn add(&mut self, mode: Mode, contender: Contender, metric: Metric, value: f64) {
        self.values.push((mode, contender, metric, value));
    }

    /// Something to be said once.
    pub(crate) fn remark(&mut self, remark: String) {
        if !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
    }

    pub(crate) fn has(&self, mode: Mode) -> bool {
        self.values.iter().any(|(m, ..)| *m == mode)
    }

    /// The metrics of a mode, in the order in which they were added first.
    pub(crate) fn metrics(&self, mode: Mode) -> Vec<Metric> {
        let mut metrics = Vec::new();
        for (_, _, metric, _) in self.values.iter().filter(|(m, ..)| *m == mode) {
            if !metrics.contains(metric) {
                metrics.push(*metric);
            }
        }
        metrics
    }

    pub(crate) fn median(&self, mode: Mode, contender: Contender, metric: Metric) -> Option<f64> {
        let values = self.rounds(mode, contender, metric);
        (!values.is_empty()).then(|| median(values.into_iter()))
    }

    /// The least and the most.
    pub(crate) fn spread(
        &self,
        mode: Mode,
        contender: Contender,
        metric: Metric,
    ) -> Option<(f64, f64)> {
        let values = self.rounds(mode, contender, metric);
        let least = values.iter().copied().min_by(f64::total_cmp)?;
        Some((least, values.into_iter().max_by(f64::total_cmp)?))
    }

    /// The median of the ratios to `other`, round by round: what drifts on a machine touches both sides of each.
    pub(crate) fn ratio(
        &self,
        mode: Mode,
        contender: Contender,
        other: Contender,
        metric: Metric,
    ) -> Option<f64> {
        let ours = self.rounds(mode, contender, metric);
        let theirs = self.rounds(mode, other, metric);
        let ratios = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs);
        (!ours.is_empty() && !theirs.is_empty()).then(|| median(ratios))
    }

    fn rounds(&self, mode: Mode, contender: Contender, metric: Metric) -> Vec<f64> {
        let of = |value: &&(Mode, Contender, Metric, f64)| {
            (value.0, value.1, value.2) == (mode, contender, metric)
        };
        self.values
            .iter()
            .filter(of)
            .map(|(.., value)| *value)
            .collect()
    }
}

/// The middle one, or between the two in the middle. Of nothing it is not a number.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = |at: usize| values.get(at).copied().unwrap_or(f64::NAN);
    let len = values.len();
    (middle(len.saturating_sub(1) / 2) + middle(len / 2)) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios_are_of_rounds() {
        let mut results = Results::default();
        let mut add = |contender, value| results.add(Mode::Window1, contender, Metric::Cpu, value);
        for (ours, limit) in [(2.0, 1.0), (9.0, 3.0), (4.0, 4.0)] {
            add(Contender::SlimyRt, ours);
            add(Contender::Limit, limit);
        }
        let median = results.median(Mode::Window1, Contender::SlimyRt, Metric::Cpu);
        let ratio = results.ratio(
            Mode::Window1,
            Contender::SlimyRt,
            Contender::Limit,
            Metric::Cpu,
        );
        assert_eq!((median, ratio), (Some(4.0), Some(2.0)));
        assert_eq!(
            results.median(Mode::Idle, Contender::Limit, Metric::Cpu),
            None
        );
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!(
            (thousands(1_234_567.4), thousands(12.0)),
            ("1,234,567".to_owned(), "12".to_owned())
        );
    }
}
