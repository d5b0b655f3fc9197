//! The contract of [`SessionStore`].
//!
//! ```
//! use slimy_rt::conformance::session_store;
//! # use std::{collections::BTreeMap, time::SystemTime};
//! # use slimy_rt::session::*;
//! # use slimy_rt::{TokenId, UserId};
//! # #[derive(Debug)] struct MyStore;
//! # #[async_trait::async_trait]
//! # impl SessionStore for MyStore {
//! #     async fn load(&self, _: &UserId) -> Result<Option<Session>, SessionError> { Ok(None) }
//! #     async fn save(&self, _: &UserId, _: &Session, _: Expiry) -> Result<(), SessionError> { Ok(()) }
//! #     async fn delete(&self, _: &UserId) -> Result<bool, SessionError> { Ok(false) }
//! #     async fn list(&self, _: Option<&UserId>, _: usize) -> Result<SessionPage, SessionError> { Ok(SessionPage::default()) }
//! #     async fn deny(&self, _: &TokenId, _: SystemTime) -> Result<(), SessionError> { Ok(()) }
//! #     async fn is_denied(&self, _: &TokenId) -> Result<bool, SessionError> { Ok(false) }
//! #     async fn watch(&self) -> Result<SessionWatch, SessionError> { Ok(Box::pin(futures_util::stream::pending())) }
//! # }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // A store that forgets what it is given.
//! let failures = session_store::check_clause(|| async { MyStore }, "load-after-save").await.unwrap_err();
//! assert_eq!(failures.broken[0].clause.name, "load-after-save");
//! # }
//! ```

mod basics;
mod claim;
mod deny;
mod expiry;
mod listing;
mod robust;
mod values;
mod watch;

use std::{future::ready, sync::Arc};

use futures_util::future::BoxFuture;

use super::{
    Clause, Failures, Report,
    run::{self, Tables, Verdict, call, not_applicable},
};
use crate::{
    GuildId, TokenId, UserId,
    session::{Expiry, Guild, Session, SessionStore},
};

const NAME: &str = "SessionStore";

/// Makes the stores that are checked. A closure that gives a future of a store is one that offers no more than that.
pub trait SessionStoreFactory: Send + Sync + 'static {
    /// The store.
    type Store: SessionStore;

    /// A fresh, empty store, which shares nothing with earlier ones.
    fn create(&self) -> impl Future<Output = Self::Store> + Send;

    /// A second handle on the same data, as another node has it, while the first stays open. Default: not offered.
    fn reopen(&self, store: &Self::Store) -> impl Future<Output = Option<Self::Store>> + Send {
        let _ = store;
        ready(None)
    }

    /// The same data after a restart of the program: drops the handle, which is the only one, and opens the data anew. Default: not offered.
    fn restart(&self, store: Self::Store) -> impl Future<Output = Option<Self::Store>> + Send {
        drop(store);
        ready(None)
    }

    /// Makes the store's engine unreachable and says whether it is. Default: not offered.
    fn cut_off(&self, store: &Self::Store) -> impl Future<Output = bool> + Send {
        let _ = store;
        ready(false)
    }

    /// Makes it reachable again, after [`cut_off`](Self::cut_off) said `true`.
    fn reconnect(&self, store: &Self::Store) -> impl Future<Output = ()> + Send {
        let _ = store;
        ready(())
    }
}

impl<F, Fut> SessionStoreFactory for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future + Send,
    Fut::Output: SessionStore,
{
    type Store = Fut::Output;

    fn create(&self) -> impl Future<Output = Self::Store> + Send {
        self()
    }
}

/// Checks every clause, each on a fresh store.
///
/// # Errors
/// [`Failures`] when a clause is broken.
pub async fn check(factory: impl SessionStoreFactory) -> Result<Report, Failures> {
    run::check(NAME, TABLES, harness(factory)).await
}

/// Checks the clause of that name, on a fresh store.
///
/// # Errors
/// [`Failures`] when the clause is broken, or there is none of that name.
pub async fn check_clause(
    factory: impl SessionStoreFactory,
    name: &str,
) -> Result<Report, Failures> {
    run::check_clause(NAME, TABLES, harness(factory), name).await
}

/// The clauses, in the order in which they are checked.
#[must_use]
pub fn clauses() -> Vec<Clause> {
    run::list(TABLES)
}

const TABLES: Tables<Harness> = &[
    basics::CLAUSES,
    values::CLAUSES,
    expiry::CLAUSES,
    listing::CLAUSES,
    deny::CLAUSES,
    watch::CLAUSES,
    claim::CLAUSES,
    robust::CLAUSES,
];

/// The factory without its type: the clauses are compiled once, and not for each backend.
#[derive(Clone)]
struct Harness(Arc<dyn Erased>);

trait Erased: Send + Sync {
    fn create(&self) -> BoxFuture<'_, Opened>;
}

/// A store, and what its factory can do with it.
struct Opened {
    store: Arc<dyn SessionStore>,
    controls: Box<dyn Controls>,
}

trait Controls: Send + Sync {
    fn reopen(&self) -> BoxFuture<'_, Option<Opened>>;
    fn restart(self: Box<Self>) -> BoxFuture<'static, Option<Opened>>;
    fn cut_off(&self) -> BoxFuture<'_, bool>;
    fn reconnect(&self) -> BoxFuture<'_, ()>;
}

struct Of<F: SessionStoreFactory>(Arc<F>);

struct StoreOf<F: SessionStoreFactory> {
    factory: Arc<F>,
    store: Arc<F::Store>,
}

fn harness<F: SessionStoreFactory>(factory: F) -> Harness {
    Harness(Arc::new(Of(Arc::new(factory))))
}

fn opened<F: SessionStoreFactory>(factory: &Arc<F>, store: F::Store) -> Opened {
    let store = Arc::new(store);
    Opened {
        store: Arc::clone(&store) as _,
        controls: Box::new(StoreOf {
            factory: Arc::clone(factory),
            store,
        }),
    }
}

impl<F: SessionStoreFactory> Erased for Of<F> {
    fn create(&self) -> BoxFuture<'_, Opened> {
        Box::pin(async { opened(&self.0, self.0.create().await) })
    }
}

impl<F: SessionStoreFactory> Controls for StoreOf<F> {
    fn reopen(&self) -> BoxFuture<'_, Option<Opened>> {
        Box::pin(async {
            let again = self.factory.reopen(&self.store).await?;
            Some(opened(&self.factory, again))
        })
    }

    fn restart(self: Box<Self>) -> BoxFuture<'static, Option<Opened>> {
        Box::pin(async move {
            let store = Arc::into_inner(self.store).expect("clauses keep no other handle");
            let again = self.factory.restart(store).await?;
            Some(opened(&self.factory, again))
        })
    }

    fn cut_off(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.factory.cut_off(&self.store))
    }

    fn reconnect(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.factory.reconnect(&self.store))
    }
}

impl Harness {
    async fn create(&self) -> Opened {
        self.0.create().await
    }

    async fn store(&self) -> Arc<dyn SessionStore> {
        self.create().await.store
    }
}

impl Opened {
    /// A second handle on the same data.
    async fn again(&self) -> Verdict<Arc<dyn SessionStore>> {
        match self.controls.reopen().await {
            Some(again) => Ok(again.store),
            None => not_applicable("the factory does not offer a second handle (`reopen`)"),
        }
    }

    /// The same data after a restart. This must be the only handle.
    async fn restarted(self) -> Verdict<Opened> {
        let Self { store, controls } = self;
        drop(store);
        match controls.restart().await {
            Some(again) => Ok(again),
            None => not_applicable("the factory does not offer a restart (`restart`)"),
        }
    }

    async fn cut_off(&self) -> Verdict {
        if self.controls.cut_off().await {
            return Ok(());
        }
        not_applicable("the factory does not offer to cut the engine off (`cut_off`)")
    }
}

fn user(text: &str) -> UserId {
    UserId::parse(text).expect("the clauses' ids are legal")
}

fn guild(text: &str) -> GuildId {
    GuildId::parse(text).expect("the clauses' ids are legal")
}

fn token(text: &str) -> TokenId {
    TokenId::parse(text).expect("the clauses' ids are legal")
}

/// A session that tells itself from others by its only guild.
fn session(mark: &str) -> Session {
    Session::new(vec![Guild::new(guild(mark))])
}

async fn save(store: &dyn SessionStore, id: &str, session: &Session) -> Verdict {
    call("save", store.save(&user(id), session, Expiry::Never)).await
}

async fn load(store: &dyn SessionStore, id: &str) -> Verdict<Option<Session>> {
    call("load", store.load(&user(id))).await
}
