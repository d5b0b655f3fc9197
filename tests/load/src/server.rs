//! The server under test: a process of its own, and what the system says about it.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use slimy_rt::{
    UserId,
    auth::{JwtAuthenticator, JwtConfig, Role, User},
};

use crate::Failure;

const SECRET: &str = "the-secret-of-the-load-tests-which-is-long-enough";
/// The guild that all users belong to, unless a scenario has others.
pub(crate) const GUILD: &str = "1176605506912141444";
/// What the server says when it closes a client whose pending bytes are at their bound.
const TOO_SLOW: &str = "closing a connection that reads too slowly";
/// Flags for bursts: nobody is too quick, and the budget of pending bytes is at its least, 1 MiB.
pub(crate) const FOR_BURSTS: [&str; 6] = [
    "--chat-rate",
    "off",
    "--packet-rate",
    "0",
    "--max-payload",
    "100000",
];
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// In what `/proc` counts processor time: 100 per second on Linux, whatever the kernel's own tick.
const CLOCK_TICKS: u64 = 100;

/// A running `admin-server`; it ends with this value.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) addr: SocketAddr,
    flags: Vec<String>,
    folder: PathBuf,
    authenticator: JwtAuthenticator,
    too_slow: Arc<AtomicUsize>,
}

impl Server {
    /// Starts one with these flags and `users` users, all members of [`GUILD`].
    pub(crate) fn start(users: usize, flags: &[&str]) -> Result<Self, Failure> {
        Self::start_with(&[(GUILD, users)], flags)
    }

    /// Starts one with these flags and so many users in each guild, numbered in that order.
    pub(crate) fn start_with(guilds: &[(&str, usize)], flags: &[&str]) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("slimy-rt-load-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let members = guilds.iter().flat_map(|&(guild, users)| {
            let session =
                serde_json::json!({"guilds": [{"id": guild, "name": "Load", "roles": ["member"]}]});
            std::iter::repeat_n(session, users)
        });
        let sessions: HashMap<String, _> = (0..).map(name).zip(members).collect();
        let text = serde_json::to_vec(&sessions).map_err(|error| error.to_string())?;
        fs::write(folder.join("sessions.json"), text).map_err(|error| error.to_string())?;
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let too_slow = Arc::default();
        let (child, addr) = spawn(&folder, &flags, "127.0.0.1:0", &too_slow)?;
        let authenticator = JwtConfig::new([SECRET])
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            child,
            addr,
            flags,
            folder,
            authenticator,
            too_slow,
        })
    }

    /// Kills the process and starts another on the same port.
    pub(crate) fn restart(&mut self) -> Result<(), Failure> {
        self.kill();
        let listen = self.addr.to_string();
        let (child, addr) = spawn(&self.folder, &self.flags, &listen, &self.too_slow)?;
        (self.child, self.addr) = (child, addr);
        Ok(())
    }

    fn kill(&mut self) {
        // Both fail only when it is gone already.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }

    /// The cookie of a user.
    pub(crate) fn cookie(&self, user: usize) -> Result<String, Failure> {
        let id = UserId::parse(&name(user)).map_err(|error| error.to_string())?;
        let token = self
            .authenticator
            .issue(&User::new(id, Role::Member), TOKEN_LIFETIME)
            .map_err(|error| error.to_string())?;
        Ok(format!("{}={token}", self.authenticator.cookie_name()))
    }

    /// Memory that the process holds, in bytes.
    pub(crate) fn memory(&self) -> Result<u64, Failure> {
        memory_of(self.child.id())
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Clients that it has closed since they read too slowly, as far as it has said so by now.
    pub(crate) fn too_slow(&self) -> usize {
        self.too_slow.load(SeqCst)
    }

    /// Open files, sockets included.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// Processor time so far.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        let stat = self.read("stat")?;
        // The second field, a name in parentheses, may hold anything; user and system time are fields 14 and 15.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks = |field: usize| {
            fields
                .get(field - 3)
                .and_then(|text| text.parse::<u64>().ok())
        };
        let ticks = ticks(14).zip(ticks(15)).ok_or("no times in /proc/…/stat")?;
        Ok(Duration::from_millis(
            (ticks.0 + ticks.1) * 1000 / CLOCK_TICKS,
        ))
    }

    fn read(&self, file: &str) -> Result<String, Failure> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).map_err(|error| format!("the server is gone ({path}: {error})"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        // What is left of a temporary folder harms nobody.
        let _left = fs::remove_dir_all(&self.folder);
    }
}

/// Memory that a process holds, in bytes.
pub(crate) fn memory_of(process: u32) -> Result<u64, Failure> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path)
        .map_err(|error| format!("the server is gone ({path}: {error})"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.ok_or("no VmRSS in /proc/…/status")? * 1024)
}

fn name(user: usize) -> String {
    format!("u{user}")
}

fn spawn(
    folder: &std::path::Path,
    flags: &[String],
    listen: &str,
    too_slow: &Arc<AtomicUsize>,
) -> Result<(Child, SocketAddr), Failure> {
    let binary =
        std::env::var("ADMIN_SERVER_BIN").map_err(|_| "ADMIN_SERVER_BIN names no program")?;
    let mut child = Command::new(&binary)
        .args(["--listen", listen])
        .args(flags)
        .env_clear()
        .env("JWT_SECRET", SECRET)
        .env("SESSIONS_FILE", folder.join("sessions.json"))
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{binary}: {error}"))?;
    let stderr = child.stderr.take().ok_or("no stderr")?;
    let too_slow = Arc::clone(too_slow);
    std::thread::spawn(move || pass_on(stderr, &too_slow));
    let stdout = child.stdout.take().ok_or("no stdout")?;
    let mut line = String::new();
    let read = BufReader::new(stdout).read_line(&mut line);
    let addr = line
        .trim()
        .strip_prefix("listening on http://")
        .and_then(|addr| addr.parse().ok());
    match (read, addr) {
        (Ok(_), Some(addr)) => Ok((child, addr)),
        (read, _) => {
            let _gone = child.kill();
            let _gone = child.wait();
            Err(format!(
                "{binary} did not say where it listens: {read:?} {line:?}"
            ))
        }
    }
}

/// Shows what the server logs, but counts the clients that were too slow.
fn pass_on(stderr: ChildStderr, too_slow: &AtomicUsize) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if line.contains(TOO_SLOW) {
            too_slow.fetch_add(1, SeqCst);
        } else {
            eprintln!("{line}");
        }
    }
}
