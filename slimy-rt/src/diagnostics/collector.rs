//! Asks the sources, once for all who want to know.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::join_all};
use tokio::time::{Instant, timeout};

use super::figures::merge;
use crate::{
    cached::Cached,
    metrics::{MetricsSource, Sample},
    server::cluster::chain,
};

/// How long a source may take to answer.
pub const SOURCE_TIMEOUT: Duration = Duration::from_secs(5);
/// For how long a source's failure is told again: it may be over soon.
const FAILED_FOR: Duration = Duration::from_secs(2);

/// The sources, and their last answers.
#[derive(Debug)]
pub(super) struct Collector {
    sources: Arc<[Arc<dyn MetricsSource>]>,
    max_age: Duration,
    last: Cached<Collected>,
}

/// What the sources said.
#[derive(Debug, Default)]
pub(super) struct Collected {
    /// When; `None` when they were not asked.
    at: Option<Instant>,
    pub(super) sample: Sample,
    /// The sources that did not answer, by their names.
    pub(super) degraded: Vec<String>,
    /// Why there is no answer at all.
    pub(super) failure: Option<Failure>,
}

/// No source answers.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no source of figures answers: {causes}")]
pub(super) struct Failure {
    /// For clients, who learn the sources' names only.
    pub(super) message: String,
    causes: String,
}

impl Failure {
    fn of(failures: &[(String, String)]) -> Self {
        let names: Vec<_> = failures.iter().map(|(name, _)| name.as_str()).collect();
        let causes = failures
            .iter()
            .map(|(name, cause)| format!("{name}: {cause}"));
        Self {
            message: format!("No source of figures answers: {}.", names.join(", ")),
            causes: causes.collect::<Vec<_>>().join("; "),
        }
    }
}

impl Collector {
    pub(super) fn new(sources: Vec<Arc<dyn MetricsSource>>, max_age: Duration) -> Self {
        Self {
            sources: sources.into(),
            max_age,
            last: Cached::default(),
        }
    }

    /// What the sources say, or said within the maximum age.
    pub(super) async fn collect(&self) -> Arc<Collected> {
        let ask = || {
            let (sources, max_age) = (Arc::clone(&self.sources), self.max_age);
            async move {
                let collected = ask(&sources).await;
                let max_age = collected.max_age(max_age);
                (collected, max_age)
            }
        };
        self.last.get(ask).await
    }

    /// For how long that is told again.
    pub(super) fn max_age_of(&self, collected: &Collected) -> Duration {
        collected.max_age(self.max_age)
    }

    /// What the sources said last, and whether that is young enough.
    pub(super) fn peek(&self) -> Option<(Arc<Collected>, bool)> {
        self.last.peek()
    }
}

impl Collected {
    fn max_age(&self, usual: Duration) -> Duration {
        let max_age = match self.degraded.is_empty() {
            true => usual,
            false => usual.min(FAILED_FOR),
        };
        let age = self.at.map_or(Duration::ZERO, |at| at.elapsed());
        max_age.saturating_sub(age)
    }
}

async fn ask(sources: &[Arc<dyn MetricsSource>]) -> Collected {
    let answers = sources.iter().map(async |source| {
        // It is the program's own: a panic in it is its failure, and nobody else's.
        let sample = AssertUnwindSafe(source.sample()).catch_unwind();
        let answer = match timeout(SOURCE_TIMEOUT, sample).await {
            Ok(Ok(Ok(sample))) => return Ok(sample),
            Ok(Ok(Err(error))) => chain(&error),
            Ok(Err(_)) => "it panicked".to_owned(),
            Err(_) => format!("no answer within {SOURCE_TIMEOUT:?}"),
        };
        let name = source.name();
        tracing::warn!(
            source = name,
            error = answer,
            "a source of figures cannot answer"
        );
        Err((name.to_owned(), answer))
    });
    let (mut samples, mut failures) = (Vec::new(), Vec::new());
    for answer in join_all(answers).await {
        match answer {
            Ok(sample) => samples.push(sample),
            Err(failure) => failures.push(failure),
        }
    }
    let nothing = samples.is_empty() && !failures.is_empty();
    Collected {
        at: Some(Instant::now()),
        failure: nothing.then(|| Failure::of(&failures)),
        degraded: failures.into_iter().map(|(name, _)| name).collect(),
        sample: merge(samples),
    }
}
