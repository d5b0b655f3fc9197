//! Two nodes of one server with a Redis between them: clients of the first speak, clients of the second listen.

use std::time::{Duration, Instant};

use crate::{
    Failure,
    contender::{self, Contender, Guilds, Place, Server},
    field::{BUSY, Load, TEXT_LEN},
    redis::Redis,
    swarm::{PATIENCE, Pause, Swarm},
    talks::{MARK_LEN, Talks},
};

/// Two nodes, their Redis, and clients that have joined.
pub(crate) struct Nodes {
    pub(crate) contender: Contender,
    nodes: [Server; 2],
    redis: Redis,
    senders: Swarm,
    receivers: Swarm,
    talks: Talks,
    /// What follows a message's mark, for each sender.
    rest: Vec<Vec<u8>>,
    next_ack: u64,
    /// The sender that is next when they take turns.
    next: usize,
}

/// What a stretch of load showed.
pub(crate) struct Figures {
    /// Messages that came to the second node.
    pub(crate) messages: u64,
    pub(crate) seconds: f64,
    /// Processor time of both nodes.
    pub(crate) nodes_cpu: Duration,
    pub(crate) redis_cpu: Duration,
    /// Whether the nodes left something of their processor, so that it was not they who limited.
    pub(crate) nodes_had_time: bool,
    /// p50, p99, p99.9 in ms, from when a message was sent, or was due, to its receiver.
    pub(crate) latencies: [f64; 3],
}

impl Nodes {
    /// Starts two nodes, and brings a sender to the first and a receiver to the second for each of so many talks. Each talk has a room of its own.
    /// `flags` are for slimy-rt.
    pub(crate) fn start(contender: Contender, talks: usize, flags: &str) -> Result<Self, Failure> {
        let redis = Redis::start()?;
        let place = Place {
            redis: Some(redis.addr),
            flags,
            ..Place::ALONE
        };
        let guilds: Vec<Guilds> = (0..2 * talks)
            .map(|user| vec![contender::guild(user % talks)])
            .collect();
        let node = || Server::start(contender, &guilds, 0, place);
        let nodes = [node()?, node()?];
        let cookies = contender::cookies(2 * talks)?;
        let mut swarms = nodes.each_ref().map(|node| Swarm::new(node.addr));
        let [senders, receivers] = &mut swarms;
        for (swarm, cookies) in [(senders, &cookies[..talks]), (receivers, &cookies[talks..])] {
            let swarm = swarm.as_mut().map_err(|error| error.clone())?;
            swarm.pause = Pause::Yield;
            swarm.join(cookies)?;
        }
        let [senders, receivers] = swarms;
        let rest = (0..talks).map(|talk| {
            let (text, guild) = ("x".repeat(TEXT_LEN - MARK_LEN), contender::guild(talk));
            format!(r#"{text}","guildId":"{guild}"}}]"#).into_bytes()
        });
        Ok(Self {
            contender,
            nodes,
            redis,
            senders: senders?,
            receivers: receivers?,
            talks: Talks::new(talks),
            rest: rest.collect(),
            next_ack: 0,
            next: 0,
        })
    }

    /// Puts load on the first node for that long, and until everything has come to the second.
    pub(crate) fn run(&mut self, load: Load, duration: Duration) -> Result<Figures, Failure> {
        // What has waited meanwhile, pings above all.
        while self.turn()? > 0 {}
        self.talks.reset();
        let pause = match load {
            Load::Closed { .. } => Pause::Yield,
            Load::Rate(_) => Pause::Sleep,
        };
        (self.senders.pause, self.receivers.pause) = (pause, pause);
        let (nodes, redis, began) = (self.nodes_cpu()?, self.redis.cpu()?, Instant::now());
        match load {
            Load::Closed { window, rooms } => self.closed(window, rooms, began + duration)?,
            Load::Rate(rate) => self.rate(rate, began + duration)?,
        }
        self.drain()?;
        let seconds = began.elapsed().as_secs_f64();
        let nodes_cpu = self.nodes_cpu()?.saturating_sub(nodes);
        if self.talks.received == 0 {
            return Err(format!("{:?}: nothing came", self.contender));
        }
        let quantile = |share| self.talks.latencies.quantile(share).as_secs_f64() * 1e3;
        Ok(Figures {
            messages: self.talks.received,
            seconds,
            nodes_cpu,
            redis_cpu: self.redis.cpu()?.since(redis).total,
            nodes_had_time: nodes_cpu.as_secs_f64() < BUSY * seconds,
            latencies: [0.5, 0.99, 0.999].map(quantile),
        })
    }

    fn nodes_cpu(&self) -> Result<Duration, Failure> {
        let [first, second] = &self.nodes;
        Ok(first.cpu()?.total + second.cpu()?.total)
    }

    fn closed(&mut self, window: usize, senders: usize, until: Instant) -> Result<(), Failure> {
        for talk in 0..senders {
            self.send(talk, window, Instant::now())?;
        }
        while Instant::now() < until {
            self.turn()?;
            let now = Instant::now();
            while let Some((talk, count)) = self.talks.take_fresh() {
                self.send(talk, count, now)?;
            }
        }
        Ok(())
    }

    fn rate(&mut self, rate: f64, until: Instant) -> Result<(), Failure> {
        let pause = Duration::from_secs_f64(1.0 / rate);
        let mut due = Instant::now();
        while due < until {
            // Counted from when it was due: a server that is behind does not get its messages later.
            while Instant::now() >= due {
                self.send(self.next, 1, due)?;
                self.next = (self.next + 1) % self.talks.count();
                due += pause;
            }
            self.turn()?;
        }
        Ok(())
    }

    /// Waits until nothing is missing.
    fn drain(&mut self) -> Result<(), Failure> {
        let mut last = Instant::now();
        while self.talks.missing() > 0 {
            if self.turn()? > 0 {
                last = Instant::now();
            } else if last.elapsed() > PATIENCE {
                return Err(format!(
                    "{:?}: {} copies are missing",
                    self.contender,
                    self.talks.missing()
                ));
            }
        }
        while self.talks.take_fresh().is_some() {}
        Ok(())
    }

    /// Reads what there is on both nodes.
    fn turn(&mut self) -> Result<usize, Failure> {
        let failed = |failure| format!("{:?}: {failure}", self.contender);
        let returned = self.senders.turn(&mut self.talks.returning());
        let arrived = self.receivers.turn(&mut self.talks.arriving());
        Ok(returned.map_err(failed)? + arrived.map_err(failed)?)
    }

    /// Sends so many messages of a sender in one write.
    fn send(&mut self, talk: usize, count: usize, at: Instant) -> Result<(), Failure> {
        let packets: Vec<Vec<u8>> = (0..count)
            .map(|_| {
                self.next_ack += 1;
                let mut packet =
                    format!(r#"42{}["chat:message",{{"text":""#, self.next_ack).into_bytes();
                packet.extend_from_slice(&self.talks.sent(talk, at));
                packet.extend_from_slice(&self.rest[talk]);
                packet
            })
            .collect();
        self.senders
            .send_all(talk, packets.iter().map(Vec::as_slice))
    }
}
