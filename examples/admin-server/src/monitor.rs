//! Whether the engines are there: asked once at the start when that is required, and from then on for the log.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    engines::NamedEngine,
    failure::{Failure, chain},
};

/// How long an engine may take to be ready at the start: it may have tables to make.
const START: Duration = Duration::from_secs(5);
/// How often an engine is asked.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Fails unless every engine is ready within seconds.
pub(crate) async fn require(engines: &[NamedEngine]) -> Result<(), Failure> {
    for engine in engines {
        if let Err(why) = check(engine, START).await {
            let flags = engine.flags();
            return Err(Failure::start(format!(
                "{flags}: {why} (with --require-backends that ends the start)"
            )));
        }
    }
    Ok(())
}

/// Logs once when an engine goes away, and once when it is back, until `stop`.
pub(crate) async fn watch(engine: NamedEngine, stop: CancellationToken) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_away = false;
    let watch = async {
        loop {
            ticks.tick().await;
            let flags = engine.flags();
            match check(&engine, ANSWER).await {
                Ok(()) if is_away => tracing::info!("the engine of {flags} is back"),
                Err(why) if !is_away => {
                    tracing::error!("the engine of {flags} is away, and is tried again: {why}");
                }
                _ => continue,
            }
            is_away = !is_away;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = watch => {}
    }
}

async fn check(engine: &NamedEngine, time: Duration) -> Result<(), String> {
    match timeout(time, engine.engine.check()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(chain(&*error)),
        Err(_) => Err(format!("it does not answer within {time:?}")),
    }
}
