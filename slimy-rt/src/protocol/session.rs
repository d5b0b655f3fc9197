//! One Engine.IO session: heartbeat, polling rules and the upgrade. Time is an argument.
//!
//! The driver reports what happened (a request came, a packet was read, time passed) and does what it is told. All rules about
//! *when* something is allowed live here; the driver holds the requests and sockets that the answers go to.

use std::time::{Duration, Instant};

use bytes::Bytes;
use bytestring::ByteString;

use super::{DisconnectReason, engine::Packet};

/// The durations of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimes {
    /// From one heartbeat's answer to the next heartbeat.
    pub ping_interval: Duration,
    /// How long a heartbeat's answer may take.
    pub ping_timeout: Duration,
    /// How long an upgrade may take, from the new WebSocket to its `5`.
    pub upgrade_timeout: Duration,
}

/// How a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// HTTP long-polling.
    Polling,
    /// A WebSocket.
    WebSocket,
}

impl Transport {
    /// The name in a handshake's query.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }
}

/// What a packet on the current transport carries for the layer above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text message.
    Text(ByteString),
    /// A binary message.
    Binary(Bytes),
}

/// What time brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Send a ping now.
    Ping,
    /// The new transport has not finished its upgrade: close it, keep the session.
    UpgradeTimeout,
    /// The client has not answered the ping: close the session. It stays due until that is done.
    PingTimeout,
}

/// What to do with a GET that asks for packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Answer with what is pending, or else hold it.
    Hold,
    /// Answer with what is pending, or else with a `6`: an upgrade waits for the polling to end.
    AnswerNow,
}

/// What to do with a packet on the transport that wants to take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Answer `3probe`, and a held GET with `6`.
    Answer,
    /// The new transport takes over.
    Upgraded,
    /// Close the new transport only.
    Abandon,
}

/// A request that is against the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Refuse the request with 400; the session goes on.
    Request,
    /// Refuse the request with 400 and close the session; a held GET gets `1`.
    Session,
}

#[derive(Clone, Copy, Debug)]
enum Heartbeat {
    PingAt(Instant),
    PongBy(Instant),
}

#[derive(Clone, Copy, Debug)]
enum Upgrade {
    None,
    Opened { by: Instant },
    Probed { by: Instant },
}

/// One session's state.
#[derive(Debug)]
pub struct Session {
    times: SessionTimes,
    transport: Transport,
    heartbeat: Heartbeat,
    /// When reading was paused: the client's answer cannot be seen meanwhile.
    paused_at: Option<Instant>,
    upgrade: Upgrade,
    holding: bool,
    posting: bool,
    closed: bool,
}

impl Session {
    /// A session that was opened over `transport` now.
    #[must_use]
    pub fn new(times: SessionTimes, transport: Transport, now: Instant) -> Self {
        Self {
            times,
            transport,
            heartbeat: Heartbeat::PingAt(now + times.ping_interval),
            paused_at: None,
            upgrade: Upgrade::None,
            holding: false,
            posting: false,
            closed: false,
        }
    }

    /// The current transport.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Ends the session. Says whether it was open.
    pub fn close(&mut self) -> bool {
        self.upgrade = Upgrade::None;
        !std::mem::replace(&mut self.closed, true)
    }

    /// A packet on the current transport.
    ///
    /// # Errors
    /// The reason to close the session: the client closed it, or sent what only a server sends.
    pub fn packet(
        &mut self,
        packet: Packet,
        now: Instant,
    ) -> Result<Option<Message>, DisconnectReason> {
        match packet {
            Packet::Message(text) => Ok(Some(Message::Text(text))),
            Packet::Binary(bytes) => Ok(Some(Message::Binary(bytes))),
            Packet::Pong => {
                self.heartbeat = Heartbeat::PingAt(now + self.times.ping_interval);
                Ok(None)
            }
            Packet::Close => Err(DisconnectReason::TransportClose),
            // Engine.IO v4: only the server pings; a `2` is of an older protocol.
            Packet::Ping | Packet::PingProbe => Err(DisconnectReason::ParseError),
            // Out of place but harmless, and the reference server ignores them too.
            Packet::Open(_) | Packet::PongProbe | Packet::Upgrade | Packet::Noop => Ok(None),
        }
    }

    /// A GET came.
    ///
    /// # Errors
    /// When the session is not polling, is closed or overdue, or a GET is held already.
    pub fn poll_opened(&mut self, now: Instant) -> Result<Poll, Refusal> {
        self.check_polling(now)?;
        if self.holding {
            return Err(Refusal::Session);
        }
        self.holding = true;
        Ok(match self.upgrade {
            Upgrade::Probed { .. } => Poll::AnswerNow,
            Upgrade::None | Upgrade::Opened { .. } => Poll::Hold,
        })
    }

    /// The held GET was answered.
    pub fn poll_answered(&mut self) {
        self.holding = false;
    }

    /// A POST's headers came.
    ///
    /// # Errors
    /// As [`poll_opened`](Self::poll_opened); the session closes when another POST is not done yet.
    pub fn post_opened(&mut self, now: Instant) -> Result<(), Refusal> {
        self.check_polling(now)?;
        if std::mem::replace(&mut self.posting, true) {
            return Err(Refusal::Session);
        }
        Ok(())
    }

    /// The POST was answered.
    pub fn post_answered(&mut self) {
        self.posting = false;
    }

    fn check_polling(&self, now: Instant) -> Result<(), Refusal> {
        // A driver's clock is coarse; a client that comes exactly after its deadline must not slip through.
        let overdue = matches!(self.heartbeat, Heartbeat::PongBy(by) if self.paused_at.is_none() && now >= by)
            || matches!(self.heartbeat, Heartbeat::PingAt(at)
                    if self.paused_at.is_none() && now >= at + self.times.ping_timeout);
        if overdue {
            return Err(Refusal::Session);
        }
        if self.closed || self.transport != Transport::Polling {
            return Err(Refusal::Request);
        }
        Ok(())
    }

    /// A WebSocket came with this session's id. Says whether it may try to take over.
    pub fn upgrade_opened(&mut self, now: Instant) -> bool {
        let free = !self.closed
            && self.transport == Transport::Polling
            && matches!(self.upgrade, Upgrade::None);
        if free {
            self.upgrade = Upgrade::Opened {
                by: now + self.times.upgrade_timeout,
            };
        }
        free
    }

    /// A packet on the WebSocket that wants to take over.
    pub fn probe(&mut self, packet: &Packet) -> Probe {
        match (self.upgrade, packet) {
            (Upgrade::Opened { by }, Packet::PingProbe) => {
                self.upgrade = Upgrade::Probed { by };
                Probe::Answer
            }
            (Upgrade::Probed { .. }, Packet::Upgrade) => {
                self.upgrade = Upgrade::None;
                self.transport = Transport::WebSocket;
                Probe::Upgraded
            }
            _ => {
                self.upgrade_closed();
                Probe::Abandon
            }
        }
    }

    /// The WebSocket that wanted to take over is gone; the session goes on polling.
    pub fn upgrade_closed(&mut self) {
        self.upgrade = Upgrade::None;
    }

    /// Reading stopped because the program is behind: a pong cannot be seen, so its deadline stops too.
    pub fn reading_paused(&mut self, now: Instant) {
        self.paused_at.get_or_insert(now);
    }

    /// Reading goes on.
    pub fn reading_resumed(&mut self, now: Instant) {
        if let Some(paused_at) = self.paused_at.take()
            && let Heartbeat::PongBy(by) = &mut self.heartbeat
        {
            // Only what stood still since the ping counts.
            let pinged_at = *by - self.times.ping_timeout;
            *by += now.saturating_duration_since(paused_at.max(pinged_at));
        }
    }

    /// When [`due`](Self::due) wants to be called next; `None` when the session is over.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        let heartbeat = match self.heartbeat {
            Heartbeat::PingAt(at) => Some(at),
            Heartbeat::PongBy(by) => self.paused_at.is_none().then_some(by),
        };
        let upgrade = match self.upgrade {
            Upgrade::None => None,
            Upgrade::Opened { by } | Upgrade::Probed { by } => Some(by),
        };
        [heartbeat, upgrade].into_iter().flatten().min()
    }

    /// What is due now; to be asked again until there is nothing.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        if let Upgrade::Opened { by } | Upgrade::Probed { by } = self.upgrade
            && now >= by
        {
            self.upgrade_closed();
            return Some(Due::UpgradeTimeout);
        }
        match self.heartbeat {
            Heartbeat::PingAt(at) if now >= at => {
                // Counted from when the ping was due, so that a late driver does not lengthen the client's time.
                self.heartbeat = Heartbeat::PongBy(at + self.times.ping_timeout);
                // A pause that began earlier takes nothing from this pong's time.
                if let Some(paused_at) = &mut self.paused_at {
                    *paused_at = at.max(*paused_at);
                }
                Some(Due::Ping)
            }
            Heartbeat::PongBy(by) if now >= by && self.paused_at.is_none() => {
                Some(Due::PingTimeout)
            }
            Heartbeat::PingAt(_) | Heartbeat::PongBy(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
