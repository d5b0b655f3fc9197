//! One Socket.IO client over one Engine.IO session: which namespaces it is in, and what it may send. Time is an argument.

use std::time::{Duration, Instant};

use bytes::Bytes;
use bytestring::ByteString;
use smallvec::SmallVec;

use super::packet::{Decoder, Packet, PacketError, PacketLimits};

/// The bounds of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// The bounds of one packet.
    pub packet: PacketLimits,
    /// How many namespaces a client may be in at once.
    pub max_namespaces: usize,
    /// How many packets a client may send; `None` is no limit.
    pub packet_rate: Option<PacketRate>,
    /// How long a client may stay without having joined a namespace.
    pub connect_timeout: Duration,
}

/// A budget of packets: `packets` in each `per`, and up to `burst` at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketRate {
    /// How many packets.
    pub packets: u32,
    /// In this time.
    pub per: Duration,
    /// The most that can be saved up.
    pub burst: u32,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// To join a namespace. Answer with [`Client::joined`] or [`Client::left`].
    Connect {
        /// The namespace.
        namespace: ByteString,
        /// The CONNECT payload: a JSON object.
        auth: Option<ByteString>,
    },
    /// A packet for a namespace that the client is in: an event, an ack or a disconnect.
    Packet(Packet),
}

/// Why a client is to be closed: always with the reason `parse error`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A packet is malformed.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// It sent a second CONNECT for a namespace.
    #[error("second CONNECT for a namespace")]
    SecondConnect,
    /// It sent a packet for a namespace that it has not joined.
    #[error("packet for a namespace that was not joined")]
    NotJoined,
    /// It joined too many namespaces.
    #[error("too many namespaces")]
    TooManyNamespaces,
    /// It sent more packets than its budget allows.
    #[error("too many packets")]
    TooManyPackets,
}

#[derive(Debug)]
struct Membership {
    namespace: ByteString,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Joining,
    Joined,
    /// The server took the client out of it, which the client may not know yet.
    Ended,
}

/// One client's state.
#[derive(Debug)]
pub struct Client {
    limits: ClientLimits,
    decoder: Decoder,
    memberships: SmallVec<[Membership; 1]>,
    connect_by: Option<Instant>,
    budget: Option<Budget>,
}

impl Client {
    /// A client that connected now.
    #[must_use]
    pub fn new(limits: ClientLimits, now: Instant) -> Self {
        Self {
            limits,
            decoder: Decoder::new(limits.packet),
            memberships: SmallVec::new(),
            connect_by: now.checked_add(limits.connect_timeout),
            budget: limits.packet_rate.map(|rate| Budget::new(rate, now)),
        }
    }

    /// Counts one packet of any kind against the budget.
    ///
    /// # Errors
    /// When the budget is used up.
    pub fn count_packet(&mut self, now: Instant) -> Result<(), Violation> {
        let within = self.budget.as_mut().is_none_or(|budget| budget.take(now));
        if within {
            Ok(())
        } else {
            Err(Violation::TooManyPackets)
        }
    }

    /// A text message.
    ///
    /// # Errors
    /// The client is to be closed.
    pub fn text(&mut self, text: ByteString) -> Result<Option<Input>, Violation> {
        let packet = self.decoder.text(text)?;
        packet.map_or(Ok(None), |packet| self.check(packet))
    }

    /// A binary message.
    ///
    /// # Errors
    /// The client is to be closed.
    pub fn binary(&mut self, bytes: Bytes) -> Result<Option<Input>, Violation> {
        let packet = self.decoder.binary(bytes)?;
        packet.map_or(Ok(None), |packet| self.check(packet))
    }

    fn check(&mut self, packet: Packet) -> Result<Option<Input>, Violation> {
        let namespace = match packet {
            Packet::Connect { namespace, auth } => {
                self.begin(&namespace)?;
                return Ok(Some(Input::Connect { namespace, auth }));
            }
            Packet::Disconnect { ref namespace }
            | Packet::Event { ref namespace, .. }
            | Packet::Ack { ref namespace, .. } => namespace,
        };
        let mut memberships = self.memberships.iter();
        let membership = memberships.find(|m| m.namespace == *namespace);
        match membership.map(|m| m.state) {
            Some(State::Joined) => Ok(Some(Input::Packet(packet))),
            // It was on its way when the server ended it.
            Some(State::Ended) => Ok(None),
            Some(State::Joining) | None => Err(Violation::NotJoined),
        }
    }

    fn begin(&mut self, namespace: &str) -> Result<(), Violation> {
        self.memberships
            .retain(|m| m.state != State::Ended || m.namespace != namespace);
        if self.memberships.iter().any(|m| m.namespace == namespace) {
            return Err(Violation::SecondConnect);
        }
        let is_in = |m: &&Membership| m.state != State::Ended;
        if self.memberships.iter().filter(is_in).count() >= self.limits.max_namespaces {
            return Err(Violation::TooManyNamespaces);
        }
        // Copied: the text would pin the buffer in which it arrived.
        let namespace = ByteString::from(namespace);
        self.memberships.push(Membership {
            namespace,
            state: State::Joining,
        });
        Ok(())
    }

    /// The client was let into a namespace.
    pub fn joined(&mut self, namespace: &str) {
        if let Some(m) = self
            .memberships
            .iter_mut()
            .find(|m| m.namespace == namespace)
        {
            m.state = State::Joined;
            self.connect_by = None;
        }
    }

    /// The client was not let into a namespace, or is no longer in it.
    pub fn left(&mut self, namespace: &str) {
        self.memberships.retain(|m| m.namespace != namespace);
    }

    /// The server took the client out of a namespace. What the client has sent there before it learns that is ignored.
    pub fn ended(&mut self, namespace: &str) {
        let is_ended = |m: &Membership| m.state == State::Ended;
        if self.memberships.iter().filter(|m| is_ended(m)).count() >= self.limits.max_namespaces
            && let Some(oldest) = self.memberships.iter().position(is_ended)
        {
            self.memberships.remove(oldest);
        }
        let mut memberships = self.memberships.iter_mut();
        if let Some(m) = memberships.find(|m| m.namespace == namespace) {
            m.state = State::Ended;
        }
    }

    /// Whether the client has joined any namespace in its life.
    #[must_use]
    pub fn has_connected(&self) -> bool {
        self.connect_by.is_none()
    }

    /// When the client has to have joined a namespace; `None` once it has.
    #[must_use]
    pub fn connect_by(&self) -> Option<Instant> {
        self.connect_by
    }
}

/// A token bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    rate: PacketRate,
    /// When the bucket would be full: the earlier, the more is saved up.
    full_at: Instant,
}

impl Budget {
    pub(crate) fn new(rate: PacketRate, now: Instant) -> Self {
        Self { rate, full_at: now }
    }

    /// Takes one; `false` when there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let each = self.rate.per / self.rate.packets.max(1);
        let full_at = self.full_at.max(now) + each;
        if full_at.saturating_duration_since(now) > each * self.rate.burst.max(1) {
            return false;
        }
        self.full_at = full_at;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> ClientLimits {
        ClientLimits {
            packet: PacketLimits::default(),
            max_namespaces: 2,
            packet_rate: Some(PacketRate {
                packets: 10,
                per: Duration::from_secs(1),
                burst: 20,
            }),
            connect_timeout: Duration::from_secs(45),
        }
    }

    fn text(client: &mut Client, text: &str) -> Result<Option<Input>, Violation> {
        client.text(ByteString::from(text))
    }

    #[test]
    fn a_namespace_is_joined_before_it_is_used() {
        let mut client = Client::new(limits(), Instant::now());
        assert_eq!(text(&mut client, r#"2["a"]"#), Err(Violation::NotJoined));
        assert!(matches!(
            text(&mut client, "0"),
            Ok(Some(Input::Connect { .. }))
        ));
        assert_eq!(
            text(&mut client, r#"2["a"]"#),
            Err(Violation::NotJoined),
            "not let in yet"
        );
        client.joined("/");
        assert!(matches!(
            text(&mut client, r#"2["a"]"#),
            Ok(Some(Input::Packet(_)))
        ));
        assert_eq!(text(&mut client, "0"), Err(Violation::SecondConnect));
        client.left("/");
        assert!(text(&mut client, "0").is_ok());
    }

    #[test]
    fn what_was_on_its_way_when_the_server_ended_it_is_ignored() {
        let mut client = Client::new(limits(), Instant::now());
        for name in ["/a", "/b", "/c", "/d"] {
            assert!(text(&mut client, &format!("0{name}")).is_ok());
            client.joined(name);
            client.ended(name);
        }
        for packet in ["2/d,[\"a\"]", "3/c,1[]", "1/d"] {
            assert_eq!(text(&mut client, packet), Ok(None), "{packet}");
        }
        let forgotten = text(&mut client, "2/b,[\"a\"]");
        assert_eq!(forgotten, Err(Violation::NotJoined), "they are bounded");
        assert!(text(&mut client, "0/d").is_ok());
        let early = text(&mut client, "2/d,[\"a\"]");
        assert_eq!(early, Err(Violation::NotJoined), "it came back");
    }

    #[test]
    fn namespaces_are_bounded_and_refused_ones_do_not_count() {
        let mut client = Client::new(limits(), Instant::now());
        for name in ["0/a", "0/b", "0/c"] {
            assert!(text(&mut client, name).is_ok());
            client.left(&name[1..]);
        }
        assert!(text(&mut client, "0/a").is_ok());
        assert!(text(&mut client, "0/b").is_ok());
        assert_eq!(text(&mut client, "0/c"), Err(Violation::TooManyNamespaces));
    }

    #[test]
    fn only_a_joined_namespace_ends_the_connect_timeout() {
        let mut client = Client::new(limits(), Instant::now());
        assert!(text(&mut client, "0").is_ok());
        client.left("/");
        assert!(client.connect_by().is_some());
        assert!(text(&mut client, "0").is_ok());
        client.joined("/");
        client.left("/");
        assert!(client.connect_by().is_none());
    }

    #[test]
    fn the_packet_budget_allows_bursts_and_refills() {
        let start = Instant::now();
        let mut client = Client::new(limits(), start);
        let taken = |client: &mut Client, at| {
            (0..100)
                .take_while(|_| client.count_packet(at).is_ok())
                .count()
        };
        assert_eq!(taken(&mut client, start), 20);
        assert_eq!(taken(&mut client, start + Duration::from_secs(1)), 10);
        assert_eq!(taken(&mut client, start + Duration::from_secs(60)), 20);
    }
}
