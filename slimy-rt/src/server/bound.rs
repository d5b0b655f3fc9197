//! The bounds that a server counts: each by the name of its field in [`Config`](super::Config).

/// An enum of bounds, each with the name of its field.
macro_rules! bounds {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $field:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every bound.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The field's name, such as `max_payload` or `packet.max_depth`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $field,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(super) use bounds;

bounds! {
/// A bound that somebody reached. Its default and who notices are told by the field of [`Config`](super::Config) with the same name.
Bound {
    /// A client did not answer a heartbeat in time and was closed.
    PingTimeout = "ping_timeout",
    /// A client joined no namespace in time and was closed.
    ConnectTimeout = "connect_timeout",
    /// A WebSocket did not finish its upgrade, or its handshake, in time and was closed.
    UpgradeTimeout = "upgrade_timeout",
    /// Authenticator or session store took too long; the client was told `server_error`.
    AdmissionTimeout = "admission_timeout",
    /// A handler took too long and was dropped.
    HandlerTimeout = "handler_timeout",
    /// A client's reading stood still for too long and it was closed.
    StallTimeout = "stall_timeout",
    /// A closing connection did not come to its end in time; what it had not written was dropped.
    CloseTimeout = "close_timeout",
    /// A POST's body took too long.
    BodyTimeout = "body_timeout",
    /// A message or payload was too large.
    MaxPayload = "max_payload",
    /// The same, before the client had joined a namespace.
    MaxPayloadBeforeConnect = "max_payload_before_connect",
    /// A WebSocket message had too many fragments.
    MaxFragments = "max_fragments",
    /// A polling payload had too many packets.
    MaxPayloadPackets = "max_payload_packets",
    /// A packet announced too many attachments.
    MaxAttachments = "packet.max_attachments",
    /// A packet's attachments were too large together.
    MaxAttachmentBytes = "packet.max_attachment_bytes",
    /// A packet's JSON nested too deeply.
    MaxDepth = "packet.max_depth",
    /// A namespace's name was too long.
    MaxNamespaceLen = "packet.max_namespace_len",
    /// A client asked to be in too many namespaces.
    MaxNamespaces = "max_namespaces",
    /// A client sent too many packets.
    PacketRate = "packet_rate",
    /// A program put a socket into too many rooms.
    MaxRoomsPerSocket = "max_rooms_per_socket",
    /// A connection was behind: a volatile event was dropped for it, or it was closed.
    MaxPendingBytes = "max_pending_bytes",
    /// A program waited for too many answers of one socket.
    MaxPendingAcks = "max_pending_acks",
    /// Reading stopped, since too many events waited for handlers.
    MaxQueuedEvents = "max_queued_events",
    /// Reading stopped, since too many bytes of events waited for handlers.
    MaxQueuedBytes = "max_queued_bytes",
    /// A socket was refused: too many namespaces of patterns.
    MaxDynamicNamespaces = "max_dynamic_namespaces",
    /// As many concurrent handlers ran for a socket as may; its next events wait.
    MaxConcurrentHandlers = "max_concurrent_handlers",
    /// A program wanted answers of too many sockets at once.
    MaxBroadcastAcks = "max_broadcast_acks",
    /// A client did not answer a program's event in time.
    AckTimeout = "ack_timeout",
    /// Another node did not answer in time.
    RequestTimeout = "request_timeout",
    /// A client missed more than it may get; it came back as a new one.
    MaxRecoveredEvents = "max_recovered_events",
    /// A handshake was refused: too many connections.
    MaxConnections = "max_connections",
    /// A handshake was refused: too many connections of one address.
    MaxConnectionsPerIp = "max_connections_per_ip",
    /// A handshake was refused: too many in one second.
    HandshakesPerSecond = "handshakes_per_second",
}}

impl Bound {
    /// How many there are.
    pub(super) const COUNT: usize = Self::ALL.len();
}
