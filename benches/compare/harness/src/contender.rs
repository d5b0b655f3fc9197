//! The servers that are compared, and how each is started.

use std::{
    collections::HashMap,
    env, fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use crate::{Failure, process};

const SECRET: &str = "the-secret-of-the-comparison-which-is-long-enough";
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Where a server runs, and with what beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Its processors.
    pub(crate) cores: &'a str,
    /// How many threads work for slimy-rt.
    pub(crate) workers: usize,
    /// The Redis by which it talks to other nodes.
    pub(crate) redis: Option<SocketAddr>,
    /// What else slimy-rt is told.
    pub(crate) flags: &'a str,
}

impl Place<'_> {
    /// The processor of every server; the clients have the next one.
    pub(crate) const ALONE: Place<'static> = Place {
        cores: "0",
        workers: 1,
        redis: None,
        flags: "",
    };
}

/// Who is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// Nothing but the kernel's part: bytes that were framed before, one write for each client.
    Limit,
    SlimyRt,
    Socketioxide,
    SocketIo,
}

impl Contender {
    pub(crate) const ALL: [Self; 4] = [
        Self::Limit,
        Self::SlimyRt,
        Self::Socketioxide,
        Self::SocketIo,
    ];

    /// The one of that name in the command line.
    pub(crate) fn parse(name: &str) -> Result<Self, Failure> {
        Ok(match name {
            "limit" => Self::Limit,
            "slimy-rt" => Self::SlimyRt,
            "socketioxide" => Self::Socketioxide,
            "socket.io" => Self::SocketIo,
            _ => return Err(format!("there is no contender {name:?}")),
        })
    }

    /// Its name, with the version that is measured.
    pub(crate) fn name(self) -> String {
        let version = |variable: &str| env::var(variable).unwrap_or_default();
        match self {
            Self::Limit => "limit".to_owned(),
            Self::SlimyRt => "slimy-rt".to_owned(),
            Self::Socketioxide => format!("socketioxide {}", version("SOCKETIOXIDE_VERSION")),
            Self::SocketIo => format!(
                "socket.io {}, Node {}",
                version("SOCKET_IO_VERSION"),
                version("NODE_VERSION")
            ),
        }
    }

    /// The variable that says where its program is.
    fn variable(self) -> &'static str {
        match self {
            Self::Limit => "LIMIT_BIN",
            Self::SlimyRt => "ADMIN_SERVER_BIN",
            Self::Socketioxide => "OXIDE_BIN",
            Self::SocketIo => "NODE_SERVER",
        }
    }

    /// What comes behind the processors' numbers in the command line.
    fn command(self, place: Place<'_>) -> Result<Vec<String>, Failure> {
        let program = env::var(self.variable())
            .map_err(|_| format!("{} names no program", self.variable()))?;
        Ok(match self {
            Self::Limit | Self::Socketioxide => vec![program],
            Self::SocketIo => vec!["node".to_owned(), program],
            Self::SlimyRt => {
                let broker = place
                    .redis
                    .map(url)
                    .map_or_else(String::new, |url| format!("--broker {url}"));
                let flags = format!(
                    "--chat-rate off --packet-rate 0 --worker-threads {} {broker} {}",
                    place.workers, place.flags
                );
                let flags = flags.split_whitespace().map(str::to_owned);
                [program].into_iter().chain(flags).collect()
            }
        })
    }
}

/// A user's guilds.
pub(crate) type Guilds = Vec<String>;

/// A running server; it ends with this value.
pub(crate) struct Server {
    child: Child,
    folder: PathBuf,
    pub(crate) addr: SocketAddr,
}

impl Server {
    /// Starts one with these users. `frame_bytes` is how long the limit program's frames are.
    pub(crate) fn start(
        contender: Contender,
        guilds: &[Guilds],
        frame_bytes: usize,
        place: Place<'_>,
    ) -> Result<Self, Failure> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let folder = env::temp_dir().join(format!(
            "slimy-rt-compare-{}-{}",
            std::process::id(),
            STARTED.fetch_add(1, Ordering::Relaxed)
        ));
        let text = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(text)?;
        let sessions = folder.join("sessions.json");
        fs::write(&sessions, sessions_json(guilds).to_string()).map_err(text)?;
        let mut child = process::pinned(place.cores)
            .args(contender.command(place)?)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("ADMIN_LISTEN", "127.0.0.1:0")
            .env("JWT_SECRET", SECRET)
            .env("SESSIONS_FILE", &sessions)
            .env("FRAME_BYTES", frame_bytes.to_string())
            // Nodes whose sessions are not shared warn of it, and it is meant so.
            .env("RUST_LOG", "warn,admin_server::settings=error")
            .env("NODE_ENV", "production")
            .envs(place.redis.map(|redis| ("REDIS_URL", url(redis))))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{contender:?} cannot be started: {error}"))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(text)?;
        }
        let addr = line.trim().strip_prefix("listening on http://");
        let addr = addr.and_then(|addr| addr.parse().ok());
        // From here on the process ends with the value, whatever it said.
        let mut server = Self {
            child,
            folder,
            addr: ([127, 0, 0, 1], 0).into(),
        };
        server.addr =
            addr.ok_or_else(|| format!("{contender:?} did not say where it listens: {line:?}"))?;
        Ok(server)
    }

    pub(crate) fn cpu(&self) -> Result<process::Cpu, Failure> {
        process::Cpu::of(self.child.id())
    }

    pub(crate) fn resident_kib(&self) -> Result<f64, Failure> {
        process::resident_kib(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Each fails only when it is gone already.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
        let _gone = fs::remove_dir_all(&self.folder);
    }
}

fn url(redis: SocketAddr) -> String {
    format!("redis://{redis}")
}

fn user(index: usize) -> String {
    format!("u{index}")
}

fn sessions_json(guilds: &[Guilds]) -> serde_json::Value {
    let session = |guilds: &Guilds| {
        let guilds: Vec<_> = guilds
            .iter()
            .map(|id| json!({"id": id, "name": "Bench", "roles": ["member"]}))
            .collect();
        json!({ "guilds": guilds })
    };
    let users: HashMap<_, _> = guilds
        .iter()
        .enumerate()
        .map(|(index, guilds)| (user(index), session(guilds)))
        .collect();
    json!(users)
}

/// The cookies of the first users.
pub(crate) fn cookies(count: usize) -> Result<Vec<String>, Failure> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|error| error.to_string())?;
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    (0..count)
        .map(|index| {
            let claims = json!({
                "sub": user(index), "username": user(index), "role": "member",
                "iat": now.as_secs(), "exp": (now + TOKEN_LIFETIME).as_secs(),
            });
            let token = jsonwebtoken::encode(&Header::default(), &claims, &key)
                .map_err(|error| error.to_string())?;
            Ok(format!("slimy_admin_token={token}"))
        })
        .collect()
}

/// The guild of that number; as long as a real one's id.
pub(crate) fn guild(number: usize) -> String {
    format!("{}", 1_176_605_506_912_000_000 + number as u64)
}
