//! Requests between nodes and their answers: rows of a table, which each node takes out as they come for it.

use std::{sync::Arc, time::Duration};

use slimy_rt::{
    NodeId,
    broker::{BrokerError, BrokerEvents, Expected, Reply, ReplySink, Request},
};
use sqlx::Row;
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::super::{Postgres, PostgresError};
use crate::open_requests::OpenRequests;

/// How often a node says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// After what time a node that says nothing is gone, in seconds.
const GONE: f64 = 6.0;
/// For how long a message is kept that nobody takes out, in seconds.
const MESSAGE_KEPT: f64 = 60.0;
/// How many messages are taken out at once.
const MESSAGES: i64 = 64;
/// After what time a node that published nothing has nothing to publish again, in seconds.
const PUBLISHED_KEPT: f64 = 3_600.0;
/// The most messages that may wait for one node; a request that finds more does not ask it.
pub const MAX_WAITING_MESSAGES: i64 = 4_096;

/// This node's side of the conversation.
#[derive(Debug)]
pub(super) struct Messages {
    postgres: Postgres,
    node: NodeId,
    open: OpenRequests,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Messages {
    pub(super) fn new(postgres: Postgres, node: NodeId) -> Self {
        Self {
            postgres,
            node,
            open: OpenRequests::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    pub(super) fn node(&self) -> &NodeId {
        &self.node
    }

    /// Registers this node, whose name must be free.
    pub(super) async fn join(&self) -> Result<(), BrokerError> {
        let node = self.node.as_str().as_bytes().to_vec();
        let is_free = self
            .postgres
            .run(move |connection| {
                let sql = "WITH gone AS (DELETE FROM nodes WHERE seen < now() - make_interval(secs => $2) RETURNING node) \
                           INSERT INTO nodes (node) SELECT $1 WHERE NOT EXISTS (SELECT FROM nodes WHERE node = $1 AND node NOT IN (SELECT node FROM gone)) \
                           ON CONFLICT (node) DO UPDATE SET seen = now()";
                Box::pin(async move { sqlx::query(sql).bind(node).bind(GONE).execute(connection).await })
            })
            .await?
            .rows_affected();
        if is_free == 0 {
            let text = format!("the node id {} is taken", self.node);
            return Err(BrokerError::Invalid(text.into()));
        }
        Ok(())
    }

    /// Says again and again that this node is there, and gives requests up to nodes that are not.
    pub(super) async fn keep_registered(&self) {
        loop {
            sleep(HEARTBEAT).await;
            match self.heartbeat().await {
                Ok(nodes) => self.open.only(&nodes),
                Err(error) => {
                    // Nobody answers through an engine that is away.
                    tracing::debug!(%error, "a heartbeat was not taken");
                    self.open.give_up();
                }
            }
        }
    }

    /// Sweeps what nobody wants any more too, since somebody has to.
    async fn heartbeat(&self) -> Result<Vec<NodeId>, PostgresError> {
        let node = self.node.as_str().as_bytes().to_vec();
        let rows = self
            .postgres
            .run(move |connection| {
                Box::pin(async move {
                    sqlx::query("INSERT INTO nodes (node) VALUES ($1) ON CONFLICT (node) DO UPDATE SET seen = now()").bind(node).execute(&mut *connection).await?;
                    sqlx::query("DELETE FROM nodes WHERE seen < now() - make_interval(secs => $1)").bind(GONE).execute(&mut *connection).await?;
                    sqlx::query("DELETE FROM messages WHERE sent < now() - make_interval(secs => $1)").bind(MESSAGE_KEPT).execute(&mut *connection).await?;
                    sqlx::query("DELETE FROM published WHERE seen < now() - make_interval(secs => $1)").bind(PUBLISHED_KEPT).execute(&mut *connection).await?;
                    sqlx::query("DELETE FROM states WHERE expires < now()").execute(&mut *connection).await?;
                    sqlx::query("SELECT node FROM nodes").fetch_all(connection).await
                })
            })
            .await?;
        Ok(rows.iter().filter_map(|row| name(row, "node")).collect())
    }

    /// Takes this node out of the register.
    pub(super) async fn leave(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.open.give_up();
        let node = self.node.as_str().as_bytes().to_vec();
        let left = self.postgres.run(move |connection| {
            Box::pin(async move {
                sqlx::query("DELETE FROM nodes WHERE node = $1")
                    .bind(&node)
                    .execute(&mut *connection)
                    .await?;
                sqlx::query("DELETE FROM messages WHERE node = $1")
                    .bind(&node)
                    .execute(connection)
                    .await
            })
        });
        // Otherwise its time runs out by itself.
        if let Err(error) = left.await {
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
        let (node, channel, request) = (
            self.node.as_str().as_bytes().to_vec(),
            self.postgres.channel("log"),
            id.clone(),
        );
        let asked = self
            .postgres
            .run(move |connection| {
                let sql = "WITH asked AS (INSERT INTO messages (node, kind, sender, request, body) \
                           SELECT node, 'request', $1, $2, $3 FROM nodes WHERE node <> $1 AND seen >= now() - make_interval(secs => $4) \
                           AND (SELECT count(*) FROM messages m WHERE m.node = nodes.node) < $6 RETURNING node) \
                           SELECT node, pg_notify($5, 'm') FROM asked";
                let query = sqlx::query(sql).bind(node).bind(request).bind(body).bind(GONE).bind(channel).bind(MAX_WAITING_MESSAGES);
                Box::pin(query.fetch_all(connection))
            })
            .await;
        match asked {
            Ok(rows) => Ok(self.open.asked(
                &id,
                rows.iter().filter_map(|row| name(row, "node")).collect(),
            )),
            Err(error) => {
                self.open.abandon(&id);
                Err(error.into())
            }
        }
    }

    /// Takes out what is for this node and deals with it; says whether there may be more.
    pub(super) async fn take(
        self: &Arc<Self>,
        events: &Arc<dyn BrokerEvents>,
    ) -> Result<bool, PostgresError> {
        let node = self.node.as_str().as_bytes().to_vec();
        let mut rows = self
            .postgres
            .run(move |connection| {
                let sql = "DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE node = $1 ORDER BY id LIMIT $2) \
                           RETURNING id, kind, sender, request, body";
                Box::pin(sqlx::query(sql).bind(node).bind(MESSAGES).fetch_all(connection))
            })
            .await?;
        rows.sort_by_key(|row| row.get::<i64, _>("id"));
        for row in &rows {
            let (kind, id): (String, String) = (row.try_get("kind")?, row.try_get("request")?);
            let body: Option<Vec<u8>> = row.try_get("body")?;
            let Some(from) = name(row, "sender") else {
                continue;
            };
            self.message(&kind, from, id, body.as_deref(), events).await;
        }
        Ok(rows.len() as i64 == MESSAGES)
    }

    async fn message(
        self: &Arc<Self>,
        kind: &str,
        from: NodeId,
        id: String,
        body: Option<&[u8]>,
        events: &Arc<dyn BrokerEvents>,
    ) {
        if kind != "request" {
            let reply = body.and_then(|body| serde_json::from_slice(body).ok());
            return self.open.answered(&from, &id, reply).await;
        }
        match body.map(serde_json::from_slice) {
            Some(Ok(request)) => events.request(request, self.answering(from, id)),
            _ => {
                tracing::warn!(node = %from, "a request of another node cannot be read: it may be of another version");
                self.tasks.spawn(Arc::clone(self).send(from, id, None));
            }
        }
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
                this.send(to, id, reply).await;
            };
            let _ = stop.run_until_cancelled(answer).await;
        });
        sink
    }

    async fn send(self: Arc<Self>, to: NodeId, id: String, reply: Option<Reply>) {
        let body = match reply.as_ref().map(serde_json::to_vec).transpose() {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, "an answer to another node cannot be written");
                None
            }
        };
        let (node, sender, channel) = (
            to.as_str().as_bytes().to_vec(),
            self.node.as_str().as_bytes().to_vec(),
            self.postgres.channel("log"),
        );
        let sent = self.postgres.run(move |connection| {
            let sql = "WITH sent AS (INSERT INTO messages (node, kind, sender, request, body) VALUES ($1, 'reply', $2, $3, $4) RETURNING id) \
                       SELECT pg_notify($5, 'm') FROM sent";
            let query = sqlx::query(sql).bind(node).bind(sender).bind(id).bind(body).bind(channel);
            Box::pin(query.execute(connection))
        });
        // Whoever asked gives up when this node is gone, or in time.
        if let Err(error) = sent.await {
            tracing::warn!(%error, node = %to, "an answer did not get to the node that asked");
        }
    }

    /// Waits for nobody.
    pub(super) fn give_up(&self) {
        self.open.give_up();
    }
}

fn name(row: &sqlx::postgres::PgRow, column: &str) -> Option<NodeId> {
    let bytes: Vec<u8> = row.try_get(column).ok()?;
    NodeId::parse(std::str::from_utf8(&bytes).ok()?).ok()
}
