//! Sessions, in either engine.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use slimy_rt::{
    conformance::session_store::{self, SessionStoreFactory},
    session::SessionStore,
};

use super::{Engine, holds_but_for, own::Store};

/// Makes stores over one server, each with a place of its own: clauses are checked one after the other.
struct Stores<S> {
    engine: Engine,
    made: AtomicUsize,
    wrap: fn(Store) -> S,
}

impl<S> Stores<S> {
    async fn new(wrap: fn(Store) -> S) -> Self {
        Self {
            engine: Engine::start().await,
            made: AtomicUsize::new(0),
            wrap,
        }
    }

    /// A handle on the store that was made last, as another node has it.
    fn latest(&self) -> S {
        let place = format!("store_{}", self.made.load(Relaxed));
        (self.wrap)(Store::new(&self.engine.client_of(&place)))
    }
}

impl<S: SessionStore> SessionStoreFactory for Stores<S> {
    type Store = S;

    async fn create(&self) -> S {
        self.engine.proxy.heal().await;
        self.made.fetch_add(1, Relaxed);
        self.latest()
    }

    async fn reopen(&self, _: &S) -> Option<S> {
        Some(self.latest())
    }

    async fn restart(&self, store: S) -> Option<S> {
        drop(store);
        Some(self.latest())
    }

    async fn cut_off(&self, _: &S) -> bool {
        self.engine.proxy.cut().await;
        true
    }

    async fn reconnect(&self, _: &S) {
        self.engine.proxy.heal().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions() {
    let stores = Stores::new(|store| store).await;
    holds_but_for(session_store::check(stores).await, &[]);
}

#[tokio::test]
async fn sessions_behind_a_pointer() {
    let arc = Stores::new(|store| Arc::new(store) as Arc<dyn SessionStore>).await;
    holds_but_for(session_store::check(arc).await, &[]);
    let boxed = Stores::new(|store| Box::new(store) as Box<dyn SessionStore>).await;
    holds_but_for(session_store::check(boxed).await, &[]);
}
