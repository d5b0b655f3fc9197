//! Rooms and `chat:message`.

use std::sync::Arc;

use chrono::{SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use socketioxide::{
    SocketIo,
    adapter::Adapter,
    extract::{AckSender, Extension, SocketRef, TryData},
};
use uuid::Uuid;

use crate::auth::User;

const MAX_TEXT_CHARS: usize = 4000;
const ADMINS: &str = "admins";

pub(crate) async fn connected<A: Adapter>(
    socket: SocketRef<A>,
    Extension(user): Extension<Arc<User>>,
) {
    socket.join(
        user.guilds
            .iter()
            .map(|guild| room(guild))
            .collect::<Vec<_>>(),
    );
    if user.is_admin {
        socket.join(ADMINS);
    }
    socket.on("chat:message", message::<A>);
}

#[derive(Deserialize)]
struct Said {
    text: String,
    #[serde(rename = "guildId")]
    guild_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    message_id: &'a str,
    guild_id: &'a str,
    admin_only: bool,
    text: &'a str,
    ts: &'a str,
    from: From<'a>,
}

#[derive(Serialize)]
struct From<'a> {
    id: &'a str,
    name: &'a str,
    role: &'a str,
    color: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted<'a> {
    ok: bool,
    message_id: &'a str,
    ts: &'a str,
}

#[derive(Serialize)]
struct Refusal {
    error: &'static str,
    code: &'static str,
}

async fn message<A: Adapter>(
    io: SocketIo<A>,
    Extension(user): Extension<Arc<User>>,
    TryData(said): TryData<Said>,
    ack: AckSender<A>,
) {
    // A sender that has gone meanwhile gets no ack.
    let _ = match check(&user, said.ok()) {
        Ok(said) => accept(&io, &user, &said, ack).await,
        Err(refusal) => ack.send(&refusal),
    };
}

fn check(user: &User, said: Option<Said>) -> Result<Said, Refusal> {
    let refuse = |error, code| Err(Refusal { error, code });
    let Some(said) = said else {
        return refuse("Invalid message.", "invalid_message");
    };
    if said.text.trim().is_empty() {
        return refuse("Message cannot be empty.", "empty_message");
    }
    if said.text.chars().count() > MAX_TEXT_CHARS {
        return refuse("Message is too long.", "message_too_long");
    }
    if !user.is_admin && !user.guilds.iter().any(|guild| **guild == *said.guild_id) {
        return refuse("You do not have access to this guild.", "guild_forbidden");
    }
    Ok(said)
}

async fn accept<A: Adapter>(
    io: &SocketIo<A>,
    user: &User,
    said: &Said,
    ack: AckSender<A>,
) -> Result<(), socketioxide::SendError> {
    let message_id = Uuid::new_v4().to_string();
    let ts = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
    let message = Message {
        message_id: &message_id,
        guild_id: &said.guild_id,
        admin_only: false,
        text: &said.text,
        ts: &ts,
        from: From {
            id: &user.id,
            name: &user.name,
            role: "member",
            color: "#3b82f6",
        },
    };
    let audience = io.to([room(&said.guild_id), ADMINS.to_owned()]);
    if let Err(error) = audience.emit("chat:message", &message).await {
        eprintln!("broadcast: {error}");
    }
    ack.send(&Accepted {
        ok: true,
        message_id: &message_id,
        ts: &ts,
    })
}

fn room(guild_id: &str) -> String {
    format!("guild:{guild_id}")
}
