//! Reading the log.

use std::{cmp::Ordering, sync::Arc};

use super::{
    super::run::{Verdict, clauses, ensure, failed, in_time, same},
    Harness, Node, audience, batch, claimed,
    order::same_publication,
    to_rooms,
};
use crate::broker::{Audience, HistoryError, Page, Position, Publication};

/// How many publications the log has.
const MANY: u64 = 20;

clauses! { Harness;
    "history-complete": "`history` gives every publication behind `after`, up to and with `to`, in the log's order, as it was sent." => history_complete,
    "history-pages": "A page has at most `max` publications and says whether it is all; the next begins behind its last." => history_pages,
    "history-audience": "`history` gives what concerns sockets in the rooms, publications to the whole namespace too, and nothing to other rooms only." => history_audience,
    "history-shared": "Every node gives the same history, also of what was published before it came." => history_shared,
    "history-positions": "The position with which a publication is reported is its place in the history." => history_positions,
    "history-foreign": "A position of another log, or one that none gave out, is `Gone`." => history_foreign,
    "history-ordered": "Positions have the log's order: that of a later publication is the greater." => history_ordered,
    "end-covers": "`end` is the place of the last publication, whoever published it: the history up to it is complete." => end_covers,
    "history-beginning": "`history` from `start` on is what the node has been told of since." => history_beginning,
}

/// A cluster of one node whose log has this.
async fn with_log(log: &[Arc<Publication>], node: &Node) -> Verdict<Vec<Position>> {
    node.publish(log).await?;
    let mut positions = Vec::new();
    for publication in log {
        match node.told.wait_for(publication).await? {
            Some(position) => positions.push(position),
            None => {
                return failed(
                    "the log is claimed, but a publication was reported without its position",
                );
            }
        }
    }
    Ok(positions)
}

async fn history(
    node: &Node,
    after: &Position,
    to: &Position,
    audience: &Audience,
    max: usize,
) -> Verdict<Page> {
    let asked = node.broker.history(after, to, audience, max);
    match in_time("history", asked).await? {
        Ok(page) => Ok(page),
        Err(error) => failed(format!("`history` failed: {}", super::run::chain(&error))),
    }
}

fn numbers(page: &Page) -> Vec<u64> {
    let publications = page.publications.iter();
    let ids = publications.filter_map(|(_, publication)| publication.id.as_ref());
    ids.map(|(_, number)| *number).collect()
}

async fn logging<const N: usize>(harness: &Harness) -> Verdict<(super::Cluster, [Node; N])> {
    let (cluster, nodes) = harness.nodes::<N>().await?;
    claimed(&*nodes[0].broker, "log", |can| can.log)?;
    Ok((cluster, nodes))
}

async fn history_complete(harness: Harness) -> Verdict {
    let (_cluster, [node]) = logging(&harness).await?;
    let log = batch(&node.id, 1..=MANY);
    let positions = with_log(&log, &node).await?;
    let all = audience(&[]);
    for (after, to) in [(0, MANY - 1), (0, 1), (4, 9), (3, 3)] {
        let (from, end) = (after as usize, to as usize);
        let page = history(&node, &positions[from], &positions[end], &all, 999).await?;
        ensure!(
            page.complete,
            "a page that had room for everything says that it is not complete"
        );
        let what = format!("the history behind {} up to {}", after + 1, to + 1);
        same(&what, &numbers(&page), &(after + 2..=to + 1).collect())?;
        for ((_, seen), sent) in page.publications.iter().zip(&log[from + 1..]) {
            same_publication(seen, sent)?;
        }
    }
    Ok(())
}

async fn history_pages(harness: Harness) -> Verdict {
    let (_cluster, [node]) = logging(&harness).await?;
    let positions = with_log(&batch(&node.id, 1..=MANY), &node).await?;
    let (all, to) = (audience(&[]), &positions[MANY as usize - 1]);
    for max in [1, 3, MANY as usize - 1, MANY as usize] {
        let (mut after, mut seen) = (node.start.clone(), Vec::new());
        loop {
            let page = history(&node, &after, to, &all, max).await?;
            let count = page.publications.len();
            ensure!(count <= max, "a page of at most {max} has {count}");
            seen.extend(numbers(&page));
            if page.complete {
                break;
            }
            ensure!(
                seen.len() < MANY as usize,
                "all has been given, but the last page says that it is not complete"
            );
            match page.publications.last() {
                Some((position, _)) => after = position.clone(),
                None => {
                    return failed(format!(
                        "an empty page of at most {max} says that it is not complete"
                    ));
                }
            }
        }
        same(
            &format!("the history in pages of {max}"),
            &seen,
            &(1..=MANY).collect(),
        )?;
    }
    Ok(())
}

async fn history_audience(harness: Harness) -> Verdict {
    let (_cluster, [node]) = logging(&harness).await?;
    let log: Vec<_> = [&["a"][..], &["b"], &["b", "a"], &[], &["c"]]
        .iter()
        .zip(1..)
        .map(|(rooms, number)| to_rooms(&node.id, number, rooms))
        .collect();
    let positions = with_log(&log, &node).await?;
    let expected: [(&[&str], &[u64]); 4] = [
        (&["a"], &[1, 3, 4]),
        (&["b", "c"], &[2, 3, 4, 5]),
        (&["d"], &[4]),
        (&[], &[1, 2, 3, 4, 5]),
    ];
    for (rooms, expected) in expected {
        let page = history(&node, &node.start, &positions[4], &audience(rooms), 9).await?;
        same(
            &format!("the history for {rooms:?}"),
            &numbers(&page),
            &expected.to_vec(),
        )?;
    }
    let page = history(&node, &node.start, &positions[4], &audience(&["a"]), 2).await?;
    same(
        "two of the history for \"a\"",
        &(numbers(&page), page.complete),
        &(vec![1, 3], false),
    )
}

async fn history_shared(harness: Harness) -> Verdict {
    let (cluster, [first]) = logging(&harness).await?;
    let positions = with_log(&batch(&first.id, 1..=5), &first).await?;
    let second = cluster.join(super::Recorder::new()).await?;
    let page = history(&second, &first.start, &positions[4], &audience(&[]), 9).await?;
    same(
        "the history at another node",
        &numbers(&page),
        &(1..=5).collect(),
    )
}

async fn history_positions(harness: Harness) -> Verdict {
    let (_cluster, [node]) = logging(&harness).await?;
    let positions = with_log(&batch(&node.id, 1..=5), &node).await?;
    let page = history(&node, &node.start, &positions[4], &audience(&[]), 9).await?;
    let told: Vec<Position> = page
        .publications
        .into_iter()
        .map(|(position, _)| position)
        .collect();
    same(
        "the positions in the history and those reported",
        &told,
        &positions,
    )
}

async fn history_foreign(harness: Harness) -> Verdict {
    let (_cluster, [node]) = logging(&harness).await?;
    let (_other_cluster, [other]) = logging(&harness).await?;
    let positions = with_log(&batch(&node.id, 1..=2), &node).await?;
    let foreign = with_log(&batch(&other.id, 1..=2), &other).await?;
    let (all, to) = (audience(&[]), &positions[1]);
    let nonsense = [
        "",
        "0",
        "-1",
        ":",
        "a:b:c",
        "*",
        "\0",
        "'; --",
        "99999999999999999999-0",
    ];
    let wrong = nonsense.iter().map(|text| Position::new(*text));
    for after in wrong.chain([foreign[0].clone(), other.start.clone()]) {
        let asked = node.broker.history(&after, to, &all, 9);
        match in_time("history", asked).await? {
            Err(HistoryError::Gone) => {}
            other => {
                return failed(format!(
                    "`history` behind {after:?}, not of this log, gave {other:?}"
                ));
            }
        }
    }
    Ok(())
}

async fn history_beginning(harness: Harness) -> Verdict {
    let (cluster, [first]) = logging(&harness).await?;
    with_log(&batch(&first.id, 1..=3), &first).await?;
    let second = cluster.join(super::Recorder::new()).await?;
    let late = batch(&first.id, 4..=6);
    let positions = with_log(&late, &first).await?;
    second.told.wait_for(&late[2]).await?;
    let page = history(&second, &second.start, &positions[2], &audience(&[]), 9).await?;
    same(
        "the history from `start` on",
        &numbers(&page),
        &vec![4, 5, 6],
    )
}

async fn history_ordered(harness: Harness) -> Verdict {
    let (cluster, [first]) = logging(&harness).await?;
    let mut positions = with_log(&batch(&first.id, 1..=MANY), &first).await?;
    let second = cluster.join(super::Recorder::new()).await?;
    positions.extend(with_log(&batch(&second.id, 1..=3), &second).await?);
    for pair in positions.windows(2) {
        ensure!(
            pair[0].partial_cmp(&pair[1]) == Some(Ordering::Less),
            "{:?} is reported before {:?}, and is not less",
            pair[0],
            pair[1]
        );
    }
    Ok(())
}

async fn end_covers(harness: Harness) -> Verdict {
    let (cluster, [first]) = logging(&harness).await?;
    let second = cluster.join(super::Recorder::new()).await?;
    for number in 1..=5 {
        let publication = to_rooms(&first.id, number, &["room"]);
        first.publish_one(&publication).await?;
        // At another node, which need not have been told yet.
        let end = super::super::run::call("end", second.broker.end()).await?;
        let page = history(&second, &first.start, &end, &audience(&["room"]), 99).await?;
        same(
            "the history up to the end, right after a publication",
            &numbers(&page),
            &(1..=number).collect(),
        )?;
        let last = page.publications.last().map(|(position, _)| position);
        same("the end and the last position", &last, &Some(&end))?;
    }
    Ok(())
}
