//! This process's memory, as the operating system tells it.

use std::{error::Error as StdError, fs};

use async_trait::async_trait;

use super::{Memory, MetricsError, MetricsSource, Sample};

/// Where Linux describes the process that reads it.
const STATUS: &str = "/proc/self/status";

/// A [`MetricsSource`] for the memory of this process.
///
/// It reads `/proc/self/status`: [`resident`](Memory::resident) is `VmRSS`, [`heap_used`](Memory::heap_used) is `RssAnon`, and
/// [`heap_total`](Memory::heap_total) is `VmData`. On systems other than Linux every sample is an error that says so.
///
/// ```
/// use slimy_rt::metrics::{MetricsSource, ProcessMetrics};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// match ProcessMetrics::new().sample().await {
///     Ok(sample) => assert!(sample.memory.is_some_and(|memory| memory.resident > 0)),
///     Err(error) => assert!(!cfg!(target_os = "linux"), "{error}"),
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ProcessMetrics;

impl ProcessMetrics {
    /// A source for this process.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl MetricsSource for ProcessMetrics {
    fn name(&self) -> &str {
        "process"
    }

    async fn sample(&self) -> Result<Sample, MetricsError> {
        if !cfg!(target_os = "linux") {
            return Err(unavailable(
                "a process's memory is only known on Linux, which has /proc",
            ));
        }
        // The kernel makes this text on the spot, in microseconds: no disk is waited for.
        let status = fs::read_to_string(STATUS).map_err(unavailable)?;
        let memory = parse(&status)
            .ok_or_else(|| unavailable("/proc/self/status tells no VmRSS or no VmData"))?;
        Ok(Sample {
            memory: Some(memory),
            ..Sample::default()
        })
    }
}

/// This process's memory in RAM, in bytes, where it is known.
#[cfg(feature = "diagnostics")]
pub(crate) fn resident() -> Option<u64> {
    let status = fs::read_to_string(STATUS).ok()?;
    parse(&status).map(|memory| memory.resident)
}

fn unavailable(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> MetricsError {
    MetricsError::Unavailable(cause.into())
}

/// Reads `/proc/<pid>/status`.
fn parse(status: &str) -> Option<Memory> {
    let resident = bytes(status, "VmRSS:")?;
    let heap_total = bytes(status, "VmData:")?;
    // Some kernels do not tell anonymous pages apart. Stacks are anonymous too, but not in the data segment.
    let anonymous = bytes(status, "RssAnon:").unwrap_or(resident);
    Some(Memory {
        resident,
        heap_used: anonymous.min(heap_total),
        heap_total,
    })
}

/// A field like `VmRSS: 2164 kB`, in bytes.
fn bytes(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tVmRSS: 1 kB\nVmHWM:\t   9 kB\nVmRSS:\t    2164 kB\nRssAnon:\t     148 kB\nVmData:\t     240 kB\n";

    #[test]
    fn status_is_read_in_bytes() {
        let memory = Memory {
            resident: 2164 * 1024,
            heap_used: 148 * 1024,
            heap_total: 240 * 1024,
        };
        assert_eq!(parse(STATUS), Some(memory));
    }

    #[test]
    fn the_heap_in_use_is_never_more_than_all_of_it() {
        let memory = parse(&STATUS.replace("148 kB", "999 kB")).unwrap();
        assert_eq!(memory.heap_used, memory.heap_total);
        let memory = parse(&STATUS.replace("RssAnon", "Unknown")).unwrap();
        assert_eq!(memory.heap_used, memory.heap_total);
    }

    #[test]
    fn what_cannot_be_read_is_no_zero() {
        assert_eq!(parse(""), None);
        assert_eq!(parse(&STATUS.replace("VmData", "Unknown")), None);
        assert_eq!(parse(&STATUS.replace("2164 kB", "2164 MB")), None);
        assert_eq!(parse(&STATUS.replace("2164", "18446744073709551615")), None);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn this_process_uses_memory() {
        let sample = ProcessMetrics::new().sample().await.unwrap();
        let memory = sample.memory.unwrap();
        assert!(memory.resident > 0 && memory.heap_used > 0);
        assert!(memory.heap_used <= memory.heap_total);
        assert_eq!(ProcessMetrics::new().name(), "process");
    }
}
