//! The chart: bars for what most people look at first.

use std::fmt::Write as _;

use crate::{
    contender::Contender,
    results::{Metric, Mode, Results},
};

const PANELS: [(Mode, Metric, &str); 4] = [
    (Mode::Window1, Metric::Cpu, "CPU µs per delivery, window 1"),
    (
        Mode::Window16,
        Metric::Cpu,
        "CPU µs per delivery, window 16",
    ),
    (Mode::Idle, Metric::Memory, "KiB per idle client"),
    (
        Mode::Handshakes,
        Metric::Handshakes,
        "seconds for 8,000 handshakes",
    ),
];
const COLOURS: [&str; 4] = ["#94a3b8", "#16a34a", "#f59e0b", "#3b82f6"];

const WIDTH: f64 = 800.0;
const LABELS: f64 = 230.0;
const VALUES: f64 = 70.0;
const BAR: f64 = 18.0;
const GAP: f64 = 6.0;
const TITLE: f64 = 30.0;

/// One panel below the other; `None` when nothing of them was measured.
pub(crate) fn svg(results: &Results) -> Option<String> {
    let (mut body, mut y) = (String::new(), GAP);
    for (mode, metric, title) in PANELS.iter().filter(|(mode, ..)| results.has(*mode)) {
        y += TITLE;
        let _ = writeln!(
            body,
            r#"<text x="10" y="{}" font-weight="bold">{title}</text>"#,
            y - 10.0
        );
        let value = |contender| results.median(*mode, contender, *metric);
        let most = Contender::ALL
            .into_iter()
            .filter_map(value)
            .fold(0.0, f64::max);
        for (contender, colour) in Contender::ALL.into_iter().zip(COLOURS) {
            let Some(value) = value(contender) else {
                continue;
            };
            let width = (WIDTH - LABELS - VALUES) * value / most;
            let (name, middle, end) = (contender.name(), y + 13.0, LABELS + width + 6.0);
            let _ = writeln!(
                body,
                r#"<text x="{}" y="{middle}" text-anchor="end">{name}</text><rect x="{LABELS}" y="{y}" width="{width:.1}" height="{BAR}" fill="{colour}"/><text x="{end:.1}" y="{middle}">{}</text>"#,
                LABELS - 8.0,
                metric.format(value)
            );
            y += BAR + GAP;
        }
    }
    let height = y + GAP;
    (!body.is_empty()).then(|| {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
        )
    })
}
