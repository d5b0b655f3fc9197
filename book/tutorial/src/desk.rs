use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use slimy_rt::{
    Room, UserId,
    auth::Identity,
    events::{Answer, Emitter, Namespace, Payload, Rejection, Socket, State},
};

/// How many tickets the desk keeps.
const MAX_TICKETS: usize = 10_000;

/// The program's state: every handler gets a clone, and all clones share the tickets.
#[derive(Clone, Default)]
pub struct Desk(Arc<Mutex<BTreeMap<u64, Ticket>>>);

#[derive(Clone, Serialize)]
struct Ticket {
    id: u64,
    subject: String,
    #[serde(skip)]
    owner: Option<UserId>,
}

#[derive(Deserialize)]
struct Opening {
    subject: String,
}

#[derive(Deserialize)]
struct Line {
    ticket: u64,
    text: String,
}

#[derive(Serialize)]
struct Said<'a> {
    ticket: u64,
    from: &'a str,
    text: &'a str,
}

impl Desk {
    fn tickets(&self) -> MutexGuard<'_, BTreeMap<u64, Ticket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn room(ticket: u64) -> String {
    format!("ticket:{ticket}")
}

/// `open {subject}`: answers with the ticket.
async fn open(
    socket: Socket,
    identity: Identity,
    emitter: Emitter,
    State(desk): State<Desk>,
    Payload(opening): Payload<Opening>,
) -> Result<Answer<Ticket>, Rejection> {
    let subject = opening.subject.trim().to_owned();
    if subject.is_empty() {
        return Err(Rejection::new("no_subject", "say what it is about"));
    }
    let ticket = {
        let mut tickets = desk.tickets();
        if tickets.len() >= MAX_TICKETS {
            return Err(Rejection::new("full", "the desk is full"));
        }
        let id = tickets.last_key_value().map_or(1, |(last, _)| last + 1);
        let owner = Some(identity.user.id);
        let ticket = Ticket { id, subject, owner };
        tickets.insert(id, ticket.clone());
        ticket
    };
    // Join first: whatever is sent to the room from now on reaches this socket.
    socket.join(room(ticket.id))?;
    // Agents are administrators, and those are in this room by themselves.
    emitter.to(Room::admins()).emit("opened", &ticket)?;
    Ok(Answer(ticket))
}

/// `watch id`: an agent, or who opened the ticket, hears what is said.
async fn watch(
    socket: Socket,
    State(desk): State<Desk>,
    Payload(id): Payload<u64>,
) -> Result<Answer<Ticket>, Rejection> {
    let ticket = desk.tickets().get(&id).cloned();
    let ticket = ticket.ok_or(Rejection::new("no_ticket", "there is no such ticket"))?;
    let owns = ticket.owner.as_ref() == Some(&socket.identity().user.id);
    if !owns && !socket.access().is_admin() {
        return Err(Rejection::new("forbidden", "this is not your ticket"));
    }
    socket.join(room(id))?;
    Ok(Answer(ticket))
}

/// `say {ticket, text}`: to everyone who watches, the speaker included.
async fn say(
    socket: Socket,
    emitter: Emitter,
    Payload(line): Payload<Line>,
) -> Result<Answer<bool>, Rejection> {
    let room = room(line.ticket);
    if !socket.rooms().iter().any(|r| r.as_str() == room) {
        return Err(Rejection::new("not_watching", "watch the ticket first"));
    }
    let said = Said {
        ticket: line.ticket,
        from: socket.identity().user.display_name(),
        text: &line.text,
    };
    emitter.to(room).emit("said", &said)?;
    Ok(Answer(true))
}

/// What clients can do.
pub fn namespace() -> Namespace {
    Namespace::new("/")
        .on("open", open)
        .on("watch", watch)
        .on("say", say)
}
