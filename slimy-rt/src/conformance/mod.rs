//! The contracts of the four traits as functions: an integrator calls them from a test with a factory of their own backend.
//!
//! ```
//! use slimy_rt::conformance;
//! # use slimy_rt::metrics::ProcessMetrics;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), conformance::Failures> {
//! let report = conformance::metrics::check(|| async { ProcessMetrics::new() }).await?;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```
//!
//! Each module has a factory trait, which a closure that makes a backend implements already; `check`, which runs every clause on fresh backends;
//! `check_clause`, which runs one; and `clauses`, which lists them.
//!
//! A [`Report`] names the clauses that hold and those that do not apply, with the reason: the backend does not claim a capability, or the factory does
//! not offer a means, such as cutting the engine off. Nothing is left out in silence. [`Failures`] say which clause is broken and what was seen.
//!
//! No test framework is needed: only a tokio runtime with its timer. A clause that takes longer than [`CLAUSE_LIMIT`] fails, and so does one
//! in which the backend panics; the others run all the same. A backend that blocks its thread instead of awaiting can be stopped by nobody: check
//! such a one on a runtime with several threads, where the clause fails, although that thread stays blocked.

mod report;
mod run;
mod support;

pub mod authenticator;
pub mod broker;
pub mod metrics;
pub mod session_store;

use std::time::Duration;

pub use self::report::{Clause, Failure, Failures, NotApplicable, Report};

/// How long one clause may take. One that takes longer has failed.
pub const CLAUSE_LIMIT: Duration = Duration::from_secs(60);
/// How long one call to a backend may take, and how long a clause waits for what has to come, such as an event.
pub const CALL_LIMIT: Duration = Duration::from_secs(10);
