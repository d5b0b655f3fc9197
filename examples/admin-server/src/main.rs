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
mod logging;
mod monitor;
mod pages;
mod reload;
mod run;
mod sessions_file;
mod settings;
mod values;

use std::process::ExitCode;

use clap::FromArgMatches;
use tracing::Level;

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
    let logs = logging::start(match cli.command {
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
