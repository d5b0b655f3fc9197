//! One client in one namespace.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use serde::Serialize;

use super::{
    AckError, Broadcast, EmitError, Emitter, IntoRoom, JoinError, PendingAcks, SocketEmit, States,
    rooms::Rooms, state::SocketData,
};
use crate::{
    Pid, Room, SocketId,
    auth::{Handshake, Identity},
    broker::SocketSummary,
    protocol::{Arguments, DisconnectReason, EventData, Frame, session::Transport},
    server::{
        Access, Config, Core, Stats,
        link::{Command, Key, LinkRef},
    },
};

/// A client's connection to one namespace. A cheap clone; it may outlive the connection, whose sending then fails.
#[derive(Clone)]
pub struct Socket(Arc<SocketInner>);

pub(crate) struct SocketInner {
    id: SocketId,
    namespace: Arc<str>,
    link: LinkRef,
    core: Arc<Core>,
    identity: Identity,
    handshake: Handshake,
    access: ArcSwap<Access>,
    /// Changed under the sequencer's lock only.
    rooms: Mutex<Rooms>,
    acks: Mutex<PendingAcks>,
    connected: AtomicBool,
    connected_at: OnceLock<SystemTime>,
    /// Its user's session changed while it was being let in.
    changed: AtomicBool,
    /// It was ended, perhaps before it was let in, with this notice.
    ended: OnceLock<Option<&'static str>>,
    data: SocketData,
    /// By which its client can come back, and whether that is how it came.
    pid: OnceLock<(Pid, bool)>,
}

impl SocketInner {
    pub(crate) fn new(
        id: SocketId,
        core: Arc<Core>,
        link: LinkRef,
        namespace: Arc<str>,
        handshake: Handshake,
        identity: Identity,
        access: Access,
    ) -> Self {
        Self {
            id,
            namespace,
            link,
            core,
            identity,
            handshake,
            access: ArcSwap::from_pointee(access),
            rooms: Mutex::default(),
            acks: Mutex::default(),
            connected: AtomicBool::new(false),
            connected_at: OnceLock::new(),
            changed: AtomicBool::new(false),
            ended: OnceLock::new(),
            data: SocketData::default(),
            pid: OnceLock::new(),
        }
    }
}

impl Socket {
    pub(crate) fn new(inner: SocketInner) -> Self {
        Self(Arc::new(inner))
    }

    /// The socket's id, as the client knows it.
    #[must_use]
    pub fn id(&self) -> &SocketId {
        &self.0.id
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// Who the client has proved to be.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// What the user may see now. It follows the session store.
    #[must_use]
    pub fn access(&self) -> Arc<Access> {
        self.0.access.load_full()
    }

    /// What the client sent to connect.
    #[must_use]
    pub fn handshake(&self) -> &Handshake {
        &self.0.handshake
    }

    /// Whether the client is still in the namespace.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.connected.load(Ordering::SeqCst)
    }

    /// Sends an event with one argument.
    ///
    /// # Errors
    /// When the name is reserved, the payload cannot be written as JSON, or the socket is gone.
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, payload: &T) -> Result<(), EmitError> {
        self.emit_data(&EventData::new(event, payload)?)
    }

    /// Sends an event with several arguments: a tuple, as in `emit_args("moved", &("e2", "e4"))`.
    ///
    /// # Errors
    /// As `emit`, and when they are no array.
    pub fn emit_args<T: Serialize + ?Sized>(
        &self,
        event: &str,
        arguments: &T,
    ) -> Result<(), EmitError> {
        self.emit_data(&EventData::args(event, arguments)?)
    }

    /// Sends an event with any arguments and attachments.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn emit_data(&self, event: &EventData) -> Result<(), EmitError> {
        self.publish(event, false)
    }

    /// Sends an event with one argument and waits for the client's answer, within `Config::ack_timeout`.
    ///
    /// # Errors
    /// When the event is not sent, no answer comes in time, or too many are awaited.
    ///
    /// # Cancellation
    /// Dropping the future gives the answer up; if it was polled, the event has been sent all the same.
    pub async fn emit_with_ack<T: Serialize + Sync + ?Sized>(
        &self,
        event: &str,
        payload: &T,
    ) -> Result<Arguments, AckError> {
        SocketEmit::new(self).emit_with_ack(event, payload).await
    }

    /// Waits so long for an answer, instead of `Config::ack_timeout`.
    pub fn timeout(&self, timeout: Duration) -> SocketEmit<'_> {
        SocketEmit::new(self).timeout(timeout)
    }

    /// What is sent may be dropped when the client does not keep up.
    pub fn volatile(&self) -> SocketEmit<'_> {
        SocketEmit::new(self).volatile()
    }

    /// Joins a room. What is sent to the room from now on reaches this socket. In a connect middleware it joins as it is let in: between the
    /// client's `connect` and the room there is nothing that it could miss.
    ///
    /// # Errors
    /// When the socket is in as many rooms as it may be, is no longer connected, or the name is none.
    pub fn join(&self, room: impl IntoRoom) -> Result<(), JoinError> {
        self.0.core.sequencer.join(self, &room.into_room()?)?;
        self.rooms_changed();
        Ok(())
    }

    /// Leaves a room. A name that no room can have is one that it is not in.
    pub fn leave(&self, room: impl IntoRoom) {
        if let Ok(room) = room.into_room() {
            self.0.core.sequencer.leave(self, &room);
            self.rooms_changed();
        }
    }

    /// To the members of a room, but not to this socket itself.
    pub fn to(&self, room: impl IntoRoom) -> Broadcast {
        self.broadcast().to(room)
    }

    /// To everyone else in the namespace.
    pub fn broadcast(&self) -> Broadcast {
        self.emitter().except(self.id())
    }

    /// The rooms it is in, in no order.
    #[must_use]
    pub fn rooms(&self) -> Vec<Room> {
        self.rooms_mut().to_vec()
    }

    /// Takes the client out of this namespace. The stock client does not come back by itself.
    pub fn disconnect(&self) {
        self.end(None);
    }

    /// Closes the whole connection. The stock client comes back by itself.
    pub fn close(&self) {
        self.close_as(DisconnectReason::ForcedServerClose);
    }

    /// Whether its client had been cut off and has come back: with its id, its rooms and all events that it had missed. Values kept with the socket
    /// are not restored.
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        self.0.pid.get().is_some_and(|(_, recovered)| *recovered)
    }

    /// What stands in this namespace's name where its pattern has `{name}`: in `/tenants/a` of `/tenants/{tenant}`, `tenant` is `a`.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        let pattern = self.0.core.pattern(&self.0.namespace)?;
        pattern.parameter(&self.0.namespace, name)
    }

    /// Keeps a value with this socket, in place of one of the same type, which is given back. Values are dropped once the socket has left and its last
    /// handler, `on_disconnect` included, has ended; or when it was not let in.
    pub fn set_data<T: Send + Sync + 'static>(&self, value: T) -> Option<Arc<T>> {
        self.0.data.set(value)
    }

    /// The value of this type that is kept with this socket.
    #[must_use]
    pub fn data<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.data.find()
    }

    /// Takes the value of this type away.
    pub fn remove_data<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.data.remove()
    }

    /// Sends to the sockets of the same namespace, this one included.
    #[must_use]
    pub fn emitter(&self) -> Emitter {
        Emitter::new(Arc::clone(&self.0.core), Arc::clone(&self.0.namespace))
    }

    pub(crate) fn close_as(&self, reason: DisconnectReason) {
        self.0.link.send(Command::Close(reason));
    }

    pub(crate) fn pid(&self) -> Option<&Pid> {
        self.0.pid.get().map(|(pid, _)| pid)
    }

    pub(crate) fn set_pid(&self, pid: Pid, recovered: bool) {
        // Set once, as it is let in.
        let _ = self.0.pid.set((pid, recovered));
    }

    pub(crate) fn rooms_changed(&self) {
        if let Some(recovery) = &self.0.core.recovery {
            recovery.changed(self);
        }
    }

    /// Sends an event, which counts among those that a client which comes back may have missed.
    pub(crate) fn publish(&self, event: &EventData, volatile: bool) -> Result<(), EmitError> {
        if !self.is_connected() {
            return Err(EmitError::Disconnected);
        }
        self.0.core.sequencer.publish_to(self, event, volatile);
        Ok(())
    }

    /// Ends this socket, after a `session:ended` event when there is a reason to tell.
    pub(crate) fn end(&self, notice: Option<&'static str>) {
        // The first reason stands.
        let _ = self.0.ended.set(notice);
        self.0.link.send(Command::EndSocket {
            socket: self.0.id.clone(),
            notice,
        });
    }

    /// Has its task tell the program.
    pub(crate) fn access_changed(&self) {
        let id = self.0.id.clone();
        self.0.link.send(Command::AccessChanged(id));
    }

    /// Whether it was ended, and with which notice.
    pub(crate) fn ended(&self) -> Option<Option<&'static str>> {
        self.0.ended.get().copied()
    }

    pub(crate) fn send_frame(&self, frame: Frame, volatile: bool) -> Result<(), EmitError> {
        if !self.is_connected() {
            return Err(EmitError::Disconnected);
        }
        self.0
            .core
            .sequencer
            .send(self.key(), Arc::new(frame), volatile);
        Ok(())
    }

    pub(crate) fn shared_namespace(&self) -> &Arc<str> {
        &self.0.namespace
    }

    pub(crate) fn key(&self) -> Key {
        self.0.link.key
    }

    pub(crate) fn rooms_mut(&self) -> MutexGuard<'_, Rooms> {
        crate::server::lock(&self.0.rooms)
    }

    pub(crate) fn acks(&self) -> MutexGuard<'_, PendingAcks> {
        crate::server::lock(&self.0.acks)
    }

    pub(crate) fn set_access(&self, access: Access) {
        self.0.access.store(Arc::new(access));
    }

    pub(crate) fn set_connected(&self, connected: bool) {
        if connected {
            self.0.connected_at.get_or_init(SystemTime::now);
        }
        self.0.connected.store(connected, Ordering::SeqCst);
    }

    /// Drops its values. What they do when they are dropped is the program's own: a panic ends here.
    pub(crate) fn clear_data(&self) {
        if catch_unwind(AssertUnwindSafe(|| self.0.data.clear())).is_err() {
            tracing::error!(socket = %self.id(), "a socket's data panicked as it was dropped");
        }
    }

    /// Whether it was in its namespace and is no longer.
    pub(crate) fn has_left(&self) -> bool {
        self.connected_at().is_some() && !self.is_connected()
    }

    pub(crate) fn states(&self) -> &States {
        &self.0.core.states
    }

    /// Notes that the user's session changed before the socket was let in. Whoever marks looks at `is_connected` afterwards, and who
    /// connects looks at the mark afterwards: one of them sees the other.
    pub(crate) fn mark_changed(&self) {
        self.0.changed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn take_changed(&self) -> bool {
        self.0.changed.swap(false, Ordering::SeqCst)
    }

    /// When it was let into the namespace; `None` before that.
    #[must_use]
    pub fn connected_at(&self) -> Option<SystemTime> {
        self.0.connected_at.get().copied()
    }

    /// How its client is connected now: it may begin with polling and go on with a WebSocket.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.0.link.transport()
    }

    /// Bytes of output that its connection has not taken yet.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.0.link.pending_bytes()
    }

    /// How many answers are awaited from its client.
    #[must_use]
    pub fn pending_acks(&self) -> usize {
        self.acks().len()
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.0.core.stats
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.core.config
    }

    /// What other nodes and programs may know of it.
    pub(crate) fn summary(&self) -> SocketSummary {
        let user = self.identity().user.id.clone();
        let mut summary = SocketSummary::new(self.id().clone(), user, self.rooms())
            .namespace(Arc::clone(&self.0.namespace))
            .remote_addr(self.handshake().remote_addr());
        if let Some(cluster) = &self.0.core.cluster {
            summary = summary.node(cluster.node().clone());
        }
        match self.connected_at() {
            Some(at) => summary.connected_at(at),
            None => summary,
        }
    }

    /// Joins rooms for someone who is not there to be told why not.
    pub(crate) fn join_or_log(&self, rooms: &[Room]) {
        for room in rooms {
            match self.join(room) {
                // It has left since it was selected.
                Ok(()) | Err(JoinError::NotConnected) => {}
                Err(e) => tracing::warn!(socket = %self.id(), %room, error = %e, "not joined"),
            }
        }
    }

    pub(crate) fn disconnect_or_close(&self, close: bool) {
        if close {
            self.close();
        } else {
            self.disconnect();
        }
    }
}

impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Socket {}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.0.id)
            .field("namespace", &self.0.namespace)
            .field("user", &self.0.identity.user.id)
            .finish_non_exhaustive()
    }
}
