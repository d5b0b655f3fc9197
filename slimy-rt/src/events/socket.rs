//! One client in one namespace.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use serde::Serialize;

use super::{Ack, AckError, EmitError, Emitter, PendingAcks};
use crate::{
    Room, SocketId,
    auth::{Handshake, Identity},
    protocol::{Arguments, DisconnectReason, EventData, Frame},
    server::{
        Access, Bound, Core, TooManyRooms,
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
    rooms: Mutex<Vec<Room>>,
    acks: Mutex<PendingAcks>,
    connected: AtomicBool,
    /// Its user's session changed while it was being let in.
    changed: AtomicBool,
    /// It was ended, perhaps before it was let in, with this notice.
    ended: OnceLock<Option<&'static str>>,
}

impl SocketInner {
    pub(crate) fn new(
        core: Arc<Core>,
        link: LinkRef,
        namespace: Arc<str>,
        handshake: Handshake,
        identity: Identity,
        access: Access,
    ) -> Self {
        Self {
            id: SocketId::random(),
            namespace,
            link,
            core,
            identity,
            handshake,
            access: ArcSwap::from_pointee(access),
            rooms: Mutex::default(),
            acks: Mutex::default(),
            connected: AtomicBool::new(false),
            changed: AtomicBool::new(false),
            ended: OnceLock::new(),
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

    /// Sends an event with any arguments and attachments.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn emit_data(&self, event: &EventData) -> Result<(), EmitError> {
        self.send_frame(Frame::event(self.namespace(), None, event), false)
    }

    /// Sends an event and waits for the client's answer.
    ///
    /// # Errors
    /// When the event is not sent, no answer comes within `timeout`, or too many are awaited.
    ///
    /// # Cancellation
    /// Dropping the future gives the answer up; the event has been sent all the same.
    pub async fn emit_with_ack(
        &self,
        event: &EventData,
        timeout: Duration,
    ) -> Result<Arguments, AckError> {
        let bound = self.0.core.config.max_pending_acks;
        let begun = self.acks().begin(bound);
        let (id, answer) = begun.ok_or_else(|| {
            self.0.core.stats.reached(Bound::MaxPendingAcks);
            AckError::TooMany(bound)
        })?;
        let forget = ForgetAck { socket: self, id };
        self.send_frame(Frame::event(self.namespace(), Some(id), event), false)?;
        let answer = tokio::time::timeout(timeout, answer).await;
        drop(forget);
        answer
            .map_err(|_| AckError::Timeout(timeout))?
            .map_err(|_| AckError::Disconnected)
    }

    /// Joins a room. What is sent to the room from now on reaches this socket.
    ///
    /// # Errors
    /// When the socket is in as many rooms as it may be.
    pub fn join(&self, room: Room) -> Result<(), TooManyRooms> {
        self.0.core.sequencer.join(self, &room)
    }

    /// Leaves a room.
    pub fn leave(&self, room: &Room) {
        self.0.core.sequencer.leave(self, room);
    }

    /// The rooms it is in, in no order.
    #[must_use]
    pub fn rooms(&self) -> Vec<Room> {
        self.rooms_mut().clone()
    }

    /// Takes the client out of this namespace. The stock client does not come back by itself.
    pub fn disconnect(&self) {
        self.end(None);
    }

    /// Closes the whole connection. The stock client comes back by itself.
    pub fn close(&self) {
        self.0
            .link
            .send(Command::Close(DisconnectReason::ForcedServerClose));
    }

    /// Sends to others in the same namespace.
    #[must_use]
    pub fn emitter(&self) -> Emitter {
        Emitter::new(
            Arc::clone(&self.0.core.sequencer),
            Arc::clone(&self.0.namespace),
        )
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

    pub(crate) fn key(&self) -> Key {
        self.0.link.key
    }

    pub(crate) fn rooms_mut(&self) -> MutexGuard<'_, Vec<Room>> {
        crate::server::lock(&self.0.rooms)
    }

    pub(crate) fn acks(&self) -> MutexGuard<'_, PendingAcks> {
        crate::server::lock(&self.0.acks)
    }

    pub(crate) fn set_access(&self, access: Access) {
        self.0.access.store(Arc::new(access));
    }

    pub(crate) fn set_connected(&self, connected: bool) {
        self.0.connected.store(connected, Ordering::SeqCst);
    }

    pub(crate) fn new_ack(&self, id: u64) -> Ack {
        Ack::new(self.clone(), id)
    }

    /// Notes that the user's session changed before the socket was let in. Whoever marks looks at `is_connected` afterwards, and who
    /// connects looks at the mark afterwards: one of them sees the other.
    pub(crate) fn mark_changed(&self) {
        self.0.changed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn take_changed(&self) -> bool {
        self.0.changed.swap(false, Ordering::SeqCst)
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

/// Gives an awaited answer up, also when the waiting future is dropped.
struct ForgetAck<'a> {
    socket: &'a Socket,
    id: u64,
}

impl Drop for ForgetAck<'_> {
    fn drop(&mut self) {
        self.socket.acks().forget(self.id);
    }
}
