//! The figures, in the shape in which clients get them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    NodeId,
    api::{RequestReport, Seen},
    metrics::{Memory, Sample, Uploads},
    server::Report,
};

/// What `/api/diagnostics` and `diag:snapshot` tell. What is not known is left out.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Figures {
    pub(super) ok: bool,
    pub(super) pid: u32,
    pub(super) runtime: Arc<str>,
    pub(super) host: Arc<str>,
    pub(super) uptime_sec: u64,
    pub(super) uptime_human: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<MemoryFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uploads: Option<UploadFigures>,
    pub(super) connections: ConnectionFigures,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) chat: Option<ChatFigures>,
    pub(super) requests: RequestFigures,
    /// Of one moment of the past, nobody asks for these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) nodes: Vec<NodeFigures>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) live: Option<Live>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) degraded: Vec<String>,
    pub(super) generated_at: String,
}

/// What only the live figures have.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Live {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu: Option<CpuFigures>,
    pub(super) load: LoadFigures,
    pub(super) latency: LatencyFigures,
    pub(super) pending_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subsystems: Option<Seen>,
}

/// Of the processor time of one core since the figures before, in percent.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct CpuFigures {
    pub(super) percent: f64,
}

/// Since the figures before.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoadFigures {
    pub(super) events_per_second: f64,
    pub(super) deliveries_per_second: f64,
}

/// Of the events that were handled since the figures before, and of the requests that were answered a little longer ago.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LatencyFigures {
    pub(super) handler_p50_ms: f64,
    pub(super) handler_p99_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_p95_ms: Option<f64>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct MemoryFigures {
    #[serde(rename = "rssMB")]
    rss: f64,
    #[serde(rename = "heapUsedMB")]
    heap_used: f64,
    #[serde(rename = "heapTotalMB")]
    heap_total: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct UploadFigures {
    total: u64,
    today: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct ConnectionFigures {
    current: usize,
    total: u64,
    rooms: usize,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct ChatFigures {
    pub(super) messages: u64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestFigures {
    total: u64,
    errors: u64,
    p50_ms: u64,
    p95_ms: u64,
    p99_ms: u64,
    pub(super) status_codes: BTreeMap<u16, u64>,
}

/// What a node says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeFigures {
    pub(super) id: NodeId,
    pub(super) connections: usize,
    pub(super) uptime_sec: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) messages: Option<u64>,
    #[serde(
        rename = "residentMB",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) resident: Option<f64>,
    /// Whether it is the one that tells.
    #[serde(rename = "self", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_self: bool,
}

impl From<Memory> for MemoryFigures {
    fn from(memory: Memory) -> Self {
        Self {
            rss: megabytes(memory.resident),
            heap_used: megabytes(memory.heap_used),
            heap_total: megabytes(memory.heap_total),
        }
    }
}

impl From<&Uploads> for UploadFigures {
    fn from(uploads: &Uploads) -> Self {
        Self {
            total: uploads.total,
            today: uploads.today,
        }
    }
}

impl From<&Report> for ConnectionFigures {
    fn from(report: &Report) -> Self {
        Self {
            current: report.connections,
            total: report.connections_total,
            rooms: report.rooms,
        }
    }
}

impl From<RequestReport> for RequestFigures {
    fn from(report: RequestReport) -> Self {
        let ms = |share| u64::try_from(report.took.quantile(share).as_millis()).unwrap_or(u64::MAX);
        Self {
            total: report.took.count(),
            errors: report.errors(),
            p50_ms: ms(0.5),
            p95_ms: ms(0.95),
            p99_ms: ms(0.99),
            status_codes: report.status_codes,
        }
    }
}

/// Puts together what several sources know: uploads are added, and of the rest the first that knows it is believed.
pub(super) fn merge(samples: impl IntoIterator<Item = Sample>) -> Sample {
    let mut merged = Sample::default();
    for sample in samples {
        merged.memory = merged.memory.or(sample.memory);
        merged.chat_messages = merged.chat_messages.or(sample.chat_messages);
        let Some(more) = sample.uploads else {
            continue;
        };
        let uploads = merged.uploads.get_or_insert_default();
        uploads.total += more.total;
        uploads.today += more.today;
        for (guild, count) in more.by_guild {
            *uploads.by_guild.entry(guild).or_default() += count;
        }
    }
    merged
}

/// With one decimal. A megabyte is 2^20 bytes, as the Node service counted.
pub(super) fn megabytes(bytes: u64) -> f64 {
    rounded(bytes as f64 / f64::from(1 << 20), 10.0)
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1e3, 1_000.0)
}

/// To one part of `parts`.
pub(super) fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// Such as `1d 2h 3m 4s`: days, hours and minutes are left out when they are zero.
pub(super) fn human(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, 'd'),
        (seconds / 3600 % 24, 'h'),
        (seconds / 60 % 60, 'm'),
    ];
    let mut text = String::new();
    for (count, unit) in parts.into_iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!("{count}{unit} "));
    }
    text + &format!("{}s", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GuildId;

    #[test]
    fn uptimes_are_written_for_people() {
        let table = [
            (0, "0s"),
            (59, "59s"),
            (60, "1m 0s"),
            (3_661, "1h 1m 1s"),
            (86_400, "1d 0s"),
            (90_061, "1d 1h 1m 1s"),
            (100 * 86_400 + 7_200, "100d 2h 0s"),
        ];
        for (seconds, text) in table {
            assert_eq!(human(seconds), text);
        }
    }

    #[test]
    fn megabytes_have_one_decimal() {
        assert_eq!(megabytes(12_897_485), 12.3);
        assert_eq!(megabytes(0), 0.0);
    }

    #[test]
    fn sources_are_merged() {
        let guild = |id| GuildId::parse(id).unwrap();
        let uploads = |total, today, by_guild: &[(&'static str, u64)]| Uploads {
            total,
            today,
            by_guild: by_guild.iter().map(|(id, n)| (guild(id), *n)).collect(),
        };
        let sample = |uploads, chat_messages| Sample {
            uploads,
            chat_messages,
            ..Sample::default()
        };
        let merged = merge([
            sample(None, None),
            sample(Some(uploads(3, 1, &[("1", 2), ("2", 1)])), Some(7)),
            sample(Some(uploads(1, 1, &[("2", 1)])), Some(9)),
        ]);
        assert_eq!(merged.uploads, Some(uploads(4, 2, &[("1", 2), ("2", 2)])));
        assert_eq!(merged.chat_messages, Some(7));
        assert_eq!(merged.memory, None);
    }
}
