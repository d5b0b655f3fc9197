//! The complete admin chat server: slimy-rt, its backends, the HTTP routes, and a small page.
//!
//! `config` reads flags and environment, `settings` makes sense of them, `assemble` builds the server from its parts, `run` serves it.

mod assemble;
mod backends;
mod commands;
mod config;
mod demo;
mod engines;
mod failure;
mod monitor;
mod pages;
mod reload;
mod run;
mod sessions_file;
mod settings;
mod values;

use std::process::ExitCode;

use clap::FromArgMatches;
use slimy_rt::diagnostics::Logs;
use tracing::Level;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use self::{
    config::{Cli, Command},
    failure::Failure,
    settings::Settings,
};

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("admin-server: {failure}");
            failure.exit_code()
        }
    }
}

fn start() -> Result<(), Failure> {
    let matches = config::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let logs = log(match cli.command {
        Some(_) => Level::WARN,
        None => Level::INFO,
    });
    config::warn_of_visible_secrets(&matches);
    match cli.command {
        Some(Command::Token(token)) => commands::token(token, &cli.login, &cli.serve.backends),
        Some(Command::Sessions(sessions)) => commands::sessions(sessions, &cli.serve.backends),
        None => run::run(Settings::new(cli.login, cli.serve)?, logs),
    }
}

/// Logs this level and what is graver to stderr, unless `RUST_LOG` says otherwise; and gives what administrators can follow.
fn log(level: Level) -> Logs {
    let filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .from_env_lossy();
    let stderr = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .with_filter(filter);
    let logs = Logs::new();
    tracing_subscriber::registry()
        .with(stderr)
        .with(logs.layer())
        .init();
    logs
}
