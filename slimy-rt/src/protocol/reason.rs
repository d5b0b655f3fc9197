//! Why a connection ended.

use std::fmt;

/// Why a socket or its transport ended, in the words that Socket.IO's `disconnect` event uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The transport failed.
    TransportError,
    /// The peer closed the transport.
    TransportClose,
    /// The transport was closed while a close was already under way.
    ForcedClose,
    /// No pong came in time.
    PingTimeout,
    /// The peer sent what the protocol forbids.
    ParseError,
    /// The server is shutting down.
    ServerShuttingDown,
    /// The server closed the connection without regard to its namespaces.
    ForcedServerClose,
    /// The client left the namespace.
    ClientNamespaceDisconnect,
    /// The server made the socket leave the namespace.
    ServerNamespaceDisconnect,
}

impl DisconnectReason {
    /// The reason as text, for example `transport close`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TransportError => "transport error",
            Self::TransportClose => "transport close",
            Self::ForcedClose => "forced close",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::ServerShuttingDown => "server shutting down",
            Self::ForcedServerClose => "forced server close",
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
