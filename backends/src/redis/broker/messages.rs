//! Requests between nodes and their answers: each node has an inbox, a stream that it reads beside the log, and a channel of that name on which it is told to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use redis::{Script, Value};
use slimy_rt::{
    NodeId,
    broker::{BrokerError, BrokerEvents, Expected, Health, Reply, ReplySink, Request},
};
use tokio::{runtime::Handle, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::super::{Redis, RedisError};
use crate::open_requests::OpenRequests;

/// How often a node says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// After what time a node that says nothing is gone.
const GONE: Duration = Duration::from_secs(6);
/// For how long an inbox is kept that nobody reads.
const INBOX_KEPT: Duration = Duration::from_secs(60);
/// How many messages an inbox may have; the oldest go first.
pub const MAX_INBOX: usize = 4_096;
/// This node's side of the conversation.
#[derive(Debug)]
pub(super) struct Messages {
    redis: Redis,
    node: NodeId,
    register: Script,
    request: Script,
    open: OpenRequests,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Whether the last heartbeat or publication was not taken.
    is_refused: AtomicBool,
}

impl Messages {
    pub(super) fn new(redis: Redis, node: NodeId, stop: CancellationToken) -> Self {
        Self {
            redis,
            node,
            register: Script::new(include_str!("../scripts/register.lua")),
            request: Script::new(include_str!("../scripts/request.lua")),
            open: OpenRequests::default(),
            tasks: TaskTracker::new(),
            stop,
            is_refused: AtomicBool::new(false),
        }
    }

    /// How the engine takes what this node writes: it may answer reads, and yet take nothing.
    pub(super) fn health(&self) -> Health {
        if self.is_refused.load(Relaxed) {
            Health::Down
        } else {
            Health::Up
        }
    }

    /// Notes whether something was written; says whether that is news.
    pub(super) fn wrote(&self, is_taken: bool) -> bool {
        self.is_refused.swap(!is_taken, Relaxed) == is_taken
    }

    pub(super) fn node(&self) -> &NodeId {
        &self.node
    }

    pub(super) fn inbox(&self) -> String {
        self.redis.key(&format!("inbox:{}", self.node))
    }

    /// On which this node is told that there is something in its inbox.
    pub(super) fn channel(&self) -> String {
        self.redis.channel(&self.inbox())
    }

    /// Registers this node, whose name must be free.
    pub(super) async fn join(&self) -> Result<(), BrokerError> {
        if self.register(true).await?.is_empty() {
            let text = format!("the node id {} is taken", self.node);
            return Err(BrokerError::Invalid(text.into()));
        }
        Ok(())
    }

    async fn register(&self, is_new: bool) -> Result<Vec<String>, RedisError> {
        let nodes = self.redis.key("nodes");
        self.redis
            .script(&self.register, |call, _| {
                call.key(nodes).key(self.inbox());
                call.arg(self.node.as_str())
                    .arg(millis(GONE))
                    .arg(millis(INBOX_KEPT))
                    .arg(u8::from(is_new));
            })
            .await
    }

    /// Says again and again that this node is there, and gives requests up to nodes that are not.
    pub(super) async fn keep_registered(&self) {
        loop {
            sleep(HEARTBEAT).await;
            let registered = self.register(false).await;
            let is_news = self.wrote(registered.is_ok());
            match registered {
                Ok(nodes) => self.open.only(&names(&nodes)),
                Err(error) => {
                    // Nobody answers through an engine that is away.
                    if is_news {
                        tracing::warn!(%error, "Redis takes no heartbeat of this node");
                    }
                    self.give_up();
                }
            }
        }
    }

    /// Takes this node out of the register.
    pub(super) async fn leave(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.give_up();
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("ZREM")
            .arg(self.redis.key("nodes"))
            .arg(self.node.as_str())
            .ignore();
        pipeline.cmd("DEL").arg(self.inbox()).ignore();
        // Otherwise its time runs out by itself.
        if let Err(error) = self.redis.pipeline::<()>(&pipeline).await {
            tracing::debug!(%error, "a node could not take its leave");
        }
        self.tasks.wait().await;
    }

    pub(super) async fn ask(
        &self,
        request: &Request,
        replies: ReplySink,
    ) -> Result<Expected, BrokerError> {
        let body =
            serde_json::to_vec(request).map_err(|e| BrokerError::Invalid(e.to_string().into()))?;
        let id = self.open.begin(replies)?;
        let asked: Result<Vec<String>, RedisError> = self
            .redis
            .script(&self.request, |call, _| {
                call.key(self.redis.key("nodes"));
                call.arg(self.redis.key("inbox:"))
                    .arg(self.node.as_str())
                    .arg(&id)
                    .arg(body);
                call.arg(millis(GONE))
                    .arg(millis(INBOX_KEPT))
                    .arg(MAX_INBOX)
                    .arg(self.redis.channel_suffix());
            })
            .await;
        match asked {
            Ok(nodes) => Ok(self.open.asked(&id, names(&nodes))),
            Err(error) => {
                self.open.abandon(&id);
                Err(error.into())
            }
        }
    }

    /// Deals with a message of the inbox.
    pub(super) async fn message(
        self: &Arc<Self>,
        fields: &[Value],
        events: &Arc<dyn BrokerEvents>,
    ) {
        let field = |name: &str| {
            let pairs = fields.chunks_exact(2);
            let mut named = pairs
                .filter(|pair| matches!(&pair[0], Value::BulkString(n) if n == name.as_bytes()));
            named.find_map(|pair| match &pair[1] {
                Value::BulkString(bytes) => Some(bytes.as_slice()),
                _ => None,
            })
        };
        let text = |name| field(name).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let (Some(kind), Some(from), Some(id)) = (text("kind"), text("from"), text("id")) else {
            return;
        };
        let Ok(from) = NodeId::parse(from) else {
            return;
        };
        match kind {
            "request" => match field("body").map(serde_json::from_slice) {
                Some(Ok(request)) => {
                    let replies = self.answering(from, id.to_owned());
                    events.request(request, replies);
                }
                _ => {
                    tracing::warn!(node = %from, "a request of another node cannot be read: it may be of another version");
                    self.tasks
                        .spawn(Arc::clone(self).send(from, id.to_owned(), None));
                }
            },
            "reply" => {
                let reply = field("body").and_then(|body| serde_json::from_slice(body).ok());
                self.open.answered(&from, id, reply).await;
            }
            _ => {}
        }
    }

    /// Where another node's request is answered: the first answer goes to it, or that there is none.
    fn answering(self: &Arc<Self>, to: NodeId, id: String) -> ReplySink {
        let (sink, mut replies) = ReplySink::channel();
        let this = Arc::clone(self);
        self.tasks.spawn_on(
            async move {
                let stop = this.stop.clone();
                let answer = async {
                    let reply = replies.recv().await;
                    drop(replies);
                    this.send(to, id, reply).await;
                };
                let _ = stop.run_until_cancelled(answer).await;
            },
            &Handle::current(),
        );
        sink
    }

    async fn send(self: Arc<Self>, to: NodeId, id: String, reply: Option<Reply>) {
        let inbox = self.redis.key(&format!("inbox:{to}"));
        let mut message = redis::cmd("XADD");
        message.arg(&inbox).arg("MAXLEN").arg("~").arg(MAX_INBOX);
        message.arg("*").arg("kind").arg("reply");
        message
            .arg("from")
            .arg(self.node.as_str())
            .arg("id")
            .arg(&id);
        match reply.as_ref().map(serde_json::to_vec) {
            Some(Ok(body)) => drop(message.arg("body").arg(body)),
            Some(Err(error)) => {
                tracing::error!(%error, "an answer to another node cannot be written")
            }
            None => {}
        }
        let mut pipeline = redis::pipe();
        pipeline.add_command(message).ignore();
        pipeline
            .cmd("PEXPIRE")
            .arg(&inbox)
            .arg(millis(INBOX_KEPT))
            .ignore();
        let channel = self.redis.channel(&inbox);
        pipeline.cmd("PUBLISH").arg(channel).arg("").ignore();
        // Whoever asked gives up when this node is gone, or in time.
        if let Err(error) = self.redis.pipeline::<()>(&pipeline).await {
            tracing::warn!(%error, node = %to, "an answer did not get to the node that asked");
        }
    }

    /// Waits for nobody.
    pub(super) fn give_up(&self) {
        self.open.give_up();
    }
}

fn names(nodes: &[String]) -> Vec<NodeId> {
    let parse = |node: &String| NodeId::parse(node).ok();
    nodes.iter().filter_map(parse).collect()
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
