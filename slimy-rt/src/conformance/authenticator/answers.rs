//! Who is let in, and what the others are told.

use std::{sync::Arc, time::SystemTime};

use tokio::task::JoinSet;

use super::{
    super::{
        run::{Verdict, chain, clauses, ensure, failed, in_time, not_applicable, same, short},
        support::{drop_after, poll_counts},
    },
    Good, Harness, Refusal, Subject,
};
use crate::auth::{AuthError, Handshake, Identity};

/// How often the same is asked.
const ROUNDS: usize = 3;
/// How many ask at once.
const TASKS: usize = 32;

clauses! { Harness;
    "good-accepted": "A client that has proved who it is, is let in as that user." => good_accepted,
    "bad-refused": "Whatever is malformed, expired or denied is refused as such; it is never `Unavailable`." => bad_refused,
    "none-missing": "A handshake without any credential is refused as `Missing`." => none_missing,
    "answers-repeat": "The answer depends on the handshake, never on earlier calls." => answers_repeat,
    "identity-not-over": "An identity ends in the future, and not before it was issued." => identity_not_over,
    "concurrent-calls": "Calls at once are answered as they would be alone." => concurrent_calls,
    "cancelled-call": "A call that is dropped leaves nothing behind: later ones are answered." => cancelled_call,
    "outage-is-unavailable": "While what it asks is away, the answer is `Unavailable` for whoever would be let in." => outage_is_unavailable,
}

async fn accepted(subject: &Subject, good: &Good) -> Verdict<Identity> {
    match subject.ask(&good.handshake).await? {
        Ok(identity) => {
            same("who was let in", &identity.user.id, &good.user)?;
            Ok(identity)
        }
        Err(error) => failed(format!("{:?} was refused: {}", good.user, chain(&error))),
    }
}

/// Fails unless it was refused so.
fn refused(what: &str, result: &Result<Identity, AuthError>, expected: Refusal) -> Verdict {
    let refusal = result.as_ref().err().and_then(Refusal::of);
    ensure!(
        refusal == Some(expected),
        "{what}: expected {expected:?}, saw {}",
        short(result)
    );
    Ok(())
}

async fn good_accepted(harness: Harness) -> Verdict {
    let subject = harness.accepting().await?;
    for good in &subject.good {
        accepted(&subject, good).await?;
    }
    Ok(())
}

async fn bad_refused(harness: Harness) -> Verdict {
    let subject = harness.refusing().await?;
    for (i, bad) in subject.bad.iter().enumerate() {
        let result = subject.ask(&bad.handshake).await?;
        refused(&format!("bad handshake {i}"), &result, bad.refusal)?;
    }
    Ok(())
}

async fn none_missing(harness: Harness) -> Verdict {
    let subject = harness.subject().await;
    let empty = [
        Handshake::default(),
        Handshake::default().with_auth(serde_json::json!({})),
    ];
    for handshake in empty {
        refused(
            "nothing at all",
            &subject.ask(&handshake).await?,
            Refusal::Missing,
        )?;
    }
    Ok(())
}

async fn answers_repeat(harness: Harness) -> Verdict {
    let subject = harness.accepting().await?;
    let mut first = Vec::new();
    for round in 0..ROUNDS {
        for (i, good) in subject.good.iter().enumerate() {
            let identity = accepted(&subject, good).await?;
            if round == 0 {
                first.push(identity);
            } else {
                same(
                    &format!("identity {i} when it is asked again"),
                    &identity,
                    &first[i],
                )?;
            }
        }
        for (i, bad) in subject.bad.iter().enumerate() {
            let result = subject.ask(&bad.handshake).await?;
            refused(
                &format!("bad handshake {i} in round {round}"),
                &result,
                bad.refusal,
            )?;
        }
    }
    Ok(())
}

async fn identity_not_over(harness: Harness) -> Verdict {
    let subject = harness.accepting().await?;
    for good in &subject.good {
        let identity = accepted(&subject, good).await?;
        let Some(end) = identity.expires_at else {
            continue;
        };
        ensure!(
            end > SystemTime::now(),
            "{:?} was let in with an identity that is over",
            good.user
        );
        let in_order = identity.issued_at.is_none_or(|issued| issued <= end);
        ensure!(
            in_order,
            "the identity of {:?} ends before it was issued",
            good.user
        );
    }
    Ok(())
}

async fn concurrent_calls(harness: Harness) -> Verdict {
    let subject = Arc::new(harness.accepting().await?);
    let mut calls = JoinSet::new();
    for i in 0..TASKS {
        let subject = Arc::clone(&subject);
        calls.spawn(async move {
            let good = &subject.good[i % subject.good.len()];
            accepted(&subject, good).await?;
            if let Some(bad) = subject.bad.get(i % subject.bad.len().max(1)) {
                let result = subject.ask(&bad.handshake).await?;
                refused("a bad handshake among others", &result, bad.refusal)?;
            }
            accepted(&subject, good).await.map(|_| ())
        });
    }
    while let Some(ended) = calls.join_next().await {
        match ended {
            Ok(verdict) => verdict?,
            Err(error) => return failed(format!("one of many calls panicked: {error}")),
        }
    }
    Ok(())
}

async fn cancelled_call(harness: Harness) -> Verdict {
    let subject = harness.accepting().await?;
    let good = &subject.good[0];
    for polls in poll_counts() {
        let call = drop_after(polls, subject.authenticator.authenticate(&good.handshake));
        let ended = in_time("a call that is dropped", call).await?;
        accepted(&subject, good).await?;
        if ended.is_some() {
            break;
        }
    }
    Ok(())
}

async fn outage_is_unavailable(harness: Harness) -> Verdict {
    let subject = harness.accepting().await?;
    if !subject.controls.cut_off().await {
        return not_applicable("the factory does not offer to cut off what it asks (`cut_off`)");
    }
    for good in &subject.good {
        match subject.ask(&good.handshake).await? {
            Err(AuthError::Unavailable(_)) => {}
            other => return failed(format!("in an outage the answer was {}", short(&other))),
        }
    }
    Ok(())
}
