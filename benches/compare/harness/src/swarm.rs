//! Many clients in one thread: sockets that are read as soon as there is something, and a short look at each packet.
//!
//! It must cost less per delivery than any server does, so nothing is copied or allocated for a packet that came whole.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    Failure,
    wire::{self, Packet},
};

/// What one read takes at the most.
const READ_BYTES: usize = 256 * 1024;
const EVENTS: usize = 1024;
/// How many clients are on their way in at a time.
const JOINING_AT_ONCE: usize = 100;
/// How long a server may be silent before that is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What is done with what comes.
pub(crate) trait Watch {
    /// A broadcast's copy.
    fn event(&mut self, client: usize, payload: &[u8], now: Instant) -> Result<(), Failure> {
        let _ = (client, payload, now);
        Ok(())
    }

    /// A client is in its namespace.
    fn joined(&mut self, client: usize) {
        let _ = client;
    }

    /// The server closed a connection.
    fn closed(&mut self, client: usize) -> Result<(), Failure> {
        Err(format!("the server closed client {client}"))
    }
}

/// Nothing but the answers that a client owes.
pub(crate) struct Nothing;

impl Watch for Nothing {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The request for an upgrade is on its way.
    Upgrading,
    Open,
    /// It has said that it sends nothing more.
    Leaving,
}

struct Client {
    stream: TcpStream,
    stage: Stage,
    /// The beginning of a packet whose end has not come yet.
    rest: Vec<u8>,
}

/// Clients of one server. They are numbered; each number is a user of the server.
pub(crate) struct Swarm {
    addr: SocketAddr,
    poll: Poll,
    events: Events,
    clients: Vec<Option<Client>>,
    space: Box<[u8]>,
    outgoing: Vec<u8>,
    /// How often this side has written.
    pub(crate) writes: u64,
    /// Time in which there was nothing to do.
    pub(crate) idle: Duration,
    pub(crate) pause: Pause,
}

/// What the clients do when there is nothing to do. Their processor may also be that of another program: Redis.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Pause {
    /// Look again at once: whoever sleeps is woken at the sender's expense.
    #[default]
    None,
    /// Offer the processor to others, and look again.
    Yield,
    /// Sleep for a moment. To the scheduler, who yields all the time is as busy as who works: a program that wakes may wait for a
    /// time slice of milliseconds, which would then be measured.
    Sleep,
}

/// The shortest sleep; the kernel adds some 50 µs.
const NAP: Duration = Duration::from_micros(1);

impl Swarm {
    pub(crate) fn new(addr: SocketAddr) -> Result<Self, Failure> {
        Ok(Self {
            addr,
            poll: Poll::new().map_err(text)?,
            events: Events::with_capacity(EVENTS),
            clients: Vec::new(),
            space: vec![0; READ_BYTES].into(),
            outgoing: Vec::new(),
            writes: 0,
            idle: Duration::ZERO,
            pause: Pause::None,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Connects and joins the users of these cookies, as the next clients.
    pub(crate) fn join(&mut self, cookies: &[String]) -> Result<(), Failure> {
        let first = self.len();
        let mut joined = Joined(0);
        let mut started = 0;
        let mut last = Instant::now();
        while joined.0 < cookies.len() {
            while started < cookies.len() && started - joined.0 < JOINING_AT_ONCE {
                self.connect(first + started, &cookies[started], None)?;
                started += 1;
            }
            if self.turn(&mut joined)? > 0 {
                last = Instant::now();
            } else if last.elapsed() > PATIENCE {
                return Err(format!("{} of {} clients joined", joined.0, cookies.len()));
            }
        }
        Ok(())
    }

    /// Begins to connect a client; [`Watch::joined`] says when it is in. `receive_buffer` is the socket's, in bytes.
    pub(crate) fn connect(
        &mut self,
        client: usize,
        cookie: &str,
        receive_buffer: Option<usize>,
    ) -> Result<(), Failure> {
        let socket = Socket::new(
            Domain::for_address(self.addr),
            Type::STREAM,
            Some(Protocol::TCP),
        )
        .map_err(text)?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).map_err(text)?;
        }
        socket.set_tcp_nodelay(true).map_err(text)?;
        // Closed by a reset: thousands of ports would otherwise wait for minutes before they can be used again.
        socket.set_linger(Some(Duration::ZERO)).map_err(text)?;
        socket.connect(&self.addr.into()).map_err(text)?;
        socket.set_nonblocking(true).map_err(text)?;
        let mut stream = TcpStream::from_std(socket.into());
        let registry = self.poll.registry();
        registry
            .register(&mut stream, Token(client), Interest::READABLE)
            .map_err(text)?;
        write(&mut stream, &wire::upgrade_request(self.addr, cookie))?;
        self.writes += 1;
        if self.clients.len() <= client {
            self.clients.resize_with(client + 1, || None);
        }
        self.clients[client] = Some(Client {
            stream,
            stage: Stage::Upgrading,
            rest: Vec::new(),
        });
        Ok(())
    }

    /// Sends an Engine.IO packet.
    pub(crate) fn send(&mut self, client: usize, packet: &[u8]) -> Result<(), Failure> {
        self.send_all(client, [packet])
    }

    /// Sends several in one write.
    pub(crate) fn send_all<'a>(
        &mut self,
        client: usize,
        packets: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), Failure> {
        self.outgoing.clear();
        for packet in packets {
            wire::push_text(&mut self.outgoing, packet);
        }
        let Some(Some(open)) = self.clients.get_mut(client) else {
            return Err(format!("client {client} is not connected"));
        };
        self.writes += 1;
        write(&mut open.stream, &self.outgoing)
    }

    /// Closes a client's connection.
    pub(crate) fn close(&mut self, client: usize) {
        self.clients[client] = None;
    }

    /// Says that a client sends nothing more, whereupon the server closes.
    pub(crate) fn half_close(&mut self, client: usize) -> Result<(), Failure> {
        let Some(open) = &mut self.clients[client] else {
            return Ok(());
        };
        open.stage = Stage::Leaving;
        open.stream.shutdown(Shutdown::Write).map_err(text)
    }

    /// Reads nothing of a client any more.
    pub(crate) fn stall(&mut self, client: usize) -> Result<(), Failure> {
        let Some(open) = &mut self.clients[client] else {
            return Err(format!("client {client} is not connected"));
        };
        self.poll
            .registry()
            .deregister(&mut open.stream)
            .map_err(text)
    }

    /// Reads what there is, or makes a pause. Says how many sockets had something.
    pub(crate) fn turn(&mut self, watch: &mut impl Watch) -> Result<usize, Failure> {
        let before = Instant::now();
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        match self.poll.poll(&mut events, Some(Duration::ZERO)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(text(error)),
            _ => {}
        }
        let mut ready = 0;
        for event in &events {
            ready += 1;
            self.read(event.token().0, watch)?;
        }
        self.events = events;
        if ready == 0 {
            match self.pause {
                Pause::None => {}
                Pause::Yield => thread::yield_now(),
                Pause::Sleep => thread::sleep(NAP),
            }
            self.idle += before.elapsed();
        }
        Ok(ready)
    }

    fn read(&mut self, index: usize, watch: &mut impl Watch) -> Result<(), Failure> {
        loop {
            // A connection that was closed after its event was noticed.
            let Some(Some(client)) = self.clients.get_mut(index) else {
                return Ok(());
            };
            let kept = client.rest.len();
            self.space[..kept].copy_from_slice(&client.rest);
            match client.stream.read(&mut self.space[kept..]) {
                Ok(0) => {
                    self.clients[index] = None;
                    return watch.closed(index);
                }
                Ok(read) => {
                    client.rest.clear();
                    let end = kept + read;
                    let used = self.packets(index, end, watch)?;
                    if let Some(client) = &mut self.clients[index] {
                        client.rest.extend_from_slice(&self.space[used..end]);
                    }
                    // Less than there was room for is all that there is.
                    if end < self.space.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    self.clients[index] = None;
                    return watch.closed(index);
                }
                Err(error) => return Err(text(error)),
            }
        }
    }

    /// Looks at the packets in the first `end` bytes; says how many bytes they are.
    fn packets(
        &mut self,
        index: usize,
        end: usize,
        watch: &mut impl Watch,
    ) -> Result<usize, Failure> {
        let now = Instant::now();
        let mut used = self.upgraded(index, end)?;
        while let Some((payload, len)) = wire::frame(&self.space[used..end]) {
            let answer: &[u8] = match Packet::of(payload) {
                Packet::Event => {
                    watch.event(index, payload, now)?;
                    b""
                }
                Packet::Ack if payload.windows(9).any(|part| part == br#""ok":true"#) => b"",
                Packet::Connected => {
                    watch.joined(index);
                    b""
                }
                Packet::Open => b"40",
                Packet::Ping => b"3",
                Packet::Ack | Packet::Other => {
                    let packet = String::from_utf8_lossy(payload);
                    return Err(format!("client {index} got {packet}"));
                }
            };
            used += len;
            let is_open = |client: &Client| client.stage == Stage::Open;
            if !answer.is_empty() && self.clients[index].as_ref().is_some_and(is_open) {
                self.send(index, answer)?;
            }
        }
        Ok(used)
    }

    /// How long the answer to the upgrade is, which must have come whole before anything else is looked at.
    fn upgraded(&mut self, index: usize, end: usize) -> Result<usize, Failure> {
        let Some(client) = self.clients[index]
            .as_mut()
            .filter(|c| c.stage == Stage::Upgrading)
        else {
            return Ok(0);
        };
        let bytes = &self.space[..end];
        let Some(head) = wire::head_len(bytes) else {
            return Ok(0);
        };
        if !bytes.starts_with(b"HTTP/1.1 101 ") {
            let line = bytes
                .split(|byte| *byte == b'\r')
                .next()
                .unwrap_or_default();
            return Err(format!(
                "client {index} was refused: {}",
                String::from_utf8_lossy(line)
            ));
        }
        client.stage = Stage::Open;
        Ok(head)
    }
}

/// Counts who is in.
struct Joined(usize);

impl Watch for Joined {
    fn joined(&mut self, _: usize) {
        self.0 += 1;
    }
}

/// What is sent here is small, so that it goes out whole or the server has stopped reading.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), Failure> {
    match stream.write(bytes) {
        Ok(written) if written == bytes.len() => Ok(()),
        Ok(_) => Err("the server takes no more".to_owned()),
        Err(error) => Err(text(error)),
    }
}

fn text(error: io::Error) -> Failure {
    format!("a client's socket: {error}")
}
