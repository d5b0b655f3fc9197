//! All connections, and what is sent to them.

use std::{
    io::{self, Write},
    mem,
};

use mio::{Interest, Registry, Token, net::TcpStream};

use crate::{
    client::{Client, taken},
    room::Room,
    round::Sender,
};

/// Everything by slot: a client's number, free again when it has gone. Sockets stand apart from the rest of a client, so that
/// a broadcast touches eight bytes for each: its number in the room and its socket.
pub(crate) struct Clients {
    registry: Registry,
    streams: Vec<Option<TcpStream>>,
    clients: Vec<Client>,
    free: Vec<u32>,
    pub(crate) room: Room,
    /// Members whose write in this broadcast was not complete, and how it ended.
    stuck: Vec<(u32, io::Result<usize>)>,
}

impl Clients {
    pub(crate) fn new(registry: Registry) -> Self {
        Self {
            registry,
            streams: Vec::new(),
            clients: Vec::new(),
            free: Vec::new(),
            room: Room::default(),
            stuck: Vec::new(),
        }
    }

    pub(crate) fn admit(&mut self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let slot = match self.free.last() {
            Some(&slot) => slot as usize,
            None => self.streams.len(),
        };
        self.registry
            .register(&mut stream, Token(slot), Interest::READABLE)?;
        if self.free.pop().is_some() {
            self.streams[slot] = Some(stream);
        } else {
            self.streams.push(Some(stream));
            self.clients.push(Client::default());
        }
        Ok(())
    }

    /// The socket, unless this client has gone.
    pub(crate) fn stream(&self, slot: u32) -> Option<&TcpStream> {
        self.streams[slot as usize].as_ref()
    }

    pub(crate) fn client(&mut self, slot: u32) -> &mut Client {
        &mut self.clients[slot as usize]
    }

    pub(crate) fn close(&mut self, slot: u32) {
        if self.streams[slot as usize].take().is_some() {
            self.clients[slot as usize] = Client::default();
            self.room.leave(slot);
            self.free.push(slot);
        }
    }

    pub(crate) fn join(&mut self, slot: u32) {
        let waits = self.clients[slot as usize].is_waiting();
        self.room.join(slot, waits);
    }

    /// Sends both, in one write if the socket takes them.
    pub(crate) fn send(&mut self, slot: u32, first: &[u8], second: &[u8]) -> io::Result<()> {
        let Some(stream) = &self.streams[slot as usize] else {
            return Ok(());
        };
        let client = &mut self.clients[slot as usize];
        let waited = client.is_waiting();
        client.send(stream, first, second)?;
        match client.is_waiting() && !waited {
            true => self.wait(slot, true),
            false => Ok(()),
        }
    }

    /// The socket is writable again.
    pub(crate) fn flush(&mut self, slot: u32) -> io::Result<()> {
        let Some(stream) = &self.streams[slot as usize] else {
            return Ok(());
        };
        let client = &mut self.clients[slot as usize];
        if !client.is_waiting() {
            return Ok(());
        }
        client.flush(stream)?;
        match client.is_waiting() {
            true => Ok(()),
            false => self.wait(slot, false),
        }
    }

    /// Sends `frames` to every member, and each sender's acks behind its own copies.
    pub(crate) fn broadcast(&mut self, frames: &[u8], senders: &[Sender]) {
        for &slot in self.room.waiting() {
            if let Err(error) = self.clients[slot as usize].keep(frames) {
                self.stuck.push((slot, Err(error)));
            }
        }
        self.unstick(frames);
        let served = self.serve_senders(frames, senders);
        for &slot in &self.room.ready()[served..] {
            let Some(mut stream) = self.streams[slot as usize].as_ref() else {
                continue;
            };
            match stream.write(frames) {
                Ok(written) if written == frames.len() => {}
                incomplete => self.stuck.push((slot, taken(incomplete))),
            }
        }
        self.unstick(frames);
    }

    /// How many of the ready have got their frames: they stand at the front then, so that the others are walked over without a question.
    fn serve_senders(&mut self, frames: &[u8], senders: &[Sender]) -> usize {
        let mut served = 0;
        for Sender { slot, acks } in senders {
            let sent = if self.room.is_ready(*slot) {
                self.room.bring_to(served, *slot);
                self.send(*slot, frames, acks)
            } else {
                self.send(*slot, acks, &[])
            };
            if sent.is_err() {
                self.close(*slot);
            }
            served += usize::from(self.room.is_ready(*slot));
        }
        served
    }

    /// Keeps what incomplete writes have left over.
    fn unstick(&mut self, frames: &[u8]) {
        let mut stuck = mem::take(&mut self.stuck);
        for (slot, written) in stuck.drain(..) {
            let kept = written
                .and_then(|written| self.clients[slot as usize].keep(&frames[written..]))
                .and_then(|()| self.wait(slot, true));
            if kept.is_err() {
                self.close(slot);
            }
        }
        self.stuck = stuck;
    }

    /// Whether a client waits for its socket: only then it asks the kernel to be told, and broadcasts do not write to it.
    fn wait(&mut self, slot: u32, waits: bool) -> io::Result<()> {
        if self.room.is_member(slot) {
            self.room.join(slot, waits);
        }
        let interest = match waits {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        match &mut self.streams[slot as usize] {
            Some(stream) => self
                .registry
                .reregister(stream, Token(slot as usize), interest),
            None => Ok(()),
        }
    }
}
