//! The shared connection, which is made when it is needed and replaced when it breaks.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, InfoDict, Pipeline, Script, ScriptInvocation,
};
use slimy_rt::NodeId;
use tokio::{sync::Mutex, time::timeout};

use super::{
    RedisConfig, RedisError,
    broker::Pushes,
    error::{REPLICA, code, unavailable},
    lock,
    stream::Connection,
};

/// For how long a failure to connect is everybody's: those who waited for it do not each try again.
const SHARED_FAILURE: Duration = Duration::from_millis(50);

/// A Redis server that backends share. A cheap clone. It connects when it is first needed, and again whenever the connection has broken.
#[derive(Clone)]
pub struct Redis(Arc<Shared>);

struct Shared {
    config: RedisConfig,
    state: Mutex<State>,
    /// The run of the primary to which the last connection was made, if it said so.
    latest: std::sync::Mutex<Option<Arc<str>>>,
}

#[derive(Default)]
struct State {
    link: Option<Link>,
    made: u64,
    failed: Option<(Instant, RedisError)>,
}

/// A connection, and the run of the server that it leads to. No connection outlives a run.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) connection: Connection,
    pub(super) run: Arc<str>,
    number: u64,
}

impl Redis {
    /// A client of that server. Nothing connects yet: what is wrong with the address shows when it is used.
    #[must_use]
    pub fn new(config: RedisConfig) -> Self {
        Self(Arc::new(Shared {
            config,
            state: Mutex::default(),
            latest: std::sync::Mutex::default(),
        }))
    }

    /// Whether Redis answers, and is a primary.
    ///
    /// # Errors
    /// [`RedisError`] when it does not, or refuses.
    pub async fn ping(&self) -> Result<(), RedisError> {
        let link = self.link().await?;
        let mut connection = link.connection.clone();
        let answer = role().query_async(&mut connection).await;
        let answer = self.seen(&link, answer).await?;
        let is_primary = self.is_primary(&link.run, &answer);
        if is_primary.is_err() {
            self.give_up(&link).await;
        }
        is_primary
    }

    /// Whether a connection to that run of a server leads to the primary still. Nobody closes it when another takes over, and one who only reads notices nothing.
    pub(super) fn is_primary(&self, run: &str, role: &InfoDict) -> Result<(), RedisError> {
        not_a_replica(role)?;
        self.is_current(run)
    }

    /// Whether the name has not led to another primary since.
    pub(super) fn is_current(&self, run: &str) -> Result<(), RedisError> {
        match self.is_latest(run) {
            true => Ok(()),
            false => Err(unavailable("Redis' name leads to another server now")),
        }
    }

    fn is_latest(&self, run: &str) -> bool {
        lock(&self.0.latest)
            .as_deref()
            .is_none_or(|latest| latest == run)
    }

    /// The name of a key of this server's own.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.0.config.prefix)
    }

    /// The channel that goes with a key. Channels are the same in all databases, which keys are not.
    pub(super) fn channel(&self, key: &str) -> String {
        format!("{key}{}", self.channel_suffix())
    }

    /// What is behind a key in its channel's name.
    pub(super) fn channel_suffix(&self) -> String {
        format!("@{}", self.0.config.info.redis_settings().db())
    }

    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        let mut link = self.link().await?;
        let answer = command.query_async(&mut link.connection).await;
        self.seen(&link, answer).await
    }

    pub(super) async fn pipeline<T: FromRedisValue>(
        &self,
        pipeline: &Pipeline,
    ) -> Result<T, RedisError> {
        let mut link = self.link().await?;
        let answer = pipeline.query_async(&mut link.connection).await;
        self.seen(&link, answer).await
    }

    pub(super) async fn script<T: FromRedisValue>(
        &self,
        script: &Script,
        build: impl for<'a> FnOnce(&mut ScriptInvocation<'a>, &Link),
    ) -> Result<T, RedisError> {
        let mut link = self.link().await?;
        let mut call = script.prepare_invoke();
        build(&mut call, &link);
        let answer = call.invoke_async(&mut link.connection).await;
        self.seen(&link, answer).await
    }

    /// Drops the connection if that is what the answer says about it.
    async fn seen<T>(
        &self,
        link: &Link,
        answer: Result<T, redis::RedisError>,
    ) -> Result<T, RedisError> {
        let error = match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let is_broken = error.is_unrecoverable_error() || error.is_io_error() || error.is_timeout();
        // The host's name may lead to the new primary.
        if is_broken || matches!(code(&error), Some("READONLY" | "MASTERDOWN")) {
            self.give_up(link).await;
        }
        Err(error.into())
    }

    async fn give_up(&self, link: &Link) {
        let mut state = self.0.state.lock().await;
        state.link.take_if(|current| current.number == link.number);
    }

    /// The shared connection.
    pub(super) async fn link(&self) -> Result<Link, RedisError> {
        let mut state = self.0.state.lock().await;
        if let Some(link) = &state.link
            && self.is_latest(&link.run)
        {
            return Ok(link.clone());
        }
        if let Some((at, error)) = &state.failed
            && at.elapsed() < SHARED_FAILURE
        {
            return Err(error.clone());
        }
        state.made += 1;
        match self.connect(self.0.config.command_timeout, None).await {
            Ok(mut link) => {
                link.number = state.made;
                state.link = Some(link.clone());
                state.failed = None;
                Ok(link)
            }
            Err(error) => {
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// A connection of one's own, whose commands may take so long. With `pushes` it speaks RESP3, and what Redis says by itself goes there.
    pub(super) async fn connect(
        &self,
        response_timeout: Duration,
        pushes: Option<Pushes>,
    ) -> Result<Link, RedisError> {
        let within = self.0.config.connect_timeout;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(within))
            .set_response_timeout(Some(response_timeout));
        let connect = async {
            let RedisConfig { info, tls, .. } = &self.0.config;
            let mut connection = Connection::open(info, tls.as_ref(), config, pushes).await?;
            // All of it: of several commands at once an error does not say what it means.
            let info: InfoDict = redis::cmd("INFO").query_async(&mut connection).await?;
            not_a_replica(&info)?;
            Ok::<_, RedisError>((connection, info.get::<String>("run_id")))
        };
        let connected = timeout(within, connect).await;
        let (connection, run) =
            connected.map_err(|_| unavailable("Redis does not answer in time"))??;
        let run: Option<Arc<str>> = run.map(Into::into);
        lock(&self.0.latest).clone_from(&run);
        Ok(Link {
            connection,
            // A server that does not say which run this is might have lost everything between two connections.
            run: run.unwrap_or_else(|| NodeId::random().as_str().into()),
            number: 0,
        })
    }

    pub(super) fn command_timeout(&self) -> Duration {
        self.0.config.command_timeout
    }
}

fn not_a_replica(role: &InfoDict) -> Result<(), RedisError> {
    match role.get::<String>("role").as_deref() {
        Some("slave") => Err(unavailable(REPLICA)),
        _ => Ok(()),
    }
}

/// Asks for what [`Redis::is_primary`] looks at.
pub(super) fn role() -> Cmd {
    let mut info = redis::cmd("INFO");
    info.arg("replication");
    info
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redis").field(&self.0.config).finish()
    }
}
