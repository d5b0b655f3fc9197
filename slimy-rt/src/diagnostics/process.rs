//! This process and its machine.

use std::{env, fs, sync::Arc, time::Duration};

/// The machine's name.
pub(super) fn host() -> Arc<str> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.map(|name| name.trim().to_owned());
    name.filter(|name| !name.is_empty())
        .or_else(|| env::var("HOSTNAME").ok())
        .unwrap_or_else(|| "unknown".to_owned())
        .into()
}

/// The processor time that this process has used, where that is known: on Linux.
pub(super) fn cpu_time() -> Option<Duration> {
    // One line per thread would be exact to the nanosecond; this is one file, and exact to a hundredth of a second.
    parse(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// Reads `/proc/<pid>/stat` (proc(5)): fields 14 and 15 are user and system time, in ticks.
fn parse(stat: &str) -> Option<Duration> {
    // What Linux tells programs, on all its platforms but Alpha.
    const TICKS_PER_SECOND: u64 = 100;
    // The name, in parentheses, may contain anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(
        (user + system) * 1000 / TICKS_PER_SECOND,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_any_name() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 1 0 9";
        assert_eq!(parse(stat), Some(Duration::from_secs(3)));
        assert_eq!(parse(""), None);
        assert_eq!(parse("7 (a) S 1"), None);
    }
}
