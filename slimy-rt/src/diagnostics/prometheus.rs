//! The figures in Prometheus' text format, version 0.0.4. Names of labels and their values come from the program, never from a client: their number is bounded.

use std::fmt::{Display, Write};

use crate::{Latencies, api::ApiState, metrics::Sample, server::Refused};

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn text(state: &ApiState, sample: &Sample, messages: Option<u64>) -> String {
    let server = state.server();
    let report = server.report();
    let mut out = Out::default();
    out.gauge(
        "slimy_uptime_seconds",
        "Time since the start.",
        state.started().elapsed().as_secs(),
    );
    out.gauge(
        "slimy_connections",
        "Engine.IO sessions that are open.",
        report.connections,
    );
    out.counter(
        "slimy_connections_total",
        "Engine.IO sessions since the start.",
        report.connections_total,
    );
    out.gauge(
        "slimy_sockets",
        "Sockets: memberships of a connection in a namespace.",
        report.sockets,
    );
    out.gauge(
        "slimy_rooms",
        "Rooms with at least one member.",
        report.rooms,
    );
    out.gauge(
        "slimy_pending_bytes",
        "Bytes of output that wait for clients.",
        server.pending_bytes(),
    );
    out.counter(
        "slimy_broadcasts_total",
        "Events published by this node's program.",
        report.broadcasts,
    );
    out.counter(
        "slimy_deliveries_total",
        "Frames handed to connections.",
        report.deliveries,
    );
    out.counter(
        "slimy_volatile_dropped_total",
        "Volatile frames dropped for connections that were behind.",
        report.volatile_dropped,
    );
    out.counter(
        "slimy_slow_consumers_total",
        "Connections closed since they read too slowly.",
        report.slow_consumers,
    );
    out.counter(
        "slimy_recovered_total",
        "Clients that came back with all that they had missed.",
        report.recovered,
    );
    out.counter(
        "slimy_recovery_refused_total",
        "Clients that wanted to come back and came in as new ones.",
        report.recovery_refused,
    );

    out.family(
        "slimy_refused_total",
        "counter",
        "Clients that were not let in.",
    );
    for reason in Refused::ALL {
        out.sample(
            "slimy_refused_total",
            &[("reason", reason.as_str())],
            report.refused(*reason),
        );
    }
    out.family(
        "slimy_bound_reached_total",
        "counter",
        "How often a bound was reached.",
    );
    for (bound, count) in report.bounds() {
        out.sample(
            "slimy_bound_reached_total",
            &[("bound", bound.as_str())],
            count,
        );
    }

    if let Some(up) = server.is_broker_up() {
        out.gauge(
            "slimy_broker_up",
            "Whether the broker can be reached.",
            u8::from(up),
        );
        out.gauge(
            "slimy_broker_publications_waiting",
            "Publications that wait for the broker: the lag of what this node says.",
            report.publications_waiting,
        );
        out.counter(
            "slimy_broker_gaps_total",
            "Times that publications of other nodes were missed.",
            report.gaps,
        );
        out.counter(
            "slimy_broker_publications_dropped_total",
            "Publications that the other nodes will never get.",
            report.publications_dropped,
        );
        out.counter(
            "slimy_broker_requests_dropped_total",
            "Requests of other nodes that were too many at once.",
            report.requests_dropped,
        );
    }

    out.family(
        "slimy_event_duration_seconds",
        "histogram",
        "How long handlers of events took.",
    );
    for event in server.events() {
        let labels = [("namespace", &*event.namespace), ("event", &*event.event)];
        out.histogram("slimy_event_duration_seconds", &labels, &event.handled);
    }
    let requests = state.requests();
    out.family(
        "slimy_http_requests_total",
        "counter",
        "Answers of the HTTP routes.",
    );
    for (code, count) in &requests.status_codes {
        out.sample(
            "slimy_http_requests_total",
            &[("code", &*code.to_string())],
            count,
        );
    }
    out.family(
        "slimy_http_request_duration_seconds",
        "histogram",
        "How long the HTTP routes took to answer.",
    );
    out.histogram("slimy_http_request_duration_seconds", &[], &requests.took);

    if let Some(messages) = messages {
        out.counter(
            "slimy_chat_messages_total",
            "Chat messages that were accepted.",
            messages,
        );
    }
    if let Some(memory) = sample.memory {
        out.gauge(
            "slimy_resident_bytes",
            "Memory of the process in RAM.",
            memory.resident,
        );
        out.gauge(
            "slimy_heap_bytes",
            "Memory in use on the heap, roughly.",
            memory.heap_used,
        );
    }
    if let Some(uploads) = &sample.uploads {
        out.gauge("slimy_uploads", "Files that users sent.", uploads.total);
        out.gauge(
            "slimy_uploads_today",
            "Files that users sent on this UTC day.",
            uploads.today,
        );
    }
    out.0
}

#[derive(Default)]
struct Out(String);

impl Out {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.0.write_fmt(line);
        self.0.push('\n');
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.line(format_args!("{name} {value}"));
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.line(format_args!("{name} {value}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels = Labels(labels);
        self.line(format_args!("{name}{labels} {value}"));
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], latencies: &Latencies) {
        let bucket = format!("{name}_bucket");
        for (bound, count) in latencies.bounds() {
            let bound = bound.as_secs_f64().to_string();
            self.sample(&bucket, &[labels, &[("le", &bound)]].concat(), count);
        }
        self.sample(
            &bucket,
            &[labels, &[("le", "+Inf")]].concat(),
            latencies.count(),
        );
        self.sample(
            &format!("{name}_sum"),
            labels,
            latencies.sum().as_secs_f64(),
        );
        self.sample(&format!("{name}_count"), labels, latencies.count());
    }
}

struct Labels<'a>(&'a [(&'a str, &'a str)]);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "{" } else { "," })?;
            let value = value
                .replace('\\', r"\\")
                .replace('"', "\\\"")
                .replace('\n', r"\n");
            write!(f, "{name}=\"{value}\"")?;
        }
        f.write_str(if self.0.is_empty() { "" } else { "}" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut out = Out::default();
        out.sample("a", &[("b", "x\"y\\z\n"), ("c", "")], 1);
        assert_eq!(out.0, "a{b=\"x\\\"y\\\\z\\n\",c=\"\"} 1\n");
    }
}
