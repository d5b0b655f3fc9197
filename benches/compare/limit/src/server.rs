//! The loop: accept, read, and at the end of every turn one write per member.

use std::{
    io::{self, ErrorKind, Read},
    mem,
    net::SocketAddr,
};

use mio::{Events, Interest, Poll, Token, event::Event, net::TcpListener};

use crate::{
    clients::Clients,
    frames::{self, Broadcast, Message, text_frame},
    handshake::{self, Request},
    round::Round,
};

const LISTENER: Token = Token(usize::MAX);
const EVENTS: usize = 1024;
const READ_BYTES: usize = 64 * 1024;
/// A turn that has collected this many messages sends them before it reads on.
const MAX_MESSAGES: usize = 64;

pub(crate) struct Server {
    poll: Poll,
    listener: TcpListener,
    clients: Clients,
    round: Round,
    broadcast: Broadcast,
    last_id: u64,
}

impl Server {
    pub(crate) fn bind(address: SocketAddr, broadcast: Broadcast) -> io::Result<Self> {
        let mut listener = TcpListener::bind(address)?;
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            clients: Clients::new(poll.registry().try_clone()?),
            poll,
            listener,
            round: Round::default(),
            broadcast,
            last_id: 0,
        })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            let mut accept = false;
            for event in &events {
                match event.token() {
                    LISTENER => accept = true,
                    Token(slot) => self.turn(slot as u32, event, &mut buffer),
                }
            }
            self.send_round();
            // Last, so that no slot changes hands while events and acks of its former client are still around.
            if accept {
                self.accept();
            }
        }
    }

    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                // A client that cannot be admitted is closed by being dropped.
                Ok((stream, _)) => drop(self.clients.admit(stream)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return eprintln!("accept: {error}"),
            }
        }
    }

    fn turn(&mut self, slot: u32, event: &Event, buffer: &mut [u8]) {
        let flushed = match event.is_writable() {
            true => self.clients.flush(slot),
            false => Ok(()),
        };
        let done = flushed.and_then(|()| self.read(slot, event.is_read_closed(), buffer));
        if done.is_err() {
            self.clients.close(slot);
        }
    }

    /// Reads until the socket is empty. A read that does not fill the buffer has emptied it, unless the end of the stream follows.
    fn read(&mut self, slot: u32, ends: bool, buffer: &mut [u8]) -> io::Result<()> {
        while let Some(mut stream) = self.clients.stream(slot) {
            let read = match stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                read => read?,
            };
            self.received(slot, &buffer[..read])?;
            if self.round.messages() >= MAX_MESSAGES {
                self.send_round();
            }
            if read < buffer.len() && !ends {
                break;
            }
        }
        Ok(())
    }

    fn received(&mut self, slot: u32, bytes: &[u8]) -> io::Result<()> {
        let mut input = mem::take(&mut self.clients.client(slot).input);
        if input.is_empty() {
            let used = self.consume(slot, bytes)?;
            input.extend_from_slice(&bytes[used..]);
        } else {
            input.extend_from_slice(bytes);
            let used = self.consume(slot, &input)?;
            input.drain(..used);
        }
        if !input.is_empty() {
            self.clients.client(slot).input = input;
        }
        Ok(())
    }

    /// Handles what is complete, and tells how many bytes that was.
    fn consume(&mut self, slot: u32, bytes: &[u8]) -> io::Result<usize> {
        let mut used = 0;
        if !self.clients.client(slot).upgraded {
            used = self.upgrade(slot, bytes)?;
            if used == 0 {
                return Ok(0);
            }
        }
        while let Some(received) = frames::parse(&bytes[used..])? {
            used += received.bytes;
            match received.message {
                Message::Text(head) => self.packet(slot, head.as_slice())?,
                Message::Close => return Err(ErrorKind::UnexpectedEof.into()),
                Message::Control => {}
            }
        }
        Ok(used)
    }

    fn upgrade(&mut self, slot: u32, bytes: &[u8]) -> io::Result<usize> {
        match handshake::read(bytes) {
            Request::Incomplete => Ok(0),
            Request::Upgrade { answer, bytes } => {
                let open = format!(
                    r#"0{{"sid":"{}","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}}"#,
                    self.next_sid()
                );
                self.clients.client(slot).upgraded = true;
                self.clients
                    .send(slot, answer.as_bytes(), &text_frame(&open))?;
                Ok(bytes)
            }
            Request::Refused => {
                self.clients.send(slot, handshake::BAD_REQUEST, &[])?;
                Err(ErrorKind::InvalidData.into())
            }
        }
    }

    fn packet(&mut self, slot: u32, head: &[u8]) -> io::Result<()> {
        match (head, self.clients.room.is_member(slot)) {
            ([b'4', b'2', rest @ ..], true) => self.round.add(slot, rest),
            ([b'4', b'0', ..], false) => {
                self.clients.join(slot);
                let answer = format!(r#"40{{"sid":"{}"}}"#, self.next_sid());
                self.clients.send(slot, &text_frame(&answer), &[])?;
            }
            ([b'4', b'1', ..], true) => self.clients.room.leave(slot),
            ([b'3', ..], _) => {}
            _ => return Err(ErrorKind::InvalidData.into()),
        }
        Ok(())
    }

    /// Everything that came in goes out together: one write per member, whoever sent it.
    fn send_round(&mut self) {
        let round = mem::take(&mut self.round);
        if round.messages() > 0 {
            let frames = self.broadcast.times(round.messages());
            self.clients.broadcast(frames, round.senders());
        }
    }

    fn next_sid(&mut self) -> String {
        self.last_id += 1;
        format!("{:020}", self.last_id)
    }
}
