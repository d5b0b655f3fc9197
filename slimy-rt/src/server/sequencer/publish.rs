//! Events on their way to sockets: each gets its place among the others, and its offset.

use std::sync::{Arc, atomic::Ordering};

use smallvec::SmallVec;

use super::{Flags, MAX_SHARDS, Received, Sequencer, directory::Directory, recent::Delivered};
use crate::{
    broker::{Audience, Position, Publication},
    events::{AckError, PendingAcks, Questions, Socket},
    protocol::{EventData, Frame},
    server::{
        Bound, Config, lock,
        shard::{Delivery, Job, Target},
    },
};

impl Sequencer {
    /// Publishes an event to this node's sockets and, unless it is local, to the other nodes.
    pub(crate) fn publish(
        &self,
        namespace: &Arc<str>,
        audience: Audience,
        event: EventData,
        flags: Flags,
    ) {
        self.stats.add_broadcast();
        let Flags { volatile, local } = flags;
        let Some(cluster) = self.cluster.as_ref().filter(|_| !local) else {
            let frame = Arc::new(Frame::event(namespace, None, &event));
            let directory = lock(&self.directory);
            return self.deliver(&directory, namespace, &audience, frame, volatile, []);
        };
        let publication =
            Publication::new(None, Arc::clone(namespace), audience, event).volatile(volatile);
        let plain = self.plain_frame(&publication);
        let mut directory = lock(&self.directory);
        let publication = cluster.enqueue(publication);
        directory.published(&publication);
        let frame = directory.frame(&publication, None, plain);
        self.deliver(
            &directory,
            namespace,
            &publication.audience,
            frame,
            volatile,
            [],
        );
    }

    /// Sends an event to one socket. When clients can come back for what they missed, it goes into the log as well.
    pub(crate) fn publish_to(&self, socket: &Socket, event: &EventData, volatile: bool) {
        let namespace = socket.shared_namespace();
        let Some(cluster) = self.cluster.as_ref().filter(|_| self.recovers && !volatile) else {
            let frame = Arc::new(Frame::event(namespace, None, event));
            return self.send(socket.key(), frame, volatile);
        };
        let audience = Audience::of(socket.id());
        let publication = Publication::new(None, Arc::clone(namespace), audience, event.clone());
        let mut directory = lock(&self.directory);
        let publication = cluster.enqueue(publication);
        directory.published(&publication);
        let frame = directory.frame(&publication, None, None);
        self.send(socket.key(), frame, volatile);
    }

    /// Sends an event to the sockets of an audience on this node and notes the answers that they owe, in one step: the event has its
    /// place among broadcasts, and who leaves afterwards gives its answer up.
    pub(crate) fn publish_asking(
        &self,
        namespace: &str,
        audience: &Audience,
        event: &EventData,
        volatile: bool,
        config: &Config,
    ) -> Result<Questions, AckError> {
        self.stats.add_broadcast();
        let id = PendingAcks::shared_id(self.questions.fetch_add(1, Ordering::Relaxed));
        let frame = Arc::new(Frame::event(namespace, Some(id), event));
        let directory = lock(&self.directory);
        let sockets = directory.select(namespace, audience);
        if sockets.len() > config.max_broadcast_acks {
            self.stats.reached(Bound::MaxBroadcastAcks);
            return Err(AckError::TooManySockets {
                sockets: sockets.len(),
                limit: config.max_broadcast_acks,
            });
        }
        let questions = Questions::new(sockets, id, config.max_pending_acks);
        let mut jobs: SmallVec<[Vec<Job>; MAX_SHARDS]> = SmallVec::new();
        jobs.resize_with(self.queues.len(), Vec::new);
        for socket in questions.sockets() {
            let (key, frame) = (socket.key(), Arc::clone(&frame));
            jobs[key.shard as usize].push(Job::Send {
                key,
                frame,
                volatile,
            });
        }
        for (queue, jobs) in self.queues.iter().zip(jobs) {
            queue.push(jobs);
        }
        Ok(questions)
    }

    /// Delivers what another node published.
    pub(crate) fn deliver_remote(&self, publication: &Publication, position: Option<&Position>) {
        let plain = self.plain_frame(publication);
        let mut directory = lock(&self.directory);
        let mut except: SmallVec<[Target; 2]> = SmallVec::new();
        let id = publication.id.as_ref();
        directory.withheld.from(position, id, &mut except);
        if let Some(position) = position {
            directory.advance(position);
        }
        let frame = directory.frame(publication, position, plain);
        self.deliver(
            &directory,
            &publication.namespace,
            &publication.audience,
            frame,
            publication.volatile,
            except,
        );
    }

    /// The log was applied up to there.
    pub(crate) fn advance(&self, to: &Position) {
        if self.recovers {
            lock(&self.directory).advance(to);
        }
    }

    /// The log goes on from there, whatever was before.
    pub(crate) fn restart_at(&self, position: &Position) {
        let mut directory = lock(&self.directory);
        directory.restarts += 1;
        if let Some(place) = &mut directory.place {
            place.restart_at(position);
        }
    }

    /// What a client that comes in now need not be told any more; `None` when clients cannot come back.
    pub(crate) fn moment(&self) -> Option<Received> {
        self.recovers.then(|| lock(&self.directory).moment())?
    }

    /// The frame of an event that gets no offset: nobody who comes back is owed it. Made before the lock is taken.
    fn plain_frame(&self, publication: &Publication) -> Option<Arc<Frame>> {
        let is_plain = !self.recovers || publication.volatile;
        is_plain.then(|| {
            let Publication {
                namespace, event, ..
            } = publication;
            Arc::new(Frame::event(namespace, None, event))
        })
    }

    fn deliver(
        &self,
        directory: &Directory,
        namespace: &str,
        audience: &Audience,
        frame: Arc<Frame>,
        volatile: bool,
        withheld: impl IntoIterator<Item = Target>,
    ) {
        let Some(namespace) = directory.namespaces.get(namespace) else {
            return;
        };
        let (mut to, mut except) = (SmallVec::new(), SmallVec::from_iter(withheld));
        let mut shards = 0;
        if audience.rooms.is_empty() {
            shards = namespace.everyone.shards();
            to.push(Target::Room(namespace.everyone.key));
        }
        for room in &audience.rooms {
            to.extend(namespace.targets(room, &mut shards));
        }
        for room in &audience.except {
            except.extend(namespace.targets(room, &mut 0));
        }
        if shards == 0 {
            return;
        }
        let delivery = Arc::new(Delivery {
            to,
            except,
            frame,
            volatile,
        });
        for (index, queue) in self.queues.iter().enumerate() {
            if shards & (1 << index) != 0 {
                queue.push([Job::Broadcast(Arc::clone(&delivery))]);
            }
        }
    }
}

impl Directory {
    fn advance(&mut self, to: &Position) {
        if let Some(place) = &mut self.place {
            place.advance(to);
        }
        self.withheld.heard(to);
    }

    /// All that was said up to now; `None` without a place in a log.
    pub(super) fn moment(&self) -> Option<Received> {
        self.place.as_ref()?.moment()
    }

    /// This node has published something.
    fn published(&mut self, publication: &Publication) {
        if let (Some(place), Some((_, sequence))) = (&mut self.place, &publication.id) {
            place.published(*sequence);
        }
    }

    /// The frame of a publication that is delivered now, kept for who is coming back; `plain` is one that nobody is owed.
    fn frame(
        &mut self,
        publication: &Publication,
        position: Option<&Position>,
        plain: Option<Arc<Frame>>,
    ) -> Arc<Frame> {
        if let Some(plain) = plain {
            return plain;
        }
        let Publication {
            namespace, event, ..
        } = publication;
        let frame = Arc::new(match self.place.as_mut().and_then(super::Place::offset) {
            Some(offset) => Frame::event_with_offset(namespace, event, offset),
            None => Frame::event(namespace, None, event),
        });
        if self.recent.is_read() {
            self.recent.push(Delivered {
                namespace: Arc::clone(namespace),
                audience: publication.audience.clone(),
                frame: Arc::clone(&frame),
                position: position.cloned(),
                id: publication.id.clone(),
            });
        }
        frame
    }
}
