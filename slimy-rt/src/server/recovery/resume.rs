//! A client's way back: its state, the socket that it still may have, and what it missed.

use std::{cmp::Ordering, collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{Claim, Operation, Recovery, State, offset};
pub(crate) use crate::server::sequencer::Return;
use crate::{
    NodeId, Pid, Room, SocketId,
    auth::Identity,
    broker::{Audience, BrokerError, HistoryError, Position, Publication},
    events::Socket,
    protocol::{DisconnectReason, Frame},
    server::{
        Bound, Core,
        cluster::chain,
        lock,
        sequencer::{Cut, Received},
    },
};

/// How long all of it may take. Then the client comes in as a new one.
const WITHIN: Duration = Duration::from_secs(4);
/// How long to wait for this node's own writing before a state that is not there is not there.
const SETTLING: Duration = Duration::from_millis(500);
/// How often to look whether this node has heard the log so far.
const HEARING: Duration = Duration::from_millis(5);
/// How many publications are read at once.
const PAGE: usize = 512;
/// At how many nodes a client may have been ahead of the log.
const MAX_NODES: usize = 16;

/// A state that was taken by the client that it belongs to. It goes back unless the client is let in or turned away for good.
#[derive(Debug)]
pub(crate) struct Taken {
    recovery: Arc<Recovery>,
    claim: Claim,
    state: Option<State>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(mut state) = self.state.take() {
            state.node = None;
            let until = Instant::now() + self.recovery.window;
            let operation = Operation::KeepLast(state, until);
            self.recovery.keeper.push(self.claim.pid.clone(), operation);
        }
    }
}

/// Why a client comes in as a new one.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("what it missed is no longer in the log")]
    Gone,
    #[error("this node is in no cluster yet")]
    NotStarted,
    #[error("there are too many namespaces")]
    TooManyNamespaces,
    #[error("it missed more than `max_recovered_events` or than may be pending")]
    TooMuch,
    #[error("some of what it missed never got into the log")]
    Lost,
    #[error("the broker cannot tell what it missed")]
    Broker(#[from] BrokerError),
    #[error("it took too long")]
    Timeout(#[from] tokio::time::error::Elapsed),
}

impl From<HistoryError> for Refused {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Gone => Self::Gone,
            HistoryError::Broker(error) => Self::Broker(error),
        }
    }
}

impl Recovery {
    /// Takes the state that a client claims, and ends the socket that it had, wherever that is. `None`: there is none for this user and namespace.
    pub(crate) async fn take(
        self: &Arc<Self>,
        core: &Arc<Core>,
        claim: Claim,
        identity: &Identity,
        namespace: &str,
    ) -> Option<Taken> {
        let find = async {
            let Some(state) = self.find(core, &claim.pid, identity, namespace).await? else {
                return Ok(None);
            };
            if state.user != identity.user.id || *state.namespace != *namespace {
                return Ok(None);
            }
            if let Some(node) = state
                .node
                .as_ref()
                .filter(|node| *node != self.cluster.node())
            {
                self.cluster.take_over(&state.socket, node).await;
            }
            Ok::<_, Refused>(Some(state))
        };
        let found = timeout(WITHIN, find)
            .await
            .map_err(Refused::from)
            .and_then(std::convert::identity);
        let state = found.unwrap_or_else(|refused| {
            let why = chain(&refused);
            tracing::info!(why, "a client's state cannot be looked up: it is a new one");
            None
        });
        if state.is_none() {
            core.stats.add_recovery_refused();
        }
        Some(Taken {
            recovery: Arc::clone(self),
            claim,
            state: Some(state?),
        })
    }

    async fn find(
        &self,
        core: &Arc<Core>,
        pid: &Pid,
        identity: &Identity,
        namespace: &str,
    ) -> Result<Option<State>, BrokerError> {
        if let Some(state) = self.take_living(core, pid, identity, namespace) {
            return Ok(Some(state));
        }
        if let Some(state) = self.keeper.take(pid) {
            return Ok(Some(state));
        }
        let mut kept = self.cluster.broker().take_recovery(pid.as_str()).await?;
        if kept.is_none() && timeout(SETTLING, self.keeper.idle()).await == Ok(true) {
            // It may just have been on its way.
            kept = self.cluster.broker().take_recovery(pid.as_str()).await?;
        }
        // One that cannot be read is another version's.
        Ok(kept.and_then(|kept| serde_json::from_slice(&kept).ok()))
    }

    /// The state of a socket whose client is back before this node has seen it go. That socket ends.
    fn take_living(
        &self,
        core: &Arc<Core>,
        pid: &Pid,
        identity: &Identity,
        namespace: &str,
    ) -> Option<State> {
        let living = {
            let mut live = lock(&self.live);
            let socket = &live.get(pid)?.socket;
            let is_its =
                socket.identity().user.id == identity.user.id && socket.namespace() == namespace;
            is_its.then(|| live.remove(pid)).flatten()?
        };
        let state = living.state(None);
        let_go(core, &living.socket);
        Some(state)
    }
}

/// Ends a socket whose client has come back otherwise: nothing is sent to it from now on, and its old connection is closed.
pub(crate) fn let_go(core: &Core, socket: &Socket) {
    socket.set_connected(false);
    core.sequencer.exit(socket, []);
    socket.close_as(DisconnectReason::TransportClose);
}

impl Taken {
    /// The id that the socket had, and has again.
    pub(crate) fn socket_id(&self) -> Option<SocketId> {
        self.state.as_ref().map(|state| state.socket.clone())
    }

    pub(crate) fn pid(&self) -> &Pid {
        &self.claim.pid
    }

    /// What the client missed; `None` when it cannot be had as a whole. The state is used up either way.
    pub(crate) async fn missed(mut self, core: &Arc<Core>, socket: &Socket) -> Option<Return> {
        let recovery = Arc::clone(&self.recovery);
        let state = self.state.as_ref()?;
        let read = async {
            // Never closed.
            let _turn = recovery.returns.acquire().await.ok();
            recovery.read(core, socket, &self.claim, state).await
        };
        let read = timeout(WITHIN, read).await;
        self.state = None;
        match read.map_err(Refused::from).and_then(std::convert::identity) {
            Ok(back) => Some(back),
            Err(refused) => {
                if matches!(refused, Refused::TooMuch) {
                    core.stats.reached(Bound::MaxRecoveredEvents);
                }
                core.stats.add_recovery_refused();
                let why = chain(&refused);
                tracing::info!(socket = %socket.id(), why, "a client that came back is a new one");
                None
            }
        }
    }
}

impl Recovery {
    async fn read(
        &self,
        core: &Arc<Core>,
        socket: &Socket,
        claim: &Claim,
        state: &State,
    ) -> Result<Return, Refused> {
        let access = socket.access();
        let rooms: Vec<Room> = state
            .rooms
            .iter()
            .filter(|room| access.allows(room))
            .cloned()
            .collect();
        let received = self.received(claim, state);
        let guest = core.sequencer.invite(socket.shared_namespace(), &rooms);
        let guest = guest.ok_or(Refused::TooManyNamespaces)?;
        let cut = self.cut(core).await?;
        // All that this node has published itself is in the log then.
        self.cluster.published_up_to(cut.sequence).await;
        if self.cluster.has_unconfessed_losses() {
            return Err(Refused::Lost);
        }
        let end = self.cluster.broker().end().await?;
        if !(received.position <= end && cut.position <= end) {
            return Err(Refused::Gone);
        }
        let own_room = Room::of_socket(socket.id());
        let audience = Audience {
            rooms: rooms.iter().cloned().chain([own_room]).collect(),
            except: Vec::new(),
        };
        let mut missed = Missed {
            node: self.cluster.node(),
            namespace: socket.namespace(),
            rooms: &audience.rooms,
            later: &state.later,
            received: &received,
            cut: &cut,
            sequence: self.own_sequence(claim, state),
            last: HashMap::new(),
            frames: Vec::new(),
            bytes: 0,
        };
        let mut after = received.position.clone();
        loop {
            let page = self
                .cluster
                .broker()
                .history(&after, &end, &audience, PAGE)
                .await?;
            for (position, publication) in &page.publications {
                missed.take(position, publication)?;
            }
            if missed.frames.len() > self.max_events
                || missed.bytes > core.config.pending_budget() / 2
            {
                return Err(Refused::TooMuch);
            }
            if page.complete {
                break;
            }
            let last = page
                .publications
                .last()
                .map(|(position, _)| position.clone());
            after = last.ok_or(Refused::Gone)?;
        }
        Ok(Return {
            rooms,
            later: state.later.clone(),
            missed: missed.frames,
            cut,
            _guest: guest,
            received,
            window: self.window,
        })
    }

    /// A moment from which on this node hears all that the client is owed.
    async fn cut(&self, core: &Core) -> Result<Cut, Refused> {
        let broker = self.cluster.broker();
        if !broker.capabilities().filters {
            return core.sequencer.cut().ok_or(Refused::NotStarted);
        }
        // What was being reported when its rooms came to be heard may lack them; that lies before this.
        let end = broker.end().await?;
        loop {
            let cut = core.sequencer.cut().ok_or(Refused::NotStarted)?;
            match end.partial_cmp(&cut.position) {
                Some(Ordering::Less | Ordering::Equal) => return Ok(cut),
                Some(Ordering::Greater) => {}
                None => return Err(Refused::Gone),
            }
            drop(cut);
            sleep(HEARING).await;
        }
    }

    /// What the client has: what its offset says, and what it had when it came to the node that gave it that offset.
    fn received(&self, claim: &Claim, state: &State) -> Received {
        let offset = &claim.offset;
        let mut received = state.received.clone();
        let order = offset.position.partial_cmp(&received.position);
        if order.is_none_or(Ordering::is_gt) {
            received.position = offset.position.clone();
        }
        // A client may show an offset that is older than what it was given.
        let known = received
            .nodes
            .iter()
            .position(|(node, _)| *node == offset.node);
        let before = known.map_or(0, |at| received.nodes.remove(at).1);
        let sequence = before.max(offset.sequence);
        received.nodes.push((offset.node.clone(), sequence));
        let surplus = received.nodes.len().saturating_sub(MAX_NODES);
        received.nodes.drain(..surplus);
        received
    }

    /// The last publication of this very node that the client has received from it.
    fn own_sequence(&self, claim: &Claim, state: &State) -> u64 {
        let before = state.received.nodes.iter();
        let (offset, own) = (&claim.offset, self.cluster.node());
        before
            .map(|(node, number)| (node, *number))
            .chain([(&offset.node, offset.sequence)])
            .filter(|(node, _)| *node == own)
            .map(|(_, number)| number)
            .max()
            .unwrap_or(0)
    }
}

/// Collects what a client missed, and writes it with the offsets that it has then.
struct Missed<'a> {
    node: &'a NodeId,
    namespace: &'a str,
    rooms: &'a [Room],
    /// Of some rooms, what had been said before the client was in them.
    later: &'a [(Room, Received)],
    received: &'a Received,
    cut: &'a Cut,
    /// The last own publication that the client has.
    sequence: u64,
    /// The last publication of each other node, since a log may have some of them twice.
    last: HashMap<NodeId, u64>,
    frames: Vec<Arc<Frame>>,
    bytes: usize,
}

impl Missed<'_> {
    fn take(&mut self, position: &Position, publication: &Publication) -> Result<(), Refused> {
        if publication.lost > 0 {
            return Err(Refused::Lost);
        }
        let was_heard = *position <= self.cut.position;
        match &publication.id {
            Some((node, number)) if node == self.node => {
                // After the cut it is delivered like any other.
                if *number <= self.sequence || *number > self.cut.sequence {
                    return Ok(());
                }
                self.sequence = *number;
            }
            id if !was_heard || self.received.covers(Some(position), id.as_ref()) => return Ok(()),
            Some((node, number)) => {
                let last = self.last.entry(node.clone()).or_default();
                if number <= last {
                    return Ok(());
                }
                *last = *number;
            }
            _ => {}
        }
        let is_meant = *publication.namespace == *self.namespace
            && !publication.volatile
            && self.was_meant(position, publication);
        if is_meant {
            let at = if was_heard { position } else { self.heard() };
            let offset = format!("{}.{}", self.sequence, offset::tail(at, self.node));
            let frame = Frame::event_with_offset(self.namespace, &publication.event, &offset);
            self.bytes += frame.len();
            self.frames.push(Arc::new(frame));
        }
        Ok(())
    }

    /// Whether it went to a room in which the client was then.
    fn was_meant(&self, position: &Position, publication: &Publication) -> bool {
        let was_in = |room: &&Room| {
            let mut later = self.later.iter().filter(|(later, _)| later == *room);
            self.rooms.contains(room)
                && !later.any(|(_, said)| said.covers(Some(position), publication.id.as_ref()))
        };
        let Audience { rooms, except } = &publication.audience;
        (rooms.is_empty() || rooms.iter().any(|room| was_in(&room)))
            && !except.iter().any(|room| was_in(&room))
    }

    /// Up to where the client has everything, once it has what it missed.
    fn heard(&self) -> &Position {
        if self.cut.position < self.received.position {
            &self.received.position
        } else {
            &self.cut.position
        }
    }
}
