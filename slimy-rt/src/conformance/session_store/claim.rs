//! Claims of message ids.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{
    super::{
        run::{Verdict, call, clauses, ensure, failed, not_applicable, same},
        support::{HOSTILE, until},
    },
    Harness, guild, user,
};
use crate::session::{Claim, Claimed, SessionStore};

const TTL: Duration = Duration::from_secs(3_600);
/// Soon enough to be waited for.
const SHORT: Duration = Duration::from_millis(1_200);
/// How many claim the same id at once.
const CLAIMANTS: usize = 16;
/// A moment in milliseconds that does not fit into 32 bits.
const AT: u64 = 1_790_000_000_123;

clauses! { Harness;
    "claim-first-wins": "The first claim of an id wins; later ones, its own user's too, are told who won and when." => claim_first_wins,
    "claim-apart": "Claims of other ids, and of the same id in another guild, are others." => claim_apart,
    "claim-ends": "A claim ends with its `ttl`, and not before." => claim_ends,
    "claim-one-winner": "Of several claims at once one wins, and all others are told of it." => claim_one_winner,
    "claim-reopened": "A claim through one handle holds through every other." => claim_reopened,
}

async fn claim(
    store: &dyn SessionStore,
    place: (&str, &str),
    who: &str,
    at: u64,
    ttl: Duration,
) -> Verdict<Claimed> {
    let (guild, user) = (guild(place.0), user(who));
    let claim = Claim::new(&guild, place.1, &user, at, ttl);
    match call("claim", store.claim(&claim)).await? {
        Claimed::NotShared => not_applicable("the store shares no claims (`NotShared`)"),
        claimed => Ok(claimed),
    }
}

fn before(who: &str, at: u64) -> Claimed {
    Claimed::Before {
        user: user(who),
        at,
    }
}

async fn claim_first_wins(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let first = claim(&*store, ("g", "m"), "u", AT, TTL).await?;
    same("the first claim", &first, &Claimed::New)?;
    for (who, at) in [("v", AT + 1), ("u", AT + 2), ("w", AT - 1)] {
        let later = claim(&*store, ("g", "m"), who, at, TTL).await?;
        same("a later claim", &later, &before("u", AT))?;
    }
    Ok(())
}

async fn claim_apart(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let new = async |place: (&str, &str)| {
        let claimed = claim(&*store, place, "u", AT, TTL).await?;
        same(
            &format!("the first claim of {place:?}"),
            &claimed,
            &Claimed::New,
        )
    };
    // The last two are one text when guild and id are put together carelessly.
    for place in [
        ("g", "m"),
        ("h", "m"),
        ("g", "n"),
        ("a:b", "c"),
        ("a", "b:c"),
    ] {
        new(place).await?;
    }
    for id in HOSTILE {
        new((id, "x")).await?;
    }
    Ok(())
}

async fn claim_ends(harness: Harness) -> Verdict {
    let store = harness.store().await;
    claim(&*store, ("g", "long"), "u", AT, TTL).await?;
    claim(&*store, ("g", "short"), "u", AT, SHORT).await?;
    let early = claim(&*store, ("g", "short"), "v", AT + 1, TTL).await?;
    same("a claim before the first ends", &early, &before("u", AT))?;
    until("a claim ends", || async {
        Ok(claim(&*store, ("g", "short"), "w", AT + 2, TTL).await? == Claimed::New)
    })
    .await?;
    let long = claim(&*store, ("g", "long"), "v", AT + 3, TTL).await?;
    same("a claim of an hour", &long, &before("u", AT))
}

async fn claim_one_winner(harness: Harness) -> Verdict {
    let store = harness.store().await;
    let mut claims = JoinSet::new();
    for i in 0..CLAIMANTS {
        let store = store.clone();
        claims.spawn(async move {
            let (who, at) = (format!("u{i}"), AT + i as u64);
            let claimed = claim(&*store, ("g", "m"), &who, at, TTL).await?;
            Ok((before(&who, at), claimed))
        });
    }
    let mut answers = Vec::new();
    while let Some(answer) = claims.join_next().await {
        match answer {
            Ok(answer) => answers.push(answer?),
            Err(error) => return failed(format!("a claim panicked: {error}")),
        }
    }
    let winners: Vec<_> = answers
        .iter()
        .filter(|(_, claimed)| *claimed == Claimed::New)
        .collect();
    let [(winner, _)] = winners[..] else {
        return failed(format!("{} of {CLAIMANTS} claims won", winners.len()));
    };
    let told = |(_, claimed): &&(Claimed, Claimed)| *claimed != Claimed::New;
    for (_, claimed) in answers.iter().filter(told) {
        ensure!(
            claimed == winner,
            "one that lost was told {claimed:?}, but {winner:?} won"
        );
    }
    Ok(())
}

async fn claim_reopened(harness: Harness) -> Verdict {
    let first = harness.create().await;
    claim(&*first.store, ("g", "m"), "u", AT, TTL).await?;
    let second = first.again().await?;
    let there = claim(&*second, ("g", "m"), "v", AT + 1, TTL).await?;
    same("a claim through the other handle", &there, &before("u", AT))
}
