//! What comes back to the node that asked.

use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::{
    super::run::{Verdict, clauses, failed, in_time, same},
    Harness, event,
    requests::{
        ask, asking, emit_with_ack, everyone, exact, marked, socket_counts, two_attachments,
    },
    rooms,
};
use crate::{
    NodeId, SocketId, UserId,
    broker::{Reply, Request, SocketSummary},
    protocol::{AckData, Placeholder},
};

clauses! { Harness;
    "reply-as-sent": "Every kind of answer arrives as it was sent." => reply_as_sent,
    "request-ends": "Once each node that was asked has answered or dropped its sink, the sink of the one that asked is dropped." => request_ends,
}

/// The client's answer with so many attachments, at most two.
fn ack(attachments: usize) -> AckData {
    let placeholders: Vec<_> = (0..attachments).map(Placeholder::new).collect();
    let mut parts = two_attachments();
    parts.truncate(attachments);
    let answer = AckData::new(&placeholders).and_then(|ack| ack.with_attachments(parts));
    answer.expect("the clauses' answers are legal")
}

fn summaries() -> Vec<SocketSummary> {
    let user = |id| UserId::parse(id).expect("the clauses' users are legal");
    let bare = SocketSummary::new(SocketId::random(), user("u"), Vec::new());
    let told = |address: std::net::IpAddr| {
        // As exact as all systems' clocks are.
        let connected_at = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_700);
        SocketSummary::new(SocketId::random(), user("7"), rooms(&["a", "日本語"]))
            .namespace("/ü 🦀")
            .node(NodeId::random())
            .remote_addr(address)
            .connected_at(connected_at)
    };
    vec![
        bare,
        told([192, 0, 2, 1].into()),
        told([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7].into()),
    ]
}

/// Requests, and what may be answered to them.
fn dialogues() -> Vec<(Request, Reply)> {
    let node = NodeId::random;
    let fetch = || Request::Fetch {
        sockets: everyone(),
    };
    let with_ack = || Request::ServerEventWithAck {
        namespace: "/".into(),
        event: event("?"),
    };
    let emit = || emit_with_ack(event("?"), false);
    let server_event = |answer| Reply::ServerEvent {
        node: node(),
        answer,
    };
    let answers = |attachments: &[usize], silent| {
        let answers = attachments.iter().map(|&n| (SocketId::random(), ack(n)));
        Reply::Answers {
            node: node(),
            answers: answers.collect(),
            silent: (0..silent).map(|_| SocketId::random()).collect(),
        }
    };
    let count = |sockets| Reply::Node {
        id: node(),
        sockets,
    };
    let mut dialogues = vec![
        (fetch(), Reply::Sockets(Vec::new())),
        (fetch(), Reply::Sockets(summaries())),
        (Request::Nodes, count(0)),
        (Request::Nodes, count(70_000)),
        (with_ack(), server_event(None)),
        (with_ack(), server_event(Some(AckData::empty()))),
        (emit(), answers(&[], 0)),
        (emit(), answers(&[0, 1, 2], 0)),
        (emit(), answers(&[], 2)),
        (emit(), answers(&[2, 0], 3)),
        (emit(), Reply::Refused { node: node() }),
    ];
    dialogues.extend((0..=2).map(|n| (with_ack(), server_event(Some(ack(n))))));
    dialogues
}

async fn reply_as_sent(harness: Harness) -> Verdict {
    let (_cluster, [asks, answers]) = asking(&harness).await?;
    for (request, reply) in dialogues() {
        answers.told.answer(&request, reply.clone());
        let (_, mut replies) = ask(&asks, &request).await?;
        match in_time("an answer", replies.recv()).await? {
            Some(seen) => same("an answer", &exact(&seen), &exact(&reply))?,
            None => return failed(format!("no answer came, but {} was sent", exact(&reply))),
        }
    }
    Ok(())
}

/// Nothing more comes.
async fn ends(what: &str, replies: &mut mpsc::Receiver<Reply>) -> Verdict {
    match in_time(&format!("the wait for answers, {what},"), replies.recv()).await? {
        None => Ok(()),
        Some(more) => failed(format!("{what}, there was one more: {}", exact(&more))),
    }
}

async fn request_ends(harness: Harness) -> Verdict {
    let (_cluster, [asks, answers, _drops]) = asking(&harness).await?;
    let (_, mut replies) = ask(&asks, &Request::Nodes).await?;
    let counts = socket_counts(&mut replies, 2).await?;
    same("the answers of two nodes", &counts, &vec![1, 2])?;
    ends("after each node answered", &mut replies).await?;

    let (_, mut replies) = ask(&asks, &marked("without answers")).await?;
    ends("of which no node gives one", &mut replies).await?;

    let request = Request::ServerEventWithAck {
        namespace: "/".into(),
        event: event("?"),
    };
    let reply = Reply::ServerEvent {
        node: answers.id.clone(),
        answer: None,
    };
    answers.told.answer(&request, reply);
    let (_, mut replies) = ask(&asks, &request).await?;
    if in_time("an answer", replies.recv()).await?.is_none() {
        return failed("the answer of one node did not come when another gave none");
    }
    ends("after one answered and one did not", &mut replies).await?;

    let (_alone_cluster, [alone]) = asking(&harness).await?;
    let (_, mut replies) = ask(&alone, &Request::Nodes).await?;
    ends("when there is no other node", &mut replies).await
}
