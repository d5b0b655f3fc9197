//! What the system says about a server's process, and about the network.

use std::{fs, process::Command, time::Duration};

use crate::Failure;

/// In what `/proc/<pid>/stat` counts processor time: 100 per second on Linux, whatever the kernel's own tick.
const CLOCK_TICKS: f64 = 100.0;

/// The beginning of a command that runs on these processors only, and not for longer than this process.
pub(crate) fn pinned(cores: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "-c", cores]);
    command
}

/// Processor time of a process since it began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    /// Of all its threads, to the nanosecond.
    pub(crate) total: Duration,
    /// The part outside of the kernel, sampled by the kernel's tick: good over seconds only.
    pub(crate) user: Duration,
}

impl Cpu {
    pub(crate) fn of(process: u32) -> Result<Self, Failure> {
        let mut nanos = 0;
        let tasks = format!("/proc/{process}/task");
        for task in fs::read_dir(&tasks).map_err(|error| gone(&tasks, &error))? {
            let task = task.map_err(|error| gone(&tasks, &error))?;
            // A thread may end meanwhile.
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else {
                continue;
            };
            let first = text.split_whitespace().next();
            nanos += first.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        }
        let stat = read(&format!("/proc/{process}/stat"))?;
        // The second field, a name in parentheses, may hold anything; user time is field 14.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let user = fields.split_whitespace().nth(14 - 3);
        let ticks = user.and_then(|text| text.parse::<f64>().ok());
        let ticks = ticks.ok_or("no user time in /proc/…/stat")?;
        Ok(Self {
            total: Duration::from_nanos(nanos),
            user: Duration::from_secs_f64(ticks / CLOCK_TICKS),
        })
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            total: self.total.saturating_sub(before.total),
            user: self.user.saturating_sub(before.user),
        }
    }
}

/// Resident memory of a process in KiB.
pub(crate) fn resident_kib(process: u32) -> Result<f64, Failure> {
    let path = format!("/proc/{process}/status");
    let status = read(&path)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kib.ok_or_else(|| format!("no VmRSS in {path}"))
}

/// TCP segments with new data that this machine has sent, to itself too: on loopback as many as there were sends.
pub(crate) fn segments_sent() -> Result<u64, Failure> {
    let text = read("/proc/net/netstat")?;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = lines.next().zip(lines.next()).ok_or("no TcpExt")?;
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    let found = pairs.find(|(name, _)| *name == "TCPOrigDataSent");
    let value = found.and_then(|(_, value)| value.parse().ok());
    value.ok_or_else(|| "no TCPOrigDataSent in /proc/net/netstat".to_owned())
}

/// The processors of this machine, in words.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, name)| name.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version = kernel.trim().split('-').next().unwrap_or_default();
    let total = cores_of_machine().max(cores);
    format!("{total} × {model}, Linux {version}")
}

/// The machine's own processors, however this process is pinned.
pub(crate) fn cores_of_machine() -> usize {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines()
        .filter(|line| line.starts_with("processor"))
        .count()
}

fn read(path: &str) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| gone(path, &error))
}

fn gone(path: &str, error: &std::io::Error) -> Failure {
    format!("the server is gone ({path}: {error})")
}
