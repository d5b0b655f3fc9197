//! Runs clauses one after the other, each bounded in time and kept apart from the others' panics.

use std::{any::Any, error::Error as StdError, fmt::Debug};

use futures_util::future::BoxFuture;
use tokio::{task::JoinSet, time::timeout};

use super::{CALL_LIMIT, CLAUSE_LIMIT, Clause, Failure, Failures, NotApplicable, Report};

/// What a clause says.
pub(super) type Verdict<T = ()> = Result<T, Broken>;

/// Why a clause does not hold.
#[derive(Debug)]
pub(super) enum Broken {
    /// It is broken: what was seen.
    Failed(String),
    /// It does not apply: why.
    NotApplicable(String),
}

/// A clause and how it is put to the test.
pub(super) struct Entry<H> {
    pub(super) clause: Clause,
    pub(super) run: fn(H) -> BoxFuture<'static, Verdict>,
}

/// The table of a trait's clauses.
macro_rules! clauses {
    ($harness:ty; $($name:literal: $statement:literal => $run:path,)*) => {
        pub(super) const CLAUSES: &[$crate::conformance::run::Entry<$harness>] = &[$(
            $crate::conformance::run::Entry {
                clause: $crate::conformance::Clause::new($name, $statement),
                run: |harness| Box::pin($run(harness)),
            },
        )*];
    };
}
pub(super) use clauses;

/// Ends the clause as failed unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::conformance::run::Broken::Failed(format!($($text)+)));
        }
    };
}
pub(super) use ensure;

/// All clauses of several tables.
pub(super) async fn check<H: Clone>(
    trait_name: &'static str,
    tables: &[&[Entry<H>]],
    harness: H,
) -> Result<Report, Failures> {
    let entries = tables.iter().copied().flatten();
    run(trait_name, entries, harness).await
}

/// The clause of that name.
pub(super) async fn check_clause<H: Clone>(
    trait_name: &'static str,
    tables: &[&[Entry<H>]],
    harness: H,
    name: &str,
) -> Result<Report, Failures> {
    let mut entries = tables.iter().copied().flatten();
    match entries.find(|entry| entry.clause.name == name) {
        Some(entry) => run(trait_name, [entry], harness).await,
        None => Err(Failures {
            broken: vec![Failure {
                trait_name,
                clause: Clause::new(
                    "unknown-clause",
                    "A clause is checked by a name that is listed.",
                ),
                seen: format!("there is no clause {name:?}"),
            }],
            report: empty(trait_name),
        }),
    }
}

/// What the tables hold.
pub(super) fn list<H>(tables: &[&[Entry<H>]]) -> Vec<Clause> {
    let entries = tables.iter().copied().flatten();
    entries.map(|entry| entry.clause).collect()
}

async fn run<'a, H: Clone + 'a>(
    trait_name: &'static str,
    entries: impl IntoIterator<Item = &'a Entry<H>>,
    harness: H,
) -> Result<Report, Failures> {
    let mut report = empty(trait_name);
    let mut broken = Vec::new();
    for &Entry { clause, run } in entries {
        match guarded(run(harness.clone())).await {
            Ok(()) => report.held.push(clause),
            Err(Broken::NotApplicable(reason)) => {
                report.not_applicable.push(NotApplicable { clause, reason });
            }
            Err(Broken::Failed(seen)) => broken.push(Failure {
                trait_name,
                clause,
                seen,
            }),
        }
    }
    if broken.is_empty() {
        Ok(report)
    } else {
        Err(Failures { broken, report })
    }
}

fn empty(trait_name: &'static str) -> Report {
    Report {
        trait_name,
        held: Vec::new(),
        not_applicable: Vec::new(),
    }
}

/// A clause in a task of its own: what panics there fails there.
async fn guarded(clause: BoxFuture<'static, Verdict>) -> Verdict {
    let mut task = JoinSet::new();
    task.spawn(clause);
    match timeout(CLAUSE_LIMIT, task.join_next()).await {
        Err(_) => failed(format!("it did not end within {CLAUSE_LIMIT:?}")),
        Ok(Some(Ok(verdict))) => verdict,
        Ok(Some(Err(error))) => match error.try_into_panic() {
            Ok(panic) => failed(format!("panicked: {}", panic_text(&*panic))),
            Err(error) => failed(format!("the runtime ended the task: {error}")),
        },
        Ok(None) => failed("the runtime lost the task"),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

/// The clause has failed.
pub(super) fn failed<T>(seen: impl Into<String>) -> Verdict<T> {
    Err(Broken::Failed(seen.into()))
}

/// The clause does not apply.
pub(super) fn not_applicable<T>(reason: impl Into<String>) -> Verdict<T> {
    Err(Broken::NotApplicable(reason.into()))
}

/// What a call gives that has to succeed, and in time.
pub(super) async fn call<T, E: StdError>(
    what: &str,
    future: impl Future<Output = Result<T, E>>,
) -> Verdict<T> {
    match in_time(what, future).await? {
        Ok(value) => Ok(value),
        Err(error) => failed(format!("{what} failed: {}", chain(&error))),
    }
}

/// What a call gives that has to end in time.
pub(super) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> Verdict<T> {
    match timeout(CALL_LIMIT, future).await {
        Ok(output) => Ok(output),
        Err(_) => failed(format!("{what} did not end within {CALL_LIMIT:?}")),
    }
}

/// Fails unless what was seen is what was expected.
pub(super) fn same<T: PartialEq + Debug>(what: &str, seen: &T, expected: &T) -> Verdict {
    if seen == expected {
        return Ok(());
    }
    failed(format!(
        "{what}: expected {}, saw {}",
        short(expected),
        short(seen)
    ))
}

/// A value as text that fits on a screen.
pub(super) fn short(value: &impl Debug) -> String {
    const MOST: usize = 400;
    let text = format!("{value:?}");
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}

/// An error with its causes.
pub(super) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
