//! The flags of the diagnostics.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::values::duration;

/// What `/api/diagnostics` and `/metrics` depend on.
#[derive(Debug, Args)]
pub(crate) struct DiagnosticsArgs {
    /// The bearer token that /metrics wants; without one it answers on this machine only. Better in the variable or a file
    #[arg(
        long,
        env = "METRICS_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub(crate) metrics_token: Option<String>,
    /// A file with that token
    #[arg(long, env = "METRICS_TOKEN_FILE", value_name = "FILE")]
    pub(crate) metrics_token_file: Option<PathBuf>,
    /// For how long figures of the sources are told again; a directory of uploads is counted every 30 s at most
    #[arg(long, env = "DIAGNOSTICS_CACHE", default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub(crate) diagnostics_cache: Duration,
}
