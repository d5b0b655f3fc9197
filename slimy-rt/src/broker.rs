//! What travels between nodes: the [`RoomBroker`] trait, the publications it carries, and what it reports back.

mod codec;
mod request;
mod serial;

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use self::request::{Reply, ReplySink, Request, SocketSummary};
use crate::{NodeId, Room, SocketId, protocol::EventData};

/// The log and messenger between nodes.
///
/// It is neither the registry of local sockets nor a queue: order, retry, queueing during outages and deduplication are the server's, once, and
/// not every backend's. A node delivers its own publications to its own sockets without waiting for the broker.
///
/// # Contract
/// * [`publish`](Self::publish) puts publications into the log in the order given; each gets a [`Position`]. `Ok` means that they are
///   in the log, or were before: a batch is retried with the same ids after an error that
///   [`is_retryable`](BrokerError::is_retryable), and an id that is in the log already may be put in again, since receivers drop what they have.
/// * Every started node is told of every publication in the log's order through [`BrokerEvents::publications`], its own included,
///   exactly as it was sent: each byte of its JSON and of its attachments. Reports are awaited, one at a time.
/// * A node that missed something is told so by [`BrokerEvents::gap`]. Never silence.
/// * [`history`](Self::history) is complete or an error, never partial without saying so.
/// * A lost or cleared log begins a new epoch; positions of the old one are then [`HistoryError::Gone`], and so are those that no log gave out.
/// * What [`capabilities`](Self::capabilities) does not claim is refused with [`BrokerError::Unsupported`]; [`history`](Self::history) may also
///   say [`HistoryError::Gone`], and [`request`](Self::request) that it asked no node.
/// * Before [`start`](Self::start) and after [`stop`](Self::stop), [`publish`](Self::publish) and [`request`](Self::request) are
///   [`BrokerError::Stopped`]. A stopped broker can be started again.
///
/// # Ordering
/// All nodes see one order. Publications of one node appear in the order in which it published them.
///
/// # Cancellation
/// A dropped `publish` may have put in none, some or all of its batch, in order; the caller publishes the batch again.
///
/// # Errors
/// [`BrokerError`] by meaning. One that is not retryable concerns the publication and not the engine: it is logged, counted, and those behind it go on.
///
/// The feature `conformance` checks an implementation against this contract, clause by clause.
///
/// # Example
/// A complete broker for one node, which keeps no log; the methods that it does not have say so by default:
/// ```
/// use std::sync::{Arc, Mutex};
/// use async_trait::async_trait;
/// use slimy_rt::broker::*;
///
/// #[derive(Debug, Default)]
/// struct Alone(Mutex<Option<Arc<dyn BrokerEvents>>>);
///
/// #[async_trait]
/// impl RoomBroker for Alone {
///     async fn start(&self, _: &NodeInfo, events: Arc<dyn BrokerEvents>) -> Result<Position, BrokerError> {
///         let mut started = self.0.lock().map_err(|_| BrokerError::Stopped)?;
///         if started.is_some() {
///             return Err(BrokerError::Invalid("it is started already".into()));
///         }
///         events.health(Health::Up);
///         *started = Some(events);
///         Ok(Position::new("alone:0"))
///     }
///     async fn publish(&self, batch: &[Arc<Publication>]) -> Result<(), BrokerError> {
///         let events = self.0.lock().map_err(|_| BrokerError::Stopped)?.clone();
///         let batch: Vec<_> = batch.iter().map(|p| (None, Arc::clone(p))).collect();
///         events.ok_or(BrokerError::Stopped)?.publications(&batch).await;
///         Ok(())
///     }
///     async fn stop(&self) {
///         if let Ok(mut events) = self.0.lock() {
///             *events = None;
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait RoomBroker: fmt::Debug + Send + Sync + 'static {
    /// What this broker can do. By default nothing but carry publications.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// Joins `node` to the cluster. From the returned position on, `events` is told of everything.
    ///
    /// # Errors
    /// When the engine cannot be reached; the caller tries again. A broker that has been started and not stopped refuses with
    /// [`BrokerError::Invalid`].
    async fn start(
        &self,
        node: &NodeInfo,
        events: Arc<dyn BrokerEvents>,
    ) -> Result<Position, BrokerError>;

    /// Says that this node began or ceased to have members in a room. A hint: a broker may use it to receive less. Never called for the
    /// room of a single socket. By default it is not taken.
    fn interest(&self, change: Interest<'_>) {
        let _ = change;
    }

    /// Puts a batch into the log. Called by one task, in order.
    ///
    /// # Errors
    /// See the trait's contract.
    async fn publish(&self, batch: &[Arc<Publication>]) -> Result<(), BrokerError>;

    /// The place of the log's last publication at this moment, of whichever node: everything whose [`publish`](Self::publish) has ended
    /// before lies at or before it. A broker that [`filters`](Capabilities::filters) reports soon that it has [advanced](BrokerEvents::advanced) up to there:
    /// a client that comes back waits for that.
    ///
    /// # Errors
    /// When the broker cannot tell. [`BrokerError::Unsupported`] by default.
    async fn end(&self) -> Result<Position, BrokerError> {
        Err(BrokerError::Unsupported("a log"))
    }

    /// What lies in the log behind `after`, up to and with `to`, for sockets in any of these rooms (no rooms: for all), publications to a
    /// whole namespace included; at most `max` publications. The next page begins behind the last one's position.
    ///
    /// Namespaces and `except` are the caller's to look at.
    ///
    /// # Errors
    /// [`HistoryError::Gone`] when any of it is no longer there: by default always.
    async fn history(
        &self,
        after: &Position,
        to: &Position,
        audience: &Audience,
        max: usize,
    ) -> Result<Page, HistoryError> {
        let _ = (after, to, audience, max);
        Err(HistoryError::Gone)
    }

    /// Asks every other started node once; their answers come through `replies`, at most one of each node. Once no more can come,
    /// since each has answered or dropped its sink, `replies` is dropped: whoever asked then waits no longer.
    ///
    /// # Errors
    /// When the question could not be sent. [`BrokerError::Unsupported`] by default.
    async fn request(
        &self,
        request: &Request,
        replies: ReplySink,
    ) -> Result<Expected, BrokerError> {
        let _ = (request, replies);
        Err(BrokerError::Unsupported("requests"))
    }

    /// Keeps the state of a client that was cut off, for `ttl`, in place of any other under this key. Every node can take it.
    ///
    /// # Errors
    /// When it is not kept. [`BrokerError::Unsupported`] by default.
    async fn save_recovery(
        &self,
        key: &str,
        state: &[u8],
        ttl: Duration,
    ) -> Result<(), BrokerError> {
        let _ = (key, state, ttl);
        Err(BrokerError::Unsupported("recovery"))
    }

    /// Takes a kept state away: of several callers at once, one gets it.
    ///
    /// # Errors
    /// When the broker cannot tell. [`BrokerError::Unsupported`] by default.
    async fn take_recovery(&self, key: &str) -> Result<Option<Vec<u8>>, BrokerError> {
        let _ = key;
        Err(BrokerError::Unsupported("recovery"))
    }

    /// Leaves the cluster. Afterwards nothing is reported any more. Of a broker that is not started, it does nothing.
    async fn stop(&self);
}

/// What a broker reports to its node.
#[async_trait]
pub trait BrokerEvents: fmt::Debug + Send + Sync + 'static {
    /// Publications in the log's order, own ones included. Awaiting it is back-pressure: the broker reads no further before.
    async fn publications(&self, batch: &[Delivered]);

    /// Everything up to `to` that concerns this node has been reported. Only a broker that [`filters`](Capabilities::filters) needs to say so:
    /// to the others each publication's own position tells. By default it is not listened to.
    fn advanced(&self, to: &Position) {
        let _ = to;
    }

    /// Something between `after` and `now` was missed and cannot be had.
    fn gap(&self, after: Option<&Position>, now: &Position);

    /// Another node's request; answers go through `reply`.
    fn request(&self, request: Request, reply: ReplySink);

    /// The engine can be reached, or no longer.
    fn health(&self, health: Health);
}

/// A publication with its place in the log; `None` when this broker gives no positions. That it gives some does not say that
/// [`history`](RoomBroker::history) can go back to them: [`Capabilities::log`] does.
pub type Delivered = (Option<Position>, Arc<Publication>);

/// One event for a set of sockets.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Publication {
    /// The publishing node and its sequence number there, from 1 without gaps. `None`: from an emitter that is no node.
    pub id: Option<(NodeId, u64)>,
    /// The namespace: `/` or `/name`.
    pub namespace: Arc<str>,
    /// For whom.
    pub audience: Audience,
    /// What.
    pub event: EventData,
    /// Nodes may drop it for clients that do not keep up.
    pub volatile: bool,
    /// More than none: it is no event for clients. So many publications of its node never got into the log, here or before; nodes report a gap.
    pub lost: u64,
}

impl Publication {
    /// A publication.
    #[must_use]
    pub fn new(
        id: Option<(NodeId, u64)>,
        namespace: Arc<str>,
        audience: Audience,
        event: EventData,
    ) -> Self {
        Self {
            id,
            namespace,
            audience,
            event,
            volatile: false,
            lost: 0,
        }
    }

    /// Tells every node that so many publications will never come.
    pub(crate) fn loss(lost: u64) -> Self {
        let nothing = EventData::nothing();
        let mut loss = Self::new(None, "/".into(), Audience::default(), nothing);
        loss.lost = lost;
        loss
    }

    /// Gives it its node and its number there.
    pub(crate) fn numbered(mut self, node: NodeId, sequence: u64) -> Self {
        self.id = Some((node, sequence));
        self
    }

    /// Sets whether nodes may drop it for clients that do not keep up.
    #[must_use]
    pub fn volatile(mut self, volatile: bool) -> Self {
        self.volatile = volatile;
        self
    }
}

/// Sockets by their rooms: those in any of `rooms` (all of the namespace when there are none), but not those in any of `except`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// Any of these; none means the whole namespace.
    pub rooms: Vec<Room>,
    /// None of these.
    pub except: Vec<Room>,
}

impl Audience {
    /// One socket alone.
    #[must_use]
    pub fn of(socket: &SocketId) -> Self {
        Self {
            rooms: vec![Room::of_socket(socket)],
            except: Vec::new(),
        }
    }
}

impl Audience {
    /// Whether a publication for this audience can concern a member of one of `rooms`: it goes to everyone, or to one of them. No `rooms` at all are every room. What
    /// [`RoomBroker::history`] leaves out.
    #[must_use]
    pub fn concerns(&self, rooms: &[Room]) -> bool {
        let is_one = |room: &Room| rooms.contains(room);
        rooms.is_empty() || self.rooms.is_empty() || self.rooms.iter().any(is_one)
    }
}

/// A place in a broker's log. The log's epoch is part of it.
///
/// A broker with a log makes its positions with [`at`](Self::at): then they have an order within their epoch, which connection state recovery
/// needs. Any other text is opaque to all but the broker that made it, and equal to itself only.
///
/// ```
/// use slimy_rt::broker::Position;
///
/// let (early, late) = (Position::at("e1", 9), Position::at("e1", 10));
/// assert!(early < late);
/// assert_eq!(late.as_str(), "e1:10");
/// assert!(early.partial_cmp(&Position::at("e2", 10)).is_none(), "another log");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(Box<str>);

impl Position {
    /// A place as its broker writes it.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The place with that number in the log of that epoch: `<epoch>:<number>`. Numbers grow along the log.
    #[must_use]
    pub fn at(epoch: impl fmt::Display, number: u64) -> Self {
        Self(format!("{epoch}:{number}").into())
    }

    /// Epoch and number, if that is how it is written; exactly as [`at`](Self::at) writes them.
    #[must_use]
    pub fn parts(&self) -> Option<(&str, u64)> {
        let (epoch, number) = self.0.rsplit_once(':')?;
        let is_plain = number == "0" || !number.starts_with(['0', '+']);
        Some((epoch, number.parse().ok().filter(|_| is_plain)?))
    }

    /// The place as its broker wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialOrd for Position {
    /// By number within one epoch; places of different logs have no order.
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        if self == other {
            return Some(std::cmp::Ordering::Equal);
        }
        let ((epoch, number), (other_epoch, other)) = (self.parts()?, other.parts()?);
        (epoch == other_epoch).then(|| number.cmp(&other))
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({})", self.0)
    }
}

/// What a broker can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// It keeps a log: [`RoomBroker::history`] answers.
    pub log: bool,
    /// It carries requests between nodes.
    pub requests: bool,
    /// It keeps the states of clients that were cut off.
    pub recovery: bool,
    /// These states outlive the node: they are then kept from a client's first moment on, so that it can go on elsewhere when its node is killed.
    pub durable: bool,
    /// A node is not told of publications that concern none of its rooms, as far as [`RoomBroker::interest`] has named them. The numbers of a publishing node
    /// then have holes that are no gap; [`BrokerEvents::gap`] alone tells of those.
    pub filters: bool,
}

/// A node, as the others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// The node.
    pub id: NodeId,
}

/// A change of what a node has members for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest<'a> {
    /// The first member of this room came.
    Began {
        /// The namespace.
        namespace: &'a str,
        /// The room.
        room: &'a Room,
    },
    /// The last member of this room left.
    Ceased {
        /// The namespace.
        namespace: &'a str,
        /// The room.
        room: &'a Room,
    },
}

/// Whether an engine can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answers.
    Up,
    /// It does not.
    Down,
}

/// A part of the log.
#[derive(Clone, Debug)]
pub struct Page {
    /// The publications, in the log's order.
    pub publications: Vec<(Position, Arc<Publication>)>,
    /// Whether that is all up to the wanted end.
    pub complete: bool,
}

/// How many answers a request can expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The nodes that were asked.
    pub nodes: usize,
}

/// Which sockets a request concerns.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Selection {
    /// Those of an audience.
    Audience {
        /// The namespace.
        namespace: Arc<str>,
        /// The rooms.
        audience: Audience,
    },
    /// One socket.
    Socket(SocketId),
}

/// Why a broker did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The engine cannot be reached, or did not answer in time.
    #[error("the broker cannot be reached")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// What was asked can never be done; the text says what to change.
    #[error("the broker refused: {0}")]
    Invalid(Box<str>),
    /// This broker cannot do that: see [`RoomBroker::capabilities`].
    #[error("this broker does not support {0}")]
    Unsupported(&'static str),
    /// It was not started, or has been stopped.
    #[error("the broker is stopped")]
    Stopped,
    /// The engine answered with an error.
    #[error("the broker failed")]
    Backend(#[source] Box<dyn StdError + Send + Sync>),
}

impl BrokerError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Why a part of the log cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// It is no longer in the log, or the log is another one.
    #[error("this part of the log is gone")]
    Gone,
    /// The broker could not look.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        impl<T: RoomBroker + ?Sized> RoomBroker for $pointer<T> {
            fn capabilities(&self) -> Capabilities {
                (**self).capabilities()
            }
            async fn start(
                &self,
                node: &NodeInfo,
                events: Arc<dyn BrokerEvents>,
            ) -> Result<Position, BrokerError> {
                (**self).start(node, events).await
            }
            fn interest(&self, change: Interest<'_>) {
                (**self).interest(change);
            }
            async fn publish(&self, batch: &[Arc<Publication>]) -> Result<(), BrokerError> {
                (**self).publish(batch).await
            }
            async fn end(&self) -> Result<Position, BrokerError> {
                (**self).end().await
            }
            async fn history(
                &self,
                after: &Position,
                to: &Position,
                audience: &Audience,
                max: usize,
            ) -> Result<Page, HistoryError> {
                (**self).history(after, to, audience, max).await
            }
            async fn request(
                &self,
                request: &Request,
                replies: ReplySink,
            ) -> Result<Expected, BrokerError> {
                (**self).request(request, replies).await
            }
            async fn save_recovery(
                &self,
                key: &str,
                state: &[u8],
                ttl: Duration,
            ) -> Result<(), BrokerError> {
                (**self).save_recovery(key, state, ttl).await
            }
            async fn take_recovery(&self, key: &str) -> Result<Option<Vec<u8>>, BrokerError> {
                (**self).take_recovery(key).await
            }
            async fn stop(&self) {
                (**self).stop().await;
            }
        }
    };
}

forward!(Arc);
forward!(Box);
