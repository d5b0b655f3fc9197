//! A broker that is late: with what it publishes, and with what it tells.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use slimy_rt::broker::{
    Audience, BrokerError, BrokerEvents, Capabilities, Delivered, Expected, Health, HistoryError,
    NodeInfo, Page, Position, Publication, ReplySink, Request, RoomBroker,
};
use slimy_rt_backends::memory::MemoryBroker;

/// Small numbers that look random, the same for the same seed.
#[derive(Debug)]
pub(crate) struct Random(AtomicU64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A number below `end`.
    pub(crate) fn below(&self, end: u64) -> u64 {
        let next = |x: u64| {
            x.wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407)
        };
        let x = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |x| Some(next(x)))
            .unwrap();
        (next(x) >> 33) % end
    }

    async fn pause(&self, up_to_ms: u64) {
        let ms = self.below(up_to_ms + 1);
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }
}

/// A node's broker, whose publications and reports take up to so many milliseconds each.
#[derive(Debug)]
pub(crate) struct Late {
    pub(crate) inner: MemoryBroker,
    pub(crate) random: Arc<Random>,
    pub(crate) publish_ms: u64,
    pub(crate) report_ms: u64,
    /// As if its states outlived the node.
    pub(crate) durable: bool,
}

#[derive(Debug)]
struct LateEvents {
    events: Arc<dyn BrokerEvents>,
    random: Arc<Random>,
    report_ms: u64,
}

#[async_trait]
impl BrokerEvents for LateEvents {
    async fn publications(&self, batch: &[Delivered]) {
        for one in batch {
            self.random.pause(self.report_ms).await;
            self.events.publications(std::slice::from_ref(one)).await;
        }
    }
    fn gap(&self, after: Option<&Position>, now: &Position) {
        self.events.gap(after, now);
    }
    fn request(&self, request: Request, reply: ReplySink) {
        self.events.request(request, reply);
    }
    fn health(&self, health: Health) {
        self.events.health(health);
    }
}

#[async_trait]
impl RoomBroker for Late {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: self.durable,
            ..self.inner.capabilities()
        }
    }
    async fn start(
        &self,
        node: &NodeInfo,
        events: Arc<dyn BrokerEvents>,
    ) -> Result<Position, BrokerError> {
        let late = LateEvents {
            events,
            random: Arc::clone(&self.random),
            report_ms: self.report_ms,
        };
        self.inner.start(node, Arc::new(late)).await
    }
    async fn publish(&self, batch: &[Arc<Publication>]) -> Result<(), BrokerError> {
        for one in batch {
            self.random.pause(self.publish_ms).await;
            self.inner.publish(std::slice::from_ref(one)).await?;
        }
        Ok(())
    }
    async fn end(&self) -> Result<Position, BrokerError> {
        self.inner.end().await
    }
    async fn history(
        &self,
        after: &Position,
        to: &Position,
        audience: &Audience,
        max: usize,
    ) -> Result<Page, HistoryError> {
        self.random.pause(self.report_ms).await;
        self.inner.history(after, to, audience, max).await
    }
    async fn request(
        &self,
        request: &Request,
        replies: ReplySink,
    ) -> Result<Expected, BrokerError> {
        self.inner.request(request, replies).await
    }
    async fn save_recovery(
        &self,
        key: &str,
        state: &[u8],
        ttl: Duration,
    ) -> Result<(), BrokerError> {
        self.inner.save_recovery(key, state, ttl).await
    }
    async fn take_recovery(&self, key: &str) -> Result<Option<Vec<u8>>, BrokerError> {
        self.inner.take_recovery(key).await
    }
    async fn stop(&self) {
        self.inner.stop().await;
    }
}
