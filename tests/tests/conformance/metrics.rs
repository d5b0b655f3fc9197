//! Broken sources of metrics.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use async_trait::async_trait;
use slimy_rt::{
    GuildId,
    conformance::metrics::{MetricsFactory, check, check_clause, clauses},
    metrics::{MetricsError, MetricsSource, Sample, Uploads},
};
use slimy_rt_backends::memory::MemoryMetrics;
use tokio::task::yield_now;

use super::{AtLeast, Breaks, Only, all_hold, each_is_caught};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    SaysNothing,
    NameIsEmpty,
    NameChanges,
    RefusesToOverlap,
    StaysBusy,
    TodayIsMore,
    GuildsAreMore,
    Falls,
    SamplesOnce,
    OutageIsZero,
}
use Flaw as F;

const FLAWS: &[(Flaw, Breaks)] = &[
    (F::SaysNothing, AtLeast("sample-answers")),
    (F::NameIsEmpty, Only("name-constant")),
    (F::NameChanges, Only("name-constant")),
    (F::RefusesToOverlap, Only("samples-overlap")),
    (F::StaysBusy, AtLeast("sample-cancelled")),
    (F::TodayIsMore, Only("parts-fit")),
    (F::GuildsAreMore, Only("parts-fit")),
    (F::Falls, AtLeast("counters-never-fall")),
    (F::SamplesOnce, Only("happenings-counted")),
    (F::OutageIsZero, Only("outage-is-no-zero")),
];

/// Counters with one flaw.
#[derive(Debug)]
struct Flawed {
    inner: MemoryMetrics,
    flaw: Flaw,
    away: AtomicBool,
    busy: AtomicBool,
    samples: AtomicU64,
    first: Mutex<Option<Sample>>,
}

/// No longer busy when it is dropped.
struct Busy<'a>(&'a AtomicBool);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}

#[async_trait]
impl MetricsSource for Flawed {
    fn name(&self) -> &str {
        match self.flaw {
            F::NameIsEmpty => "",
            F::NameChanges if self.samples.load(SeqCst) > 2 => "changed",
            _ => "flawed",
        }
    }

    async fn sample(&self) -> Result<Sample, MetricsError> {
        if self.away.load(SeqCst) {
            return match self.flaw {
                F::OutageIsZero => Ok(Sample {
                    uploads: Some(Uploads::default()),
                    chat_messages: Some(0),
                    ..Sample::default()
                }),
                _ => Err(MetricsError::Unavailable("away".into())),
            };
        }
        let busy = || match self.busy.swap(true, SeqCst) {
            true => Err(MetricsError::Unavailable("busy".into())),
            false => Ok(()),
        };
        match self.flaw {
            F::RefusesToOverlap => {
                busy()?;
                let _busy = Busy(&self.busy);
                yield_now().await;
            }
            F::StaysBusy => {
                busy()?;
                yield_now().await;
                self.busy.store(false, SeqCst);
            }
            _ => {}
        }
        let count = self.samples.fetch_add(1, SeqCst);
        let mut sample = self.inner.sample().await?;
        match (self.flaw, &mut sample) {
            (F::SaysNothing, sample) => *sample = Sample::default(),
            (
                F::TodayIsMore,
                Sample {
                    uploads: Some(uploads),
                    ..
                },
            ) => uploads.today = uploads.total + 1,
            (
                F::GuildsAreMore,
                Sample {
                    uploads: Some(uploads),
                    ..
                },
            ) => {
                uploads
                    .by_guild
                    .insert(GuildId::parse("g").unwrap(), u64::MAX);
                uploads.by_guild.insert(GuildId::parse("h").unwrap(), 1);
            }
            (F::Falls, sample) => sample.chat_messages = Some(1_000 - count),
            (F::SamplesOnce, sample) => {
                *sample = self
                    .first
                    .lock()
                    .unwrap()
                    .get_or_insert_with(|| sample.clone())
                    .clone();
            }
            _ => {}
        }
        Ok(sample)
    }
}

struct Sources(Flaw);

impl MetricsFactory for Sources {
    type Source = Flawed;

    async fn create(&self) -> Flawed {
        let inner = MemoryMetrics::new();
        inner.count_message();
        Flawed {
            inner,
            flaw: self.0,
            away: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            samples: AtomicU64::new(0),
            first: Mutex::default(),
        }
    }

    async fn happen(&self, source: &Flawed) -> bool {
        source.inner.count_message();
        source.inner.count_upload(&GuildId::parse("g").unwrap());
        true
    }

    async fn cut_off(&self, source: &Flawed) -> bool {
        source.away.store(true, SeqCst);
        true
    }
}

#[tokio::test(start_paused = true)]
async fn each_broken_source_is_caught() {
    each_is_caught(&clauses(), FLAWS, async |flaw, breaks| match breaks {
        Only(_) => check(Sources(flaw)).await,
        AtLeast(clause) => check_clause(Sources(flaw), clause).await,
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_source_without_a_flaw_keeps_every_clause() {
    all_hold(check(Sources(F::None)).await, &clauses());
}
