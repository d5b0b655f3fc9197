//! The log: streams, each for the rooms of some buckets, with one numbering.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use redis::{Pipeline, Script, Value};
use slimy_rt::{
    NodeId,
    broker::{Audience, BrokerError, HistoryError, Page, Position, Publication},
};

use super::super::{
    Redis, RedisError,
    error::{refused, unavailable},
};
use crate::interest::{EVERYONE, buckets_for, buckets_of};

/// How many streams rooms are spread over.
pub(super) const ROOM_STREAMS: usize = 16;
/// With the one that every node reads, which is the first.
const STREAMS: usize = ROOM_STREAMS + 1;
/// A batch of so many publications at most, and so many bytes, is pushed to those who follow the log; of a larger one they are told that it is there, and read it.
const MAX_PUSHED: usize = 8;
const MAX_PUSHED_BYTES: usize = 64 * 1024;
/// The most bytes that a publication may have.
pub const MAX_PUBLICATION_BYTES: usize = 8 * 1024 * 1024;

/// How much a stream keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    pub(super) max_entries: usize,
    pub(super) max_bytes: usize,
}

/// The log, seen from one node.
#[derive(Debug)]
pub(super) struct Log {
    redis: Redis,
    retention: Retention,
    publish: Script,
    /// Of what is known of the log.
    meta: String,
    streams: Vec<String>,
}

/// Where the log ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) epoch: String,
    pub(super) number: u64,
}

impl End {
    pub(super) fn position(&self) -> Position {
        Position::at(&self.epoch, self.number)
    }
}

/// What was read of some streams at one moment.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) end: End,
    /// The last publication that any of these streams has lost.
    pub(super) trimmed: u64,
    /// The publications, by their numbers.
    pub(super) entries: BTreeMap<u64, Bytes>,
    /// Up to where that is all.
    pub(super) complete_to: u64,
}

impl Log {
    pub(super) fn new(redis: Redis, retention: Retention) -> Self {
        let meta = redis.key("log");
        Self {
            redis,
            retention,
            publish: Script::new(include_str!("../scripts/publish.lua")),
            streams: (0..STREAMS)
                .map(|stream| format!("{meta}:{stream}"))
                .collect(),
            meta,
        }
    }

    /// Puts a node's publications into the log, all of them or none, and says where it ends. Those of its own that are in it already stay as they are.
    pub(super) async fn publish(
        &self,
        node: &NodeId,
        batch: &[Arc<Publication>],
    ) -> Result<End, BrokerError> {
        let mut entries = Vec::with_capacity(batch.len());
        for publication in batch {
            let bytes = publication.to_bytes()?;
            if bytes.len() > MAX_PUBLICATION_BYTES.min(self.retention.max_bytes) {
                let text = format!(
                    "a publication of {} bytes is larger than Redis' log takes: {MAX_PUBLICATION_BYTES}, and no more than `max_bytes`",
                    bytes.len()
                );
                return Err(BrokerError::Invalid(text.into()));
            }
            let own = publication.id.as_ref().filter(|(n, _)| n == node);
            let sequence = own
                .map(|(_, sequence)| sequence.to_string())
                .unwrap_or_default();
            entries.push((numbers(buckets_for(&publication.audience)), sequence, bytes));
        }
        Ok(self.append(node, &entries).await?)
    }

    /// Where the log ends; a log is begun if there is none of this run of the server.
    pub(super) async fn end(&self) -> Result<End, BrokerError> {
        Ok(self.append(&NodeId::random(), &[]).await?)
    }

    async fn append(
        &self,
        node: &NodeId,
        entries: &[(String, String, Bytes)],
    ) -> Result<End, RedisError> {
        let epoch = NodeId::random();
        let bytes: usize = entries.iter().map(|(_, _, bytes)| bytes.len()).sum();
        let is_small = entries.len() <= MAX_PUSHED && bytes <= MAX_PUSHED_BYTES;
        let (epoch, number): (String, u64) = self
            .redis
            .script(&self.publish, |call, link| {
                call.key(&self.meta)
                    .key(self.redis.key(&format!("published:{node}")));
                call.arg(&*link.run).arg(&epoch.as_str()[..10]);
                call.arg(STREAMS)
                    .arg(self.retention.max_entries)
                    .arg(self.retention.max_bytes)
                    .arg(self.redis.channel_suffix())
                    .arg(u8::from(is_small));
                for (streams, sequence, bytes) in entries {
                    call.arg(streams).arg(sequence).arg(&bytes[..]);
                }
            })
            .await?;
        Ok(End { epoch, number })
    }

    /// The keys of the streams of these buckets.
    pub(super) fn streams(&self, buckets: u64) -> Vec<usize> {
        let mut streams: Vec<usize> = bits(buckets).map(stream_of).collect();
        streams.sort_unstable();
        streams.dedup();
        streams
    }

    /// On which the publications of a stream are pushed.
    pub(super) fn channel(&self, stream: usize) -> String {
        self.redis.channel(&self.streams[stream])
    }

    fn stream_key(&self, stream: usize) -> &str {
        &self.streams[stream]
    }

    /// Adds the commands that read, as one step, what these streams have behind `after` and up to `to`, so many of each; [`read`](Self::read) makes
    /// sense of the answer.
    pub(super) fn reading(
        &self,
        pipeline: &mut Pipeline,
        streams: &[usize],
        after: u64,
        to: Option<u64>,
        count: usize,
    ) {
        pipeline.cmd("MULTI").ignore();
        let about = pipeline
            .cmd("HMGET")
            .arg(&self.meta)
            .arg("epoch")
            .arg("end");
        for stream in streams {
            about.arg(format!("trimmed{stream}"));
        }
        about.ignore();
        match to {
            // One command that answers with those streams only that have something.
            None => {
                let read = pipeline.cmd("XREAD").arg("COUNT").arg(count).arg("STREAMS");
                let keys: Vec<_> = streams.iter().map(|s| self.stream_key(*s)).collect();
                read.arg(keys)
                    .arg(vec![format!("{after}-0"); streams.len()])
                    .ignore();
            }
            Some(to) => {
                for stream in streams {
                    pipeline
                        .cmd("XRANGE")
                        .arg(self.stream_key(*stream))
                        .arg(format!("{}-0", after + 1))
                        .arg(format!("{to}-0"))
                        .arg("COUNT")
                        .arg(count)
                        .ignore();
                }
            }
        }
        pipeline.cmd("EXEC");
    }

    /// Makes sense of the answer to [`reading`](Self::reading). `None`: there is no log.
    pub(super) fn read(
        answer: Value,
        count: usize,
        to: Option<u64>,
    ) -> Result<Option<Reading>, RedisError> {
        let mut parts = array(answer)?.into_iter();
        let about: Vec<Option<String>> = parts
            .next()
            .map(redis::from_redis_value)
            .transpose()
            .map_err(unexpected)?
            .unwrap_or_default();
        let number =
            |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<u64>().ok());
        let (Some(Some(epoch)), Some(end)) = (about.first(), about.get(1).and_then(number)) else {
            return Ok(None);
        };
        let mut reading = Reading {
            end: End {
                epoch: epoch.clone(),
                number: end,
            },
            trimmed: about.iter().skip(2).filter_map(number).max().unwrap_or(0),
            entries: BTreeMap::new(),
            complete_to: to.unwrap_or(end).min(end),
        };
        let parts: Vec<Value> = match to {
            Some(_) => parts.collect(),
            None => array(parts.next().unwrap_or(Value::Nil))?
                .into_iter()
                .map(|stream| {
                    array(stream)?
                        .pop()
                        .ok_or_else(|| unavailable("Redis answered nothing"))
                })
                .collect::<Result<_, _>>()?,
        };
        for stream in parts {
            let (mut last, mut seen) = (0, 0);
            for entry in array(stream)? {
                let (id, fields): (String, Vec<Value>) =
                    redis::from_redis_value(entry).map_err(unexpected)?;
                let Some(Value::BulkString(bytes)) = fields.into_iter().nth(1) else {
                    return Err(refused("a stream of the log has entries of somebody else"));
                };
                last = id
                    .split('-')
                    .next()
                    .and_then(|number| number.parse().ok())
                    .unwrap_or(0);
                seen += 1;
                reading.entries.insert(last, bytes.into());
            }
            if seen >= count {
                reading.complete_to = reading.complete_to.min(last);
            }
        }
        let _beyond = reading.entries.split_off(&(reading.complete_to + 1));
        Ok(Some(reading))
    }

    pub(super) async fn history(
        &self,
        after: &Position,
        to: &Position,
        audience: &Audience,
        max: usize,
    ) -> Result<Page, HistoryError> {
        let gone = || HistoryError::Gone;
        let ((epoch, after), (to_epoch, to)) = (
            after.parts().ok_or_else(gone)?,
            to.parts().ok_or_else(gone)?,
        );
        if epoch != to_epoch {
            return Err(HistoryError::Gone);
        }
        let buckets = if audience.rooms.is_empty() {
            u64::MAX
        } else {
            buckets_of(&audience.rooms) | 1 << EVERYONE
        };
        let streams = self.streams(buckets);
        let count = max.clamp(16, 512);
        let mut page = Page {
            publications: Vec::new(),
            complete: false,
        };
        let mut at = after;
        loop {
            let mut pipeline = Pipeline::new();
            self.reading(&mut pipeline, &streams, at, Some(to), count);
            let answer = self
                .redis
                .pipeline(&pipeline)
                .await
                .map_err(BrokerError::from)?;
            let answer = first(answer).map_err(BrokerError::from)?;
            let reading = Self::read(answer, count, Some(to)).map_err(BrokerError::from)?;
            let reading = reading.filter(|reading| {
                let end = &reading.end;
                end.epoch == epoch && to.max(after) <= end.number && reading.trimmed <= at
            });
            let reading = reading.ok_or_else(gone)?;
            for (number, bytes) in &reading.entries {
                let publication = Publication::from_bytes(bytes)?;
                if !publication.audience.concerns(&audience.rooms) {
                    continue;
                }
                if page.publications.len() == max {
                    return Ok(page);
                }
                page.publications
                    .push((Position::at(epoch, *number), publication.into()));
            }
            at = reading.complete_to;
            if at >= to {
                page.complete = true;
                return Ok(page);
            }
        }
    }
}

/// The streams of some buckets, as the script reads them.
fn numbers(buckets: u64) -> String {
    let mut text = String::new();
    let mut seen = 0_u32;
    for stream in bits(buckets).map(stream_of) {
        if seen & 1 << stream == 0 {
            seen |= 1 << stream;
            text += &stream.to_string();
            text.push(',');
        }
    }
    text
}

fn bits(mask: u64) -> impl Iterator<Item = u8> {
    (0..64).filter(move |bit| mask & 1 << bit != 0)
}

/// The stream of a bucket: the first is everyone's.
fn stream_of(bucket: u8) -> usize {
    if bucket == EVERYONE {
        0
    } else {
        1 + usize::from(bucket) % ROOM_STREAMS
    }
}

/// The answer of the last command of a pipeline of which all others are ignored.
pub(super) fn first(answer: Value) -> Result<Value, RedisError> {
    let last = array(answer)?.pop();
    last.ok_or_else(|| unavailable("Redis answered nothing"))
}

fn array(value: Value) -> Result<Vec<Value>, RedisError> {
    match value {
        Value::Array(values) => Ok(values),
        Value::Nil => Ok(Vec::new()),
        Value::ServerError(error) => Err(redis::RedisError::from(error).into()),
        other => Err(unexpected(redis::RedisError::from((
            redis::ErrorKind::UnexpectedReturnType,
            "not an array",
            format!("{other:?}").chars().take(100).collect(),
        )))),
    }
}

fn unexpected(error: impl Into<redis::RedisError>) -> RedisError {
    error.into().into()
}
