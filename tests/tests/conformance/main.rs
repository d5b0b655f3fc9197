//! The contract kit finds what is broken: for each clause there is a backend that breaks it, and a clause that cannot fail is found.
//!
//! Each backend is a memory one with one flaw. Time is virtual, so that waiting for what never comes costs nothing.

mod authenticators;
mod broken_events;
mod broker_flaws;
mod brokers;
mod metrics;
mod session_flaws;
mod sessions;

use futures_util::future::join_all;
use slimy_rt::conformance::{Clause, Failures, Report};

/// What a flaw breaks.
#[derive(Clone, Copy, Debug)]
enum Breaks {
    /// This clause and no other.
    Only(&'static str),
    /// This clause, and what follows from it.
    AtLeast(&'static str),
}
use Breaks::{AtLeast, Only};

impl Breaks {
    fn clause(self) -> &'static str {
        match self {
            Only(clause) | AtLeast(clause) => clause,
        }
    }

    /// What is wrong with a check's outcome, if anything.
    fn contradicted_by(self, outcome: &Result<Report, Failures>) -> Option<String> {
        let broken: Vec<&str> = match outcome {
            Ok(_) => Vec::new(),
            Err(failures) => failures
                .broken
                .iter()
                .map(|failure| failure.clause.name)
                .collect(),
        };
        let fits = match self {
            Only(clause) => broken == [clause],
            AtLeast(clause) => broken.contains(&clause),
        };
        let text = || match outcome {
            Ok(report) => report.to_string(),
            Err(failures) => failures.to_string(),
        };
        (!fits).then(text)
    }
}

/// Checks each flaw and fails with all that went another way than the table says, or when a clause is in no row.
async fn each_is_caught<F: Copy + std::fmt::Debug>(
    clauses: &[Clause],
    flaws: &[(F, Breaks)],
    check: impl AsyncFn(F, Breaks) -> Result<Report, Failures>,
) {
    // All at once, since some clauses wait for the system's clock.
    let checks = flaws.iter().map(async |&(flaw, breaks)| {
        let text = breaks.contradicted_by(&check(flaw, breaks).await)?;
        Some(format!("{flaw:?} should break {breaks:?}:\n{text}"))
    });
    let wrong: Vec<String> = join_all(checks).await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let covered = |clause: &&Clause| {
        flaws
            .iter()
            .any(|(_, breaks)| breaks.clause() == clause.name)
    };
    let uncovered: Vec<_> = clauses.iter().filter(|clause| !covered(clause)).collect();
    assert!(uncovered.is_empty(), "no backend breaks {uncovered:?}");
}

/// Fails unless every clause holds, and none is left out.
fn all_hold(outcome: Result<Report, Failures>, clauses: &[Clause]) {
    let report = outcome.unwrap();
    assert_eq!(report.held, clauses, "{report}");
}
