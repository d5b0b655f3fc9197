//! What runs over a session: Socket.IO with its namespaces, or a bare Engine.IO program.

use std::{
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use serde_json::{Value, json};

use super::entrance::{admit, enter};
use crate::{
    SocketId,
    auth::Handshake,
    events::{Ack, ConnectError, Event},
    protocol::{
        DisconnectReason, EventData, Frame,
        client::{Client, Input, Violation},
        packet::{Packet, PacketError},
        session::Message,
    },
    server::{
        Bound, Config,
        authorization::EXPIRED,
        core::{Core, Program},
        engine_app::{EngineApp, EngineSocket},
        link::{Key, LinkRef},
        worker::{Admitted, HandlerBounds, Progress, Worker},
    },
};

/// The layer above a session.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every connection is the large one"
)]
pub(super) enum Layer {
    SocketIo(SocketIo),
    Engine {
        app: Arc<dyn EngineApp>,
        socket: EngineSocket,
        remote_addr: IpAddr,
        open: bool,
    },
}

pub(super) struct SocketIo {
    client: Client,
    handshake: Handshake,
    workers: Vec<Worker>,
}

impl Layer {
    pub(super) fn new(
        core: &Arc<Core>,
        link: &LinkRef,
        handshake: Handshake,
        now: Instant,
    ) -> Self {
        match &core.program {
            Program::SocketIo(_) => {
                let client = Client::new(core.config.client_limits(), now);
                Self::SocketIo(SocketIo {
                    client,
                    handshake,
                    workers: Vec::new(),
                })
            }
            Program::Engine(app) => {
                let socket = EngineSocket::new(Arc::clone(core), Arc::clone(link));
                app.opened(&socket);
                let remote_addr = handshake.remote_addr();
                Self::Engine {
                    app: Arc::clone(app),
                    socket,
                    remote_addr,
                    open: true,
                }
            }
        }
    }

    pub(super) fn remote_addr(&self) -> IpAddr {
        match self {
            Self::SocketIo(layer) => layer.handshake.remote_addr(),
            Self::Engine { remote_addr, .. } => *remote_addr,
        }
    }

    pub(super) fn count_packet(
        &mut self,
        core: &Core,
        now: Instant,
    ) -> Result<(), DisconnectReason> {
        let Self::SocketIo(layer) = self else {
            return Ok(());
        };
        let counted = layer.client.count_packet(now);
        counted.map_err(|violation| layer.violated(core, &violation))
    }

    /// A message came.
    pub(super) fn message(
        &mut self,
        core: &Arc<Core>,
        link: &LinkRef,
        message: Message,
    ) -> Result<(), DisconnectReason> {
        let layer = match self {
            Self::SocketIo(layer) => layer,
            Self::Engine { app, socket, .. } => {
                app.message(socket, message);
                return Ok(());
            }
        };
        let input = match message {
            Message::Text(text) => layer.client.text(text),
            Message::Binary(bytes) => layer.client.binary(bytes),
        };
        let input = input.and_then(|input| layer.input(core, link, input));
        input.map_err(|violation| layer.violated(core, &violation))
    }

    /// Whether a namespace has been joined; without namespaces there is nothing to wait for.
    pub(super) fn has_connected(&self) -> bool {
        match self {
            Self::SocketIo(layer) => layer.client.has_connected(),
            Self::Engine { .. } => true,
        }
    }

    pub(super) fn connect_by(&self) -> Option<Instant> {
        match self {
            Self::SocketIo(layer) => layer.client.connect_by(),
            Self::Engine { .. } => None,
        }
    }

    /// The bound because of which reading must wait for handlers.
    pub(super) fn is_full(&self, config: &Config) -> Option<Bound> {
        let Self::SocketIo(layer) = self else {
            return None;
        };
        let full =
            |worker: &Worker| worker.is_full(config.max_queued_events, config.max_queued_bytes);
        layer.workers.iter().find_map(full)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let Self::SocketIo(layer) = self else {
            return None;
        };
        layer.workers.iter().filter_map(Worker::deadline).min()
    }

    /// Whether all handlers have ended.
    pub(super) fn has_ended(&self) -> bool {
        match self {
            Self::SocketIo(layer) => layer.workers.is_empty(),
            Self::Engine { .. } => true,
        }
    }

    /// Goes on with admissions and handlers. Says whether anything changed.
    pub(super) fn poll(
        &mut self,
        core: &Arc<Core>,
        open: bool,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> bool {
        let Self::SocketIo(layer) = self else {
            return false;
        };
        let (mut progress, mut index) = (false, 0);
        while let Some(worker) = layer.workers.get_mut(index) {
            match worker.poll(&core.stats, now, cx) {
                Poll::Pending => index += 1,
                Poll::Ready(Progress::Ended) => {
                    layer.workers.remove(index);
                    progress = true;
                }
                Poll::Ready(Progress::Admitted(result)) => {
                    layer.admitted(core, index, result, open, now);
                    progress = true;
                }
            }
        }
        progress
    }

    /// Takes one socket out of its namespace, after telling why when there is a notice.
    pub(super) fn end_socket(&mut self, core: &Core, id: &SocketId, notice: Option<&'static str>) {
        let Self::SocketIo(layer) = self else { return };
        if let Some(index) = layer.workers.iter().position(|worker| worker.is(id)) {
            layer.end(core, index, notice);
        }
    }

    /// Has the program told that a socket's user may see something else now.
    pub(super) fn access_changed(&mut self, id: &SocketId) {
        let Self::SocketIo(layer) = self else { return };
        if let Some(worker) = layer.workers.iter_mut().find(|worker| worker.is(id)) {
            worker.access_changed();
        }
    }

    /// Ends the sockets whose credential has run out. Says whether there were any.
    pub(super) fn end_expired(&mut self, core: &Core, now: Instant) -> bool {
        let Self::SocketIo(layer) = self else {
            return false;
        };
        let mut ended = false;
        for index in 0..layer.workers.len() {
            if layer.workers[index].has_expired(now) {
                layer.end(core, index, Some(EXPIRED));
                ended = true;
            }
        }
        ended
    }

    /// The session is over: all sockets leave.
    pub(super) fn close(&mut self, core: &Core, reason: DisconnectReason) {
        match self {
            Self::SocketIo(layer) => {
                for index in 0..layer.workers.len() {
                    if layer.workers[index].is_in_admission() {
                        layer.workers[index].abandon();
                    }
                    layer.leave(core, index, reason, None);
                }
            }
            Self::Engine {
                app, socket, open, ..
            } => {
                if std::mem::take(open) {
                    app.closed(socket, reason);
                }
            }
        }
    }
}

impl SocketIo {
    fn violated(&self, core: &Core, violation: &Violation) -> DisconnectReason {
        if let Some(bound) = bound_of(violation) {
            core.stats.reached(bound);
        }
        tracing::info!(address = %self.handshake.remote_addr(), %violation, "closing a connection");
        DisconnectReason::ParseError
    }

    fn input(
        &mut self,
        core: &Arc<Core>,
        link: &LinkRef,
        input: Option<Input>,
    ) -> Result<(), Violation> {
        match input {
            None => Ok(()),
            Some(Input::Connect { namespace, auth }) => {
                let auth = auth.map(|auth| serde_json::from_str(&auth)).transpose();
                let Ok(auth) = auth else {
                    return Err(PacketError::ConnectPayload.into());
                };
                self.connect(core, link, &namespace, auth.unwrap_or(Value::Null))
            }
            Some(Input::Packet(packet)) => {
                self.packet(core, packet);
                Ok(())
            }
        }
    }

    /// Begins to let the client into a namespace.
    fn connect(
        &mut self,
        core: &Arc<Core>,
        link: &LinkRef,
        namespace: &str,
        auth: Value,
    ) -> Result<(), Violation> {
        let Some((name, handlers)) = core.namespace(namespace) else {
            self.client.left(namespace);
            refuse(
                core,
                link.key,
                namespace,
                &ConnectError::new("Invalid namespace"),
            );
            return Ok(());
        };
        // Those that were left may still have a handler to end.
        if self.workers.len() >= 2 * core.config.max_namespaces {
            return Err(Violation::TooManyNamespaces);
        }
        let admission = admit(
            Arc::clone(core),
            Arc::clone(link),
            Arc::clone(&name),
            self.handshake.with_auth(auth),
            Arc::clone(handlers),
        );
        // Nearly every client is in one namespace; a vector's usual first size is four.
        self.workers.reserve_exact(1);
        self.workers.push(Worker::new(
            name,
            link.key,
            Arc::clone(handlers),
            Box::pin(admission),
            HandlerBounds::from(&core.config),
        ));
        Ok(())
    }

    fn admitted(
        &mut self,
        core: &Arc<Core>,
        index: usize,
        result: Result<Admitted, ConnectError>,
        open: bool,
        now: Instant,
    ) {
        let worker = &mut self.workers[index];
        let namespace = Arc::clone(&worker.namespace);
        let Admitted { socket, back } = match result {
            Ok(admitted) if open => admitted,
            Ok(Admitted { socket, .. }) => {
                core.authorization.remove(&socket);
                socket.clear_data();
                return worker.abandon();
            }
            Err(error) => {
                self.client.left(&namespace);
                if open {
                    refuse(core, worker.key, &namespace, &error);
                }
                return worker.abandon();
            }
        };
        if !enter(core, &socket, back) {
            core.authorization.remove(&socket);
            self.client.left(&namespace);
            core.stats.reached(Bound::MaxDynamicNamespaces);
            let limit = core.config.max_dynamic_namespaces;
            tracing::warn!(%namespace, limit, "refused: as many namespaces as `max_dynamic_namespaces` allows");
            refuse(
                core,
                worker.key,
                &namespace,
                &ConnectError::coded("too_many_namespaces"),
            );
            socket.clear_data();
            return worker.abandon();
        }
        let user = socket.identity().user.id.clone();
        let address = self.handshake.remote_addr();
        tracing::info!(socket = %socket.id(), %user, %address, "connected");
        core.stats.socket_connected();
        self.client.joined(&namespace);
        worker.join(socket.clone(), now);
        // What happened while it was being let in.
        if socket.take_changed() {
            core.authorization.recheck(&user);
        }
        if let Some(notice) = socket.ended() {
            self.end(core, index, notice);
        }
    }

    fn packet(&mut self, core: &Core, packet: Packet) {
        let namespace = packet.namespace();
        let joined =
            |worker: &Worker| worker.socket().is_some() && *worker.namespace == **namespace;
        let Some(index) = self.workers.iter().position(joined) else {
            return;
        };
        let worker = &mut self.workers[index];
        let Some(socket) = worker.socket().cloned() else {
            return;
        };
        match packet {
            Packet::Event { id, event, .. } => {
                let ack = id.map_or(Ack::unwanted(), |id| Ack::new(socket.clone(), id));
                worker.push(Event::new(socket, event, ack));
            }
            Packet::Ack { id, arguments, .. } => socket.acks().resolve(id, arguments),
            Packet::Disconnect { .. } => {
                self.leave(
                    core,
                    index,
                    DisconnectReason::ClientNamespaceDisconnect,
                    None,
                );
            }
            // The client's state machine has handed it over as an `Input::Connect`.
            Packet::Connect { .. } => {}
        }
    }

    fn end(&mut self, core: &Core, index: usize, notice: Option<&'static str>) {
        let namespace = &self.workers[index].namespace;
        let notice = notice
            .and_then(|reason| EventData::new("session:ended", &json!({"reason": reason})).ok());
        let notice = notice.map(|event| Arc::new(Frame::event(namespace, None, &event)));
        let farewell = notice
            .into_iter()
            .chain([Arc::new(Frame::disconnect(namespace))]);
        let farewell: Vec<_> = farewell.collect();
        self.leave(
            core,
            index,
            DisconnectReason::ServerNamespaceDisconnect,
            Some(farewell),
        );
    }

    fn leave(
        &mut self,
        core: &Core,
        index: usize,
        reason: DisconnectReason,
        farewell: Option<Vec<Arc<Frame>>>,
    ) {
        let worker = &mut self.workers[index];
        let Some(socket) = worker.socket().cloned() else {
            return;
        };
        let identity = socket.identity();
        if let Some(recovery) = &core.recovery {
            recovery.leaving(&socket, reason);
        }
        tracing::info!(socket = %socket.id(), user = %identity.user.id, address = %self.handshake.remote_addr(), %reason, "disconnected");
        // With a farewell it is the server that ends it.
        match farewell {
            Some(_) => self.client.ended(&worker.namespace),
            None => self.client.left(&worker.namespace),
        }
        socket.set_connected(false);
        core.sequencer.exit(&socket, farewell.into_iter().flatten());
        core.authorization.remove(&socket);
        core.stats.socket_disconnected();
        socket.acks().clear();
        worker.leave(reason);
    }
}

/// The bound that a client went beyond, if that is what it did.
fn bound_of(violation: &Violation) -> Option<Bound> {
    match violation {
        Violation::TooManyNamespaces => Some(Bound::MaxNamespaces),
        Violation::TooManyPackets => Some(Bound::PacketRate),
        Violation::Packet(PacketError::TooManyAttachments) => Some(Bound::MaxAttachments),
        Violation::Packet(PacketError::AttachmentsTooLarge) => Some(Bound::MaxAttachmentBytes),
        Violation::Packet(PacketError::TooDeep) => Some(Bound::MaxDepth),
        Violation::Packet(PacketError::NamespaceTooLong) => Some(Bound::MaxNamespaceLen),
        _ => None,
    }
}

fn refuse(core: &Core, key: Key, namespace: &str, error: &ConnectError) {
    let (message, data) = error.parts();
    let frame = Frame::connect_error(namespace, message, data);
    core.sequencer.send(key, Arc::new(frame), false);
}
