//! Counters.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use slimy_rt::{
    GuildId,
    conformance::metrics::{self, MetricsFactory},
    metrics::MetricsSource,
};
use slimy_rt_backends::postgres::PostgresMetrics;

use super::{Engine, holds_but_for};

/// Makes sources over one server, each with a schema of its own.
struct Sources<S> {
    engine: Engine,
    made: AtomicUsize,
    wrap: fn(PostgresMetrics) -> S,
}

impl<S> Sources<S> {
    async fn new(wrap: fn(PostgresMetrics) -> S) -> Self {
        Self {
            engine: Engine::start().await,
            made: AtomicUsize::new(0),
            wrap,
        }
    }

    fn latest(&self) -> PostgresMetrics {
        let schema = format!("metrics_{}", self.made.load(Relaxed));
        PostgresMetrics::new(&self.engine.client_of(&schema))
    }
}

impl<S: MetricsSource> MetricsFactory for Sources<S> {
    type Source = S;

    async fn create(&self) -> S {
        self.engine.proxy.heal().await;
        self.made.fetch_add(1, Relaxed);
        (self.wrap)(self.latest())
    }

    /// What happens on another node counts as well.
    async fn happen(&self, _: &S) -> bool {
        let other = self.latest();
        other.count_message().await.unwrap();
        other.count_upload(&guild("g")).await.unwrap();
        true
    }

    async fn cut_off(&self, _: &S) -> bool {
        self.engine.proxy.cut().await;
        true
    }
}

fn guild(id: &str) -> GuildId {
    GuildId::parse(id).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn counters() {
    let sources = Sources::new(|source| source).await;
    holds_but_for(metrics::check(sources).await, &[]);
}

#[tokio::test]
async fn counters_behind_a_pointer() {
    let arc = Sources::new(|source| Arc::new(source) as Arc<dyn MetricsSource>).await;
    holds_but_for(metrics::check(arc).await, &[]);
    let boxed = Sources::new(|source| Box::new(source) as Box<dyn MetricsSource>).await;
    holds_but_for(metrics::check(boxed).await, &[]);
}

#[tokio::test]
async fn uploads_are_counted_by_day_and_guild() {
    let engine = Engine::start().await;
    let metrics = PostgresMetrics::new(&engine.client());
    for id in ["a", "b", "a"] {
        metrics.count_upload(&guild(id)).await.unwrap();
    }
    let sample = metrics.sample().await.unwrap();
    let uploads = sample.uploads.unwrap();
    assert_eq!(uploads.by_guild, [(guild("a"), 2), (guild("b"), 1)].into());
    // Unless midnight has passed just now.
    assert!(uploads.total == 3 && uploads.today <= 3 && uploads.today > 0);
    assert_eq!((sample.chat_messages, sample.memory), (Some(0), None));

    // As if they had come the day before.
    let the_day_before = "UPDATE slimy_rt.uploads SET day = day - 1";
    engine.sql(the_day_before).await;
    let uploads = metrics.sample().await.unwrap().uploads.unwrap();
    assert_eq!((uploads.total, uploads.today), (3, 0));
    metrics.count_upload(&guild("a")).await.unwrap();
    let uploads = metrics.sample().await.unwrap().uploads.unwrap();
    assert_eq!((uploads.total, uploads.today), (4, 1));
}
