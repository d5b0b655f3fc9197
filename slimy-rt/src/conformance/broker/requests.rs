//! Questions between nodes.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    super::{
        CALL_LIMIT,
        run::{Verdict, call, clauses, ensure, failed, in_time, same, short},
        support::until,
    },
    Cluster, Harness, Node, QUIET, Recorder, audience, claimed, event, rooms,
};
use crate::{
    SocketId,
    broker::{BrokerError, Expected, Reply, ReplySink, Request, Selection},
    protocol::{EventData, Placeholder},
};

/// How many requests are asked of which nobody takes the answers.
const ABANDONED: usize = 50;

clauses! { Harness;
    "request-others": "A request reaches every other started node once, and not the node that asks." => request_others,
    "request-expected": "`request` says how many nodes were asked." => request_expected,
    "request-answers": "What the other nodes answer comes back to the one that asked." => request_answers,
    "request-as-sent": "Every kind of request arrives as it was sent." => request_as_sent,
    "request-abandoned": "Answers that nobody takes any more are dropped, and later requests work." => request_abandoned,
    "request-stopped": "A node that is not started can ask nobody (`Stopped`), and is asked nothing." => request_stopped,
}

/// A cluster whose nodes ask each other; each says that it has as many sockets as its place here.
pub(super) async fn asking<const N: usize>(harness: &Harness) -> Verdict<(Cluster, [Node; N])> {
    let cluster = harness.cluster().await;
    let mut nodes = Vec::new();
    for i in 0..N {
        nodes.push(cluster.join(Recorder::with_sockets(i)).await?);
        claimed(&*nodes[0].broker, "requests", |can| can.requests)?;
    }
    // Nodes may need a moment to know of each other.
    for node in &nodes {
        until(&format!("each node asks the {} others", N - 1), || async {
            let (expected, _) = ask(node, &PROBE).await?;
            Ok(expected.nodes == N - 1)
        })
        .await?;
    }
    match nodes.try_into() {
        Ok(nodes) => Ok((cluster, nodes)),
        Err(_) => failed("the clauses miscounted"),
    }
}

/// Asks nothing: it shows who would be asked.
const PROBE: Request = Request::Nodes;

pub(super) async fn ask(
    node: &Node,
    request: &Request,
) -> Verdict<(Expected, mpsc::Receiver<Reply>)> {
    let (replies, answers) = ReplySink::channel();
    let expected = call("request", node.broker.request(request, replies)).await?;
    Ok((expected, answers))
}

/// A request that tells itself from others.
pub(super) fn marked(mark: &str) -> Request {
    Request::ServerEvent {
        namespace: "/".into(),
        event: event(mark),
    }
}

/// How often a node was asked this.
pub(super) fn asked(node: &Node, request: &Request) -> usize {
    let wanted = exact(request);
    let requests = node.told.requests();
    requests.iter().filter(|seen| exact(seen) == wanted).count()
}

/// A request or a reply as text, with the events' own text, which `Debug` leaves out. What cannot be written is not what was sent.
pub(super) fn exact(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| error.to_string())
}

/// Two attachments that are not to be taken for each other.
pub(super) fn two_attachments() -> Vec<Bytes> {
    vec![
        Bytes::from_static(&[0, 0xff]),
        Bytes::from_static("second 🦀".as_bytes()),
    ]
}

fn with_attachments() -> EventData {
    let event = EventData::new("files", &[Placeholder::new(0), Placeholder::new(1)]);
    let event = event.and_then(|event| event.with_attachments(two_attachments()));
    event.expect("the clauses' events are legal")
}

/// To everyone: send this and collect the answers.
pub(super) fn emit_with_ack(event: EventData, volatile: bool) -> Request {
    Request::EmitWithAck {
        sockets: everyone(),
        event,
        timeout: Duration::new(70, 123_456_789),
        volatile,
    }
}

pub(super) fn everyone() -> Selection {
    Selection::Audience {
        namespace: "/".into(),
        audience: audience(&[]),
    }
}

async fn request_others(harness: Harness) -> Verdict {
    let (_cluster, [asks, one, other]) = asking(&harness).await?;
    let (first, last) = (marked("first"), marked("last"));
    for request in [&first, &last] {
        ask(&asks, request).await?;
        for node in [&one, &other] {
            until("a request reaches the other nodes", || async {
                Ok(asked(node, request) > 0)
            })
            .await?;
        }
    }
    for (node, expected) in [(&asks, 0), (&one, 1), (&other, 1)] {
        let who = if expected == 0 {
            "the node that asks"
        } else {
            "another node"
        };
        same(
            &format!("how often {who} was asked"),
            &asked(node, &first),
            &expected,
        )?;
    }
    Ok(())
}

async fn request_expected(harness: Harness) -> Verdict {
    let cluster = harness.cluster().await;
    let first = cluster.join(Recorder::new()).await?;
    claimed(&*first.broker, "requests", |can| can.requests)?;
    let (expected, _) = ask(&first, &Request::Nodes).await?;
    same("the nodes that one alone asks", &expected.nodes, &0)?;
    let mut joined = Vec::new();
    for others in 1..=2 {
        joined.push(cluster.join(Recorder::new()).await?);
        until(
            &format!("`request` says that {others} nodes were asked"),
            || async {
                let (expected, _) = ask(&first, &Request::Nodes).await?;
                ensure!(
                    expected.nodes <= others,
                    "{} nodes were asked, but there are only {others} others",
                    expected.nodes
                );
                Ok(expected.nodes == others)
            },
        )
        .await?;
    }
    Ok(())
}

async fn answers(node: &Node, count: usize) -> Verdict<Vec<usize>> {
    let (_, mut answers) = ask(node, &Request::Nodes).await?;
    socket_counts(&mut answers, count).await
}

/// The socket counts that come back, sorted.
pub(super) async fn socket_counts(
    answers: &mut mpsc::Receiver<Reply>,
    count: usize,
) -> Verdict<Vec<usize>> {
    let mut sockets = Vec::new();
    while sockets.len() < count {
        match timeout(CALL_LIMIT, answers.recv()).await {
            Ok(Some(Reply::Node {
                sockets: of_node, ..
            })) => sockets.push(of_node),
            Ok(Some(other)) => return failed(format!("nobody answered {other:?}")),
            Ok(None) | Err(_) => {
                return failed(format!("{} of {count} answers came back", sockets.len()));
            }
        }
    }
    sockets.sort_unstable();
    Ok(sockets)
}

async fn request_answers(harness: Harness) -> Verdict {
    let (_cluster, nodes) = asking::<3>(&harness).await?;
    for (i, node) in nodes.iter().enumerate() {
        let expected: Vec<usize> = (0..3).filter(|&other| other != i).collect();
        same(
            "the answers of the others",
            &answers(node, 2).await?,
            &expected,
        )?;
    }
    Ok(())
}

async fn request_as_sent(harness: Harness) -> Verdict {
    let (_cluster, [asks, asked_node]) = asking(&harness).await?;
    let some = || Selection::Audience {
        namespace: "/ü 🦀".into(),
        audience: crate::broker::Audience {
            rooms: rooms(&["a", "日本語"]),
            except: rooms(&["'b'"]),
        },
    };
    let requests = [
        Request::Join {
            sockets: some(),
            rooms: rooms(&["x", "y\n"]),
        },
        Request::Leave {
            sockets: Selection::Socket(SocketId::random()),
            rooms: rooms(&["x"]),
        },
        Request::Disconnect {
            sockets: some(),
            close: true,
        },
        Request::Disconnect {
            sockets: everyone(),
            close: false,
        },
        Request::Fetch {
            sockets: everyone(),
        },
        Request::Fetch { sockets: some() },
        PROBE,
        marked("Grüße 🦀\0"),
        Request::ServerEvent {
            namespace: "/ü 🦀".into(),
            event: with_attachments(),
        },
        Request::ServerEventWithAck {
            namespace: "/ü 🦀".into(),
            event: with_attachments(),
        },
        emit_with_ack(with_attachments(), true),
        emit_with_ack(event("\u{2028}"), false),
    ];
    for request in requests {
        let before = asked(&asked_node, &request);
        ask(&asks, &request).await?;
        let arrived = || async { Ok(asked(&asked_node, &request) > before) };
        until(
            &format!("{} arrives as it was sent", short(&request)),
            arrived,
        )
        .await?;
    }
    Ok(())
}

async fn request_abandoned(harness: Harness) -> Verdict {
    let (_cluster, nodes) = asking::<3>(&harness).await?;
    for _ in 0..ABANDONED {
        let (_, unread) = ask(&nodes[0], &Request::Nodes).await?;
        drop(unread);
    }
    let have_answered = |node: &Node| node.told.requests().len() >= ABANDONED;
    until(
        "the other nodes are asked what nobody waits for",
        || async { Ok(nodes[1..].iter().all(have_answered)) },
    )
    .await?;
    sleep(QUIET).await;
    same(
        "the answers after some that nobody took",
        &answers(&nodes[0], 2).await?,
        &vec![1, 2],
    )
}

async fn request_stopped(harness: Harness) -> Verdict {
    let (cluster, [asks, stays, stops]) = asking(&harness).await?;
    stops.stop().await?;
    let late = marked("late");
    ask(&asks, &late).await?;
    until("the request reaches the node that stays", || async {
        Ok(asked(&stays, &late) > 0)
    })
    .await?;
    same(
        "how often a stopped node was asked",
        &asked(&stops, &late),
        &0,
    )?;
    let fresh = cluster.broker().await?;
    for (broker, when) in [(&stops.broker, "after `stop`"), (&fresh, "before `start`")] {
        let (replies, _answers) = ReplySink::channel();
        match in_time("request", broker.request(&Request::Nodes, replies)).await? {
            Err(BrokerError::Stopped) => {}
            other => return failed(format!("`request` {when} gave {other:?}, not `Stopped`")),
        }
    }
    Ok(())
}
