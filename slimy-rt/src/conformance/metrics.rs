//! The contract of [`MetricsSource`].

use std::{future::ready, sync::Arc};

use futures_util::future::BoxFuture;
use tokio::task::JoinSet;

use super::{
    Clause, Failures, Report,
    run::{self, Entry, Verdict, call, clauses, ensure, failed, in_time, not_applicable, short},
    support::{drop_after, poll_counts},
};
use crate::metrics::{MetricsSource, Sample};

const NAME: &str = "MetricsSource";
/// The longest name of a source, in bytes.
const MAX_NAME: usize = 64;
/// How many samples are taken, one after the other and at once.
const SAMPLES: usize = 8;

/// Makes the sources that are checked. A closure that gives a future of a source is one that offers no more than that.
pub trait MetricsFactory: Send + Sync + 'static {
    /// The source.
    type Source: MetricsSource;

    /// A fresh source.
    fn create(&self) -> impl Future<Output = Self::Source> + Send;

    /// Makes something happen that the source counts, such as a message or an upload, and says whether it did. Default: not offered.
    fn happen(&self, source: &Self::Source) -> impl Future<Output = bool> + Send {
        let _ = source;
        ready(false)
    }

    /// Makes what the source asks unreachable and says whether it is. Default: not offered.
    fn cut_off(&self, source: &Self::Source) -> impl Future<Output = bool> + Send {
        let _ = source;
        ready(false)
    }
}

impl<F, Fut> MetricsFactory for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future + Send,
    Fut::Output: MetricsSource,
{
    type Source = Fut::Output;

    fn create(&self) -> impl Future<Output = Self::Source> + Send {
        self()
    }
}

/// Checks every clause, each on a fresh source.
///
/// # Errors
/// [`Failures`] when a clause is broken.
pub async fn check(factory: impl MetricsFactory) -> Result<Report, Failures> {
    run::check(NAME, TABLES, harness(factory)).await
}

/// Checks the clause of that name, on a fresh source.
///
/// # Errors
/// [`Failures`] when the clause is broken, or there is none of that name.
pub async fn check_clause(factory: impl MetricsFactory, name: &str) -> Result<Report, Failures> {
    run::check_clause(NAME, TABLES, harness(factory), name).await
}

/// The clauses, in the order in which they are checked.
#[must_use]
pub fn clauses() -> Vec<Clause> {
    run::list(TABLES)
}

const TABLES: &[&[Entry<Harness>]] = &[CLAUSES];

clauses! { Harness;
    "sample-answers": "A source that can find something out answers, and says at least one thing." => sample_answers,
    "name-constant": "`name` is constant, printable, and has 1 to 64 bytes." => name_constant,
    "samples-overlap": "Samples at once are answered like one alone." => samples_overlap,
    "sample-cancelled": "A sample that is dropped leaves nothing behind: later ones are answered." => sample_cancelled,
    "parts-fit": "The parts are no more than the whole: heap in use, today's uploads, and the guilds' uploads." => parts_fit,
    "counters-never-fall": "Uploads and messages so far never become fewer." => counters_never_fall,
    "happenings-counted": "What happened is in the next sample: a sample describes the moment of the call." => happenings_counted,
    "outage-is-no-zero": "What cannot be found out now is an error or `None`, and no zero." => outage_is_no_zero,
}

/// The factory without its type: the clauses are compiled once, and not for each backend.
#[derive(Clone)]
pub(super) struct Harness(Arc<dyn Erased>);

pub(super) trait Erased: Send + Sync {
    fn create(&self) -> BoxFuture<'_, Subject>;
}

/// A source, and what its factory can do with it.
pub(super) struct Subject {
    source: Arc<dyn MetricsSource>,
    controls: Box<dyn Controls>,
}

pub(super) trait Controls: Send + Sync {
    fn happen(&self) -> BoxFuture<'_, bool>;
    fn cut_off(&self) -> BoxFuture<'_, bool>;
}

struct Of<F>(Arc<F>);

struct SourceOf<F: MetricsFactory> {
    factory: Arc<F>,
    source: Arc<F::Source>,
}

fn harness<F: MetricsFactory>(factory: F) -> Harness {
    Harness(Arc::new(Of(Arc::new(factory))))
}

impl<F: MetricsFactory> Erased for Of<F> {
    fn create(&self) -> BoxFuture<'_, Subject> {
        Box::pin(async {
            let source = Arc::new(self.0.create().await);
            Subject {
                source: Arc::clone(&source) as _,
                controls: Box::new(SourceOf {
                    factory: Arc::clone(&self.0),
                    source,
                }),
            }
        })
    }
}

impl<F: MetricsFactory> Controls for SourceOf<F> {
    fn happen(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.factory.happen(&self.source))
    }

    fn cut_off(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.factory.cut_off(&self.source))
    }
}

impl Harness {
    async fn subject(&self) -> Subject {
        self.0.create().await
    }
}

impl Subject {
    async fn sample(&self) -> Verdict<Sample> {
        call("sample", self.source.sample()).await
    }
}

async fn sample_answers(harness: Harness) -> Verdict {
    let subject = harness.subject().await;
    let sample = subject.sample().await?;
    ensure!(
        sample != Sample::default(),
        "the sample says nothing: every field is `None`"
    );
    subject.sample().await.map(|_| ())
}

async fn name_constant(harness: Harness) -> Verdict {
    let subject = harness.subject().await;
    let name = subject.source.name().to_owned();
    let fits = (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control);
    ensure!(fits, "the name is {}", short(&name));
    for _ in 0..SAMPLES {
        drop(in_time("sample", subject.source.sample()).await?);
        let now = subject.source.name();
        ensure!(
            now == name,
            "the name was {name:?}, and is {now:?} after a sample"
        );
    }
    Ok(())
}

async fn samples_overlap(harness: Harness) -> Verdict {
    let subject = Arc::new(harness.subject().await);
    let mut samples = JoinSet::new();
    for _ in 0..SAMPLES {
        let subject = Arc::clone(&subject);
        samples.spawn(async move { subject.sample().await.map(|_| ()) });
    }
    while let Some(ended) = samples.join_next().await {
        match ended {
            Ok(verdict) => verdict?,
            Err(error) => return failed(format!("one of many samples panicked: {error}")),
        }
    }
    Ok(())
}

async fn sample_cancelled(harness: Harness) -> Verdict {
    let subject = harness.subject().await;
    for polls in poll_counts() {
        let dropped = drop_after(polls, subject.source.sample());
        let ended = in_time("a sample that is dropped", dropped).await?;
        subject.sample().await?;
        if ended.is_some() {
            break;
        }
    }
    Ok(())
}

async fn parts_fit(harness: Harness) -> Verdict {
    let subject = harness.subject().await;
    // Without a happening the counters may all be zero, and zero fits.
    for _ in 0..SAMPLES {
        subject.controls.happen().await;
    }
    let sample = subject.sample().await?;
    if let Some(memory) = &sample.memory {
        ensure!(
            memory.heap_used <= memory.heap_total,
            "more of the heap is used than there is: {memory:?}"
        );
        ensure!(
            memory.resident > 0,
            "a process without any memory: {memory:?}"
        );
    }
    if let Some(uploads) = &sample.uploads {
        let of_guilds = uploads
            .by_guild
            .values()
            .try_fold(0_u64, |sum, &count| sum.checked_add(count));
        let fit =
            uploads.today <= uploads.total && of_guilds.is_some_and(|sum| sum <= uploads.total);
        ensure!(
            fit,
            "more uploads today or in guilds than at all: {}",
            short(uploads)
        );
    }
    Ok(())
}

async fn counters_never_fall(harness: Harness) -> Verdict {
    let subject = harness.subject().await;
    let counters = |sample: &Sample| {
        let uploads = sample.uploads.as_ref().map(|uploads| uploads.total);
        [
            ("uploads", uploads),
            ("chat messages", sample.chat_messages),
        ]
    };
    let mut before = subject.sample().await?;
    for _ in 0..SAMPLES {
        subject.controls.happen().await;
        let sample = subject.sample().await?;
        for ((what, then), (_, now)) in counters(&before).into_iter().zip(counters(&sample)) {
            let fell = then.zip(now).is_some_and(|(then, now)| now < then);
            ensure!(!fell, "the {what} fell from {then:?} to {now:?}");
        }
        before = sample;
    }
    Ok(())
}

async fn happenings_counted(harness: Harness) -> Verdict {
    let subject = harness.subject().await;
    let count = |sample: &Sample| {
        let uploads = sample.uploads.as_ref().map_or(0, |uploads| uploads.total);
        uploads.saturating_add(sample.chat_messages.unwrap_or(0))
    };
    let before = subject.sample().await?;
    if !subject.controls.happen().await {
        return not_applicable("the factory does not offer to make something happen (`happen`)");
    }
    let after = subject.sample().await?;
    ensure!(
        count(&after) > count(&before),
        "something happened, but the counters stayed: {}",
        short(&after)
    );
    Ok(())
}

async fn outage_is_no_zero(harness: Harness) -> Verdict {
    let subject = harness.subject().await;
    for _ in 0..SAMPLES {
        subject.controls.happen().await;
    }
    let before = subject.sample().await?;
    if !subject.controls.cut_off().await {
        return not_applicable(
            "the factory does not offer to cut off what the source asks (`cut_off`)",
        );
    }
    // What the source still knows it may say.
    let Ok(sample) = in_time("sample", subject.source.sample()).await? else {
        return Ok(());
    };
    let zero = sample.chat_messages == Some(0) && before.chat_messages != Some(0)
        || sample
            .uploads
            .as_ref()
            .is_some_and(|uploads| uploads.total == 0)
            && before
                .uploads
                .as_ref()
                .is_none_or(|uploads| uploads.total != 0)
        || sample.memory.is_some_and(|memory| memory.resident == 0);
    ensure!(
        !zero,
        "in an outage the source says zero: {}",
        short(&sample)
    );
    Ok(())
}
