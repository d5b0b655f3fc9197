//! Requests between nodes and their answers: rows of a table, of which each node deletes its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use slimy_rt::{
    NodeId,
    broker::{BrokerError, BrokerEvents, Expected, Health, Reply, ReplySink, Request},
};
use sqlx::{Row as _, postgres::PgRow};
use tokio::{sync::Mutex, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::super::{Postgres, PostgresError, error::unavailable, listener::Listener};
use crate::open_requests::OpenRequests;

/// How many messages may wait for a node; further ones do not get to it.
pub const MAX_INBOX: i32 = 4_096;
/// The most bytes of a request or an answer, as JSON.
pub const MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// How often a node says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// After how many seconds a node that says nothing is gone.
const GONE: f64 = 6.0;
/// How many messages are read at once, and of how many bytes: one at least.
const READ: (i32, i64) = (64, 8 * 1024 * 1024);

/// This node's side of the conversation.
#[derive(Debug)]
pub(super) struct Messages {
    postgres: Postgres,
    node: NodeId,
    /// Tells this process from another one that uses the same name.
    process: NodeId,
    open: OpenRequests,
    /// The messages that were dealt with, and may still be there.
    handled: Mutex<Vec<i64>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Whether the last heartbeat or publication was not taken.
    is_refused: AtomicBool,
}

/// The channels on which it rings.
#[derive(Debug)]
pub(super) struct Bells {
    pub(super) log: String,
    pub(super) inbox: String,
}

impl Bells {
    pub(super) fn each(&self) -> [&str; 2] {
        [&self.log, &self.inbox]
    }
}

impl Messages {
    pub(super) fn new(postgres: Postgres, node: NodeId) -> Self {
        Self {
            postgres,
            node,
            process: NodeId::random(),
            open: OpenRequests::default(),
            handled: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
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

    pub(super) async fn bells(&self) -> Result<Bells, PostgresError> {
        let own = sqlx::query("SELECT bell_of($1)").bind(self.node.as_str());
        let row = self.postgres.row(own).await?;
        let row = row.ok_or_else(|| unavailable("Postgres answered nothing"))?;
        Ok(Bells {
            log: format!("{}:log", self.postgres.config().schema),
            inbox: row.try_get(0)?,
        })
    }

    /// Registers this node, whose name must be free.
    pub(super) async fn join(&self) -> Result<(), BrokerError> {
        if self.register().await?.is_empty() {
            let text = format!("the node id {} is taken", self.node);
            return Err(BrokerError::Invalid(text.into()));
        }
        Ok(())
    }

    /// Says that this node is there, and gives all that are.
    async fn register(&self) -> Result<Vec<NodeId>, PostgresError> {
        let register = sqlx::query("SELECT register($1, $2, make_interval(secs => $3))");
        let register = register.bind(self.node.as_str());
        let register = register.bind(self.process.as_str()).bind(GONE);
        nodes(&self.postgres.rows(register).await?)
    }

    /// Says again and again that this node is there, and gives requests up to nodes that are not.
    pub(super) async fn keep_registered(&self) {
        loop {
            sleep(HEARTBEAT).await;
            let registered = self.register().await;
            let is_news = self.wrote(registered.is_ok());
            match registered {
                Ok(nodes) => self.open.only(&nodes),
                Err(error) => {
                    // Nobody answers through an engine that is away.
                    if is_news {
                        tracing::warn!(%error, "Postgres takes no heartbeat of this node");
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
        let leave = sqlx::query("SELECT unregister($1)").bind(self.node.as_str());
        // Otherwise its time runs out by itself.
        if let Err(error) = self.postgres.execute(leave).await {
            tracing::debug!(%error, "a node could not take its leave");
        }
        self.tasks.wait().await;
    }

    pub(super) async fn ask(
        &self,
        request: &Request,
        replies: ReplySink,
    ) -> Result<Expected, BrokerError> {
        let body = serde_json::to_vec(request);
        let body = body.map_err(|error| BrokerError::Invalid(error.to_string().into()))?;
        if body.len() > MAX_MESSAGE_BYTES {
            let text = format!(
                "a request to other nodes has at most {MAX_MESSAGE_BYTES} bytes, not {}",
                body.len()
            );
            return Err(BrokerError::Invalid(text.into()));
        }
        let id = self.open.begin(replies)?;
        let ask = sqlx::query("SELECT ask($1, $2, $3, make_interval(secs => $4), $5)");
        let ask = ask.bind(self.node.as_str()).bind(&id);
        let ask = ask.bind(body).bind(GONE).bind(MAX_INBOX);
        let asked = self.postgres.rows(ask).await;
        let asked = asked.and_then(|rows| nodes(&rows));
        let asked = asked.inspect_err(|_| self.open.abandon(&id))?;
        Ok(self.open.asked(&id, asked))
    }

    /// Deals with the next messages, deletes those before, and says whether there may be more.
    pub(super) async fn read(
        self: &Arc<Self>,
        listener: &mut Listener,
        events: &Arc<dyn BrokerEvents>,
    ) -> Result<bool, PostgresError> {
        let mut handled = self.handled.lock().await;
        let read = sqlx::query(
            "WITH handled AS (DELETE FROM messages WHERE id = ANY ($2))
             SELECT id, from_node, request, is_answer, body FROM (
               SELECT *, sum(length(body)) OVER (ORDER BY id) - length(body) AS before FROM (
                 SELECT * FROM messages WHERE to_node = $1 AND id <> ALL ($2) ORDER BY id LIMIT $3
               ) AS next
             ) AS next
             WHERE coalesce(before, 0) < $4
             ORDER BY id",
        );
        let read = read.bind(self.node.as_str()).bind(&*handled);
        let rows = listener.rows(read.bind(READ.0).bind(READ.1)).await?;
        handled.clear();
        for row in &rows {
            handled.push(row.try_get(0)?);
            self.message(row, events).await?;
        }
        Ok(!rows.is_empty())
    }

    async fn message(
        self: &Arc<Self>,
        row: &PgRow,
        events: &Arc<dyn BrokerEvents>,
    ) -> Result<(), PostgresError> {
        let (from, id): (&str, &str) = (row.try_get(1)?, row.try_get(2)?);
        let (is_answer, body): (bool, Option<&[u8]>) = (row.try_get(3)?, row.try_get(4)?);
        let Ok(from) = NodeId::parse(from) else {
            return Ok(());
        };
        if is_answer {
            let reply = body.and_then(|body| serde_json::from_slice(body).ok());
            self.open.answered(&from, id, reply).await;
            return Ok(());
        }
        match body.map(serde_json::from_slice) {
            Some(Ok(request)) => {
                let replies = self.answering(from, id.to_owned());
                events.request(request, replies);
            }
            _ => {
                tracing::warn!(node = %from, "a request of another node cannot be read: it may be of another version");
                self.tasks
                    .spawn(Arc::clone(self).answer(from, id.to_owned(), None));
            }
        }
        Ok(())
    }

    /// Where another node's request is answered: the first answer goes to it, or that there is none.
    fn answering(self: &Arc<Self>, to: NodeId, id: String) -> ReplySink {
        let (sink, mut replies) = ReplySink::channel();
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            let stop = this.stop.clone();
            let answer = async {
                let reply = replies.recv().await;
                drop(replies);
                this.answer(to, id, reply).await;
            };
            // A node that stops answers nobody: the others see that it is gone.
            let _ = stop.run_until_cancelled(answer).await;
        });
        sink
    }

    async fn answer(self: Arc<Self>, to: NodeId, id: String, reply: Option<Reply>) {
        let body = match reply.as_ref().map(serde_json::to_vec).transpose() {
            Ok(body) => body.filter(|body| {
                let fits = body.len() <= MAX_MESSAGE_BYTES;
                if !fits {
                    tracing::error!(bytes = body.len(), most = MAX_MESSAGE_BYTES, node = %to, "an answer to another node is too large");
                }
                fits
            }),
            Err(error) => {
                tracing::error!(%error, "an answer to another node cannot be written");
                None
            }
        };
        let answer = sqlx::query("SELECT answer($1, $2, $3, $4)");
        let answer = answer.bind(to.as_str()).bind(self.node.as_str());
        // Whoever asked gives up when this node is gone, or in time.
        if let Err(error) = self.postgres.execute(answer.bind(id).bind(body)).await {
            tracing::warn!(%error, node = %to, "an answer did not get to the node that asked");
        }
    }

    /// Waits for nobody.
    pub(super) fn give_up(&self) {
        self.open.give_up();
    }
}

fn nodes(rows: &[PgRow]) -> Result<Vec<NodeId>, PostgresError> {
    let mut nodes = Vec::with_capacity(rows.len());
    for row in rows {
        nodes.extend(NodeId::parse(row.try_get(0)?).ok());
    }
    Ok(nodes)
}
