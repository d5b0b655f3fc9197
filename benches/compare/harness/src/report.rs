//! The report: Markdown tables and a chart, with the date, the commit and the machine.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use crate::{
    Failure, Scale, chart,
    contender::Contender,
    process,
    results::{Metric, Mode, Results},
    targets::TARGETS,
};

const TITLES: [(Mode, &str); 17] = [
    (
        Mode::Window1,
        "Window 1: one message at a time to a room of 1,000",
    ),
    (
        Mode::Window1Large,
        "Window 1: one message at a time to a room of 5,000",
    ),
    (
        Mode::Window16,
        "Window 16: sixteen messages on their way to a room of 1,000",
    ),
    (
        Mode::Rate,
        "Fixed rate: 50 messages per second to a room of 1,000",
    ),
    (
        Mode::Rooms,
        "1,000 rooms of 10, a hundred of them at a time",
    ),
    (Mode::Stalled, "5% of the clients never read (window 16)"),
    (
        Mode::Churn,
        "Clients connect, join, leave and disconnect, beside 20 messages per second to a room of 1,000",
    ),
    (Mode::Handshakes, "8,000 clients connect"),
    (Mode::Idle, "8,000 idle clients, in three rooms each"),
    (Mode::IdleLarge, "15,000 idle clients, in three rooms each"),
    (
        Mode::ClusterWindow1,
        "Two nodes and Redis: one message at a time from each of 16 senders",
    ),
    (
        Mode::ClusterSaturated,
        "Two nodes and Redis, saturated: 16 messages on their way from each of 64 senders",
    ),
    (
        Mode::ClusterRate,
        "Two nodes and Redis, fixed rate: 1,000 messages per second",
    ),
    (
        Mode::ClusterHalf,
        "Two nodes and Redis, half load: half of each one's messages per second when saturated",
    ),
    (
        Mode::ClusterRecovery,
        "Two nodes and Redis, saturated, with connection state recovery",
    ),
    (
        Mode::BrokerWindow1,
        "One node with Redis: one message at a time to a room of 1,000",
    ),
    (
        Mode::BrokerWindow16,
        "One node with Redis: sixteen messages on their way to a room of 1,000",
    ),
];

/// Writes `results.md` and `results.svg` into `folder`, and prints the tables.
pub(crate) fn write(results: &Results, scale: Scale, folder: &Path) -> Result<(), Failure> {
    let text = markdown(results, scale)?;
    println!("{text}");
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    write("results.md", &text)?;
    match chart::svg(results) {
        Some(svg) => write("results.svg", &svg),
        None => Ok(()),
    }
}

fn markdown(results: &Results, scale: Scale) -> Result<String, Failure> {
    let mut text = String::new();
    let (date, commit) = (
        said_by("date", &["-u", "+%Y-%m-%d"])?,
        said_by("git", &["rev-parse", "--short", "HEAD"])?,
    );
    let changed = !said_by(
        "git",
        &["status", "--porcelain", "--", ":!book", ":!benches"],
    )?
    .is_empty();
    let kind = if scale.is_quick() { ", quick run" } else { "" };
    let _ = writeln!(
        text,
        "Measured on {date}, commit {commit}{}, {}{kind}.\n",
        if changed { " with changes" } else { "" },
        process::machine()
    );
    push_targets(&mut text, results);
    for (mode, title) in TITLES.iter().filter(|(mode, _)| results.has(*mode)) {
        push_mode(&mut text, results, *mode, title);
    }
    push_growth(&mut text, results);
    for remark in &results.remarks {
        let _ = writeln!(text, "{remark}\n");
    }
    Ok(text)
}

fn push_targets(text: &mut String, results: &Results) {
    let names: Vec<_> = peers().map(Contender::name).collect();
    let _ = writeln!(text, "| | target | stretch | {} | |", names.join(" | "));
    let _ = writeln!(text, "|---|--:|--:|{}---|", "--:|".repeat(names.len()));
    for target in &TARGETS {
        let Some(ours) = target.of(results, Contender::SlimyRt) else {
            continue;
        };
        let value = |contender| {
            target
                .of(results, contender)
                .map_or("–".to_owned(), |value| format!("{value:.2}"))
        };
        let values: Vec<_> = peers().map(value).collect();
        let (sign, verdict) = (target.sign(), target.verdict(ours));
        let _ = writeln!(
            text,
            "| {} | {sign} {} | {sign} {} | {} | {verdict} |",
            target.what,
            target.target,
            target.stretch,
            values.join(" | ")
        );
    }
    if let Some(both) = results.median(Mode::TwoWorkers, Contender::SlimyRt, Metric::Kept) {
        let _ = writeln!(
            text,
            "| two workers beside one: one room's throughput | ≥ 1 | ≥ 1.5 | {both:.2} | | | |"
        );
    }
    text.push('\n');
}

/// All but the limit program.
fn peers() -> impl Iterator<Item = Contender> {
    Contender::ALL
        .into_iter()
        .filter(|contender| *contender != Contender::Limit)
}

fn push_mode(text: &mut String, results: &Results, mode: Mode, title: &str) {
    let metrics = results.metrics(mode);
    let has_limit = results
        .median(mode, Contender::Limit, Metric::Cpu)
        .is_some();
    let headings: Vec<_> = metrics.iter().map(|metric| metric.heading()).collect();
    let ratio = if has_limit {
        " CPU × limit | spread |"
    } else {
        ""
    };
    let _ = writeln!(text, "**{title}**\n\n| | {} |{ratio}", headings.join(" | "));
    let _ = writeln!(
        text,
        "|---|{}",
        "--:|".repeat(metrics.len() + if has_limit { 2 } else { 0 })
    );
    for contender in Contender::ALL {
        let cell = |metric: &Metric| {
            let value = results.median(mode, contender, *metric);
            value.map_or("–".to_owned(), |value| metric.format(value))
        };
        let cells: Vec<_> = metrics.iter().map(cell).collect();
        if cells.iter().all(|cell| cell == "–") {
            continue;
        }
        let _ = write!(text, "| {} | {} |", contender.name(), cells.join(" | "));
        if has_limit {
            let ratio = results
                .ratio(mode, contender, Contender::Limit, Metric::Cpu)
                .unwrap_or(0.0);
            let (least, most) = results
                .spread(mode, contender, Metric::Cpu)
                .unwrap_or((0.0, 0.0));
            let _ = write!(text, " {ratio:.2} | {least:.2}–{most:.2} µs |");
        }
        text.push('\n');
    }
    text.push('\n');
}

fn push_growth(text: &mut String, results: &Results) {
    if results.growth.is_empty() {
        return;
    }
    text.push_str("**How the cost grows (window 1)**\n\n| | CPU µs/delivery | limit | deliveries/s |\n|---|--:|--:|--:|\n");
    for ours in results
        .growth
        .iter()
        .filter(|g| g.contender == Contender::SlimyRt)
    {
        let mut others = results.growth.iter();
        let limit = others.find(|g| g.contender == Contender::Limit && g.what == ours.what);
        let limit = limit.map_or("–".to_owned(), |limit| format!("{:.2}", limit.cpu));
        let deliveries = Metric::Deliveries.format(ours.deliveries);
        let _ = writeln!(
            text,
            "| {} | {:.2} | {limit} | {deliveries} |",
            ours.what, ours.cpu
        );
    }
    text.push('\n');
}

fn said_by(program: &str, arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
