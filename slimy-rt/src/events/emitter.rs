//! Sending to many sockets, and acting on them; asking the other nodes.

use std::{fmt, sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    AckError, Answers, ClusterError, EmitError, Fetched, IntoRoom, NodeAnswers, Socket, States,
    answers::MAX_FETCHED_SOCKETS,
};
use crate::{
    InvalidId, Room,
    broker::{Audience, Reply, Request, Selection},
    protocol::EventData,
    server::{
        Core,
        cluster::{Cluster, for_each},
        sequencer::Flags,
    },
};

/// Sends to the sockets of a namespace, on every node, from any task. A cheap clone.
#[derive(Clone)]
pub struct Emitter {
    core: Arc<Core>,
    namespace: Arc<str>,
}

impl Emitter {
    pub(crate) fn new(core: Arc<Core>, namespace: Arc<str>) -> Self {
        Self { core, namespace }
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// To the members of a room.
    pub fn to(&self, room: impl IntoRoom) -> Broadcast {
        self.all().to(room)
    }

    /// To everyone in the namespace but the members of a room.
    pub fn except(&self, room: impl IntoRoom) -> Broadcast {
        self.all().except(room)
    }

    /// To everyone in the namespace.
    pub fn all(&self) -> Broadcast {
        Broadcast {
            emitter: self.clone(),
            audience: Audience::default(),
            flags: Flags::default(),
            timeout: None,
            invalid: None,
        }
    }

    /// Sends an event with one argument to the other nodes themselves: to their handlers of server-side events, not to clients. Without a
    /// broker there are no other nodes. A node that is away does not get it later; events of one node may be handled at the same time.
    ///
    /// # Errors
    /// [`ClusterError`]: the other nodes did not get it.
    pub async fn server_side_emit<T: Serialize + Sync + ?Sized>(
        &self,
        event: &str,
        payload: &T,
    ) -> Result<(), ClusterError> {
        let event = EventData::new(event, payload)?;
        let namespace = Arc::clone(&self.namespace);
        self.tell(false, Request::ServerEvent { namespace, event })
            .await
    }

    /// The same, and waits until every other node has answered or `timeout` is over.
    ///
    /// # Errors
    /// [`ClusterError`]: the other nodes did not get it.
    ///
    /// # Cancellation
    /// Dropping the future gives the answers up; if it was polled, the other nodes may have got the event.
    pub async fn server_side_emit_with_ack<T: Serialize + Sync + ?Sized>(
        &self,
        event: &str,
        payload: &T,
        timeout: Duration,
    ) -> Result<NodeAnswers, ClusterError> {
        let event = EventData::new(event, payload)?;
        let Some(cluster) = self.others(false) else {
            return Ok(NodeAnswers::default());
        };
        let namespace = Arc::clone(&self.namespace);
        let request = Request::ServerEventWithAck { namespace, event };
        let (mut answers, mut silent) = (Vec::new(), Vec::new());
        let take = |reply| {
            match reply {
                Reply::ServerEvent {
                    node,
                    answer: Some(answer),
                } => answers.push((node, answer.into())),
                Reply::ServerEvent { node, answer: None } => silent.push(node),
                _ => return false,
            }
            true
        };
        let within = self.core.config.request_timeout.min(timeout);
        let missing_nodes = cluster.ask(&request, within, timeout, take).await?;
        Ok(NodeAnswers {
            answers,
            silent,
            missing_nodes,
        })
    }

    /// How many sockets of this node are in a room.
    #[cfg(feature = "diagnostics")]
    pub(crate) fn member_count(&self, room: &Room) -> usize {
        self.core.sequencer.member_count(&self.namespace, room)
    }

    pub(crate) fn states(&self) -> &States {
        &self.core.states
    }

    /// The way to the other nodes, if there may be any and they are meant.
    fn others(&self, local: bool) -> Option<&Arc<Cluster>> {
        self.core.cluster.as_ref().filter(|_| !local)
    }

    /// Hands a request that nobody answers to the other nodes.
    async fn tell(&self, local: bool, request: Request) -> Result<(), ClusterError> {
        match self.others(local) {
            Some(cluster) => {
                let within = self.core.config.request_timeout;
                cluster.tell(&request, within).await
            }
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// Some sockets of a namespace: what one event goes to, or one action applies to. A socket counts once, whatever rooms it is in.
///
/// A name that no room can have is remembered, and what is done in the end is that error.
///
/// ```
/// use slimy_rt::{Room, events::{ClusterError, Socket}};
///
/// # async fn example(socket: Socket) -> Result<(), Box<dyn std::error::Error>> {
/// let lobby = || socket.to("lobby").except(Room::admins());
/// lobby().emit("said", "hello")?;
/// let answers = lobby().emit_with_ack("ready?", &1).await?;
/// println!("{} answered, {} did not", answers.answers.len(), answers.silent.len());
/// lobby().leave("lobby").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is done before `emit` or another action"]
pub struct Broadcast {
    emitter: Emitter,
    audience: Audience,
    flags: Flags,
    timeout: Option<Duration>,
    invalid: Option<InvalidId>,
}

impl Broadcast {
    /// Also to the members of this room.
    pub fn to(mut self, room: impl IntoRoom) -> Self {
        if let Some(room) = self.room(room) {
            self.audience.rooms.push(room);
        }
        self
    }

    /// But not to the members of this room.
    pub fn except(mut self, room: impl IntoRoom) -> Self {
        if let Some(room) = self.room(room) {
            self.audience.except.push(room);
        }
        self
    }

    /// May be dropped for a client that does not keep up, on every node.
    pub fn volatile(mut self) -> Self {
        self.flags.volatile = true;
        self
    }

    /// Only on this node.
    pub fn local(mut self) -> Self {
        self.flags.local = true;
        self
    }

    /// Waits so long for answers, instead of `Config::ack_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends an event with one argument.
    ///
    /// # Errors
    /// When the name is reserved, the payload cannot be written as JSON, or a room's name was none.
    pub fn emit<T: Serialize + ?Sized>(self, event: &str, payload: &T) -> Result<(), EmitError> {
        self.emit_data(&EventData::new(event, payload)?)
    }

    /// Sends an event with several arguments: a tuple, as in `emit_args("moved", &("e2", "e4"))`.
    ///
    /// # Errors
    /// As `emit`, and when they are no array.
    pub fn emit_args<T: Serialize + ?Sized>(
        self,
        event: &str,
        arguments: &T,
    ) -> Result<(), EmitError> {
        self.emit_data(&EventData::args(event, arguments)?)
    }

    /// Sends an event with any arguments and attachments.
    ///
    /// # Errors
    /// When a room's name was none.
    pub fn emit_data(self, event: &EventData) -> Result<(), EmitError> {
        let Self {
            emitter,
            audience,
            flags,
            invalid,
            ..
        } = self;
        if let Some(invalid) = invalid {
            return Err(invalid.into());
        }
        let Emitter { core, namespace } = &emitter;
        core.sequencer
            .publish(namespace, audience, event.clone(), flags);
        Ok(())
    }

    /// Sends an event with one argument and waits for every socket's answer. See [`Broadcast::emit_data_with_ack`].
    ///
    /// # Errors
    /// As [`Broadcast::emit_data_with_ack`].
    pub async fn emit_with_ack<T: Serialize + Sync + ?Sized>(
        self,
        event: &str,
        payload: &T,
    ) -> Result<Answers, AckError> {
        let event = EventData::new(event, payload).map_err(EmitError::from)?;
        self.emit_data_with_ack(&event).await
    }

    /// Sends an event with any arguments and attachments and waits for every socket's answer.
    ///
    /// It ends when all have answered; otherwise after the timeout, and at most `Config::request_timeout` later when another node says
    /// nothing. On this node the event keeps its place among broadcasts; to other nodes it goes as a request, which the broker
    /// may carry past publications.
    ///
    /// # Errors
    /// [`AckError::TooManySockets`] when more than `Config::max_broadcast_acks` sockets of this node are meant: then nothing was sent.
    /// [`AckError::Emit`] when a room's name was none. That the other nodes could not be asked is no error, since this node's sockets have got
    /// the event: [`Answers::not_asked`] says it.
    ///
    /// # Cancellation
    /// Nothing is sent before the future is polled. Dropping it then gives the answers up.
    pub async fn emit_data_with_ack(mut self, event: &EventData) -> Result<Answers, AckError> {
        self.check().map_err(EmitError::from)?;
        let Self {
            emitter,
            audience,
            flags,
            timeout,
            ..
        } = self;
        let Emitter { core, namespace } = &emitter;
        let config = &core.config;
        let timeout = timeout.unwrap_or(config.ack_timeout);
        let questions =
            core.sequencer
                .publish_asking(namespace, &audience, event, flags.volatile, config)?;
        let Some(cluster) = emitter.others(flags.local) else {
            return Ok(questions.answers(timeout).await);
        };
        let request = Request::EmitWithAck {
            sockets: Selection::Audience {
                namespace: Arc::clone(namespace),
                audience,
            },
            event: event.clone(),
            timeout,
            volatile: flags.volatile,
        };
        let mut far = Answers::default();
        let take = |reply| {
            match reply {
                Reply::Answers {
                    answers, silent, ..
                } => {
                    let answers = answers.into_iter().map(|(id, data)| (id, data.into()));
                    far.answers.extend(answers);
                    far.silent.extend(silent);
                }
                Reply::Refused { node } => far.refused.push(node),
                _ => return false,
            }
            true
        };
        let within = config.request_timeout;
        let ask = cluster.ask(&request, within, timeout.saturating_add(within), take);
        let (mut answers, asked) = tokio::join!(questions.answers(timeout), ask);
        answers.answers.append(&mut far.answers);
        answers.silent.append(&mut far.silent);
        answers.refused = far.refused;
        match asked {
            Ok(missing_nodes) => answers.missing_nodes = missing_nodes,
            Err(error) => answers.not_asked = Some(Arc::new(error)),
        }
        Ok(answers)
    }

    /// Describes the sockets: this node's and, unless `local`, the other nodes'. It waits at most `Config::request_timeout` for these.
    ///
    /// # Errors
    /// [`ClusterError`] when the other nodes could not be asked; a `local` selection needs none of them.
    pub async fn fetch_sockets(mut self) -> Result<Fetched, ClusterError> {
        self.check()?;
        let sockets = self.here();
        let describe = sockets.iter().take(MAX_FETCHED_SOCKETS);
        let mut fetched = Fetched {
            sockets: describe.map(Socket::summary).collect(),
            is_truncated: sockets.len() > MAX_FETCHED_SOCKETS,
            missing_nodes: 0,
        };
        drop(sockets);
        let Some(cluster) = self.emitter.others(self.flags.local) else {
            return Ok(fetched);
        };
        let request = Request::Fetch {
            sockets: self.selection(),
        };
        let within = self.emitter.core.config.request_timeout;
        let take = |reply| {
            let Reply::Sockets(sockets) = reply else {
                return false;
            };
            // A node says no more than that, so that it may have more.
            fetched.is_truncated |= sockets.len() >= MAX_FETCHED_SOCKETS;
            fetched.sockets.extend(sockets);
            true
        };
        let missing_nodes = cluster.ask(&request, within, within, take).await?;
        fetched.missing_nodes = missing_nodes;
        Ok(fetched)
    }

    /// Joins the sockets to a room: this node's at once, while the other nodes are asked to. One that is in as many rooms as it may be
    /// stays out, which is logged.
    ///
    /// # Errors
    /// [`ClusterError`] when the other nodes could not be asked.
    ///
    /// # Cancellation
    /// Nothing is done before the future is polled; dropping it then may leave some of the sockets as they were.
    pub async fn join(mut self, room: impl IntoRoom) -> Result<(), ClusterError> {
        let rooms = vec![room.into_room()?];
        self.check()?;
        for_each(self.here(), |socket| socket.join_or_log(&rooms)).await;
        let sockets = self.selection();
        let request = Request::Join { sockets, rooms };
        self.emitter.tell(self.flags.local, request).await
    }

    /// Takes the sockets out of a room: this node's at once, while the other nodes are asked to.
    ///
    /// # Errors
    /// [`ClusterError`] when the other nodes could not be asked.
    ///
    /// # Cancellation
    /// As [`Broadcast::join`].
    pub async fn leave(mut self, room: impl IntoRoom) -> Result<(), ClusterError> {
        let rooms = vec![room.into_room()?];
        self.check()?;
        for_each(self.here(), |socket| socket.leave(&rooms[0])).await;
        let sockets = self.selection();
        let request = Request::Leave { sockets, rooms };
        self.emitter.tell(self.flags.local, request).await
    }

    /// Takes the sockets out of the namespace: this node's at once, while the other nodes are asked to. Handlers that run for them, the
    /// caller's included, come to their end.
    ///
    /// # Errors
    /// [`ClusterError`] when the other nodes could not be asked.
    ///
    /// # Cancellation
    /// As [`Broadcast::join`].
    pub async fn disconnect(self) -> Result<(), ClusterError> {
        self.end(false).await
    }

    /// Closes the sockets' whole connections, as [`Broadcast::disconnect`] takes them out of the namespace.
    ///
    /// # Errors
    /// [`ClusterError`] when the other nodes could not be asked.
    ///
    /// # Cancellation
    /// As [`Broadcast::join`].
    pub async fn close(self) -> Result<(), ClusterError> {
        self.end(true).await
    }

    async fn end(mut self, close: bool) -> Result<(), ClusterError> {
        self.check()?;
        for_each(self.here(), |socket| socket.disconnect_or_close(close)).await;
        let sockets = self.selection();
        let request = Request::Disconnect { sockets, close };
        self.emitter.tell(self.flags.local, request).await
    }

    fn room(&mut self, room: impl IntoRoom) -> Option<Room> {
        match room.into_room() {
            Ok(room) => Some(room),
            Err(invalid) => {
                self.invalid.get_or_insert(invalid);
                None
            }
        }
    }

    fn check(&mut self) -> Result<(), InvalidId> {
        self.invalid.take().map_or(Ok(()), Err)
    }

    /// The selected sockets of this node.
    pub(crate) fn here(&self) -> Vec<Socket> {
        let Emitter { core, namespace } = &self.emitter;
        core.sequencer.select(namespace, &self.audience)
    }

    fn selection(&self) -> Selection {
        Selection::Audience {
            namespace: Arc::clone(&self.emitter.namespace),
            audience: self.audience.clone(),
        }
    }
}
