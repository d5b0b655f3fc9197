//! A private PostgreSQL cluster.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::process::Signal;
use tokio::{
    sync::OnceCell,
    task::spawn_blocking,
    time::{Instant, sleep},
};

use crate::{
    directory::Directory,
    port::Port,
    process::{DEADLINE, LOOK, Server},
    template::Installed,
    tls::Certificates,
};

/// How many ports are tried: another program can take one at the wrong moment.
const PORTS: usize = 5;

/// A running PostgreSQL; dropping it stops it and removes its files.
#[derive(Debug)]
pub struct Postgres {
    // In the order in which they have to go.
    server: Mutex<Option<Arc<Server>>>,
    options: PostgresBuilder,
    installed: Installed,
    port: Port,
    tls: Option<Certificates>,
    directory: Directory,
    databases: AtomicU64,
}

/// How a PostgreSQL is started. By default it does not wait for the disk, and asks for no password.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct PostgresBuilder {
    settings: Vec<(String, String)>,
    password: Option<String>,
    tls: bool,
    durable: bool,
}

impl PostgresBuilder {
    /// A setting, as in `postgresql.conf`.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Asks for a password on TCP connections; this is the superuser's, of characters that a URL may have as they are. [`Postgres::url`] has it.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Also takes TLS: [`Postgres::certificates`].
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Waits for the disk at each commit, as a real one does: for measurements.
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Starts it, and waits until it answers. The first of a machine's takes some seconds longer.
    pub async fn start(self) -> Postgres {
        for _ in 0..PORTS {
            let postgres = Postgres::prepare(self.clone()).await;
            match postgres.launch().await {
                Ok(()) => {
                    if let Some(password) = &self.password {
                        let quoted = password.replace('\'', "''");
                        let sql = format!("ALTER ROLE postgres PASSWORD '{quoted}'");
                        postgres.psql(&sql).await;
                    }
                    return postgres;
                }
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => panic!("PostgreSQL does not start:\n{log}"),
            }
        }
        panic!("PostgreSQL found {PORTS} ports in use");
    }
}

impl Postgres {
    /// Starts one with the defaults.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Options first.
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder::default()
    }

    /// One for the whole test program, started by the first that asks. It must not be killed or stopped; tests keep apart by
    /// [databases](Self::create_database).
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Postgres> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// `postgres://postgres@127.0.0.1:PORT/DATABASE`, with the password if there is one. The database `postgres` always exists.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_at(self.port.number(), database)
    }

    /// The same through something else that listens on this port of 127.0.0.1, such as a [`Proxy`](crate::Proxy).
    #[must_use]
    pub fn url_at(&self, port: u16, database: &str) -> String {
        let password = match &self.options.password {
            Some(password) => format!(":{password}"),
            None => String::new(),
        };
        format!("postgres://postgres{password}@127.0.0.1:{port}/{database}")
    }

    /// Makes an empty database and gives its URL, whose last part is its name.
    pub async fn create_database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.psql(&format!("CREATE DATABASE {name}")).await;
        self.url(&name)
    }

    /// The authority that a client has to trust, for a builder with [`tls`](PostgresBuilder::tls). The server's name is `localhost` or
    /// 127.0.0.1.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        self.tls.as_ref().expect("start it with tls()")
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

    /// Its first process; panics when it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server().pid()
    }

    /// Runs SQL in the database `postgres` over the Unix socket, as the superuser. Gives what it printed: a line for each row, `|` between
    /// columns. Panics on an error.
    pub async fn psql(&self, sql: &str) -> String {
        self.psql_in("postgres", sql).await
    }

    /// The same in another database.
    pub async fn psql_in(&self, database: &str, sql: &str) -> String {
        let mut command = Command::new(self.installed.program("psql"));
        command
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(["-U", "postgres", "-d", database, "-c", sql])
            .args(["-p", &self.port.number().to_string(), "-h"])
            .arg(self.directory.path())
            .env("PGCONNECT_TIMEOUT", "10")
            .stdin(Stdio::null());
        let ran = spawn_blocking(move || command.output()).await;
        let ran = ran.expect("does not panic").expect("psql runs");
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{sql}: {errors}");
        let printed = String::from_utf8_lossy(&ran.stdout);
        printed.trim_end().to_owned()
    }

    /// SIGKILL to all its processes, and waits for the last to end.
    pub async fn kill(&self) {
        self.server().kill().await;
    }

    /// Ends all connections at once, without a checkpoint (`pg_ctl stop -m immediate`), and waits for the end.
    pub async fn stop_immediate(&self) {
        self.end(Signal::QUIT).await;
    }

    /// Ends all connections, after a checkpoint (`pg_ctl stop -m fast`), and waits for the end.
    pub async fn stop(&self) {
        self.end(Signal::INT).await;
    }

    /// Starts it again on its port, with its data.
    pub async fn start_again(&self) {
        if let Err(log) = self.launch().await {
            panic!("PostgreSQL does not start again:\n{log}");
        }
    }

    /// [`stop`](Self::stop), then [`start_again`](Self::start_again).
    pub async fn restart(&self) {
        self.stop().await;
        self.start_again().await;
    }

    /// SIGSTOP to all its processes: connections stay, nothing is answered.
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

    /// A new cluster that does not run yet.
    async fn prepare(options: PostgresBuilder) -> Self {
        let prepared = spawn_blocking(move || {
            let installed = Installed::find();
            let directory = Directory::new("postgres");
            installed.give(directory.path());
            let data = directory.path().join("data");
            installed.copy_template(&data);
            let method = match options.password {
                Some(_) => "scram-sha-256",
                None => "trust",
            };
            let rules = data.join("pg_hba.conf");
            let text = format!("local all all trust\nhost all all 127.0.0.1/32 {method}\n");
            fs::write(&rules, text)
                .unwrap_or_else(|error| panic!("cannot write {}: {error}", rules.display()));
            let tls = options.tls.then(|| {
                let certificates = Certificates::make(directory.path());
                installed.give(certificates.key());
                certificates
            });
            Self {
                server: Mutex::default(),
                options,
                installed,
                port: Port::reserve(),
                tls,
                directory,
                databases: AtomicU64::new(0),
            }
        });
        match prepared.await {
            Ok(prepared) => prepared,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn server(&self) -> Arc<Server> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.clone().expect("it was started")
    }

    async fn end(&self, signal: Signal) {
        let server = self.server();
        server.signal(signal);
        server.wait().await;
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Starts the process and waits until it takes connections, or gives its log.
    async fn launch(&self) -> Result<(), String> {
        let server = Arc::new(Server::spawn(
            &self.installed.program("postgres"),
            &self.arguments(),
            self.installed.user(),
            self.directory.path(),
            &self.directory.path().join("log"),
        ));
        let deadline = Instant::now() + DEADLINE;
        while !self.is_ready(server.pid()) {
            if server.ended().is_some() || Instant::now() > deadline {
                return Err(server.log());
            }
            sleep(LOOK).await;
        }
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        Ok(())
    }

    /// What `pg_ctl` looks at: the first line of this file is the process, the eighth its state.
    fn is_ready(&self, pid: u32) -> bool {
        let file = fs::read_to_string(self.data().join("postmaster.pid"));
        let file = file.unwrap_or_default();
        let lines: Vec<_> = file.lines().map(str::trim).collect();
        lines.first() == Some(&&*pid.to_string()) && lines.get(7) == Some(&"ready")
    }

    fn arguments(&self) -> Vec<String> {
        let directory = self.directory.path();
        let mut args = vec!["-D".to_owned(), self.data().display().to_string()];
        let mut set = |name: &str, value: &str| {
            args.extend(["-c".to_owned(), format!("{name}={value}")]);
        };
        set("port", &self.port.number().to_string());
        set("listen_addresses", "127.0.0.1");
        set("unix_socket_directories", &directory.display().to_string());
        // Nothing is left in /dev/shm by one that was killed.
        set("dynamic_shared_memory_type", "mmap");
        if !self.options.durable {
            set("fsync", "off");
            set("full_page_writes", "off");
        }
        if let Some(certificates) = &self.tls {
            set("ssl", "on");
            set(
                "ssl_cert_file",
                &certificates.certificate().display().to_string(),
            );
            set("ssl_key_file", &certificates.key().display().to_string());
        }
        for (name, value) in &self.options.settings {
            set(name, value);
        }
        args
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn killed_or_stopped_it_is_gone_and_again_it_has_its_data_on_the_same_port() {
        let postgres = Postgres::start().await;
        postgres
            .psql("CREATE TABLE t AS SELECT 1 AS a, 'x' AS b")
            .await;
        let port = postgres.port();
        postgres.kill().await;
        assert!(TcpStream::connect(postgres.addr()).is_err());
        postgres.start_again().await;
        assert_eq!(postgres.port(), port);
        assert_eq!(postgres.psql("SELECT * FROM t").await, "1|x");
        postgres.stop_immediate().await;
        assert!(TcpStream::connect(postgres.addr()).is_err());
        postgres.start_again().await;
        postgres.restart().await;
        assert_eq!(postgres.psql("SELECT * FROM t").await, "1|x");
    }

    #[tokio::test]
    async fn each_database_is_empty() {
        let postgres = Postgres::shared().await;
        for _ in 0..2 {
            let url = postgres.create_database().await;
            let (_, name) = url.rsplit_once('/').unwrap();
            let made = postgres.psql_in(name, "CREATE TABLE only_once ()").await;
            assert_eq!(made, "");
        }
    }

    #[tokio::test]
    async fn paused_it_answers_nothing_until_it_goes_on() {
        let postgres = Postgres::start().await;
        postgres.pause();
        let asked = postgres.psql("SELECT 1");
        tokio::pin!(asked);
        let short = std::time::Duration::from_millis(300);
        assert!(tokio::time::timeout(short, &mut asked).await.is_err());
        postgres.resume();
        assert_eq!(asked.await, "1");
    }

    #[tokio::test]
    async fn options_reach_it() {
        let postgres = Postgres::builder()
            .password("secret")
            .setting("work_mem", "5MB")
            .tls()
            .start()
            .await;
        assert_eq!(postgres.psql("SHOW work_mem").await, "5MB");
        let psql = |url: String| {
            Command::new(postgres.installed.program("psql"))
                .args(["-X", "-w", "-A", "-t", "-c", "SELECT 1"])
                .arg(url)
                .output()
                .unwrap()
        };
        let authority = postgres.certificates().authority().display();
        let url = postgres.url("postgres");
        let answered = psql(format!("{url}?sslmode=verify-full&sslrootcert={authority}"));
        assert!(answered.status.success(), "{answered:?}");
        let refused = psql(url.replace("secret", "wrong"));
        let error = String::from_utf8_lossy(&refused.stderr);
        assert!(error.contains("password authentication failed"), "{error}");
    }

    #[tokio::test]
    async fn dropped_it_leaves_nothing() {
        let postgres = Postgres::start().await;
        let (pid, path) = (postgres.pid(), postgres.directory.path().to_owned());
        drop(postgres);
        assert_eq!(crate::process::state(pid), None);
        assert!(!path.exists());
    }
}
