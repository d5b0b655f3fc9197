//! A server's process and all that it started: signals, end, and its log.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{LazyLock, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

/// How long a server may take to start, or to end.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// Between two looks at something that cannot be waited for.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Mutex<Child>,
    pid: u32,
    log: PathBuf,
}

type Job = (Command, mpsc::SyncSender<io::Result<Child>>);

/// The thread that starts all servers. A parent's death is, to the kernel, that of the *thread* which started the child, and a test's thread
/// ends with its test, while a shared server goes on.
static SPAWNER: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
    let (jobs, queue) = mpsc::channel::<Job>();
    thread::Builder::new()
        .name("engines".into())
        .spawn(move || {
            for (mut command, answer) in queue {
                // The one who asked waits for it.
                let _ = answer.send(command.spawn());
            }
        })
        .expect("a thread");
    jobs
});

impl Server {
    /// Starts a program which the kernel kills when this process ends; what it writes is added to `log`. As `user`, or as whoever runs this.
    pub(crate) fn spawn(
        program: &Path,
        args: &[String],
        user: Option<&str>,
        directory: &Path,
        log: &Path,
    ) -> Self {
        let file = File::options().create(true).append(true).open(log);
        let file = file.unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()));
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        as_user(&mut command, user);
        command
            .arg("--")
            .arg(program)
            .args(args)
            .current_dir(directory)
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a descriptor"))
            .stderr(file);
        let (answer, answered) = mpsc::sync_channel(1);
        SPAWNER.send((command, answer)).expect("the thread runs");
        let child = answered.recv().expect("the thread answers");
        let child = child.unwrap_or_else(|error| {
            panic!("cannot run setpriv: {error}; install Debian's package util-linux")
        });
        Self {
            pid: child.id(),
            child: Mutex::new(child),
            log: log.to_owned(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.try_wait().expect("a child")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // Not waited for yet, the number is still its own.
        if self.ended().is_none() {
            send(self.pid, signal);
        }
    }

    /// Sends a signal to the process and to all that descend from it, first to the one that could start more.
    pub(crate) fn signal_all(&self, signal: Signal) {
        if self.ended().is_some() {
            return;
        }
        send(self.pid, signal);
        for pid in descendants(self.pid) {
            send(pid, signal);
        }
    }

    /// SIGKILL to all of it; gives those that descend from it.
    fn kill_all(&self) -> Vec<u32> {
        // Stopped, none starts another. Listed before: children of a dead parent can no longer be found.
        self.signal_all(Signal::STOP);
        if self.ended().is_some() {
            return Vec::new();
        }
        let children = descendants(self.pid);
        for pid in children.iter().chain([&self.pid]) {
            send(*pid, Signal::KILL);
        }
        children
    }

    /// SIGKILL to all of it, and waits for the last to be gone.
    pub(crate) async fn kill(&self) {
        let children = self.kill_all();
        self.wait().await;
        let what = format!("the children of process {}", self.pid);
        until(&what, || children.iter().all(|pid| !alive(*pid))).await;
    }

    /// Waits for its end.
    pub(crate) async fn wait(&self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "process {} does not end:\n{}",
                self.pid,
                self.log()
            );
            sleep(LOOK).await;
        }
    }

    /// The end of its log.
    pub(crate) fn log(&self) -> String {
        const LINES: usize = 30;
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        self.kill_all();
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It is being killed: this takes no time.
        let _ = child.wait();
    }
}

/// Adds setpriv's options for a user.
pub(crate) fn as_user(setpriv: &mut Command, user: Option<&str>) {
    if let Some(user) = user {
        setpriv.args(["--reuid", user, "--regid", user, "--init-groups"]);
    }
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(LOOK).await;
    }
}

fn send(pid: u32, signal: Signal) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    // The error means that it has ended.
    let _ = kill_process(pid, signal);
}

fn descendants(of: u32) -> Vec<u32> {
    let mut children = HashMap::<u32, Vec<u32>>::new();
    let processes = fs::read_dir("/proc").expect("/proc is mounted");
    for entry in processes.filter_map(Result::ok) {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if let Some((_, parent)) = state(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut all = children.remove(&of).unwrap_or_default();
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        if let Some(more) = children.remove(pid) {
            all.extend(more);
        }
        next += 1;
    }
    all
}

fn alive(pid: u32) -> bool {
    // A zombie is dead: who inherited it has not looked yet.
    state(pid).is_some_and(|(state, _)| state != 'Z')
}

/// The state and the parent of a process.
pub(crate) fn state(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything, also spaces and brackets.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Directory;

    fn shell(script: &str, directory: &Directory) -> Server {
        let args = ["-c".to_owned(), script.to_owned()];
        let log = directory.path().join("log");
        Server::spawn(Path::new("sh"), &args, None, directory.path(), &log)
    }

    #[tokio::test]
    async fn the_end_of_the_thread_that_asked_is_not_the_end_of_the_server() {
        let directory = Directory::new("test");
        let server = thread::scope(|scope| {
            scope
                .spawn(|| shell("exec sleep 60", &directory))
                .join()
                .unwrap()
        });
        until("sleep", || {
            fs::read_to_string(format!("/proc/{}/comm", server.pid()))
                .is_ok_and(|name| name == "sleep\n")
        })
        .await;
        assert_eq!(server.ended(), None);
    }

    #[tokio::test]
    async fn children_are_stopped_and_killed_as_well() {
        let directory = Directory::new("test");
        let server = shell("sleep 60 & sleep 60 & wait", &directory);
        until("both children", || descendants(server.pid()).len() == 2).await;
        let children = descendants(server.pid());
        server.signal_all(Signal::STOP);
        until("both to stop", || {
            children
                .iter()
                .all(|pid| matches!(state(*pid), Some(('T', _))))
        })
        .await;
        server.kill().await;
        assert!(children.iter().all(|pid| !alive(*pid)));
    }

    #[tokio::test]
    async fn its_log_is_kept() {
        let directory = Directory::new("test");
        let server = shell("echo one; echo two >&2", &directory);
        server.wait().await;
        assert_eq!(server.log(), "one\ntwo");
    }
}
