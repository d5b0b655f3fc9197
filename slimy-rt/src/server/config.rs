//! The server's times and bounds, each with its default.

use std::time::Duration;

use crate::protocol::{
    client::{ClientLimits, PacketRate},
    packet::PacketLimits,
    session::SessionTimes,
};

/// The server's times and bounds. Whoever reaches a bound is told or closed; nothing grows without one.
#[derive(Clone, Debug)]
pub struct Config {
    /// From one heartbeat's answer to the next heartbeat: 25 s.
    pub ping_interval: Duration,
    /// How long a heartbeat's answer may take: 20 s.
    pub ping_timeout: Duration,
    /// How long a client may be connected without having joined a namespace: 45 s.
    pub connect_timeout: Duration,
    /// How long an upgrade from polling to WebSocket may take: 10 s.
    pub upgrade_timeout: Duration,
    /// How long authenticator and session store may take to let a socket in: 10 s. Then it is refused with `server_error`.
    pub admission_timeout: Duration,
    /// How long a handler may take: 30 s. Then it is dropped and its ack answered with `server_error`.
    pub handler_timeout: Duration,
    /// How long a client's reading may stand still since its handlers are behind: 60 s. Then it is closed.
    pub stall_timeout: Duration,
    /// How long a closing connection may take to write what is pending: 2 s.
    pub close_timeout: Duration,
    /// How long a POST's body may take: 30 s.
    pub body_timeout: Duration,
    /// The largest message, or polling payload, in bytes: 1,000,000.
    pub max_payload: usize,
    /// The same before the client has joined a namespace: 65,536.
    pub max_payload_before_connect: usize,
    /// Fragments of one WebSocket message: 1,024.
    pub max_fragments: u32,
    /// Packets in one polling payload: 16,384.
    pub max_payload_packets: usize,
    /// The bounds of one Socket.IO packet.
    pub packet: PacketLimits,
    /// Namespaces that a client may be in: 16.
    pub max_namespaces: usize,
    /// Namespaces of [patterns](crate::events::Namespace), which are there while they have sockets: 10,000. Past it sockets are refused with `too_many_namespaces`.
    pub max_dynamic_namespaces: usize,
    /// Packets that a client may send: 200 per second, bursts of 400. `None` is no limit.
    pub packet_rate: Option<PacketRate>,
    /// Rooms that a socket may be in: 1,024. The rooms of the user's own guilds do not count.
    pub max_rooms_per_socket: usize,
    /// Bytes that may wait for a client whose connection takes no more: 1 MiB, and never less than twice `max_payload`.
    pub max_pending_bytes: usize,
    /// Answers that may be awaited from one socket: 1,024.
    pub max_pending_acks: usize,
    /// How long a client's answer is waited for when no other time is given: 10 s.
    pub ack_timeout: Duration,
    /// Sockets of one node that one event may ask for an answer: 10,000.
    pub max_broadcast_acks: usize,
    /// How long other nodes are waited for: 5 s.
    pub request_timeout: Duration,
    /// Events of one socket that may wait for its handlers: 64. Then reading stops.
    pub max_queued_events: usize,
    /// Bytes of events of one socket that may wait for its handlers: 1 MiB. Then reading stops.
    pub max_queued_bytes: usize,
    /// Handlers added by `on_concurrent` that may run for one socket: 16. Then its next events wait.
    pub max_concurrent_handlers: usize,
    /// How long a client that was cut off may stay away and still come back as the same socket, with all that it missed: `None`, no connection
    /// state recovery. It needs a broker that keeps a log and states; every event then carries an offset.
    pub recovery: Option<Duration>,
    /// Events that a client may have missed and still get: 10,000, and no more bytes than half of those that may be pending. Past it, it comes
    /// back as a new one.
    pub max_recovered_events: usize,
    /// Connections: 0, no limit. Past it handshakes are refused with 503.
    pub max_connections: usize,
    /// Connections of one address: 0, no limit. Behind a proxy that is not trusted all clients have one.
    pub max_connections_per_ip: usize,
    /// Handshakes per second: 0, no limit.
    pub handshakes_per_second: u32,
    /// Shards, the tasks that write: 0, one for each worker thread, at most 8.
    pub shards: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(45),
            upgrade_timeout: Duration::from_secs(10),
            admission_timeout: Duration::from_secs(10),
            handler_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(60),
            close_timeout: Duration::from_secs(2),
            body_timeout: Duration::from_secs(30),
            max_payload: 1_000_000,
            max_payload_before_connect: 64 * 1024,
            max_fragments: 1_024,
            max_payload_packets: 16 * 1024,
            packet: PacketLimits::default(),
            max_namespaces: 16,
            max_dynamic_namespaces: 10_000,
            packet_rate: Some(PacketRate {
                packets: 200,
                per: Duration::from_secs(1),
                burst: 400,
            }),
            max_rooms_per_socket: 1_024,
            max_pending_bytes: 1024 * 1024,
            max_pending_acks: 1_024,
            ack_timeout: Duration::from_secs(10),
            max_broadcast_acks: 10_000,
            request_timeout: Duration::from_secs(5),
            max_queued_events: 64,
            max_queued_bytes: 1024 * 1024,
            max_concurrent_handlers: 16,
            recovery: None,
            max_recovered_events: 10_000,
            max_connections: 0,
            max_connections_per_ip: 0,
            handshakes_per_second: 0,
            shards: 0,
        }
    }
}

/// The shortest ping interval or timeout that makes sense, given the timer's grain.
const MIN_INTERVAL: Duration = Duration::from_millis(50);
/// The longest time of any field: beyond it, it is a mistake.
const MAX_TIME: Duration = Duration::from_secs(24 * 3600);

impl Config {
    /// Checks that the fields make sense; the text says what to change.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (name, time, min) in [
            ("ping_interval", self.ping_interval, MIN_INTERVAL),
            ("ping_timeout", self.ping_timeout, MIN_INTERVAL),
            ("connect_timeout", self.connect_timeout, MIN_INTERVAL),
            ("upgrade_timeout", self.upgrade_timeout, MIN_INTERVAL),
            ("admission_timeout", self.admission_timeout, MIN_INTERVAL),
            ("handler_timeout", self.handler_timeout, MIN_INTERVAL),
            ("stall_timeout", self.stall_timeout, MIN_INTERVAL),
            ("close_timeout", self.close_timeout, MIN_INTERVAL),
            ("body_timeout", self.body_timeout, MIN_INTERVAL),
            ("ack_timeout", self.ack_timeout, MIN_INTERVAL),
            ("request_timeout", self.request_timeout, MIN_INTERVAL),
            (
                "recovery",
                self.recovery.unwrap_or(MIN_INTERVAL),
                MIN_INTERVAL,
            ),
        ] {
            if time < min || time > MAX_TIME {
                return Err(format!("`{name}` must be between {min:?} and {MAX_TIME:?}"));
            }
        }
        if self.max_payload < 128 || self.max_payload > 1 << 30 {
            return Err("`max_payload` must be between 128 bytes and 1 GiB".into());
        }
        let bounds = [
            self.max_namespaces,
            self.max_queued_events,
            self.max_fragments as usize,
            self.max_concurrent_handlers,
        ];
        if bounds.contains(&0) {
            return Err("a bound of zero would let nothing through".into());
        }
        if self
            .packet_rate
            .is_some_and(|r| r.packets == 0 || r.burst == 0 || r.per.is_zero())
        {
            return Err("`packet_rate` must allow something; `None` is no limit".into());
        }
        Ok(())
    }

    pub(crate) fn session_times(&self) -> SessionTimes {
        SessionTimes {
            ping_interval: self.ping_interval,
            ping_timeout: self.ping_timeout,
            upgrade_timeout: self.upgrade_timeout,
        }
    }

    pub(crate) fn client_limits(&self) -> ClientLimits {
        ClientLimits {
            packet: PacketLimits {
                max_attachment_bytes: self.packet.max_attachment_bytes.max(self.max_payload),
                ..self.packet
            },
            max_namespaces: self.max_namespaces,
            packet_rate: self.packet_rate,
            connect_timeout: self.connect_timeout,
        }
    }

    /// Bytes that may wait for a client: one message must always fit.
    pub(crate) fn pending_budget(&self) -> usize {
        self.max_pending_bytes.max(2 * self.max_payload)
    }

    /// How fine deadlines are: fine enough for the shortest of them, coarse enough to cost nothing.
    pub(crate) fn tick(&self) -> Duration {
        let shortest = self
            .ping_interval
            .min(self.ping_timeout)
            .min(self.connect_timeout);
        (shortest / 20).clamp(Duration::from_millis(5), Duration::from_millis(100))
    }
}
