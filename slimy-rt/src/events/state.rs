//! What handlers share: the program's state, and each socket's own data, both found by their type.

use std::{
    any::{Any, TypeId, type_name},
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, OnceLock},
};

use super::{FromSocket, Rejection, ServerSideEvent, Socket, handler::Extract};
use crate::server::lock;

type Value = Arc<dyn Any + Send + Sync>;

/// The program's state, given to the server by [`state`](crate::server::ServerBuilder::state). Handlers get a clone: put into an `Arc` what is not cheap to
/// clone, and what they all change behind a lock or an atomic.
///
/// A handler that takes a state that nobody gave keeps the server from being built.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
/// use slimy_rt::events::{Answer, Namespace, State};
///
/// #[derive(Clone, Default)]
/// struct Counter(Arc<AtomicU64>);
///
/// let namespace = Namespace::new("/")
///     .on("count", async |State(counter): State<Counter>| Answer(counter.0.fetch_add(1, Ordering::Relaxed)));
/// // Server::builder(…).state(Counter::default()).namespace(namespace)
/// ```
#[derive(Clone, Copy, Debug)]
pub struct State<S>(pub S);

impl<S: Clone + Send + Sync + 'static> FromSocket for State<S> {
    async fn from_socket(socket: &Socket) -> Result<Self, Rejection> {
        from(socket.states())
    }

    fn requires(requirements: &mut Requirements) {
        requirements.state::<S>();
    }
}

impl<S: Clone + Send + Sync + 'static> Extract<ServerSideEvent> for State<S> {
    async fn extract(event: &ServerSideEvent) -> Result<Self, Rejection> {
        from(event.states())
    }

    fn requires(requirements: &mut Requirements) {
        requirements.state::<S>();
    }
}

fn from<S: Clone + Send + Sync + 'static>(states: &States) -> Result<State<S>, Rejection> {
    states.find().map(State).ok_or_else(|| {
        // `build` has seen to it, unless an extractor does not say what it requires.
        tracing::error!(
            state = type_name::<S>(),
            "no such state was given to the server"
        );
        Rejection::server_error()
    })
}

/// The states that a server was given.
#[derive(Clone, Default)]
pub(crate) struct States(HashMap<TypeId, Value>);

impl States {
    pub(crate) fn insert<S: Send + Sync + 'static>(&mut self, state: S) {
        self.0.insert(TypeId::of::<S>(), Arc::new(state));
    }

    fn find<S: Clone + 'static>(&self) -> Option<S> {
        self.0.get(&TypeId::of::<S>())?.downcast_ref().cloned()
    }

    /// What is required and not there.
    pub(crate) fn missing<'a>(&self, requirements: &'a Requirements) -> Option<&'a Requirement> {
        let is_missing = |requirement: &&Requirement| !self.0.contains_key(&requirement.state);
        requirements.required.iter().find(is_missing)
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States")
            .field("count", &self.0.len())
            .finish()
    }
}

/// What the handlers of a namespace need, so that the server's `build` can tell what is missing.
#[derive(Clone, Debug, Default)]
pub struct Requirements {
    required: Vec<Requirement>,
    handler: Box<str>,
}

#[derive(Clone, Debug)]
pub(crate) struct Requirement {
    state: TypeId,
    pub(crate) name: &'static str,
    pub(crate) handler: Box<str>,
}

impl Requirements {
    /// Whatever is required from now on, `handler` requires.
    pub(crate) fn of(&mut self, handler: impl Into<Box<str>>) -> &mut Self {
        self.handler = handler.into();
        self
    }

    /// The server must be given a state of this type.
    pub fn state<S: 'static>(&mut self) {
        self.required.push(Requirement {
            state: TypeId::of::<S>(),
            name: type_name::<S>(),
            handler: self.handler.clone(),
        });
    }
}

/// A socket's own values; most sockets have none.
#[derive(Default)]
pub(crate) struct SocketData(OnceLock<Box<Mutex<HashMap<TypeId, Value>>>>);

impl SocketData {
    pub(crate) fn set<T: Send + Sync + 'static>(&self, value: T) -> Option<Arc<T>> {
        let values = self.0.get_or_init(Box::default);
        let before = lock(values).insert(TypeId::of::<T>(), Arc::new(value))?;
        before.downcast().ok()
    }

    pub(crate) fn find<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let value = lock(self.0.get()?).get(&TypeId::of::<T>()).cloned()?;
        value.downcast().ok()
    }

    /// Drops all values, outside of the lock: one of them may know its socket.
    pub(crate) fn clear(&self) {
        let values = self
            .0
            .get()
            .map(|values| std::mem::take(&mut *lock(values)));
        drop(values);
    }

    pub(crate) fn remove<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let value = lock(self.0.get()?).remove(&TypeId::of::<T>())?;
        value.downcast().ok()
    }
}
