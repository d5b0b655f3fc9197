//! The broker of either engine.

use std::sync::Arc;

use slimy_rt::{
    broker::RoomBroker,
    conformance::broker::{self, BrokerFactory},
};

use super::{
    Engine, holds_but_for,
    own::{EngineBroker, lose_log},
};

struct Brokers;

impl BrokerFactory for Brokers {
    type Cluster = Engine;
    type Broker = EngineBroker;

    async fn cluster(&self) -> Engine {
        Engine::start().await
    }

    async fn node(&self, cluster: &Engine) -> Option<EngineBroker> {
        Some(EngineBroker::new(&cluster.client()))
    }

    async fn lose_log(&self, cluster: &Engine) -> bool {
        lose_log(cluster).await;
        true
    }

    async fn cut_off(&self, cluster: &Engine) -> bool {
        cluster.proxy.cut().await;
        true
    }

    async fn reconnect(&self, cluster: &Engine) {
        cluster.proxy.heal().await;
    }
}

struct BehindAPointer;

impl BrokerFactory for BehindAPointer {
    type Cluster = Engine;
    type Broker = Arc<dyn RoomBroker>;

    async fn cluster(&self) -> Engine {
        Brokers.cluster().await
    }

    async fn node(&self, cluster: &Engine) -> Option<Arc<dyn RoomBroker>> {
        let broker = Brokers.node(cluster).await?;
        Some(Arc::new(Box::new(broker) as Box<dyn RoomBroker>))
    }

    async fn lose_log(&self, cluster: &Engine) -> bool {
        Brokers.lose_log(cluster).await
    }

    async fn cut_off(&self, cluster: &Engine) -> bool {
        Brokers.cut_off(cluster).await
    }

    async fn reconnect(&self, cluster: &Engine) {
        Brokers.reconnect(cluster).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers() {
    holds_but_for(broker::check(Brokers).await, &[]);
}

#[tokio::test]
async fn brokers_behind_a_pointer() {
    holds_but_for(broker::check(BehindAPointer).await, &[]);
}
