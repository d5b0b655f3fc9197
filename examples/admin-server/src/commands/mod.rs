//! What the program does beside serving.

mod sessions;
mod token;

use std::{
    future::Future,
    io::{self, Read, Write},
    time::Duration,
};

use tokio::{runtime, time::timeout};

pub(crate) use self::{sessions::sessions, token::token};
use crate::failure::Failure;

/// How long an engine may take over one question.
const ANSWER: Duration = Duration::from_secs(10);
/// The most bytes that are read from stdin: more than any session has.
const MAX_INPUT_BYTES: u64 = 1024 * 1024;

/// Runs a command that asks engines.
fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::start(format!("cannot start: {error}")))?;
    let ended = runtime.block_on(command);
    // Engines have tasks that end with the process.
    runtime.shutdown_background();
    ended
}

/// The engine's answer, within its time.
async fn answer<T, E>(
    flag: &str,
    question: impl Future<Output = Result<T, E>>,
    failed: impl FnOnce(E) -> Failure,
) -> Result<T, Failure> {
    let late = |_| Failure::start(format!("{flag}: no answer within {ANSWER:?}"));
    timeout(ANSWER, question)
        .await
        .map_err(late)?
        .map_err(failed)
}

fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let printed = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    printed.map_err(|error| Failure::start(format!("cannot write to stdout: {error}")))
}

/// The argument, or what stdin holds when it is missing or `-`.
fn argument_or_stdin(argument: Option<String>) -> Result<String, Failure> {
    if let Some(argument) = argument.filter(|argument| argument != "-") {
        return Ok(argument);
    }
    let mut text = String::new();
    let read = io::stdin()
        .lock()
        .take(MAX_INPUT_BYTES + 1)
        .read_to_string(&mut text);
    match read {
        Ok(bytes) if bytes as u64 > MAX_INPUT_BYTES => Err(Failure::config(format!(
            "stdin holds more than {MAX_INPUT_BYTES} bytes"
        ))),
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::start(format!("cannot read stdin: {error}"))),
    }
}
