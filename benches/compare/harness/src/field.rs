//! One server with its clients, and a stretch of load on it.

use std::time::{Duration, Instant};

use crate::{
    Failure,
    contender::{self, Contender, Guilds, Place, Server},
    process::{self, Cpu},
    swarm::{PATIENCE, Pause, Swarm, Watch},
    waves::Waves,
};

/// The usual text of a message, in characters. With the rest of its broadcast it makes about 300 bytes.
pub(crate) const TEXT_LEN: usize = 80;
/// Above this share of its time the client side may be what limits.
pub(crate) const BUSY: f64 = 0.9;

/// A server and clients that have joined.
pub(crate) struct Field {
    pub(crate) contender: Contender,
    pub(crate) server: Server,
    pub(crate) swarm: Swarm,
    pub(crate) waves: Waves,
    /// The first member of each room sends for it.
    senders: Vec<usize>,
    /// What follows the ack's number in each room's messages.
    messages: Vec<Vec<u8>>,
    next_ack: u64,
    /// The room that is next when rooms take turns.
    next_room: usize,
}

/// How messages are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// So many messages on their way in each of so many rooms at a time; the next one when one is complete.
    Closed { window: usize, rooms: usize },
    /// So many per second, whatever comes back.
    Rate(f64),
}

/// What a stretch of load showed.
pub(crate) struct Figures {
    pub(crate) deliveries: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu: Cpu,
    /// Segments that the server sent.
    pub(crate) segments: u64,
    /// Whether the clients had hardly any time left.
    pub(crate) clients_were_busy: bool,
    /// p50, p99, p99.9 in ms.
    pub(crate) latencies: [f64; 3],
}

/// What a field is to be like.
#[derive(Clone)]
pub(crate) struct Plan<'a> {
    /// The room of each client: one user for each, in the guild of that number.
    pub(crate) room_of: Vec<u32>,
    /// So many users more, all of the first room's guild.
    pub(crate) further: usize,
    /// How long each message's text is.
    pub(crate) text_len: usize,
    /// How long the limit program's frames are.
    pub(crate) frame_bytes: usize,
    pub(crate) place: Place<'a>,
    pub(crate) pause: Pause,
}

impl Plan<'_> {
    /// Clients in rooms, a server on one processor, and ordinary messages.
    pub(crate) fn new(room_of: Vec<u32>, frame_bytes: usize) -> Self {
        Self {
            room_of,
            further: 0,
            text_len: TEXT_LEN,
            frame_bytes,
            place: Place::ALONE,
            pause: Pause::None,
        }
    }
}

impl Field {
    /// Starts a server and brings its clients.
    pub(crate) fn start(contender: Contender, plan: &Plan<'_>) -> Result<Self, Failure> {
        let rooms = plan.room_of.iter().copied();
        let guilds: Vec<Guilds> = rooms
            .chain(std::iter::repeat_n(0, plan.further))
            .map(|room| vec![contender::guild(room as usize)])
            .collect();
        let server = Server::start(contender, &guilds, plan.frame_bytes, plan.place)?;
        let mut swarm = Swarm::new(server.addr)?;
        swarm.pause = plan.pause;
        swarm.join(&contender::cookies(plan.room_of.len())?)?;
        let waves = Waves::new(plan.room_of.clone());
        let senders = (0..waves.room_count())
            .map(|room| plan.room_of.iter().position(|of| *of as usize == room))
            .map(|sender| sender.ok_or("a room without members"))
            .collect::<Result<_, _>>()?;
        let rooms = 0..waves.room_count();
        let messages = rooms.map(|room| message(room, plan.text_len)).collect();
        Ok(Self {
            contender,
            server,
            swarm,
            waves,
            senders,
            messages,
            next_ack: 0,
            next_room: 0,
        })
    }

    /// How long a broadcast's frame is, header included.
    pub(crate) fn frame_bytes(&mut self) -> Result<usize, Failure> {
        self.waves.reset();
        self.send(0, 1, Instant::now())?;
        self.drain()?;
        let payload = (self.waves.bytes / self.waves.deliveries) as usize;
        Ok(payload + if payload < 126 { 2 } else { 4 })
    }

    /// Puts load on the server for that long, and until everything has come.
    pub(crate) fn run(&mut self, load: Load, duration: Duration) -> Result<Figures, Failure> {
        // What has waited meanwhile, pings above all.
        while self.swarm.turn(&mut self.waves)? > 0 {}
        self.waves.reset();
        self.swarm.idle = Duration::ZERO;
        let (writes, segments) = (self.swarm.writes, process::segments_sent()?);
        let (cpu, began) = (self.server.cpu()?, Instant::now());
        match load {
            Load::Closed { window, rooms } => self.closed(window, rooms, began + duration)?,
            Load::Rate(rate) => self.rate(rate, began + duration)?,
        }
        self.drain()?;
        let took = began.elapsed();
        let segments = process::segments_sent()?.saturating_sub(segments);
        if self.waves.deliveries == 0 {
            return Err(format!("{:?}: nothing was delivered", self.contender));
        }
        let quantile = |share| self.waves.latencies.quantile(share).as_secs_f64() * 1e3;
        Ok(Figures {
            deliveries: self.waves.deliveries,
            seconds: took.as_secs_f64(),
            cpu: self.server.cpu()?.since(cpu),
            segments: segments.saturating_sub(self.swarm.writes - writes),
            clients_were_busy: self.swarm.idle.as_secs_f64() < (1.0 - BUSY) * took.as_secs_f64(),
            latencies: [0.5, 0.99, 0.999].map(quantile),
        })
    }

    fn closed(&mut self, window: usize, rooms: usize, until: Instant) -> Result<(), Failure> {
        for _ in 0..rooms {
            let room = self.take_turn();
            self.send(room, window, Instant::now())?;
        }
        while Instant::now() < until {
            self.swarm.turn(&mut self.waves)?;
            let mut completed = 0;
            while self.waves.take_completed().is_some() {
                completed += 1;
            }
            let now = Instant::now();
            if rooms == 1 && completed > 0 {
                self.send(0, completed, now)?;
                continue;
            }
            for _ in 0..completed {
                let room = self.take_turn();
                self.send(room, 1, now)?;
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
                self.send(0, 1, due)?;
                due += pause;
            }
            self.swarm.turn(&mut self.waves)?;
            while self.waves.take_completed().is_some() {}
        }
        Ok(())
    }

    /// Waits until nothing is missing.
    pub(crate) fn drain(&mut self) -> Result<(), Failure> {
        let mut last = Instant::now();
        while self.waves.missing() > 0 {
            if self.swarm.turn(&mut self.waves)? > 0 {
                last = Instant::now();
            } else if last.elapsed() > PATIENCE {
                return Err(format!(
                    "{:?}: {} deliveries are missing",
                    self.contender,
                    self.waves.missing()
                ));
            }
        }
        while self.waves.take_completed().is_some() {}
        Ok(())
    }

    /// Brings clients into the first room that then never read.
    pub(crate) fn stall(
        &mut self,
        cookies: &[String],
        receive_buffer: usize,
    ) -> Result<(), Failure> {
        let first = self.swarm.len();
        let mut joined = Vec::new();
        for (index, cookie) in cookies.iter().enumerate() {
            self.swarm
                .connect(first + index, cookie, Some(receive_buffer))?;
        }
        let mut last = Instant::now();
        while joined.len() < cookies.len() {
            let mut watch = Joining {
                waves: &mut self.waves,
                joined: Vec::new(),
                closed: Vec::new(),
            };
            self.swarm.turn(&mut watch)?;
            for client in watch.joined {
                self.swarm.stall(client)?;
                joined.push(client);
                last = Instant::now();
            }
            if last.elapsed() > PATIENCE {
                return Err(format!(
                    "{:?}: {} of {} joined",
                    self.contender,
                    joined.len(),
                    cookies.len()
                ));
            }
        }
        Ok(())
    }

    fn take_turn(&mut self) -> usize {
        let room = self.next_room;
        self.next_room = (room + 1) % self.waves.room_count();
        room
    }

    /// Sends so many messages to a room in one write.
    pub(crate) fn send(&mut self, room: usize, count: usize, at: Instant) -> Result<(), Failure> {
        let packets: Vec<Vec<u8>> = (0..count)
            .map(|_| {
                self.next_ack += 1;
                let mut packet = format!("42{}", self.next_ack).into_bytes();
                packet.extend_from_slice(&self.messages[room]);
                packet
            })
            .collect();
        for _ in 0..count {
            self.waves.sent(room, at);
        }
        self.swarm
            .send_all(self.senders[room], packets.iter().map(Vec::as_slice))
    }
}

fn message(room: usize, text_len: usize) -> Vec<u8> {
    let (text, guild) = ("x".repeat(text_len), contender::guild(room));
    format!(r#"["chat:message",{{"text":"{text}","guildId":"{guild}"}}]"#).into_bytes()
}

/// Notes who came and went, and keeps the account of those that stay.
pub(crate) struct Joining<'a> {
    pub(crate) waves: &'a mut Waves,
    pub(crate) joined: Vec<usize>,
    pub(crate) closed: Vec<usize>,
}

impl Watch for Joining<'_> {
    fn event(&mut self, client: usize, payload: &[u8], now: Instant) -> Result<(), Failure> {
        self.waves.event(client, payload, now)
    }

    fn joined(&mut self, client: usize) {
        self.joined.push(client);
    }

    fn closed(&mut self, client: usize) -> Result<(), Failure> {
        if self.waves.counts(client) {
            return Err(format!("the server closed client {client}"));
        }
        self.closed.push(client);
        Ok(())
    }
}
