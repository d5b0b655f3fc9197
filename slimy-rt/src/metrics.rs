//! How the system is doing: the [`MetricsSource`] trait and the samples it gives.

mod process;
#[cfg(feature = "uploads")]
mod uploads;

use std::{collections::BTreeMap, error::Error as StdError, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use self::process::ProcessMetrics;
#[cfg(feature = "diagnostics")]
pub(crate) use self::process::resident;
#[cfg(feature = "uploads")]
pub use self::uploads::{MAX_UPLOAD_ENTRIES, MAX_UPLOAD_GUILDS, UploadDirectory};
use crate::{GuildId, NodeId};

/// Answers how some part of the system is doing. Several sources are merged; one that fails is named and is not fatal.
///
/// # Contract
/// * A sample describes the moment of the call. What a source does not know it leaves `None`; zero means zero.
/// * Counters never fall while the source lives, and parts are no more than their whole: `heap_used`, `today`, `by_guild`.
/// * `name` is constant, printable and short (at most 64 bytes): it is what an operator reads when the source fails.
///
/// # Ordering
/// Calls may overlap.
///
/// # Cancellation
/// The future may be dropped at any time.
///
/// # Errors
/// [`MetricsError`] when nothing can be said.
///
/// The feature `conformance` checks an implementation against this contract, clause by clause.
///
/// # Example
/// ```
/// use async_trait::async_trait;
/// use slimy_rt::metrics::{MetricsError, MetricsSource, Sample, Uploads};
///
/// #[derive(Debug)]
/// struct NoUploads;
///
/// #[async_trait]
/// impl MetricsSource for NoUploads {
///     fn name(&self) -> &str {
///         "uploads"
///     }
///     async fn sample(&self) -> Result<Sample, MetricsError> {
///         Ok(Sample { uploads: Some(Uploads::default()), ..Sample::default() })
///     }
/// }
/// ```
#[async_trait]
pub trait MetricsSource: fmt::Debug + Send + Sync + 'static {
    /// What operators call this source.
    fn name(&self) -> &str;

    /// How it is doing now.
    ///
    /// # Errors
    /// See the trait's contract.
    async fn sample(&self) -> Result<Sample, MetricsError>;
}

#[async_trait]
impl<T: MetricsSource + ?Sized> MetricsSource for Arc<T> {
    fn name(&self) -> &str {
        (**self).name()
    }
    async fn sample(&self) -> Result<Sample, MetricsError> {
        (**self).sample().await
    }
}

#[async_trait]
impl<T: MetricsSource + ?Sized> MetricsSource for Box<T> {
    fn name(&self) -> &str {
        (**self).name()
    }
    async fn sample(&self) -> Result<Sample, MetricsError> {
        (**self).sample().await
    }
}

/// What a source knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// This process's memory.
    pub memory: Option<Memory>,
    /// Files that users sent.
    pub uploads: Option<Uploads>,
    /// Chat messages so far.
    pub chat_messages: Option<u64>,
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident in RAM.
    pub resident: u64,
    /// In use on the heap, as far as the platform tells: what is resident of [`heap_total`](Self::heap_total) at least.
    pub heap_used: u64,
    /// Reserved for the heap: the data segment, whether it is in RAM or not.
    pub heap_total: u64,
}

/// Files that users sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uploads {
    /// All of them.
    pub total: u64,
    /// Those of this UTC day.
    pub today: u64,
    /// Per guild.
    pub by_guild: BTreeMap<GuildId, u64>,
}

/// What one node of several says of itself, for the others to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct NodeSample {
    /// The node.
    pub id: NodeId,
    /// Its clients now.
    pub connections: u64,
    /// The rooms that have members there now.
    pub rooms: u64,
    /// Chat messages that it accepted since it started.
    pub messages: u64,
    /// How long it has been running.
    pub uptime: Duration,
    /// Its process's memory in RAM, in bytes, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident: Option<u64>,
}

impl NodeSample {
    /// A node that has just started.
    #[must_use]
    pub fn new(id: NodeId) -> Self {
        Self {
            id,
            connections: 0,
            rooms: 0,
            messages: 0,
            uptime: Duration::ZERO,
            resident: None,
        }
    }
}

/// Why there is no sample.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// It cannot be found out now.
    #[error("the metrics source cannot answer")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
}

impl MetricsError {
    /// Whether asking again later may give an answer.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
