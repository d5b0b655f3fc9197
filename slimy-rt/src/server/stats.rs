//! What the server counts about itself.

use std::{
    array,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use super::{Bound, Refusal, bound::bounds};
use crate::{auth::AuthError, histogram::Latencies};

/// Counters, written where things happen and read by whoever reports them.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    connections: AtomicUsize,
    connections_total: AtomicU64,
    sockets: AtomicUsize,
    deliveries: AtomicU64,
    volatile_dropped: AtomicU64,
    slow_consumers: AtomicU64,
    broadcasts: AtomicU64,
    gaps: AtomicU64,
    publications_dropped: AtomicU64,
    requests_dropped: AtomicU64,
    recovered: AtomicU64,
    recovery_refused: AtomicU64,
    /// How often each [`Refused`] happened, in their order.
    refused: [AtomicU64; Refused::ALL.len()],
    /// How often each [`Bound`] was reached, in their order.
    bounds: [AtomicU64; Bound::COUNT],
}

macro_rules! counters {
    ($($(#[$doc:meta])* $add:ident => $field:ident),* $(,)?) => {
        $($(#[$doc])* pub(crate) fn $add(&self) { self.$field.fetch_add(1, Relaxed); })*
    };
}

impl Stats {
    counters! {
        /// An event was published.
        add_broadcast => broadcasts,
        /// Publications of other nodes were missed.
        add_gap => gaps,
        /// A publication was not handed to the broker.
        add_publication_dropped => publications_dropped,
        /// Another node's request was not dealt with.
        add_request_dropped => requests_dropped,
        /// A client came back as the same socket.
        add_recovered => recovered,
        /// A client wanted to come back and could not.
        add_recovery_refused => recovery_refused,
    }

    /// A bound was reached.
    pub(crate) fn reached(&self, bound: Bound) {
        self.bounds[bound as usize].fetch_add(1, Relaxed);
    }

    /// A client was not let in.
    pub(crate) fn add_refused(&self, why: Refused) {
        self.refused[why as usize].fetch_add(1, Relaxed);
    }

    /// A volatile frame was dropped for a slow connection.
    pub(crate) fn add_volatile_dropped(&self) {
        self.volatile_dropped.fetch_add(1, Relaxed);
        self.reached(Bound::MaxPendingBytes);
    }

    /// A connection was closed since it read too slowly.
    pub(crate) fn add_slow_consumer(&self) {
        self.slow_consumers.fetch_add(1, Relaxed);
        self.reached(Bound::MaxPendingBytes);
    }

    pub(crate) fn add_deliveries(&self, count: usize) {
        self.deliveries.fetch_add(count as u64, Relaxed);
    }

    pub(crate) fn connection_opened(&self) {
        self.connections.fetch_add(1, Relaxed);
        self.connections_total.fetch_add(1, Relaxed);
    }

    pub(crate) fn connection_closed(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    pub(crate) fn socket_connected(&self) {
        self.sockets.fetch_add(1, Relaxed);
    }

    pub(crate) fn socket_disconnected(&self) {
        self.sockets.fetch_sub(1, Relaxed);
    }

    /// Everything at this moment; `rooms` is known elsewhere.
    pub(crate) fn report(&self, rooms: usize) -> Report {
        Report {
            connections: self.connections.load(Relaxed),
            connections_total: self.connections_total.load(Relaxed),
            sockets: self.sockets.load(Relaxed),
            rooms,
            broadcasts: self.broadcasts.load(Relaxed),
            deliveries: self.deliveries.load(Relaxed),
            volatile_dropped: self.volatile_dropped.load(Relaxed),
            slow_consumers: self.slow_consumers.load(Relaxed),
            gaps: self.gaps.load(Relaxed),
            publications_dropped: self.publications_dropped.load(Relaxed),
            requests_dropped: self.requests_dropped.load(Relaxed),
            publications_waiting: 0,
            recovered: self.recovered.load(Relaxed),
            recovery_refused: self.recovery_refused.load(Relaxed),
            refused: array::from_fn(|index| self.refused[index].load(Relaxed)),
            bounds: array::from_fn(|index| self.bounds[index].load(Relaxed)),
        }
    }
}

bounds! {
/// Why a client was not let in. Bounds that it met are counted as such: [`Bound`].
Refused {
    /// It had no valid login.
    NotAuthorized = "not_authorized",
    /// Its user is no administrator and belongs to no guild.
    NoGuildContext = "no_guild_context",
    /// Who may connect could not be found out.
    ServerError = "server_error",
    /// A connect middleware of the program's, or its authenticator in words of its own, refused it.
    Program = "program",
    /// Its page's origin is not allowed.
    Origin = "origin",
}}

impl Refused {
    pub(crate) fn of(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::NotAuthorized(AuthError::Refused(_)) => Self::Program,
            Refusal::NotAuthorized(_) => Self::NotAuthorized,
            Refusal::NoGuildContext => Self::NoGuildContext,
            Refusal::Unavailable(_) => Self::ServerError,
        }
    }
}

/// What the handler of an event has done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EventReport {
    /// The namespace, or the pattern of several.
    pub namespace: Arc<str>,
    /// The event's name.
    pub event: Box<str>,
    /// How long its handler took each time, from its turn to its end.
    pub handled: Latencies,
}

/// What a server has done so far and has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Engine.IO sessions that are open.
    pub connections: usize,
    /// Engine.IO sessions since the start.
    pub connections_total: u64,
    /// Sockets: memberships of a connection in a namespace.
    pub sockets: usize,
    /// Rooms with at least one member.
    pub rooms: usize,
    /// Events published by this node's programs.
    pub broadcasts: u64,
    /// Frames handed to connections.
    pub deliveries: u64,
    /// Volatile frames dropped for connections that were behind.
    pub volatile_dropped: u64,
    /// Connections closed since they read too slowly.
    pub slow_consumers: u64,
    /// Times that publications of other nodes were missed.
    pub gaps: u64,
    /// Publications that did not fit the queue to the broker, or that it refused.
    pub publications_dropped: u64,
    /// Other nodes' requests that were more than this node deals with at once.
    pub requests_dropped: u64,
    /// Publications that wait for the broker now.
    pub publications_waiting: usize,
    /// Clients that came back as the same socket, with all that they had missed.
    pub recovered: u64,
    /// Clients that wanted to and came in as new ones.
    pub recovery_refused: u64,
    refused: [u64; Refused::ALL.len()],
    bounds: [u64; Bound::COUNT],
}

impl Report {
    /// How many clients were not let in for this reason.
    #[must_use]
    pub fn refused(&self, why: Refused) -> u64 {
        self.refused[why as usize]
    }

    /// How often this bound was reached.
    #[must_use]
    pub fn reached(&self, bound: Bound) -> u64 {
        self.bounds[bound as usize]
    }

    /// Every bound, and how often it was reached.
    pub fn bounds(&self) -> impl Iterator<Item = (Bound, u64)> + '_ {
        Bound::ALL.iter().map(|&bound| (bound, self.reached(bound)))
    }
}
