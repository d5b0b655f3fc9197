//! One connection, one task: it reads, lets the protocol decide, and runs the handlers. What it writes goes to its shard.

mod closing;
mod entrance;
mod layer;
mod polled;

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use hyper::upgrade::Upgraded;

use self::{
    closing::{Closing, close_code},
    layer::Layer,
};
use super::{
    Bound,
    admission::Permit,
    core::Core,
    link::{Command, Link, LinkRef},
    polling::{self, Polling},
    shard::{Job, Mailbox, Outlet},
    websocket::{self, Answers, End, TOO_LARGE, TOO_MANY_FRAGMENTS, WebSocket, Writer},
};
use crate::{
    EngineId,
    auth::Handshake,
    protocol::{
        DisconnectReason, Frame,
        engine::{HandshakeData, Packet},
        session::{self, Due, Probe, Session},
    },
};

/// How many steps a connection takes before others may run.
const MAX_STEPS: usize = 64;

/// A connection.
pub(crate) struct Connection {
    core: Arc<Core>,
    link: LinkRef,
    id: EngineId,
    session: Session,
    layer: Layer,
    transport: Transport,
    /// A WebSocket that wants to take over from polling.
    candidate: Option<Box<(WebSocket, Writer)>>,
    /// A close that waits for an upgrade to end: a client between two transports would not notice it.
    postponed: Option<(DisconnectReason, Instant)>,
    paused_since: Option<Instant>,
    /// The shard's congestion that this connection waits for to pass.
    congestion: Option<u64>,
    closing: Option<Closing>,
    armed: Option<Instant>,
    _permit: Permit,
}

enum Transport {
    Polling(Polling),
    WebSocket(WebSocket),
    Gone,
}

/// What is wanted of a client to open a connection.
pub(crate) struct Opening {
    pub(crate) core: Arc<Core>,
    pub(crate) handshake: Handshake,
    pub(crate) permit: Permit,
}

impl Opening {
    /// Opens a polling session; the text is the answer to the handshake.
    pub(crate) fn polling(self) -> (Connection, String) {
        let mailbox = Arc::new(Mailbox::default());
        let outlet = Outlet::Mailbox(Arc::clone(&mailbox));
        let bound = self.core.first_payload_bound();
        let link = self
            .core
            .sequencer
            .register(|key| (Arc::new(Link::new(key, bound)), outlet));
        let transport = Transport::Polling(Polling::new(mailbox));
        let id = EngineId::random();
        let open = handshake_data(&self.core, &id, true).encode();
        (
            self.connection(link, id, transport, session::Transport::Polling),
            open,
        )
    }

    /// Opens a WebSocket session and sends its open packet.
    pub(crate) fn websocket(self, upgraded: Upgraded) -> Connection {
        let config = &self.core.config;
        let bound = self.core.first_payload_bound();
        let (websocket, writer) = WebSocket::new(upgraded, bound, config.max_fragments);
        let link = self.core.sequencer.register(|key| {
            let link = Arc::new(Link::new(key, bound));
            let outlet = writer.into_outlet(&link);
            (link, outlet)
        });
        let id = EngineId::random();
        let open = Frame::open(&handshake_data(&self.core, &id, false));
        self.core.sequencer.send(link.key, Arc::new(open), false);
        self.connection(
            link,
            id,
            Transport::WebSocket(websocket),
            session::Transport::WebSocket,
        )
    }

    fn connection(
        self,
        link: LinkRef,
        id: EngineId,
        transport: Transport,
        kind: session::Transport,
    ) -> Connection {
        let Self {
            core,
            handshake,
            permit,
        } = self;
        let now = Instant::now();
        let session = Session::new(core.config.session_times(), kind, now);
        let layer = Layer::new(&core, &link, handshake, now);
        link.set_transport(kind);
        core.insert_session(id.clone(), Arc::clone(&link));
        core.stats.connection_opened();
        Connection {
            core,
            link,
            id,
            session,
            layer,
            transport,
            candidate: None,
            postponed: None,
            paused_since: None,
            congestion: None,
            closing: None,
            armed: None,
            _permit: permit,
        }
    }
}

fn handshake_data<'a>(core: &Core, id: &'a EngineId, upgrade: bool) -> HandshakeData<'a> {
    HandshakeData {
        sid: id.as_str(),
        upgrade,
        ping_interval: core.config.ping_interval,
        ping_timeout: core.config.ping_timeout,
        max_payload: core.config.max_payload,
    }
}

impl Connection {
    /// Runs until the connection is over and its handlers have ended. No async function: its future would hold the connection twice.
    pub(crate) fn run(mut self) -> impl Future<Output = ()> + Send {
        if self.core.is_closing() {
            // It came while the server began to shut down, and was told by nobody.
            self.close(
                DisconnectReason::ServerShuttingDown,
                Some(1001),
                Instant::now(),
            );
        }
        poll_fn(move |cx| self.poll(cx))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.register(cx.waker());
        for _ in 0..MAX_STEPS {
            let now = Instant::now();
            let mut progress = self.receive(now);
            progress |= self.pass_deadlines(now);
            progress |= self.poll_layer(now, cx);
            if self.closing.is_some() {
                if self.poll_closing(now, cx).is_ready() {
                    return Poll::Ready(());
                }
            } else {
                progress |= self.poll_transport(now, cx);
            }
            if !progress {
                self.arm();
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn receive(&mut self, now: Instant) -> bool {
        let mut received = false;
        while let Some(command) = self.link.receive() {
            received = true;
            match command {
                Command::Ingress(ingress) => self.ingress(ingress, now),
                Command::EndSocket { socket, notice } => {
                    self.layer.end_socket(&self.core, &socket, notice)
                }
                Command::AccessChanged(socket) => self.layer.access_changed(&socket),
                Command::Close(reason) => {
                    let by = now + self.core.config.close_timeout;
                    self.postponed.get_or_insert((reason, by));
                }
                Command::WriteFailed { slow } => {
                    if slow {
                        tracing::warn!(address = %self.layer.remote_addr(), "closing a connection that reads too slowly");
                    }
                    self.close(DisconnectReason::TransportError, None, now);
                }
            }
        }
        received
    }

    fn pass_deadlines(&mut self, now: Instant) -> bool {
        let mut passed = false;
        while let Some(due) = self.session.due(now) {
            passed = true;
            match due {
                Due::Ping => {
                    let (key, frame) = (self.link.key, Arc::clone(&self.core.ping));
                    self.core.sequencer.push(key, [Job::Ping { key, frame }]);
                }
                Due::UpgradeTimeout => {
                    self.candidate = None;
                    self.core.stats.reached(Bound::UpgradeTimeout);
                }
                Due::PingTimeout => {
                    self.close(DisconnectReason::PingTimeout, Some(1000), now);
                    self.core.stats.reached(Bound::PingTimeout);
                }
            }
        }
        if self.closing.is_some() {
            return passed;
        }
        if let Some((reason, by)) = self.postponed
            && (self.candidate.is_none() || now >= by)
        {
            self.close(reason, Some(close_code(reason)), now);
            return true;
        }
        if self.layer.connect_by().is_some_and(|by| now >= by) {
            self.close(DisconnectReason::ForcedServerClose, Some(1000), now);
            self.core.stats.reached(Bound::ConnectTimeout);
            passed = true;
        }
        let stalled = self
            .paused_since
            .is_some_and(|since| now >= since + self.core.config.stall_timeout);
        if stalled {
            tracing::warn!(address = %self.layer.remote_addr(), "closing a connection whose handlers are stuck");
            self.close(DisconnectReason::ForcedServerClose, Some(1008), now);
            self.core.stats.reached(Bound::StallTimeout);
            passed = true;
        }
        passed | self.layer.end_expired(&self.core, now)
    }

    fn poll_layer(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let open = self.closing.is_none();
        let progress = self.layer.poll(&self.core, open, now, cx);
        if progress && self.link.payload_bound() != self.payload_bound() {
            let bound = self.payload_bound();
            self.link.set_payload_bound(bound);
            if let Transport::WebSocket(websocket) = &mut self.transport {
                websocket.set_max_payload(bound);
            }
            if let Some(candidate) = &mut self.candidate {
                candidate.0.set_max_payload(bound);
            }
        }
        progress
    }

    /// How large a message may be now.
    fn payload_bound(&self) -> usize {
        if self.layer.has_connected() {
            self.core.config.max_payload
        } else {
            self.core.first_payload_bound()
        }
    }

    /// The name of that bound.
    fn payload_bound_name(&self) -> Bound {
        if self.payload_bound() < self.core.config.max_payload {
            Bound::MaxPayloadBeforeConnect
        } else {
            Bound::MaxPayload
        }
    }

    fn poll_transport(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let mut progress = self.poll_candidate(now, cx);
        if let Transport::Polling(polling) = &mut self.transport
            && polling.poll_held(cx).is_ready()
        {
            self.session.poll_answered();
            self.close(DisconnectReason::TransportError, None, now);
            return true;
        }
        progress |= self.answer_poll(None, now);
        if self.closing.is_some() {
            return true;
        }
        let reached = self.layer.is_full(&self.core.config);
        let full = reached.is_some()
            || self
                .core
                .sequencer
                .queue(self.link.key)
                .is_congested(cx.waker(), &mut self.congestion);
        if full {
            if self.paused_since.is_none()
                && let Some(bound) = reached
            {
                self.core.stats.reached(bound);
            }
            self.paused_since.get_or_insert(now);
            self.session.reading_paused(now);
            return progress;
        }
        if self.paused_since.take().is_some() {
            self.session.reading_resumed(now);
        }
        progress | self.poll_read(now, cx)
    }

    fn poll_read(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        match &mut self.transport {
            Transport::WebSocket(websocket) => {
                let answers = Answers::Shard {
                    link: &self.link,
                    sequencer: &self.core.sequencer,
                };
                match websocket.poll_read(cx, &answers) {
                    Poll::Pending => return false,
                    Poll::Ready(read) => self.websocket_read(read, now),
                }
            }
            Transport::Polling(polling) => match polling.poll_read() {
                Poll::Pending => return false,
                Poll::Ready(read) => self.polling_read(read, now),
            },
            Transport::Gone => return false,
        }
        true
    }

    fn websocket_read(&mut self, read: websocket::Read, now: Instant) {
        let result = match read {
            websocket::Read::Packet(packet) => self.packet(packet, now),
            websocket::Read::Control => self.layer.count_packet(&self.core, now),
            websocket::Read::Malformed => Err(DisconnectReason::ParseError),
            websocket::Read::End(End { reason, code }) => {
                match code {
                    Some(TOO_LARGE) => {
                        let limit = self.payload_bound();
                        tracing::info!(address = %self.layer.remote_addr(), limit, "closing a connection: its message is too large");
                        self.core.stats.reached(self.payload_bound_name());
                    }
                    Some(TOO_MANY_FRAGMENTS) => self.core.stats.reached(Bound::MaxFragments),
                    _ => {}
                }
                return self.close(reason, code, now);
            }
        };
        if let Err(reason) = result {
            self.close(reason, Some(1000), now);
        }
    }

    /// A packet on the current transport.
    fn packet(&mut self, packet: Packet, now: Instant) -> Result<(), DisconnectReason> {
        self.layer.count_packet(&self.core, now)?;
        match self.session.packet(packet, now)? {
            Some(message) => self.layer.message(&self.core, &self.link, message),
            None => Ok(()),
        }
    }

    /// Reads what the WebSocket that wants to take over has to say.
    fn poll_candidate(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Some(candidate) = &mut self.candidate else {
            return false;
        };
        let (websocket, writer) = &mut **candidate;
        let Poll::Ready(read) = websocket.poll_read(cx, &Answers::Writer(writer)) else {
            return false;
        };
        if self.layer.count_packet(&self.core, now).is_err() {
            self.close(DisconnectReason::ParseError, None, now);
            return true;
        }
        let packet = match read {
            websocket::Read::Packet(packet) => packet,
            websocket::Read::Control => return true,
            websocket::Read::Malformed | websocket::Read::End(_) => {
                self.session.upgrade_closed();
                self.candidate = None;
                return true;
            }
        };
        match self.session.probe(&packet) {
            Probe::Answer => {
                if writer.try_send(&Arc::new(Frame::pong_probe())) {
                    self.answer_poll(Some(polled::NOOP), now);
                } else {
                    self.session.upgrade_closed();
                    self.candidate = None;
                }
            }
            Probe::Upgraded => self.take_over(now),
            Probe::Abandon => self.candidate = None,
        }
        true
    }

    /// The new transport is the current one from now on.
    fn take_over(&mut self, now: Instant) {
        self.answer_poll(Some(polled::NOOP), now);
        let Some(candidate) = self.candidate.take() else {
            return;
        };
        let (websocket, writer) = *candidate;
        // What is left of a POST comes first.
        while let Transport::Polling(polling) = &mut self.transport
            && let Poll::Ready(read) = polling.poll_read()
        {
            self.polling_read(read, now);
        }
        if self.session.is_closed() {
            return;
        }
        let outlet = writer.into_outlet(&self.link);
        self.core.sequencer.push(
            self.link.key,
            [Job::Switch {
                key: self.link.key,
                outlet,
            }],
        );
        self.transport = Transport::WebSocket(websocket);
        self.link.set_transport(session::Transport::WebSocket);
    }

    /// Wakes this task at its next deadline.
    fn arm(&mut self) {
        let closing = self
            .closing
            .filter(|_| !matches!(self.transport, Transport::Gone));
        let stall = self
            .paused_since
            .map(|since| since + self.core.config.stall_timeout);
        let open = self.closing.is_none();
        let deadlines = [
            self.session.deadline(),
            self.layer.connect_by().filter(|_| open),
            stall.filter(|_| open),
            self.postponed.map(|(_, by)| by).filter(|_| open),
            closing.map(|closing| closing.until),
            self.layer.deadline(),
        ];
        let next = deadlines.into_iter().flatten().min();
        if let Some(at) = next
            && self.armed != next
        {
            self.core.wheel.arm(&self.link, at);
        }
        self.armed = next;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Also when the task is dropped midway: nothing may stay behind.
        self.layer.close(&self.core, DisconnectReason::ForcedClose);
        self.link.close();
        self.core.remove_session(&self.id);
        self.core.sequencer.remove(self.link.key);
        self.core.stats.connection_closed();
    }
}
