//! One server under attack, and a healthy client beside it that must not notice.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::{
    client::DEADLINE,
    program::Program,
    raw::{Raw, text},
    token::token,
};

/// What signs the tokens of the server under attack.
pub const SECRET: &str = "hostile-secret-of-at-least-32-bytes-5f1c";
/// The guild that everybody is in.
pub const GUILD: &str = "1176605506912141444";
/// The longest time in which the healthy client may go without an answer. It is asked for every 50 ms; the rest is for machines that are
/// busy with other tests.
pub const LONGEST_GAP: Duration = Duration::from_secs(3);
/// How much more memory, in KiB, the server may hold after a case was repeated than after its first time.
pub const MEMORY_TOLERANCE_KIB: u64 = 6 * 1024;
/// How often a case is repeated: at once, so that a leak of each shows in the descriptors, and of memory in the sum of all cases.
pub const REPEATS: usize = 8;

const PULSE: Duration = Duration::from_millis(50);

/// A server, its healthy client, and the place where cases wait for their turn.
#[derive(Debug)]
pub struct Arena {
    /// The server.
    pub program: Program,
    runtime: Runtime,
    pulse: Arc<Pulse>,
    /// Memory and descriptors are looked at with one case running.
    turn: Mutex<()>,
    /// Memory after the first case, in KiB.
    first: OnceLock<u64>,
    secrets: Mutex<Vec<String>>,
}

#[derive(Debug, Default)]
struct Pulse {
    rounds: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    longest: Duration,
    problem: Option<String>,
}

impl Arena {
    /// Starts a server with these flags and variables beside the secret and the users.
    #[must_use]
    pub fn start(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let file = sessions_file();
        let sessions = file.to_str().expect("a path of text");
        let args = [&["--sessions-file", sessions, "--chat-rate", "off"], args].concat();
        let variables = [&[("JWT_SECRET", SECRET)], variables].concat();
        let program = Program::start(&args, &variables);
        fs::remove_file(&file).expect("removes the file, which has been read");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let pulse = Arc::<Pulse>::default();
        runtime.spawn(Arc::clone(&pulse).beat(program.addr));
        let arena = Self {
            program,
            runtime,
            pulse,
            turn: Mutex::default(),
            first: OnceLock::new(),
            secrets: Mutex::new(vec![SECRET.into()]),
        };
        arena.wait_for_pulses(2);
        arena
    }

    /// Never to be seen in what the program writes.
    pub fn keep_secret(&self, secret: impl Into<String>) {
        self.secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(secret.into());
    }

    /// Runs an attack, then several at once. The attack itself asserts what it is answered; here it is asserted that nobody else noticed and
    /// that nothing is left of it.
    pub fn attack<F: Future<Output = ()>>(&self, attack: impl Fn(SocketAddr) -> F) {
        self.attack_times(REPEATS, attack);
    }

    /// The same with another number of repetitions.
    pub fn attack_times<F: Future<Output = ()>>(
        &self,
        times: usize,
        attack: impl Fn(SocketAddr) -> F,
    ) {
        // One that failed has said so; the others are still worth running.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let addr = self.program.addr;
        let (descriptors, threads) = (self.program.descriptors(), self.program.threads());
        self.pulse.state().longest = Duration::ZERO;
        self.runtime.block_on(attack(addr));
        self.wait_for(descriptors);
        let rss = self.program.rss_kib();
        let first = *self.first.get_or_init(|| rss);
        self.runtime
            .block_on(join_all((0..times).map(|_| attack(addr))));
        self.wait_for(descriptors);
        self.wait_for_pulses(1);

        let grown = |since: u64| self.program.rss_kib().saturating_sub(since);
        assert!(
            grown(rss) <= MEMORY_TOLERANCE_KIB,
            "memory: {} KiB more in this case",
            grown(rss)
        );
        assert!(
            grown(first) <= 4 * MEMORY_TOLERANCE_KIB,
            "memory: {} KiB more in all cases",
            grown(first)
        );
        assert!(self.program.threads() <= threads, "threads are left");
        self.assert_healthy();
        self.assert_silent();
    }

    /// Nothing that is secret was written.
    pub fn assert_silent(&self) {
        let output = self.program.output();
        for secret in self
            .secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            assert!(
                !output.contains(secret.as_str()),
                "a secret was logged: {secret}"
            );
        }
        assert!(!output.contains("panicked"), "{output}");
    }

    fn assert_healthy(&self) {
        let state = self.pulse.state();
        assert_eq!(state.problem, None, "the healthy client noticed");
        assert!(
            state.longest <= LONGEST_GAP,
            "the healthy client waited for {:?}",
            state.longest
        );
    }

    fn wait_for(&self, descriptors: usize) {
        let start = Instant::now();
        while self.program.descriptors() > descriptors {
            let now = self.program.descriptors();
            assert!(
                start.elapsed() < DEADLINE,
                "descriptors: {now}, {descriptors} before"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn wait_for_pulses(&self, count: u64) {
        let (start, begun) = (Instant::now(), self.pulse.rounds.load(Ordering::SeqCst));
        while self.pulse.rounds.load(Ordering::SeqCst) < begun + count {
            assert_eq!(
                self.pulse.state().problem,
                None,
                "the healthy client noticed"
            );
            assert!(
                start.elapsed() < DEADLINE,
                "the healthy client is not served"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Pulse {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how a round went. Says whether it was the last.
    fn note(&self, waited: Duration, problem: Option<String>) -> bool {
        let mut state = self.state();
        state.longest = state.longest.max(waited);
        state.problem = problem;
        state.problem.is_some()
    }

    /// Chats for as long as the program runs.
    async fn beat(self: Arc<Self>, addr: SocketAddr) {
        let mut client = Raw::websocket(addr, &cookie(&token("healthy", SECRET))).await;
        client.join().await;
        let mut last = Instant::now();
        for round in 0.. {
            let message = json!({"text": format!("pulse {round}"), "guildId": GUILD, "messageId": format!("pulse-{round}")});
            client
                .send(text(format!("42{round}[\"chat:message\",{message}]")))
                .await;
            let result = answered(&mut client, round).await;
            let waited = last.elapsed();
            last = Instant::now();
            if self.note(waited, result.err()) {
                return;
            }
            self.rounds.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(PULSE).await;
        }
    }
}

/// The broadcast of this round, then its ack: exactly one of each, and in that order.
async fn answered(client: &mut Raw, round: u64) -> Result<(), String> {
    let (mut broadcasts, ack) = (0, format!("43{round}["));
    loop {
        let packet = client.text().await;
        if packet.starts_with(&ack) {
            let is_good = packet.contains(r#""ok":true"#) && broadcasts == 1;
            return if is_good {
                Ok(())
            } else {
                Err(format!("{broadcasts} broadcasts, then {packet}"))
            };
        }
        if packet.contains(&format!("\"pulse {round}\"")) {
            broadcasts += 1;
        } else if !packet.starts_with("42[") || packet.contains("\"pulse ") {
            return Err(format!("round {round} got {packet}"));
        }
    }
}

/// The header line of a token.
#[must_use]
pub fn cookie(token: &str) -> String {
    format!("Cookie: slimy_admin_token={token}\r\n")
}

/// A member of the guild who has connected.
pub async fn mallory(addr: SocketAddr) -> Raw {
    let mut raw = Raw::websocket(addr, &cookie(&token("mallory", SECRET))).await;
    raw.join().await;
    raw
}

fn sessions_file() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!(
        "hostile-sessions-{}-{number}.json",
        std::process::id()
    ));
    let guilds = json!({"guilds": [{"id": GUILD, "name": "Slime", "roles": []}]});
    let users = json!({"healthy": guilds, "mallory": guilds});
    fs::write(&path, users.to_string()).expect("a temporary file");
    path
}
