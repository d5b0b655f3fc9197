//! Tokens that an engine keeps: they log in at every node, and end at every node.

use std::time::Duration;

use serde_json::Value;
use slimy_rt_tests::{chatter::Chatter, program::Program, raw::Raw};
use tokio::time::Instant;

use crate::{
    cluster::{Engine, GUILD, Kind, PASSWORD},
    operators::{Ended, operate},
};

/// How soon sockets follow.
const FOLLOWED: Duration = Duration::from_secs(2);
/// How long a node may take to join the others.
const JOINED: Duration = Duration::from_secs(10);
const NAME: &str = "slimy_admin_token=";

/// Nodes that know users by tokens in the engine, and no secret.
struct Nodes {
    engine: Engine,
    nodes: Vec<Program>,
}

/// A token made by hand is somebody at each node, until it is revoked: then its sockets end, and no others.
pub(crate) async fn a_token_is_issued_and_revoked(kind: Kind) {
    let nodes = Nodes::start(kind).await;
    let (token, other) = (nodes.issue("u1"), nodes.issue("u1"));
    let mut sockets = [nodes.enter(&token, 0).await, nodes.enter(&token, 1).await];
    let bystander = nodes.enter(&other, 1).await;
    let [one, two] = &mut sockets;
    one.say_and_wait(GUILD, "first-0").await;
    for listener in [&*two, &bystander] {
        listener.wait_for_message("first-0").await;
    }
    for node in 0..2 {
        let (status, body) = nodes.request(node, "GET", "/api/auth/me", &token).await;
        assert_eq!(status, 200, "{body}");
        let me: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            (&me["id"], &me["globalName"]),
            (&"u1".into(), &"Alice".into())
        );
        assert_eq!(
            (&me["role"], &me["guilds"][0]["id"]),
            (&"club".into(), &GUILD.into())
        );
    }

    let ended = nodes.operate(&["token", "--revoke", &format!("{NAME}{token}")]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.printed.contains("u1") && !ended.printed.contains(&token),
        "{ended:?}"
    );
    nodes.assert_ended(&mut sockets, "revoked").await;
    assert_eq!(bystander.ended(), None);
    let ended = nodes.operate(&["token", "--revoke", &token]);
    assert_eq!(ended.code, 3, "it is nobody's any more: {ended:?}");
    nodes.assert_clean(&[&token, &other]);
}

/// A logout at one node ends the token's sockets at the other.
pub(crate) async fn a_logout_ends_a_token(kind: Kind) {
    let nodes = Nodes::start(kind).await;
    let token = nodes.issue("u1");
    let mut sockets = [nodes.enter(&token, 1).await];
    let (status, body) = nodes.request(0, "POST", "/api/auth/logout", &token).await;
    assert_eq!(status, 204, "{body}");
    nodes.assert_ended(&mut sockets, "revoked").await;
    let (status, body) = nodes.request(1, "GET", "/api/auth/me", &token).await;
    assert_eq!(status, 401, "{body}");
}

/// All tokens of a user that is revoked end, and those that are issued later do not.
pub(crate) async fn a_revoked_user_has_no_tokens(kind: Kind) {
    let nodes = Nodes::start(kind).await;
    let (first, second) = (nodes.issue("u1"), nodes.issue("u1"));
    let mut sockets = [nodes.enter(&first, 0).await, nodes.enter(&second, 1).await];
    let not_before = nodes.operate(&["sessions", "revoke", "u1"]).json()["notBefore"].as_u64();
    nodes.assert_ended(&mut sockets, "revoked").await;
    while Some(slimy_rt_tests::token::now()) < not_before {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    nodes.enter(&nodes.issue("u1"), 0).await;
}

impl Nodes {
    async fn start(kind: Kind) -> Self {
        let engine = Engine::start(kind).await;
        let url = engine.url_at(engine.port());
        // On the command line, and in the environment.
        let flags = ["--authenticator", &url, "--broker", &url];
        let variables = [("SESSIONS_URL", url.as_str())];
        let nodes = (0..2).map(|_| Program::start(&flags, &variables)).collect();
        let nodes = Self { engine, nodes };
        let session = format!(r#"{{"guilds":[{{"id":"{GUILD}"}}]}}"#);
        let ended = nodes.operate(&["sessions", "put", "u1", &session]);
        assert_eq!(ended.code, 0, "{ended:?}");
        let deadline = Instant::now() + JOINED;
        for node in &nodes.nodes {
            while node.status().await.0 != 200 {
                assert!(Instant::now() < deadline, "{}", node.output());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        nodes
    }

    fn operate(&self, args: &[&str]) -> Ended {
        operate(&self.engine, args)
    }

    /// A new token of a user.
    fn issue(&self, user: &str) -> String {
        let args = ["token", "--user", user, "--name", "Alice", "--role", "club"];
        let ended = self.operate(&args);
        assert_eq!(ended.code, 0, "{ended:?}");
        let line = ended.printed.strip_suffix('\n').expect("a line");
        let token = line.strip_prefix(NAME).expect("a cookie");
        assert!(token.len() >= 43, "256 bits: {token}");
        token.to_owned()
    }

    async fn enter(&self, token: &str, node: usize) -> Chatter {
        let mut chatter = Chatter::new(token);
        chatter.enter(self.nodes[node].addr).await;
        chatter
    }

    async fn request(&self, node: usize, method: &str, path: &str, token: &str) -> (u16, String) {
        let addr = self.nodes[node].addr;
        let mut raw = Raw::connect(addr).await;
        raw.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nCookie: {NAME}{token}\r\nContent-Length: 0\r\n\r\n"
        ))
        .await;
        let answer = raw.answer().await.expect("an answer");
        (answer.status, answer.body)
    }

    /// The sockets have just been ended, in time, and do not come back.
    async fn assert_ended(&self, sockets: &mut [Chatter], reason: &str) {
        let begin = Instant::now();
        for socket in &*sockets {
            socket.wait_for_end().await;
            assert!(begin.elapsed() < FOLLOWED, "after {:?}", begin.elapsed());
            let events = socket.events();
            let ended = events.iter().find(|(name, _)| name == "session:ended");
            assert_eq!(ended.expect("it is told why").1["reason"], reason);
        }
        for (node, socket) in sockets.iter_mut().enumerate() {
            let refusal = socket.connect(self.nodes[node % 2].addr).await;
            let refusal = refusal.expect_err("is not let in");
            assert_eq!(refusal["message"], "not_authorized", "{refusal}");
        }
    }

    fn assert_clean(&self, secrets: &[&str]) {
        for node in &self.nodes {
            let output = node.output();
            for secret in secrets.iter().chain(&[PASSWORD]) {
                assert!(!output.contains(secret), "{output}");
            }
        }
    }
}
