//! What the tests of the engines share.

pub(crate) mod node;
pub(crate) mod scenes;
pub(crate) mod traffic;

use std::time::Duration;

use slimy_rt::conformance::{Failures, Report};
use tokio::time::{Instant, sleep};

/// How long anything is waited for.
const DEADLINE: Duration = Duration::from_secs(30);

/// Fails unless exactly these clauses do not apply.
pub(crate) fn holds_but_for(result: Result<Report, Failures>, expected: &[&str]) {
    let report = result.unwrap_or_else(|failures| panic!("{failures}"));
    let others = report.not_applicable.iter();
    let names: Vec<&str> = others.map(|other| other.clause.name).collect();
    assert_eq!(names, expected, "{report}");
}

/// Looks again and again until it is so.
pub(crate) async fn eventually(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !look().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
