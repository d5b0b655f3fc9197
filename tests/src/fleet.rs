//! Several nodes of the real program.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Output, id},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Map, Value, json};

use crate::{chatter::Chatter, program::Program, token::token};

/// What signs all tokens.
pub const SECRET: &str = "the-secret-of-a-fleet-which-is-long-enough";

/// Nodes of `admin-server` with the same secret and the same users, each with flags of its own. Nobody chats or sends too quickly for them.
#[derive(Debug)]
pub struct Fleet {
    nodes: Vec<Program>,
    flags: Vec<Vec<String>>,
    users: UsersFile,
}

/// A sessions file, removed on drop.
#[derive(Debug)]
struct UsersFile(PathBuf);

impl Fleet {
    /// Starts one node for each list of flags, with these users, each a member of the guilds that are given.
    #[must_use]
    pub fn start(flags: Vec<Vec<String>>, users: &[(&str, &[&str])]) -> Self {
        let users = UsersFile::write(users);
        let nodes = flags.iter().map(|flags| start(flags, &users)).collect();
        Self {
            nodes,
            flags,
            users,
        }
    }

    /// A node.
    #[must_use]
    pub fn node(&self, number: usize) -> &Program {
        &self.nodes[number]
    }

    /// All of them.
    #[must_use]
    pub fn nodes(&self) -> &[Program] {
        &self.nodes
    }

    /// Where a node listens.
    #[must_use]
    pub fn addr(&self, number: usize) -> SocketAddr {
        self.nodes[number].addr
    }

    /// Kills a node.
    pub fn kill(&mut self, number: usize) {
        self.nodes[number].kill();
    }

    /// Ends a node with SIGTERM; it has to end well.
    pub async fn terminate(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let status = node.terminate().await;
        assert!(status.success(), "{status}:\n{}", node.output());
    }

    /// Starts a node that has ended, on another port.
    pub fn start_again(&mut self, number: usize) {
        self.nodes[number] = start(&self.flags[number], &self.users);
    }

    /// Runs the program with other arguments and the fleet's secret, to its end.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Output {
        Program::run(args, &[("JWT_SECRET", SECRET)])
    }

    /// A user's client, not connected.
    #[must_use]
    pub fn chatter(&self, user: &str) -> Chatter {
        Chatter::new(&token(user, SECRET))
    }

    /// A user's client at a node.
    pub async fn enter(&self, user: &str, number: usize) -> Chatter {
        let mut chatter = self.chatter(user);
        chatter.enter(self.addr(number)).await;
        chatter
    }

    /// What the nodes wrote has neither a panic nor a secret in it.
    pub fn assert_clean(&self, secrets: &[&str]) {
        for (number, node) in self.nodes.iter().enumerate() {
            let output = node.output();
            assert!(!output.contains("panicked"), "node {number}:\n{output}");
            for secret in secrets.iter().chain(&[SECRET]) {
                assert!(!output.contains(secret), "node {number} wrote {secret}");
            }
        }
    }
}

fn start(flags: &[String], users: &UsersFile) -> Program {
    let sessions = users.0.to_str().expect("a path of text");
    let mut args = vec!["--chat-rate", "off", "--packet-rate", "0"];
    args.extend(["--sessions-file", sessions]);
    args.extend(flags.iter().map(String::as_str));
    Program::start(&args, &[("JWT_SECRET", SECRET)])
}

impl UsersFile {
    fn write(users: &[(&str, &[&str])]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let users: Map<_, Value> = users
            .iter()
            .map(|(user, guilds)| {
                let guilds: Vec<_> = guilds.iter().map(|guild| json!({"id": guild})).collect();
                ((*user).to_owned(), json!({"guilds": guilds}))
            })
            .collect();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("fleet-{}-{number}.json", id()));
        fs::write(&path, Value::Object(users).to_string()).expect("a temporary file");
        Self(path)
    }
}

impl Drop for UsersFile {
    fn drop(&mut self) {
        // A file that is left harms nobody.
        let _ = fs::remove_file(&self.0);
    }
}
