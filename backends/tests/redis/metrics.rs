//! Counters, and nodes' figures.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use slimy_rt::{
    GuildId, NodeId,
    conformance::metrics::{self, MetricsFactory},
    metrics::{MetricsSource, NodeSample},
};
use slimy_rt_backends::redis::{MAX_COUNTED_GUILDS, NODE_SAMPLE_TTL, RedisMetrics};

use super::{Engine, eventually, holds_but_for};

/// Makes sources over one server, each with a prefix of its own.
struct Sources<S> {
    engine: Engine,
    made: AtomicUsize,
    wrap: fn(RedisMetrics) -> S,
}

impl<S> Sources<S> {
    async fn new(wrap: fn(RedisMetrics) -> S) -> Self {
        Self {
            engine: Engine::start().await,
            made: AtomicUsize::new(0),
            wrap,
        }
    }

    fn latest(&self) -> RedisMetrics {
        let prefix = format!("metrics-{}", self.made.load(Relaxed));
        RedisMetrics::new(&self.engine.client_of(&prefix), NodeId::random())
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
    let metrics = RedisMetrics::new(&engine.client(), NodeId::random());
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
    let counters = "{slimy-rt}:counters";
    engine.server.cli(&["HSET", counters, "day", "1"]).await;
    let uploads = metrics.sample().await.unwrap().uploads.unwrap();
    assert_eq!((uploads.total, uploads.today), (3, 0));
    metrics.count_upload(&guild("a")).await.unwrap();
    let uploads = metrics.sample().await.unwrap().uploads.unwrap();
    assert_eq!((uploads.total, uploads.today), (4, 1));
}

#[tokio::test]
async fn guilds_are_bounded_and_totals_are_not() {
    let engine = Engine::start().await;
    let metrics = RedisMetrics::new(&engine.client(), NodeId::random());
    let fill = "for i = 2, ARGV[1] do redis.call('HSET', KEYS[1], i, 1) end";
    let (most, uploads) = (MAX_COUNTED_GUILDS.to_string(), "{slimy-rt}:uploads");
    engine
        .server
        .cli(&["EVAL", fill, "1", uploads, &most])
        .await;
    for id in ["last", "too many", "last"] {
        metrics.count_upload(&guild(id)).await.unwrap();
    }
    let uploads = metrics.sample().await.unwrap().uploads.unwrap();
    assert_eq!(uploads.by_guild.len(), MAX_COUNTED_GUILDS);
    assert_eq!((uploads.by_guild[&guild("last")], uploads.total), (2, 3));
}

#[tokio::test]
async fn nodes_tell_each_other_their_figures_for_a_while() {
    let engine = Engine::start().await;
    let node = |id: &str| {
        let id = NodeId::parse(id).unwrap();
        (RedisMetrics::new(&engine.client(), id.clone()), id)
    };
    let ((first, one), (second, two)) = (node("one"), node("two"));
    assert_eq!(first.nodes().await.unwrap(), []);
    let mut sample = NodeSample::new(one);
    sample.connections = 7;
    sample.uptime = Duration::from_millis(1_500);
    sample.resident = Some(1 << 40);
    first.publish_node(&sample).await.unwrap();
    let other = NodeSample::new(two);
    second.publish_node(&other).await.unwrap();
    let expected = [sample.clone(), other.clone()];
    for metrics in [&first, &second] {
        assert_eq!(metrics.nodes().await.unwrap(), expected);
    }
    sample.connections = 8;
    first.publish_node(&sample).await.unwrap();
    assert_eq!(second.nodes().await.unwrap()[0].connections, 8);

    let error = first.publish_node(&other).await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    // As if the first had said nothing for as long as figures are good.
    let age = "local t = redis.call('TIME')
        redis.call('ZADD', KEYS[1], t[1] * 1000 - ARGV[1], 'one')";
    let (told, ttl) = (
        "{slimy-rt}:samples:told",
        NODE_SAMPLE_TTL.as_millis().to_string(),
    );
    engine.server.cli(&["EVAL", age, "1", told, &ttl]).await;
    eventually("old figures go", async || {
        second.nodes().await.unwrap() == [other.clone()]
    })
    .await;
}
