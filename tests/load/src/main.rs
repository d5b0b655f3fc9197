//! Load tests: `slimy-rt-load [--soak] SCENARIO` starts the `admin-server` that `ADMIN_SERVER_BIN` names, brings its clients, and says in one
//! line whether everything held. `--list` names the scenarios.

mod account;
mod burst;
mod churn;
mod client;
mod exactly_once;
mod fairness;
mod idle;
mod never_reader;
mod polling;
mod room;
mod server;
mod storm;
mod traffic;

use std::{future::Future, pin::Pin, process::ExitCode, time::Duration};

/// What went wrong, in words.
type Failure = String;
/// What a scenario found: the figures of its line.
type Outcome = Result<String, Failure>;

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// Some seconds for each scenario.
    Short,
    /// As much as one machine holds.
    Soak,
}

impl Scale {
    fn pick<T>(self, short: T, soak: T) -> T {
        match self {
            Self::Short => short,
            Self::Soak => soak,
        }
    }
}

type Run = fn(Scale) -> Pin<Box<dyn Future<Output = Outcome>>>;

const SCENARIOS: [(&str, Run); 8] = [
    ("idle", |scale| Box::pin(idle::run(scale))),
    ("room", |scale| Box::pin(room::run(scale))),
    ("exactly-once", |scale| Box::pin(exactly_once::run(scale))),
    ("fairness", |scale| Box::pin(fairness::run(scale))),
    ("burst", |scale| Box::pin(burst::run(scale))),
    ("never-reader", |scale| Box::pin(never_reader::run(scale))),
    ("churn", |scale| Box::pin(churn::run(scale))),
    ("storm", |scale| Box::pin(storm::run(scale))),
];

/// No scenario may take longer, whatever hangs.
const LONGEST: Duration = Duration::from_secs(600);

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["--list"] {
        for (name, _) in SCENARIOS {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    }
    let before = arguments.len();
    arguments.retain(|argument| argument != "--soak");
    let scale = if arguments.len() < before {
        Scale::Soak
    } else {
        Scale::Short
    };
    let named = SCENARIOS.iter().find(|(name, _)| arguments == [*name]);
    let Some((name, run)) = named else {
        eprintln!("usage: slimy-rt-load [--soak] SCENARIO, or --list");
        return ExitCode::from(2);
    };
    match within(LONGEST, "the scenario", run(scale))
        .await
        .and_then(|outcome| outcome)
    {
        Ok(figures) => {
            println!("load {name}: ok, {figures}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("load {name}: FAILED, {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Waits at most so long.
async fn within<T>(
    limit: Duration,
    what: &str,
    future: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::time::timeout(limit, future)
        .await
        .map_err(|_| format!("{what} took longer than {limit:?}"))
}

/// Fails with the text unless the condition holds.
fn ensure(condition: bool, failure: impl FnOnce() -> Failure) -> Result<(), Failure> {
    if condition { Ok(()) } else { Err(failure()) }
}

/// Waits until `reached` holds, or says what `state` is instead.
async fn eventually(
    limit: Duration,
    reached: impl Fn() -> bool,
    state: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let started = std::time::Instant::now();
    while !reached() {
        if started.elapsed() > limit {
            return Err(format!("after {limit:?}: {}", state()));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Mebibytes, for people.
fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
