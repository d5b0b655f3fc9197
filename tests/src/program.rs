//! The `admin-server` program as a child process, looked at from outside.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdin, Command, ExitStatus, Output as Ended, Stdio},
    sync::{Arc, Condvar, Mutex, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::raw::Raw;

/// How long a start, or an end, may take.
const START: Duration = Duration::from_secs(20);

/// A running `admin-server`; dropping it ends it, and so does the end of the test program.
#[derive(Debug)]
pub struct Program {
    /// Where it listens.
    pub addr: SocketAddr,
    child: Child,
    _watchdog: Watchdog,
    output: Arc<Output>,
}

#[derive(Debug, Default)]
struct Output {
    text: Mutex<String>,
    changed: Condvar,
}

/// Ends a process when this one ends, however it ends: statics are not dropped.
#[derive(Debug)]
struct Watchdog {
    child: Child,
    _open: Option<ChildStdin>,
}

impl Watchdog {
    fn of(pid: u32) -> Self {
        let mut child = Command::new("sh")
            .args([
                "-c",
                "read -r nothing; kill -KILL \"$0\" 2>/dev/null",
                &pid.to_string(),
            ])
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        let open = child.stdin.take();
        Self { child, _open: open }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // Before the process that it watches is gone, so that it cannot end another of the same number.
        self.child
            .kill()
            .and_then(|()| self.child.wait())
            .expect("ends");
    }
}

/// The program's path: `ADMIN_SERVER_BIN`, or else it is built with this test's own profile and target directory.
pub fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("ADMIN_SERVER_BIN") {
            return path.into();
        }
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "-p", "admin-server", "--message-format=json"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(Stdio::piped());
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let built = cargo.output().expect("cargo runs");
        let errors = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{errors}");
        let messages = String::from_utf8(built.stdout).expect("text");
        let executable = messages.lines().find_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            let is_it = message["target"]["name"] == "admin-server";
            is_it.then(|| message["executable"].as_str().map(PathBuf::from))?
        });
        executable.expect("cargo names the program")
    })
}

fn command(args: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(args)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    command
}

impl Program {
    /// Starts the program with these flags and variables, on a free port, and waits until it listens. Nothing of this process's environment
    /// reaches it.
    pub fn start(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = command(args, variables)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let watchdog = Watchdog::of(child.id());
        let output = Arc::<Output>::default();
        output.gather(child.stdout.take().expect("piped"));
        output.gather(child.stderr.take().expect("piped"));
        let addr = output.wait("the line `listening on`", |text| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("listening on http://"))?;
            line.parse().ok()
        });
        Self {
            addr,
            child,
            _watchdog: watchdog,
            output,
        }
    }

    /// Runs the program to its end, which must come by itself.
    #[must_use]
    pub fn run(args: &[&str], variables: &[(&str, &str)]) -> Ended {
        command(args, variables)
            .output()
            .expect("the program starts")
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(&mut self) {
        self.child
            .kill()
            .and_then(|()| self.child.wait())
            .expect("ends");
    }

    /// SIGTERM, and waits for its end.
    pub async fn terminate(&mut self) -> ExitStatus {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), Signal::TERM).expect("it runs");
        let deadline = Instant::now() + START;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            let output = self.output();
            assert!(Instant::now() < deadline, "it does not end:\n{output}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// What `/api/status` answers: its HTTP status and its body.
    pub async fn status(&self) -> (u16, Value) {
        let mut raw = Raw::connect(self.addr).await;
        let host = self.addr;
        raw.send(format!(
            "GET /api/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ))
        .await;
        let answer = raw.answer().await.expect("an answer");
        let body = serde_json::from_str(&answer.body).expect("JSON");
        (answer.status, body)
    }

    /// Everything that it wrote so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.text().clone()
    }

    /// Memory that it holds, in KiB.
    #[must_use]
    pub fn rss_kib(&self) -> u64 {
        self.figure("VmRSS:")
    }

    /// Its threads.
    #[must_use]
    pub fn threads(&self) -> u64 {
        self.figure("Threads:")
    }

    fn figure(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the program runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_whitespace().next());
        number
            .and_then(|number| number.parse().ok())
            .expect("a number")
    }

    /// Its open descriptors: nearly all are connections.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        let directory = fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        directory.expect("the program runs").count()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The error means that it has ended by itself, which a test notices elsewhere.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Output {
    fn text(&self) -> std::sync::MutexGuard<'_, String> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gather(self: &Arc<Self>, stream: impl Read + Send + 'static) {
        let output = Arc::clone(self);
        thread::spawn(move || {
            let mut lines = BufReader::new(stream);
            let mut line = Vec::new();
            while lines
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                output.text().push_str(&String::from_utf8_lossy(&line));
                output.changed.notify_all();
                line.clear();
            }
        });
    }

    fn wait<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let mut found = None;
        let text = self.text();
        let waited = self.changed.wait_timeout_while(text, START, |text| {
            found = find(text);
            found.is_none()
        });
        let (text, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match found {
            Some(found) => found,
            None => panic!("{what} did not come:\n{}", *text),
        }
    }
}
