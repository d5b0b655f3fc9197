//! How the events and answers in requests and replies are written by serde: their JSON as it is, and attachments in base64.
//!
//! They have no `Serialize` of their own, since then they could be sent to clients as payloads by mistake.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::{
    SocketId,
    protocol::{AckData, EventData},
};

#[derive(Serialize, Deserialize)]
struct Parts {
    json: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<String>,
}

impl Parts {
    fn new(json: &str, attachments: &[Bytes]) -> Self {
        Self {
            json: json.to_owned(),
            attachments: attachments.iter().map(|a| STANDARD.encode(a)).collect(),
        }
    }

    fn attachments<E: Error>(&self) -> Result<Vec<Bytes>, E> {
        let decode = |text: &String| STANDARD.decode(text).map(Bytes::from);
        let decoded = self.attachments.iter().map(decode);
        decoded.collect::<Result<_, _>>().map_err(E::custom)
    }

    fn answer<E: Error>(self) -> Result<AckData, E> {
        let attachments = self.attachments()?;
        AckData::from_parts(self.json.into(), attachments).map_err(E::custom)
    }
}

pub(super) mod event {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(event: &EventData, to: S) -> Result<S::Ok, S::Error> {
        Parts::new(event.json(), event.attachments()).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<EventData, D::Error> {
        let parts = Parts::deserialize(from)?;
        let attachments = parts.attachments()?;
        EventData::from_parts(parts.json.into(), attachments).map_err(D::Error::custom)
    }
}

pub(super) mod answer {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        answer: &Option<AckData>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let parts = answer.as_ref();
        parts
            .map(|a| Parts::new(a.json(), a.attachments()))
            .serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<AckData>, D::Error> {
        let parts = Option::<Parts>::deserialize(from)?;
        parts.map(Parts::answer).transpose()
    }
}

pub(super) mod answers {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        answers: &[(SocketId, AckData)],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(
            answers
                .iter()
                .map(|(id, a)| (id, Parts::new(a.json(), a.attachments()))),
        )
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<(SocketId, AckData)>, D::Error> {
        let answers = Vec::<(SocketId, Parts)>::deserialize(from)?;
        let answer = |(id, parts): (SocketId, Parts)| Ok((id, parts.answer()?));
        answers.into_iter().map(answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use crate::{
        NodeId, Room, SocketId, UserId,
        broker::{Audience, Reply, Request, Selection, SocketSummary},
        protocol::{AckData, EventData, Placeholder},
    };

    /// `Debug` shows no payload, so that what is written has to be compared.
    fn assert_round_trip<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) {
        let text = serde_json::to_string(value).unwrap();
        let read: T = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn requests_are_read_as_they_were_written() {
        let room = Room::parse("a\n").unwrap();
        let audience = Audience {
            rooms: vec![room.clone()],
            except: vec![Room::admins()],
        };
        let sockets = Selection::Audience {
            namespace: "/n".into(),
            audience,
        };
        let one = Selection::Socket(SocketId::random());
        let event = EventData::new("file", &Placeholder::new(0)).unwrap();
        let event = event.with_attachments(vec![vec![0, 255].into()]).unwrap();
        let (rooms, namespace) = (vec![room], std::sync::Arc::<str>::from("/"));
        for request in [
            Request::Join {
                sockets: sockets.clone(),
                rooms: rooms.clone(),
            },
            Request::Leave {
                sockets: one.clone(),
                rooms,
            },
            Request::Disconnect {
                sockets: one,
                close: true,
            },
            Request::Fetch {
                sockets: sockets.clone(),
            },
            Request::TakeOver {
                socket: SocketId::random(),
                node: NodeId::random(),
            },
            Request::Nodes,
            Request::ServerEvent {
                namespace: namespace.clone(),
                event: event.clone(),
            },
            Request::ServerEventWithAck {
                namespace,
                event: event.clone(),
            },
            Request::EmitWithAck {
                sockets,
                event,
                timeout: Duration::from_millis(1_500),
                volatile: true,
            },
        ] {
            assert_round_trip(&request);
        }
    }

    #[test]
    fn replies_are_read_as_they_were_written() {
        let (node, id) = (NodeId::random(), SocketId::random());
        let answer = AckData::new(&"\u{1f600}").unwrap();
        let summary = SocketSummary::new(id.clone(), UserId::parse("u").unwrap(), vec![]);
        let told = summary
            .clone()
            .node(node.clone())
            .remote_addr([127, 0, 0, 1].into());
        for reply in [
            Reply::Sockets(vec![summary, told.connected_at(SystemTime::now())]),
            Reply::Node {
                id: node.clone(),
                sockets: 7,
            },
            Reply::TakenOver { node: node.clone() },
            Reply::ServerEvent {
                node: node.clone(),
                answer: None,
            },
            Reply::ServerEvent {
                node: node.clone(),
                answer: Some(answer.clone()),
            },
            Reply::Answers {
                node: node.clone(),
                answers: vec![(id.clone(), answer)],
                silent: vec![id],
            },
            Reply::Refused { node },
        ] {
            assert_round_trip(&reply);
        }
    }

    #[test]
    fn what_no_client_would_take_is_refused() {
        for json in [r#"[null]"#, r#"["disconnect"]"#, "{"] {
            let event = serde_json::json!({"json": json});
            let request = serde_json::json!({"ServerEvent": {"namespace": "/", "event": event}});
            assert!(
                serde_json::from_value::<Request>(request).is_err(),
                "{json}"
            );
        }
    }
}
