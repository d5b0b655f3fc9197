//! A private `redis-server`.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::process::Signal;
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep},
};

use crate::{
    directory::Directory,
    port::Port,
    process::{DEADLINE, LOOK, Server},
    resp::{Connection, Reply},
    tls::Certificates,
};

/// How many ports are tried: another program can take one at the wrong moment.
const PORTS: usize = 5;

/// A running Redis; dropping it stops it and removes its files.
#[derive(Debug)]
pub struct Redis {
    // In the order in which they have to go.
    server: Mutex<Option<Arc<Server>>>,
    options: RedisBuilder,
    program: PathBuf,
    port: Port,
    tls: Option<(Port, Certificates)>,
    directory: Directory,
}

/// How a Redis is started. By default it keeps nothing on disk and asks for no password.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct RedisBuilder {
    args: Vec<String>,
    password: Option<String>,
    acl: Option<String>,
    tls: bool,
    appendonly: bool,
}

impl RedisBuilder {
    /// More arguments, as `redis-server` takes them: `["--maxmemory", "10mb"]`.
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The password of the user `default`. [`Redis::url`] has it.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Further users, each a line as in an ACL file: `user name on >password ~* &* +@all`.
    pub fn acl(mut self, lines: impl Into<String>) -> Self {
        self.acl = Some(lines.into());
        self
    }

    /// Also listens for TLS: [`Redis::url_tls`], [`Redis::certificates`].
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Writes every command to disk, so that [`Redis::start_again`] finds its data.
    pub fn appendonly(mut self) -> Self {
        self.appendonly = true;
        self
    }

    /// Starts it, and waits until it answers.
    pub async fn start(self) -> Redis {
        let program = find("redis-server").unwrap_or_else(|| {
            panic!("redis-server is missing; install Debian's package redis-server")
        });
        for _ in 0..PORTS {
            let directory = Directory::new("redis");
            let tls = self
                .tls
                .then(|| (Port::reserve(), Certificates::make(directory.path())));
            let redis = Redis {
                server: Mutex::default(),
                options: self.clone(),
                program: program.clone(),
                port: Port::reserve(),
                tls,
                directory,
            };
            match redis.launch().await {
                Ok(()) => return redis,
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => panic!("redis-server does not start:\n{log}"),
            }
        }
        panic!("redis-server found {PORTS} ports in use");
    }
}

impl Redis {
    /// Starts one with the defaults.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Options first.
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// One for the whole test program, started by the first that asks. It must not be killed, stopped or emptied; tests keep apart by prefixes or
    /// database numbers.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Redis> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// `redis://127.0.0.1:PORT`, with the password if there is one.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_at(self.port.number())
    }

    /// The same with a database's number.
    #[must_use]
    pub fn url_db(&self, number: u32) -> String {
        format!("{}/{number}", self.url())
    }

    /// The same through something else that listens on this port of 127.0.0.1, such as a [`Proxy`](crate::Proxy).
    #[must_use]
    pub fn url_at(&self, port: u16) -> String {
        match &self.options.password {
            Some(password) => format!("redis://:{password}@127.0.0.1:{port}"),
            None => format!("redis://127.0.0.1:{port}"),
        }
    }

    /// `rediss://localhost:PORT`, for a builder with [`tls`](RedisBuilder::tls).
    #[must_use]
    pub fn url_tls(&self) -> String {
        let (port, _) = self.tls.as_ref().expect("start it with tls()");
        let port = port.number();
        match &self.options.password {
            Some(password) => format!("rediss://:{password}@localhost:{port}"),
            None => format!("rediss://localhost:{port}"),
        }
    }

    /// The authority that a client has to trust, for a builder with [`tls`](RedisBuilder::tls).
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        let (_, certificates) = self.tls.as_ref().expect("start it with tls()");
        certificates
    }

    /// Its port; the same for its whole life.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Its process; panics when it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server().pid()
    }

    /// Runs one command in database 0; panics when the server does not answer. An error that Redis answers is a [`Reply`].
    pub async fn cli(&self, args: &[&str]) -> Reply {
        let reply = self.ask(args).await;
        reply.unwrap_or_else(|error| panic!("{args:?}: {error}"))
    }

    /// SIGKILL, and waits for the end.
    pub async fn kill(&self) {
        self.server().kill().await;
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&self) {
        let server = self.server();
        server.signal(Signal::TERM);
        server.wait().await;
    }

    /// Starts it again on its port: empty, unless it writes to disk.
    pub async fn start_again(&self) {
        if let Err(log) = self.launch().await {
            panic!("redis-server does not start again:\n{log}");
        }
    }

    /// Kills it and starts it without its data.
    pub async fn restart_empty(&self) {
        self.kill().await;
        for data in ["dump.rdb", "appendonlydir"] {
            let path = self.directory.path().join(data);
            let removed = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else if path.exists() {
                fs::remove_file(&path)
            } else {
                Ok(())
            };
            removed.unwrap_or_else(|error| panic!("cannot remove {}: {error}", path.display()));
        }
        self.start_again().await;
    }

    /// SIGSTOP: connections stay, nothing is answered.
    pub fn pause(&self) {
        self.server().signal_all(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.server().signal_all(Signal::CONT);
    }

    /// The end of its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.server().log()
    }

    fn server(&self) -> Arc<Server> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.clone().expect("it was started")
    }

    async fn ask(&self, args: &[&str]) -> std::io::Result<Reply> {
        let mut connection = Connection::open(self.addr()).await?;
        if let Some(password) = &self.options.password {
            connection.command(&["AUTH", password]).await?;
        }
        connection.command(args).await
    }

    /// Starts the process and waits until it answers, or gives its log.
    async fn launch(&self) -> Result<(), String> {
        let directory = self.directory.path();
        let server = Arc::new(Server::spawn(
            &self.program,
            &self.arguments(),
            None,
            directory,
            &directory.join("log"),
        ));
        let deadline = Instant::now() + DEADLINE;
        loop {
            if server.ended().is_some() {
                return Err(server.log());
            }
            // Any other answer means that it still loads its data.
            if matches!(self.ask(&["PING"]).await, Ok(Reply::Status(pong)) if pong == "PONG") {
                break;
            }
            if Instant::now() > deadline {
                return Err(server.log());
            }
            sleep(LOOK).await;
        }
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        Ok(())
    }

    fn arguments(&self) -> Vec<String> {
        let directory = self.directory.path();
        let file = |name: &str| directory.join(name).display().to_string();
        let mut args = Vec::new();
        let mut set = |name: &str, value: &str| {
            args.extend([format!("--{name}"), value.to_owned()]);
        };
        set("port", &self.port.number().to_string());
        set("bind", "127.0.0.1");
        set("daemonize", "no");
        set("dir", &directory.display().to_string());
        set("save", "");
        set(
            "appendonly",
            if self.options.appendonly { "yes" } else { "no" },
        );
        if self.options.appendonly {
            set("appendfsync", "always");
        }
        if let Some(password) = &self.options.password {
            set("requirepass", password);
        }
        if let Some((port, certificates)) = &self.tls {
            set("tls-port", &port.number().to_string());
            set(
                "tls-cert-file",
                &certificates.certificate().display().to_string(),
            );
            set("tls-key-file", &certificates.key().display().to_string());
            set(
                "tls-ca-cert-file",
                &certificates.authority().display().to_string(),
            );
            set("tls-auth-clients", "no");
        }
        if let Some(acl) = &self.options.acl {
            let own = match &self.options.password {
                Some(password) => format!("user default on >{password} ~* &* +@all\n"),
                None => "user default on nopass ~* &* +@all\n".to_owned(),
            };
            let path = file("users.acl");
            fs::write(&path, own + acl + "\n")
                .unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
            set("aclfile", &path);
        }
        args.extend(self.options.args.iter().cloned());
        args
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/bin", "/usr/local/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .map(|directory| directory.join(program))
        .find(|file| Path::is_file(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Reply {
        Reply::Bulk(text.to_owned())
    }

    #[tokio::test]
    async fn killed_it_is_gone_and_again_it_is_empty_on_the_same_port() {
        let redis = Redis::start().await;
        assert_eq!(redis.cli(&["SET", "a", "1"]).await.text(), "OK");
        assert_eq!(redis.cli(&["GET", "a"]).await, text("1"));
        let (port, pid) = (redis.port(), redis.pid());
        redis.kill().await;
        assert!(Connection::open(redis.addr()).await.is_err());
        redis.start_again().await;
        assert_eq!(redis.port(), port);
        assert_ne!(redis.pid(), pid);
        assert_eq!(redis.cli(&["GET", "a"]).await, Reply::Nil);
    }

    #[tokio::test]
    async fn one_that_writes_to_disk_keeps_its_data_until_it_is_emptied() {
        let redis = Redis::builder().appendonly().start().await;
        redis.cli(&["SET", "a", "1"]).await;
        redis.kill().await;
        redis.start_again().await;
        assert_eq!(redis.cli(&["GET", "a"]).await, text("1"));
        redis.restart_empty().await;
        assert_eq!(redis.cli(&["GET", "a"]).await, Reply::Nil);
    }

    #[tokio::test]
    async fn paused_it_answers_nothing_until_it_goes_on() {
        let redis = Redis::start().await;
        redis.pause();
        let asked = redis.cli(&["PING"]);
        tokio::pin!(asked);
        let short = std::time::Duration::from_millis(200);
        assert!(tokio::time::timeout(short, &mut asked).await.is_err());
        redis.resume();
        assert_eq!(asked.await.text(), "PONG");
    }

    #[tokio::test]
    async fn options_reach_it() {
        let redis = Redis::builder()
            .password("secret")
            .acl("user reader on >other ~* &* -@all +get")
            .args(["--maxmemory", "10mb"])
            .start()
            .await;
        let limit = redis.cli(&["CONFIG", "GET", "maxmemory"]).await;
        assert_eq!(
            limit,
            Reply::Array(vec![text("maxmemory"), text("10485760")])
        );
        let mut stranger = Connection::open(redis.addr()).await.unwrap();
        let refused = stranger.command(&["GET", "a"]).await.unwrap();
        assert!(matches!(refused, Reply::Error(error) if error.starts_with("NOAUTH")));
        let reader = stranger
            .command(&["AUTH", "reader", "other"])
            .await
            .unwrap();
        assert_eq!(reader.text(), "OK");
        let refused = stranger.command(&["SET", "a", "1"]).await.unwrap();
        assert!(matches!(refused, Reply::Error(error) if error.starts_with("NOPERM")));
        assert!(redis.url().contains(":secret@"));
    }

    #[tokio::test]
    async fn dropped_it_leaves_nothing() {
        let redis = Redis::start().await;
        let (pid, path) = (redis.pid(), redis.directory.path().to_owned());
        drop(redis);
        assert_eq!(crate::process::state(pid), None);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn all_share_one_that_outlives_the_test_which_started_it() {
        let first = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(Redis::shared()).pid()
        });
        let pid = first.join().unwrap();
        let redis = Redis::shared().await;
        assert_eq!(redis.pid(), pid);
        assert_eq!(redis.cli(&["PING"]).await.text(), "PONG");
    }
}
